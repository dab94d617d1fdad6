//! `POST /oauth/device_authorization`: a program without a browser asks for a person's leave (RFC 8628). The person's
//! side, `/oauth/device`, is in `authorize.rs`, where all leave is given.

use std::sync::Arc;

use hyper::{Request, Response, StatusCode, body::Incoming};
use identity::oauth::{Leave, OauthError, OauthFault};
use records::ledger::Kind;
use wire::json::object;

use super::{
    House,
    body::{self, Body},
    head::Peer,
    oauth::{refused, resources},
    tokens::{asked, client},
};
use crate::known::authorization::devices::{LIFE_MS, PACE_MS, shown};

/// Answers a device.
pub(super) async fn begin(house: &Arc<House>, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    if house.authorization.offer().is_none() {
        return body::empty(StatusCode::NOT_FOUND);
    }
    match begun(house, peer, request).await {
        Ok(answer) => body::json(StatusCode::OK, answer),
        Err(error) => refused(house, peer, "device-refused", &error),
    }
}

async fn begun(house: &Arc<House>, peer: &Peer, request: Request<Incoming>) -> Result<Vec<u8>, OauthError> {
    let asked = asked(request).await?;
    let id = client(house, &asked.form, asked.authorization.as_deref())?.id;
    let (from, ambient) = (peer.address.ip(), &house.engines.ambient);
    let registered = house.authorization.client(&id, from, ambient).await;
    let registered = registered.map_err(|why| OauthError::new(OauthFault::InvalidClient, why))?;
    let leave = Leave::read(&asked.form, &registered, &resources(house))?;
    let begun = house.authorization.devices.begin(leave, from, ambient);
    let begun = begun.ok_or_else(|| {
        OauthError::new(
            OauthFault::TemporarilyUnavailable,
            "too many devices wait for a person; try later",
        )
    })?;
    let detail = [("client", id), ("peer", from.to_string())];
    house.engines.journal.note(Kind::Session, "device-begun", &detail);
    let (at, code) = (format!("{}/oauth/device", house.base), shown(&begun.user_code));
    Ok(object(|out| {
        out.string("device_code", &begun.device_code);
        out.string("user_code", &code);
        out.string("verification_uri", &at);
        out.string("verification_uri_complete", &format!("{at}?user_code={code}"));
        out.integer("expires_in", LIFE_MS / 1000);
        out.integer("interval", PACE_MS / 1000);
    }))
}
