//! Values while a rule is evaluated: borrowed from the rules, the configuration or the message, and
//! ordered, so that sets of them are sorted slices.

use std::{borrow::Cow, cmp::Ordering, fmt, sync::Arc};

use super::{Value, decimal::Decimal, entity::Entity, moment::Moment, moment::Span, network::Network};

/// A value. Two values are equal exactly when Cedar calls them equal.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Datum<'a> {
    Bool(bool),
    Decimal(Decimal),
    Entity(Entity<'a>),
    Long(i64),
    Moment(Moment),
    Network(Network),
    Record(Arc<[(Cow<'a, str>, Datum<'a>)]>),
    Set(Arc<[Datum<'a>]>),
    Span(Span),
    Text(Cow<'a, str>),
}

impl<'a> Datum<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A set of what is given; doubles and order are lost.
    pub(super) fn set(elements: impl IntoIterator<Item = Self>) -> Self {
        let mut elements: Vec<_> = elements.into_iter().collect();
        elements.sort();
        elements.dedup();
        Self::Set(elements.into())
    }

    /// A record of what is given; of doubles the last counts.
    pub(super) fn record(fields: impl IntoIterator<Item = (Cow<'a, str>, Self)>) -> Self {
        let mut fields: Vec<_> = fields.into_iter().collect();
        fields.reverse();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields.dedup_by(|(later, _), (first, _)| later == first);
        Self::Record(fields.into())
    }

    /// This value, borrowing its texts.
    pub(super) fn lend(&'a self) -> Self {
        match self {
            Self::Text(text) => Self::text(text),
            Self::Bool(_)
            | Self::Decimal(_)
            | Self::Entity(_)
            | Self::Long(_)
            | Self::Moment(_)
            | Self::Network(_)
            | Self::Record(_)
            | Self::Set(_)
            | Self::Span(_) => self.clone(),
        }
    }

    /// A configured value.
    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Decimal(number) => Self::Decimal(*number),
            Value::Long(number) => Self::Long(*number),
            Value::Record(fields) => Self::record(
                fields
                    .iter()
                    .map(|(name, value)| (Cow::Borrowed(name.as_str()), Self::of(value))),
            ),
            Value::Set(elements) => Self::set(elements.iter().map(Self::of)),
            Value::String(text) => Self::text(text),
        }
    }

    /// This value as configuration would hold it, if it could.
    pub(super) fn to_value(&self) -> Option<Value> {
        match self {
            Self::Bool(truth) => Some(Value::Bool(*truth)),
            Self::Decimal(number) => Some(Value::Decimal(*number)),
            Self::Long(number) => Some(Value::Long(*number)),
            Self::Record(fields) => fields
                .iter()
                .map(|(name, value)| Some((name.to_string(), value.to_value()?)))
                .collect::<Option<_>>()
                .map(Value::Record),
            Self::Set(elements) => elements
                .iter()
                .map(Self::to_value)
                .collect::<Option<_>>()
                .map(Value::Set),
            Self::Text(text) => Some(Value::String(text.to_string())),
            Self::Entity(_) | Self::Moment(_) | Self::Network(_) | Self::Span(_) => None,
        }
    }

    /// The field of a record.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Record(fields) = self else {
            return None;
        };
        let at = fields
            .binary_search_by(|(field, _)| field.as_ref().cmp(name))
            .ok()?;
        fields.get(at).map(|(_, value)| value)
    }

    /// What the value is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a truth value",
            Self::Decimal(_) => "a decimal",
            Self::Entity(_) => "an entity",
            Self::Long(_) => "an integer",
            Self::Moment(_) => "a datetime",
            Self::Network(_) => "an address",
            Self::Record(_) => "a record",
            Self::Set(_) => "a set",
            Self::Span(_) => "a duration",
            Self::Text(_) => "a text",
        }
    }
}

/// As Cedar writes it.
impl fmt::Display for Datum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Decimal(number) => write!(f, "decimal(\"{number}\")"),
            Self::Entity(entity) => write!(f, "{entity}"),
            Self::Long(number) => write!(f, "{number}"),
            Self::Moment(moment) => write!(f, "datetime(\"{moment}\")"),
            Self::Network(network) => write!(f, "ip(\"{network}\")"),
            Self::Record(fields) => {
                f.write_str("{")?;
                for (n, (name, value)) in fields.iter().enumerate() {
                    let comma = if n > 0 { ", " } else { "" };
                    write!(f, "{comma}\"{}\": {value}", name.escape_debug())?;
                }
                f.write_str("}")
            }
            Self::Set(elements) => {
                f.write_str("[")?;
                for (n, element) in elements.iter().enumerate() {
                    let comma = if n > 0 { ", " } else { "" };
                    write!(f, "{comma}{element}")?;
                }
                f.write_str("]")
            }
            Self::Span(span) => write!(f, "duration(\"{span}\")"),
            Self::Text(text) => write!(f, "\"{}\"", text.escape_debug()),
        }
    }
}

/// Whether every element of the first sorted slice is in the second.
pub(super) fn is_subset(part: &[Datum<'_>], whole: &[Datum<'_>]) -> bool {
    part.iter().all(|element| whole.binary_search(element).is_ok())
}

/// Whether two sorted slices have an element in common.
pub(super) fn intersects(one: &[Datum<'_>], other: &[Datum<'_>]) -> bool {
    let (mut ones, mut others) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (ones.peek(), others.peek()) {
        match a.cmp(b) {
            Ordering::Equal => return true,
            Ordering::Greater => others.next(),
            Ordering::Less => ones.next(),
        };
    }
    false
}
