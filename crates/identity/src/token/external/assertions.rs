//! What an issuer that is not ours may say at our token endpoint: that a client acts for a user, or that a workload is
//! who it is.

use std::collections::BTreeSet;

use wire::json::Node;

use super::{
    Asserted, Delegates, Trust, acting_for_nobody_else, bound_to, client, optional, scopes_said, text,
};
use crate::{
    jose::{Compact, KeySet},
    model::Model,
    oauth::assertion_use,
    once::Single,
    principal::{Actor, ActorKind},
    proof::Binding,
    token::{
        SKEW_MS, TokenError,
        claims::{is_only_for, seconds},
    },
};

/// The `typ` of an identity assertion (ID-JAG).
const ID_JAG: &str = "oauth-id-jag+jwt";
/// What a workload's token may say it is, besides `jwt` (JWT-SVID, section 2.2).
const WORKLOAD: [&str; 1] = ["jose"];

/// That a client acts for a user, by the word of the user's issuer (Identity Assertion JWT Authorization Grant).
#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    /// The client, by its name here.
    pub(crate) client: String,
    /// The user.
    pub(crate) user: String,
    /// The user's tenant.
    pub(crate) tenant: Option<String>,
    /// The scopes, in our own names; all the client may have if it says none.
    pub(crate) scopes: Option<BTreeSet<String>>,
    /// What for, if it says so.
    pub(crate) resource: Option<String>,
    /// What the token has to be bound to.
    pub(crate) binding: Option<Binding>,
    /// What was said of the user.
    pub(crate) asserted: Asserted,
    /// Its one use.
    pub(crate) single: Single,
}

impl Trust {
    /// Checks an identity assertion that is meant for this issuer of ours.
    ///
    /// # Errors
    /// When anything about it is not exactly as it must be.
    pub(crate) fn delegation(
        &self,
        assertion: &str,
        keys: &KeySet,
        audience: &str,
        now_ms: i64,
    ) -> Result<Delegation, TokenError> {
        if self.delegates == Delegates::Refused {
            return Err(TokenError::Issuer);
        }
        let claims = Compact::parse(assertion, ID_JAG)?.verify(keys)?;
        let claims = claims.root();
        self.is_mine(claims)?;
        if !is_only_for(claims, &[audience.to_owned()]) {
            return Err(TokenError::Audience);
        }
        let client = client(claims)?;
        acting_for_nobody_else(claims, &client)?;
        let user = self.user(claims, &client)?.ok_or(TokenError::Claim("sub"))?;
        let scopes = scopes_said(claims)?;
        Ok(Delegation {
            user,
            tenant: self.tenant(claims)?,
            scopes: (!scopes.is_empty()).then(|| scopes.into_iter().collect()),
            resource: optional(claims, "resource")?,
            binding: bound_to(claims)?,
            asserted: self.asserted(claims)?,
            single: assertion_use(claims, &self.issuer, now_ms)?,
            client,
        })
    }

    /// Checks a workload's own token (JWT-SVID, Kubernetes service account): who it is here. It may be used until it
    /// ends, for platforms give the same one again and again.
    ///
    /// # Errors
    /// When anything about it is not exactly as it must be.
    pub(crate) fn workload(
        &self,
        token: &str,
        keys: &KeySet,
        audiences: &[String],
        now_ms: i64,
    ) -> Result<(Actor, Option<Model>), TokenError> {
        let claims = Compact::parse_assertion(token, &WORKLOAD)?.verify(keys)?;
        let claims = claims.root();
        // A JWT-SVID need not name its issuer: the trust domain in its subject does.
        match claims.get("iss") {
            Some(_) => self.is_mine(claims)?,
            None => {
                let subject = text(claims, "sub")?;
                let below = subject.strip_prefix(&*self.issuer);
                let is_ours = self.issuer.starts_with("spiffe://");
                let is_ours = is_ours && below.is_some_and(|path| path.starts_with('/'));
                is_ours.then_some(()).ok_or(TokenError::Issuer)?;
            }
        }
        if !is_only_for(claims, audiences) {
            return Err(TokenError::Audience);
        }
        self.is_in_time(claims, now_ms)?;
        // What is bound to a key proves nothing without that key.
        if bound_to(claims)?.is_some() {
            return Err(TokenError::Bound);
        }
        let subject = text(claims, "sub")?;
        let actor = self.workloads.get(&subject).cloned().ok_or(TokenError::Client)?;
        let model = match actor.kind {
            ActorKind::Agent => self.model(claims)?,
            ActorKind::Service | ActorKind::User => None,
        };
        Ok((actor, model))
    }

    /// Platforms need not say when a token was made.
    fn is_in_time(&self, claims: Node<'_>, now_ms: i64) -> Result<(), TokenError> {
        let until_ms = seconds(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
        let made_ms = seconds(claims, "iat")?.unwrap_or(now_ms);
        let from_ms = seconds(claims, "nbf")?.unwrap_or(made_ms).max(made_ms);
        if now_ms >= until_ms.saturating_add(SKEW_MS) {
            return Err(TokenError::Expired);
        }
        if now_ms < from_ms.saturating_sub(SKEW_MS) {
            return Err(TokenError::NotYet);
        }
        if until_ms.saturating_sub(made_ms) > self.lifetime_ms_max {
            return Err(TokenError::Lifetime);
        }
        Ok(())
    }
}
