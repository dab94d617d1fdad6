//! A condition, compiled: what Cedar's syntax tree says, with constants computed, chains flattened and
//! names resolved.

use std::sync::Arc;

use super::{datum::Datum, pattern::Pattern, remember::Remembered};

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
    /// A path of attributes that other rules read too.
    Remembered(Box<Remembered>),
    Set(Vec<Expr>),
    Unary(Unary, Box<Expr>),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
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
    /// What it is with its sides changed over.
    pub(super) fn flipped(self) -> Self {
        match self {
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
        }
    }

    pub(super) fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
        }
    }
}

impl Expr {
    /// Whether it is the context itself.
    pub(super) fn is_context(&self) -> bool {
        matches!(self, Self::Variable(Variable::Context))
    }

    /// Whether it reads a variable.
    pub(super) fn mentions(&self, variable: Variable) -> bool {
        let mut found = matches!(self, Self::Variable(this) if *this == variable);
        self.parts(&mut |part| found |= part.mentions(variable));
        found
    }

    /// The member of `context` that a remembered path begins with.
    pub(super) fn remembered_of_context(&self) -> Option<&str> {
        if let Self::Remembered(remembered) = self {
            remembered.of_context.as_deref()
        } else {
            None
        }
    }

    /// The expressions right below this one.
    pub(super) fn parts<'e>(&'e self, each: &mut impl FnMut(&'e Self)) {
        match self {
            Self::Constant(_) | Self::Variable(_) => {}
            Self::And(all) | Self::Or(all) | Self::Set(all) => all.iter().for_each(each),
            Self::Binary(_, sides) => {
                each(&sides.0);
                each(&sides.1);
            }
            Self::Get(of, _)
            | Self::Has(of, _)
            | Self::Is(of, _)
            | Self::Like(of, _)
            | Self::Unary(_, of) => {
                each(of);
            }
            Self::If(parts) => {
                each(&parts.0);
                each(&parts.1);
                each(&parts.2);
            }
            Self::Record(fields) => fields.iter().for_each(|(_, field)| each(field)),
            Self::Remembered(remembered) => each(&remembered.path),
        }
    }

    /// The expressions right below this one, to be changed.
    pub(super) fn parts_mut(&mut self, each: &mut impl FnMut(&mut Self)) {
        match self {
            Self::Constant(_) | Self::Variable(_) => {}
            Self::And(all) | Self::Or(all) | Self::Set(all) => all.iter_mut().for_each(each),
            Self::Binary(_, sides) => {
                each(&mut sides.0);
                each(&mut sides.1);
            }
            Self::Get(of, _)
            | Self::Has(of, _)
            | Self::Is(of, _)
            | Self::Like(of, _)
            | Self::Unary(_, of) => {
                each(of);
            }
            Self::If(parts) => {
                each(&mut parts.0);
                each(&mut parts.1);
                each(&mut parts.2);
            }
            Self::Record(fields) => fields.iter_mut().for_each(|(_, field)| each(field)),
            Self::Remembered(remembered) => each(&mut remembered.path),
        }
    }
}
