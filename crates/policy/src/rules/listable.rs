//! What is known of a rule before any call, for lists: most rules can hide nothing, and one of those that permit is
//! enough to list something.
//!
//! A rule *harms* a list only where it fails or forbids whatever the arguments are. A rule that must find something in
//! the arguments first can always be silent instead, and harms none. `tests/differential.rs` compares with a walk over
//! all rules.

use super::{
    datum::Datum,
    expr::{Binary, Expr, Unary, Variable},
    gates::{self, Demand},
    remember::Remembered,
    rule::{Constraint, Effect, Rule},
    world::Unseen,
};

/// What lists ask a rule for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// Nothing: it forbids, and never for all arguments.
    None,
    /// Whether it could permit.
    Open,
    /// Whether it harms, and whether it could permit.
    Strict,
}

impl Part {
    pub(super) fn of(rule: &Rule) -> Self {
        match (can_always_be_silent(rule), rule.effect) {
            (true, Effect::Forbid) => Self::None,
            (true, Effect::Permit) => Self::Open,
            (false, _) => Self::Strict,
        }
    }
}

/// Whether a rule comes to the same for every resource.
pub(super) fn is_anywhere(rule: &Rule) -> bool {
    let mut conditions = rule.conditions.iter();
    rule.resource == Constraint::Any && conditions.all(|condition| reads_no_resource(&condition.expr))
}

/// An entity that is named may be the resource of the call, and then has its attributes.
fn reads_no_resource(expr: &Expr) -> bool {
    match expr {
        Expr::Variable(variable) => *variable != Variable::Resource,
        Expr::Binary(Binary::Equal | Binary::In | Binary::NotEqual, sides)
            if matches!(sides.1, Expr::Constant(_)) =>
        {
            reads_no_resource(&sides.0)
        }
        Expr::Binary(Binary::Contains, sides) if matches!(sides.0, Expr::Constant(_)) => {
            reads_no_resource(&sides.1)
        }
        Expr::Constant(datum) => !matches!(datum, Datum::Entity(_) | Datum::Record(_) | Datum::Set(_)),
        Expr::And(_)
        | Expr::Binary(..)
        | Expr::Get(..)
        | Expr::Has(..)
        | Expr::If(_)
        | Expr::Is(..)
        | Expr::Like(..)
        | Expr::Or(_)
        | Expr::Record(_)
        | Expr::Remembered(_)
        | Expr::Set(_)
        | Expr::Unary(..) => {
            let mut none = true;
            expr.parts(&mut |part| none = none && reads_no_resource(part));
            none
        }
    }
}

/// What a rule demands that could permit, whatever stands before it: where one is not met, it does not permit.
pub(super) fn demands_to_permit(rule: &Rule) -> Vec<Demand<'_>> {
    let demands = parts(rule).filter_map(gates::demand);
    demands.filter(|demand| is_seen(demand.path)).collect()
}

/// What a rule demands that is harmless where one is not met.
pub(super) fn demands_to_speak(rule: &Rule) -> Vec<Demand<'_>> {
    let mut demands = gates::demands(rule);
    demands.retain(|demand| is_seen(demand.path));
    demands
}

fn is_seen(path: &Remembered) -> bool {
    path.of_context
        .as_deref()
        .is_none_or(|name| !Unseen::Call.holds(name))
}

/// The conditions of a rule, and the parts of those that are a chain.
fn parts(rule: &Rule) -> impl Iterator<Item = &Expr> {
    rule.conditions.iter().flat_map(|condition| {
        if let Expr::And(parts) = &condition.expr {
            parts.as_slice()
        } else {
            std::slice::from_ref(&condition.expr)
        }
    })
}

/// Whether there are arguments for which it is silent, whatever else a call has: it looks at arguments before anything
/// can fail.
fn can_always_be_silent(rule: &Rule) -> bool {
    for part in parts(rule) {
        if is_anything(part) {
            return true;
        }
        if !gates::cannot_fail(part) {
            return false;
        }
    }
    false
}

/// Whether it is taken for anything as long as no call is seen: true, false and failure.
fn is_anything(expr: &Expr) -> bool {
    match expr {
        Expr::Remembered(remembered) => !is_seen(remembered),
        Expr::Get(of, name) => of.is_context() && Unseen::Call.holds(name) || is_anything(of),
        Expr::Has(of, path) => {
            let unseen = path.first().is_some_and(|name| Unseen::Call.holds(name));
            of.is_context() && path.len() > 1 && unseen || is_anything(of)
        }
        Expr::Is(of, _) | Expr::Like(of, _) | Expr::Unary(Unary::Not, of) => is_anything(of),
        Expr::Binary(_, sides) => {
            let constant = |side: &Expr| matches!(side, Expr::Constant(_));
            let is_unseen =
                |one: &Expr, other: &Expr| is_anything(one) && (constant(other) || is_anything(other));
            is_unseen(&sides.0, &sides.1) || is_unseen(&sides.1, &sides.0)
        }
        Expr::And(_)
        | Expr::Constant(_)
        | Expr::If(_)
        | Expr::Or(_)
        | Expr::Record(_)
        | Expr::Set(_)
        | Expr::Unary(..)
        | Expr::Variable(_) => false,
    }
}
