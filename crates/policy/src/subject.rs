//! Who asks, as rules see it.

use std::collections::BTreeMap;

use crate::rules::Value;

/// What a party is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PartyKind {
    /// An AI application with its model.
    Agent,
    /// A program without a model.
    Service,
    /// A person.
    User,
}

/// One party: `User::"alice"`, `Agent::"scribe"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Party {
    /// What it is.
    pub kind: PartyKind,
    /// Its name, unique within its kind and tenant.
    pub name: String,
    /// `Role::"..."` entities it is in.
    pub roles: Vec<String>,
    /// `Group::"..."` entities it is in.
    pub groups: Vec<String>,
    /// `Tenant::"..."` it belongs to; also `principal.tenant`.
    pub tenant: Option<String>,
    /// What rules may read as `principal.name_of_attribute`; `name` and `tenant` are taken.
    pub attributes: BTreeMap<String, Value>,
}

/// Who asks: one party alone, or an agent for a user.
///
/// An agent for a user is judged as both. A `forbid` on either refuses; a `permit` on either permits, since
/// the agent could use its own rights without the user, and the user lent it theirs. Rules that want both
/// at once say so: `principal == User::"alice" && context.agent == Agent::"scribe"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Who sent the call.
    pub actor: Party,
    /// For whom, if the actor acts for somebody.
    pub for_user: Option<Party>,
}

impl PartyKind {
    /// The entity type rules use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::Service => "Service",
            Self::User => "User",
        }
    }
}

impl Subject {
    /// The parties a rule may match, the user first.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        self.for_user.iter().chain(std::iter::once(&self.actor))
    }
}
