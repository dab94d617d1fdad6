//! What can be said of calls whose arguments are not known: for tables of who may what, for records that
//! keep no arguments, and to prove what a change of rules grants.

use std::collections::BTreeSet;

use super::{
    RuleSet,
    entity::Target,
    possible::{Outcomes, possible},
    remember::Found,
    rule::{Effect, Rule},
    world::{Call, Known, Unseen},
};
use crate::{action::Action, facts::Facts, permit::Obligation, resource::Resource, subject::Subject};

/// What becomes of every call of a kind, whatever it is that was not seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Foresight {
    /// Refused, all of them.
    Refused,
    /// People are asked about all that are not refused, and some are not.
    Held,
    /// Some are permitted and some are not, or people are asked about some.
    Depends,
    /// Permitted, all of them.
    Permitted,
}

impl Foresight {
    /// The word tables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "no",
            Self::Held => "ask",
            Self::Depends => "if",
            Self::Permitted => "yes",
        }
    }
}

/// Whether rules are covered by others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Coverage {
    /// Nobody can say.
    Open,
    /// They grant nothing that the others do not grant.
    Proven,
}

/// A rule as far as it matters to decisions: what it does, demands, and says.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Concerned(Effect, String, String);

/// What the rules could do, gathered over all of them.
#[derive(Default)]
struct Gathered {
    may_refuse: bool,
    must_refuse: bool,
    may_permit: bool,
    must_permit: bool,
    may_ask: bool,
    must_ask: bool,
}

impl RuleSet {
    /// Foresees calls. Of `facts`, what is unseen is not read; the rest counts.
    ///
    /// `Refused` and `Permitted` are proofs: no call of the kind comes to anything else. `Depends` may be
    /// said of calls that all come to the same, where conditions about one argument exclude each other.
    #[must_use]
    pub fn foresee(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
        unseen: Unseen,
    ) -> Foresight {
        let target = Target::of(resource);
        let call = Call {
            unseen,
            ..self.call(subject, action, &target, facts)
        };
        let callers = self.callers(subject);
        let mut known = Known::nothing(self.numbered);
        known.resource = Found::nothing(self.numbered.resource);
        let mut gathered = Gathered::default();
        for caller in &callers {
            let world = caller.world(call, &known);
            for rule in self.concerning(caller, action, &target) {
                gathered.count(rule, possible(rule, &world), reach(rule, call));
            }
            let world = caller.world(call.discovery(), &known);
            for rule in self.hiding(caller, action, &target) {
                gathered.count(rule, possible(rule, &world), reach(rule, call));
            }
        }
        gathered.sum_up()
    }

    /// Whether other rules can grant nothing of this kind that these do not grant: whenever they permit a call,
    /// these permit it and demand no more.
    ///
    /// `Proven` where some rule of ours permits every call, none of ours that permits can fail or demands
    /// anything, and whatever of ours forbids is among theirs. Anything else is `Open`, true or not.
    #[must_use]
    pub fn covers(
        &self,
        other: &Self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Coverage {
        let target = Target::of(resource);
        let call = Call {
            unseen: Unseen::Circumstances,
            ..self.call(subject, action, &target, facts)
        };
        let callers = self.callers(subject);
        let known = Known::nothing(self.numbered);
        let mut permits = false;
        for caller in &callers {
            let world = caller.world(call, &known);
            let used = self.concerning(caller, action, &target);
            for rule in used.filter(|rule| rule.effect == Effect::Permit) {
                let could = possible(rule, &world);
                if could.contains(Outcomes::FAILURE) || !rule.obligations.is_empty() {
                    return Coverage::Open;
                }
                permits |= could == Outcomes::TRUE && rule.scope.is_none();
            }
        }
        let (ours, theirs) = (
            self.concerned(subject, action, resource),
            other.concerned(subject, action, resource),
        );
        let mut forbids = ours.iter().filter(|rule| rule.0 == Effect::Forbid);
        if permits && forbids.all(|rule| theirs.contains(rule)) {
            Coverage::Proven
        } else {
            Coverage::Open
        }
    }

    /// The rules that can concern such calls, in a form in which two sets can be compared: where they are
    /// the same, so is every decision.
    #[must_use]
    pub fn concerned(&self, subject: &Subject, action: Action, resource: &Resource) -> BTreeSet<Concerned> {
        let target = Target::of(resource);
        let callers = self.callers(subject);
        let mut all = BTreeSet::new();
        for caller in &callers {
            let used = self.concerning(caller, action, &target);
            for rule in used.chain(self.hiding(caller, action, &target)) {
                let demands = format!("{:?} {:?}", rule.scope, rule.obligations);
                all.insert(Concerned(rule.effect, demands, rule.text.cedar.to_string()));
            }
        }
        all
    }
}

impl Gathered {
    fn count(&mut self, rule: &Rule, could: Outcomes, reach: Outcomes) {
        let may = could.contains(Outcomes::TRUE);
        let must = could == Outcomes::TRUE;
        if could.contains(Outcomes::FAILURE) {
            self.may_refuse = true;
            self.must_refuse |= could == Outcomes::FAILURE;
        }
        let asks = rule.obligations.iter().any(Obligation::holds_call);
        match rule.effect {
            Effect::Forbid if rule.obligations.is_empty() => {
                self.may_refuse |= may;
                // It matches or it fails, and either refuses.
                self.must_refuse |= !could.contains(Outcomes::FALSE);
            }
            Effect::Forbid => {
                self.may_ask |= may;
                self.must_ask |= must;
            }
            Effect::Permit => {
                let (may, must) = (
                    may && reach.contains(Outcomes::TRUE),
                    must && reach == Outcomes::TRUE,
                );
                self.may_permit |= may;
                self.must_permit |= must;
                self.may_ask |= may && asks;
                self.must_ask |= must && asks;
            }
        }
    }

    fn sum_up(self) -> Foresight {
        if self.must_refuse || !self.may_permit {
            Foresight::Refused
        } else if self.must_ask {
            Foresight::Held
        } else if self.must_permit && !self.may_refuse && !self.may_ask {
            Foresight::Permitted
        } else {
            Foresight::Depends
        }
    }
}

/// Whether the credential has the scope a rule asks for, as far as is known.
fn reach(rule: &Rule, call: Call<'_>) -> Outcomes {
    match &rule.scope {
        None => Outcomes::TRUE,
        Some(_) if call.unseen.holds("scopes") => Outcomes::TRUE.or(Outcomes::FALSE),
        Some(scope) if call.facts.scopes.contains(scope) => Outcomes::TRUE,
        Some(_) => Outcomes::FALSE,
    }
}
