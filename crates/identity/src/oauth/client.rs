//! Clients, and how they authenticate at the token endpoint (RFC 6749 section 2.3).

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Form, OauthError, OauthFault,
    assertion::{self, Assertions},
};
use crate::{
    jose::KeySet,
    model::Model,
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
    /// Its public keys; none if it proves itself in another way.
    pub keys: Option<Arc<KeySet>>,
    /// Scopes it may have.
    pub scopes: Vec<String>,
    /// Users it may act for.
    pub acts_for: Vec<String>,
    /// And those whose names begin with one of these, once it brings their token.
    pub acts_for_those: Vec<String>,
    /// Its model.
    pub model: Option<Model>,
    /// Its tenant.
    pub tenant: Option<String>,
}

/// Whether a client may act for a user whose token it has or had: one that is named, or whose name begins so.
#[must_use]
pub fn may_act_for(named: &[String], those: &[String], user: &str) -> bool {
    named.iter().any(|may| may == user) || those.iter().any(|start| user.starts_with(start.as_str()))
}

/// Finds clients that may authenticate now; suspended and revoked ones are not found.
pub trait ClientLookup {
    /// The client of that exact name.
    fn client(&self, id: &str) -> Option<Client>;
}

/// Authenticates a client, in one way: with its secret, in the header or in the form, or with a signed assertion.
///
/// # Errors
/// `invalid_client`, or `invalid_request` where there are two ways.
pub fn authenticate(
    clients: &impl ClientLookup,
    key: &hmac::Key,
    assertions: Assertions<'_>,
    (form, authorization): (&Form, Option<&str>),
    now_ms: i64,
) -> Result<Client, OauthError> {
    let ways = (
        authorization,
        form.get("client_secret"),
        form.get("client_assertion"),
    );
    let client = match ways {
        (Some(header), None, None) => {
            let (id, secret) = basic(header).ok_or_else(failed)?;
            by_secret(clients, key, &id, &secret)?
        }
        (None, Some(secret), None) => {
            let id = form.get("client_id").ok_or_else(failed)?;
            by_secret(clients, key, id, &Secret::presented(secret.to_owned()))?
        }
        (None, None, Some(_)) => assertion::authenticate(clients, assertions, form, now_ms)?,
        (None, None, None) => return Err(failed()),
        (_, _, _) => {
            let why = "the client authenticates in two ways";
            return Err(OauthError::new(OauthFault::InvalidRequest, why));
        }
    };
    if form.get("client_id").is_some_and(|named| named != client.id) {
        return Err(failed());
    }
    Ok(client)
}

fn by_secret(
    clients: &impl ClientLookup,
    key: &hmac::Key,
    id: &str,
    secret: &Secret,
) -> Result<Client, OauthError> {
    let client = clients.client(id);
    // An unknown client costs the same digest as a known one, so timing tells nobody who exists.
    let nobody = SecretDigest::from_bytes([0; 32]);
    let digest = client.as_ref().and_then(|client| client.secret).unwrap_or(nobody);
    let proven = digest.is_of(secret, key);
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
