//! Signed policy bundles: the operator's rules and their version in a DSSE envelope (secure-systems-lab/dsse v1.0),
//! signed with Ed25519.
//!
//! It must not know what rules mean, nor which version was in force; `policy_version` compares. Nothing in an
//! envelope is read before enough of the keys have signed it.

use std::{collections::BTreeSet, path::Path};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use wire::json::{Document, Keys, Node, canonical, object};

/// What the payload is, as the signature says, too.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.sallyport.policy.v1+json";
/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// Most signatures looked at.
const SIGNATURES_MAX: usize = 32;

/// What a bundle holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Bundle {
    pub(crate) version: u64,
    pub(crate) packs: Vec<String>,
    /// Rules in Cedar, each with its name.
    pub(crate) rules: Vec<(String, String)>,
}

/// A key that bundles are checked with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SignerKey {
    /// The digest of the key, by which envelopes name it.
    pub(crate) id: String,
    bytes: [u8; 32],
}

/// An envelope, of which nothing is believed yet.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<(String, Vec<u8>)>,
}

impl SignerKey {
    /// Reads a PEM file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
        let key = SubjectPublicKeyInfoDer::from_pem_slice(&text)
            .map_err(|_| format!("{shown} has no public key in PEM (`BEGIN PUBLIC KEY`)"))?;
        let bytes = key.as_ref().strip_prefix(&SPKI);
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes
            .map(Self::of)
            .ok_or_else(|| format!("the key in {shown} is not Ed25519"))
    }

    fn of(bytes: [u8; 32]) -> Self {
        let spki = [SPKI.as_slice(), &bytes].concat();
        let id = records::digest::hex(digest(&SHA256, &spki).as_ref());
        Self { id, bytes }
    }
}

impl Envelope {
    /// An envelope that nobody has signed.
    pub(crate) fn around(bundle: &Bundle) -> Self {
        let written = object(|out| {
            out.array("packs", |list| {
                bundle.packs.iter().for_each(|pack| list.string(pack))
            });
            out.array("rules", |list| {
                for (name, text) in &bundle.rules {
                    list.object(|out| {
                        out.string("name", name);
                        out.string("text", text);
                    });
                }
            });
            out.integer("version", bundle.version);
        });
        let payload = match Document::parse(written.clone(), Keys::Exact, &wire::bounds::ANSWER) {
            Ok(document) => canonical(document.root()),
            Err(_) => written,
        };
        Self {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload,
            signatures: Vec::new(),
        }
    }

    /// Reads an envelope.
    pub(crate) fn parse(text: Vec<u8>) -> Result<Self, String> {
        let document = Document::parse(text, Keys::Exact, &wire::bounds::ANSWER);
        let document = document.map_err(|error| format!("it is no DSSE envelope: {error}"))?;
        let root = document.root();
        let text = |node: Node<'_>, name: &str| {
            let found = node.get(name).and_then(Node::as_str);
            let found = found.ok_or_else(|| format!("it is no DSSE envelope: `{name}` is missing"));
            found.map(std::borrow::Cow::into_owned)
        };
        let bytes = |node: Node<'_>, name: &str| {
            let decoded = BASE64.decode(text(node, name)?);
            decoded.map_err(|_| format!("it is no DSSE envelope: `{name}` is not base64"))
        };
        let signatures = root.get("signatures").into_iter().flat_map(Node::elements);
        let signatures = signatures.take(SIGNATURES_MAX).map(|one| {
            let named = one.get("keyid").and_then(Node::as_str).unwrap_or_default();
            Ok((named.into_owned(), bytes(one, "sig")?))
        });
        Ok(Self {
            payload_type: text(root, "payloadType")?,
            payload: bytes(root, "payload")?,
            signatures: signatures.collect::<Result<_, String>>()?,
        })
    }

    /// Signs it with a private key in PEM (PKCS#8); a second signature by the same key replaces the first.
    pub(crate) fn sign(&mut self, pem: &str) -> Result<SignerKey, String> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "it is no private key in PEM (`BEGIN PRIVATE KEY`)".to_owned())?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der())
            .map_err(|_| "it is no Ed25519 key; make one: openssl genpkey -algorithm ed25519".to_owned())?;
        let public =
            <[u8; 32]>::try_from(pair.public_key().as_ref()).map_err(|_| "no public key".to_owned())?;
        let public = SignerKey::of(public);
        let signature = pair.sign(&self.signed()).as_ref().to_vec();
        self.signatures.retain(|(id, _)| *id != public.id);
        self.signatures.push((public.id.clone(), signature));
        Ok(public)
    }

    /// The keys that have signed it.
    pub(crate) fn signers<'k>(&self, keys: &'k [SignerKey]) -> Vec<&'k SignerKey> {
        let signed = self.signed();
        let has_signed = |key: &&SignerKey| {
            // The name is a hint; only the key decides.
            self.signatures.iter().any(|(_, signature)| {
                UnparsedPublicKey::new(&ED25519, key.bytes)
                    .verify(&signed, signature)
                    .is_ok()
            })
        };
        keys.iter().filter(has_signed).collect()
    }

    /// What it holds, if so many of these keys have signed it.
    pub(crate) fn open(&self, keys: &[SignerKey], needed: usize) -> Result<Bundle, String> {
        // One key under two names signs once.
        let different: BTreeSet<&str> = self
            .signers(keys)
            .into_iter()
            .map(|key| key.id.as_str())
            .collect();
        if different.len() < needed.max(1) {
            return Err(format!(
                "{} of the keys have signed it, and {} must; it was signed by another key, or changed since",
                different.len(),
                needed.max(1)
            ));
        }
        if self.payload_type != PAYLOAD_TYPE {
            return Err(format!(
                "it holds `{}`, and no policy",
                self.payload_type.escape_debug()
            ));
        }
        read(&self.payload).ok_or_else(|| "what it holds is no policy of this version".to_owned())
    }

    /// As a file.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut text = object(|out| {
            out.string("payload", &BASE64.encode(&self.payload));
            out.string("payloadType", &self.payload_type);
            out.array("signatures", |list| {
                for (id, signature) in &self.signatures {
                    list.object(|out| {
                        out.string("keyid", id);
                        out.string("sig", &BASE64.encode(signature));
                    });
                }
            });
        });
        text.push(b'\n');
        text
    }

    /// PAE: lengths keep type and payload apart, so no other envelope has the same bytes.
    fn signed(&self) -> Vec<u8> {
        let (kind, payload) = (self.payload_type.as_bytes(), &self.payload);
        let head = format!("DSSEv1 {} ", kind.len());
        let middle = format!(" {} ", payload.len());
        [head.as_bytes(), kind, middle.as_bytes(), payload].concat()
    }
}

/// Reads a payload. One with a member nobody knows may mean what nobody sees.
fn read(payload: &[u8]) -> Option<Bundle> {
    let document = Document::parse(payload.to_vec(), Keys::Exact, &wire::bounds::ANSWER).ok()?;
    let root = document.root();
    let known = ["packs", "rules", "version"];
    let is_known = |(name, _): (Node<'_>, Node<'_>)| known.iter().any(|known| name.is_str(known));
    if !root.members().all(is_known) {
        return None;
    }
    let text = |node: Node<'_>| Some(node.as_str()?.into_owned());
    let rule = |node: Node<'_>| Some((text(node.get("name")?)?, text(node.get("text")?)?));
    Some(Bundle {
        version: root.get("version")?.as_number()?.as_u64()?,
        packs: root.get("packs")?.elements().map(text).collect::<Option<_>>()?,
        rules: root.get("rules")?.elements().map(rule).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

    use super::{Bundle, Envelope};

    fn pem() -> String {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64.encode(key.as_ref())
        )
    }

    fn bundle() -> Bundle {
        Bundle {
            version: 7,
            packs: vec!["baseline".to_owned()],
            rules: vec![(
                "mine".to_owned(),
                "forbid(principal, action, resource);".to_owned(),
            )],
        }
    }

    #[test]
    fn a_bundle_is_opened_by_the_keys_that_signed_it_and_by_enough_of_them() {
        let (first, second) = (pem(), pem());
        let mut envelope = Envelope::around(&bundle());
        let one = envelope.sign(&first).unwrap();
        let mut envelope = Envelope::parse(envelope.write()).unwrap();
        assert_eq!(envelope.open(std::slice::from_ref(&one), 1), Ok(bundle()));
        let stranger = Envelope::around(&bundle()).sign(&second).unwrap();
        assert!(envelope.open(std::slice::from_ref(&stranger), 1).is_err());
        assert!(envelope.open(&[], 0).is_err(), "no keys open nothing");
        let twice = [one.clone(), one.clone()];
        assert!(
            envelope.open(&twice, 2).is_err(),
            "one key named twice has signed once"
        );
        envelope.sign(&first).unwrap();
        assert!(envelope.open(&twice, 2).is_err(), "nor by signing twice");
        let two = envelope.sign(&second).unwrap();
        assert_eq!(envelope.open(&[one, two], 2), Ok(bundle()));
    }

    #[test]
    fn every_changed_byte_of_the_payload_or_its_type_is_noticed() {
        let mut envelope = Envelope::around(&bundle());
        let key = [envelope.sign(&pem()).unwrap()];
        for n in 0..envelope.payload.len() {
            let mut changed = envelope.clone();
            if let Some(byte) = changed.payload.get_mut(n) {
                *byte ^= 1;
            }
            assert!(changed.open(&key, 1).is_err(), "byte {n}");
        }
        let mut changed = envelope.clone();
        changed.payload_type.push('x');
        assert!(changed.open(&key, 1).is_err());
        // What is signed as something else is no policy.
        let mut other = Envelope::around(&bundle());
        other.payload_type = "application/vnd.in-toto+json".to_owned();
        let key = [other.sign(&pem()).unwrap()];
        assert!(other.open(&key, 1).is_err());
    }

    #[test]
    fn what_is_no_envelope_and_no_policy_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"payload":"%","payloadType":"x","signatures":[]}"#,
        ] {
            assert!(Envelope::parse(text.as_bytes().to_vec()).is_err(), "{text}");
        }
        for payload in [
            r#"{"packs":[],"rules":[],"version":-1}"#,
            r#"{"packs":[],"rules":[],"version":1,"x":1}"#,
        ] {
            let mut envelope = Envelope::around(&bundle());
            envelope.payload = payload.as_bytes().to_vec();
            let key = [envelope.sign(&pem()).unwrap()];
            assert!(envelope.open(&key, 1).is_err(), "{payload}");
        }
    }
}
