//! The outcomes of a decision.

use std::{fmt, sync::Arc};

/// The name of a rule: its `@id`, or its place in its source, such as `policy.rules[2]`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuleId(pub Arc<str>);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A decision. There is no third outcome and no default that permits.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Yes, under obligations.
    Permit(Permit),
    /// No.
    Refuse(Denial),
}

/// Yes, because of these rules and under these obligations.
///
/// INVARIANT (permit): only the rules engine makes one, so whoever holds a `Permit` was permitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Permit {
    rules: Vec<RuleId>,
    obligations: Vec<Obligation>,
}

impl Permit {
    pub(crate) fn vouch(rules: Vec<RuleId>, obligations: Vec<Obligation>) -> Self {
        Self { rules, obligations }
    }

    /// The rules that said yes.
    #[must_use]
    pub fn rules(&self) -> &[RuleId] {
        &self.rules
    }

    /// What must be done for the yes to hold.
    #[must_use]
    pub fn obligations(&self) -> &[Obligation] {
        &self.obligations
    }
}

/// No.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Denial {
    /// The `forbid` rules that matched; none when simply no rule permits.
    pub rules: Vec<RuleId>,
    /// The `@reason` of the first of them, for people.
    pub reason: Option<String>,
    /// Rules that could not be evaluated, and why. An error is a refusal.
    pub errors: Vec<(RuleId, String)>,
    /// A scope that would have permitted the call, if a rule names one (`@scope`): worth a step-up challenge.
    pub scope: Option<String>,
}

/// What must be done for a permit to hold; from the annotations of the rules that permit.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Obligation {
    /// `@approve("role:doctor 2")`: so many people of that kind must agree.
    Approve {
        /// Who may: `user:NAME`, `role:NAME`, `group:NAME`.
        by: String,
        /// How many.
        needed: u8,
    },
    /// `@fields("/name /birth")`: only these parts of the result come back (JSON pointers).
    Fields(Vec<String>),
    /// `@label("confidentiality:restricted category:phi")`: the result gets these labels too.
    Label(Vec<String>),
    /// `@limit("name")`: counts against that limit.
    Limit(String),
    /// `@pseudonymise("personal")`: findings of these kinds become reversible pseudonyms in the result.
    Pseudonymise(Vec<String>),
    /// `@redact("secret personal")`: findings of these kinds are cut out of the result.
    Redact(Vec<String>),
    /// `@step_up("mfa")`: the caller must have authenticated at least so.
    StepUp(String),
}
