//! What is known of one call besides who asks for what: the `context` of a rule.

use std::collections::BTreeSet;

use wire::json::Node;

use crate::label::Labels;

/// The kinds of findings there are; rules and obligations may name no others.
pub const FINDING_KINDS: [&str; 7] = [
    "injection",
    "personal",
    "poisoning",
    "schema",
    "secret",
    "unicode",
    "uninspectable",
];

/// Where a value among the arguments came from.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Source {
    /// The argument, as a JSON pointer into the arguments; None: more of them than can be told.
    pub argument: Option<String>,
    /// The server whose earlier result holds the value.
    pub server: String,
    /// The tool that gave that result.
    pub tool: String,
    /// Whether that server's content is trusted.
    pub trusted: bool,
}

/// The facts of one call.
#[derive(Clone, Debug)]
pub struct Facts<'c> {
    /// The arguments as judged; rules read them as `context.args`.
    pub args: Option<Node<'c>>,
    /// The declared purpose: `context.purpose`.
    pub purpose: Option<&'c str>,
    /// The declared task, if any: `context.task`.
    pub task: Option<&'c str>,
    /// The labels of the context so far: `context.labels`.
    pub labels: &'c Labels,
    /// Kinds of findings in the arguments, such as `injection`: `context.findings`.
    pub findings: BTreeSet<&'static str>,
    /// Where arguments came from: `context.sources`, summed up as sets because rules have no loops.
    pub sources: &'c [Source],
    /// What the credential was issued for: `context.scopes`, and what `@scope` asks for.
    pub scopes: &'c BTreeSet<String>,
    /// Negotiated TLS version and group towards the caller, if any: `context.tls`.
    pub tls: Option<TlsFacts<'c>>,
    /// Milliseconds since 1970-01-01T00:00:00Z: `context.time`, a `datetime`.
    pub now_ms: i64,
}

/// What the caller's connection is protected by.
#[derive(Clone, Copy, Debug)]
pub struct TlsFacts<'c> {
    /// Such as `TLSv1.3`.
    pub version: &'c str,
    /// Such as `X25519MLKEM768`.
    pub group: &'c str,
}
