//! The embedded issuer's endpoints.

use std::sync::Arc;

use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE},
};
use identity::oauth::{
    Client, DEVICE_GRANT, Endpoints, ForPeople, Form, OauthError, OauthFault, TokenEndpoint, TokenRequest,
};
use identity::{
    Actor, ActorKind, DeclaredContext, ResourceId, oauth,
    proof::{self, Binding, ProofError, Proven},
    token::Grant,
};
use records::ledger::Kind;

use super::{
    House,
    body::{self, Body},
    gate::one,
    head::{DPOP, DPOP_NONCE, Peer},
    tokens,
};
use crate::config::{Proof, authorization::Switch};

/// The largest token request read, in bytes.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// `POST /oauth/token`
pub(super) async fn token(house: &Arc<House>, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    let (head, incoming) = request.into_parts();
    let answered = match body::read(incoming, FORM_BYTES_MAX).await {
        Err(objection) => Err(OauthError::new(OauthFault::InvalidRequest, objection.inside)),
        Ok(bytes) => {
            let authorization = one(&head.headers, &AUTHORIZATION);
            match authorization {
                Err(why) => Err(OauthError::new(OauthFault::InvalidRequest, why)),
                Ok(authorization) => match shown(house, peer, &head.headers) {
                    Err(error) => Err(error),
                    Ok(shown) => grant(house, &bytes, authorization, shown).await,
                },
            }
        }
    };
    let mut response = match answered {
        Ok(bytes) => body::json(StatusCode::OK, bytes),
        // A device that waits asks often; nothing happened.
        Err(error) if error.is_wait() => body::json(StatusCode::BAD_REQUEST, error.body()),
        Err(error) => refused(house, peer, "token-refused", &error),
    };
    give_nonce(house, response.headers_mut());
    response
}

/// The nonce that the next proof has to have, where proofs need one.
pub(super) fn give_nonce(house: &House, headers: &mut HeaderMap) {
    let nonces = house.engines.tokens.nonces.as_ref();
    let nonce = nonces.map(|nonces| nonces.now(house.engines.ambient.now_ms()));
    if let Some(Ok(nonce)) = nonce.map(HeaderValue::try_from) {
        headers.insert(DPOP_NONCE, nonce);
    }
}

/// Refuses, and records it.
pub(super) fn refused(house: &House, peer: &Peer, what: &str, error: &OauthError) -> Response<Body> {
    let (journal, from) = (&house.engines.journal, peer.address.ip());
    let detail = [("why", error.to_string()), ("peer", from.to_string())];
    journal.stranger(what, from, &detail);
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = body::json(status, error.body());
    if status == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static("Basic realm=\"sallyport\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, basic);
    }
    response
}

/// What a token is to be bound to.
pub(super) enum Shown {
    /// The client showed nothing, or a certificate.
    Certificate(Option<Arc<str>>),
    /// A proof that holds, and was not used yet.
    Proof(Proven),
}

impl Shown {
    /// What a token is bound to with it.
    pub(super) fn binding(&self) -> Option<Binding> {
        match self {
            Self::Certificate(certificate) => certificate.clone().map(Binding::Certificate),
            Self::Proof(proven) => Some(Binding::Key(Arc::clone(proven.key()))),
        }
    }

    /// Whoever has to prove a key or a certificate with each request gets no token that is bound to none: nobody would
    /// ever accept it, and that would be heard of at the first call alone.
    pub(super) fn binds_enough(&self, house: &House, actor: &Actor) -> Result<(), OauthError> {
        let is_agent = actor.kind != ActorKind::User;
        let agent = is_agent.then(|| house.engines.people.client(&actor.name));
        match (agent.flatten().and_then(|agent| agent.proof), self.binding()) {
            (Some(Proof::Dpop), None | Some(Binding::Certificate(_))) => {
                let why = format!(
                    "tokens of `{}` are bound to a key: send a `DPoP` proof",
                    actor.name
                );
                Err(refused_proof(why))
            }
            (Some(Proof::Mtls), None | Some(Binding::Key(_))) => {
                let why = format!(
                    "tokens of `{}` are bound to a certificate: come with it, and without a `DPoP` proof",
                    actor.name
                );
                Err(OauthError::new(OauthFault::InvalidRequest, why))
            }
            (Some(Proof::Dpop), Some(Binding::Key(_)))
            | (Some(Proof::Mtls), Some(Binding::Certificate(_)))
            | (Some(Proof::Signature) | None, _) => Ok(()),
        }
    }

    /// Uses the proof, once the client is known. Without it the token goes to nobody.
    pub(super) fn take(&self, house: &House) -> Result<(), OauthError> {
        let Self::Proof(proven) = self else {
            return Ok(());
        };
        let now_ms = house.engines.ambient.now_ms();
        let taken = house.engines.tokens.request_proofs.take(proven, now_ms);
        taken.map_err(|error| refused_proof(error.to_string()))
    }
}

/// What the client proves to have: a key, or else a certificate. A proof is only looked at here: whoever sends it is
/// still anybody, and must not fill what remembers those that were used.
fn shown(house: &House, peer: &Peer, headers: &HeaderMap) -> Result<Shown, OauthError> {
    let shown = one(headers, &DPOP).map_err(|why| refused_proof(why.to_owned()))?;
    let Some(shown) = shown else {
        let certificate = peer.tls.as_ref().and_then(|tls| tls.certificate.clone());
        return Ok(Shown::Certificate(certificate));
    };
    let url = format!("{}/oauth/token", house.base);
    let request = proof::Request {
        method: "POST",
        url: &url,
        token: None,
        nonces: house.engines.tokens.nonces.as_ref(),
    };
    let proven = proof::check(shown, request, house.engines.ambient.now_ms());
    proven.map(Shown::Proof).map_err(|error| {
        if error == ProofError::Nonce {
            return OauthError::new(OauthFault::UseDpopNonce, error.to_string());
        }
        refused_proof(error.to_string())
    })
}

fn refused_proof(why: String) -> OauthError {
    OauthError::new(OauthFault::InvalidDpopProof, why)
}

async fn grant(
    house: &House,
    bytes: &[u8],
    authorization: Option<&str>,
    shown: Shown,
) -> Result<Vec<u8>, OauthError> {
    let engines = &house.engines;
    let form = Form::parse(bytes)?;
    match form.get("grant_type") {
        Some("authorization_code") => return tokens::by_code(house, &form, authorization, &shown),
        Some(DEVICE_GRANT) => return tokens::by_device(house, &form, authorization, &shown),
        Some("refresh_token") => return tokens::by_refresh(house, &form, authorization, &shown),
        Some(_) | None => {}
    }
    let resources = resources(house);
    let now_ms = engines.ambient.now_ms();
    let vouchers = engines.tokens.vouchers(&form, now_ms).await;
    let vouchers = vouchers.map_err(|why| {
        let why = format!("the issuer's keys cannot be had: {why}");
        OauthError::new(OauthFault::InvalidGrant, why)
    })?;
    let may_declare = |client: &Client, declared: &DeclaredContext| {
        let person = engines
            .people
            .client(&client.id)
            .ok_or_else(|| "the client is gone".to_owned())?;
        engines.people.may_declare(&person, declared)
    };
    let endpoint = TokenEndpoint {
        issuer: &engines.tokens.issuer,
        vouchers: &vouchers,
        assertions: engines.tokens.taken(),
        clients: &engines.people,
        secrets: engines.people.key(),
        resources: &resources,
        contexts: &engines.tokens.contexts,
        may_declare,
    };
    let granted = endpoint.answer(TokenRequest {
        form: &form,
        authorization,
        binding: shown.binding(),
        now_ms: engines.ambient.now_ms(),
        token_id: engines.ambient.name().to_string(),
    })?;
    not_stopped(house, &granted.grant.actor, granted.grant.for_user.as_deref())?;
    shown.binds_enough(house, &granted.grant.actor)?;
    shown.take(house)?;
    note(house, &granted.grant);
    Ok(granted.body)
}

/// Whom the operator has stopped gets no token. A client tries again later: that may be lifted.
pub(super) fn not_stopped(house: &House, actor: &Actor, for_user: Option<&str>) -> Result<(), OauthError> {
    match house.engines.halts.of_actor(actor, for_user) {
        None => Ok(()),
        Some(halt) => {
            let why = format!("the operator has stopped {}", halt.target);
            Err(OauthError::new(OauthFault::TemporarilyUnavailable, why))
        }
    }
}

fn note(house: &House, grant: &Grant) {
    let purpose = grant
        .declared
        .as_ref()
        .and_then(|declared| declared.purpose.clone());
    let detail = [
        ("agent", grant.actor.name.clone()),
        ("user", grant.for_user.clone().unwrap_or_default()),
        ("token", grant.token_id.clone()),
        ("audience", grant.audience.to_string()),
        ("purpose", purpose.unwrap_or_default()),
    ];
    house.engines.journal.note(Kind::Session, "token-issued", &detail);
}

/// What tokens may be for: the whole gateway, a group of servers, or one.
pub(crate) fn resources(house: &House) -> Vec<ResourceId> {
    let whole = &house.engines.tokens.resource;
    let view = house.engines.keeper.view();
    let servers = view
        .registry
        .servers()
        .map(|server| whole.join(server.name.as_str()));
    let groups = house.groups.keys().map(|name| whole.join(name.as_str()));
    std::iter::once(whole.clone())
        .chain(groups)
        .chain(servers)
        .collect()
}

/// `/.well-known/oauth-authorization-server` and OpenID discovery.
pub(super) fn server_metadata(house: &House) -> Response<Body> {
    let endpoints = Endpoints {
        issuer: house.base.clone(),
        token: format!("{}/oauth/token", house.base),
        jwks: format!("{}/.well-known/jwks.json", house.base),
        revocation: format!("{}/oauth/revoke", house.base),
        introspection: format!("{}/oauth/introspect", house.base),
        authorization: format!("{}/oauth/authorize", house.base),
        people: house.authorization.offer().map(|offer| ForPeople {
            registration: (offer.registration == Switch::On)
                .then(|| format!("{}/oauth/register", house.base)),
            documents: offer.documents == Switch::On,
            device: format!("{}/oauth/device_authorization", house.base),
        }),
    };
    body::json(StatusCode::OK, oauth::authorization_server_metadata(&endpoints))
}

/// `/.well-known/oauth-protected-resource[/...]`
pub(super) fn resource_metadata(house: &House, path: &str) -> Response<Body> {
    let wanted = match path.trim_matches('/') {
        "" | "mcp" => Some(house.engines.tokens.resource.clone()),
        other => {
            let asked = ResourceId::parse(&format!("{}/{other}", house.base)).ok();
            asked.filter(|asked| resources(house).contains(asked))
        }
    };
    match wanted {
        Some(resource) => {
            // Who named issuers wants clients to go there; clients take the first. Of those where people log in
            // before they let programs in here, clients need not know.
            let external = house
                .authorization
                .elsewhere
                .not_behind(&house.engines.tokens.providers);
            let issuers: Vec<_> = external.chain([house.base.clone()]).collect();
            body::json(
                StatusCode::OK,
                oauth::protected_resource_metadata(&resource, &issuers),
            )
        }
        None => body::empty(StatusCode::NOT_FOUND),
    }
}

/// `/.well-known/jwks.json`
pub(super) fn keys(house: &House) -> Response<Body> {
    body::json(StatusCode::OK, house.engines.tokens.issuer.jwks())
}
