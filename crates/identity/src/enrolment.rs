//! How a program asks to become an agent, and how an agent changes its key: both by what they sign. Nothing here lets
//! anybody in; a person does.

mod asking;

pub use asking::Asking;

use wire::json::Node;

use crate::{
    jose::{Compact, PublicKey, self_signed},
    model::{Model, ModelSource},
    oauth::{Client, assertion_use},
    once::{NotOnce, Once, Single},
    token::{
        TokenError,
        claims::{is_only_for, optional, text},
    },
};

/// The `typ` of a request to be let in, and of one to have another key.
const ENROL: &str = "sallyport-enroll+jwt";
const ROTATE: &str = "sallyport-rotate+jwt";

/// What somebody wants who has this key.
#[derive(Debug)]
pub struct Wish {
    /// The name it would like to have.
    pub name: String,
    /// Its model, by its own word.
    pub model: Option<Model>,
    /// Its key, called by its thumbprint.
    pub key: PublicKey,
    single: Single,
}

impl Wish {
    /// Reads a request: a JWS by the very key that is in its header.
    ///
    /// # Errors
    /// When anything about it is not exactly as it must be.
    pub fn read(request: &str, audiences: &[String], now_ms: i64) -> Result<Self, TokenError> {
        let (key, claims) = self_signed(request, ENROL)?;
        let claims = claims.root();
        if !is_only_for(claims, audiences) {
            return Err(TokenError::Audience);
        }
        let name = text(claims, "name")?;
        let model = match (optional(claims, "model")?, optional(claims, "version")?) {
            (None, None) => None,
            (None, Some(_)) => return Err(TokenError::Claim("version")),
            (Some(name), version) => {
                let model = Model::new(name, version, ModelSource::Declared);
                Some(model.ok_or(TokenError::Claim("model"))?)
            }
        };
        Ok(Self {
            name,
            model,
            single: assertion_use(claims, key.thumbprint(), now_ms)?,
            key: key.called_by_thumbprint(),
        })
    }

    /// Uses it, once.
    ///
    /// # Errors
    /// When it was used before, is over, or nobody could tell.
    pub fn take(&self, used: &Once, now_ms: i64) -> Result<(), NotOnce> {
        used.take(self.single, now_ms)
    }
}

/// An agent's other key.
#[derive(Debug)]
pub struct Rotation {
    /// The key it is to have, which signed for that, too.
    pub key: PublicKey,
    single: Single,
}

impl Rotation {
    /// Reads an agent's request: a JWS by a key it has, around one by the key it is to have.
    ///
    /// # Errors
    /// When anything about either is not exactly as it must be.
    pub fn read(
        request: &str,
        client: &Client,
        audiences: &[String],
        now_ms: i64,
    ) -> Result<Self, TokenError> {
        let keys = client.keys.as_ref().ok_or(TokenError::Client)?;
        let claims = Compact::parse(request, ROTATE)?.verify(keys)?;
        let claims = claims.root();
        if text(claims, "sub")? != client.id {
            return Err(TokenError::Client);
        }
        if !is_only_for(claims, audiences) {
            return Err(TokenError::Audience);
        }
        // Whoever names another's key as its own has to have it.
        let next = claims.get("next").and_then(Node::as_str);
        let next = next.ok_or(TokenError::Claim("next"))?;
        let next = Wish::read(&next, audiences, now_ms)?;
        if next.name != client.id {
            return Err(TokenError::Client);
        }
        Ok(Self {
            key: next.key,
            single: assertion_use(claims, &client.id, now_ms)?,
        })
    }

    /// Uses it, once.
    ///
    /// # Errors
    /// When it was used before, is over, or nobody could tell.
    pub fn take(&self, used: &Once, now_ms: i64) -> Result<(), NotOnce> {
        used.take(self.single, now_ms)
    }
}

#[cfg(test)]
mod tests;
