//! Which rules a call can concern, found without looking at the others.
//!
//! Rules are sorted per action by the party and the resource they name, or *any*. A call looks up everything
//! its party and its resource are or are below. What a rule names is
//! taken from its head and from leading conditions that only restate a head (`principal in Role::"x" && ...`),
//! because those cannot fail; so a rule that is not found is one that neither matches nor errors. Where many name
//! the same, or nothing, [gates](super::gates) tell them apart.
//! `tests/differential.rs` compares with a decision over all rules.

use std::collections::HashMap;

use super::{
    datum::Datum,
    entity::{Entity, Target},
    expr::{Binary, Expr, Variable},
    gates::{self, Choice, Gate},
    listable::{self, Part},
    remember::Remembered,
    rule::{Constraint, Rule},
    vocabulary::KINDS,
};
use crate::{action::Action, subject::Party};

/// Numbers for the entities rules name. Zero stands for any.
pub(super) type Name = u32;
const ANY: Name = 0;

/// The slices of a rule set.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    /// Per entity type, in the order of [`KINDS`].
    names: [HashMap<Box<str>, Name>; KINDS.len()],
    named: Name,
    calls: Table,
    lists: Lists,
}

/// Per action, in the order of [`Action::ALL`].
type Table = [Slice; Action::ALL.len()];

/// The rules that matter for lists, by what lists ask them for: whatever the resource, and for some resource only.
#[derive(Clone, Debug, Default)]
struct Lists {
    strict: Table,
    strict_anywhere: Table,
    open: Table,
    open_anywhere: Table,
}

/// Which of the rules are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shelf {
    /// All of them, for a call.
    Calls,
    /// Those that could keep something from being listed, and come to the same for any resource or not.
    Strict { anywhere: bool },
    /// Those that could only permit, as above.
    Open { anywhere: bool },
}

/// The rules about one action.
#[derive(Clone, Debug, Default)]
struct Slice {
    /// Principal, resource and place of the rule; sorted.
    entries: Vec<(Name, Name, u32)>,
    /// Principal, resource and those of their rules that stand behind a gate, and not among the entries; sorted.
    gates: Vec<(Name, Name, Gate)>,
}

impl Slices {
    pub(super) fn of(rules: &[Rule]) -> Self {
        let mut slices = Self::default();
        for (at, rule) in (0..).zip(rules) {
            let keys = Keys::of(rule);
            let principal = slices.intern(keys.principal);
            let resource = slices.intern(keys.resource);
            let entry = (principal, resource, at);
            put(&mut slices.calls, rule, entry);
            let lists = &mut slices.lists;
            let shelf = match (Part::of(rule), listable::is_anywhere(rule)) {
                (Part::None, _) => continue,
                (Part::Open, false) => &mut lists.open,
                (Part::Open, true) => &mut lists.open_anywhere,
                (Part::Strict, false) => &mut lists.strict,
                (Part::Strict, true) => &mut lists.strict_anywhere,
            };
            put(shelf, rule, entry);
        }
        let lists = &mut slices.lists;
        sort(&mut slices.calls, &Choice::of(rules, gates::demands));
        let choice = Choice::of(rules, listable::demands_to_speak);
        sort(&mut lists.strict, &choice);
        sort(&mut lists.strict_anywhere, &choice);
        let choice = Choice::of(rules, listable::demands_to_permit);
        sort(&mut lists.open, &choice);
        sort(&mut lists.open_anywhere, &choice);
        slices
    }

    fn table(&self, shelf: Shelf) -> &Table {
        match shelf {
            Shelf::Calls => &self.calls,
            Shelf::Strict { anywhere: true } => &self.lists.strict_anywhere,
            Shelf::Strict { anywhere: false } => &self.lists.strict,
            Shelf::Open { anywhere: true } => &self.lists.open_anywhere,
            Shelf::Open { anywhere: false } => &self.lists.open,
        }
    }

    /// The numbers of a party and of everything it is below.
    pub(super) fn names(&self, party: &Party) -> Vec<Name> {
        let memberships = [("Role", &party.roles), ("Group", &party.groups)];
        let memberships = memberships
            .into_iter()
            .flat_map(|(kind, ids)| ids.iter().map(move |id| (kind, id.as_str())));
        let mut names: Vec<Name> = std::iter::once((party.kind.as_str(), party.name.as_str()))
            .chain(party.tenant.as_deref().map(|tenant| ("Tenant", tenant)))
            .chain(memberships)
            .filter_map(|(kind, id)| self.name(kind, id))
            .chain([ANY])
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The rules that can concern a call of somebody with these names, in their order. `value` says what a path is,
    /// if that is known and a plain value.
    pub(super) fn concerning<'s, 'w>(
        &'s self,
        shelf: Shelf,
        principals: &[Name],
        action: Action,
        target: &Target<'_>,
        value: impl Fn(&'s Remembered) -> Option<&'w Datum<'s>>,
    ) -> Vec<u32>
    where
        's: 'w,
    {
        let found = self.some_concerning(shelf, principals, action, target, value, usize::MAX);
        found.unwrap_or_default()
    }

    /// The same, if they are not too many.
    pub(super) fn some_concerning<'s, 'w>(
        &'s self,
        shelf: Shelf,
        principals: &[Name],
        action: Action,
        target: &Target<'_>,
        value: impl Fn(&'s Remembered) -> Option<&'w Datum<'s>>,
        most: usize,
    ) -> Option<Vec<u32>>
    where
        's: 'w,
    {
        let mut actions = Action::ALL.iter().zip(self.table(shelf));
        let (_, slice) = actions.find(|(each, _)| **each == action)?;
        let mut resources = [
            Some(ANY),
            self.name(target.kind(), target.id()),
            target.server().and_then(|server| self.name("Server", server)),
            target.tenant().and_then(|tenant| self.name("Tenant", tenant)),
        ];
        if slice.is_empty() {
            return Some(Vec::new());
        }
        // A server is its own server: each name counts once.
        resources.sort_unstable();
        let mut found = Vec::new();
        for principal in principals {
            let of_principal = run(&slice.entries, *principal, |(name, _, _)| *name);
            let gates = run(&slice.gates, *principal, |(name, _, _)| *name);
            let mut last = None;
            for resource in resources.into_iter().flatten() {
                if last.replace(resource) != Some(resource) {
                    let both = run(of_principal, resource, |(_, name, _)| *name);
                    if both.len() > most {
                        return None;
                    }
                    found.extend(both.iter().map(|(_, _, rule)| *rule));
                    for (_, _, gate) in run(gates, resource, |(_, name, _)| *name) {
                        let rules = gate.open(value(gate.path()));
                        if rules.len() > most {
                            return None;
                        }
                        found.extend_from_slice(rules);
                    }
                }
            }
        }
        found.sort_unstable();
        (found.len() <= most).then_some(found)
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

/// Puts a rule under every action it is about.
fn put(table: &mut Table, rule: &Rule, entry: (Name, Name, u32)) {
    for (action, slice) in Action::ALL.into_iter().zip(table) {
        if rule.actions.admit(action) {
            slice.entries.push(entry);
        }
    }
}

fn sort(table: &mut Table, choice: &Choice<'_>) {
    for slice in table {
        slice.entries.sort_unstable();
        slice.put_behind_gates(choice);
    }
}

impl Slice {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.gates.is_empty()
    }

    fn put_behind_gates(&mut self, choice: &Choice<'_>) {
        let mut outside = Vec::new();
        for same in self.entries.chunk_by(|(a, b, _), (c, d, _)| (a, b) == (c, d)) {
            let Some((principal, resource, _)) = same.first() else {
                continue;
            };
            let mut rules: Vec<u32> = same.iter().map(|(_, _, rule)| *rule).collect();
            let gates = choice.gates(&mut rules);
            self.gates
                .extend(gates.into_iter().map(|gate| (*principal, *resource, gate)));
            outside.extend(rules.into_iter().map(|rule| (*principal, *resource, rule)));
        }
        self.entries = outside;
    }
}

/// The entries of a name, where entries are sorted by it.
fn run<E>(entries: &[E], name: Name, of: impl Fn(&E) -> Name) -> &[E] {
    let (_, from) = entries.split_at(entries.partition_point(|entry| of(entry) < name));
    let (run, _) = from.split_at(from.partition_point(|entry| of(entry) == name));
    run
}

/// What a rule names.
struct Keys<'r> {
    principal: Option<(&'r str, &'r str)>,
    resource: Option<(&'r str, &'r str)>,
}

impl<'r> Keys<'r> {
    fn of(rule: &'r Rule) -> Self {
        let named = |constraint: &'r Constraint| constraint.uid().map(super::entity::Uid::key);
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
