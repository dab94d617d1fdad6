//! How a client that people let in presents itself: by its secret, one way and not both, or by its name alone
//! (RFC 6749, section 2.3; RFC 6749, section 3.2.1).

use aws_lc_rs::hmac;

use super::{Form, OauthError, OauthFault, client};
use crate::secret::{Secret, SecretDigest};

/// What a client presents.
#[derive(Debug)]
pub struct Presented {
    /// Who it says it is.
    pub id: String,
    secret: Option<Secret>,
}

impl Presented {
    /// Reads it.
    ///
    /// # Errors
    /// When it is missing, or there are two.
    pub fn read(form: &Form, authorization: Option<&str>) -> Result<Self, OauthError> {
        let in_form = form.get("client_secret");
        let (id, secret) = match (authorization, in_form) {
            (Some(_), Some(_)) => {
                let why = "the client authenticates in two ways";
                return Err(OauthError::new(OauthFault::InvalidRequest, why));
            }
            (Some(header), None) => {
                let (id, secret) = client::basic(header).ok_or_else(client::failed)?;
                (id, Some(secret))
            }
            (None, secret) => {
                let id = form.get("client_id").ok_or_else(client::failed)?;
                (
                    id.to_owned(),
                    secret.map(|secret| Secret::presented(secret.to_owned())),
                )
            }
        };
        if form.get("client_id").is_some_and(|named| named != id) {
            return Err(client::failed());
        }
        Ok(Self { id, secret })
    }

    /// Whether it proves to be the client that has this secret, or none. A client without a secret that presents one
    /// is not taken for itself either: somebody is mistaken about it.
    ///
    /// # Errors
    /// `invalid_client`.
    pub fn prove(&self, known: Option<&SecretDigest>, key: &hmac::Key) -> Result<(), OauthError> {
        match (known, &self.secret) {
            (None, None) => Ok(()),
            (Some(known), Some(secret)) if known.is_of(secret, key) => Ok(()),
            (_, _) => Err(client::failed()),
        }
    }

    /// The answer to who is not known.
    #[must_use]
    pub fn unknown() -> OauthError {
        client::failed()
    }
}
