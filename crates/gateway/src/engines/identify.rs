//! Who asks: tokens of the embedded issuer, and callers on this machine where configuration says so.

use std::sync::Arc;

use identity::{
    LocalPeer, Principal, ResourceId, Secret,
    token::{Issuer, SCOPE, TokenCache, Verifier},
};
use pipeline::{
    Arrival, Credential, Endpoint, Objection,
    ports::{Caller, Identify},
    refusal,
};

use super::Engines;

/// The embedded issuer and what verifies its tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) issuer: Issuer,
    pub(crate) verifier: Verifier,
    pub(crate) cache: TokenCache,
    /// `/mcp` of this gateway: what tokens are for.
    pub(crate) resource: ResourceId,
}

impl Tokens {
    /// The resource of an endpoint: each has its own.
    pub(crate) fn resource_of(&self, endpoint: &Endpoint) -> ResourceId {
        match endpoint.name() {
            None => self.resource.clone(),
            Some(name) => self.resource.join(name.as_str()),
        }
    }
}

impl Identify for Engines {
    async fn identify(&self, arrival: &Arrival) -> Result<Caller, Objection> {
        let principal = match &arrival.credential {
            Credential::Bearer(token) => self.bearer(token, arrival)?,
            Credential::Local(peer) => self.local(peer, arrival)?,
            Credential::Link(server) => return self.behind_link(server.as_str(), arrival),
            Credential::None => {
                return Err(Objection::new(
                    &refusal::CREDENTIAL_MISSING,
                    "no credential was sent",
                ));
            }
        };
        if !principal.has_scope(SCOPE) {
            let why = format!("the token lacks the scope `{SCOPE}`");
            let objection = Objection::new(&refusal::SCOPE_MISSING, why);
            return Err(Objection {
                scope: Some(SCOPE.into()),
                ..objection
            });
        }
        let subject = self.people.subject(&principal).ok_or_else(|| {
            let name = &principal.actor().name;
            Objection::new(
                &refusal::CREDENTIAL_INVALID,
                format!("`{name}` is not known here any more"),
            )
        })?;
        Ok(Caller {
            principal,
            subject: Arc::new(subject),
        })
    }
}

impl Engines {
    fn bearer(&self, token: &Secret, arrival: &Arrival) -> Result<Arc<Principal>, Objection> {
        let tokens = &self.tokens;
        let audience = tokens.resource_of(&arrival.endpoint);
        let now_ms = arrival.received_ms;
        let invalid = |why: String| Objection::new(&refusal::CREDENTIAL_INVALID, why);
        let principal = match tokens.cache.recall(token, &audience, now_ms) {
            Some(principal) => principal,
            None => {
                let verified = tokens.verifier.verify(token, &audience, now_ms);
                let principal = Arc::new(verified.map_err(|error| invalid(error.to_string()))?);
                tokens.cache.remember(&audience, &principal, now_ms);
                principal
            }
        };
        if tokens.cache.is_revoked(&principal) {
            return Err(invalid("the token was revoked".to_owned()));
        }
        Ok(principal)
    }

    fn local(&self, peer: &LocalPeer, arrival: &Arrival) -> Result<Arc<Principal>, Objection> {
        let missing = |why: &str| Objection::new(&refusal::CREDENTIAL_MISSING, why);
        let local = self
            .local
            .as_ref()
            .ok_or_else(|| missing("no credential was sent"))?;
        let principal = local.admit(peer, arrival.received_ms);
        principal
            .map(Arc::new)
            .ok_or_else(|| missing("the caller is not on this machine"))
    }

    /// A server speaks to the client of one of its links: the caller is that client, whose own proof still
    /// has to stand.
    fn behind_link(&self, server: &str, arrival: &Arrival) -> Result<Caller, Objection> {
        let caller = arrival.exchange.caller().ok_or_else(|| {
            let why = format!("`{server}` speaks, and there is no client it could mean");
            Objection::new(&refusal::CLIENT_GONE, why)
        })?;
        let over = arrival.received_ms > caller.principal.expires_ms();
        if over || self.tokens.cache.is_revoked(&caller.principal) {
            return Err(Objection::new(
                &refusal::CREDENTIAL_INVALID,
                "the client's credential has ended",
            ));
        }
        Ok(caller)
    }
}
