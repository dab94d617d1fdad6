//! A call and the rules to a decision.
//!
//! Every rule the call can concern is asked, for every party: the caller and whom it acts for. One that
//! cannot be evaluated refuses, whatever the others say. Then a `forbid` refuses, or with `@approve` asks;
//! then a `permit` permits; else the answer is no.

use super::{
    RuleSet,
    evaluate::{self, Failure},
    obligation,
    rule::{Effect, Rule},
    world::{Call, Entity, Target, World},
};
use crate::{
    action::Action,
    facts::Facts,
    permit::{Decision, Denial, Permit, RuleId},
    resource::Resource,
    subject::Subject,
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
    #[must_use]
    pub fn decide(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Decision {
        let target = Target::of(resource);
        let call = Call {
            subject,
            action,
            target: &target,
            facts,
            arguments: self.argument_types(&target),
        };
        let mut ballot = Ballot::default();
        for party in subject.parties() {
            let world = World::new(party, &call);
            for rule in self.concerning(party, action, &target) {
                ballot.count(rule, verdict(rule, &world), facts);
            }
        }
        let discovery = Call {
            action: Action::Discover,
            ..call
        };
        for party in subject.parties() {
            let world = World::new(party, &discovery);
            for rule in self.hiding(party, action, &target) {
                ballot.count(rule, verdict(rule, &world), facts);
            }
        }
        ballot.decide()
    }
}

/// What one rule comes to.
pub(super) fn verdict<'a>(rule: &'a Rule, world: &World<'a>) -> Verdict {
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
