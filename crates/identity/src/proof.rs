//! Proof of possession (RFC 9449): whoever uses a token shows, for this very request, that it has the key the token
//! was issued to. A token that is stolen is then of no use.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;
use wire::json::Node;

use crate::{
    jose::{JoseError, self_signed},
    nonce::Nonces,
    once::{NotOnce, Once, Single},
    secret::{Secret, sha256},
    token::{SKEW_MS, claims::seconds},
};

/// How old a proof may be, in milliseconds.
const AGE_MS_MAX: i64 = 60 * 1000;
/// The longest name of a proof, in bytes.
const ID_BYTES_MAX: usize = 256;

/// What a token is bound to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Binding {
    /// The digest (`x5t#S256`, RFC 8705) of a certificate that has to be shown.
    Certificate(Arc<str>),
    /// The thumbprint (`jkt`, RFC 9449) of a key that has to sign each request.
    Key(Arc<str>),
}

/// The request a proof is for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// Its method.
    pub method: &'r str,
    /// Its URL, without a query.
    pub url: &'r str,
    /// The token it uses; none where it asks for one.
    pub token: Option<&'r Secret>,
    /// Whose nonce the proof has to have; none where it needs none.
    pub nonces: Option<&'r Nonces>,
}

/// A proof that holds, and was not used before as far as this knows.
#[derive(Debug)]
pub struct Proven {
    key: Arc<str>,
    single: Single,
}

/// Why a proof shows nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ProofError {
    /// A claim is missing or of the wrong type.
    #[error("the claim `{0}` of the proof is missing or malformed")]
    Claim(&'static str),
    /// There are too many at once to tell which were used.
    #[error("too many proofs at once")]
    Crowded,
    /// Not signed as it must be.
    #[error("the proof: {0}")]
    Jose(#[from] JoseError),
    /// For another method.
    #[error("the proof is for another method")]
    Method,
    /// Without a nonce that is wanted, or with an old one.
    #[error("the proof has none of this server's nonces of now")]
    Nonce,
    /// Used before.
    #[error("the proof was used before")]
    Replayed,
    /// Too old, or of the future.
    #[error("the proof is not of this time")]
    Time,
    /// For another token.
    #[error("the proof is for another token")]
    Token,
    /// For another URL.
    #[error("the proof is for another URL")]
    Url,
}

impl Proven {
    /// The thumbprint of the key that signed.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }
}

/// Checks a proof for a request.
///
/// # Errors
/// When anything about it is not exactly as it must be.
pub fn check(proof: &str, request: Request<'_>, now_ms: i64) -> Result<Proven, ProofError> {
    let (key, claims) = self_signed(proof, "dpop+jwt")?;
    let key = key.thumbprint();
    let claims = claims.root();
    let text = |name: &'static str| {
        let text = claims.get(name).and_then(Node::as_str);
        text.ok_or(ProofError::Claim(name))
    };
    if text("htm")? != request.method {
        return Err(ProofError::Method);
    }
    if !is_same_url(&text("htu")?, request.url) {
        return Err(ProofError::Url);
    }
    let issued_ms = seconds(claims, "iat")
        .ok()
        .flatten()
        .ok_or(ProofError::Claim("iat"))?;
    if now_ms > issued_ms.saturating_add(AGE_MS_MAX) || now_ms < issued_ms.saturating_sub(SKEW_MS) {
        return Err(ProofError::Time);
    }
    if let Some(nonces) = request.nonces {
        let given = claims.get("nonce").and_then(Node::as_str).unwrap_or_default();
        nonces.check(&given, now_ms).map_err(|_| ProofError::Nonce)?;
    }
    let id = text("jti")?;
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return Err(ProofError::Claim("jti"));
    }
    if let Some(token) = request.token {
        let digest = URL_SAFE_NO_PAD.encode(sha256(token.expose().as_bytes()));
        if text("ath")? != digest {
            return Err(ProofError::Token);
        }
    }
    Ok(Proven {
        single: Single {
            id: sha256(format!("{key} {id}").as_bytes()),
            from_ms: issued_ms,
            until_ms: issued_ms.saturating_add(AGE_MS_MAX),
        },
        key: Arc::from(key),
    })
}

/// Same scheme, host, port and path; a query and a fragment do not count (RFC 9449 section 4.3).
fn is_same_url(theirs: &str, ours: &str) -> bool {
    let parts = |url: &str| {
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let scheme = scheme.to_ascii_lowercase();
        let usual = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.to_ascii_lowercase();
        let authority = authority.strip_suffix(usual).unwrap_or(&authority).to_owned();
        Some((scheme, authority, path.to_owned()))
    };
    parts(theirs).is_some_and(|theirs| Some(theirs) == parts(ours))
}

/// Proofs that were used, as far back as this remembers.
#[derive(Debug)]
pub struct Proofs(Once);

impl Proofs {
    /// None was used yet. What was made before now may have been used where nobody remembers, so it is refused.
    #[must_use]
    pub fn since(now_ms: i64) -> Self {
        Self(Once::since(now_ms))
    }

    /// Uses a proof: once, and while it is good.
    ///
    /// # Errors
    /// When it was used before, is over, or nobody could tell.
    pub fn take(&self, proven: &Proven, now_ms: i64) -> Result<(), ProofError> {
        self.0.take(proven.single, now_ms).map_err(|why| match why {
            NotOnce::Crowded => ProofError::Crowded,
            NotOnce::Over => ProofError::Time,
            NotOnce::Replayed => ProofError::Replayed,
        })
    }
}

#[cfg(test)]
mod tests;
