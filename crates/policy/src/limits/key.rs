//! Whom a call counts for.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{
    resource::Resource,
    subject::{Party, PartyKind, Subject},
};

/// Room for most keys.
const KEY_BYTES: usize = 64;

/// What a limit is per.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Dimension {
    /// The agent.
    Agent,
    /// The very same call: tool and arguments. With a rate this finds loops.
    Call,
    /// The context.
    Context,
    /// Who asks: the actor, and whom it acts for.
    Principal,
    /// The declared purpose.
    Purpose,
    /// The server.
    Server,
    /// The tenant of who asks.
    Tenant,
    /// The tool, prompt or resource.
    Tool,
    /// The user.
    User,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 9] = [
        Self::Agent,
        Self::Call,
        Self::Context,
        Self::Principal,
        Self::Purpose,
        Self::Server,
        Self::Tenant,
        Self::Tool,
        Self::User,
    ];

    /// The word configuration uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Call => "call",
            Self::Context => "context",
            Self::Principal => "principal",
            Self::Purpose => "purpose",
            Self::Server => "server",
            Self::Tenant => "tenant",
            Self::Tool => "tool",
            Self::User => "user",
        }
    }

    /// Reads the word configuration uses.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.as_str() == word)
    }
}

/// What a call is, for counting.
#[derive(Clone, Copy, Debug)]
pub struct Usage<'c> {
    /// Who asks.
    pub subject: &'c Subject,
    /// What for.
    pub resource: &'c Resource,
    /// The declared purpose.
    pub purpose: Option<&'c str>,
    /// The context's id.
    pub context: Option<&'c str>,
    /// A digest of the arguments.
    pub arguments: &'c str,
    /// Bytes of the arguments.
    pub bytes: u64,
    /// Cost units, if the call's cost is known beforehand.
    pub cost: u64,
    /// The limits the permit names.
    pub named: &'c [&'c str],
}

/// The key of a limit for a call. Parts are told apart by their lengths, so that no name can pass for two.
///
/// Where a dimension has no value, such as the agent of a call without one, who asks takes its place: callers
/// never share a count because something about them is not known.
pub(super) fn key(limit: &str, per: &[Dimension], usage: &Usage<'_>) -> Box<str> {
    let mut key = String::with_capacity(KEY_BYTES);
    let mut add = |part: &str| add(&mut key, part);
    add(limit);
    let principal = || {
        let mut principal = String::with_capacity(KEY_BYTES);
        principal.push_str("principal");
        usage
            .subject
            .parties()
            .for_each(|party| name(party, &mut principal));
        principal
    };
    let of_kind = |kind: PartyKind| {
        let party = usage.subject.parties().find(|party| party.kind == kind)?;
        let mut named = String::with_capacity(KEY_BYTES);
        name(party, &mut named);
        Some(named)
    };
    let tenant = || usage.subject.parties().find_map(|party| party.tenant.clone());
    for dimension in per {
        let part = match dimension {
            Dimension::Agent => of_kind(PartyKind::Agent),
            Dimension::Call => Some(format!("{}({})", resource(usage.resource), usage.arguments)),
            Dimension::Context => usage.context.map(str::to_owned),
            Dimension::Principal => None,
            Dimension::Purpose => usage.purpose.map(str::to_owned),
            // A model is of no server.
            Dimension::Server => {
                let facts = usage.resource.facts().map(|facts| facts.server.clone());
                facts.filter(|_| !matches!(usage.resource, Resource::Model(_)))
            }
            Dimension::Tenant => tenant(),
            Dimension::Tool => Some(resource(usage.resource)),
            Dimension::User => of_kind(PartyKind::User),
        };
        add(&part.unwrap_or_else(principal));
    }
    key.into()
}

/// Whether a key is of a limit.
pub(super) fn is_of(key: &str, limit: &str) -> bool {
    key.starts_with(&format!("{}:{limit}", limit.len()))
}

/// Which of so many shards a key belongs to.
pub(super) fn spread(key: &str, shards: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let shards = u64::try_from(shards).unwrap_or(1).max(1);
    usize::try_from(hasher.finish() % shards).unwrap_or_default()
}

/// Appends a part of a key, with its length before it.
fn add(key: &mut String, part: &str) {
    key.push_str(&part.len().to_string());
    key.push(':');
    key.push_str(part);
}

fn name(party: &Party, out: &mut String) {
    let tenant = party.tenant.as_deref().unwrap_or_default();
    [party.kind.as_str(), &party.name, tenant]
        .into_iter()
        .for_each(|part| add(out, part));
}

fn resource(resource: &Resource) -> String {
    match resource {
        Resource::Gateway => "gateway".to_owned(),
        Resource::Model(facts) => format!("model {}", facts.name),
        Resource::Prompt(facts) => format!("prompt {}__{}", facts.server, facts.name),
        Resource::Resource { uri, facts } => format!("resource {} {uri}", facts.server),
        Resource::Server(facts) => format!("server {}", facts.server),
        Resource::Tool(facts) => format!("tool {}__{}", facts.server, facts.name),
    }
}
