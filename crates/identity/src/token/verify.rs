//! Verifying tokens of the embedded issuer.

use std::{collections::BTreeSet, sync::Arc};

use thiserror::Error;
use wire::json::{Kind, Node};

use super::{
    ASSERTED_MEMBER, DELEGATED_HERE, DELEGATED_MEMBER, LIFETIME_MS_MAX, OWN_CLAIM, TYP,
    claims::{bound_to, is_for, optional, seconds, text, texts, times},
    mint::kind_name,
};
use crate::{
    jose::{Compact, JoseError, KeySet},
    model::Model,
    oauth::read_details,
    principal::{Actor, ActorKind, Asserted, CredentialId, DeclaredContext, Delegated, Login, Principal},
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
    /// Of another model than the agent's.
    #[error("it is of another model than the agent's")]
    Model,
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
            model: Model::read(own)?,
            scopes: scopes(claims)?,
            context: optional(claims, "ctx")?,
            declared: declared(claims)?,
            credential: CredentialId::of(token.expose().as_bytes()),
            token_id: Some(text(claims, "jti")?),
            issued_ms,
            expires_ms,
            binding: bound_to(claims)?,
            asserted: asserted(own)?,
            login: login.map(Arc::new),
        }))
    }
}

/// What an issuer that is not ours said when it vouched for the caller to ours.
fn asserted(own: Node<'_>) -> Result<Option<Asserted>, TokenError> {
    let Some(said) = own.get(ASSERTED_MEMBER) else {
        return Ok(None);
    };
    let delegated = match said.get(DELEGATED_MEMBER) {
        None => Delegated::There,
        Some(here) if here.is_str(DELEGATED_HERE) => Delegated::Here,
        Some(_) => return Err(TokenError::Claim(DELEGATED_MEMBER)),
    };
    Ok(Some(Asserted {
        delegated,
        issuer: Arc::from(text(said, "iss")?),
        roles: texts(said.get("roles"), "roles")?,
        groups: texts(said.get("groups"), "groups")?,
    }))
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
        acr: text(claims, "acr")?,
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
