//! `/v1/...`: the APIs of models, in their own words, on the one road.
//!
//! An answer is asked for whole and screened whole before anybody sees any of it: what is redacted, or makes a rule withhold
//! the rest, may begin in one piece and end in the next. A client that asked for a stream gets one all the same.

use std::time::Duration;

use bytes::Bytes;
use hyper::{
    HeaderMap, Method as HttpMethod, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, AUTHORIZATION, HeaderName, HeaderValue},
};
use identity::{Secret, signature::BodyDigests};
use pipeline::{
    Body as Said, Credential, Objection, Refusal, Reply,
    ports::Stranger,
    refusal::{self, Code},
};
use tokio::sync::mpsc;
use wire::{
    bounds::{ANSWER, REQUEST},
    json::{Document, Keys, Node, Writer, object},
    jsonrpc::{self, Message},
    mcp::{Method, Revision},
    model::{self, Api},
};

use super::{
    body::{self, Body},
    gate::one,
    head::{is_signed, says_json},
    mcp::{Visit, unreadable},
    stream::written,
};
use crate::conversations::present::{Asked, outcome};

/// How a client of Anthropic's shows its key. Here it is a token like any other.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Under which names clients of either maker look for the reference of a call.
const REFERENCES: [HeaderName; 2] = [
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-request-id"),
];
/// After this long without an answer a stream begins, so that nobody takes it for dead. Before, a refusal has its status.
const QUIET: Duration = Duration::from_secs(1);
/// Behind this stands the name of one model.
const ONE: &str = "/v1/models/";

/// Answers a request.
pub(super) async fn answer(mut visit: Visit, request: Request<Incoming>) -> Response<Body> {
    let (allowed, method) = match &*visit.path {
        "/v1/chat/completions" => (HttpMethod::POST, Method::ModelChat),
        "/v1/messages" => (HttpMethod::POST, Method::ModelMessages),
        "/v1/messages/count_tokens" => (HttpMethod::POST, Method::ModelTokens),
        "/v1/responses" => (HttpMethod::POST, Method::ModelResponses),
        _ => (HttpMethod::GET, Method::ModelList),
    };
    if *request.method() != allowed {
        let mut response = body::empty(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_str(allowed.as_str());
        response
            .headers_mut()
            .extend(allowed.ok().map(|allowed| (ALLOW, allowed)));
        return response;
    }
    let (head, incoming) = request.into_parts();
    visit.proven = key(&head.headers);
    let mut wants = Wants::of(method);
    wants.model = visit.path.strip_prefix(ONE).map(decoded);
    let message = match read(&mut visit, &head.headers, incoming, (method, &wants)).await {
        Ok(message) => message,
        Err(objection) => {
            let refusal = turn_away(&visit, method, objection).await;
            return refused(&visit, &wants, refusal);
        }
    };
    wants.read(&message);
    if wants.stream {
        return streamed(visit, head.headers, message, wants).await;
    }
    match visit.carry_own(&head.headers, message).await {
        Err(refusal) => refused(&visit, &wants, refusal),
        Ok(reply) => {
            let (status, text) = released(&wants, &reply);
            let (status, text) = match (&wants.model, status) {
                (Some(_), StatusCode::OK) => only(&wants, &text, &visit.call.0),
                (Some(_) | None, _) => (status, text),
            };
            referring(&visit, body::json(status, text))
        }
    }
}

/// Whether there is something at this path.
pub(super) fn has(path: &str) -> bool {
    let known = [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/models",
        "/v1/responses",
    ];
    known.contains(&path) || path.strip_prefix(ONE).is_some_and(|name| !name.is_empty())
}

/// A name as it stands in a path.
fn decoded(name: &str) -> String {
    // What a plus is in a form, it is not in a path.
    let form = format!("x={}", name.replace('+', "%2B").replace('&', "%26"));
    let pair = form_urlencoded::parse(form.as_bytes()).next();
    pair.map(|(_, name)| name.into_owned()).unwrap_or_default()
}

/// The one model of a list that was asked for; what is hidden and what is not there are refused in the same words.
fn only(wants: &Wants, list: &[u8], call: &str) -> (StatusCode, Vec<u8>) {
    let list = Document::parse(list.to_vec(), Keys::Exact, &ANSWER);
    let data = list.as_ref().ok().and_then(|list| list.root().get("data"));
    if let Some(model) = data.into_iter().flat_map(Node::elements).next() {
        return (StatusCode::OK, model.written().as_bytes().to_vec());
    }
    let code = &refusal::TARGET_UNKNOWN;
    let words = format!("{} ({})", code.outside, code.remedy);
    let status = status(code);
    (
        status,
        said_as(wants, (kind(status), &words), Some(code.name), Some(call)),
    )
}

/// What a client wants to be answered with.
#[derive(Clone, Debug)]
struct Wants {
    /// The API; none for lists, which are those of all.
    api: Option<Api>,
    /// The one model of the list.
    model: Option<String>,
    stream: bool,
    with_usage: bool,
}

impl Wants {
    fn of(method: Method) -> Self {
        Self {
            api: Api::of(method),
            model: None,
            stream: false,
            with_usage: false,
        }
    }

    fn read(&mut self, message: &Message) {
        let is_true = |of: Option<Node<'_>>, name| of.and_then(|of| of.get(name)?.as_bool()) == Some(true);
        let params = message.params();
        self.stream = self.api.is_some_and(Api::streams) && is_true(params, "stream");
        let options = params.and_then(|params| params.get("stream_options"));
        self.with_usage = is_true(options, "include_usage");
    }
}

/// A token shown as a key. Two credentials prove nothing, unless they are one.
fn key(headers: &HeaderMap) -> Option<Credential> {
    let nothing = || Some(Credential::Bearer(Secret::presented(String::new())));
    let Ok(shown) = one(headers, &API_KEY) else {
        return nothing();
    };
    let shown = shown?;
    let same = format!("Bearer {shown}");
    match one(headers, &AUTHORIZATION) {
        Ok(None) => {}
        Ok(Some(other)) if other == same => {}
        Ok(Some(_)) | Err(_) => return nothing(),
    }
    if is_signed(headers) {
        return nothing();
    }
    Some(Credential::Bearer(Secret::presented(shown.trim().to_owned())))
}

async fn read(
    visit: &mut Visit,
    headers: &HeaderMap,
    incoming: Incoming,
    (method, wants): (Method, &Wants),
) -> Result<Message, Objection> {
    let bytes = if method == Method::ModelList {
        // What stands in a path is said in the message as all is that a call is about.
        object(|out| {
            if let Some(model) = &wants.model {
                out.string("model", model);
            }
        })
    } else {
        says_json(headers)?;
        body::read(incoming, REQUEST.text_bytes_max).await?
    };
    if is_signed(headers) {
        let signed: &[u8] = if method == Method::ModelList { b"" } else { &bytes };
        visit.body = Some(BodyDigests::of(signed));
    }
    model::request(method, &bytes).map_err(|refused| unreadable(&refused.error))
}

async fn turn_away(visit: &Visit, method: Method, objection: Objection) -> Refusal {
    let stranger = Stranger {
        call: visit.call.clone(),
        via: visit.peer.via(),
        what: method.name().to_owned(),
        received_ms: visit.received_ms,
    };
    visit.house.pipeline.turn_away(stranger, objection).await
}

/// Carries a call whose answer is to be a stream.
async fn streamed(visit: Visit, headers: HeaderMap, message: Message, wants: Wants) -> Response<Body> {
    let visitor = visit.clone();
    let mut carrying = Box::pin(async move { visitor.carry_own(&headers, message).await });
    let (sender, events) = mpsc::channel(1);
    let outcome = tokio::select! {
        biased;
        outcome = &mut carrying => Some(outcome),
        () = tokio::time::sleep(QUIET) => None,
    };
    match outcome {
        Some(Err(refusal)) => return refused(&visit, &wants, refusal),
        Some(Ok(reply)) => {
            let (status, text) = released(&wants, &reply);
            if status != StatusCode::OK {
                return referring(&visit, body::json(status, text));
            }
            // There is room for one.
            let _ = sender.try_send(events_of(&wants, text));
        }
        None => {
            let call = visit.call.0.clone();
            tokio::spawn(async move {
                let outcome = tokio::select! {
                    outcome = carrying => outcome,
                    // What is not on record yet is given up.
                    () = sender.closed() => return,
                };
                let last = match outcome {
                    Ok(reply) => match released(&wants, &reply) {
                        (StatusCode::OK, text) => events_of(&wants, text),
                        (_, text) => failed(&wants, text),
                    },
                    Err(refusal) => failed(&wants, error(&wants, &refusal, &call).1),
                };
                let _ = sender.send(last).await;
            });
        }
    }
    referring(&visit, written(events))
}

/// A whole answer as the events of its API.
fn events_of(wants: &Wants, text: Vec<u8>) -> Bytes {
    let answer = Document::parse(text, Keys::Exact, &ANSWER);
    match (answer, wants.api) {
        (Ok(answer), Some(api)) => Bytes::from(model::stream(api, answer.root(), wants.with_usage)),
        // What was put in the place of something can make it larger than an answer may be.
        (Ok(_) | Err(_), _) => {
            let said =
                br#"{"error":{"type":"api_error","code":"internal","message":"the answer cannot be given"}}"#;
            failed(wants, said.to_vec())
        }
    }
}

/// An error as the last event of its API.
fn failed(wants: &Wants, text: Vec<u8>) -> Bytes {
    let said = Document::parse(text, Keys::Exact, &ANSWER);
    let error = said.as_ref().ok().and_then(|said| said.root().get("error"));
    match (error, wants.api) {
        (Some(error), Some(api)) => Bytes::from(model::failure(api, error)),
        (_, _) => Bytes::new(),
    }
}

/// What was released, with its status.
fn released(wants: &Wants, reply: &Reply) -> (StatusCode, Vec<u8>) {
    match &reply.body {
        Said::Foreign(response, edits, _) => {
            let (jsonrpc::Answer::Error(said) | jsonrpc::Answer::Result(said)) = response.answer();
            let mut writer = Writer::default();
            writer.edited(said, edits);
            match response.answer() {
                jsonrpc::Answer::Error(said) => providers(wants, said, writer.into_bytes()),
                jsonrpc::Answer::Result(_) => (StatusCode::OK, writer.into_bytes()),
            }
        }
        Said::Listed(list) => (StatusCode::OK, listed(list)),
        Said::Accepted | Said::Own(_) => (StatusCode::OK, b"{}".to_vec()),
    }
}

/// What a provider refused, said as its API would, from the error as it was released.
fn providers(wants: &Wants, said: Node<'_>, released: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let code = said
        .get("code")
        .and_then(Node::as_number)
        .and_then(|code| code.as_u64());
    let status = code.and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
    let status = status.filter(|status| status.is_client_error());
    let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
    let document = Document::parse(released, Keys::Exact, &ANSWER);
    let root = document.as_ref().ok().map(Document::root);
    let text = |path: &[&str]| {
        let found = path.iter().try_fold(root?, |node, name| node.get(name))?;
        found.as_str().map(std::borrow::Cow::into_owned)
    };
    let words = text(&["message"]).unwrap_or_default();
    let kind = text(&["data", "type"]).unwrap_or_else(|| kind(status).to_owned());
    (
        status,
        said_as(wants, (&kind, &words), text(&["data", "code"]).as_deref(), None),
    )
}

/// A list as the clients of both makers read it.
fn listed(list: &[u8]) -> Vec<u8> {
    let Ok(list) = Document::parse(list.to_vec(), Keys::Exact, &ANSWER) else {
        return b"{}".to_vec();
    };
    let data = list.root().get("data");
    let mut ids = data
        .into_iter()
        .flat_map(Node::elements)
        .filter_map(|one| one.get("id"));
    let first = ids.next();
    let last = ids.last().or(first);
    object(|out| {
        out.string("object", "list");
        if let Some(data) = data {
            out.node("data", data);
        }
        out.boolean("has_more", false);
        for (name, id) in [("first_id", first), ("last_id", last)] {
            match id {
                Some(id) => out.node(name, id),
                None => out.null(name),
            }
        }
    })
}

/// Answers with a refusal.
fn refused(visit: &Visit, wants: &Wants, refusal: Refusal) -> Response<Body> {
    let (status, text) = error(wants, &refusal, &visit.call.0);
    let asked = Asked {
        id: None,
        method: None,
        revision: Revision::V2026_07_28,
    };
    let mut said = outcome(&asked, Err(refusal), &visit.call.0);
    (said.status, said.message) = (status.as_u16(), Some(text));
    referring(visit, visit.respond(said))
}

fn error(wants: &Wants, refusal: &Refusal, call: &str) -> (StatusCode, Vec<u8>) {
    let code = refusal.code();
    let status = status(code);
    let words = format!("{} ({})", refusal.outside(), refusal.remedy());
    let text = said_as(wants, (kind(status), &words), Some(code.name), Some(call));
    (status, text)
}

/// An error object as the API has it; in that of Anthropic one more member says the code.
fn said_as(wants: &Wants, (kind, words): (&str, &str), code: Option<&str>, call: Option<&str>) -> Vec<u8> {
    let is_anthropics = wants.api.is_some_and(Api::is_anthropics);
    object(|out| {
        if is_anthropics {
            out.string("type", "error");
        }
        out.object("error", |out| {
            out.string("type", kind);
            out.string("message", words);
            if !is_anthropics {
                out.null("param");
            }
            match code {
                Some(code) => out.string("code", code),
                None if is_anthropics => {}
                None => out.null("code"),
            }
        });
        if let Some(call) = call {
            out.string("request_id", call);
        }
    })
}

/// The status of a refusal. Where MCP says one with 200, these APIs have a status for it.
fn status(code: &Code) -> StatusCode {
    let status = match code.http {
        200 if *code == refusal::TARGET_UNKNOWN => 404,
        200 if *code == refusal::PARAMS_INVALID => 400,
        200 if *code == refusal::UPSTREAM_UNAUTHORIZED => 502,
        200 => 403,
        other => other,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What both makers call an error of this status.
fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// Says the reference of the call, where clients look for it.
fn referring(visit: &Visit, mut response: Response<Body>) -> Response<Body> {
    if let Ok(call) = HeaderValue::from_str(&visit.call.0) {
        for name in REFERENCES {
            response.headers_mut().insert(name, call.clone());
        }
    }
    response
}
