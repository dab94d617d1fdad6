//! The outcomes of a decision.

use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::{
    label::Labels,
    subject::{Party, PartyKind},
};

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

    /// The rules that said yes, then those that ask for approval.
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
    /// The one thing missing, if a rule would permit with that scope (`@scope`) and nothing else refuses:
    /// worth a step-up challenge.
    pub scope: Option<String>,
}

/// What must be done for a permit to hold; from the annotations of the rules that permit, and of the
/// `forbid` rules that would rather ask (`@approve` on a `forbid`).
///
/// When several rules speak, the strictest holds: all approvals, the fields all of them name, the redactions
/// and labels of any. Only `@reveal` widens: it is a permit of its own, under the conditions of its rule. Each call has
/// some of them several times, so clones share what they name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Obligation {
    /// `@anonymise("personal")`: findings of these kinds become other values of their form in the result, and
    /// nobody can say of whom they were.
    Anonymise(Arc<BTreeSet<String>>),
    /// `@approve("role:doctor 2")`: so many people of that kind must agree first.
    Approve {
        /// Who may.
        by: Reviewers,
        /// How many; at least one.
        needed: u8,
    },
    /// `@defang("images links")`: what the result says loads nothing where it is shown, and leads nowhere.
    Defang(Arc<BTreeSet<String>>),
    /// `@drop("/notes")`: these parts of the result do not come back.
    Drop(Arc<BTreeSet<String>>),
    /// `@fields("/name /birth /rows/*/id")`: only these parts of the result come back (JSON pointers, RFC 6901).
    Fields(Arc<BTreeSet<String>>),
    /// `@judge("intent content")`: somebody else is asked for a second opinion, which can only be stricter.
    Judge(BTreeSet<Judging>),
    /// `@label("confidentiality:restricted category:phi")`: the result gets these labels too.
    Label(Labels),
    /// `@limit("name")`: counts against that limit.
    Limit(String),
    /// `@mask("personal")`: findings of these kinds are starred out in the result but for the last characters.
    Mask(Arc<BTreeSet<String>>),
    /// `@pseudonymise("personal")`: findings of these kinds become reversible pseudonyms in the result.
    Pseudonymise(Arc<BTreeSet<String>>),
    /// `@redact("secret personal")`: findings of these kinds are cut out of the result.
    Redact(Arc<BTreeSet<String>>),
    /// `@reveal("personal")`: pseudonyms of these kinds in the arguments become what they stand for, on their
    /// way to this tool and nowhere else.
    Reveal(Arc<BTreeSet<String>>),
    /// `@review("role:privacy_officer")`: somebody looks at the call afterwards; for break-glass.
    Review(Reviewers),
    /// `@step_up("mfa 300")`: the person must have logged in so: at that level or by that method and, where it says so,
    /// not longer ago than that many seconds.
    StepUp {
        /// The level (`acr`) or the method (`amr`).
        level: String,
        /// How long ago at most, in seconds.
        max_age_s: Option<u32>,
    },
}

/// What a second opinion is on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Judging {
    /// What comes back: whether it gives orders.
    Content,
    /// The call: whether it is what it is said to be for.
    Intent,
}

impl Judging {
    /// Everything there is.
    pub const ALL: [Self; 2] = [Self::Content, Self::Intent];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Intent => "intent",
        }
    }
}

impl Obligation {
    /// Whether a second opinion on this is among the obligations.
    #[must_use]
    pub fn demands(obligations: &[Self], judging: Judging) -> bool {
        obligations
            .iter()
            .any(|one| matches!(one, Self::Judge(these) if these.contains(&judging)))
    }

    /// What the labels among the obligations add to a conversation, if there are any.
    #[must_use]
    pub fn labels(obligations: &[Self]) -> Option<Labels> {
        let added = obligations.iter().filter_map(|one| match one {
            Self::Label(added) => Some(added),
            Self::Anonymise(_)
            | Self::Approve { .. }
            | Self::Defang(_)
            | Self::Drop(_)
            | Self::Fields(_)
            | Self::Judge(_)
            | Self::Limit(_)
            | Self::Mask(_)
            | Self::Pseudonymise(_)
            | Self::Redact(_)
            | Self::Reveal(_)
            | Self::Review(_)
            | Self::StepUp { .. } => None,
        });
        added.fold(None, |labels, added| {
            Some(labels.map_or_else(|| added.clone(), |labels: Labels| labels.join(added)))
        })
    }

    /// Whoever is to agree or to look at it.
    pub(crate) fn reviewers(&self) -> Option<&Reviewers> {
        match self {
            Self::Approve { by, .. } | Self::Review(by) => Some(by),
            Self::Anonymise(_)
            | Self::Defang(_)
            | Self::Drop(_)
            | Self::Fields(_)
            | Self::Judge(_)
            | Self::Label(_)
            | Self::Limit(_)
            | Self::Mask(_)
            | Self::Pseudonymise(_)
            | Self::Redact(_)
            | Self::Reveal(_)
            | Self::StepUp { .. } => None,
        }
    }

    /// Whether it is met before the call goes on: somebody agrees, or the caller proves more.
    #[must_use]
    pub fn holds_call(&self) -> bool {
        match self {
            Self::Approve { .. } | Self::StepUp { .. } => true,
            Self::Anonymise(_)
            | Self::Defang(_)
            | Self::Drop(_)
            | Self::Fields(_)
            | Self::Judge(_)
            | Self::Label(_)
            | Self::Limit(_)
            | Self::Mask(_)
            | Self::Pseudonymise(_)
            | Self::Redact(_)
            | Self::Reveal(_)
            | Self::Review(_) => false,
        }
    }

    /// Whether it has to be met by the answer of this very call: what a task comes to is fetched by another.
    #[must_use]
    pub fn holds_answer(&self) -> bool {
        self.changes_answer() || matches!(self, Self::Judge(these) if these.contains(&Judging::Content))
    }

    /// Whether it is met by changing the answer, so that it says nothing where there is no answer yet.
    #[must_use]
    pub fn changes_answer(&self) -> bool {
        match self {
            Self::Anonymise(_)
            | Self::Defang(_)
            | Self::Drop(_)
            | Self::Fields(_)
            | Self::Mask(_)
            | Self::Pseudonymise(_)
            | Self::Redact(_) => true,
            Self::Approve { .. }
            | Self::Judge(_)
            | Self::Label(_)
            | Self::Limit(_)
            | Self::Reveal(_)
            | Self::Review(_)
            | Self::StepUp { .. } => false,
        }
    }
}

/// Who may approve or review: `user:NAME`, `role:NAME` or `group:NAME`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reviewers {
    /// Members of a group.
    Group(String),
    /// Holders of a role.
    Role(String),
    /// One person.
    User(String),
}

impl Reviewers {
    /// Reads the form rules use.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let name = Some(name.to_owned()).filter(|name| !name.is_empty())?;
        match kind {
            "group" => Some(Self::Group(name)),
            "role" => Some(Self::Role(name)),
            "user" => Some(Self::User(name)),
            _ => None,
        }
    }

    /// Whether a person is one of them.
    #[must_use]
    pub fn includes(&self, party: &Party) -> bool {
        match self {
            Self::Group(name) => party.groups.contains(name),
            Self::Role(name) => party.roles.contains(name),
            Self::User(name) => party.kind == PartyKind::User && party.name == *name,
        }
    }
}

impl fmt::Display for Reviewers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Role(name) => write!(f, "role:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}
