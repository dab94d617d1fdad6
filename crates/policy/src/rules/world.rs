//! What a rule can see: the parties, the action, the resource and the context of one call, converted only
//! where a rule looks. `docs/reference/policy-language.md` describes the same in prose.

use std::borrow::Cow;

use wire::json::{Kind, Node};

use super::{
    ArgumentType, Value,
    datum::Datum,
    decimal::{self, Decimal},
    entity::{Entity, Target},
    evaluate::{self, Failure},
    expr::Variable,
    file_path,
    memory::Memory,
    moment::Moment,
    remember::{Found, Numbered, Remembered},
    sql, uri,
    view::{self, Seen, View},
};
use crate::{
    action::Action,
    facts::Facts,
    subject::{Party, PartyKind, Subject},
};

/// The members of `context`, in order of their names.
pub(super) const CONTEXT: [&str; 11] = [
    "agent", "args", "findings", "labels", "purpose", "scopes", "sources", "task", "time", "tls", "user",
];

/// What nobody has seen of a call when something is asked about it: members of `context` that could be anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unseen {
    /// The arguments. What was found in them and where they came from is known: the ledger keeps no more.
    Arguments,
    /// The arguments, and with them what is found in them and where they come from: no call was made yet.
    Call,
    /// Everything but who asks, for which purpose, and the labels of the conversation: for what must hold of
    /// every call, at any time, over any connection, with any scopes.
    Circumstances,
}

impl Unseen {
    /// Whether a member of `context` is unseen.
    pub(super) fn holds(self, member: &str) -> bool {
        match self {
            Self::Arguments => member == "args",
            Self::Call => matches!(member, "args" | "findings" | "sources"),
            Self::Circumstances => !matches!(member, "agent" | "labels" | "purpose" | "user"),
        }
    }
}

/// One call as one party would have it judged.
#[derive(Debug)]
pub(super) struct World<'w, 'a> {
    pub(super) principal: &'a Party,
    pub(super) call: Call<'a>,
    /// What was found of the principal.
    pub(super) own: &'w Found<'a>,
    /// What was found of the rest.
    pub(super) known: &'w Known<'a>,
}

/// What was found of a call, for all parties.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) memory: Memory<'a>,
    pub(super) context: Found<'a>,
    pub(super) resource: Found<'a>,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) subject: &'a Subject,
    pub(super) action: Action,
    pub(super) target: &'a Target<'a>,
    pub(super) facts: &'a Facts<'a>,
    /// The pinned type of the arguments, if there is one.
    pub(super) arguments: Option<&'a ArgumentType>,
    /// What is not looked at where it is asked what could be.
    pub(super) unseen: Unseen,
}

impl Call<'_> {
    /// The discovery of what the call is about.
    pub(super) fn discovery(self) -> Self {
        Self {
            action: Action::Discover,
            ..self
        }
    }
}

impl<'a> Known<'a> {
    pub(super) fn nothing(numbered: Numbered) -> Self {
        Self {
            memory: Memory::default(),
            context: Found::nothing(numbered.context),
            resource: Found::nothing(numbered.resource),
        }
    }
}

impl<'a> World<'_, 'a> {
    /// The value of a path, looked up once per call; none where there is no room for it.
    pub(super) fn recall(&self, remembered: &'a Remembered) -> Option<&Result<Seen<'a>, Failure>> {
        let found = match remembered.variable {
            Variable::Context => &self.known.context,
            Variable::Principal => self.own,
            Variable::Action | Variable::Resource => &self.known.resource,
        };
        found.recall(remembered.number, || evaluate::evaluate(&remembered.path, self))
    }

    /// The value of a path, if it has one and that is plain: a comparison with it cannot fail.
    pub(super) fn plain(&self, remembered: &'a Remembered) -> Option<&Datum<'a>> {
        match self.recall(remembered)? {
            Ok(Seen::Datum(Datum::Record(_) | Datum::Set(_)) | Seen::View(_)) | Err(_) => None,
            Ok(Seen::Datum(datum)) => Some(datum),
        }
    }

    /// The entity as far as this call knows it.
    fn resolved(&self, entity: &Entity<'a>) -> Entity<'a> {
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
        match self.resolved(entity) {
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
        match self.resolved(entity) {
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
    pub(super) fn field(&self, view: View<'a>, name: &str) -> Result<Option<Seen<'a>>, Failure> {
        if let View::Sources(sources) = view {
            return view::sources_field(sources, name);
        }
        Ok(self.plain_field(view, name))
    }

    fn plain_field(&self, view: View<'a>, name: &str) -> Option<Seen<'a>> {
        match view {
            View::Configured(Value::Record(fields)) => fields.get(name).map(Seen::configured),
            View::Configured(_) | View::Findings(_) | View::Sources(_) | View::Words(_) => None,
            View::Context => self.context(name),
            View::Labels(labels) => view::labels_field(labels, name),
            View::Object(node, declared) => {
                let member = self.known.memory.member(node, name)?;
                self.argument(member, declared.and_then(|declared| declared.member(name)))
            }
            View::Tls(tls) => view::tls_field(tls, name),
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
            Kind::Array => self.converted_once(node, declared),
            Kind::String if declared.is_some_and(|declared| declared.members().is_some()) => {
                self.converted_once(node, declared)
            }
            Kind::Object => Some(Seen::View(View::Object(node, declared))),
            Kind::Bool | Kind::Null | Kind::Number | Kind::String => {
                converted(node, declared).map(Seen::Datum)
            }
        }
    }

    fn converted_once(&self, node: Node<'a>, declared: Option<&'a ArgumentType>) -> Option<Seen<'a>> {
        let value = self.known.memory.value(node, || converted(node, declared));
        value.map(Seen::Datum)
    }

    /// The whole of what was seen.
    pub(super) fn whole(&self, seen: Seen<'a>) -> Result<Datum<'a>, Failure> {
        let record = |view: View<'a>, names: &[&'static str]| {
            let mut fields = Vec::with_capacity(names.len());
            for name in names {
                if let Some(field) = self.field(view, name)? {
                    fields.push((Cow::Borrowed(*name), self.whole(field)?));
                }
            }
            Ok(Datum::record(fields))
        };
        let view = match seen {
            Seen::Datum(datum) => return Ok(datum),
            Seen::View(view) => view,
        };
        Ok(match view {
            View::Configured(value) => Datum::of(value),
            View::Context => record(view, &CONTEXT)?,
            View::Findings(words) => Datum::set(words.iter().map(|word| Datum::text(word))),
            View::Labels(_) => record(view, &view::LABELS)?,
            View::Object(node, declared) => {
                // An object always converts; only what it holds may be absent.
                converted(node, declared).unwrap_or_else(|| Datum::record([]))
            }
            View::Sources(_) => record(view, &view::SOURCES)?,
            View::Tls(_) => record(view, &view::TLS)?,
            View::Words(words) => Datum::set(words.iter().map(|word| Datum::text(word))),
        })
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
                    | ArgumentType::Path
                    | ArgumentType::Record(_)
                    | ArgumentType::Sql(_)
                    | ArgumentType::String
                    | ArgumentType::Url,
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
        Kind::String => {
            let text = node.as_str()?;
            Some(match declared {
                Some(ArgumentType::Path) => file_path::record(text),
                Some(ArgumentType::Sql(dialect)) => sql::record(text, *dialect),
                Some(ArgumentType::Url) => uri::record(text),
                Some(
                    ArgumentType::Any
                    | ArgumentType::Bool
                    | ArgumentType::Decimal
                    | ArgumentType::List(_)
                    | ArgumentType::Long
                    | ArgumentType::Record(_)
                    | ArgumentType::String,
                )
                | None => Datum::Text(text),
            })
        }
    }
}
