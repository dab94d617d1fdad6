//! Signed statements: a JSON text in a DSSE envelope (<https://github.com/secure-systems-lab/dsse>, version 1.0.2),
//! signed by the keys of the ledger. What is signed begins with `DSSEv1`, which no checkpoint does, so that
//! neither can be taken for the other.
//!
//! It must not know what a statement says.

use aws_lc_rs::signature::{ED25519, ML_DSA_44, UnparsedPublicKey, VerificationAlgorithm};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;
use wire::{
    bounds::ANSWER,
    json::{Document, Keys as JsonKeys, Node, object},
};

use crate::{
    digest::hex,
    keys::{KeyError, LogKeys},
    ledger::note::{SignatureType, VerifierKey},
};

/// The type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Why an envelope proves nothing.
#[derive(Debug, Error)]
pub enum EnvelopeError {
    /// It is no envelope.
    #[error("it is no DSSE envelope: {0}")]
    Form(&'static str),
    /// No trusted key signed it.
    #[error("no key that is trusted here signed it")]
    Unknown,
    /// A signature in the name of a trusted key is not by it.
    #[error("the signature in the name of {0} is wrong: the statement was altered after it was signed")]
    Wrong(String),
}

/// Signs a statement. Gives the envelope as JSON.
///
/// # Errors
/// When the cryptography provider refuses.
pub fn sign(kind: &str, statement: &[u8], keys: &LogKeys) -> Result<Vec<u8>, KeyError> {
    let signatures = keys.sign_apart(&encoded(kind, statement))?;
    Ok(object(|out| {
        out.string("payload", &BASE64.encode(statement));
        out.string("payloadType", kind);
        out.array("signatures", |list| {
            for (key, signature) in keys.verifiers().iter().zip(&signatures) {
                list.object(|out| {
                    out.string("keyid", &key_id(key));
                    out.string("sig", &BASE64.encode(signature));
                });
            }
        });
    }))
}

/// What an envelope holds: the type of the statement, the statement, and the keys that signed it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The type of the statement.
    pub kind: String,
    /// The statement.
    pub statement: Vec<u8>,
    /// The trusted keys that signed it.
    pub signers: Vec<VerifierKey>,
}

/// Opens an envelope that at least one known key signed. A wrong signature by a known key is an error, whoever
/// else signed.
///
/// # Errors
/// When it is malformed, altered, or signed by nobody known.
pub fn open(envelope: &[u8], known: &[VerifierKey]) -> Result<Opened, EnvelopeError> {
    let document = Document::parse(envelope.to_vec(), JsonKeys::Exact, &ANSWER)
        .map_err(|_| EnvelopeError::Form("it is no JSON"))?;
    let root = document.root();
    let text = |node: Node<'_>, name: &str| Some(node.get(name)?.as_str()?.into_owned());
    let bytes = |node: Node<'_>, name: &str| BASE64.decode(text(node, name)?).ok();
    let kind = text(root, "payloadType").ok_or(EnvelopeError::Form("`payloadType` is missing"))?;
    let statement = bytes(root, "payload").ok_or(EnvelopeError::Form("`payload` is no base64"))?;
    let signed = encoded(&kind, &statement);
    let mut signers = Vec::new();
    for one in root.get("signatures").into_iter().flat_map(Node::elements) {
        let id = text(one, "keyid").unwrap_or_default();
        let Some(key) = known.iter().find(|key| key_id(key) == id) else {
            continue;
        };
        let signature = bytes(one, "sig").ok_or(EnvelopeError::Form("`sig` is no base64"))?;
        let algorithm: &'static dyn VerificationAlgorithm = match key.kind() {
            SignatureType::Ed25519 => &ED25519,
            SignatureType::MlDsa44 => &ML_DSA_44,
            // Witnesses sign checkpoints and nothing else.
            SignatureType::Ed25519Cosignature => continue,
        };
        UnparsedPublicKey::new(algorithm, key.public())
            .verify(&signed, &signature)
            .map_err(|_| EnvelopeError::Wrong(key.label()))?;
        signers.push(key.clone());
    }
    if signers.is_empty() {
        return Err(EnvelopeError::Unknown);
    }
    Ok(Opened {
        kind,
        statement,
        signers,
    })
}

fn key_id(key: &VerifierKey) -> String {
    format!("{}+{}", key.name(), hex(&key.id()))
}

/// DSSE's pre-authentication encoding.
fn encoded(kind: &str, statement: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), statement.len());
    [head.as_bytes(), statement].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Random;

    #[test]
    fn what_was_signed_is_what_is_opened_and_nothing_else() {
        let keys = LogKeys::generate("log.example/1", &Random::system()).unwrap();
        let other = LogKeys::generate("log.example/1", &Random::system()).unwrap();
        let envelope = sign(IN_TOTO, b"{\"a\":1}", &keys).unwrap();
        let opened = open(&envelope, &keys.known()).unwrap();
        assert_eq!(
            (opened.statement.as_slice(), opened.signers.len()),
            (b"{\"a\":1}".as_slice(), 2)
        );
        assert!(matches!(
            open(&envelope, &other.known()),
            Err(EnvelopeError::Unknown)
        ));
        let text = String::from_utf8(envelope.clone()).unwrap();
        let altered = text.replace(&BASE64.encode(b"{\"a\":1}"), &BASE64.encode(b"{\"a\":2}"));
        assert!(matches!(
            open(altered.as_bytes(), &keys.known()),
            Err(EnvelopeError::Wrong(_))
        ));
        let retyped = text.replace("vnd.in-toto", "vnd.another");
        assert!(matches!(
            open(retyped.as_bytes(), &keys.known()),
            Err(EnvelopeError::Wrong(_))
        ));
        for malformed in ["", "{}", "[]", "{\"payloadType\":\"t\",\"payload\":\"*\"}"] {
            assert!(open(malformed.as_bytes(), &keys.known()).is_err(), "{malformed}");
        }
        // One good signature does not make up for a wrong one.
        let at = text.rfind("\"sig\":\"").unwrap() + 10;
        let mut half = envelope;
        half[at] = if half[at] == b'A' { b'B' } else { b'A' };
        assert!(matches!(open(&half, &keys.known()), Err(EnvelopeError::Wrong(_))));
    }

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        // The example of the protocol's own text.
        assert_eq!(
            encoded("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
