//! Verifying: every claim has the type the RFC gives it, and anything else is an error.

use std::{collections::BTreeSet, sync::Arc};

use thiserror::Error;
use wire::json::{Kind, Node};

use super::{LIFETIME_MS_MAX, OWN_CLAIM, SKEW_MS, TYP, mint::kind_name};
use crate::{
    jose::{Compact, JoseError, KeySet},
    oauth::read_details,
    principal::{Actor, ActorKind, CredentialId, DeclaredContext, Login, Principal},
    proof::Binding,
    resource::ResourceId,
    secret::Secret,
};

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum TokenError {
    /// For another resource.
    #[error("the token is for another resource")]
    Audience,
    /// It is bound to a key in a way that is not known here.
    #[error("the token is bound to a key in a way that is not checked here")]
    Bound,
    /// Of a client that is not known here.
    #[error("the token is of a client that is not known here")]
    Client,
    /// A claim is missing or of the wrong type.
    #[error("the claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// By another issuer.
    #[error("the token is by another issuer")]
    Issuer,
    /// It would live longer than any token of ours.
    #[error("the token lives too long")]
    Lifetime,
    /// Not signed as it must be.
    #[error(transparent)]
    Jose(#[from] JoseError),
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
}

/// Verifies access tokens of one issuer.
#[derive(Debug)]
pub struct Verifier {
    issuer: String,
    keys: KeySet,
}

impl Verifier {
    /// Verifies what this issuer signs with these keys.
    #[must_use]
    pub fn new(issuer: String, keys: KeySet) -> Self {
        Self { issuer, keys }
    }

    /// Checks a token and gives the principal it proves.
    ///
    /// # Errors
    /// When anything about the token is not exactly as it must be.
    pub fn verify(
        &self,
        token: &Secret,
        audience: &ResourceId,
        now_ms: i64,
    ) -> Result<Principal, TokenError> {
        let claims = Compact::parse(token.expose(), TYP)?.verify(&self.keys)?;
        let claims = claims.root();
        if !claims
            .get("iss")
            .is_some_and(|issuer| issuer.is_str(&self.issuer))
        {
            return Err(TokenError::Issuer);
        }
        if !is_for(claims, audience.as_str()) {
            return Err(TokenError::Audience);
        }
        let (issued_ms, expires_ms) = times(claims, now_ms, LIFETIME_MS_MAX)?;
        let subject = text(claims, "sub")?;
        let client = text(claims, "client_id")?;
        let own = claims.get(OWN_CLAIM).ok_or(TokenError::Claim(OWN_CLAIM))?;
        let kind = kind(own)?;
        let login = login(claims, own)?;
        // A person's own client acts as that person: the token is the subject's, whatever the client is called.
        let acting = if kind == ActorKind::User && login.is_some() {
            &subject
        } else {
            &client
        };
        let for_user = acting_for(claims, &subject, acting)?;
        Ok(Principal::vouch(Principal {
            actor: Actor {
                kind,
                name: acting.clone(),
            },
            for_user,
            tenant: optional(own, "tenant")?,
            model: optional(own, "model")?,
            scopes: scopes(claims)?,
            context: optional(claims, "ctx")?,
            declared: declared(claims)?,
            credential: CredentialId::of(token.expose().as_bytes()),
            token_id: Some(text(claims, "jti")?),
            issued_ms,
            expires_ms,
            binding: bound_to(claims)?,
            asserted: None,
            login: login.map(Arc::new),
        }))
    }
}

/// `aud` is one string or an array of strings; one of them must be this resource, letter by letter.
pub(super) fn is_for(claims: Node<'_>, audience: &str) -> bool {
    let Some(aud) = claims.get("aud") else {
        return false;
    };
    match aud.kind() {
        Kind::String => aud.is_str(audience),
        Kind::Array => {
            let all_text = aud.elements().all(|one| one.kind() == Kind::String);
            all_text && aud.elements().any(|one| one.is_str(audience))
        }
        Kind::Bool | Kind::Null | Kind::Number | Kind::Object => false,
    }
}

pub(super) fn times(claims: Node<'_>, now_ms: i64, lifetime_ms_max: i64) -> Result<(i64, i64), TokenError> {
    let issued_ms = seconds(claims, "iat")?.ok_or(TokenError::Claim("iat"))?;
    let expires_ms = seconds(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
    let from_ms = seconds(claims, "nbf")?.unwrap_or(issued_ms);
    if now_ms >= expires_ms.saturating_add(SKEW_MS) {
        return Err(TokenError::Expired);
    }
    if now_ms < from_ms.max(issued_ms).saturating_sub(SKEW_MS) {
        return Err(TokenError::NotYet);
    }
    if expires_ms.saturating_sub(issued_ms) > lifetime_ms_max {
        return Err(TokenError::Lifetime);
    }
    Ok((issued_ms, expires_ms))
}

/// A NumericDate (RFC 7519): a number of seconds, which may have a fraction. Text is an error, never "not
/// set" (jsonwebtoken CVE-2026-25537).
pub(crate) fn seconds(claims: Node<'_>, name: &'static str) -> Result<Option<i64>, TokenError> {
    let Some(node) = claims.get(name) else {
        return Ok(None);
    };
    let number = node.as_number().ok_or(TokenError::Claim(name))?;
    let text = number.as_text();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    // Regression: a fraction with an exponent was cut off with it, so `1.5e3` was read as 1.
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TokenError::Claim(name));
    }
    let seconds: i64 = whole.parse().map_err(|_| TokenError::Claim(name))?;
    // Years 1970 to 9999; more is not a date but an attempt at overflow.
    if !(0..=253_402_300_799).contains(&seconds) {
        return Err(TokenError::Claim(name));
    }
    Ok(Some(seconds * 1000))
}

pub(super) fn text(claims: Node<'_>, name: &'static str) -> Result<String, TokenError> {
    optional(claims, name)?.ok_or(TokenError::Claim(name))
}

pub(super) fn optional(claims: Node<'_>, name: &'static str) -> Result<Option<String>, TokenError> {
    let Some(node) = claims.get(name) else {
        return Ok(None);
    };
    let text = node.as_str().ok_or(TokenError::Claim(name))?;
    let good = !text.is_empty() && text.len() <= 512 && !text.chars().any(char::is_control);
    if good {
        Ok(Some(text.into_owned()))
    } else {
        Err(TokenError::Claim(name))
    }
}

fn kind(own: Node<'_>) -> Result<ActorKind, TokenError> {
    let kinds = [ActorKind::Agent, ActorKind::Service, ActorKind::User];
    let name = own.get("kind");
    kinds
        .into_iter()
        .find(|kind| name.is_some_and(|name| name.is_str(kind_name(*kind))))
        .ok_or(TokenError::Claim(OWN_CLAIM))
}

/// How a person let the client in.
fn login(claims: Node<'_>, own: Node<'_>) -> Result<Option<Login>, TokenError> {
    let Some(client) = optional(own, "client")? else {
        return Ok(None);
    };
    let methods = claims.get("amr").ok_or(TokenError::Claim("amr"))?;
    let methods = methods
        .elements()
        .map(|method| Some(method.as_str()?.into_owned()));
    Ok(Some(Login {
        client,
        grant: text(own, "grant")?,
        at_ms: seconds(claims, "auth_time")?.ok_or(TokenError::Claim("auth_time"))?,
        methods: methods.collect::<Option<_>>().ok_or(TokenError::Claim("amr"))?,
    }))
}

/// Reads the delegation. Ours is one deep: the client acts for the subject.
fn acting_for(claims: Node<'_>, subject: &str, client: &str) -> Result<Option<String>, TokenError> {
    let Some(act) = claims.get("act") else {
        return if subject == client {
            Ok(None)
        } else {
            Err(TokenError::Claim("sub"))
        };
    };
    let one_deep = act.kind() == Kind::Object && act.get("act").is_none();
    if !one_deep || !act.get("sub").is_some_and(|actor| actor.is_str(client)) {
        return Err(TokenError::Claim("act"));
    }
    Ok(Some(subject.to_owned()))
}

/// The delegation of others: if there is one, its actor is the client itself.
pub(super) fn acting_for_nobody_else(claims: Node<'_>, client: &str) -> Result<(), TokenError> {
    let Some(act) = claims.get("act") else {
        return Ok(());
    };
    let one_deep = act.kind() == Kind::Object && act.get("act").is_none();
    if one_deep && act.get("sub").is_some_and(|actor| actor.is_str(client)) {
        Ok(())
    } else {
        Err(TokenError::Claim("act"))
    }
}

/// What the token is bound to. A binding that is not known here is not ignored.
pub(super) fn bound_to(claims: Node<'_>) -> Result<Option<Binding>, TokenError> {
    let Some(confirmation) = claims.get("cnf") else {
        return Ok(None);
    };
    if confirmation.members().count() != 1 {
        return Err(TokenError::Bound);
    }
    let text = |node: Node<'_>| {
        let text = node.as_str().filter(|text| !text.is_empty());
        text.map(Arc::from).ok_or(TokenError::Claim("cnf"))
    };
    match (confirmation.get("x5t#S256"), confirmation.get("jkt")) {
        (Some(digest), None) => Ok(Some(Binding::Certificate(text(digest)?))),
        (None, Some(thumbprint)) => Ok(Some(Binding::Key(text(thumbprint)?))),
        (_, _) => Err(TokenError::Bound),
    }
}

fn scopes(claims: Node<'_>) -> Result<BTreeSet<String>, TokenError> {
    let node = claims.get("scope").ok_or(TokenError::Claim("scope"))?;
    let text = node.as_str().ok_or(TokenError::Claim("scope"))?;
    Ok(text
        .split(' ')
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect())
}

fn declared(claims: Node<'_>) -> Result<Option<DeclaredContext>, TokenError> {
    claims
        .get("authorization_details")
        .map(|details| read_details(details).map_err(|_| TokenError::Claim("authorization_details")))
        .transpose()
        .map(Option::flatten)
}
