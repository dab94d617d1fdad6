//! What the head of an HTTP request says: revision, media types, mirrored arguments, credential. It must not know
//! what the message says.

use std::{net::SocketAddr, sync::Arc};

use hyper::{
    HeaderMap,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use identity::{
    LocalPeer, Secret,
    signature::{self, BodyDigests},
};
use pipeline::{Credential, Objection, Possession, SignedRequest, Tls, Via, refusal};
use wire::mcp::{PARAM_HEADER_PREFIX, Revision};

use super::{gate::one, mcp::Visit};

use crate::tls::Welcome;

/// The proof of a token that is bound to a key (RFC 9449).
pub(super) const DPOP: HeaderName = HeaderName::from_static("dpop");
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// A signature of the request itself (RFC 9421).
const SIGNATURE: [HeaderName; 2] = [
    HeaderName::from_static("signature"),
    HeaderName::from_static("signature-input"),
];

pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The revision to answer in before the message was read.
pub(super) fn guess(headers: &HeaderMap) -> Revision {
    let named = one(headers, &VERSION).ok().flatten().and_then(Revision::parse);
    named.unwrap_or(Revision::LATEST_LEGACY)
}

/// Whether a body is announced as JSON. A form of a page cannot say so without asking first (CORS): this is what keeps a
/// browser from posting here across origins.
pub(super) fn says_json(headers: &HeaderMap) -> Result<(), Objection> {
    let content = one(headers, &CONTENT_TYPE).ok().flatten().unwrap_or_default();
    let essence = content.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let why = "the body is not announced as JSON";
    Err(Objection::new(&refusal::MEDIA_TYPE, why))
}

/// Whether a message may be posted so.
pub(super) fn accepts(headers: &HeaderMap) -> Result<(), Objection> {
    says_json(headers)?;
    // Word for word what nearly every client says.
    let says_both = |value: &HeaderValue| value == "application/json, text/event-stream";
    if headers.get(ACCEPT).is_some_and(says_both)
        || accepted(headers, "application/json") && accepted(headers, "text/event-stream")
    {
        return Ok(());
    }
    Err(Objection::new(
        &refusal::NOT_ACCEPTABLE,
        "the client does not accept both JSON and event streams",
    ))
}

/// Whether `Accept` names streams before JSON.
pub(super) fn prefers_stream(headers: &HeaderMap) -> bool {
    let first = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    first.is_some_and(|accept| accept.trim_start().starts_with("text/event-stream"))
}

/// Whether `Accept` has this type, itself or by a wildcard.
pub(super) fn accepted(headers: &HeaderMap, wanted: &str) -> bool {
    let group = wanted.split('/').next().unwrap_or_default();
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            range.eq_ignore_ascii_case(wanted)
                || range == "*/*"
                || range
                    .strip_suffix("/*")
                    .is_some_and(|own| own.eq_ignore_ascii_case(group))
        })
}

/// Headers that mirror arguments, as sent. One that is no text says nothing an argument could say.
pub(super) fn mirrored(headers: &HeaderMap) -> Arc<[(String, String)]> {
    let mirrored = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with(PARAM_HEADER_PREFIX));
    mirrored
        .map(|(name, value)| {
            let value = value.to_str().unwrap_or("=?base64??=?");
            (name.as_str().to_owned(), value.to_owned())
        })
        .collect()
}

/// Whether a request claims to be signed itself.
pub(super) fn is_signed(headers: &HeaderMap) -> bool {
    SIGNATURE.iter().any(|name| headers.contains_key(name))
}

/// What was signed of a request whose body was read.
fn signed(headers: &HeaderMap, visit: &Visit, body: BodyDigests) -> signature::Message {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    signature::Message {
        method: visit.method.to_string(),
        base: visit.house.base.clone(),
        path: visit.path.to_string(),
        query: visit.query.as_deref().map(str::to_owned),
        fields: headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body,
    }
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The address as it is written: each message that comes over the connection has it in its entries.
    pub(super) written: Arc<str>,
    pub(super) tls: Option<Tls>,
    /// Whether its certificates still let it come, where there is TLS.
    pub(super) welcome: Option<Welcome>,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, tls: Option<Tls>, welcome: Option<Welcome>) -> Self {
        Self {
            address,
            written: Arc::from(address.to_string()),
            tls,
            welcome,
        }
    }

    /// Returns once it may not come any more.
    pub(super) async fn unwelcome(&self) {
        match &self.welcome {
            Some(welcome) => drop(welcome.ends().await),
            None => std::future::pending().await,
        }
    }

    /// How somebody came who has not sent a message.
    pub(super) fn via(&self) -> Via {
        Via {
            transport: "http",
            peer: Some(self.written.as_ref().to_owned()),
            tls: self.tls.clone(),
            ..Via::default()
        }
    }
}

/// What the caller shows. A loopback address is somebody on this machine only if nobody forwards.
pub(super) fn credential(headers: &HeaderMap, visit: &Visit) -> Credential {
    const FORWARDED: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];
    // Two credentials prove nothing, nor does half of one.
    let nothing = || Credential::Bearer(Secret::presented(String::new()));
    let bearer = |header: &str| {
        let (scheme, token) = header.split_once(' ')?;
        let token = scheme.eq_ignore_ascii_case("bearer").then_some(token)?;
        Some(Secret::presented(token.trim().to_owned()))
    };
    if is_signed(headers) {
        // Where the body is not known, nothing is known to be signed.
        let (Some(body), Ok(header)) = (visit.body, one(headers, &AUTHORIZATION)) else {
            return nothing();
        };
        let token = header.map(bearer);
        let message = signed(headers, visit, body);
        return match token {
            Some(None) => nothing(),
            Some(token) => Credential::Signed(Arc::new(SignedRequest { token, message })),
            None => Credential::Signed(Arc::new(SignedRequest { token: None, message })),
        };
    }
    let header = match one(headers, &AUTHORIZATION) {
        Ok(Some(header)) => header,
        Err(_) => return nothing(),
        Ok(None) if FORWARDED.iter().any(|name| headers.contains_key(*name)) => return Credential::None,
        Ok(None) => {
            let workload = visit.peer.tls.as_ref().and_then(|tls| tls.workload.clone());
            let local = || Credential::Local(LocalPeer::Tcp(visit.peer.address.ip()));
            return workload.map_or_else(local, Credential::Workload);
        }
    };
    if let Some(token) = bearer(header) {
        return Credential::Bearer(token);
    }
    let (scheme, token) = header.split_once(' ').unwrap_or_default();
    let token = Secret::presented(token.trim().to_owned());
    match one(headers, &DPOP) {
        Ok(Some(proof)) if scheme.eq_ignore_ascii_case("dpop") => {
            Credential::Possessed(Arc::new(Possession {
                token,
                proof: proof.to_owned(),
                method: visit.method.to_string(),
                url: format!("{}{}", visit.house.base, visit.path),
            }))
        }
        Ok(_) | Err(_) => nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_accepted_by_its_name_or_by_a_wildcard() {
        let is_accepted = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            accepted(&headers, "application/json")
        };
        for accept in [
            "application/json",
            "text/html, Application/JSON;q=0.5",
            "*/*",
            "application/*;q=0.1",
        ] {
            assert!(is_accepted(accept), "{accept}");
        }
        for accept in [
            "",
            "text/*",
            "application",
            "application/*x",
            "/*",
            "applications/*",
        ] {
            assert!(!is_accepted(accept), "{accept}");
        }
    }
}
