//! The pasts of agents on disk: what is new for an agent, and how much is much, is still known after a restart.
//!
//! A past is stored within [`KEEP`] of the call that changed it, and when the gateway ends. After a crash the calls of
//! the last moments are missing, and nothing else.

use std::time::Duration;

use records::digest::hex;
use serde::{Deserialize, Serialize};

use super::signals::{Past, Signals};
use crate::storage::store::{Setting, Store, StoreError, Unset};

/// The store's table.
const TABLE: &str = "pasts";
/// How often what changed is stored.
pub(crate) const KEEP: Duration = Duration::from_secs(5);

/// One past, as it is stored.
#[derive(Debug, Deserialize, Serialize)]
struct Stored {
    agent: String,
    /// Replicas on one database see different calls, and each has pasts of its own.
    replica: Option<String>,
    past: Past,
}

/// Puts back what was stored. What cannot be read is learnt anew.
pub(super) fn recall(store: &Store, signals: &mut Signals) -> Result<(), StoreError> {
    for (key, text) in store.list(TABLE)? {
        match serde_json::from_slice::<Stored>(&text) {
            Ok(stored) if stored.replica.as_deref() == store.replica() => {
                signals.remember(stored.agent, stored.past);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(key, %error, "an agent's past cannot be read and is learnt anew"),
        }
    }
    Ok(())
}

/// How a past is stored; one that is forgotten is deleted.
pub(super) fn setting(replica: Option<&str>, agent: &str, past: Option<Past>) -> Setting {
    let text = past.map(|past| {
        let stored = Stored {
            agent: agent.to_owned(),
            replica: replica.map(str::to_owned),
            past,
        };
        // Names, sets of names and numbers: nothing of it cannot be written.
        serde_json::to_vec(&stored).unwrap_or_default()
    });
    (key(replica, agent), text)
}

/// Stores pasts, many at once. Gives what could not be.
pub(super) fn keep(store: &Store, pasts: &[Setting]) -> Result<(), Unset> {
    store.set_all(TABLE, pasts)
}

/// Names of agents are longer than keys may be; their digests are not.
fn key(replica: Option<&str>, agent: &str) -> String {
    let text = format!("{}\n{agent}", replica.unwrap_or_default());
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
}
