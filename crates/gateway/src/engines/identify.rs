//! Who asks: tokens of the embedded issuer and of others, and callers on this machine where configuration says so.

use std::{sync::Arc, time::Duration};

use identity::{
    ActorKind, ContextNames, LocalPeer, Model, Nonces, Once, Principal, ResourceId, Secret,
    jose::{KeySet, claimed_issuer},
    oauth::{self, Assertions, Client, ClientLookup, Form, Vouchers},
    proof::{self, Binding, ProofError, Proofs},
    signature::{Signature, SignatureError, Signatures},
    svid::Svid,
    token::{Issuer, SCOPE, TokenCache, TokenError, Trust, Verifier},
};
use pipeline::{
    Arrival, Credential, Endpoint, Objection, Possession, SignedRequest,
    ports::{Caller, Identify},
    refusal::{self, Stronger},
};

use super::Engines;
use crate::{
    config::Proof,
    known::issuers::{Providers, Unproven},
};

/// How often an open stream looks whether its credential was revoked.
const REVOKED_LOOK: Duration = Duration::from_secs(1);

/// The embedded issuer and what verifies its tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) issuer: Issuer,
    pub(crate) verifier: Verifier,
    pub(crate) cache: Arc<TokenCache>,
    /// Proofs of possession that were used with tokens.
    pub(crate) proofs: Proofs,
    /// Signatures of requests that were used.
    pub(crate) signatures: Signatures,
    /// Those that were used to get tokens. Apart: clients that ask for tokens leave no less room for calls.
    pub(crate) request_proofs: Proofs,
    /// The nonces proofs have to have, if they do.
    pub(crate) nonces: Option<Nonces>,
    /// Assertions that were used at the token endpoint.
    pub(crate) assertions: Once,
    /// What they may be for: this issuer, or its token endpoint.
    pub(crate) assertion_audiences: [String; 2],
    /// Issuers that are not ours.
    pub(crate) providers: Providers,
    /// The names of declared contexts.
    pub(crate) contexts: ContextNames,
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

impl Tokens {
    /// What a token was found to prove, if its issuer's keys are still believed.
    fn recall(&self, token: &Secret, audience: &ResourceId, now_ms: i64) -> Option<Arc<Principal>> {
        let principal = self.cache.recall(token, audience, now_ms)?;
        let Some(asserted) = principal.asserted() else {
            return Some(principal);
        };
        let provider = self.providers.find(&asserted.issuer)?;
        provider.is_fresh(now_ms).then_some(principal)
    }

    /// Checks a token by the keys of the issuer it names. Ours has the first and the last word: whom it does not
    /// name, nobody asks.
    async fn verify(&self, token: &Secret, audience: &ResourceId, now_ms: i64) -> Result<Principal, String> {
        let named = (!self.providers.is_empty()).then(|| claimed_issuer(token.expose()));
        let provider = named.flatten().and_then(|issuer| self.providers.find(&issuer));
        let Some(provider) = provider else {
            return self
                .own(token, audience, now_ms)
                .map_err(|error| error.to_string());
        };
        let verified = provider.verify(token, audience, now_ms, self.forget()).await;
        verified.map_err(|unproven| match unproven {
            Unproven::Token(error) => error.to_string(),
            Unproven::Keys(why) => format!("the issuer's keys cannot be had: {why}"),
        })
    }
}

impl Tokens {
    /// Checks a token of the embedded issuer.
    fn own(&self, token: &Secret, audience: &ResourceId, now_ms: i64) -> Result<Principal, TokenError> {
        let principal = self.verifier.verify(token, audience, now_ms)?;
        // What another issuer once said counts while it is trusted.
        let trusted = |issuer: &str| self.providers.find(issuer).is_some();
        match principal.asserted() {
            Some(asserted) if !trusted(&asserted.issuer) => Err(TokenError::Issuer),
            Some(_) | None => Ok(principal),
        }
    }

    /// Where signed assertions are taken.
    pub(crate) fn taken(&self) -> Assertions<'_> {
        Assertions {
            audiences: &self.assertion_audiences,
            used: &self.assertions,
        }
    }

    /// Forgets what was believed for an issuer's keys.
    pub(crate) fn forget(&self) -> impl Fn(&str) + Send + 'static {
        let cache = Arc::clone(&self.cache);
        move |issuer: &str| cache.forget_issuer(issuer)
    }

    /// Who has a say in a request to the token endpoint, with the keys it takes to check what it brings.
    ///
    /// # Errors
    /// Why the keys of an issuer that is trusted cannot be had.
    pub(crate) async fn vouchers(&self, form: &Form, now_ms: i64) -> Result<HouseVouchers<'_>, String> {
        let brought = oauth::brought(form);
        let other = brought.and_then(|(issuer, token)| Some((self.providers.find(&issuer)?, token)));
        let issuer = match other {
            None => None,
            Some((provider, token)) => {
                let keys = provider.keys(token, now_ms, self.forget()).await?;
                Some((provider.trust(), keys))
            }
        };
        Ok(HouseVouchers { tokens: self, issuer })
    }
}

/// See [`Tokens::vouchers`].
#[derive(Debug)]
pub(crate) struct HouseVouchers<'t> {
    tokens: &'t Tokens,
    issuer: Option<(&'t Trust, Arc<KeySet>)>,
}

impl Vouchers for HouseVouchers<'_> {
    fn issuer(&self, name: &str) -> Option<(&Trust, Arc<KeySet>)> {
        let named = self.issuer.as_ref().filter(|(trust, _)| *trust.issuer == *name);
        named.map(|(trust, keys)| (*trust, Arc::clone(keys)))
    }

    fn caller(&self, token: &Secret, audience: &ResourceId, now_ms: i64) -> Result<Principal, TokenError> {
        self.tokens.own(token, audience, now_ms)
    }

    fn is_revoked(&self, principal: &Principal) -> bool {
        self.tokens.cache.is_revoked(principal)
    }
}

impl Identify for Engines {
    async fn identify(&self, arrival: &Arrival) -> Result<Caller, Objection> {
        let principal = match &arrival.credential {
            Credential::Bearer(token) => self.bearer(token, arrival).await?,
            Credential::Possessed(possession) => Box::pin(self.possessed(possession, arrival)).await?,
            Credential::Signed(request) => Box::pin(self.signed(request, arrival)).await?,
            Credential::Local(peer) => self.local(peer, arrival)?,
            Credential::Standing(principal, token) => {
                // A key of its issuer that is withdrawn takes with it what was proven with the token, too.
                if let Some(token) = token {
                    Box::pin(self.token(token, arrival)).await?;
                }
                self.standing(principal)?
            }
            Credential::Workload(svid) => self.workload(svid)?,
            Credential::Link(server) => return self.behind_link(server.as_str(), arrival),
            Credential::None => {
                return Err(Objection::new(
                    &refusal::CREDENTIAL_MISSING,
                    "no credential was sent",
                ));
            }
        };
        self.is_proven_enough(&principal, arrival)?;
        self.may_go_on(&principal, None, None)?;
        if !principal.has_scope(SCOPE) {
            let why = format!("the token lacks the scope `{SCOPE}`");
            let objection = Objection::new(&refusal::SCOPE_MISSING, why);
            return Err(Objection {
                stronger: Some(Box::new(Stronger::Scope(SCOPE.to_owned()))),
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
        let is_external = |issuer: &str| self.tokens.providers.find(issuer).is_some();
        self.outbound
            .presented(&principal, &arrival.credential, is_external);
        Ok(Caller {
            principal,
            subject: Arc::new(subject),
        })
    }
}

impl Engines {
    async fn bearer(&self, token: &Secret, arrival: &Arrival) -> Result<Arc<Principal>, Objection> {
        let principal = self.token(token, arrival).await?;
        let shown = shows(principal.binding(), arrival);
        shown.map_err(|why| Objection::new(&refusal::CREDENTIAL_INVALID, why))?;
        Ok(principal)
    }

    /// RFC 9449: the token is believed, the proof holds for it and for this request, its key is the token's, and
    /// it was not used before.
    async fn possessed(
        &self,
        possession: &Possession,
        arrival: &Arrival,
    ) -> Result<Arc<Principal>, Objection> {
        let invalid = |why: String| Objection::new(&refusal::CREDENTIAL_INVALID, why);
        let principal = self.token(&possession.token, arrival).await?;
        let Some(Binding::Key(bound)) = principal.binding() else {
            return Err(invalid("the token is bound to no key".to_owned()));
        };
        let request = proof::Request {
            method: &possession.method,
            url: &possession.url,
            token: Some(&possession.token),
            nonces: self.tokens.nonces.as_ref(),
        };
        // The time it is now, and not that of the arrival: keys may have been fetched in between, and a proof that is
        // over may be forgotten.
        let now_ms = self.ambient.now_ms();
        let proven = proof::check(&possession.proof, request, now_ms);
        let proven = proven.map_err(|error| {
            if error == ProofError::Nonce {
                return Objection::new(&refusal::NONCE_MISSING, error.to_string());
            }
            invalid(error.to_string())
        })?;
        if proven.key() != bound {
            return Err(invalid("the proof is by another key than the token's".to_owned()));
        }
        let taken = self.tokens.proofs.take(&proven, now_ms);
        taken.map_err(|error| invalid(error.to_string()))?;
        Ok(principal)
    }

    /// RFC 9421: the request is signed with a key of the agent's, holds for this very request, and was not used before.
    /// With a token, the agent is the token's; without, it is the one whose key that is.
    async fn signed(&self, request: &SignedRequest, arrival: &Arrival) -> Result<Arc<Principal>, Objection> {
        let invalid = |why: &str| Objection::new(&refusal::CREDENTIAL_INVALID, why);
        let refused = |error: SignatureError| invalid(&error.to_string());
        let signature = Signature::of(&request.message).map_err(refused)?;
        let principal = match &request.token {
            Some(token) => Some(self.token(token, arrival).await?),
            None => None,
        };
        let client = match &principal {
            None => self.people.by_key(signature.key_id()),
            Some(principal) if principal.actor().kind == ActorKind::User => None,
            Some(principal) => ClientLookup::client(&self.people, &principal.actor().name),
        };
        let client = client.ok_or_else(|| invalid("the signature is by a key that is no agent's here"))?;
        let key = client
            .keys
            .as_ref()
            .and_then(|keys| keys.named(signature.key_id()));
        let key = key.ok_or_else(|| invalid("the signature is by another key than the agent's"))?;
        // As for proofs, the time it is now.
        let now_ms = self.ambient.now_ms();
        let signed = signature.verify(&request.message, key, now_ms).map_err(refused)?;
        let known = match &principal {
            None => client.model.as_ref(),
            Some(principal) => principal.model(),
        };
        let model = match request.message.model_declaration() {
            None => known.cloned(),
            Some(declaration) => {
                let audiences = &self.tokens.assertion_audiences;
                let declared = Model::declared(&declaration, &client, audiences, now_ms);
                let settled = declared.and_then(|declared| declared.beside(known));
                Some(settled.map_err(|error| invalid(&format!("the declaration of the model: {error}")))?)
            }
        };
        let principal = match principal {
            None => signed.principal(&Client { model, ..client }),
            Some(principal) => {
                let bound = principal.binding();
                let same = |bound: &Binding| matches!(bound, Binding::Key(key) if key == signed.key());
                if bound.is_some_and(|bound| !same(bound)) {
                    shows(bound, arrival).map_err(invalid)?;
                }
                signed.with_token(&principal, model)
            }
        };
        self.tokens.signatures.take(&signed, now_ms).map_err(refused)?;
        Ok(Arc::new(principal))
    }

    /// Whom a signature has proven before: as long as that lasts, and unless it was taken back.
    fn standing(&self, principal: &Arc<Principal>) -> Result<Arc<Principal>, Objection> {
        let over = self.ambient.now_ms() >= principal.expires_ms();
        if over || self.tokens.cache.is_revoked(principal) {
            let why = "what was proven at the opening has ended";
            return Err(Objection::new(&refusal::CREDENTIAL_INVALID, why));
        }
        Ok(Arc::clone(principal))
    }

    /// X509-SVID: the connection has shown that it is a workload; it is the agent that configuration says, for itself.
    fn workload(&self, svid: &Svid) -> Result<Arc<Principal>, Objection> {
        let invalid = |why: String| Objection::new(&refusal::CREDENTIAL_INVALID, why);
        let actor = svid.actor();
        let client = actor.and_then(|actor| ClientLookup::client(&self.people, &actor.name));
        let client = client.ok_or_else(|| invalid(format!("`{}` is no agent here", svid.id())))?;
        // A connection may stand longer than the certificate it began with.
        let principal = svid.principal(&client, self.ambient.now_ms());
        let ended = || invalid(format!("the certificate of `{}` has ended", svid.id()));
        principal.map(Arc::new).ok_or_else(ended)
    }

    /// It is the model the operator says, if one is said, and some agents have to prove more than that they have a token.
    fn is_proven_enough(&self, principal: &Principal, arrival: &Arrival) -> Result<(), Objection> {
        let actor = principal.actor();
        let agent = (actor.kind != ActorKind::User).then(|| self.people.client(&actor.name));
        let agent = agent.flatten();
        let models = agent
            .as_ref()
            .and_then(|agent| agent.model.as_ref())
            .zip(principal.model());
        if models.is_some_and(|(known, said)| !known.fits(said)) {
            let why = "it is of another model than the agent's";
            return Err(Objection::new(&refusal::CREDENTIAL_INVALID, why));
        }
        let Some(needed) = agent.and_then(|agent| agent.proof) else {
            return Ok(());
        };
        let is_shown = match (&arrival.credential, needed) {
            // What stands was proven enough when it was shown.
            (Credential::Standing(..), Proof::Dpop | Proof::Signature)
            | (Credential::Signed(_), Proof::Signature)
            | (Credential::Possessed(_), Proof::Dpop) => true,
            (Credential::Workload(_), Proof::Mtls) => true,
            // A bound token came this far with its certificate alone.
            (Credential::Bearer(_), Proof::Mtls) => {
                matches!(principal.binding(), Some(Binding::Certificate(_)))
            }
            (_, Proof::Dpop | Proof::Mtls | Proof::Signature) => false,
        };
        if is_shown {
            return Ok(());
        }
        let why = format!("`{}` has to prove itself by {}", actor.name, needed.as_str());
        Err(Objection::new(&refusal::CREDENTIAL_INVALID, why))
    }

    /// What a token proves, whoever has it.
    async fn token(&self, token: &Secret, arrival: &Arrival) -> Result<Arc<Principal>, Objection> {
        let tokens = &self.tokens;
        let audience = tokens.resource_of(&arrival.endpoint);
        let now_ms = arrival.received_ms;
        let invalid = |why: String| Objection::new(&refusal::CREDENTIAL_INVALID, why);
        let principal = match tokens.recall(token, &audience, now_ms) {
            Some(principal) => principal,
            None => {
                // Before the keys are looked at: a key that goes meanwhile takes along what it vouched for.
                let generation = tokens.cache.generation();
                // In a box: it is rare, and would make every call's future as large as its own.
                let verified = Box::pin(tokens.verify(token, &audience, now_ms));
                let principal = Arc::new(verified.await.map_err(invalid)?);
                tokens.cache.remember(&audience, &principal, generation, now_ms);
                principal
            }
        };
        if tokens.cache.is_revoked(&principal) {
            return Err(invalid("the token was revoked".to_owned()));
        }
        Ok(principal)
    }

    /// Returns once a principal's credential was revoked: what it opened must not stay open.
    pub(super) async fn revoked(&self, principal: &Principal) {
        while !self.tokens.cache.is_revoked(principal) {
            tokio::time::sleep(REVOKED_LOOK).await;
        }
    }

    /// Returns once a principal's credential has run out or was revoked.
    pub(crate) async fn credential_ended(&self, principal: &Principal) {
        let has_run_out = async {
            while self.ambient.now_ms() < principal.expires_ms() {
                tokio::time::sleep(REVOKED_LOOK).await;
            }
        };
        tokio::select! {
            () = has_run_out => {}
            () = self.revoked(principal) => {}
        }
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

/// Whether what a token is bound to came with it, where that is no key.
fn shows(bound: Option<&Binding>, arrival: &Arrival) -> Result<(), &'static str> {
    let shown = arrival.via.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
    match bound {
        None => Ok(()),
        Some(Binding::Certificate(bound)) if Some(bound) == shown => Ok(()),
        Some(Binding::Certificate(_)) => Err("the token is bound to a certificate that was not shown"),
        Some(Binding::Key(_)) => Err("the token is bound to a key, and came without a proof of it"),
    }
}
