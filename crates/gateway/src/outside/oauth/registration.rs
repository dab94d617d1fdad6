//! A client asks an authorization server for a name (RFC 7591).

use hyper::{
    Method,
    header::{CONTENT_TYPE, HeaderValue},
};
use identity::Secret;
use wire::json::{ObjectWriter, object};

use super::discovery::{Metadata, parsed, shown, text};
use crate::known::issuers::{Call, Guarded};

/// How a client may prove itself, the better first.
const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "none"];

/// The name that was given.
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) secret: Option<Secret>,
}

/// The best of the ways in which the authorization server lets clients prove themselves.
pub(crate) fn method(server: &Metadata) -> &'static str {
    match &server.methods {
        None => "client_secret_basic",
        Some(methods) => METHODS
            .into_iter()
            .find(|method| methods.iter().any(|taken| taken == method))
            .unwrap_or("none"),
    }
}

/// Asks for a name. `write` says what the client says of itself, and how it means to prove itself: with `method`.
pub(crate) async fn register(
    guarded: &Guarded,
    server: &Metadata,
    method: &str,
    write: impl FnOnce(&mut ObjectWriter<'_>),
) -> Result<Named, String> {
    let url = server.registration.as_deref().ok_or_else(|| {
        let issuer = &server.issuer;
        format!("`{issuer}` registers nobody by itself; it has to give you a client id")
    })?;
    let json = HeaderValue::from_static("application/json");
    let answer = guarded
        .send(Call {
            method: Method::POST,
            url,
            headers: vec![(CONTENT_TYPE, json)],
            body: object(write),
        })
        .await?;
    let document = parsed(answer.body);
    if !answer.status.is_success() {
        let error = document.ok().and_then(|document| text(document.root(), "error"));
        let error = shown(&error.unwrap_or_default());
        return Err(format!("{url}: it answered {} {error}", answer.status));
    }
    let document = document.map_err(|why| format!("{url}: {why}"))?;
    let said = |name| text(document.root(), name);
    let id = said("client_id").ok_or_else(|| format!("{url}: it gave no `client_id`"))?;
    let method = said("token_endpoint_auth_method").unwrap_or_else(|| method.to_owned());
    Ok(Named {
        id,
        secret: said("client_secret")
            .filter(|_| method != "none")
            .map(Secret::presented),
    })
}
