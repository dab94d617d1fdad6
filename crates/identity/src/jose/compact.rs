//! The compact serialisation: `header.payload.signature`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys, Kind},
};

use super::{Algorithm, KeySet, PublicKey, SigningKey, thumbprint};

/// The longest token read, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Header members that would have a verifier fetch keys, trust keys sent along, or read the rest another way.
const FORBIDDEN: [&str; 9] = [
    "b64", "crit", "jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u", "zip",
];

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum JoseError {
    /// An algorithm that is not on our list, or not the key's.
    #[error("the algorithm is not accepted")]
    Algorithm,
    /// A header member that is never accepted.
    #[error("the header has a member that is not accepted")]
    Header,
    /// Not three parts of canonical base64url holding strict JSON objects.
    #[error("not a compact signed token")]
    Malformed,
    /// Signed with another key, or changed since.
    #[error("the signature does not hold")]
    Signature,
    /// No `typ`, or another one than expected.
    #[error("a token of another kind")]
    Type,
    /// A key we do not have.
    #[error("an unknown key")]
    UnknownKey,
}

/// A token taken apart. Its signature is still a claim.
#[derive(Debug)]
pub struct Compact<'t> {
    signed: &'t str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: String,
    payload: Vec<u8>,
}

impl<'t> Compact<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// When the token is malformed, is of another type than `typ` (with or without the `application/`
    /// prefix, RFC 7515 section 4.1.9), or has a header that is never accepted.
    pub fn parse(token: &'t str, typ: &str) -> Result<Self, JoseError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JoseError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JoseError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JoseError::Malformed)?;
        if payload.contains('.') {
            return Err(JoseError::Malformed);
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Malformed);
        let header = object(decode(header)?)?;
        let root = header.root();
        if FORBIDDEN.iter().any(|name| root.get(name).is_some()) {
            return Err(JoseError::Header);
        }
        let text = |name: &str| root.get(name).and_then(wire::json::Node::as_str);
        let found = text("typ").ok_or(JoseError::Type)?.to_ascii_lowercase();
        if found.strip_prefix("application/").unwrap_or(&found) != typ {
            return Err(JoseError::Type);
        }
        let algorithm = text("alg")
            .and_then(|alg| Algorithm::parse(&alg))
            .ok_or(JoseError::Algorithm)?;
        let key_id = text("kid").ok_or(JoseError::UnknownKey)?.into_owned();
        Ok(Self {
            signed,
            signature: decode(signature)?,
            algorithm,
            key_id,
            payload: decode(payload)?,
        })
    }

    /// The key the token says it was signed with.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Checks the signature and gives the claims.
    ///
    /// # Errors
    /// When the key is unknown, of another algorithm, or did not sign this.
    pub fn verify(self, keys: &KeySet) -> Result<Document, JoseError> {
        let key = keys.find(&self.key_id).ok_or(JoseError::UnknownKey)?;
        if key.algorithm() != self.algorithm {
            return Err(JoseError::Algorithm);
        }
        key.verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| JoseError::Signature)?;
        object(self.payload)
    }
}

/// Checks a token that brings its key along; gives that key's thumbprint (RFC 7638) and the claims. It proves nothing
/// but that whoever made it has the key.
///
/// # Errors
/// When it is malformed, of another type, has a header that is never accepted, or does not hold by its own key.
pub fn self_signed(token: &str, typ: &str) -> Result<(String, Document), JoseError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JoseError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JoseError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(JoseError::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Malformed);
    let header = object(decode(header)?)?;
    let root = header.root();
    let mut forbidden = FORBIDDEN.iter().filter(|name| **name != "jwk");
    if forbidden.any(|name| root.get(name).is_some()) {
        return Err(JoseError::Header);
    }
    if !root.get("typ").is_some_and(|found| found.is_str(typ)) {
        return Err(JoseError::Type);
    }
    let algorithm = root.get("alg").and_then(wire::json::Node::as_str);
    let algorithm = algorithm
        .and_then(|alg| Algorithm::parse(&alg))
        .ok_or(JoseError::Algorithm)?;
    let jwk = root.get("jwk").ok_or(JoseError::Header)?;
    // A key that is sent along is used for this alone, so where it names no algorithm the header may.
    let key = PublicKey::read_for(jwk, algorithm).ok_or(JoseError::Header)?;
    if key.algorithm() != algorithm {
        return Err(JoseError::Algorithm);
    }
    key.verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| JoseError::Signature)?;
    let thumbprint = thumbprint(jwk).ok_or(JoseError::Header)?;
    Ok((thumbprint, object(decode(payload)?)?))
}

/// Who a token says issued it. Nothing but a claim: it tells with whose keys to check the token.
#[must_use]
pub fn claimed_issuer(token: &str) -> Option<String> {
    claimed(token, 1, "iss")
}

/// The key a token says it was signed with. A claim, too.
#[must_use]
pub fn claimed_key(token: &str) -> Option<String> {
    claimed(token, 0, "kid")
}

fn claimed(token: &str, part: usize, name: &str) -> Option<String> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(part)?).ok()?;
    let part = object(part).ok()?;
    Some(part.root().get(name)?.as_str()?.into_owned())
}

/// Signs claims.
pub(crate) fn sign(key: &SigningKey, typ: &str, claims: &[u8]) -> String {
    let header = wire::json::object(|out| {
        out.string("alg", Algorithm::EdDsa.as_str());
        out.string("kid", key.id());
        out.string("typ", typ);
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn object(bytes: Vec<u8>) -> Result<Document, JoseError> {
    let document = Document::parse(bytes, Keys::Folded, &CREDENTIAL).map_err(|_| JoseError::Malformed)?;
    if document.root().kind() == Kind::Object {
        Ok(document)
    } else {
        Err(JoseError::Malformed)
    }
}
