//! Token exchange (RFC 8693): a client that has a user's token gets one of its own for that user, or a client one of its
//! own that is worth less. What comes out is never more than what went in: not another resource, not a wider scope,
//! not a longer life, not another context.

use std::collections::BTreeSet;

use super::{
    Besides, Client, ClientLookup, Granted, OauthError, OauthFault, TokenEndpoint, TokenRequest, Vouchers,
    client::may_act_for,
    grant::{scopes, token_response},
};
use crate::{
    jose::{claimed_actor, claimed_issuer},
    principal::{Actor, ActorKind, Asserted, DeclaredContext, Delegated, Principal},
    resource::ResourceId,
    secret::Secret,
    token::{Grant, LIFETIME_MS_MAX, TokenError},
};

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

impl<C, D, V> TokenEndpoint<'_, C, D, V>
where
    C: ClientLookup,
    D: Fn(&Client, &DeclaredContext) -> Result<(), String>,
    V: Vouchers,
{
    pub(super) fn exchange(&self, request: TokenRequest<'_>) -> Result<Granted, OauthError> {
        let client = self.client(&request)?;
        kinds(&request)?;
        let token = Secret::presented(request.form.get("subject_token").unwrap_or_default().to_owned());
        let (subject, good_at) = self.subject(&token, request.now_ms)?;
        let refuse = |why: &str| Err(OauthError::new(OauthFault::InvalidGrant, why));
        if self.vouchers.is_revoked(&subject) {
            return refuse("the subject token was revoked");
        }
        // Whoever took a bound token from its owner has nothing of use here either.
        if subject.binding().is_some() && subject.binding() != request.binding.as_ref() {
            return refuse("the subject token is bound to what was not shown");
        }
        if claimed_actor(token.expose(), "may_act").is_some_and(|may| may != client.id) {
            return refuse("the subject token says who may act, and it is another client");
        }
        let for_user = on_behalf_of(&client, &subject)?;
        if let (Some(client), Some(subject)) = (client.tenant.as_deref(), subject.tenant())
            && client != subject
        {
            return refuse("the subject is of another tenant than the client");
        }
        let declared = self.declared(&client, request.form.get("authorization_details"))?;
        let (context, declared) = match (subject.context(), declared) {
            (Some(_), Some(_)) => return refuse("the context is that of the subject token"),
            (Some(context), None) => (Some(context.to_owned()), subject.declared().cloned()),
            (None, declared) => (None, declared),
        };
        let grant = Grant {
            audience: narrowed(request.form.get("resource"), &good_at, self.resources)?,
            scopes: common(&client, &subject, request.form.get("scope"))?,
            for_user,
            tenant: subject.tenant().map(str::to_owned).or(client.tenant),
            actor: Actor {
                kind: client.kind,
                name: client.id,
            },
            model: client.model,
            context,
            declared,
            token_id: request.token_id,
            binding: request.binding,
            issued_ms: request.now_ms,
            lifetime_ms: subject
                .expires_ms()
                .saturating_sub(request.now_ms)
                .clamp(0, LIFETIME_MS_MAX),
            asserted: said_of(&subject),
        }
        .in_declared_context(self.contexts);
        if grant.lifetime_ms < 1000 {
            return refuse("the subject token is over");
        }
        // What a person granted ends with the grant, whoever came to have it.
        let token = match subject.login() {
            Some(login) => self.issuer.mint_for_login(&grant, login),
            None => self.issuer.mint(&grant),
        };
        let besides = Besides {
            issued_type: Some(ACCESS_TOKEN),
            ..Besides::default()
        };
        Ok(Granted {
            body: token_response(&grant, &token, besides),
            grant,
        })
    }

    /// Whom the token is of, and where it is good.
    fn subject(&self, token: &Secret, now_ms: i64) -> Result<(Principal, ResourceId), OauthError> {
        let issuer = claimed_issuer(token.expose()).unwrap_or_default();
        let other = self.vouchers.issuer(&issuer);
        let mut why = TokenError::Audience;
        for resource in self.resources {
            let proven = match &other {
                Some((trust, keys)) => trust.verify(token, keys, resource, now_ms),
                None => self.vouchers.caller(token, resource, now_ms),
            };
            match proven {
                Ok(principal) => return Ok((principal, resource.clone())),
                Err(TokenError::Audience) => {}
                Err(error) => {
                    why = error;
                    break;
                }
            }
        }
        let why = format!("the subject token: {why}");
        Err(OauthError::new(OauthFault::InvalidGrant, why))
    }
}

/// One kind of token comes in, and one kind goes out.
fn kinds(request: &TokenRequest<'_>) -> Result<(), OauthError> {
    let form = request.form;
    let refuse = |why: &str| Err(OauthError::new(OauthFault::InvalidRequest, why));
    if form.get("subject_token").is_none() {
        return refuse("`subject_token` is missing");
    }
    if !matches!(form.get("subject_token_type"), Some(ACCESS_TOKEN | JWT)) {
        return refuse("`subject_token_type` is that of an access token");
    }
    if !matches!(form.get("requested_token_type"), None | Some(ACCESS_TOKEN)) {
        return refuse("only access tokens are issued");
    }
    if form.get("actor_token").is_some() || form.get("actor_token_type").is_some() {
        return refuse("the client is who acts; it sends no `actor_token`");
    }
    if form.get("audience").is_some() {
        return refuse("say what the token is for with `resource`");
    }
    Ok(())
}

/// The user the client then acts for: the subject, if the client may act for that user; or, where the token is the
/// client's own, whom it acts for already. Delegation is one deep: what was given to another agent is not passed on.
fn on_behalf_of(client: &Client, subject: &Principal) -> Result<Option<String>, OauthError> {
    let refuse = |why: &str| Err(OauthError::new(OauthFault::InvalidGrant, why));
    let actor = subject.actor();
    match actor.kind {
        ActorKind::User if may_act_for(&client.acts_for, &client.acts_for_those, &actor.name) => {
            Ok(Some(actor.name.clone()))
        }
        ActorKind::User => refuse("the client may not act for that user"),
        ActorKind::Agent | ActorKind::Service if actor.name == client.id => {
            Ok(subject.for_user().map(str::to_owned))
        }
        ActorKind::Agent | ActorKind::Service => {
            refuse("the token was given to another client, which may not pass it on")
        }
    }
}

/// What another issuer said of the user, with who decided that the client acts for them: we, where the user's own token
/// came; else whoever decided it for the token that came.
fn said_of(subject: &Principal) -> Option<Asserted> {
    let said = subject.asserted()?.clone();
    Some(match subject.actor().kind {
        ActorKind::User => Asserted {
            delegated: Delegated::Here,
            ..said
        },
        ActorKind::Agent | ActorKind::Service => said,
    })
}

/// The resource asked for, if it is what the subject's token is for or something below it.
fn narrowed(
    asked: Option<&str>,
    good_at: &ResourceId,
    resources: &[ResourceId],
) -> Result<ResourceId, OauthError> {
    let Some(asked) = asked else {
        return Ok(good_at.clone());
    };
    let invalid = |why: &str| OauthError::new(OauthFault::InvalidTarget, why);
    let asked = ResourceId::parse(asked).map_err(|_| invalid("`resource` is none of this gateway"))?;
    if !resources.contains(&asked) {
        return Err(invalid("`resource` is none of this gateway"));
    }
    if asked == *good_at || asked.is_below(good_at) {
        return Ok(asked);
    }
    Err(invalid("the subject token is not for that resource"))
}

/// The scopes that both may have, or those asked for among them.
fn common(client: &Client, subject: &Principal, asked: Option<&str>) -> Result<BTreeSet<String>, OauthError> {
    let may = scopes(client, asked)?;
    let both: BTreeSet<_> = may.intersection(subject.scopes()).cloned().collect();
    if both.is_empty() || asked.is_some() && both != may {
        let why = "the subject token has not that scope";
        return Err(OauthError::new(OauthFault::InvalidScope, why));
    }
    Ok(both)
}
