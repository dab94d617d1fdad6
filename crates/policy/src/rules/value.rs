//! Values rules compute with.

use std::collections::{BTreeMap, BTreeSet};

/// A value of the policy language.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit integer.
    Long(i64),
    /// A text.
    String(String),
    /// A set.
    Set(BTreeSet<Value>),
    /// Named values.
    Record(BTreeMap<String, Value>),
}
