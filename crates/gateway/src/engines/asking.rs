//! A question to the client's user that is a link: how each kind of client is told (URL elicitation).

use pipeline::{Arrival, Objection, refusal::Code};
use wire::{
    json::{Node, object},
    mcp::{Era, Method, Revision},
};

/// A link, and what is said of it.
pub(super) struct Link<'l> {
    /// Names the question, for notices about it.
    pub(super) id: &'l str,
    pub(super) url: &'l str,
    pub(super) message: &'l str,
    /// The question's name in a result that asks for input (2026-07-28).
    pub(super) question: &'l str,
}

/// The same refusal as a question, in each of the two ways.
pub(super) struct Codes {
    /// As an error (2025-11-25).
    pub(super) error: &'static Code,
    /// As a result that asks for input (2026-07-28).
    pub(super) result: &'static Code,
}

/// What the client says became of the question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// Its user has seen it.
    Accepted,
    /// Its user does not want to.
    Declined,
    /// It was not asked.
    None,
}

/// What the client says of a question.
pub(super) fn reply(arrival: &Arrival, question: &str) -> Reply {
    let params = arrival.message.params();
    let given = params.and_then(|params| params.get("inputResponses")?.get(question));
    match given.map(|given| given.get("action").and_then(Node::as_str)) {
        Some(Some(action)) if action == "accept" => Reply::Accepted,
        Some(_) => Reply::Declined,
        None => Reply::None,
    }
}

/// A refusal as a question, if this client can show its user a link and was not asked before.
pub(super) fn by_url(arrival: &Arrival, link: &Link<'_>, codes: &Codes, held: Objection) -> Objection {
    let can_open = arrival.capabilities.at(&["elicitation", "url"]).is_some();
    if !can_open || reply(arrival, link.question) != Reply::None {
        return held;
    }
    if arrival.revision == Revision::V2025_11_25 {
        let data = object(|out| {
            out.array("elicitations", |list| {
                list.object(|out| {
                    out.string("mode", "url");
                    out.string("elicitationId", link.id);
                    out.string("url", link.url);
                    out.string("message", link.message);
                });
            });
        });
        return Objection {
            code: codes.error,
            data: Some(data.into_boxed_slice()),
            ..held
        };
    }
    let may_ask = matches!(
        arrival.message.method(),
        Some(Method::PromptsGet | Method::ResourcesRead | Method::ToolsCall)
    );
    if arrival.revision.era() == Era::Modern && may_ask {
        let result = object(|out| {
            out.string("resultType", "input_required");
            out.object("inputRequests", |out| {
                out.object(link.question, |out| {
                    out.string("method", Method::ElicitationCreate.name());
                    out.object("params", |out| {
                        out.string("mode", "url");
                        out.string("url", link.url);
                        out.string("message", link.message);
                    });
                });
            });
        });
        return Objection {
            code: codes.result,
            data: Some(result.into_boxed_slice()),
            ..held
        };
    }
    held
}
