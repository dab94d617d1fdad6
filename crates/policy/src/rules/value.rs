//! Values that configuration may give a principal, for rules to read.

use std::collections::{BTreeMap, BTreeSet};

use super::decimal::Decimal;

/// A value of the policy language.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A fixed-point number: `decimal("12.50")`.
    Decimal(Decimal),
    /// A 64-bit integer.
    Long(i64),
    /// Named values.
    Record(BTreeMap<String, Value>),
    /// A set.
    Set(BTreeSet<Value>),
    /// A text.
    String(String),
}
