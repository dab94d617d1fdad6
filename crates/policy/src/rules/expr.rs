//! A condition, compiled: what Cedar's syntax tree says, with constants computed, chains flattened and
//! names resolved.

use std::sync::Arc;

use super::{datum::Datum, pattern::Pattern};

/// An expression. Depth is bounded when it is compiled.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    /// All of them, in order; the first that is false or fails decides.
    And(Vec<Expr>),
    Binary(Binary, Box<(Expr, Expr)>),
    Constant(Datum<'static>),
    Get(Box<Expr>, Arc<str>),
    /// Whether a path of attributes exists.
    Has(Box<Expr>, Vec<Arc<str>>),
    If(Box<(Expr, Expr, Expr)>),
    Is(Box<Expr>, Arc<str>),
    Like(Box<Expr>, Pattern),
    /// Any of them, in order; the first that is true or fails decides.
    Or(Vec<Expr>),
    Record(Vec<(Arc<str>, Expr)>),
    Set(Vec<Expr>),
    Unary(Unary, Box<Expr>),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Variable {
    Action,
    Context,
    Principal,
    Resource,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unary {
    Days,
    Hours,
    IsEmpty,
    IsLoopback,
    IsMulticast,
    IsV4,
    IsV6,
    Milliseconds,
    Minutes,
    Negate,
    Not,
    Read(Reader),
    Seconds,
    ToDate,
    ToTime,
}

/// `decimal("...")` and its kin: a value written as a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reader {
    Decimal,
    Moment,
    Network,
    Span,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Binary {
    Add,
    /// `<` and its kin on integers, datetimes and durations.
    Compare(Order),
    Contains,
    ContainsAll,
    ContainsAny,
    /// `.lessThan()` and its kin.
    CompareDecimals(Order),
    Equal,
    In,
    IsInRange,
    Multiply,
    NotEqual,
    Offset,
    Since,
    Subtract,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Order {
    pub(super) fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
        }
    }
}
