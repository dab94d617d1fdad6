//! Types of arguments, as a pinned JSON Schema tells them, and as the operator does.

use std::collections::BTreeMap;

use wire::json::Node;

use super::{
    datum::Datum,
    file_path,
    sql::{self, Dialect},
    uri,
};

/// Deeper schemas say nothing here.
const DEPTH_MAX: usize = 16;
/// Keywords of a schema that say what an object holds besides `properties`.
const ELSEWHERE: [&str; 10] = [
    "$dynamicRef",
    "$ref",
    "allOf",
    "anyOf",
    "dependentSchemas",
    "else",
    "if",
    "oneOf",
    "patternProperties",
    "then",
];

/// The type of an argument.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ArgumentType {
    /// Not said, or more than one: rules may read it, nothing is checked beforehand.
    Any,
    /// `boolean`.
    Bool,
    /// `number`: always a `decimal`, also where it is written without a point.
    Decimal,
    /// `array`: a set.
    List(Box<ArgumentType>),
    /// `integer`: always a `Long`, also where it is written `1.0`.
    Long,
    /// A string that is a file path: a record of what its text says.
    Path,
    /// `object`.
    Record(BTreeMap<String, Field>),
    /// A string that is SQL: a record of what it does.
    Sql(Dialect),
    /// `string`.
    String,
    /// A string that is a URL, or has `format: uri`: a record of its parts.
    Url,
}

/// A member of an object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Field {
    /// What it holds.
    pub holds: ArgumentType,
    /// Whether it is always there. Rules must ask `has` before they read what is not.
    pub required: bool,
}

impl ArgumentType {
    /// What an object schema says of an object. Whatever it leaves open is [`ArgumentType::Any`].
    #[must_use]
    pub fn of_schema(schema: Node<'_>) -> Self {
        Self::at_depth(schema, 0)
    }

    fn at_depth(schema: Node<'_>, depth: usize) -> Self {
        let kind = schema.get("type").and_then(Node::as_str);
        let elsewhere = ELSEWHERE.iter().any(|word| schema.get(word).is_some());
        match kind.as_deref() {
            _ if depth > DEPTH_MAX || elsewhere => Self::Any,
            Some("array") => {
                let element = schema.get("items").map(|items| Self::at_depth(items, depth + 1));
                Self::List(Box::new(element.unwrap_or(Self::Any)))
            }
            Some("boolean") => Self::Bool,
            Some("integer") => Self::Long,
            Some("number") => Self::Decimal,
            Some("object") => {
                let required: Vec<_> = schema
                    .get("required")
                    .into_iter()
                    .flat_map(Node::elements)
                    .filter_map(Node::as_str)
                    .collect();
                let members = schema.get("properties").into_iter().flat_map(Node::members);
                let fields = members.filter_map(|(name, schema)| {
                    let name = name.as_str()?.into_owned();
                    let field = Field {
                        holds: Self::at_depth(schema, depth + 1),
                        required: required.iter().any(|other| *other == name),
                    };
                    Some((name, field))
                });
                Self::Record(fields.collect())
            }
            Some("string") if schema.get("format").is_some_and(|format| format.is_str("uri")) => Self::Url,
            Some("string") => Self::String,
            Some(_) | None => Self::Any,
        }
    }

    /// This type with what the operator says of an argument, which is stronger than the schema. The argument is
    /// found by its names, from the outside in.
    pub fn say(&mut self, names: &[String], holds: Self) {
        let Some((first, rest)) = names.split_first() else {
            *self = holds;
            return;
        };
        if !matches!(self, Self::Record(_)) {
            *self = Self::Record(BTreeMap::new());
        }
        if let Self::Record(fields) = self {
            let unsaid = || Field {
                holds: Self::Any,
                required: false,
            };
            fields
                .entry(first.clone())
                .or_insert_with(unsaid)
                .holds
                .say(rest, holds);
        }
    }

    /// What the record has that stands for a string, where one does.
    pub(super) fn members(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Path => Some(&file_path::MEMBERS),
            Self::Sql(_) => Some(&sql::MEMBERS),
            Self::Url => Some(&uri::MEMBERS),
            Self::Any
            | Self::Bool
            | Self::Decimal
            | Self::List(_)
            | Self::Long
            | Self::Record(_)
            | Self::String => None,
        }
    }

    /// Whether a record is one that stands for a string.
    pub(super) fn stands_for_text(record: &Datum<'_>) -> bool {
        let Datum::Record(fields) = record else {
            return false;
        };
        let has_only = |members: &[&str]| fields.iter().all(|(name, _)| members.contains(&name.as_ref()));
        let of_a_kind = [file_path::MEMBERS.as_slice(), &sql::MEMBERS, &uri::MEMBERS]
            .into_iter()
            .any(has_only);
        of_a_kind && record.field("text").is_some()
    }

    /// The type of a member, if this is an object that declares it.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Record(fields) => fields.get(name).map(|field| &field.holds),
            Self::Any
            | Self::Bool
            | Self::Decimal
            | Self::List(_)
            | Self::Long
            | Self::Path
            | Self::Sql(_)
            | Self::String
            | Self::Url => None,
        }
    }

    /// The type of elements, if this is an array that declares it.
    pub(super) fn element(&self) -> Option<&Self> {
        match self {
            Self::List(element) => Some(element),
            Self::Any
            | Self::Bool
            | Self::Decimal
            | Self::Long
            | Self::Path
            | Self::Record(_)
            | Self::Sql(_)
            | Self::String
            | Self::Url => None,
        }
    }
}
