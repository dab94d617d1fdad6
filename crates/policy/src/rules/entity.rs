//! Entities: the parties, the resource, the action, and whoever a rule names.

use std::{borrow::Cow, cmp::Ordering, fmt, sync::Arc};

use super::{
    ArgumentType,
    datum::Datum,
    uri::{self, Uri},
    view::{Seen, View},
};
use crate::{
    action::Action,
    label::Confidentiality,
    resource::{Resource, Sink, ToolFacts, Trust},
    subject::Party,
};

/// The attributes of a resource; the last five only where they apply.
pub(super) const RESOURCE: [&str; 12] = [
    "categories",
    "confidentiality",
    "level",
    "name",
    "server",
    "sink",
    "trust",
    "host",
    "path",
    "scheme",
    "tenant",
    "uri",
];

/// The name of an entity that a rule spells out.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Uid {
    pub(super) kind: Arc<str>,
    pub(super) id: Arc<str>,
}

impl Uid {
    /// Its type and id.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.kind, &self.id)
    }
}

/// What is asked for, under the names rules use.
#[derive(Debug)]
pub(super) struct Target<'a> {
    kind: &'static str,
    id: Cow<'a, str>,
    /// Nothing is known of the gateway but its name.
    facts: Option<&'a ToolFacts>,
    uri: Option<Uri>,
}

/// An entity. Two are equal when they have the same name.
#[derive(Clone, Debug)]
pub(super) enum Entity<'a> {
    Action(Action),
    Named(Uid),
    Party(&'a Party),
    Target(&'a Target<'a>),
}

impl<'a> Target<'a> {
    pub(super) fn of(resource: &'a Resource) -> Self {
        let federated = |facts: &'a ToolFacts| Cow::Owned(format!("{}__{}", facts.server, facts.name));
        let (kind, id, facts) = match resource {
            Resource::Gateway => ("Gateway", Cow::Borrowed("sallyport"), None),
            Resource::Model(facts) => ("Model", Cow::Borrowed(facts.name.as_str()), Some(facts)),
            Resource::Prompt(facts) => ("Prompt", federated(facts), Some(facts)),
            Resource::Resource { uri, facts } => ("Resource", Cow::Borrowed(uri.as_str()), Some(facts)),
            Resource::Server(facts) => ("Server", Cow::Borrowed(facts.server.as_str()), Some(facts)),
            Resource::Tool(facts) => ("Tool", federated(facts), Some(facts)),
        };
        let uri = (kind == "Resource").then(|| uri::split(&id));
        Self { kind, id, facts, uri }
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn tenant(&self) -> Option<&'a str> {
        self.facts.and_then(|facts| facts.tenant.as_deref())
    }

    /// What a call of it takes, as far as that is known.
    pub(super) fn arguments(&self) -> Option<&'a ArgumentType> {
        let facts = self.facts.filter(|_| self.kind == "Tool")?;
        facts.arguments.as_deref()
    }

    pub(super) fn server(&self) -> Option<&'a str> {
        let facts = self.facts.filter(|_| self.kind != "Model")?;
        Some(facts.server.as_str())
    }

    /// The gateway has the attributes of something harmless, so that a rule about all resources can read
    /// them without asking what it looks at.
    pub(super) fn attribute(&'a self, name: &str) -> Option<Seen<'a>> {
        let labels = self.facts.map(|facts| &facts.labels);
        let level = labels.map_or(Confidentiality::Public, |labels| labels.confidentiality);
        let uri = self.uri.as_ref();
        Some(Seen::Datum(match name {
            "categories" => match labels {
                Some(labels) => return Some(Seen::View(View::Words(&labels.categories))),
                None => Datum::set([]),
            },
            "confidentiality" => Datum::text(level.as_str()),
            "host" => Datum::text(uri?.host.as_deref()?),
            "level" => Datum::Long(level.level()),
            "name" => Datum::text(self.facts.map_or("sallyport", |facts| facts.name.as_str())),
            "path" => Datum::text(uri?.path.as_deref()?),
            "scheme" => Datum::text(uri?.scheme.as_deref()?),
            "server" => Datum::text(self.server().unwrap_or_default()),
            "sink" => Datum::text(self.facts.map_or(Sink::Read, |facts| facts.sink).as_str()),
            "tenant" => Datum::text(self.tenant()?),
            "trust" => Datum::text(self.facts.map_or(Trust::Trusted, |facts| facts.trust).as_str()),
            "uri" => uri.map(|_| Datum::text(&self.id))?,
            _ => return None,
        }))
    }
}

impl<'a> Entity<'a> {
    /// Its type and id.
    pub(super) fn key(&self) -> (&str, &str) {
        match self {
            Self::Action(action) => ("Action", action.as_str()),
            Self::Named(uid) => uid.key(),
            Self::Party(party) => (party.kind.as_str(), &party.name),
            Self::Target(target) => (target.kind, &target.id),
        }
    }
}

/// As Cedar writes it: `User::"alice"`.
impl fmt::Display for Entity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = self.key();
        write!(f, "{kind}::\"{}\"", id.escape_debug())
    }
}

impl PartialEq for Entity<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Entity<'_> {}
impl PartialOrd for Entity<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entity<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
