//! Which revision of MCP a message is in: what its body says, and over HTTP its headers, which must agree with it.

use std::borrow::Cow;

use hyper::{HeaderMap, header::HeaderName};
use pipeline::{Objection, refusal};
use wire::{
    json::{Node, object},
    jsonrpc::Message,
    mcp::{Era, Method, Mirrored, Revision, Shape, code, meta},
};

use super::{gate::one, head::VERSION, mcp::Visit};
use crate::engines::{SPOKEN, settle};

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

impl Visit {
    /// Which revision a message is in: what its body and its headers say, and they must agree.
    pub(super) fn revision(
        &self,
        headers: &HeaderMap,
        message: &Message,
        session: Option<&str>,
    ) -> Result<Revision, Objection> {
        let bad = |why: &str| Objection::new(&refusal::HEADER_MISMATCH, why);
        let header = one(headers, &VERSION).map_err(bad)?;
        let in_body = said(message);
        let modern_header = header
            .and_then(Revision::parse)
            .is_some_and(|r| r.era() == Era::Modern);
        if in_body.is_some() || modern_header || message.method() == Some(Method::ServerDiscover) {
            return modern(headers, message, header, in_body);
        }
        let named = header.map(spoken).transpose()?;
        if message.method() == Some(Method::Initialize) {
            let asked = message.params().and_then(|params| params.get("protocolVersion"));
            return Ok(settle(asked.and_then(Node::as_str).as_deref()));
        }
        let session = session.and_then(|id| self.house.engines.sessions.peek(id));
        match (session, named) {
            (Some(session), named) => agrees(named, session.revision).map(|()| session.revision),
            // The road will say that the session is missing, or first that the credential is.
            (None, named) => Ok(named.unwrap_or(Revision::LATEST_LEGACY)),
        }
    }
}

/// The revision a header names, if it is spoken here.
fn spoken(text: &str) -> Result<Revision, Objection> {
    let revision = Revision::parse(text).filter(|revision| SPOKEN.contains(revision));
    revision.ok_or_else(|| unsupported(text))
}

/// Whether requests of a session say the revision that `initialize` settled on. 2025-03-26 knows no such header and is what
/// its absence stands for (streamable HTTP, 2025-06-18), so who names that one says nothing; the official suite 0.1.16 does
/// in sessions of 2025-11-25. Nothing is decided on it either: the session's revision stands.
fn agrees(named: Option<Revision>, session: Revision) -> Result<(), Objection> {
    match named {
        None | Some(Revision::V2025_03_26) => Ok(()),
        Some(named) if named == session => Ok(()),
        Some(named) => {
            let why = format!("`MCP-Protocol-Version` is {named}, and the session's revision is {session}");
            let objection = Objection::new(&refusal::REQUEST_INVALID, why.clone()).showing(why);
            Err(objection.remedied(format!("send `MCP-Protocol-Version: {session}` in this session")))
        }
    }
}

/// The same of a request without a body.
pub(super) fn belongs(headers: &HeaderMap, session: Revision) -> Result<(), Objection> {
    let header = one(headers, &VERSION).map_err(|why| Objection::new(&refusal::HEADER_MISMATCH, why))?;
    agrees(header.map(spoken).transpose()?, session)
}

/// Checks a message of the modern era: version, required `_meta`, and headers that mirror the body.
fn modern(
    headers: &HeaderMap,
    message: &Message,
    header: Option<&str>,
    in_body: Option<Node<'_>>,
) -> Result<Revision, Objection> {
    let said = version(in_body)?;
    let mirrored = Mirrored {
        protocol_version: header,
        method: one(headers, &METHOD).map_err(|why| Objection::new(&refusal::HEADER_MISMATCH, why))?,
        name: one(headers, &NAME).map_err(|why| Objection::new(&refusal::HEADER_MISMATCH, why))?,
    };
    mirrored.agree(message).map_err(|mismatch| {
        Objection::new(&refusal::HEADER_MISMATCH, mismatch.to_string()).showing(mismatch.to_string())
    })?;
    complete(message, &said)
}

/// The version that a message names by itself. Only those of the modern era do.
fn said(message: &Message) -> Option<Node<'_>> {
    message.params().and_then(meta::of)?.get(meta::PROTOCOL_VERSION)
}

/// The revision of a message that came over a connection without headers; none if it is in that of the connection's
/// session.
pub(super) fn alone(message: &Message) -> Option<Result<Revision, Objection>> {
    let said = said(message);
    let is_modern = said.is_some() || message.method() == Some(Method::ServerDiscover);
    is_modern.then(|| complete(message, &version(said)?))
}

fn version<'v>(in_body: Option<Node<'v>>) -> Result<Cow<'v, str>, Objection> {
    let said = in_body.and_then(Node::as_str);
    said.ok_or_else(|| missing(meta::PROTOCOL_VERSION))
}

fn missing(what: &str) -> Objection {
    let why = format!("`_meta[\"{what}\"]` is required");
    Objection::new(&MISSING_META, why.clone()).showing(why)
}

/// Checks what a message of the modern era says of itself, however it came: version and required `_meta`.
fn complete(message: &Message, said: &str) -> Result<Revision, Objection> {
    let revision = Revision::parse(said).filter(|r| r.era() == Era::Modern && SPOKEN.contains(r));
    let revision = revision.ok_or_else(|| unsupported(said))?;
    let wants = message
        .method()
        .is_some_and(|method| method.shape() == Shape::Request);
    if wants && declared(message).is_none() {
        return Err(missing(meta::CLIENT_CAPABILITIES));
    }
    Ok(revision)
}

/// A request of the modern era that lacks what each must have: HTTP 400 and -32602.
static MISSING_META: refusal::Code = refusal::Code {
    http: 400,
    rpc: code::INVALID_PARAMS,
    ..refusal::PARAMS_INVALID
};

/// What a client of the modern era says it can do.
pub(super) fn declared(message: &Message) -> Option<Node<'_>> {
    let declared = message
        .params()
        .and_then(meta::of)?
        .get(meta::CLIENT_CAPABILITIES)?;
    (declared.kind() == wire::json::Kind::Object).then_some(declared)
}

fn unsupported(requested: &str) -> Objection {
    let requested: String = requested.chars().take(64).collect();
    let data = object(|out| {
        out.array("supported", |list| {
            SPOKEN.iter().for_each(|revision| list.string(revision.as_str()))
        });
        out.string("requested", &requested);
    });
    let why = format!("version `{}` is not spoken here", requested.escape_debug());
    Objection {
        data: Some(data.into_boxed_slice()),
        ..Objection::new(&refusal::VERSION_UNSUPPORTED, why)
    }
}
