//! `POST /agents/enroll` and `/agents/rotate`: a program asks to become an agent, an agent brings its next key. Both
//! bodies are a JWS (`application/jwt`).

use std::sync::Arc;

use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE};
use identity::{
    Actor,
    enrolment::{Rotation, Wish},
    jose::{KeySet, claimed_subject},
    oauth::{ClientLookup, OauthError, OauthFault},
};
use records::ledger::Kind;
use wire::json::object;

use super::{
    House,
    body::{self, Body},
    gate::one,
    head::Peer,
    oauth::{not_stopped, refused},
};
use crate::{
    config::authorization::Switch,
    known::enrolments::{EnrolError, Enrolment, Standing},
    operate::admin,
};

const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// `POST /agents/enroll`
pub(super) async fn enroll(house: &Arc<House>, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    match signed(house, peer, What::Enrol, request).await {
        Err(Ok(response)) => response,
        Err(Err(error)) => refused(house, peer, "enrolment-refused", &error),
        Ok(text) => match ask(house, peer, &text) {
            Ok((status, body)) => body::json(status, body),
            Err(error) => refused(house, peer, "enrolment-refused", &error),
        },
    }
}

/// `POST /agents/rotate`
pub(super) async fn rotate(house: &Arc<House>, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    let rotated = match signed(house, peer, What::Rotate, request).await {
        Err(Ok(response)) => return response,
        Err(Err(error)) => Err(error),
        Ok(text) => next_key(house, &text),
    };
    match rotated {
        Ok(bytes) => body::json(StatusCode::OK, bytes),
        Err(error) => refused(house, peer, "rotation-refused", &error),
    }
}

/// What somebody wants here. Each has a pace of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Enrol,
    Rotate,
}

/// What was posted, where anybody may post now.
async fn signed(
    house: &House,
    peer: &Peer,
    what: What,
    request: Request<Incoming>,
) -> Result<String, Result<Response<Body>, OauthError>> {
    if house.enrolments.open == Switch::Off {
        return Err(Ok(body::empty(StatusCode::NOT_FOUND)));
    }
    if request.method() != Method::POST {
        return Err(Ok(body::empty(StatusCode::METHOD_NOT_ALLOWED)));
    }
    let now_ms = house.engines.ambient.now_ms();
    let (enrolments, from) = (&house.enrolments, peer.address.ip());
    let may = match what {
        What::Enrol => enrolments.may_ask(from, now_ms),
        What::Rotate => enrolments.may_rotate(from, now_ms),
    };
    may.map_err(|crowded| Err(later(&format!("nobody can ask now ({crowded:?}); try later"))))?;
    let (head, incoming) = request.into_parts();
    let content = one(&head.headers, &CONTENT_TYPE)
        .ok()
        .flatten()
        .unwrap_or_default();
    // Also what keeps a page of another origin from asking.
    if !content.trim().eq_ignore_ascii_case("application/jwt") {
        return Err(Err(invalid("the body is not announced as `application/jwt`")));
    }
    let bytes = body::read(incoming, REQUEST_BYTES_MAX).await;
    let bytes = bytes.map_err(|objection| Err(invalid(&objection.inside)))?;
    String::from_utf8(bytes).map_err(|_| Err(invalid("the body is no JWS")))
}

fn ask(house: &House, peer: &Peer, text: &str) -> Result<(StatusCode, Vec<u8>), OauthError> {
    let engines = &house.engines;
    let (tokens, now_ms) = (&engines.tokens, engines.ambient.now_ms());
    let wish = Wish::read(text.trim(), &tokens.assertion_audiences, now_ms);
    let wish = wish.map_err(|error| invalid(&error.to_string()))?;
    admin::fit_name(&wish.name).map_err(|why| invalid(&why))?;
    wish.take(&tokens.assertions, now_ms)
        .map_err(|why| invalid(&why.to_string()))?;
    let key = wish.key.thumbprint().to_owned();
    if let Some(agent) = engines.people.by_key(&key) {
        return Ok((StatusCode::OK, stands("approved", &key, Some(&agent.id))));
    }
    match house.enrolments.find(&key, now_ms).map(|one| one.state) {
        Some(Standing::Denied) => return Ok((StatusCode::FORBIDDEN, stands("denied", &key, None))),
        Some(Standing::Waiting) => return Ok((StatusCode::ACCEPTED, stands("waiting", &key, None))),
        None => {}
    }
    let detail = [
        ("agent", wish.name.clone()),
        ("key", key.clone()),
        ("peer", peer.address.ip().to_string()),
    ];
    let enrolment = Enrolment {
        name: wish.name,
        model: wish.model,
        keys: KeySet::of(vec![wish.key]),
        peer: peer.address.ip().to_string(),
        asked_ms: now_ms,
        state: Standing::Waiting,
    };
    house
        .enrolments
        .put(&key, enrolment, now_ms)
        .map_err(|error| match error {
            EnrolError::Crowded(crowded) => later(&format!("nobody can ask now ({crowded:?}); try later")),
            EnrolError::Store(error) => {
                tracing::error!(%error, "a request to become an agent cannot be stored");
                later("this cannot be stored now")
            }
        })?;
    engines.journal.note(Kind::Key, "agent-asked", &detail);
    Ok((StatusCode::ACCEPTED, stands("waiting", &key, None)))
}

fn next_key(house: &House, text: &str) -> Result<Vec<u8>, OauthError> {
    let engines = &house.engines;
    let (tokens, now_ms) = (&engines.tokens, engines.ambient.now_ms());
    let text = text.trim();
    // Whose keys to check with. Nothing but a claim until they did.
    let named = claimed_subject(text).unwrap_or_default();
    let unknown = || {
        OauthError::new(
            OauthFault::InvalidClient,
            "the agent is unknown, or has no key here",
        )
    };
    let client = ClientLookup::client(&engines.people, &named).ok_or_else(unknown)?;
    let rotation = Rotation::read(text, &client, &tokens.assertion_audiences, now_ms);
    let rotation = rotation.map_err(|error| invalid(&error.to_string()))?;
    // Whoever has the key may be why it was stopped.
    let actor = Actor {
        kind: client.kind,
        name: client.id.clone(),
    };
    not_stopped(house, &actor, None)?;
    let key = rotation.key.thumbprint().to_owned();
    let owner = engines.people.by_key(&key);
    rotation
        .take(&tokens.assertions, now_ms)
        .map_err(|why| invalid(&why.to_string()))?;
    if let Some(owner) = owner {
        // An agent that did not hear the answer asks again, by the key it has now.
        let is_all = client
            .keys
            .as_ref()
            .is_some_and(|keys| keys.thumbprints().eq([&*key]));
        if owner.id == client.id && is_all {
            return Ok(stands("rotated", &key, Some(&client.id)));
        }
        return Err(invalid("the key is an agent's already"));
    }
    admin::rotate_to(house, &client, rotation.key).map_err(|failure| invalid(&failure.to_string()))?;
    Ok(stands("rotated", &key, Some(&client.id)))
}

fn stands(status: &str, key: &str, agent: Option<&str>) -> Vec<u8> {
    object(|out| {
        out.string("status", status);
        out.string("key", key);
        if let Some(agent) = agent {
            out.string("agent", agent);
        }
    })
}

fn invalid(why: &str) -> OauthError {
    OauthError::new(OauthFault::InvalidRequest, why)
}

fn later(why: &str) -> OauthError {
    OauthError::new(OauthFault::TemporarilyUnavailable, why)
}
