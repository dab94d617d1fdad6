//! May it be: the rules in force.

use std::sync::Arc;

use pipeline::ports::{Judged, Rules};
use policy::{
    Action, Decision, Facts, Permit, Resource, Subject,
    rules::{Discovery, RuleSet, RuleSource},
};

use super::Engines;
use crate::config::said::Mode;

impl Rules for Engines {
    fn decide(&self, subject: &Subject, action: Action, resource: &Resource, facts: &Facts<'_>) -> Judged {
        let rules = self.rules();
        Judged {
            decision: rules.decide(subject, action, resource, facts),
            by: Arc::from(rules.digest()),
        }
    }

    fn could_permit(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Discovery {
        match self.mode {
            Mode::Enforce => self.rules().could_permit(subject, action, resource, facts),
            Mode::Observe => Discovery::Listed,
        }
    }

    fn could_permit_each(
        &self,
        subject: &Subject,
        resources: &[Arc<Resource>],
        facts: &Facts<'_>,
    ) -> Arc<[Discovery]> {
        match self.mode {
            Mode::Enforce => {
                let rules = self.rules();
                self.lists
                    .could_permit_each(&rules, subject, Action::Discover, resources, facts)
            }
            Mode::Observe => resources.iter().map(|_| Discovery::Listed).collect(),
        }
    }

    fn observe(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Option<Permit> {
        match (self.mode, self.observing.decide(subject, action, resource, facts)) {
            (Mode::Observe, Decision::Permit(permit)) => Some(permit),
            (Mode::Enforce, _) | (Mode::Observe, Decision::Refuse(_)) => None,
        }
    }
}

/// The one rule of `observe` mode: everything is let through, and what would have been refused is recorded.
pub(crate) fn observing() -> Result<RuleSet, policy::rules::RuleErrors> {
    RuleSet::parse(&[RuleSource {
        name: "observe mode".to_owned(),
        text: "@id(\"observe-mode\") permit(principal, action, resource);".to_owned(),
    }])
}
