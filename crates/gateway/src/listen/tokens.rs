//! What clients do with what people granted: tokens for codes and refresh tokens, `/oauth/revoke` (RFC 7009),
//! `/oauth/introspect` (RFC 7662), `/oauth/register` (RFC 7591).

use std::{collections::BTreeSet, sync::Arc};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use identity::{
    ActorKind, Login, Principal, ResourceId, Secret,
    oauth::{self, Besides, Form, OauthError, OauthFault, Presented, token_response},
    proof::Binding,
    token::{Grant, LIFETIME_MS_MAX},
};
use records::ledger::Kind;
use wire::json::{Document, Keys, ObjectWriter, object};

use super::{
    House,
    body::{self, Body},
    gate::one,
    head::Peer,
    oauth::{Shown, not_stopped, refused, resources},
};
use crate::{
    config::authorization::Switch,
    known::{
        authorization::{Issue, LoggedIn, REFRESH_DAYS, Record, Rotated, Taken, Vouched, devices::Told},
        people::Letting,
    },
    operate::admin::{end_grant, end_token},
    storage::store::StoreError,
};

/// The largest form and the largest registration read, in bytes.
const FORM_BYTES_MAX: usize = 64 * 1024;
const REGISTRATION_BYTES_MAX: usize = 16 * 1024;

/// `grant_type=authorization_code`
pub(super) fn by_code(
    house: &House,
    form: &Form,
    authorization: Option<&str>,
    shown: &Shown,
) -> Result<Vec<u8>, OauthError> {
    let client = client(house, form, authorization)?;
    let ambient = &house.engines.ambient;
    let code = form
        .get("code")
        .ok_or_else(|| invalid_request("`code` is missing"))?;
    let issue = match house.authorization.codes.take(code, ambient.now_ms()) {
        Taken::Once(issue) => *issue,
        Taken::Again(grant) => {
            // Somebody else has it: whoever used it first may not be who should have.
            if let Some(grant) = grant {
                end_grant(house, &grant, "its code was used twice").map_err(unstored)?;
            }
            return Err(invalid_grant(
                "the code was used before; what came of it has ended",
            ));
        }
        Taken::Unknown => return Err(invalid_grant("there is no such code, or its minute is over")),
    };
    fits(&issue, &client.id, form, shown)?;
    let (record, letting, secret) = begun(house, client, issue, shown)?;
    if house.authorization.codes.became(code, &record.id).is_none() {
        end_grant(house, &record.id, "its code was used twice").map_err(unstored)?;
        return Err(invalid_grant("the code was used twice"));
    }
    Ok(issued(house, &record, letting, shown.binding(), secret))
}

/// `grant_type=urn:ietf:params:oauth:grant-type:device_code`
pub(super) fn by_device(
    house: &House,
    form: &Form,
    authorization: Option<&str>,
    shown: &Shown,
) -> Result<Vec<u8>, OauthError> {
    let client = client(house, form, authorization)?;
    let code = form
        .get("device_code")
        .ok_or_else(|| invalid_request("`device_code` is missing"))?;
    let now_ms = house.engines.ambient.now_ms();
    let issue = match house.authorization.devices.ask(code, &client.id, now_ms) {
        Told::Yes(issue) => *issue,
        Told::No => return Err(OauthError::new(OauthFault::AccessDenied, "the person said no")),
        Told::Wait => {
            let why = "the person has not answered yet";
            return Err(OauthError::new(OauthFault::AuthorizationPending, why));
        }
        Told::Slower => return Err(OauthError::new(OauthFault::SlowDown, "ask less often")),
        Told::Unknown => {
            let why = "there is no such code, or its ten minutes are over";
            return Err(OauthError::new(OauthFault::ExpiredToken, why));
        }
    };
    same_resource(form, &issue.request.leave.resource)?;
    same_key(&issue, shown)?;
    let (record, letting, secret) = begun(house, client, issue, shown)?;
    Ok(issued(house, &record, letting, shown.binding(), secret))
}

/// What a person granted begins.
fn begun(
    house: &House,
    client: Client,
    issue: Issue,
    shown: &Shown,
) -> Result<(Record, Letting, Option<String>), OauthError> {
    let ambient = &house.engines.ambient;
    let leave = issue.request.leave;
    if !house.authorization.still_stands(&issue.login, ambient.now_ms()) {
        return Err(invalid_grant("what the person logged in with has changed"));
    }
    let letting = letting(
        house,
        &issue.login,
        issue.agent.as_deref(),
        leave.declared.as_ref(),
    )?;
    shown.binds_enough(house, &letting.actor)?;
    shown.take(house)?;
    let secret = issue.refreshes.then(|| ambient.secret());
    // What a client declared before it was let in again is the same work.
    let whose = identity::holder(
        &letting.actor,
        letting.for_user.as_deref(),
        letting.tenant.as_deref(),
    );
    let names = &house.engines.tokens.contexts;
    let opened = |declared| {
        names
            .of(&whose, declared)
            .unwrap_or_else(|| ambient.name().to_string())
    };
    let context = leave.declared.as_ref().map(opened);
    let now_ms = ambient.now_ms();
    let record = Record {
        id: ambient.name().to_string(),
        client: client.id,
        agent: issue.agent,
        login: issue.login,
        resource: leave.resource,
        scopes: leave.scopes.into_iter().collect(),
        context,
        declared: leave.declared,
        // A client with a secret proves itself with that.
        binding: shown.binding().filter(|_| client.is_public),
        secret: secret.as_deref().map(crate::known::authorization::digest),
        born_ms: now_ms,
        used_ms: now_ms,
        ended_ms: None,
    };
    let crowded = house
        .authorization
        .grants
        .begin(record.clone(), now_ms)
        .map_err(unstored)?;
    for grant in crowded {
        end_grant(house, &grant, "the user has too many").map_err(unstored)?;
    }
    Ok((record, letting, secret))
}

/// The code was issued for exactly this.
fn fits(issue: &Issue, client: &str, form: &Form, shown: &Shown) -> Result<(), OauthError> {
    let request = &issue.request;
    if request.leave.client != client {
        return Err(invalid_grant("the code is another client's"));
    }
    // OAuth 2.1 leaves it out, since PKCE does more; if it is there, it is right.
    if form
        .get("redirect_uri")
        .is_some_and(|uri| request.redirect().is_none_or(|redirect| uri != redirect.as_str()))
    {
        return Err(invalid_grant(
            "`redirect_uri` is not that of the authorization request",
        ));
    }
    let verifier = form
        .get("code_verifier")
        .ok_or_else(|| invalid_request("`code_verifier` is missing"))?;
    if !request.is_verified_by(verifier) {
        return Err(invalid_grant("`code_verifier` does not fit `code_challenge`"));
    }
    same_resource(form, &request.leave.resource)?;
    same_key(issue, shown)
}

/// Whoever named a key before shows it now.
fn same_key(issue: &Issue, shown: &Shown) -> Result<(), OauthError> {
    let named = issue.request.leave.key.as_deref();
    let key = match shown.binding() {
        Some(Binding::Key(key)) => Some(key),
        Some(Binding::Certificate(_)) | None => None,
    };
    if named.is_some() && named != key.as_deref() {
        return Err(OauthError::new(
            OauthFault::InvalidDpopProof,
            "the proof is not by the key of `dpop_jkt`",
        ));
    }
    Ok(())
}

/// `grant_type=refresh_token`
pub(super) fn by_refresh(
    house: &House,
    form: &Form,
    authorization: Option<&str>,
    shown: &Shown,
) -> Result<Vec<u8>, OauthError> {
    let client = client(house, form, authorization)?;
    let ambient = &house.engines.ambient;
    let token = form
        .get("refresh_token")
        .ok_or_else(|| invalid_request("`refresh_token` is missing"))?;
    let secret = ambient.secret();
    let check = |record: &Record| {
        if client.is_public && record.binding.is_some() && record.binding != shown.binding() {
            return Err(invalid_grant(
                "the refresh token is bound to a key or a certificate that was not shown",
            ));
        }
        same_resource(form, &record.resource)?;
        let asked: Vec<&str> = form.get("scope").unwrap_or_default().split(' ').collect();
        if asked
            .iter()
            .any(|scope| !scope.is_empty() && !record.scopes.iter().any(|known| known == scope))
        {
            return Err(OauthError::new(
                OauthFault::InvalidScope,
                "the person did not grant that scope",
            ));
        }
        if !house.authorization.still_stands(&record.login, ambient.now_ms()) {
            return Err(invalid_grant("what the person logged in with has changed"));
        }
        let letting = letting(
            house,
            &record.login,
            record.agent.as_deref(),
            record.declared.as_ref(),
        )?;
        shown.binds_enough(house, &letting.actor)?;
        shown.take(house)?;
        Ok(letting)
    };
    let mut let_in = None;
    let rotated = house
        .authorization
        .grants
        .rotate(token, &client.id, &secret, ambient.now_ms(), |record| {
            let_in = Some(check(record)?);
            Ok::<(), OauthError>(())
        });
    match (rotated.map_err(unstored)??, let_in) {
        (Rotated::Good(record), Some(letting)) => {
            house
                .authorization
                .registered
                .used(&record.client, ambient.now_ms())
                .map_err(unstored)?;
            Ok(issued(house, &record, letting, shown.binding(), Some(secret)))
        }
        (Rotated::Reused(record), _) => {
            end_grant(house, &record.id, "an earlier refresh token was used").map_err(unstored)?;
            Err(invalid_grant(
                "the refresh token was used before; what was granted has ended",
            ))
        }
        (Rotated::Good(_) | Rotated::Unknown, _) => Err(invalid_grant(
            "there is no such refresh token, or what was granted has ended",
        )),
    }
}

/// Mints, and says so.
fn issued(
    house: &House,
    record: &Record,
    letting: Letting,
    binding: Option<Binding>,
    secret: Option<String>,
) -> Vec<u8> {
    let engines = &house.engines;
    let grant = Grant {
        actor: letting.actor,
        for_user: letting.for_user,
        tenant: letting.tenant,
        model: letting.model,
        scopes: record.scopes.iter().cloned().collect::<BTreeSet<_>>(),
        // A new token of the same grant is in the same context: nothing that was read is washed off by it.
        context: record.context.clone(),
        declared: record.declared.clone(),
        audience: record.resource.clone(),
        token_id: engines.ambient.name().to_string(),
        issued_ms: engines.ambient.now_ms(),
        binding,
        lifetime_ms: LIFETIME_MS_MAX,
        asserted: record.login.elsewhere.as_ref().map(Vouched::asserted),
    };
    let login = Login {
        client: record.client.clone(),
        grant: record.id.clone(),
        at_ms: record.login.at_ms,
        methods: record.login.methods.clone(),
        acr: record.login.acr.clone(),
    };
    let token = engines.tokens.issuer.mint_for_login(&grant, &login);
    let agent = record.agent.clone().unwrap_or_default();
    let detail = [
        ("agent", agent),
        ("user", record.login.user.clone()),
        ("client", record.client.clone()),
        ("grant", record.id.clone()),
        ("token", grant.token_id.clone()),
        ("audience", grant.audience.to_string()),
    ];
    engines.journal.note(Kind::Session, "token-issued", &detail);
    let refresh = secret.map(|secret| format!("{}.{secret}", record.id));
    let besides = Besides {
        refresh_token: refresh.as_deref(),
        ..Besides::default()
    };
    token_response(&grant, &token, besides)
}

/// A client that people let in, who proved to be it as far as it can.
pub(super) struct Client {
    pub(super) id: String,
    is_public: bool,
}

pub(super) fn client(house: &House, form: &Form, authorization: Option<&str>) -> Result<Client, OauthError> {
    let presented = Presented::read(form, authorization)?;
    let known = house
        .authorization
        .secret_of(&presented.id, house.engines.ambient.now_ms());
    let secret = known.ok_or_else(Presented::unknown)?;
    presented.prove(secret.as_ref(), house.engines.people.key())?;
    Ok(Client {
        id: presented.id,
        is_public: secret.is_none(),
    })
}

/// The same, or an agent or service with its secret or its key.
fn anybody(house: &House, form: &Form, authorization: Option<&str>) -> Result<Client, OauthError> {
    let error = match client(house, form, authorization) {
        Ok(client) => return Ok(client),
        Err(error) => error,
    };
    let engines = &house.engines;
    let (people, taken) = (&engines.people, engines.tokens.taken());
    let shown = (form, authorization);
    let proven = oauth::authenticate(people, people.key(), taken, shown, engines.ambient.now_ms());
    // What the first look found says more of who is no agent at all.
    proven
        .map(|client| Client {
            id: client.id,
            is_public: false,
        })
        .map_err(|_| error)
}

fn letting(
    house: &House,
    login: &LoggedIn,
    agent: Option<&str>,
    declared: Option<&identity::DeclaredContext>,
) -> Result<Letting, OauthError> {
    let letting = house.engines.people.letting(login, agent, declared);
    let letting = letting.map_err(|why| invalid_grant(&why))?;
    not_stopped(house, &letting.actor, letting.for_user.as_deref())?;
    Ok(letting)
}

fn same_resource(form: &Form, granted: &ResourceId) -> Result<(), OauthError> {
    let Some(named) = form.get("resource") else {
        return Ok(());
    };
    if ResourceId::parse(named).as_ref() == Ok(granted) {
        return Ok(());
    }
    Err(OauthError::new(
        OauthFault::InvalidTarget,
        "`resource` is not what the person granted",
    ))
}

/// `POST /oauth/revoke`
pub(super) async fn revoke(house: &Arc<House>, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    let answered = asked(request).await.and_then(|asked| {
        let client = anybody(house, &asked.form, asked.authorization.as_deref())?;
        let token = asked
            .form
            .get("token")
            .ok_or_else(|| invalid_request("`token` is missing"))?;
        if let Some(record) = house.authorization.grants.of_token(token) {
            if record.client == client.id {
                end_grant(house, &record.id, "its client revoked it").map_err(unstored)?;
            }
            return Ok(());
        }
        if let Some((_, principal)) = own(house, token, &client) {
            end_token(house, &principal, "its client revoked it").map_err(unstored)?;
        }
        // RFC 7009, section 2.2: whether there was such a token is nobody's business.
        Ok(())
    });
    match answered {
        Ok(()) => body::empty(StatusCode::OK),
        Err(error) => refused(house, peer, "revocation-refused", &error),
    }
}

/// `POST /oauth/introspect`: what a token is, for the client it was issued to and for nobody else.
pub(super) async fn introspect(
    house: &Arc<House>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    let answered = asked(request).await.and_then(|asked| {
        let client = anybody(house, &asked.form, asked.authorization.as_deref())?;
        if client.is_public {
            return Err(Presented::unknown());
        }
        let token = asked
            .form
            .get("token")
            .ok_or_else(|| invalid_request("`token` is missing"))?;
        let now_ms = house.engines.ambient.now_ms();
        let grants = &house.authorization.grants;
        if let Some(record) = grants
            .is_current(token, now_ms)
            .filter(|record| record.client == client.id)
        {
            return Ok(object(|out| about_grant(&record, &house.base, out)));
        }
        let found = own(house, token, &client);
        let found = found.filter(|(_, principal)| !house.engines.tokens.cache.is_revoked(principal));
        Ok(match found {
            Some((audience, principal)) => object(|out| about(&principal, &audience, &house.base, out)),
            None => object(|out| out.boolean("active", false)),
        })
    });
    match answered {
        Ok(bytes) => body::json(StatusCode::OK, bytes),
        Err(error) => refused(house, peer, "introspection-refused", &error),
    }
}

fn about(principal: &Principal, audience: &ResourceId, issuer: &str, out: &mut ObjectWriter<'_>) {
    out.boolean("active", true);
    out.string("iss", issuer);
    out.string("aud", audience.as_str());
    let actor = &principal.actor().name;
    out.string(
        "client_id",
        principal
            .login()
            .map_or(actor.as_str(), |login| login.client.as_str()),
    );
    out.string("sub", principal.for_user().unwrap_or(actor));
    if principal.for_user().is_some() {
        out.object("act", |act| act.string("sub", actor));
    }
    let scopes: Vec<&str> = principal.scopes().iter().map(String::as_str).collect();
    out.string("scope", &scopes.join(" "));
    out.integer("iat", principal.issued_ms().div_euclid(1000));
    out.integer("exp", principal.expires_ms().div_euclid(1000));
    if let Some(id) = principal.token_id() {
        out.string("jti", id);
    }
    let is_bound = matches!(principal.binding(), Some(Binding::Key(_)));
    out.string("token_type", if is_bound { "DPoP" } else { "Bearer" });
    match principal.binding() {
        Some(Binding::Key(key)) => out.object("cnf", |cnf| cnf.string("jkt", key)),
        Some(Binding::Certificate(digest)) => out.object("cnf", |cnf| cnf.string("x5t#S256", digest)),
        None => {}
    }
}

fn about_grant(record: &Record, issuer: &str, out: &mut ObjectWriter<'_>) {
    out.boolean("active", true);
    out.string("iss", issuer);
    out.string("aud", record.resource.as_str());
    out.string("client_id", &record.client);
    out.string("sub", &record.login.user);
    out.string("scope", &record.scopes.join(" "));
    out.integer("iat", record.used_ms.div_euclid(1000));
    out.integer(
        "exp",
        (record.born_ms + REFRESH_DAYS * 24 * 3600 * 1000).div_euclid(1000),
    );
}

/// What an access token of this very client proves, and for which resource.
fn own(house: &House, token: &str, client: &Client) -> Option<(ResourceId, Principal)> {
    let (tokens, now_ms) = (&house.engines.tokens, house.engines.ambient.now_ms());
    let token = Secret::presented(token.to_owned());
    let verified = resources(house).into_iter().find_map(|resource| {
        let principal = tokens.verifier.verify(&token, &resource, now_ms).ok()?;
        Some((resource, principal))
    });
    verified.filter(|(_, principal)| {
        let actor = principal.actor();
        let is_let_in = principal.login().is_some_and(|login| login.client == client.id);
        // Users' names are not clients'.
        is_let_in || actor.kind != ActorKind::User && actor.name == client.id
    })
}

/// `POST /oauth/register`
pub(super) async fn register(house: &Arc<House>, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    let offer = house.authorization.offer();
    if offer.is_none_or(|offer| offer.registration == Switch::Off) {
        return body::empty(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::POST {
        return body::only("POST");
    }
    let (head, incoming) = request.into_parts();
    let content = one(&head.headers, &CONTENT_TYPE)
        .ok()
        .flatten()
        .unwrap_or_default();
    // Also what keeps a page of another origin from registering here.
    if !content
        .split(';')
        .next()
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    {
        return refused(
            house,
            peer,
            "registration-refused",
            &invalid_request("the body is not announced as JSON"),
        );
    }
    let read = body::read(incoming, REGISTRATION_BYTES_MAX).await;
    let registered = read
        .map_err(|objection| invalid_request(&objection.inside))
        .and_then(|bytes| {
            let ambient = &house.engines.ambient;
            let now_ms = ambient.now_ms();
            let document = Document::parse(bytes, Keys::Folded, &wire::bounds::CREDENTIAL);
            let document = document
                .map_err(|error| OauthError::new(OauthFault::InvalidClientMetadata, error.to_string()))?;
            let client = oauth::read_registration(document.root(), ambient.name().to_string())?;
            let all = &house.authorization.registered;
            all.may_register(peer.address.ip(), now_ms).map_err(|crowded| {
                let why = format!("nobody can register now ({crowded:?}); try later");
                OauthError::new(OauthFault::TemporarilyUnavailable, why)
            })?;
            all.put(client.clone(), now_ms).map_err(unstored)?;
            Ok((client, now_ms))
        });
    match registered {
        Ok((client, now_ms)) => {
            let detail = [
                ("client", client.id.clone()),
                ("name", client.name.clone()),
                ("peer", peer.address.ip().to_string()),
            ];
            house
                .engines
                .journal
                .note(Kind::Session, "client-registered", &detail);
            body::json(StatusCode::CREATED, oauth::registered(&client, now_ms))
        }
        Err(error) => refused(house, peer, "registration-refused", &error),
    }
}

/// A form that was posted.
pub(super) struct Asked {
    pub(super) form: Form,
    pub(super) authorization: Option<String>,
}

pub(super) async fn asked(request: Request<Incoming>) -> Result<Asked, OauthError> {
    if request.method() != Method::POST {
        return Err(invalid_request("use POST"));
    }
    let (head, incoming) = request.into_parts();
    let bytes = body::read(incoming, FORM_BYTES_MAX).await;
    let bytes = bytes.map_err(|objection| invalid_request(&objection.inside))?;
    let authorization = one(&head.headers, &AUTHORIZATION).map_err(invalid_request)?;
    Ok(Asked {
        form: Form::parse(&bytes)?,
        authorization: authorization.map(str::to_owned),
    })
}

fn invalid_request(why: &str) -> OauthError {
    OauthError::new(OauthFault::InvalidRequest, why)
}

fn invalid_grant(why: &str) -> OauthError {
    OauthError::new(OauthFault::InvalidGrant, why)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unstored(error: StoreError) -> OauthError {
    tracing::error!(%error, "what people granted cannot be stored");
    OauthError::new(OauthFault::TemporarilyUnavailable, "this cannot be stored now")
}
