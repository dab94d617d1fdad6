//! JSON-RPC 2.0 messages: what one is, and what is not one.
//!
//! The envelope is strict: exactly the members the specification has, in exactly that spelling, and
//! exactly one of `method`, `result` and `error`. Whether a method may be sent in a revision and a
//! direction is the table's business ([`crate::mcp`]).

use std::fmt;

use thiserror::Error;

use crate::{
    bounds::{BATCH_MESSAGES_MAX, ID_BYTES_MAX, JsonBounds},
    json::{Document, JsonError, Keys, Kind, Node, ObjectWriter, fold, object},
    mcp::{Method, Shape, code},
};

/// A request's id. It keeps its type: `1` and `"1"` are two requests.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Id {
    /// An integer.
    Integer(i64),
    /// A string.
    String(String),
}

impl Id {
    /// Reads an id: an integer without fraction or exponent, or a string within bounds.
    #[must_use]
    pub fn read(node: Node<'_>) -> Option<Self> {
        match node.kind() {
            Kind::Number => node.as_number()?.as_i64().map(Self::Integer),
            Kind::String => {
                let text = node.as_str()?;
                (text.len() <= ID_BYTES_MAX).then(|| Self::String(text.into_owned()))
            }
            Kind::Array | Kind::Bool | Kind::Null | Kind::Object => None,
        }
    }

    /// Writes the id as a member.
    pub fn write(&self, key: &str, out: &mut ObjectWriter<'_>) {
        match self {
            Self::Integer(n) => out.integer(key, *n),
            Self::String(text) => out.string(key, text),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::String(text) => write!(f, "{text:?}"),
        }
    }
}

/// One message.
#[derive(Debug)]
pub enum Message {
    /// Wants no answer.
    Notification(Notification),
    /// Wants one answer.
    Request(Request),
    /// Is one.
    Response(Response),
}

/// A message that wants one answer.
#[derive(Debug)]
pub struct Request {
    document: Document,
    id: Id,
    method: Method,
    /// The place of `params`: they are asked for dozens of times on the way.
    params: Option<u32>,
}

/// A message that wants no answer.
#[derive(Debug)]
pub struct Notification {
    document: Document,
    method: Method,
    params: Option<u32>,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    document: Document,
    id: Option<Id>,
    /// The place of `result`; none where it is an error.
    result: Option<u32>,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'m> {
    /// The request failed; an object with `code`, `message` and perhaps `data`.
    Error(Node<'m>),
    /// The result; always an object.
    Result(Node<'m>),
}

/// Why bytes are not a message we know.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum MessageError {
    /// An array of messages, outside the one revision that has them.
    #[error("several messages in one array")]
    Batch,
    /// An array of no messages, or of too many.
    #[error("a batch of {0} messages")]
    BatchSize(usize),
    /// A member name that another parser would take for a known one.
    #[error("a member spelled `{0}`, which some parsers would take for `{1}`")]
    CaseVariant(String, &'static str),
    /// Neither request nor notification nor response, or more than one of them.
    #[error("not a JSON-RPC message: {0}")]
    Envelope(&'static str),
    /// An id nobody can be answered under.
    #[error("{0}")]
    Id(&'static str),
    /// Not JSON, or JSON that two parsers could read differently.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A method no revision has.
    #[error("there is no method `{0}`")]
    UnknownMethod(String),
}

impl MessageError {
    /// The JSON-RPC error code that says it.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Json(_) => code::PARSE_ERROR,
            Self::Batch | Self::BatchSize(_) | Self::CaseVariant(..) | Self::Envelope(_) | Self::Id(_) => {
                code::INVALID_REQUEST
            }
            Self::UnknownMethod(_) => code::METHOD_NOT_FOUND,
        }
    }
}

/// A refused text, with the id to answer under where one could be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{error}")]
pub struct Refused {
    /// What is wrong.
    #[source]
    pub error: MessageError,
    /// The id, if the text had a readable one.
    pub id: Option<Id>,
    /// Whether it names a method: it is no answer, and with an id its sender waits for one.
    pub asks: bool,
}

impl From<JsonError> for Refused {
    fn from(error: JsonError) -> Self {
        Self {
            error: error.into(),
            id: None,
            asks: false,
        }
    }
}

/// [`ID_BYTES_MAX`], in words.
const ID_TOO_LONG: &str = "`id` is longer than 256 bytes";
const _: () = assert!(ID_BYTES_MAX == 256);

const ENVELOPE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// Names that mean something in the `params` of some method. A member that differs from one of these only
/// in case is refused, since a server that ignores case would obey what we did not judge.
const PARAMS: [&str; 27] = [
    "_meta",
    "argument",
    "arguments",
    "capabilities",
    "clientInfo",
    "context",
    "cursor",
    "elicitationId",
    "inputResponses",
    "level",
    "logger",
    "maxTokens",
    "message",
    "messages",
    "mode",
    "name",
    "notifications",
    "progressToken",
    "protocolVersion",
    "reason",
    "ref",
    "requestId",
    "requestState",
    "task",
    "taskId",
    "uri",
    "url",
];

impl Message {
    /// Reads one message.
    ///
    /// `keys` says how strictly object keys must differ: [`Keys::Folded`] for what a client sends,
    /// [`Keys::Exact`] for what a server answers, which is data on its way through.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn parse(bytes: Vec<u8>, keys: Keys, bounds: &JsonBounds) -> Result<Self, Refused> {
        Self::read(Document::parse(bytes, keys, bounds)?)
    }

    /// Reads the message in a document.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn read(document: Document) -> Result<Self, Refused> {
        let root = document.root();
        let id = root.get("id").and_then(Id::read);
        let refuse = |error| Refused {
            error,
            id: id.clone(),
            asks: root.get("method").is_some(),
        };
        if root.kind() == Kind::Array {
            return Err(refuse(MessageError::Batch));
        }
        let method = envelope(root).map_err(refuse)?;
        let place = |name| root.get(name).map(Node::place);
        let Some((method, shape)) = method else {
            let result = place("result");
            return Ok(Self::Response(Response { id, result, document }));
        };
        let params = place("params");
        match shape {
            Shape::Notification => Ok(Self::Notification(Notification {
                method,
                params,
                document,
            })),
            Shape::Request => match id {
                Some(id) => Ok(Self::Request(Request {
                    id,
                    method,
                    params,
                    document,
                })),
                None => Err(refuse(MessageError::Envelope("a request without an id"))),
            },
        }
    }

    /// The method, unless the message is an answer.
    #[must_use]
    pub fn method(&self) -> Option<Method> {
        match self {
            Self::Notification(notification) => Some(notification.method),
            Self::Request(request) => Some(request.method),
            Self::Response(_) => None,
        }
    }

    /// The id, unless the message is a notification.
    #[must_use]
    pub fn id(&self) -> Option<&Id> {
        match self {
            Self::Notification(_) => None,
            Self::Request(request) => Some(&request.id),
            Self::Response(response) => response.id.as_ref(),
        }
    }

    /// The parameters, if any; always an object.
    #[must_use]
    pub fn params(&self) -> Option<Node<'_>> {
        match self {
            Self::Notification(notification) => notification.params(),
            Self::Request(request) => request.params(),
            Self::Response(_) => None,
        }
    }

    /// The text and its index.
    #[must_use]
    pub fn document(&self) -> &Document {
        match self {
            Self::Notification(notification) => &notification.document,
            Self::Request(request) => &request.document,
            Self::Response(response) => &response.document,
        }
    }
}

/// Whether a text can only be an array.
#[must_use]
pub fn is_array(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'[')
}

/// Reads an array of messages, each for itself: what is wrong with one is not held against the others.
///
/// # Errors
/// When the text is not an array, has no elements, or too many.
pub fn batch(
    bytes: Vec<u8>,
    keys: Keys,
    bounds: &JsonBounds,
) -> Result<Vec<Result<Message, Refused>>, Refused> {
    let refuse = |error| Refused {
        error,
        id: None,
        asks: false,
    };
    let document = Document::parse(bytes, keys, bounds)?;
    let root = document.root();
    if root.kind() != Kind::Array {
        return Err(refuse(MessageError::Envelope("a batch is an array")));
    }
    let count = root.elements().count();
    if !(1..=BATCH_MESSAGES_MAX).contains(&count) {
        return Err(refuse(MessageError::BatchSize(count)));
    }
    Ok(root
        .elements()
        .map(|element| Message::parse(element.written().as_bytes().to_vec(), keys, bounds))
        .collect())
}

/// Checks the envelope; returns the method and its shape, or nothing for an answer.
fn envelope(root: Node<'_>) -> Result<Option<(Method, Shape)>, MessageError> {
    use MessageError::Envelope;
    if root.kind() != Kind::Object {
        return Err(Envelope("a message is an object"));
    }
    refuse_case_variants(root, &ENVELOPE)?;
    if !root.get("jsonrpc").is_some_and(|version| version.is_str("2.0")) {
        return Err(Envelope("`jsonrpc` must be \"2.0\""));
    }
    let (method, params) = (root.get("method"), root.get("params"));
    let (result, error) = (root.get("result"), root.get("error"));
    if [method, result, error].into_iter().flatten().count() != 1 {
        return Err(Envelope(
            "a message has exactly one of `method`, `result` and `error`",
        ));
    }
    let id = root.get("id");
    let Some(method) = method else {
        return answer_envelope(params, result, error, id).map(|()| None);
    };
    if root
        .members()
        .any(|(key, _)| !ENVELOPE.iter().any(|known| key.is_str(known)))
    {
        return Err(Envelope("a member JSON-RPC does not have"));
    }
    if params.is_some_and(|params| params.kind() != Kind::Object) {
        return Err(Envelope("`params` must be an object"));
    }
    if let Some(id) = id.filter(|id| Id::read(*id).is_none()) {
        return Err(MessageError::Id(match id.kind() {
            Kind::String => ID_TOO_LONG,
            Kind::Array | Kind::Bool | Kind::Null | Kind::Number | Kind::Object => {
                "`id` must be a string or an integer"
            }
        }));
    }
    let name = method.as_str().ok_or(Envelope("`method` must be a string"))?;
    let method = Method::parse(&name).ok_or_else(|| MessageError::UnknownMethod(shorten(&name)))?;
    match (method.shape(), id) {
        (Shape::Notification, Some(_)) => return Err(Envelope("a notification with an id")),
        (Shape::Request, None) => return Err(Envelope("a request without an id")),
        (Shape::Notification, None) | (Shape::Request, Some(_)) => {}
    }
    if let Some(params) = params {
        refuse_case_variants(params, &PARAMS)?;
    }
    Ok(Some((method, method.shape())))
}

fn answer_envelope(
    params: Option<Node<'_>>,
    result: Option<Node<'_>>,
    error: Option<Node<'_>>,
    id: Option<Node<'_>>,
) -> Result<(), MessageError> {
    use MessageError::Envelope;
    if params.is_some() {
        return Err(Envelope("an answer with `params`"));
    }
    // An error about a message whose id could not be read has a null id, or none.
    let nameless = error.is_some() && id.is_none_or(Node::is_null);
    if !nameless && id.and_then(Id::read).is_none() {
        return Err(Envelope("an answer without a usable id"));
    }
    if result.is_some_and(|result| result.kind() != Kind::Object) {
        return Err(Envelope("`result` must be an object"));
    }
    if let Some(error) = error {
        let code = error
            .get("code")
            .and_then(Node::as_number)
            .and_then(|code| code.as_i64());
        if code.is_none() || error.get("message").and_then(Node::as_str).is_none() {
            return Err(Envelope("`error` must have an integer `code` and a `message`"));
        }
    }
    Ok(())
}

pub(crate) fn refuse_case_variants(object: Node<'_>, known: &[&'static str]) -> Result<(), MessageError> {
    for (key, _) in object.members() {
        let Some(name) = key.as_str() else { continue };
        if known.contains(&name.as_ref()) {
            continue;
        }
        let folded = fold(&name);
        if let Some(meant) = known.iter().find(|known| fold(known) == folded) {
            return Err(MessageError::CaseVariant(shorten(&name), meant));
        }
    }
    Ok(())
}

/// Enough of a name to recognise it, little enough to print.
fn shorten(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_default).collect()
}

impl Request {
    /// The id to answer under.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The parameters, if any; always an object.
    #[must_use]
    pub fn params(&self) -> Option<Node<'_>> {
        self.params.and_then(|at| self.document.at(at))
    }
}

impl Notification {
    /// The whole message.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The parameters, if any; always an object.
    #[must_use]
    pub fn params(&self) -> Option<Node<'_>> {
        self.params.and_then(|at| self.document.at(at))
    }
}

impl Response {
    /// The id it answers; none only for errors about something unreadable.
    #[must_use]
    pub fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    /// What it says.
    #[must_use]
    pub fn answer(&self) -> Answer<'_> {
        match self.result.and_then(|at| self.document.at(at)) {
            Some(result) => Answer::Result(result),
            None => {
                let root = self.document.root();
                Answer::Error(root.get("error").unwrap_or(root))
            }
        }
    }

    /// The text and its index.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }
}

/// Writes a request.
#[must_use]
pub fn request(id: &Id, method: Method, params: impl FnOnce(&mut ObjectWriter<'_>)) -> Vec<u8> {
    object(|out| {
        out.string("jsonrpc", "2.0");
        id.write("id", out);
        out.string("method", method.name());
        out.object("params", params);
    })
}

/// Writes a notification.
#[must_use]
pub fn notification(method: Method, params: impl FnOnce(&mut ObjectWriter<'_>)) -> Vec<u8> {
    object(|out| {
        out.string("jsonrpc", "2.0");
        out.string("method", method.name());
        out.object("params", params);
    })
}

/// Writes an answer whose result is a JSON text.
#[must_use]
pub fn result(id: &Id, result: &[u8]) -> Vec<u8> {
    object(|out| {
        out.string("jsonrpc", "2.0");
        id.write("id", out);
        out.json("result", result);
    })
}

/// Writes an error answer; `data` is a JSON text.
#[must_use]
pub fn error(id: Option<&Id>, code: i64, message: &str, data: Option<&[u8]>) -> Vec<u8> {
    object(|out| {
        out.string("jsonrpc", "2.0");
        match id {
            Some(id) => id.write("id", out),
            None => out.null("id"),
        }
        out.object("error", |out| {
            out.integer("code", code);
            out.string("message", message);
            if let Some(data) = data {
                out.json("data", data);
            }
        });
    })
}

#[cfg(test)]
mod tests;
