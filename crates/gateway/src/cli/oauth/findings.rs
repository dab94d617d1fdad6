//! What each step on the way to a token shows, and the line that mends it.

use hyper::{StatusCode, header::WWW_AUTHENTICATE};

use super::{State, Walk};
use crate::{
    known::issuers::{Fetched, Guarded},
    outside::oauth::{
        Challenge,
        discovery::{Found, Metadata, S256, shown as visible},
        registration,
        tokens::{Given, NoToken, TokenEndpoint},
    },
};

/// Whether the server wants a token.
pub(super) fn challenged(walk: &mut Walk, answer: &Fetched, challenge: &Challenge) -> bool {
    let has_challenge = answer.headers.contains_key(WWW_AUTHENTICATE);
    match answer.status {
        StatusCode::UNAUTHORIZED if challenge.metadata.is_some() => {
            walk.note(
                "challenge",
                State::Ok,
                "it wants a token, and says where its metadata is",
            );
            true
        }
        StatusCode::UNAUTHORIZED => {
            let what = if has_challenge {
                "it wants a token, and does not say where its metadata is; the usual places are tried"
            } else {
                "it answers 401 without `WWW-Authenticate`; the usual places are tried"
            };
            walk.note("challenge", State::Warn, what);
            true
        }
        status if status.is_success() => {
            walk.fix(
                "challenge",
                State::Ok,
                "it wants no token",
                Some("leave `auth` out"),
            );
            false
        }
        status if status.is_redirection() => {
            let what = format!("it answered {status}; redirects are not followed");
            walk.fix(
                "challenge",
                State::Fail,
                what,
                Some("mcpServers.NAME: { url: the final address }"),
            );
            false
        }
        status => {
            let what = format!("it answered {status} to a client without a token, and not 401");
            let fix = "check the path of `url`, and that it speaks Streamable HTTP";
            walk.fix("challenge", State::Fail, what, Some(fix));
            false
        }
    }
}

/// What a person needs who agrees.
pub(super) fn people(walk: &mut Walk, server: &Metadata) {
    if server.authorization.is_none() {
        return walk.note(
            "PKCE",
            State::Skip,
            "no person can agree there: it names no `authorization_endpoint`",
        );
    }
    match server.s256 {
        S256::Yes => walk.note("PKCE", State::Ok, "S256 is checked"),
        S256::Unsaid => {
            let what = "it does not say that it checks PKCE with S256, without which no person is sent there";
            let fix = "whoever runs it has to set `code_challenge_methods_supported`; if you know that it checks it, as \
                       Entra ID does: mcpServers.NAME.auth: { pkce: assumed }";
            walk.fix("PKCE", State::Warn, what, Some(fix));
        }
        S256::No => {
            let what = "it says that it does not check PKCE with S256, so no person is sent there";
            let fix = "use `kind: client_credentials`, or another authorization server";
            walk.fix("PKCE", State::Warn, what, Some(fix));
        }
    }
    if server.says_issuer {
        walk.note(
            "issuer in answers",
            State::Ok,
            "its answers say whose they are (RFC 9207)",
        );
    } else {
        let what = "its answers do not say whose they are; mixing it up with another is not noticed";
        walk.note("issuer in answers", State::Warn, what);
    }
}

/// Whether it gives a name to whoever asks for one, as it says.
pub(super) async fn registered(walk: &mut Walk, guarded: &Guarded, server: &Metadata) {
    let method = registration::method(server);
    let named = registration::register(guarded, server, method, |out| {
        out.string("client_name", "sallyport oauth doctor");
        out.array("redirect_uris", |list| list.string("http://127.0.0.1/callback"));
        out.array("grant_types", |list| list.string("authorization_code"));
        out.array("response_types", |list| list.string("code"));
        out.string("application_type", "native");
        out.string("token_endpoint_auth_method", method);
    });
    match named.await {
        Ok(named) => {
            let secret = if named.secret.is_some() {
                "with a secret"
            } else {
                "without a secret"
            };
            let what = format!("it gave the name `{}`, {secret}", visible(&named.id));
            walk.note("registered", State::Ok, what);
        }
        Err(why) => {
            let fix = "let whoever runs it register the gateway: mcpServers.NAME.auth: { client_id: ... }";
            walk.fix("registered", State::Fail, why, Some(fix));
        }
    }
}

pub(super) fn offered(walk: &mut Walk, server: &Metadata) {
    let (state, what, fix) = if server.takes_documents {
        (
            State::Ok,
            "it knows clients by documents",
            "kind: authorization_code",
        )
    } else if server.registration.is_some() {
        let line = "kind: authorization_code, registration: dynamic";
        (State::Ok, "it registers clients by itself", line)
    } else {
        let line = "kind: client_credentials, client_id: ID, client_secret: \"env:NAME\"";
        (
            State::Warn,
            "it registers nobody by itself: it has to give you a client id",
            line,
        )
    };
    walk.auth.push(fix.to_owned());
    walk.fix("registration", state, what, (state != State::Ok).then_some(fix));
}

/// What a program needs.
pub(super) fn machines(walk: &mut Walk, server: &Metadata) {
    let has = |grant: &str| {
        server
            .grants
            .as_ref()
            .is_none_or(|grants| grants.iter().any(|one| one == grant))
    };
    let grants = [
        "client_credentials",
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ];
    let there: Vec<&str> = grants.into_iter().filter(|grant| has(grant)).collect();
    walk.note("grants", State::Ok, there.join(", "));
    if server.authorization.is_some() && !has("refresh_token") {
        let what = "it renews no tokens: people have to agree anew whenever one ends";
        walk.note("refresh", State::Warn, what);
    }
    match &server.methods {
        Some(methods) => walk.note("client authentication", State::Ok, methods.join(", ")),
        None => {
            let what = "it does not say how clients prove themselves; `client_secret_basic` is taken";
            walk.note("client authentication", State::Warn, what);
        }
    }
}

/// Asks for a token in the server's name; where that is not understood, without.
pub(super) async fn token(
    walk: &mut Walk,
    name: &'static str,
    endpoint: &TokenEndpoint<'_>,
    mut form: Vec<(&str, &str)>,
    found: &Found,
    scope: &str,
) -> Option<Given> {
    if !scope.is_empty() {
        form.push(("scope", scope));
    }
    let named: Vec<_> = form
        .iter()
        .copied()
        .chain([("resource", found.resource.id.as_str())])
        .collect();
    match endpoint.ask(&named).await {
        Ok(given) => {
            walk.note(
                "resource indicator",
                State::Ok,
                format!("tokens are for `{}`", found.resource.id),
            );
            walk.note(name, State::Ok, "there is one");
            Some(given)
        }
        Err(first) => match endpoint.ask(&form).await {
            Ok(given) => {
                let what =
                    format!("with `resource`: {first}; without there is a token, for whatever `scope` names");
                let fix = "mcpServers.NAME.auth: { resource: omit, scope: \"...\" }";
                walk.auth.push("resource: omit".to_owned());
                walk.auth.push(format!("scope: \"{scope}\""));
                walk.fix("resource indicator", State::Warn, what, Some(fix));
                walk.note(name, State::Ok, "there is one");
                Some(given)
            }
            Err(why) => {
                walk.fix(
                    name,
                    State::Fail,
                    why.to_string(),
                    Some(&remedy(&why, endpoint.server)),
                );
                None
            }
        },
    }
}

fn remedy(why: &NoToken, server: &Metadata) -> String {
    let error = match why {
        NoToken::Refused { error, .. } => error.as_str(),
        NoToken::Failed(_) => "",
    };
    match error {
        "invalid_client" => {
            "mcpServers.NAME.auth: { client_id: ..., client_secret: \"env:NAME\" } as it gave them to you"
        }
        "invalid_scope" => {
            return format!(
                "mcpServers.NAME.auth: {{ scope: \"{}\" }}",
                server.scopes.join(" ")
            );
        }
        "unauthorized_client" | "unsupported_grant_type" => {
            "mcpServers.NAME.auth: { kind: authorization_code }"
        }
        "invalid_target" => "register the server's URL as a resource there, or write `resource: omit`",
        "invalid_grant" => "the refresh token is used up or withdrawn; connect the server again",
        _ => "ask whoever runs the authorization server",
    }
    .to_owned()
}
