//! Which rules a call can concern, found without looking at the others.
//!
//! A rule goes into one slice per action: that of the party and the resource it names, or of *any*. A call
//! looks into the slices of everything its party and its resource are or are below. What a rule names is
//! taken from its head and from leading conditions that only restate a head (`principal in Role::"x" && ...`),
//! because those cannot fail; so a rule outside the slices of a call is one that neither matches nor errors.
//! `tests/differential.rs` compares with a decision over all rules.

use std::collections::HashMap;

use super::{
    datum::Datum,
    expr::{Binary, Expr, Variable},
    rule::{Constraint, Rule},
    vocabulary::KINDS,
    world::{Entity, Target},
};
use crate::{action::Action, subject::Party};

/// Numbers for the entities rules name. Zero stands for any.
type Name = u32;
const ANY: Name = 0;

/// The slices of a rule set.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    /// Per entity type, in the order of [`KINDS`].
    names: [HashMap<Box<str>, Name>; KINDS.len()],
    named: Name,
    /// Per action, in the order of [`Action::ALL`].
    slices: [HashMap<(Name, Name), Vec<u32>>; Action::ALL.len()],
}

impl Slices {
    pub(super) fn of(rules: &[Rule]) -> Self {
        let mut slices = Self::default();
        for (at, rule) in (0..).zip(rules) {
            let keys = Keys::of(rule);
            let principal = slices.intern(keys.principal);
            let resource = slices.intern(keys.resource);
            for (action, by_name) in Action::ALL.into_iter().zip(&mut slices.slices) {
                if rule.actions.admit(action) {
                    by_name.entry((principal, resource)).or_default().push(at);
                }
            }
        }
        slices
    }

    /// The rules that can concern a call, in their order.
    pub(super) fn concerning(&self, party: &Party, action: Action, target: &Target<'_>) -> Vec<u32> {
        let Some((_, slices)) = Action::ALL
            .iter()
            .zip(&self.slices)
            .find(|(each, _)| **each == action)
        else {
            return Vec::new();
        };
        let resources = [
            Some(ANY),
            self.name(target.kind(), target.id()),
            target.server().and_then(|server| self.name("Server", server)),
            target.tenant().and_then(|tenant| self.name("Tenant", tenant)),
        ];
        let groups = [("Role", &party.roles), ("Group", &party.groups)];
        let memberships = groups
            .into_iter()
            .flat_map(|(kind, ids)| ids.iter().map(move |id| (kind, id.as_str())));
        let principals = std::iter::once((party.kind.as_str(), party.name.as_str()))
            .chain(party.tenant.as_deref().map(|tenant| ("Tenant", tenant)))
            .chain(memberships)
            .filter_map(|(kind, id)| self.name(kind, id));
        let mut found = Vec::new();
        for principal in std::iter::once(ANY).chain(principals) {
            for resource in resources.into_iter().flatten() {
                found.extend(slices.get(&(principal, resource)).into_iter().flatten());
            }
        }
        // A server is its own server, and a role may be listed twice.
        found.sort_unstable();
        found.dedup();
        found
    }

    fn name(&self, kind: &str, id: &str) -> Option<Name> {
        let mut tables = KINDS.iter().zip(&self.names);
        let (_, names) = tables.find(|(each, _)| **each == kind)?;
        names.get(id).copied()
    }

    fn intern(&mut self, key: Option<(&str, &str)>) -> Name {
        let Some((kind, id)) = key else {
            return ANY;
        };
        let mut tables = KINDS.iter().zip(&mut self.names);
        let Some((_, names)) = tables.find(|(each, _)| **each == kind) else {
            return ANY;
        };
        *names.entry(id.into()).or_insert_with(|| {
            self.named += 1;
            self.named
        })
    }
}

/// What a rule names.
struct Keys<'r> {
    principal: Option<(&'r str, &'r str)>,
    resource: Option<(&'r str, &'r str)>,
}

impl<'r> Keys<'r> {
    fn of(rule: &'r Rule) -> Self {
        let named = |constraint: &'r Constraint| constraint.uid().map(super::world::Uid::key);
        let mut keys = Self {
            principal: named(&rule.principal),
            resource: named(&rule.resource),
        };
        for condition in &rule.conditions {
            match restated(&condition.expr) {
                Some((Variable::Principal, key)) => keys.principal = keys.principal.or(Some(key)),
                Some((Variable::Resource, key)) => keys.resource = keys.resource.or(Some(key)),
                Some((Variable::Action | Variable::Context, _)) | None => break,
            }
        }
        keys
    }
}

/// `principal == X`, `principal in X`, `resource == X`, `resource in X` and `resource.server == "x"`.
fn restated(expr: &Expr) -> Option<(Variable, (&str, &str))> {
    let Expr::Binary(operator, sides) = expr else {
        return None;
    };
    match (operator, &sides.0, &sides.1) {
        (
            Binary::Equal | Binary::In,
            Expr::Variable(variable @ (Variable::Principal | Variable::Resource)),
            Expr::Constant(Datum::Entity(Entity::Named(uid))),
        ) => Some((*variable, uid.key())),
        (Binary::Equal, Expr::Get(of, name), Expr::Constant(Datum::Text(server)))
            if name.as_ref() == "server" && !server.is_empty() =>
        {
            let of_resource = matches!(**of, Expr::Variable(Variable::Resource));
            of_resource.then_some((Variable::Resource, ("Server", server.as_ref())))
        }
        _ => None,
    }
}
