//! A call and the rules to a decision.
//!
//! Every rule the call can concern is asked, for every party: the caller and whom it acts for. One that
//! cannot be evaluated refuses, whatever the others say. Then a `forbid` refuses, or with `@approve` asks;
//! then a `permit` permits; else the answer is no.

use super::{
    RuleSet,
    entity::{Entity, Target},
    evaluate::{self, Failure},
    obligation,
    remember::{Found, Remembered},
    rule::{Effect, Rule},
    slices::{Name, Shelf},
    world::{Call, Known, Unseen, World},
};
use crate::{
    action::Action,
    facts::Facts,
    permit::{Decision, Denial, Permit, RuleId},
    resource::Resource,
    subject::{Party, Subject},
};

/// What a rule comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It says nothing about this call.
    Silent,
    /// It matches.
    Speaks,
    /// It cannot be evaluated.
    Fails(Failure),
}

impl RuleSet {
    /// Decides one call. Deny by default; an error refuses.
    ///
    /// For lists ask [`RuleSet::could_permit`]: what may be discovered follows from what could be done.
    #[must_use]
    pub fn decide(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Decision {
        let target = Target::of(resource);
        let call = self.call(subject, action, &target, facts);
        let known = Known::nothing(self.numbered);
        let callers = self.callers(subject);
        let mut ballot = Ballot::default();
        for caller in &callers {
            let world = caller.world(call, &known);
            for rule in self.concerning_in(caller, &world, |_| true) {
                ballot.count(rule, verdict(rule, &world), facts);
            }
            let world = caller.world(call.discovery(), &known);
            for rule in self.hiding(caller, action, &target) {
                ballot.count(rule, verdict(rule, &world), facts);
            }
        }
        ballot.decide()
    }

    pub(super) fn call<'a>(
        &'a self,
        subject: &'a Subject,
        action: Action,
        target: &'a Target<'a>,
        facts: &'a Facts<'a>,
    ) -> Call<'a> {
        Call {
            subject,
            action,
            target,
            facts,
            arguments: target.arguments(),
            unseen: Unseen::Call,
        }
    }

    /// The parties of a call, each with what the rules call it.
    pub(super) fn callers<'a>(&self, subject: &'a Subject) -> Vec<Caller<'a>> {
        let caller = |(nth, party)| Caller {
            party,
            first: nth == 0,
            names: self.slices.names(party),
            found: Found::nothing(self.numbered.principal),
        };
        subject.parties().enumerate().map(caller).collect()
    }

    /// The rules that can concern a party's call, in view of the paths that are `seen`.
    pub(super) fn concerning_in<'a>(
        &'a self,
        caller: &Caller<'a>,
        world: &World<'_, 'a>,
        seen: impl Fn(&Remembered) -> bool,
    ) -> impl Iterator<Item = &'a Rule> {
        let call = world.call;
        let value = |path: &'a Remembered| seen(path).then(|| world.plain(path)).flatten();
        let found = self
            .slices
            .concerning(Shelf::Calls, &caller.names, call.action, call.target, value);
        self.asked(caller, found)
    }

    /// The rules of one kind that lists ask about a party's calls.
    pub(super) fn asked_by_lists<'a>(
        &'a self,
        shelf: Shelf,
        caller: &Caller<'a>,
        world: &World<'_, 'a>,
    ) -> impl Iterator<Item = &'a Rule> {
        let call = world.call;
        // Paths into what is not seen yet open no gate of a list.
        let found = self
            .slices
            .concerning(shelf, &caller.names, call.action, call.target, |path| {
                world.plain(path)
            });
        self.asked(caller, found)
    }

    /// The rules that can concern a party's call before it is made, by their places, if they are not too many.
    pub(super) fn some_concerning<'a>(
        &'a self,
        caller: &Caller<'a>,
        world: &World<'_, 'a>,
        most: usize,
    ) -> Option<Vec<(usize, &'a Rule)>> {
        let call = world.call;
        let value = |path: &'a Remembered| {
            let unseen = path
                .of_context
                .as_deref()
                .is_some_and(|name| call.unseen.holds(name));
            (!unseen).then(|| world.plain(path)).flatten()
        };
        let found = self.slices.some_concerning(
            Shelf::Calls,
            &caller.names,
            call.action,
            call.target,
            value,
            most,
        )?;
        let places = found.into_iter().map(|at| at as usize);
        let rules = places.filter_map(|at| Some((at, self.rules.get(at)?)));
        Some(
            rules
                .filter(|(_, rule)| caller.first || !rule.impersonal)
                .collect(),
        )
    }

    /// The rules that can concern a party's call, whatever else is known of it.
    pub(super) fn concerning(
        &self,
        caller: &Caller<'_>,
        action: Action,
        target: &Target<'_>,
    ) -> impl Iterator<Item = &Rule> {
        let found = self
            .slices
            .concerning(Shelf::Calls, &caller.names, action, target, |_| None);
        self.asked(caller, found)
    }

    /// Every rule there is, but for those a party need not be asked about.
    #[cfg(test)]
    pub(super) fn asked_of(&self, caller: &Caller<'_>) -> impl Iterator<Item = &Rule> {
        self.asked(caller, (0..).zip(&self.rules).map(|(at, _)| at).collect())
    }

    fn asked(&self, caller: &Caller<'_>, found: Vec<u32>) -> impl Iterator<Item = &Rule> {
        let first = caller.first;
        let rules = found.into_iter().filter_map(|at| self.rules.get(at as usize));
        rules.filter(move |rule| first || !rule.impersonal)
    }

    /// The rules that forbid the discovery of something but are silent about its use. What may not be
    /// discovered may not be used either.
    pub(super) fn hiding(
        &self,
        caller: &Caller<'_>,
        action: Action,
        target: &Target<'_>,
    ) -> impl Iterator<Item = &Rule> {
        let found = if self.hides {
            self.slices
                .concerning(Shelf::Calls, &caller.names, Action::Discover, target, |_| None)
        } else {
            Vec::new()
        };
        self.asked(caller, found)
            .filter(move |rule| rule.hides() && !rule.actions.admit(action))
    }
}

/// A party of a call.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    party: &'a Party,
    /// Rules that are the same for everybody are asked about the first party only.
    first: bool,
    /// Itself and everything it is below, as far as rules name it.
    names: Vec<Name>,
    found: Found<'a>,
}

impl<'a> Caller<'a> {
    #[cfg(test)]
    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    pub(super) fn world<'w>(&'w self, call: Call<'a>, known: &'w Known<'a>) -> World<'w, 'a> {
        World {
            principal: self.party,
            call,
            own: &self.found,
            known,
        }
    }
}

/// What one rule comes to.
pub(super) fn verdict<'a>(rule: &'a Rule, world: &World<'_, 'a>) -> Verdict {
    let principal = Entity::Party(world.principal);
    let resource = Entity::Target(world.call.target);
    let concerned = rule.actions.admit(world.call.action)
        && rule.principal.admits(&principal, world)
        && rule.resource.admits(&resource, world);
    if !concerned {
        return Verdict::Silent;
    }
    for condition in &rule.conditions {
        match evaluate::truth(&condition.expr, world) {
            Ok(true) => {}
            Ok(false) => return Verdict::Silent,
            Err(failure) => return Verdict::Fails(failure),
        }
    }
    Verdict::Speaks
}

/// The rules that had something to say.
#[derive(Default)]
struct Ballot<'r> {
    permits: Vec<&'r Rule>,
    holds: Vec<&'r Rule>,
    forbids: Vec<&'r Rule>,
    /// Permits for which only a scope is missing.
    out_of_scope: Vec<&'r Rule>,
    errors: Vec<(RuleId, String)>,
}

impl<'r> Ballot<'r> {
    fn count(&mut self, rule: &'r Rule, verdict: Verdict, facts: &Facts<'_>) {
        let list = match (verdict, rule.effect) {
            (Verdict::Silent, _) => return,
            (Verdict::Fails(failure), _) => {
                let error = (rule.id.clone(), failure.to_string());
                if !self.errors.contains(&error) {
                    self.errors.push(error);
                }
                return;
            }
            (Verdict::Speaks, Effect::Forbid) if rule.obligations.is_empty() => &mut self.forbids,
            (Verdict::Speaks, Effect::Forbid) => &mut self.holds,
            (Verdict::Speaks, Effect::Permit) => {
                let in_scope = rule
                    .scope
                    .as_ref()
                    .is_none_or(|scope| facts.scopes.contains(scope));
                if in_scope {
                    &mut self.permits
                } else {
                    &mut self.out_of_scope
                }
            }
        };
        // An agent and its user may match the same rule.
        if !list.iter().any(|counted| std::ptr::eq(*counted, rule)) {
            list.push(rule);
        }
    }

    fn decide(self) -> Decision {
        if self.errors.is_empty() && self.forbids.is_empty() && !self.permits.is_empty() {
            let speaking = || self.permits.iter().chain(&self.holds);
            let obligations = speaking().flat_map(|rule| &rule.obligations);
            return Decision::Permit(Permit::vouch(
                speaking().map(|rule| rule.id.clone()).collect(),
                obligation::strictest(obligations),
            ));
        }
        let curable = self.errors.is_empty() && self.forbids.is_empty();
        let missing = self.out_of_scope.first().filter(|_| curable);
        Decision::Refuse(Denial {
            reason: self.forbids.first().and_then(|rule| rule.reason.clone()),
            rules: self.forbids.iter().map(|rule| rule.id.clone()).collect(),
            errors: self.errors,
            scope: missing.and_then(|rule| rule.scope.clone()),
        })
    }
}
