//! `/api/v1/*`: what operators do, over HTTP. A path, who may, its parameters; then the same function the command line
//! calls. Errors are problem details (RFC 9457).

use std::sync::Arc;

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};
use identity::oauth::Form;
use wire::json::{Document, Keys, Kind, object};

use super::{
    House,
    body::{self, Body},
    gate::one,
    openapi,
};
use crate::operate::console::{
    Door, NotDone, OPERATIONS, Operation, Operator, Takes, Use, Value, Verb, operate,
};

/// The largest body read, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// A problem: its status and its sentence.
type Problem = (StatusCode, String);
/// An operation, and what its path says.
type Found<'p> = (&'static Operation, Vec<(&'static str, &'p str)>);

/// Answers a request below `/api/v1`.
pub(super) async fn answer(house: &Arc<House>, path: &str, request: Request<Incoming>) -> Response<Body> {
    // What there is, is no secret; what it says is.
    if path == "/openapi.json" && request.method() == Method::GET {
        return body::json(StatusCode::OK, openapi::document());
    }
    let mut response = match act(house, path, request).await {
        Ok(document) => body::json(StatusCode::OK, document.root().written().as_bytes().to_vec()),
        Err((status, detail)) => problem(status, &detail),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn act(house: &Arc<House>, path: &str, request: Request<Incoming>) -> Result<Document, Problem> {
    let operator = operator(house, request.headers())?;
    let (operation, values) = find(request.method(), path)?;
    let given = match operation.verb {
        Verb::Get => from_query(operation, request.uri().query().unwrap_or_default())?,
        Verb::Post => from_body(operation, request).await?,
    };
    let mut args = Vec::with_capacity(values.len() + given.len());
    for (name, value) in values {
        args.push((name, Value::Text(unescaped(value)?)));
    }
    args.extend(given);
    if let Some(missing) = operation
        .parameters
        .iter()
        .find(|one| one.is_needed && !args.iter().any(|(name, _)| *name == one.name))
    {
        return Err((StatusCode::BAD_REQUEST, format!("`{}` is missing", missing.name)));
    }
    operate(house, &operator, operation, &args).await.map_err(told)
}

/// Who asks. Cookies do not count here: no page can borrow one.
fn operator(house: &House, headers: &HeaderMap) -> Result<Operator, Problem> {
    let refuse = |why: &str| (StatusCode::UNAUTHORIZED, why.to_owned());
    let how = "send `Authorization: Bearer` with a token of `sallyport console --token`";
    let header = one(headers, &AUTHORIZATION)
        .map_err(refuse)?
        .ok_or_else(|| refuse(how))?;
    let token = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, token) = token.ok_or_else(|| refuse(how))?;
    let kept = house.console.who(house, Door::Token, token.trim(), Use::Yes);
    kept.map(|kept| kept.operator)
        .ok_or_else(|| refuse("this token is unknown, over, or its user may not operate any more"))
}

fn find<'p>(method: &Method, path: &'p str) -> Result<Found<'p>, Problem> {
    let mut of_path = OPERATIONS
        .iter()
        .filter_map(|one| Some((one, one.matches(path)?)))
        .peekable();
    if of_path.peek().is_none() {
        let text = "there is no such path; see /api/v1/openapi.json";
        return Err((StatusCode::NOT_FOUND, text.to_owned()));
    }
    let verb = match *method {
        Method::GET => Some(Verb::Get),
        Method::POST => Some(Verb::Post),
        _ => None,
    };
    let found = of_path.find(|(one, _)| Some(one.verb) == verb);
    let text = "this path is not asked like that; see /api/v1/openapi.json";
    found.ok_or_else(|| (StatusCode::METHOD_NOT_ALLOWED, text.to_owned()))
}

fn from_query(operation: &Operation, query: &str) -> Result<Vec<(&'static str, Value)>, Problem> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let form = Form::parse(query.as_bytes()).map_err(|error| bad(error.description))?;
    let mut given = Vec::new();
    for (name, text) in form.pairs() {
        let known = own(operation, name).ok_or_else(|| bad(unknown(operation, name)))?;
        if known.takes == Takes::Number && text.parse::<u64>().is_err() {
            return Err(bad(format!(
                "`{name}`: `{}` is not a number",
                text.escape_debug()
            )));
        }
        given.push((known.name, Value::Text(text.to_owned())));
    }
    Ok(given)
}

async fn from_body(
    operation: &Operation,
    request: Request<Incoming>,
) -> Result<Vec<(&'static str, Value)>, Problem> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let (head, incoming) = request.into_parts();
    let bytes = body::read(incoming, BODY_BYTES_MAX).await;
    let bytes = bytes.map_err(|objection| (StatusCode::PAYLOAD_TOO_LARGE, objection.inside))?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let content = one(&head.headers, &CONTENT_TYPE)
        .ok()
        .flatten()
        .unwrap_or_default();
    let essence = content.split(';').next().unwrap_or_default().trim();
    // A form of a page cannot say so without asking first (CORS).
    if !essence.eq_ignore_ascii_case("application/json") {
        let text = "the body is `application/json`, and says so".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let document = Document::parse(bytes, Keys::Exact, &wire::bounds::REQUEST)
        .map_err(|error| bad(error.to_string()))?;
    if document.root().kind() != Kind::Object {
        return Err(bad("the body is one JSON object".to_owned()));
    }
    let mut given = Vec::new();
    for (key, value) in document.root().members() {
        let name = key.as_str().unwrap_or_default();
        let known = own(operation, &name).ok_or_else(|| bad(unknown(operation, &name)))?;
        let value = Value::read(value, known.takes);
        let value = value.ok_or_else(|| bad(format!("`{name}` is not {}", openapi::words(known.takes))))?;
        given.push((known.name, value));
    }
    Ok(given)
}

/// A parameter that is not the path's.
fn own(operation: &Operation, name: &str) -> Option<&'static crate::operate::console::Parameter> {
    let found = operation.parameters.iter().find(|one| one.name == name)?;
    (!operation.has_in_path(name)).then_some(found)
}

fn unknown(operation: &Operation, name: &str) -> String {
    let known = operation
        .parameters
        .iter()
        .filter(|one| !operation.has_in_path(one.name));
    let known: Vec<_> = known.map(|one| one.name).collect();
    let name = name
        .chars()
        .take(64)
        .collect::<String>()
        .escape_debug()
        .to_string();
    match known.as_slice() {
        [] => format!("`{name}` is not known here, where nothing is expected"),
        _ => format!("`{name}` is not known here; there are: {}", known.join(", ")),
    }
}

/// A part of a path with its `%` escapes resolved.
pub(super) fn unescaped(part: &str) -> Result<String, Problem> {
    // As a value of a form, where alone a plus is not itself.
    let form = Form::parse(format!("part={}", part.replace('+', "%2B")).as_bytes());
    let form = form.map_err(|_| (StatusCode::BAD_REQUEST, "the path is not UTF-8".to_owned()))?;
    Ok(form.get("part").unwrap_or_default().to_owned())
}

fn told(why: NotDone) -> Problem {
    match why {
        NotDone::MayNot => {
            let text =
                "this token is for looking only; `sallyport console --token` without --view makes another";
            (StatusCode::FORBIDDEN, text.to_owned())
        }
        NotDone::NoPerson => {
            let text = "only a person can do this; `sallyport console --token --as USER` says who";
            (StatusCode::FORBIDDEN, text.to_owned())
        }
        NotDone::Failed(failure) if failure.is_missing() => (StatusCode::NOT_FOUND, failure.to_string()),
        NotDone::Failed(failure) => (status(failure.code()), failure.to_string()),
    }
}

/// What the exit codes of the command line are in HTTP.
pub(super) fn status(code: u8) -> StatusCode {
    match code {
        2 => StatusCode::BAD_REQUEST,
        3 => StatusCode::FORBIDDEN,
        4 => StatusCode::BAD_GATEWAY,
        _ => StatusCode::CONFLICT,
    }
}

fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let text = object(|out| {
        out.string("type", "about:blank");
        out.string("title", status.canonical_reason().unwrap_or("Problem"));
        out.integer("status", status.as_u16());
        out.string("detail", detail);
    });
    let mut response = body::with_type(status, "application/problem+json", text);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"sallyport operators\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
