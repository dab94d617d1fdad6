//! Access reviews: who looked at what an agent may do, when, and what they took away.
//!
//! What was taken away is a rule that forbids it, beside the operator's own: no rule of theirs gives it back, only a
//! person who says so here.

use policy::rules::{
    RuleSource,
    short::{self, Kind},
};
use serde::{Deserialize, Serialize};

use crate::storage::store::{Store, StoreError};

/// The store's tables.
const CERTIFIED: &str = "reviews";
const REVOKED: &str = "revoked-grants";
/// Where rules say they come from.
const SOURCE: &str = "access review";

/// Somebody looked at what an agent may do, and found it right.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Certified {
    pub(crate) agent: String,
    pub(crate) by: String,
    pub(crate) at_ms: i64,
    pub(crate) grants: u64,
    /// The rules it was looked at under.
    pub(crate) policy: String,
}

/// Something an agent may not do any more, whatever rules say.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Revoked {
    /// `agent:NAME` or `service:NAME`.
    pub(crate) who: String,
    /// `server__tool`.
    pub(crate) target: String,
    pub(crate) by: String,
    pub(crate) at_ms: i64,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::other(error.to_string())
}

impl Certified {
    pub(crate) fn keep(&self, store: &Store) -> Result<(), StoreError> {
        store.put(CERTIFIED, &self.agent, &serde_json::to_vec(self).map_err(failed)?)
    }

    /// The last of an agent.
    pub(crate) fn of(store: &Store, agent: &str) -> Result<Option<Self>, StoreError> {
        let found = store.get(CERTIFIED, agent)?;
        found
            .map(|text| serde_json::from_slice(&text).map_err(failed))
            .transpose()
    }
}

impl Revoked {
    fn key(&self) -> String {
        format!("{} {}", self.who, self.target)
    }

    pub(crate) fn keep(&self, store: &Store) -> Result<(), StoreError> {
        store.put(REVOKED, &self.key(), &serde_json::to_vec(self).map_err(failed)?)
    }

    pub(crate) fn forget(&self, store: &Store) -> Result<(), StoreError> {
        store.delete(REVOKED, &self.key())
    }

    /// All that was taken away. One that cannot be read may be any, so nothing goes on without it.
    pub(crate) fn all(store: &Store) -> Result<Vec<Self>, StoreError> {
        let all = store.list(REVOKED)?;
        all.iter()
            .map(|(_, text)| serde_json::from_slice(text).map_err(failed))
            .collect()
    }

    /// The rule it is.
    pub(crate) fn rule(&self) -> Result<RuleSource, StoreError> {
        let line = format!(
            "{} on {} because an access review took it away",
            self.who, self.target
        );
        short::expand(Kind::Forbid, &format!("{SOURCE}: {}", self.key()), &line).map_err(failed)
    }
}
