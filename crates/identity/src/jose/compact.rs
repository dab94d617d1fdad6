//! The compact serialisation: `header.payload.signature`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys, Kind, Node},
};

use super::{Algorithm, KeySet, PublicKey, SigningKey};

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
    /// More than [`TOKEN_BYTES_MAX`].
    #[error("a token longer than any that is read")]
    Long,
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
    key_id: Option<String>,
    payload: Vec<u8>,
}

impl<'t> Compact<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// When the token is malformed, is of another type than `typ` (with or without the `application/`
    /// prefix, RFC 7515 section 4.1.9), names no key, or has a header that is never accepted.
    pub fn parse(token: &'t str, typ: &str) -> Result<Self, JoseError> {
        let (compact, found) = Self::apart(token)?;
        if found.as_deref() != Some(typ) {
            return Err(JoseError::Type);
        }
        match compact.key_id {
            Some(_) => Ok(compact),
            None => Err(JoseError::UnknownKey),
        }
    }

    /// Takes an assertion apart (RFC 7523). Those who make them say less than issuers of access tokens: its type, if
    /// it says one, is `jwt` or one of these; the name of its key may be missing.
    ///
    /// # Errors
    /// As above.
    pub fn parse_assertion(token: &'t str, types: &[&str]) -> Result<Self, JoseError> {
        let (compact, found) = Self::apart(token)?;
        let fits = |found: &str| found == "jwt" || types.contains(&found);
        if found.as_deref().is_none_or(fits) {
            Ok(compact)
        } else {
            Err(JoseError::Type)
        }
    }

    /// The parts, and the type it says it is of.
    fn apart(token: &'t str) -> Result<(Self, Option<String>), JoseError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JoseError::Long);
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
        // What is there and is no text is not the same as what is missing.
        let text = |name: &str, error| {
            let node = root.get(name);
            node.map(|node| node.as_str().ok_or(error)).transpose()
        };
        let typ = text("typ", JoseError::Type)?.map(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/")
                .map_or_else(|| typ.clone(), str::to_owned)
        });
        let algorithm = text("alg", JoseError::Algorithm)?
            .and_then(|alg| Algorithm::parse(&alg))
            .ok_or(JoseError::Algorithm)?;
        let compact = Self {
            signed,
            signature: decode(signature)?,
            algorithm,
            key_id: text("kid", JoseError::UnknownKey)?.map(std::borrow::Cow::into_owned),
            payload: decode(payload)?,
        };
        Ok((compact, typ))
    }

    /// What it says it is signed with; true once the signature was checked.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks the signature and gives the claims. A token that names no key is checked with the only one of its
    /// algorithm, if there is only one.
    ///
    /// # Errors
    /// When the key is unknown, of another algorithm, or did not sign this.
    pub fn verify(self, keys: &KeySet) -> Result<Document, JoseError> {
        let key = match &self.key_id {
            Some(id) => keys.named(id),
            None => keys.only(self.algorithm),
        };
        let key = key.ok_or(JoseError::UnknownKey)?;
        if key.algorithm() != self.algorithm {
            return Err(JoseError::Algorithm);
        }
        key.verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| JoseError::Signature)?;
        object(self.payload)
    }
}

/// Checks a token that brings its key along; gives that key and the claims. It proves nothing
/// but that whoever made it has the key.
///
/// # Errors
/// When it is malformed, of another type, has a header that is never accepted, or does not hold by its own key.
pub fn self_signed(token: &str, typ: &str) -> Result<(PublicKey, Document), JoseError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JoseError::Long);
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
    let algorithm = root.get("alg").and_then(Node::as_str);
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
    Ok((key, object(decode(payload)?)?))
}

/// Who a token says issued it. Nothing but a claim: it tells with whose keys to check the token.
#[must_use]
pub fn claimed_issuer(token: &str) -> Option<String> {
    claimed(token, 1, "iss")
}

/// Whom a token says it is about. A claim, too.
#[must_use]
pub fn claimed_subject(token: &str) -> Option<String> {
    claimed(token, 1, "sub")
}

/// The key a token says it was signed with. A claim, too.
#[must_use]
pub fn claimed_key(token: &str) -> Option<String> {
    claimed(token, 0, "kid")
}

/// The `sub` of a claim that names an actor (`act`, `may_act`: RFC 8693); what is there and names nobody is nobody, the
/// empty text.
pub(crate) fn claimed_actor(token: &str, name: &str) -> Option<String> {
    let payload = part(token, 1)?;
    let actor = payload.root().get(name)?;
    let subject = actor.get("sub").and_then(Node::as_str);
    Some(subject.map(std::borrow::Cow::into_owned).unwrap_or_default())
}

fn claimed(token: &str, at: usize, name: &str) -> Option<String> {
    Some(part(token, at)?.root().get(name)?.as_str()?.into_owned())
}

fn part(token: &str, at: usize) -> Option<Document> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(at)?).ok()?;
    object(part).ok()
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
