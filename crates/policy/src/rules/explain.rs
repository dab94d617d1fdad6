//! Why a call was decided as it was: every rule about this action on this resource, what it came to, and
//! which part of it decided.
//!
//! Explanations hold values of arguments and attributes. They are for those who may read the record, not for
//! the caller.

use std::fmt;

use super::{
    Effect, RuleSet, RuleText,
    entity::{Entity, Target},
    evaluate::{self, Failure},
    expr::{Expr, Variable},
    rule::Rule,
    world::{Known, World},
};
use crate::{
    action::Action,
    facts::Facts,
    permit::{Decision, RuleId},
    resource::Resource,
    subject::Subject,
};

/// Longest value shown, in characters.
const VALUE_CHARS_MAX: usize = 80;

/// A decision and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The decision, as [`RuleSet::decide`] gives it.
    pub decision: Decision,
    /// What each rule about this action on this resource came to, for each party, in the order of the rules.
    pub rules: Vec<Account>,
}

/// What one rule came to for one party.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// The rule.
    pub rule: RuleId,
    /// What it does when it matches.
    pub effect: Effect,
    /// Where it stands and how it reads.
    pub text: RuleText,
    /// Its `@reason`.
    pub reason: Option<String>,
    /// The party it was asked about, such as `User::"alice"`.
    pub party: String,
    /// What it came to.
    pub finding: Finding,
}

/// What a rule came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// It could not be evaluated, which refuses.
    Failed {
        /// The part that failed.
        condition: String,
        /// Why.
        error: String,
        /// What that part read.
        values: Vec<(String, String)>,
    },
    /// All of it holds.
    Matched,
    /// This part of it does not hold.
    Unmatched {
        /// The part, as written.
        condition: String,
        /// What that part read.
        values: Vec<(String, String)>,
    },
}

impl RuleSet {
    /// Decides and says why.
    #[must_use]
    pub fn explain(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Explanation {
        let target = Target::of(resource);
        let call = self.call(subject, action, &target, facts);
        let known = Known::nothing(self.numbered);
        let mut rules = Vec::new();
        for rule in &self.rules {
            let call = if rule.actions.admit(action) {
                call
            } else if rule.hides() {
                call.discovery()
            } else {
                continue;
            };
            for caller in self.callers(subject) {
                let world = caller.world(call, &known);
                if rule.resource.admits(&Entity::Target(&target), &world) {
                    rules.push(account(rule, &world));
                }
            }
        }
        Explanation {
            decision: self.decide(subject, action, resource, facts),
            rules,
        }
    }
}

fn account<'a>(rule: &'a Rule, world: &World<'_, 'a>) -> Account {
    let party = Entity::Party(world.principal);
    let finding = if rule.principal.admits(&party, world) {
        conditions(rule, world)
    } else {
        Finding::Unmatched {
            condition: rule.principal.text("principal"),
            values: Vec::new(),
        }
    };
    Account {
        rule: rule.id.clone(),
        effect: rule.effect,
        text: rule.text.clone(),
        reason: rule.reason.clone(),
        party: party.to_string(),
        finding,
    }
}

fn conditions<'a>(rule: &'a Rule, world: &World<'_, 'a>) -> Finding {
    for condition in &rule.conditions {
        let values = || {
            let mut values = Vec::new();
            read(&condition.expr, world, &mut values);
            values
        };
        match evaluate::truth(&condition.expr, world) {
            Ok(true) => {}
            Ok(false) => {
                return Finding::Unmatched {
                    condition: condition.text.to_string(),
                    values: values(),
                };
            }
            Err(failure) => {
                return Finding::Failed {
                    condition: condition.text.to_string(),
                    error: failure.to_string(),
                    values: values(),
                };
            }
        }
    }
    Finding::Matched
}

/// The attributes an expression reads, with their values.
fn read<'a>(expr: &'a Expr, world: &World<'_, 'a>, values: &mut Vec<(String, String)>) {
    if let Some(path) = path(expr) {
        let value = match evaluate::evaluate(expr, world).and_then(|seen| world.whole(seen)) {
            Ok(whole) => shortened(&whole.to_string()),
            Err(Failure::Absent { .. }) => "absent".to_owned(),
            Err(failure) => failure.to_string(),
        };
        if !values.iter().any(|(known, _)| *known == path) {
            values.push((path, value));
        }
        return;
    }
    expr.parts(&mut |part| read(part, world, values));
}

/// `context.args.patient`, if the expression is such a path.
fn path(expr: &Expr) -> Option<String> {
    if let Expr::Remembered(remembered) = expr {
        return path(&remembered.path);
    }
    let Expr::Get(of, name) = expr else {
        return None;
    };
    if let Expr::Variable(variable) = of.as_ref() {
        let variable = match variable {
            Variable::Action => "action",
            Variable::Context => "context",
            Variable::Principal => "principal",
            Variable::Resource => "resource",
        };
        return Some(format!("{variable}.{name}"));
    }
    path(of).map(|of| format!("{of}.{name}"))
}

fn shortened(value: &str) -> String {
    let mut short: String = value.chars().take(VALUE_CHARS_MAX).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    short
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, party) = (&self.rule, &self.party);
        write!(f, "`{rule}` ({}:{}) ", self.text.source, self.text.line)?;
        let values = match &self.finding {
            Finding::Matched => {
                let effect = match self.effect {
                    Effect::Forbid => "forbids",
                    Effect::Permit => "permits",
                };
                write!(f, "{effect} it for {party}")?;
                return match &self.reason {
                    Some(reason) => write!(f, ": {reason}"),
                    None => Ok(()),
                };
            }
            Finding::Failed {
                condition,
                error,
                values,
            } => {
                write!(
                    f,
                    "refuses it for {party}, because it fails: `{condition}`: {error}"
                )?;
                values
            }
            Finding::Unmatched { condition, values } => {
                write!(
                    f,
                    "says nothing for {party}, because this is not so: `{condition}`"
                )?;
                values
            }
        };
        for (n, (path, value)) in values.iter().enumerate() {
            let before = if n == 0 { "; here" } else { "," };
            write!(f, "{before} `{path}` is {value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Decision::Permit(_) => f.write_str("permitted")?,
            Decision::Refuse(denial) if !denial.errors.is_empty() => {
                f.write_str("refused: a rule could not be evaluated")?;
            }
            Decision::Refuse(denial) if !denial.rules.is_empty() => {
                f.write_str("refused: a rule forbids it")?
            }
            Decision::Refuse(denial) => match &denial.scope {
                Some(scope) => write!(f, "refused: only the scope `{scope}` is missing")?,
                None => f.write_str("refused: no rule permits it")?,
            },
        }
        for account in &self.rules {
            write!(f, "\n- {account}")?;
        }
        Ok(())
    }
}
