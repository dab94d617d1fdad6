//! What can be said of a call before its arguments are known: for tables of who may what, for records that
//! keep no arguments, and to prove what a change of rules grants.

use std::collections::BTreeSet;

use super::{
    RuleSet,
    entity::Target,
    possible::{Outcomes, possible},
    remember::Found,
    rule::{Effect, Rule},
    world::Known,
};
use crate::{action::Action, facts::Facts, permit::Obligation, resource::Resource, subject::Subject};

/// What becomes of every call of a kind, whatever its arguments, findings and sources. Ordered from the
/// least that is granted to the most, but for [`Foresight::Depends`].
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
    /// Foresees calls. Of `facts`, arguments, findings and sources are not read; the rest counts.
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
    ) -> Foresight {
        let target = Target::of(resource);
        let call = self.call(subject, action, &target, facts);
        let callers = self.callers(subject);
        let mut known = Known::nothing(self.numbered);
        known.resource = Found::nothing(self.numbered.resource);
        let mut gathered = Gathered::default();
        for caller in &callers {
            let world = caller.world(call, &known);
            for rule in self.concerning(caller, action, &target) {
                gathered.count(rule, possible(rule, &world), facts);
            }
            let world = caller.world(call.discovery(), &known);
            for rule in self.hiding(caller, action, &target) {
                gathered.count(rule, possible(rule, &world), facts);
            }
        }
        gathered.sum_up()
    }

    /// The rules that can concern such calls, in a form in which two sets can be compared: where they are
    /// the same, so is every decision.
    #[must_use]
    pub fn concerned(&self, subject: &Subject, action: Action, resource: &Resource) -> BTreeSet<String> {
        let target = Target::of(resource);
        let callers = self.callers(subject);
        let mut all = BTreeSet::new();
        for caller in &callers {
            let used = self.concerning(caller, action, &target);
            for rule in used.chain(self.hiding(caller, action, &target)) {
                all.insert(format!(
                    "{:?} {:?} {:?} {}",
                    rule.effect, rule.scope, rule.obligations, rule.text.cedar
                ));
            }
        }
        all
    }
}

impl Gathered {
    fn count(&mut self, rule: &Rule, could: Outcomes, facts: &Facts<'_>) {
        let may = could.contains(Outcomes::TRUE);
        let must = could == Outcomes::TRUE;
        if could.contains(Outcomes::FAILURE) {
            self.may_refuse = true;
            self.must_refuse |= could == Outcomes::FAILURE;
        }
        let asks = rule
            .obligations
            .iter()
            .any(|one| matches!(one, Obligation::Approve { .. } | Obligation::StepUp(_)));
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
                let in_scope = rule
                    .scope
                    .as_ref()
                    .is_none_or(|scope| facts.scopes.contains(scope));
                if in_scope {
                    self.may_permit |= may;
                    self.must_permit |= must;
                    self.may_ask |= may && asks;
                    self.must_ask |= must && asks;
                }
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
