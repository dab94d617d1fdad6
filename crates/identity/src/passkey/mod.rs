//! Passkeys (W3C Web Authentication, level 2) of local users, without attestation: ES256 or EdDSA, the user verified by
//! the authenticator each time. What a challenge was given for, and that it counts once, is the caller's to know.

mod cbor;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;
use wire::{
    bounds::REQUEST,
    json::{Document, Keys, Node, ObjectWriter},
};

use crate::secret::sha256;
use cbor::Reader;

/// The longest name of a credential taken, in bytes (Web Authentication, section 4).
const ID_BYTES_MAX: usize = 1023;
/// Flags of an authenticator's data (section 6.1).
const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const MAY_BE_COPIED: u8 = 1 << 3;
const HAS_CREDENTIAL: u8 = 1 << 6;

/// Who asks for passkeys: they are good for nobody else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Party {
    /// The host.
    pub id: String,
    /// The origin of its pages.
    pub origin: String,
}

/// What a browser brings, and the challenge it was given, as it was given.
#[derive(Clone, Copy, Debug)]
pub struct Brought<'b> {
    /// What the browser says it did (`clientDataJSON`).
    pub client_data: &'b [u8],
    /// In base64url.
    pub challenge: &'b str,
}

/// A passkey as it is kept: nothing of it is secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Passkey {
    /// Its name, which the authenticator chose.
    pub id: Vec<u8>,
    key: Key,
    counter: u32,
    /// Whether it may be copied to other devices of its owner.
    pub is_synced: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Key {
    /// A point of P-256, uncompressed.
    Es256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why a passkey proves nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PasskeyError {
    /// It cannot be read.
    #[error("what the browser brings cannot be read")]
    Malformed,
    /// It was made for something else.
    #[error("it was made for something else than this")]
    Type,
    /// It answers another challenge.
    #[error("it answers another challenge")]
    Challenge,
    /// It was made on a page of somebody else's.
    #[error("it was made on another page")]
    Origin,
    /// It was made for another host.
    #[error("it was made for another host")]
    Host,
    /// The user was not verified.
    #[error("the authenticator did not verify the user")]
    Unverified,
    /// It attests itself, which was not asked for.
    #[error("it comes with an attestation")]
    Attestation,
    /// Its key is of another kind.
    #[error("its key is of a kind that is not taken")]
    Key,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// It counts less than before.
    #[error("its counter went back: it may have been copied")]
    Counter,
}

use PasskeyError::Malformed;

impl Party {
    /// Of a gateway at this URL; none where passkeys cannot be: hosts have names, and beyond this machine there is TLS.
    #[must_use]
    pub fn at(base: &str) -> Option<Self> {
        let (scheme, rest) = base.split_once("://")?;
        let authority = rest.split('/').next()?;
        let host = authority.split(':').next().filter(|host| !host.is_empty())?;
        let is_name = host.contains(|c: char| c.is_ascii_alphabetic()) && !host.starts_with('[');
        let is_safe = scheme == "https" || scheme == "http" && host == "localhost";
        (is_name && is_safe).then(|| Self {
            id: host.to_ascii_lowercase(),
            origin: format!("{scheme}://{}", authority.to_ascii_lowercase()),
        })
    }
}

impl Brought<'_> {
    /// Section 7.1, steps 7 to 11; section 7.2, steps 11 to 14.
    fn check(&self, party: &Party, kind: &str) -> Result<(), PasskeyError> {
        let parsed = Document::parse(self.client_data.to_vec(), Keys::Exact, &REQUEST);
        let document = parsed.map_err(|_| Malformed)?;
        let root = document.root();
        let said = |name: &str| root.get(name).and_then(Node::as_str);
        if said("type").as_deref() != Some(kind) {
            return Err(PasskeyError::Type);
        }
        if said("challenge").as_deref() != Some(self.challenge) {
            return Err(PasskeyError::Challenge);
        }
        let is_framed = root
            .get("crossOrigin")
            .is_some_and(|said| said.as_bool() != Some(false));
        if said("origin").as_deref() != Some(party.origin.as_str())
            || is_framed
            || root.get("topOrigin").is_some()
        {
            return Err(PasskeyError::Origin);
        }
        Ok(())
    }
}

/// The part of an authenticator's data that is always there.
struct Told {
    flags: u8,
    counter: u32,
}

fn told(reader: &mut Reader<'_>, party: &Party) -> Result<Told, PasskeyError> {
    let host: [u8; 32] = reader.array().ok_or(Malformed)?;
    let [flags] = reader.array().ok_or(Malformed)?;
    let counter = u32::from_be_bytes(reader.array().ok_or(Malformed)?);
    if host != sha256(party.id.as_bytes()) {
        return Err(PasskeyError::Host);
    }
    if flags & (PRESENT | VERIFIED) != PRESENT | VERIFIED {
        return Err(PasskeyError::Unverified);
    }
    Ok(Told { flags, counter })
}

impl Passkey {
    /// A new one, made on our page for this challenge.
    ///
    /// # Errors
    /// When anything about it is not as it was asked for.
    pub fn register(party: &Party, brought: Brought<'_>, attestation: &[u8]) -> Result<Self, PasskeyError> {
        brought.check(party, "webauthn.create")?;
        let mut reader = Reader(attestation);
        let mut data = None;
        for _ in 0..reader.map().ok_or(Malformed)? {
            match reader.text().ok_or(Malformed)? {
                // What it says of its maker is not asked for, and would not be believed.
                "fmt" => match reader.text() {
                    Some("none") => {}
                    _ => return Err(PasskeyError::Attestation),
                },
                "attStmt" if reader.map() == Some(0) => {}
                "attStmt" => return Err(PasskeyError::Attestation),
                "authData" => data = reader.bytes(),
                _ => return Err(Malformed),
            }
        }
        let mut data = Reader(data.filter(|_| reader.0.is_empty()).ok_or(Malformed)?);
        let told = told(&mut data, party)?;
        if told.flags & HAS_CREDENTIAL == 0 {
            return Err(Malformed);
        }
        let _model: [u8; 16] = data.array().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes(data.array().ok_or(Malformed)?));
        let id = data
            .take(length)
            .filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
        Ok(Self {
            id: id.ok_or(Malformed)?.to_vec(),
            key: Key::read(&mut data).ok_or(PasskeyError::Key)?,
            counter: told.counter,
            is_synced: told.flags & MAY_BE_COPIED != 0,
        })
    }

    /// Checks what it signed, and gives it as it is to be kept now: counters that go, go forward.
    ///
    /// # Errors
    /// When anything about it is not as it was asked for.
    pub fn assert(
        &self,
        party: &Party,
        brought: Brought<'_>,
        data: &[u8],
        signature: &[u8],
    ) -> Result<Self, PasskeyError> {
        brought.check(party, "webauthn.get")?;
        let told = told(&mut Reader(data), party)?;
        let signed = [data, &sha256(brought.client_data)].concat();
        self.key.verify(&signed, signature)?;
        let counts = told.counter > 0 || self.counter > 0;
        if counts && told.counter <= self.counter {
            return Err(PasskeyError::Counter);
        }
        Ok(Self {
            counter: told.counter,
            ..self.clone()
        })
    }

    /// Writes it.
    pub fn write(&self, out: &mut ObjectWriter<'_>) {
        let (kind, key) = match &self.key {
            Key::Es256(key) => ("ES256", key),
            Key::Ed25519(key) => ("EdDSA", key),
        };
        out.string("id", &URL_SAFE_NO_PAD.encode(&self.id));
        out.string("alg", kind);
        out.string("key", &URL_SAFE_NO_PAD.encode(key));
        out.integer("counter", i64::from(self.counter));
        out.boolean("synced", self.is_synced);
    }

    /// Reads what [`Self::write`] wrote.
    #[must_use]
    pub fn read(node: Node<'_>) -> Option<Self> {
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(node.get(name)?.as_str()?.as_bytes()).ok();
        let key = bytes("key")?;
        Some(Self {
            id: bytes("id")?,
            key: match &*node.get("alg")?.as_str()? {
                "ES256" => Key::Es256(key),
                "EdDSA" => Key::Ed25519(key),
                _ => return None,
            },
            counter: u32::try_from(node.get("counter")?.as_number()?.as_i64()?).ok()?,
            is_synced: node.get("synced")?.as_bool()?,
        })
    }
}

impl Key {
    /// A COSE key (RFC 9052, section 7; RFC 9053, section 7).
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (mut kind, mut algorithm, mut curve, mut x, mut y) = (None, None, None, None, None);
        for _ in 0..reader.map()? {
            match reader.integer()? {
                1 => kind = reader.integer(),
                3 => algorithm = reader.integer(),
                -1 => curve = reader.integer(),
                -2 => x = reader.bytes(),
                -3 => y = reader.bytes(),
                _ => reader.skip()?,
            }
        }
        let x = x.filter(|x| x.len() == 32)?;
        match (kind?, algorithm?, curve?) {
            (2, -7, 1) => {
                let y = y.filter(|y| y.len() == 32)?;
                Some(Self::Es256([&[4][..], x, y].concat()))
            }
            (1, -8, 6) => Some(Self::Ed25519(x.to_vec())),
            _ => None,
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), PasskeyError> {
        let verified = match self {
            Self::Es256(key) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(signed, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature),
        };
        verified.map_err(|_| PasskeyError::Signature)
    }
}

#[cfg(test)]
mod tests;
