//! Types of arguments, as a pinned JSON Schema tells them.

use std::collections::BTreeMap;

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
    /// `object`.
    Record(BTreeMap<String, Field>),
    /// `string`.
    String,
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
    /// The type of a member, if this is an object that declares it.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Record(fields) => fields.get(name).map(|field| &field.holds),
            Self::Any | Self::Bool | Self::Decimal | Self::List(_) | Self::Long | Self::String => None,
        }
    }

    /// The type of elements, if this is an array that declares it.
    pub(super) fn element(&self) -> Option<&Self> {
        match self {
            Self::List(element) => Some(element),
            Self::Any | Self::Bool | Self::Decimal | Self::Long | Self::Record(_) | Self::String => None,
        }
    }
}
