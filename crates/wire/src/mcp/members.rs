//! Which members the parameters of a client's request have, in which revision: the table, as data; and what of a request
//! goes on to a server beside what the request is about.
//!
//! What is not in the table is no part of the protocol: nobody on the way would know what it asks for.

use super::{Method, Revision, Revisions, meta};
use crate::json::Node;

/// Members of the parameters of requests that go on to servers, but for `_meta`, which all have. For streams of the modern era
/// the gateway subscribes as sessions do.
const MEMBERS: &[(Method, &str, Revisions)] = &[
    (Method::CompletionComplete, "argument", Revisions::ALL),
    (Method::CompletionComplete, "context", Revisions::SINCE_2025_06_18),
    (Method::CompletionComplete, "ref", Revisions::ALL),
    (Method::LoggingSetLevel, "level", Revisions::LEGACY),
    (Method::PromptsGet, "arguments", Revisions::ALL),
    (Method::PromptsGet, "inputResponses", Revisions::MODERN),
    (Method::PromptsGet, "name", Revisions::ALL),
    (Method::PromptsGet, "requestState", Revisions::MODERN),
    (Method::ResourcesList, "cursor", Revisions::ALL),
    (Method::ResourcesRead, "inputResponses", Revisions::MODERN),
    (Method::ResourcesRead, "requestState", Revisions::MODERN),
    (Method::ResourcesRead, "uri", Revisions::ALL),
    (Method::ResourcesSubscribe, "uri", Revisions::ALL),
    (Method::ResourcesTemplatesList, "cursor", Revisions::ALL),
    (Method::ResourcesUnsubscribe, "uri", Revisions::ALL),
    (Method::TasksCancel, "taskId", Revisions::SINCE_2025_11_25),
    (Method::TasksGet, "taskId", Revisions::SINCE_2025_11_25),
    (Method::TasksList, "cursor", Revisions::ONLY_2025_11_25),
    (Method::TasksResult, "taskId", Revisions::ONLY_2025_11_25),
    (Method::TasksUpdate, "inputResponses", Revisions::MODERN),
    (Method::TasksUpdate, "requestState", Revisions::MODERN),
    (Method::TasksUpdate, "taskId", Revisions::MODERN),
    (Method::ToolsCall, "arguments", Revisions::ALL),
    (Method::ToolsCall, "inputResponses", Revisions::MODERN),
    (Method::ToolsCall, "name", Revisions::ALL),
    (Method::ToolsCall, "requestState", Revisions::MODERN),
    (Method::ToolsCall, "task", Revisions::ONLY_2025_11_25),
];

/// What a member of a request's parameters is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Membership {
    /// One that the method has in this revision.
    Has,
    /// One that it has in another revision.
    HasElsewhere,
    /// None of the protocol's.
    Unknown,
}

/// What a member of the parameters of a client's request is. Of a method that is not in the table, any is known:
/// such requests end at the gateway, or are not MCP's.
#[must_use]
pub fn membership(method: Method, revision: Revision, name: &str) -> Membership {
    let mut known = MEMBERS.iter().filter(|(of, ..)| *of == method).peekable();
    if name == "_meta" || known.peek().is_none() {
        return Membership::Has;
    }
    match known.find(|(_, member, _)| *member == name) {
        Some((_, _, revisions)) if revisions.has(revision) => Membership::Has,
        Some(_) => Membership::HasElsewhere,
        None => Membership::Unknown,
    }
}

/// What goes on to a server beside what a request is about: members of `_meta`, and of the parameters of a call those
/// that are neither its name, nor its arguments, nor the gateway's to give.
pub fn beside<'m>(method: Method, revision: Revision, params: Node<'m>) -> impl Iterator<Item = Beside<'m>> {
    let is_call = matches!(method, Method::PromptsGet | Method::ToolsCall);
    let own = ["_meta", "arguments", "inputResponses", "name", "requestState"];
    let members = params.members().filter(move |_| is_call);
    let goes_on =
        move |name: &str| !own.contains(&name) && membership(method, revision, name) == Membership::Has;
    let members = members.filter(move |(key, _)| key.as_str().is_some_and(|key| goes_on(&key)));
    let given = meta::of(params).into_iter().flat_map(Node::members);
    let given = given.filter(|(key, _)| key.as_str().is_some_and(|key| meta::passes(&key)));
    let of = |in_meta| move |(key, value)| Beside { key, value, in_meta };
    members.map(of(false)).chain(given.map(of(true)))
}

/// See [`beside`].
#[derive(Clone, Copy, Debug)]
pub struct Beside<'m> {
    /// Its name.
    pub key: Node<'m>,
    /// What it holds.
    pub value: Node<'m>,
    /// Whether it stands in `_meta`.
    pub in_meta: bool,
}

impl Beside<'_> {
    /// Whether it names the request's place in a trace: another one in each request, and none of what is asked.
    #[must_use]
    pub fn is_trace(&self) -> bool {
        self.in_meta && meta::TRACE_KEYS.iter().any(|name| self.key.is_str(name))
    }
}
