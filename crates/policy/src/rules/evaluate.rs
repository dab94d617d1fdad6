//! What a compiled condition comes to in one world. Same values and same failures as Cedar, in the same
//! order; `tests/differential.rs` holds us to it.

use std::{borrow::Cow, sync::Arc};

use thiserror::Error;

use super::{
    ArgumentType,
    datum::{self, Datum},
    decimal::Decimal,
    entity::Entity,
    expr::{Binary, Expr, Reader, Unary, Variable},
    moment::{Moment, Span},
    network::Network,
    pattern::Pattern,
    view::{Seen, View},
    world::World,
};

/// Why a condition has no value. A rule that fails refuses.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(super) enum Failure {
    #[error("{of} has no `{attribute}`")]
    Absent { attribute: String, of: String },
    #[error("{found} stands where {wanted} is needed")]
    Kind {
        found: &'static str,
        wanted: &'static str,
    },
    #[error("the outcome does not fit 64 bits")]
    Overflow,
    #[error("more arguments came from earlier results than can be told; send fewer of them in one call")]
    Untold,
    #[error("`{text}` is not {wanted}")]
    Unreadable { text: String, wanted: &'static str },
}

/// The value of an expression.
pub(super) fn evaluate<'a>(expr: &'a Expr, world: &World<'_, 'a>) -> Result<Seen<'a>, Failure> {
    match expr {
        Expr::And(all) => {
            for part in all {
                if !truth(part, world)? {
                    return Ok(yes_or_no(false));
                }
            }
            Ok(yes_or_no(true))
        }
        Expr::Or(any) => {
            for part in any {
                if truth(part, world)? {
                    return Ok(yes_or_no(true));
                }
            }
            Ok(yes_or_no(false))
        }
        Expr::Binary(operator, sides) => {
            if let Some(truth) = at_a_glance(*operator, &sides.0, &sides.1, world) {
                return Ok(yes_or_no(truth));
            }
            let left = evaluate(&sides.0, world)?;
            let right = evaluate(&sides.1, world)?;
            binary(*operator, left, right, world)
        }
        Expr::Constant(datum) => Ok(Seen::Datum(datum.lend())),
        Expr::Get(of, name) => get(evaluate(of, world)?, name, world),
        Expr::Has(of, path) => has(evaluate(of, world)?, path, world),
        Expr::If(parts) => {
            let chosen = if truth(&parts.0, world)? {
                &parts.1
            } else {
                &parts.2
            };
            evaluate(chosen, world)
        }
        Expr::Is(of, kind) => is(&evaluate(of, world)?, kind),
        Expr::Like(of, pattern) => like(&evaluate(of, world)?, pattern),
        Expr::Record(fields) => {
            let fields: Result<Vec<_>, _> = fields
                .iter()
                .map(|(name, field)| {
                    let value = world.whole(evaluate(field, world)?)?;
                    Ok((Cow::Borrowed(name.as_ref()), value))
                })
                .collect();
            Ok(Seen::Datum(Datum::record(fields?)))
        }
        Expr::Remembered(remembered) => match world.recall(remembered) {
            Some(found) => found.clone(),
            None => evaluate(&remembered.path, world),
        },
        Expr::Set(elements) => {
            let elements: Result<Vec<_>, _> = elements
                .iter()
                .map(|element| world.whole(evaluate(element, world)?))
                .collect();
            Ok(Seen::Datum(Datum::set(elements?)))
        }
        Expr::Unary(operator, of) => unary(*operator, evaluate(of, world)?, world),
        Expr::Variable(variable) => Ok(value_of(*variable, world)),
    }
}

/// The commonest comparisons, of a constant with something remembered, without copying either.
pub(super) fn at_a_glance<'a>(
    operator: Binary,
    left: &'a Expr,
    right: &'a Expr,
    world: &World<'_, 'a>,
) -> Option<bool> {
    let (left, right) = (glance(left, world)?, glance(right, world)?);
    if mixed(left, right) {
        return None;
    }
    match (operator, left, right) {
        (Binary::Equal, left, right) => Some(left == right),
        (Binary::NotEqual, left, right) => Some(left != right),
        (Binary::Contains, Datum::Set(elements), right) => Some(elements.binary_search(right).is_ok()),
        (Binary::Compare(order), Datum::Long(left), Datum::Long(right)) => Some(order.holds(left, right)),
        _ => None,
    }
}

fn glance<'w, 'a>(expr: &'a Expr, world: &'w World<'_, 'a>) -> Option<&'w Datum<'a>> {
    let seen = match expr {
        Expr::Constant(datum) => return Some(datum),
        Expr::Remembered(remembered) => world.recall(remembered),
        Expr::And(_)
        | Expr::Binary(..)
        | Expr::Get(..)
        | Expr::Has(..)
        | Expr::If(_)
        | Expr::Is(..)
        | Expr::Like(..)
        | Expr::Or(_)
        | Expr::Record(_)
        | Expr::Set(_)
        | Expr::Unary(..)
        | Expr::Variable(_) => return None,
    };
    if let Some(Ok(Seen::Datum(datum))) = seen {
        return Some(datum);
    }
    None
}

/// The truth value of an expression that must have one.
pub(super) fn truth<'a>(expr: &'a Expr, world: &World<'_, 'a>) -> Result<bool, Failure> {
    as_truth(&evaluate(expr, world)?)
}

pub(super) fn as_truth(seen: &Seen<'_>) -> Result<bool, Failure> {
    let Seen::Datum(Datum::Bool(truth)) = seen else {
        return Err(wrong_kind(seen, "a truth value"));
    };
    Ok(*truth)
}

pub(super) fn value_of<'a>(variable: Variable, world: &World<'_, 'a>) -> Seen<'a> {
    Seen::Datum(Datum::Entity(match variable {
        Variable::Action => Entity::Action(world.call.action),
        Variable::Context => return Seen::View(View::Context),
        Variable::Principal => Entity::Party(world.principal),
        Variable::Resource => Entity::Target(world.call.target),
    }))
}

/// `of.name`
pub(super) fn get<'a>(of: Seen<'a>, name: &str, world: &World<'_, 'a>) -> Result<Seen<'a>, Failure> {
    attribute(&of, name, world)?.ok_or_else(|| Failure::Absent {
        attribute: name.to_owned(),
        of: described(&of),
    })
}

/// `of has path`
pub(super) fn has<'a>(of: Seen<'a>, path: &[Arc<str>], world: &World<'_, 'a>) -> Result<Seen<'a>, Failure> {
    let mut of = of;
    for name in path {
        match attribute(&of, name, world)? {
            Some(next) => of = next,
            None => return Ok(yes_or_no(false)),
        }
    }
    Ok(yes_or_no(true))
}

fn attribute<'a>(of: &Seen<'a>, name: &str, world: &World<'_, 'a>) -> Result<Option<Seen<'a>>, Failure> {
    match of {
        Seen::Datum(Datum::Entity(entity)) => Ok(world.attribute(entity, name)),
        Seen::Datum(record @ Datum::Record(_)) => Ok(record.field(name).cloned().map(Seen::Datum)),
        Seen::View(view) if view.is_record() => world.field(*view, name),
        Seen::Datum(_) | Seen::View(_) => Err(wrong_kind(of, "a record or an entity")),
    }
}

/// `of is kind`
pub(super) fn is<'a>(of: &Seen<'a>, kind: &str) -> Result<Seen<'a>, Failure> {
    Ok(yes_or_no(as_entity(of)?.key().0 == kind))
}

/// `of like pattern`
pub(super) fn like<'a>(of: &Seen<'a>, pattern: &Pattern) -> Result<Seen<'a>, Failure> {
    Ok(yes_or_no(pattern.matches(as_text(of)?)))
}

/// What a constructor such as `decimal("12.50")` reads from a text.
pub(super) fn read(reader: Reader, text: &str) -> Result<Datum<'static>, Failure> {
    let (datum, wanted) = match reader {
        Reader::Decimal => (
            Decimal::parse(text).map(Datum::Decimal),
            "a decimal such as `12.34`",
        ),
        Reader::Moment => (
            Moment::parse(text).map(Datum::Moment),
            "a datetime such as `2026-11-21T08:00:00Z`",
        ),
        Reader::Network => (
            Network::parse(text).map(Datum::Network),
            "an address such as `10.0.0.0/8`",
        ),
        Reader::Span => (Span::parse(text).map(Datum::Span), "a duration such as `1h30m`"),
    };
    datum.ok_or_else(|| Failure::Unreadable {
        text: text.to_owned(),
        wanted,
    })
}

pub(super) fn unary<'a>(operator: Unary, of: Seen<'a>, world: &World<'_, 'a>) -> Result<Seen<'a>, Failure> {
    let network = |test: fn(Network) -> bool| Ok(Datum::Bool(test(as_network(&of)?)));
    let span = |part: fn(Span) -> i64| Ok(Datum::Long(part(as_span(&of)?)));
    let datum = match operator {
        Unary::Days => span(Span::days),
        Unary::Hours => span(Span::hours),
        Unary::IsEmpty => Ok(Datum::Bool(elements(of, world)?.is_empty())),
        Unary::IsLoopback => network(Network::is_loopback),
        Unary::IsMulticast => network(Network::is_multicast),
        Unary::IsV4 => network(Network::is_v4),
        Unary::IsV6 => network(Network::is_v6),
        Unary::Milliseconds => span(|span| span.0),
        Unary::Minutes => span(Span::minutes),
        Unary::Negate => as_long(&of)?
            .checked_neg()
            .map(Datum::Long)
            .ok_or(Failure::Overflow),
        Unary::Not => as_truth(&of).map(|truth| Datum::Bool(!truth)),
        Unary::Read(reader) => read(reader, as_text(&of)?),
        Unary::Seconds => span(Span::seconds),
        Unary::ToDate => as_moment(&of)?.date().map(Datum::Moment).ok_or(Failure::Overflow),
        Unary::ToTime => Ok(Datum::Span(as_moment(&of)?.time())),
    };
    datum.map(Seen::Datum)
}

pub(super) fn binary<'a>(
    operator: Binary,
    left: Seen<'a>,
    right: Seen<'a>,
    world: &World<'_, 'a>,
) -> Result<Seen<'a>, Failure> {
    let arithmetic = |compute: fn(i64, i64) -> Option<i64>| {
        let (left, right) = (as_long(&left)?, as_long(&right)?);
        compute(left, right).map(Datum::Long).ok_or(Failure::Overflow)
    };
    let datum = match operator {
        Binary::Add => arithmetic(i64::checked_add),
        Binary::Multiply => arithmetic(i64::checked_mul),
        Binary::Subtract => arithmetic(i64::checked_sub),
        Binary::Compare(order) => match (&left, &right) {
            (Seen::Datum(Datum::Long(a)), Seen::Datum(Datum::Long(b))) => Ok(order.holds(a, b)),
            (Seen::Datum(Datum::Moment(a)), Seen::Datum(Datum::Moment(b))) => Ok(order.holds(a, b)),
            (Seen::Datum(Datum::Span(a)), Seen::Datum(Datum::Span(b))) => Ok(order.holds(a, b)),
            (Seen::Datum(Datum::Long(_) | Datum::Moment(_) | Datum::Span(_)), other) | (other, _) => {
                Err(wrong_kind(other, "a comparable value of the same kind"))
            }
        }
        .map(Datum::Bool),
        Binary::CompareDecimals(order) => {
            let (left, right) = (as_decimal(&left)?, as_decimal(&right)?);
            Ok(Datum::Bool(order.holds(&left, &right)))
        }
        Binary::Contains => contains(left, right, world).map(Datum::Bool),
        Binary::ContainsAll => {
            let (left, right) = (elements(left, world)?, elements(right, world)?);
            unmixed(&left, &right).map(|()| Datum::Bool(datum::is_subset(&right, &left)))
        }
        Binary::ContainsAny => {
            let (left, right) = (elements(left, world)?, elements(right, world)?);
            unmixed(&left, &right).map(|()| Datum::Bool(datum::intersects(&left, &right)))
        }
        Binary::Equal => equal(&world.whole(left)?, &world.whole(right)?).map(Datum::Bool),
        Binary::NotEqual => equal(&world.whole(left)?, &world.whole(right)?).map(|same| Datum::Bool(!same)),
        Binary::In => is_in(&left, right, world).map(Datum::Bool),
        Binary::IsInRange => {
            let (inner, outer) = (as_network(&left)?, as_network(&right)?);
            Ok(Datum::Bool(inner.is_within(outer)))
        }
        Binary::Offset => {
            let (moment, span) = (as_moment(&left)?, as_span(&right)?);
            moment.offset(span).map(Datum::Moment).ok_or(Failure::Overflow)
        }
        Binary::Since => {
            let (later, earlier) = (as_moment(&left)?, as_moment(&right)?);
            later.since(earlier).map(Datum::Span).ok_or(Failure::Overflow)
        }
    };
    datum.map(Seen::Datum)
}

/// Sets of words and configured sets are asked as they are; others are sorted slices.
fn contains<'a>(set: Seen<'a>, element: Seen<'a>, world: &World<'_, 'a>) -> Result<bool, Failure> {
    let element = world.whole(element)?;
    match (set, &element) {
        (Seen::View(View::Words(words)), Datum::Text(text)) => Ok(words.contains(text.as_ref())),
        (Seen::View(View::Findings(words)), Datum::Text(text)) => Ok(words.contains(text.as_ref())),
        (Seen::View(View::Configured(super::Value::Set(values))), element) => {
            Ok(element.to_value().is_some_and(|value| values.contains(&value)))
        }
        (set, element) => {
            let set = elements(set, world)?;
            unmixed(&set, std::slice::from_ref(element))?;
            Ok(set.binary_search(element).is_ok())
        }
    }
}

fn equal(left: &Datum<'_>, right: &Datum<'_>) -> Result<bool, Failure> {
    if mixed(left, right) {
        return Err(not_its_parts());
    }
    Ok(left == right)
}

fn unmixed(left: &[Datum<'_>], right: &[Datum<'_>]) -> Result<(), Failure> {
    if mixed_in(left, right) {
        return Err(not_its_parts());
    }
    Ok(())
}

/// Whether the record of a text's parts is compared with a text. Cedar says they differ, and a `forbid` about a URL
/// were silent as soon as the argument is typed as one: here it fails, and refuses.
fn mixed(left: &Datum<'_>, right: &Datum<'_>) -> bool {
    match (left, right) {
        (Datum::Record(_), Datum::Text(_)) => ArgumentType::stands_for_text(left),
        (Datum::Text(_), Datum::Record(_)) => ArgumentType::stands_for_text(right),
        (Datum::Set(left), Datum::Set(right)) => mixed_in(left, right),
        (Datum::Set(set), one @ (Datum::Record(_) | Datum::Text(_))) => {
            mixed_in(set, std::slice::from_ref(one))
        }
        _ => false,
    }
}

fn mixed_in(left: &[Datum<'_>], right: &[Datum<'_>]) -> bool {
    let has_text = |set: &[Datum<'_>]| set.iter().any(|one| matches!(one, Datum::Text(_)));
    let has_parts = |set: &[Datum<'_>]| set.iter().any(ArgumentType::stands_for_text);
    (has_parts(left) && has_text(right)) || (has_parts(right) && has_text(left))
}

fn not_its_parts() -> Failure {
    Failure::Kind {
        found: "a record of a text's parts",
        wanted: "one of them, such as `.text`,",
    }
}

fn is_in<'a>(left: &Seen<'a>, right: Seen<'a>, world: &World<'_, 'a>) -> Result<bool, Failure> {
    let entity = as_entity(left)?;
    let right = world.whole(right)?;
    if let Datum::Entity(other) = &right {
        return Ok(world.is_in(entity, other));
    }
    let Datum::Set(set) = right else {
        return Err(wrong_kind(&Seen::Datum(right), "an entity or a set of them"));
    };
    let mut found = false;
    for other in set.iter() {
        let Datum::Entity(other) = other else {
            return Err(wrong_kind(&Seen::Datum(other.clone()), "an entity"));
        };
        found |= world.is_in(entity, other);
    }
    Ok(found)
}

fn elements<'a>(seen: Seen<'a>, world: &World<'_, 'a>) -> Result<Arc<[Datum<'a>]>, Failure> {
    let whole = world.whole(seen)?;
    let Datum::Set(elements) = whole else {
        return Err(wrong_kind(&Seen::Datum(whole), "a set"));
    };
    Ok(elements)
}

fn as_text<'s>(seen: &'s Seen<'_>) -> Result<&'s str, Failure> {
    let Seen::Datum(Datum::Text(text)) = seen else {
        return Err(wrong_kind(seen, "a text"));
    };
    Ok(text)
}

fn as_entity<'s, 'a>(seen: &'s Seen<'a>) -> Result<&'s Entity<'a>, Failure> {
    let Seen::Datum(Datum::Entity(entity)) = seen else {
        return Err(wrong_kind(seen, "an entity"));
    };
    Ok(entity)
}

fn as_long(seen: &Seen<'_>) -> Result<i64, Failure> {
    let Seen::Datum(Datum::Long(number)) = seen else {
        return Err(wrong_kind(seen, "an integer"));
    };
    Ok(*number)
}

fn as_decimal(seen: &Seen<'_>) -> Result<Decimal, Failure> {
    let Seen::Datum(Datum::Decimal(number)) = seen else {
        return Err(wrong_kind(seen, "a decimal"));
    };
    Ok(*number)
}

fn as_network(seen: &Seen<'_>) -> Result<Network, Failure> {
    let Seen::Datum(Datum::Network(network)) = seen else {
        return Err(wrong_kind(seen, "an address"));
    };
    Ok(*network)
}

fn as_moment(seen: &Seen<'_>) -> Result<Moment, Failure> {
    let Seen::Datum(Datum::Moment(moment)) = seen else {
        return Err(wrong_kind(seen, "a datetime"));
    };
    Ok(*moment)
}

fn as_span(seen: &Seen<'_>) -> Result<Span, Failure> {
    let Seen::Datum(Datum::Span(span)) = seen else {
        return Err(wrong_kind(seen, "a duration"));
    };
    Ok(*span)
}

fn wrong_kind(seen: &Seen<'_>, wanted: &'static str) -> Failure {
    let found = match seen {
        Seen::Datum(datum) => datum.kind(),
        Seen::View(view) if view.is_record() => "a record",
        Seen::View(_) => "a set",
    };
    Failure::Kind { found, wanted }
}

/// The owner of a missing attribute, for people.
fn described(seen: &Seen<'_>) -> String {
    match seen {
        Seen::Datum(Datum::Entity(entity)) => entity.to_string(),
        Seen::View(View::Context) => "the context".to_owned(),
        Seen::View(View::Object(..)) => "the arguments' object".to_owned(),
        Seen::Datum(datum) => datum.kind().to_owned(),
        Seen::View(_) => "a record".to_owned(),
    }
}

fn yes_or_no<'a>(truth: bool) -> Seen<'a> {
    Seen::Datum(Datum::Bool(truth))
}
