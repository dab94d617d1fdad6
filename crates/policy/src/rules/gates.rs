//! Rules that no head tells apart, told apart by what they compare: of ten thousand that say `context.args.patient ==
//! "p1"`, `"p2"` and so on, one can match.
//!
//! A rule stands behind a gate when it demands that a path equals one of some constants, and nothing before that in
//! its conditions can fail. A call whose value is another leaves the rule out: it would be silent. Where the value
//! fails, is not known or is no plain value, the rule is asked. So a rule that is left out is one that neither matches
//! nor errors; `tests/differential.rs` compares with a decision over all rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    datum::Datum,
    entity::Entity,
    expr::{Binary, Expr, Unary, Variable},
    remember::Remembered,
    rule::Rule,
};

/// Fewer rules behind one gate are asked as well as looked up.
const WORTH_IT: usize = 8;
/// Members of `context` that are always there, and what else cannot fail.
const ALWAYS: [&str; 8] = [
    "args", "findings", "labels", "purpose", "scopes", "sources", "task", "time",
];
/// Attributes every resource has.
const OF_RESOURCES: [&str; 7] = [
    "categories",
    "confidentiality",
    "level",
    "name",
    "server",
    "sink",
    "trust",
];

/// A path, by its variable and number.
type Path = (Variable, usize);
/// Rules of one slice that demand a value of one path.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    path: Box<Remembered>,
    /// Rules per value, sorted by the values.
    of: Vec<(Datum<'static>, Vec<u32>)>,
    all: Vec<u32>,
}

/// What a rule demands.
#[derive(Clone, Debug)]
pub(super) struct Demand<'r> {
    pub(super) path: &'r Remembered,
    values: Vec<&'r Datum<'static>>,
}

/// Which path each rule is told apart by: of those it demands a value of, the one of which all rules together demand
/// the most different values.
#[derive(Debug)]
pub(super) struct Choice<'r>(HashMap<u32, Demand<'r>>);

impl<'r> Choice<'r> {
    pub(super) fn of(rules: &'r [Rule], demands: impl Fn(&'r Rule) -> Vec<Demand<'r>>) -> Self {
        let demands: Vec<Vec<Demand<'r>>> = rules.iter().map(demands).collect();
        let mut values: HashMap<Path, BTreeSet<&Datum<'static>>> = HashMap::new();
        for demand in demands.iter().flatten() {
            values
                .entry(demand.path())
                .or_default()
                .extend(demand.values.iter().copied());
        }
        let apart = |demand: &Demand<'_>| values.get(&demand.path()).map_or(0, BTreeSet::len);
        let chosen = (0..).zip(demands).filter_map(|(at, demands)| {
            let best = demands.into_iter().max_by_key(apart)?;
            Some((at, best))
        });
        Self(chosen.collect())
    }

    /// Puts the rules of a slice behind gates; those that stay outside are left in `rules`.
    pub(super) fn gates(&self, rules: &mut Vec<u32>) -> Vec<Gate> {
        let mut behind: BTreeMap<Path, Vec<u32>> = BTreeMap::new();
        for at in rules.iter() {
            if let Some(demand) = self.0.get(at) {
                behind.entry(demand.path()).or_default().push(*at);
            }
        }
        behind.retain(|_, rules| rules.len() >= WORTH_IT);
        let gated: BTreeSet<u32> = behind.values().flatten().copied().collect();
        rules.retain(|at| !gated.contains(at));
        behind
            .into_values()
            .filter_map(|rules| self.gate(rules))
            .collect()
    }

    fn gate(&self, all: Vec<u32>) -> Option<Gate> {
        let path = self.0.get(all.first()?)?.path;
        let mut of: BTreeMap<&Datum<'static>, Vec<u32>> = BTreeMap::new();
        for at in &all {
            for value in self.0.get(at).into_iter().flat_map(|demand| &demand.values) {
                of.entry(*value).or_default().push(*at);
            }
        }
        let owned = |(value, rules): (&Datum<'static>, Vec<u32>)| (value.clone(), rules);
        Some(Gate {
            path: Box::new(path.clone()),
            of: of.into_iter().map(owned).collect(),
            all,
        })
    }
}

impl Demand<'_> {
    fn path(&self) -> Path {
        (self.path.variable, self.path.number)
    }
}

impl Gate {
    /// The path whose value opens it.
    pub(super) fn path(&self) -> &Remembered {
        &self.path
    }

    /// The rules a call has to ask whose value this is; none is a value that is not known.
    pub(super) fn open(&self, value: Option<&Datum<'_>>) -> &[u32] {
        let Some(value) = value else { return &self.all };
        let found = self.of.binary_search_by(|(each, _)| {
            let each: &Datum<'_> = each;
            each.cmp(value)
        });
        let rules = found.ok().and_then(|at| self.of.get(at));
        rules.map_or(&[], |(_, rules)| rules)
    }
}

/// What a rule demands of paths, as far as nothing before it can fail.
pub(super) fn demands(rule: &Rule) -> Vec<Demand<'_>> {
    let mut found = Vec::new();
    for condition in &rule.conditions {
        // A part that is false ends it as a condition that is false does.
        let whole = std::slice::from_ref(&condition.expr);
        let parts = if let Expr::And(parts) = &condition.expr {
            parts.as_ref()
        } else {
            whole
        };
        for part in parts {
            found.extend(demand(part));
            if !cannot_fail(part) {
                return found;
            }
        }
    }
    found
}

/// `path == constant`, or `[constants].contains(path)`.
pub(super) fn demand(expr: &Expr) -> Option<Demand<'_>> {
    let Expr::Binary(operator, sides) = expr else {
        return None;
    };
    match (operator, &sides.0, &sides.1) {
        (Binary::Equal, Expr::Remembered(path), Expr::Constant(value))
        | (Binary::Equal, Expr::Constant(value), Expr::Remembered(path)) => Some(Demand {
            path,
            values: vec![value],
        }),
        (Binary::Contains, Expr::Constant(Datum::Set(values)), Expr::Remembered(path)) => Some(Demand {
            path,
            values: values.iter().collect(),
        }),
        _ => None,
    }
}

/// Whether a condition is true or false, whatever the call. Where it is not clear, it is not.
pub(super) fn cannot_fail(expr: &Expr) -> bool {
    match expr {
        Expr::Constant(Datum::Bool(_)) => true,
        Expr::Is(of, _) => is_entity(of),
        Expr::Binary(Binary::Equal | Binary::NotEqual, sides) => is_there(&sides.0) && is_there(&sides.1),
        Expr::Binary(Binary::Contains, sides) => {
            matches!(&sides.0, Expr::Constant(Datum::Set(_))) && is_there(&sides.1)
        }
        Expr::Binary(Binary::In, sides) => {
            is_entity(&sides.0) && matches!(&sides.1, Expr::Constant(Datum::Entity(Entity::Named(_))))
        }
        Expr::Has(of, path) => path.len() == 1 && (is_entity(of) || is_record(of)),
        Expr::Unary(Unary::Not, of) => cannot_fail(of),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().all(cannot_fail),
        Expr::Binary(..)
        | Expr::Constant(_)
        | Expr::Get(..)
        | Expr::If(_)
        | Expr::Like(..)
        | Expr::Record(_)
        | Expr::Remembered(_)
        | Expr::Set(_)
        | Expr::Unary(..)
        | Expr::Variable(_) => false,
    }
}

/// Whether an expression has a value, whatever the call.
fn is_there(expr: &Expr) -> bool {
    match expr {
        Expr::Constant(_) | Expr::Variable(_) => true,
        Expr::Remembered(remembered) => is_there(&remembered.path),
        Expr::Get(of, name) => {
            let Expr::Variable(variable) = of.as_ref() else {
                return false;
            };
            match variable {
                Variable::Action => false,
                Variable::Context => ALWAYS.contains(&name.as_ref()),
                Variable::Principal => name.as_ref() == "name",
                Variable::Resource => OF_RESOURCES.contains(&name.as_ref()),
            }
        }
        Expr::And(_)
        | Expr::Binary(..)
        | Expr::Has(..)
        | Expr::If(_)
        | Expr::Is(..)
        | Expr::Like(..)
        | Expr::Or(_)
        | Expr::Record(_)
        | Expr::Set(_)
        | Expr::Unary(..) => false,
    }
}

fn is_entity(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Variable(Variable::Action | Variable::Principal | Variable::Resource)
    )
}

/// `context`, and `context.args`.
fn is_record(expr: &Expr) -> bool {
    let expr = if let Expr::Remembered(remembered) = expr {
        &remembered.path
    } else {
        expr
    };
    expr.is_context() || matches!(expr, Expr::Get(of, name) if of.is_context() && name.as_ref() == "args")
}
