//! The APIs of models: OpenAI's chat completions and responses, Anthropic's messages and its count of their tokens.
//!
//! A request is made a message like any other, whose parameters are its body as it was sent, so that it takes the same
//! road. What is in it is closed: whatever would have the provider run a tool, fetch a URL or bring in something it keeps
//! is refused, because nobody could judge it here.

mod read;
mod stream;

use thiserror::Error;

use crate::{
    bounds::{ANSWER, REQUEST},
    json::{Edits, Keys, Kind, Node, object},
    jsonrpc::{self, Id, Message, Refused, Response, refuse_case_variants},
    mcp::Method,
};

pub use read::{Conversation, read};
pub use stream::{failure, stream};

/// Which API.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Api {
    /// `/v1/chat/completions` (OpenAI).
    Chat,
    /// `/v1/messages` (Anthropic).
    Messages,
    /// `/v1/responses` (OpenAI).
    Responses,
    /// `/v1/messages/count_tokens` (Anthropic): a conversation as for messages, and only its length comes back.
    Tokens,
}

/// Why a request is none we can judge.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ModelError {
    /// It would have the provider do, or bring in, what does not pass here.
    #[error("`{0}` is not taken: {1}")]
    Elsewhere(&'static str, String),
    /// It has a member that nobody here knows.
    #[error("`{0}` is not known here, and might have the provider do more than answer")]
    Member(String),
    /// A member is missing, or has another type than the API gives it.
    #[error("`{0}` is missing or has the wrong type")]
    Type(&'static str),
}

/// Members that mean something to us. One spelled in another case would be read by servers that ignore case.
const KNOWN: [&str; 24] = [
    "_meta",
    "background",
    "container",
    "conversation",
    "functions",
    "input",
    "instructions",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "mcp_servers",
    "messages",
    "modalities",
    "model",
    "n",
    "previous_response_id",
    "prompt",
    "store",
    "stream",
    "stream_options",
    "system",
    "tools",
    "usage",
    "web_search_options",
];

/// Members of a body that are written anew, or are for the gateway.
const OURS: [&str; 5] = ["_meta", "model", "store", "stream", "stream_options"];

/// Most choices, blocks, or items with their parts, of an answer: each is several events of a stream.
const PARTS_MAX: usize = 4096;

/// The envelope's id; nobody waits for it by that name.
const ID: Id = Id::Integer(0);

impl Api {
    /// The API a method belongs to.
    #[must_use]
    pub fn of(method: Method) -> Option<Self> {
        [Self::Chat, Self::Messages, Self::Responses, Self::Tokens]
            .into_iter()
            .find(|api| api.method() == method)
    }

    /// The method of its requests.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Chat => Method::ModelChat,
            Self::Messages => Method::ModelMessages,
            Self::Responses => Method::ModelResponses,
            Self::Tokens => Method::ModelTokens,
        }
    }

    /// Where it is, behind a provider's base URL, which ends with the version.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Messages => "/messages",
            Self::Responses => "/responses",
            Self::Tokens => "/messages/count_tokens",
        }
    }

    /// Whose words it is in.
    #[must_use]
    pub const fn is_anthropics(self) -> bool {
        match self {
            Self::Chat | Self::Responses => false,
            Self::Messages | Self::Tokens => true,
        }
    }

    /// Whether its answers can be had as a stream.
    #[must_use]
    pub const fn streams(self) -> bool {
        match self {
            Self::Chat | Self::Messages | Self::Responses => true,
            Self::Tokens => false,
        }
    }
}

/// Makes the body of a request a message.
///
/// # Errors
/// When it is not one strict JSON object, or has a member that some servers would take for another.
pub fn request(method: Method, body: &[u8]) -> Result<Message, Refused> {
    // The text is put in as it is; one that is not exactly one object makes no envelope.
    let text = enclosed(&jsonrpc::request(&ID, method, |_| {}), b"{}}", body, b"}");
    let message = Message::parse(text, Keys::Folded, &REQUEST)?;
    if let Some(params) = message.params() {
        refuse_case_variants(params, &KNOWN).map_err(|error| Refused {
            error,
            id: None,
            asks: true,
        })?;
    }
    Ok(message)
}

/// Makes the body of a provider's answer a response.
///
/// # Errors
/// When it is not one JSON object, or not an answer of this API.
pub fn answer(api: Api, body: &[u8]) -> Result<Response, String> {
    let text = enclosed(&jsonrpc::result(&ID, b"{}"), b"{}}", body, b"}");
    let message = Message::parse(text, Keys::Exact, &ANSWER).map_err(|error| error.to_string())?;
    let Message::Response(response) = message else {
        return Err("no answer".to_owned());
    };
    let jsonrpc::Answer::Result(said) = response.answer() else {
        return Err("no result".to_owned());
    };
    let member = match api {
        Api::Chat => "choices",
        Api::Messages => "content",
        Api::Responses => "output",
        Api::Tokens => {
            let count = said.get("input_tokens").and_then(Node::as_number);
            let is_count = count.is_some_and(|count| count.as_u64().is_some());
            return if is_count {
                Ok(response)
            } else {
                Err("no count of tokens".to_owned())
            };
        }
    };
    let list = said.get(member).filter(|list| list.kind() == Kind::Array);
    let list = list.ok_or_else(|| format!("an answer without `{member}`"))?;
    let within = |part: Node<'_>| {
        part.get("content")
            .map_or(0, |content| content.elements().count())
    };
    let parts: usize = list.elements().map(|part| 1 + within(part)).sum();
    if parts > PARTS_MAX {
        return Err(format!("an answer of more than {PARTS_MAX} parts"));
    }
    Ok(response)
}

/// Makes a provider's refusal a response: its status, and what it says.
#[must_use]
pub fn refused(status: u16, body: &[u8]) -> Option<Response> {
    let text = enclosed(&jsonrpc::result(&ID, b"{}"), b"{}}", body, b"}");
    let parsed = Message::parse(text, Keys::Exact, &ANSWER).ok();
    let said = parsed.as_ref().and_then(|message| match message {
        Message::Response(response) => match response.answer() {
            jsonrpc::Answer::Result(said) => said.get("error"),
            jsonrpc::Answer::Error(_) => None,
        },
        Message::Notification(_) | Message::Request(_) => None,
    });
    let text = |name| said.and_then(|said| said.get(name)).and_then(Node::as_str);
    let words = text("message").unwrap_or_default();
    let data = object(|out| {
        for name in ["type", "code", "param"] {
            if let Some(text) = text(name) {
                out.string(name, &text);
            }
        }
    });
    let text = jsonrpc::error(Some(&ID), i64::from(status), &words, Some(&data));
    match Message::parse(text, Keys::Exact, &ANSWER).ok()? {
        Message::Response(response) => Some(response),
        Message::Notification(_) | Message::Request(_) => None,
    }
}

/// The envelope with a body in the place of its empty one.
fn enclosed(envelope: &[u8], empty: &[u8], body: &[u8], end: &[u8]) -> Vec<u8> {
    let head = envelope.strip_suffix(empty).unwrap_or_default();
    [head, body, end].concat()
}

/// The body for the provider: the judged one with these changes, for its model, whole and not as a stream.
#[must_use]
pub fn write(api: Api, params: Node<'_>, edits: &Edits, model: &str) -> Vec<u8> {
    object(|out| {
        out.string("model", model);
        out.members_except(params, &OURS, edits);
        // What is kept there, nobody can be given back: the key is the gateway's, and not the caller's.
        if api == Api::Responses {
            out.boolean("store", false);
        }
    })
}

/// The tokens an answer says were read and written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tokens {
    /// Read.
    pub input: u64,
    /// Written.
    pub output: u64,
}

/// What an answer says it took, if it says so.
#[must_use]
pub fn tokens(said: Node<'_>) -> Option<Tokens> {
    let usage = said.get("usage")?;
    let sum = |names: &[&str]| {
        let counts = names
            .iter()
            .filter_map(|name| usage.get(name)?.as_number()?.as_u64());
        counts.fold(0, u64::saturating_add)
    };
    Some(Tokens {
        // No API has the names of another, and Anthropic counts cached ones apart.
        input: sum(&[
            "prompt_tokens",
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
        ]),
        output: sum(&["completion_tokens", "output_tokens"]),
    })
}

#[cfg(test)]
mod tests;
