//! HTTP message signatures (RFC 9421): an agent signs each request with its own key, body and all, and needs no
//! token for that. Whoever has copied a request can neither change it nor send it again.
//!
//! One signature, over what makes the request: method, URL, body, token. Nothing here knows an HTTP library: the
//! listener says what the request was.

mod fields;

use std::sync::Arc;

use aws_lc_rs::digest;
use thiserror::Error;

use self::fields::{Bare, Member, Params};
use crate::{
    jose::{Algorithm, PublicKey},
    model::Model,
    oauth::Client,
    once::{NotOnce, Once, Single},
    principal::{Actor, CredentialId, Principal},
    proof::Binding,
    secret::sha256,
    token::{LIFETIME_MS_MAX, SCOPE, SKEW_MS},
};

/// How old a signature may be, in milliseconds.
const AGE_MS_MAX: i64 = 60 * 1000;
/// The longest nonce, in bytes.
const NONCE_BYTES_MAX: usize = 256;
/// What `tag` says where a signer says it: a signature that was made for another application is none for us.
const TAG: &str = "sallyport";
/// The header with what an agent declares of its model; whoever sends it signs it.
pub const MODEL_FIELD: &str = "sallyport-model";

/// A request as it arrived, and the name the gateway is called by.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its method.
    pub method: String,
    /// Scheme and authority of the gateway: `https://gateway.example`.
    pub base: String,
    /// The path, as it was sent.
    pub path: String,
    /// The query without its question mark, as it was sent.
    pub query: Option<String>,
    /// The header's fields in their order, names in lower case; none for a value that is no text.
    pub fields: Vec<(String, Option<String>)>,
    /// What its body was.
    pub body: BodyDigests,
}

/// What is known of a body, to be compared with what was signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyDigests {
    is_empty: bool,
    sha256: [u8; 32],
    sha512: [u8; 64],
}

/// Why a signature shows nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SignatureError {
    /// Of an algorithm that is not the key's, or that is not taken.
    #[error("the signature's algorithm is not that of the key, or not taken here")]
    Algorithm,
    /// Something covered that the request does not have, or that is not understood.
    #[error("the signature covers something that the request does not have, or that is not understood here")]
    Component,
    /// There are too many at once to tell which were used.
    #[error("too many signatures at once")]
    Crowded,
    /// The body is not the one that was signed.
    #[error("the body is not that of `content-digest`")]
    Digest,
    /// Its own `expires` is over, or makes no sense.
    #[error("the signature has expired")]
    Expired,
    /// A field is malformed.
    #[error("the field `{0}` is missing or malformed")]
    Field(&'static str),
    /// Something that matters is not covered.
    #[error("the signature does not cover `{0}`")]
    Missing(&'static str),
    /// A parameter is missing or malformed.
    #[error("the signature's `{0}` is missing or malformed")]
    Parameter(&'static str),
    /// Used before.
    #[error("the signature was used before")]
    Replayed,
    /// There are several, or the two fields do not belong together.
    #[error("there is not exactly one signature")]
    Several,
    /// Not signed with that key, or changed since.
    #[error("the signature does not hold")]
    Signature,
    /// Made for another application.
    #[error("the signature was made for another application")]
    Tag,
    /// Too old, or of the future.
    #[error("the signature is not of this time")]
    Time,
}

impl BodyDigests {
    /// Of a body; that of a request without one is empty.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let mut sha512 = [0; 64];
        sha512.copy_from_slice(digest::digest(&digest::SHA512, body).as_ref());
        Self {
            is_empty: body.is_empty(),
            sha256: sha256(body),
            sha512,
        }
    }

    /// RFC 9530: every digest of an algorithm that is known fits, and there is one.
    fn fit(&self, field: &str) -> Result<(), SignatureError> {
        let malformed = SignatureError::Field("content-digest");
        let mut fitting = 0;
        for (algorithm, member) in fields::dictionary(field).ok_or(malformed)? {
            let Member::Item(Bare::Bytes(said), _) = member else {
                return Err(malformed);
            };
            let found: &[u8] = match algorithm.as_str() {
                "sha-256" => &self.sha256,
                "sha-512" => &self.sha512,
                _ => continue,
            };
            if said != found {
                return Err(SignatureError::Digest);
            }
            fitting += 1;
        }
        if fitting == 0 {
            return Err(SignatureError::Digest);
        }
        Ok(())
    }
}

impl Message {
    /// A field, its lines joined (RFC 9421 section 2.1).
    fn field(&self, name: &str) -> Option<String> {
        let lines = self.fields.iter().filter(|(known, _)| known == name);
        let lines: Option<Vec<&str>> = lines.map(|(_, value)| value.as_deref().map(str::trim)).collect();
        let lines = lines.filter(|lines| !lines.is_empty())?;
        Some(lines.join(", "))
    }

    /// What the sender declares of its model, if it does.
    #[must_use]
    pub fn model_declaration(&self) -> Option<String> {
        self.has(MODEL_FIELD)
            .then(|| self.field(MODEL_FIELD).unwrap_or_default())
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }

    /// What a component is in this request (RFC 9421 sections 2.1 and 2.2).
    fn component(&self, name: &str) -> Option<String> {
        let query = self.query.as_deref();
        let scheme = self
            .base
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        let value = match name {
            "@authority" => authority(&self.base)?,
            "@method" => self.method.clone(),
            "@path" => self.path.clone(),
            "@query" => format!("?{}", query.unwrap_or_default()),
            "@request-target" => format!("{}{}", self.path, with_mark(query)),
            "@scheme" => scheme?,
            "@target-uri" => {
                let authority = authority(&self.base)?;
                format!("{}://{authority}{}{}", scheme?, self.path, with_mark(query))
            }
            name if name.starts_with('@') => return None,
            name => return self.field(name).filter(|value| value.is_ascii()),
        };
        value.is_ascii().then_some(value)
    }
}

fn with_mark(query: Option<&str>) -> String {
    query.map_or_else(String::new, |query| format!("?{query}"))
}

/// Host and port in lower case, without the port everybody knows.
fn authority(base: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    let authority = rest.split('/').next()?.to_ascii_lowercase();
    let usual = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else {
        ":80"
    };
    Some(authority.strip_suffix(usual).unwrap_or(&authority).to_owned())
}

/// The one signature of a request, taken apart. It is still a claim.
#[derive(Debug)]
pub struct Signature {
    covered: Vec<(Bare, Params)>,
    params: Params,
    bytes: Vec<u8>,
    key_id: String,
}

/// A signature that holds, and was not used before as far as this knows.
#[derive(Debug)]
pub struct Signed {
    key: Arc<str>,
    created_ms: i64,
    single: Single,
}

impl Signature {
    /// Takes a request's signature apart.
    ///
    /// # Errors
    /// When there is not exactly one, or it is malformed.
    pub fn of(message: &Message) -> Result<Self, SignatureError> {
        let members = |name: &'static str| {
            let field = message.field(name).ok_or(SignatureError::Field(name))?;
            fields::dictionary(&field).ok_or(SignatureError::Field(name))
        };
        let mut inputs = members("signature-input")?;
        let mut signatures = members("signature")?;
        let (Some(input), Some(signature)) = (inputs.pop(), signatures.pop()) else {
            return Err(SignatureError::Several);
        };
        if !inputs.is_empty() || !signatures.is_empty() || input.0 != signature.0 {
            return Err(SignatureError::Several);
        }
        let Member::List(covered, params) = input.1 else {
            return Err(SignatureError::Field("signature-input"));
        };
        let Member::Item(Bare::Bytes(bytes), _) = signature.1 else {
            return Err(SignatureError::Field("signature"));
        };
        let Some(Bare::Text(key_id)) = params.get("keyid").cloned() else {
            return Err(SignatureError::Parameter("keyid"));
        };
        Ok(Self {
            covered,
            params,
            bytes,
            key_id,
        })
    }

    /// The key it names. A claim, too.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Checks it for its request: everything that matters is covered, it is of now, the body is the one that was
    /// signed, and the key signed it.
    ///
    /// # Errors
    /// When anything about it is not exactly as it must be.
    pub fn verify(&self, message: &Message, key: &PublicKey, now_ms: i64) -> Result<Signed, SignatureError> {
        self.covers(message)?;
        if let Some(field) = message.field("content-digest") {
            message.body.fit(&field)?;
        }
        let algorithm = match key.algorithm() {
            Algorithm::EdDsa => "ed25519",
            Algorithm::Es256 => "ecdsa-p256-sha256",
            Algorithm::Es384 => "ecdsa-p384-sha384",
            Algorithm::Ps256 | Algorithm::Rs256 => return Err(SignatureError::Algorithm),
        };
        match self.params.get("alg") {
            Some(Bare::Text(named)) if named != algorithm => return Err(SignatureError::Algorithm),
            None | Some(Bare::Text(_)) => {}
            Some(_) => return Err(SignatureError::Parameter("alg")),
        }
        match self.params.get("tag") {
            Some(Bare::Text(tag)) if tag != TAG => return Err(SignatureError::Tag),
            None | Some(Bare::Text(_)) => {}
            Some(_) => return Err(SignatureError::Parameter("tag")),
        }
        let (created_ms, until_ms) = self.times(now_ms)?;
        let nonce = match self.params.get("nonce") {
            Some(Bare::Text(nonce)) if !nonce.is_empty() && nonce.len() <= NONCE_BYTES_MAX => nonce,
            Some(_) | None => return Err(SignatureError::Parameter("nonce")),
        };
        key.verify(self.base(message)?.as_bytes(), &self.bytes)
            .map_err(|_| SignatureError::Signature)?;
        let key = key.thumbprint();
        Ok(Signed {
            single: Single {
                id: sha256(format!("{key} {nonce}").as_bytes()),
                from_ms: created_ms,
                until_ms,
            },
            key: Arc::from(key),
            created_ms,
        })
    }

    /// When it was made, and until when it is good.
    fn times(&self, now_ms: i64) -> Result<(i64, i64), SignatureError> {
        let Some(Bare::Integer(created)) = self.params.get("created") else {
            return Err(SignatureError::Parameter("created"));
        };
        let created_ms = created.saturating_mul(1000);
        let mut until_ms = created_ms.saturating_add(AGE_MS_MAX);
        if now_ms > until_ms || now_ms < created_ms.saturating_sub(SKEW_MS) {
            return Err(SignatureError::Time);
        }
        match self.params.get("expires") {
            None => {}
            Some(Bare::Integer(expires)) => {
                let expires_ms = expires.saturating_mul(1000);
                if expires_ms < created_ms || expires_ms < now_ms {
                    return Err(SignatureError::Expired);
                }
                until_ms = until_ms.min(expires_ms);
            }
            Some(_) => return Err(SignatureError::Parameter("expires")),
        }
        Ok((created_ms, until_ms))
    }

    /// Everything is covered that makes the request what it is.
    fn covers(&self, message: &Message) -> Result<(), SignatureError> {
        let covers = |name: &str| {
            let is_it = |item: &Bare| matches!(item, Bare::Text(text) if text == name);
            self.covered.iter().any(|(item, _)| is_it(item))
        };
        if !covers("@method") {
            return Err(SignatureError::Missing("@method"));
        }
        let parts = ["@authority", "@path", "@query"];
        if !covers("@target-uri") && !parts.iter().all(|part| covers(part)) {
            return Err(SignatureError::Missing("@target-uri"));
        }
        if !message.body.is_empty && !covers("content-digest") {
            return Err(SignatureError::Missing("content-digest"));
        }
        for name in ["authorization", MODEL_FIELD] {
            if message.has(name) && !covers(name) {
                return Err(SignatureError::Missing(name));
            }
        }
        Ok(())
    }

    /// What was signed (RFC 9421 section 2.5).
    fn base(&self, message: &Message) -> Result<String, SignatureError> {
        let mut base = String::new();
        let mut seen: Vec<&str> = Vec::new();
        for (item, params) in &self.covered {
            let Bare::Text(name) = item else {
                return Err(SignatureError::Field("signature-input"));
            };
            // Parameters would have it cover less than it seems to.
            if !params.0.is_empty() || seen.contains(&name.as_str()) {
                return Err(SignatureError::Component);
            }
            seen.push(name);
            let value = message.component(name).ok_or(SignatureError::Component)?;
            base.push_str(&format!("{}: {value}\n", fields::write_item(item, params)));
        }
        let params = fields::write_list(&self.covered, &self.params);
        base.push_str(&format!("\"@signature-params\": {params}"));
        Ok(base)
    }
}

impl Signed {
    /// The thumbprint of the key that signed.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// The client whose key it is, without a token: for itself, and for no user.
    #[must_use]
    pub fn principal(&self, client: &Client) -> Principal {
        let scopes = client.scopes.iter().cloned();
        Principal::vouch(Principal {
            actor: Actor {
                kind: client.kind,
                name: client.id.clone(),
            },
            for_user: None,
            tenant: client.tenant.clone(),
            model: client.model.clone(),
            scopes: scopes.chain([SCOPE.to_owned()]).collect(),
            context: None,
            declared: None,
            // The same for every request: it is the key that stands for the caller.
            credential: CredentialId::of(self.key.as_bytes()),
            token_id: None,
            issued_ms: self.created_ms,
            expires_ms: self.created_ms.saturating_add(LIFETIME_MS_MAX),
            binding: Some(Binding::Key(Arc::clone(&self.key))),
            asserted: None,
            login: None,
        })
    }

    /// Whom a token proves, who has signed the request as well.
    #[must_use]
    pub fn with_token(&self, principal: &Principal, model: Option<Model>) -> Principal {
        Principal::vouch(Principal {
            model,
            binding: Some(Binding::Key(Arc::clone(&self.key))),
            ..principal.clone()
        })
    }
}

/// Signatures that were used, as far back as this remembers.
#[derive(Debug)]
pub struct Signatures(Once);

impl Signatures {
    /// None was used yet. What was made before now may have been used where nobody remembers, so it is refused.
    #[must_use]
    pub fn since(now_ms: i64) -> Self {
        Self(Once::since(now_ms))
    }

    /// Uses a signature: once, and while it is good.
    ///
    /// # Errors
    /// When it was used before, is over, or nobody could tell.
    pub fn take(&self, signed: &Signed, now_ms: i64) -> Result<(), SignatureError> {
        self.0.take(signed.single, now_ms).map_err(|why| match why {
            NotOnce::Crowded => SignatureError::Crowded,
            NotOnce::Over => SignatureError::Time,
            NotOnce::Replayed => SignatureError::Replayed,
        })
    }
}

#[cfg(test)]
mod tests;
