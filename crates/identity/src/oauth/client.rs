//! Clients, and how they authenticate at the token endpoint (RFC 6749 section 2.3).

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Form, OauthError, OauthFault};
use crate::{
    principal::ActorKind,
    secret::{Secret, SecretDigest},
};

/// A registered client: an agent or a service.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name and `client_id`.
    pub id: String,
    /// Agent or service.
    pub kind: ActorKind,
    /// How its secret is recognised; none if it has no secret.
    pub secret: Option<SecretDigest>,
    /// Scopes it may have.
    pub scopes: Vec<String>,
    /// Users it may act for.
    pub acts_for: Vec<String>,
    /// Its model, as attested at enrolment.
    pub model: Option<String>,
    /// Its tenant.
    pub tenant: Option<String>,
}

/// Finds clients that may authenticate now; suspended and revoked ones are not found.
pub trait ClientLookup {
    /// The client of that exact name.
    fn client(&self, id: &str) -> Option<Client>;
}

/// Authenticates a client with its secret, sent one way and not both.
pub(super) fn authenticate(
    clients: &impl ClientLookup,
    key: &hmac::Key,
    form: &Form,
    authorization: Option<&str>,
) -> Result<Client, OauthError> {
    let (id, secret) = match (authorization, form.get("client_secret")) {
        (Some(_), Some(_)) => {
            return Err(OauthError::new(
                OauthFault::InvalidRequest,
                "the client authenticates in two ways",
            ));
        }
        (Some(header), None) => basic(header).ok_or_else(failed)?,
        (None, Some(secret)) => {
            let id = form.get("client_id").ok_or_else(failed)?;
            (id.to_owned(), Secret::presented(secret.to_owned()))
        }
        (None, None) => return Err(failed()),
    };
    if form.get("client_id").is_some_and(|named| named != id) {
        return Err(failed());
    }
    let client = clients.client(&id);
    // An unknown client costs the same digest as a known one, so timing tells nobody who exists.
    let nobody = SecretDigest::from_bytes([0; 32]);
    let digest = client.as_ref().and_then(|client| client.secret).unwrap_or(nobody);
    let proven = digest.is_of(&secret, key);
    match client {
        Some(client) if proven && client.secret.is_some() => Ok(client),
        Some(_) | None => Err(failed()),
    }
}

pub(super) fn failed() -> OauthError {
    OauthError::new(
        OauthFault::InvalidClient,
        "the client is unknown or its secret is wrong",
    )
}

/// `Basic base64(urlencode(id):urlencode(secret))`
pub(super) fn basic(header: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((decode(id), Secret::presented(decode(secret))))
}

fn decode(part: &str) -> String {
    form_urlencoded::parse(part.as_bytes())
        .next()
        .map_or_else(String::new, |(name, _)| name.into_owned())
}
