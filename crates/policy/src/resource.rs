//! What is asked for, as rules see it.

use std::sync::Arc;

use crate::{label::Labels, rules::ArgumentType};

/// Whether what a server says may be taken as the operator's own word.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Trust {
    /// Its content counts as trusted.
    Trusted,
    /// Its content may carry instructions from anyone. The default.
    #[default]
    Untrusted,
}

/// What calling a tool can do to the world. Ordered from harmless to grave.
///
/// Taken from the approved manifest; never from a tool's own annotations alone, which are hearsay.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Sink {
    /// Only reads.
    Read,
    /// Changes something that stays inside.
    Write,
    /// Sends data to somebody outside.
    Egress,
    /// Destroys or cannot be taken back.
    Destructive,
    /// Nobody has said. Judged as the gravest.
    #[default]
    Unknown,
}

/// What rules may know of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolFacts {
    /// The server it belongs to; empty for models.
    pub server: String,
    /// Its own name on that server.
    pub name: String,
    /// What it can do.
    pub sink: Sink,
    /// Whether its server's content is trusted.
    pub trust: Trust,
    /// What data of this server is like.
    pub labels: Labels,
    /// Whose it is: `resource.tenant`, and `resource in Tenant::"..."`. None is everybody's.
    pub tenant: Option<String>,
    /// What a call counts against limits on cost.
    pub cost: u64,
    /// What its arguments are, of a tool: from its pinned schema and the operator's word.
    pub arguments: Option<Arc<ArgumentType>>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// The gateway itself: `Gateway::"sallyport"`.
    Gateway,
    /// A model: `Model::"name"`. It belongs to no server.
    Model(ToolFacts),
    /// A prompt: `Prompt::"server__name"` in `Server::"server"`.
    Prompt(ToolFacts),
    /// A resource: `Resource::"uri"` in `Server::"server"`.
    Resource {
        /// Its URI.
        uri: String,
        /// What is known of its server; `name` is the URI.
        facts: ToolFacts,
    },
    /// A server as a whole: `Server::"server"`.
    Server(ToolFacts),
    /// A tool: `Tool::"server__name"` in `Server::"server"`.
    Tool(ToolFacts),
}

impl Resource {
    /// What is known of it and of its server; nothing of the gateway itself.
    #[must_use]
    pub const fn facts(&self) -> Option<&ToolFacts> {
        match self {
            Self::Gateway => None,
            Self::Model(facts)
            | Self::Prompt(facts)
            | Self::Resource { facts, .. }
            | Self::Server(facts)
            | Self::Tool(facts) => Some(facts),
        }
    }
}

impl Trust {
    /// Both, the better first.
    pub const ALL: [Self; 2] = [Self::Trusted, Self::Untrusted];

    /// The word rules and records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Untrusted => "untrusted",
        }
    }
}

impl Sink {
    /// All sinks, most harmless first.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Egress,
        Self::Destructive,
        Self::Unknown,
    ];

    /// The word rules, configuration and records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Egress => "egress",
            Self::Destructive => "destructive",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sink| sink.as_str() == word)
    }
}
