//! What a rule can see: the parties, the action, the resource and the context of one call, converted only
//! where a rule looks. `docs/reference/policy-language.md` describes the same in prose.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeSet, sync::Arc};

use wire::json::{Kind, Node};

use super::{
    ArgumentType, Value,
    datum::Datum,
    decimal::{self, Decimal},
    memory::Memory,
    moment::Moment,
    uri::{self, Uri},
};
use crate::{
    action::Action,
    facts::{Facts, Source, TlsFacts},
    label::{Confidentiality, Labels},
    resource::{Resource, Sink, ToolFacts, Trust},
    subject::{Party, PartyKind, Subject},
};

/// The members of `context`, in order of their names.
pub(super) const CONTEXT: [&str; 11] = [
    "agent", "args", "findings", "labels", "purpose", "scopes", "sources", "task", "time", "tls", "user",
];
/// The members of `context` that nobody knows before a call is made.
pub(super) const UNKNOWN_BEFORE_A_CALL: [&str; 3] = ["args", "findings", "sources"];
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
pub(super) const LABELS: [&str; 4] = ["categories", "confidentiality", "integrity", "level"];
pub(super) const TLS: [&str; 3] = ["group", "pq", "version"];
pub(super) const SOURCES: [&str; 5] = ["arguments", "servers", "tainted", "tools", "untrusted"];

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

/// A record or set that is only looked into where a rule looks.
#[derive(Clone, Copy, Debug)]
pub(super) enum View<'a> {
    Configured(&'a Value),
    Context,
    Findings(&'a BTreeSet<&'static str>),
    Labels(&'a Labels),
    Object(Node<'a>, Option<&'a ArgumentType>),
    Sources(&'a [Source]),
    Tls(Option<TlsFacts<'a>>),
    Words(&'a BTreeSet<String>),
}

/// A value or the way to one.
#[derive(Clone, Debug)]
pub(super) enum Seen<'a> {
    Datum(Datum<'a>),
    View(View<'a>),
}

/// One call as one party would have it judged.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) principal: &'a Party,
    pub(super) call: &'a Call<'a>,
    memory: Memory<'a>,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) subject: &'a Subject,
    pub(super) action: Action,
    pub(super) target: &'a Target<'a>,
    pub(super) facts: &'a Facts<'a>,
    /// The pinned type of the arguments, if there is one.
    pub(super) arguments: Option<&'a ArgumentType>,
}

impl<'a> Target<'a> {
    pub(super) fn of(resource: &'a Resource) -> Self {
        let federated = |facts: &'a ToolFacts| Cow::Owned(format!("{}__{}", facts.server, facts.name));
        let (kind, id, facts) = match resource {
            Resource::Gateway => ("Gateway", Cow::Borrowed("sallyport"), None),
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

    pub(super) fn server(&self) -> Option<&'a str> {
        self.facts.map(|facts| facts.server.as_str())
    }

    /// The gateway has the attributes of something harmless, so that a rule about all resources can read
    /// them without asking what it looks at.
    fn attribute(&'a self, name: &str) -> Option<Seen<'a>> {
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

impl<'a> View<'a> {
    /// Whether this is a record; otherwise it is a set.
    pub(super) fn is_record(self) -> bool {
        match self {
            Self::Configured(value) => matches!(value, Value::Record(_)),
            Self::Context | Self::Labels(_) | Self::Object(..) | Self::Sources(_) | Self::Tls(_) => true,
            Self::Findings(_) | Self::Words(_) => false,
        }
    }
}

impl<'a> World<'a> {
    pub(super) fn new(principal: &'a Party, call: &'a Call<'a>) -> Self {
        Self {
            principal,
            call,
            memory: Memory::default(),
        }
    }

    /// The entity as far as this call knows it.
    fn known(&self, entity: &Entity<'a>) -> Entity<'a> {
        if let Entity::Named(_) = entity {
            let mut parties = self.call.subject.parties().map(Entity::Party);
            let target = Entity::Target(self.call.target);
            let known = parties.find(|party| party == entity).or(Some(target));
            return known
                .filter(|known| known == entity)
                .unwrap_or_else(|| entity.clone());
        }
        entity.clone()
    }

    /// An attribute of an entity; an entity that is not part of the call has none.
    pub(super) fn attribute(&self, entity: &Entity<'a>, name: &str) -> Option<Seen<'a>> {
        match self.known(entity) {
            Entity::Action(_) | Entity::Named(_) => None,
            Entity::Party(party) if name == "name" => Some(Seen::Datum(Datum::text(&party.name))),
            Entity::Party(party) if name == "tenant" => party
                .tenant
                .as_deref()
                .map(|tenant| Seen::Datum(Datum::text(tenant))),
            Entity::Party(party) => party.attributes.get(name).map(Seen::configured),
            Entity::Target(target) => target.attribute(name),
        }
    }

    /// Whether the entity is the other one or below it.
    pub(super) fn is_in(&self, entity: &Entity<'a>, other: &Entity<'a>) -> bool {
        self.is_below(entity, other.key())
    }

    /// Whether the entity has that name or is below the one that has.
    pub(super) fn is_below(&self, entity: &Entity<'a>, (kind, id): (&str, &str)) -> bool {
        if entity.key() == (kind, id) {
            return true;
        }
        match self.known(entity) {
            Entity::Action(_) | Entity::Named(_) => false,
            Entity::Party(party) => match kind {
                "Role" => party.roles.iter().any(|role| role == id),
                "Group" => party.groups.iter().any(|group| group == id),
                "Tenant" => party.tenant.as_deref() == Some(id),
                _ => false,
            },
            Entity::Target(target) => match kind {
                "Server" => target.server() == Some(id),
                "Tenant" => target.tenant() == Some(id),
                _ => false,
            },
        }
    }

    /// A field of a record that is only looked into.
    pub(super) fn field(&self, view: View<'a>, name: &str) -> Option<Seen<'a>> {
        match view {
            View::Configured(Value::Record(fields)) => fields.get(name).map(Seen::configured),
            View::Configured(_) | View::Findings(_) | View::Words(_) => None,
            View::Context => self.context(name),
            View::Labels(labels) => labels_field(labels, name),
            View::Object(node, declared) => {
                let member = self.memory.member(node, name)?;
                self.argument(member, declared.and_then(|declared| declared.member(name)))
            }
            View::Sources(sources) => sources_field(sources, name),
            View::Tls(tls) => tls_field(tls, name),
        }
    }

    fn context(&self, name: &str) -> Option<Seen<'a>> {
        let facts = self.call.facts;
        Some(match name {
            "agent" => self.party(PartyKind::Agent)?,
            "args" => match facts.args {
                Some(node) => Seen::View(View::Object(node, self.call.arguments)),
                None => Seen::Datum(Datum::record([])),
            },
            "findings" => Seen::View(View::Findings(&facts.findings)),
            "labels" => Seen::View(View::Labels(facts.labels)),
            "purpose" => Seen::Datum(Datum::text(facts.purpose.unwrap_or_default())),
            "scopes" => Seen::View(View::Words(facts.scopes)),
            "sources" => Seen::View(View::Sources(facts.sources)),
            "task" => Seen::Datum(Datum::text(facts.task.unwrap_or_default())),
            "time" => Seen::Datum(Datum::Moment(Moment(facts.now_ms))),
            "tls" => Seen::View(View::Tls(facts.tls)),
            "user" => self.party(PartyKind::User)?,
            _ => return None,
        })
    }

    fn party(&self, kind: PartyKind) -> Option<Seen<'a>> {
        let party = self.call.subject.parties().find(|party| party.kind == kind)?;
        Some(Seen::Datum(Datum::Entity(Entity::Party(party))))
    }

    /// An argument; none where it is null, or has no exact value in the policy language.
    fn argument(&self, node: Node<'a>, declared: Option<&'a ArgumentType>) -> Option<Seen<'a>> {
        match node.kind() {
            Kind::Array => {
                let set = self.memory.array(node, || converted(node, declared));
                set.map(Seen::Datum)
            }
            Kind::Object => Some(Seen::View(View::Object(node, declared))),
            Kind::Bool | Kind::Null | Kind::Number | Kind::String => {
                converted(node, declared).map(Seen::Datum)
            }
        }
    }

    /// The whole of what was seen.
    pub(super) fn whole(&self, seen: Seen<'a>) -> Datum<'a> {
        let record = |view: View<'a>, names: &[&'static str]| {
            Datum::record(names.iter().filter_map(|name| {
                let value = self.whole(self.field(view, name)?);
                Some((Cow::Borrowed(*name), value))
            }))
        };
        let view = match seen {
            Seen::Datum(datum) => return datum,
            Seen::View(view) => view,
        };
        match view {
            View::Configured(value) => Datum::of(value),
            View::Context => record(view, &CONTEXT),
            View::Findings(words) => Datum::set(words.iter().map(|word| Datum::text(word))),
            View::Labels(_) => record(view, &LABELS),
            View::Object(node, declared) => {
                // An object always converts; only what it holds may be absent.
                converted(node, declared).unwrap_or_else(|| Datum::record([]))
            }
            View::Sources(_) => record(view, &SOURCES),
            View::Tls(_) => record(view, &TLS),
            View::Words(words) => Datum::set(words.iter().map(|word| Datum::text(word))),
        }
    }
}

impl<'a> Seen<'a> {
    fn configured(value: &'a Value) -> Self {
        match value {
            Value::Record(_) | Value::Set(_) => Self::View(View::Configured(value)),
            Value::Bool(_) | Value::Decimal(_) | Value::Long(_) | Value::String(_) => {
                Self::Datum(Datum::of(value))
            }
        }
    }
}

/// A JSON value as a value of the policy language.
///
/// None for null, for a number without an exact value, and for an array that holds either: a set that left
/// them out would pass for one that never had them. Recursion ends at the depth the message was read with.
fn converted<'a>(node: Node<'a>, declared: Option<&'a ArgumentType>) -> Option<Datum<'a>> {
    match node.kind() {
        Kind::Array => {
            let element = declared.and_then(ArgumentType::element);
            let elements = node.elements().map(|node| converted(node, element));
            elements.collect::<Option<Vec<_>>>().map(Datum::set)
        }
        Kind::Bool => node.as_bool().map(Datum::Bool),
        Kind::Null => None,
        Kind::Number => {
            let number = node.as_number()?;
            match declared {
                Some(ArgumentType::Decimal) => Decimal::exactly(number.as_text()).map(Datum::Decimal),
                Some(ArgumentType::Long) => decimal::integer(number.as_text()).map(Datum::Long),
                Some(
                    ArgumentType::Any
                    | ArgumentType::Bool
                    | ArgumentType::List(_)
                    | ArgumentType::Record(_)
                    | ArgumentType::String,
                )
                | None => {
                    if number.is_integer_text() {
                        number.as_i64().map(Datum::Long)
                    } else {
                        Decimal::exactly(number.as_text()).map(Datum::Decimal)
                    }
                }
            }
        }
        Kind::Object => Some(Datum::record(node.members().filter_map(|(key, value)| {
            let name = key.as_str()?;
            let declared = declared.and_then(|declared| declared.member(&name));
            Some((name, converted(value, declared)?))
        }))),
        Kind::String => node.as_str().map(Datum::Text),
    }
}

fn labels_field<'a>(labels: &'a Labels, name: &str) -> Option<Seen<'a>> {
    Some(Seen::Datum(match name {
        "categories" => return Some(Seen::View(View::Words(&labels.categories))),
        "confidentiality" => Datum::text(labels.confidentiality.as_str()),
        "integrity" => Datum::text(labels.integrity.as_str()),
        "level" => Datum::Long(labels.confidentiality.level()),
        _ => return None,
    }))
}

/// Without TLS, as over stdio, the texts are empty.
fn tls_field<'a>(tls: Option<TlsFacts<'a>>, name: &str) -> Option<Seen<'a>> {
    let group = tls.map_or("", |tls| tls.group);
    Some(Seen::Datum(match name {
        "group" => Datum::text(group),
        "pq" => Datum::Bool(group.contains("MLKEM")),
        "version" => Datum::text(tls.map_or("", |tls| tls.version)),
        _ => return None,
    }))
}

fn sources_field<'a>(sources: &'a [Source], name: &str) -> Option<Seen<'a>> {
    let untrusted = || sources.iter().filter(|source| !source.trusted);
    Some(Seen::Datum(match name {
        "arguments" => Datum::set(sources.iter().map(|source| Datum::text(&source.argument))),
        "servers" => Datum::set(sources.iter().map(|source| Datum::text(&source.server))),
        "tainted" => Datum::set(untrusted().map(|source| Datum::text(&source.argument))),
        "tools" => Datum::set(
            sources
                .iter()
                .map(|source| Datum::Text(Cow::Owned(format!("{}__{}", source.server, source.tool)))),
        ),
        "untrusted" => Datum::set(untrusted().map(|source| Datum::text(&source.server))),
        _ => return None,
    }))
}
