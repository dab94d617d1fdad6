//! Signed assertions in place of secrets (RFC 7521, RFC 7523): a client proves who it is with a key that only it has.

use crate::{
    jose::{Compact, claimed_subject},
    oauth::{Client, ClientLookup, Form, OauthError, OauthFault},
    once::{Once, Single},
    secret::sha256,
    token::{
        SKEW_MS, TokenError,
        claims::{is_only_for, text, times},
    },
};
use wire::json::Node;

/// How long an assertion may live, in milliseconds. It is remembered for as long.
pub(crate) const LIFETIME_MS_MAX: i64 = 10 * 60 * 1000;
/// The `client_assertion_type` of RFC 7523.
pub(super) const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What an assertion of a client may say it is: drafts of RFC 7523's successor give it a type of its own.
const TYPES: [&str; 1] = ["client-authentication+jwt"];

/// Where assertions are taken.
#[derive(Clone, Copy, Debug)]
pub struct Assertions<'e> {
    /// What they must be for: the issuer's identifier, or the URL of the token endpoint.
    pub audiences: &'e [String],
    /// Those that were used.
    pub used: &'e Once,
}

/// The client that an assertion proves (RFC 7523 section 3).
pub(super) fn authenticate(
    clients: &impl ClientLookup,
    taken: Assertions<'_>,
    form: &Form,
    now_ms: i64,
) -> Result<Client, OauthError> {
    let refuse = |why: String| OauthError::new(OauthFault::InvalidClient, why);
    if form.get("client_assertion_type") != Some(CLIENT_ASSERTION) {
        return Err(refuse(format!("`client_assertion_type` is `{CLIENT_ASSERTION}`")));
    }
    let assertion = form.get("client_assertion").unwrap_or_default();
    // Whose keys to check with. Nothing but a claim until they did.
    let named = claimed_subject(assertion).unwrap_or_default();
    let unknown = || refuse("the client is unknown, or has no key here".to_owned());
    let client = clients.client(&named).ok_or_else(unknown)?;
    let keys = client.keys.as_ref().ok_or_else(unknown)?;
    let single = Compact::parse_assertion(assertion, &TYPES)
        .and_then(|compact| compact.verify(keys))
        .map_err(TokenError::from)
        .and_then(|claims| judge(claims.root(), &client.id, taken.audiences, now_ms))
        .map_err(|error| refuse(format!("the assertion: {error}")))?;
    let used = taken.used.take(single, now_ms);
    used.map_err(|why| refuse(format!("the assertion: {why}")))?;
    Ok(client)
}

fn judge(claims: Node<'_>, client: &str, audiences: &[String], now_ms: i64) -> Result<Single, TokenError> {
    if text(claims, "iss")? != client || text(claims, "sub")? != client {
        return Err(TokenError::Issuer);
    }
    if !is_only_for(claims, audiences) {
        return Err(TokenError::Audience);
    }
    single(claims, client, now_ms)
}

/// The one use of an assertion by this maker: it says when it was made, and has a name.
pub(crate) fn single(claims: Node<'_>, maker: &str, now_ms: i64) -> Result<Single, TokenError> {
    let (from_ms, until_ms) = times(claims, now_ms, LIFETIME_MS_MAX)?;
    let id = text(claims, "jti")?;
    Ok(Single {
        id: sha256(format!("{} {maker} {id}", maker.len()).as_bytes()),
        from_ms,
        until_ms: until_ms.saturating_add(SKEW_MS),
    })
}
