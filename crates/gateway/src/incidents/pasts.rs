//! The pasts of agents on disk: what is new for an agent, and how much is much, is still known after a restart.
//!
//! A past is stored within [`KEEP`] of the call that changed it, and when the gateway ends. After a crash the calls of
//! the last moments are missing, and nothing else.

use std::time::Duration;

use records::digest::hex;
use serde::{Deserialize, Serialize};

use super::signals::{Past, Signals};
use crate::store::{Store, StoreError};

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

/// A past as a row: its key, and its text or nothing where it is forgotten.
pub(super) struct Row(String, Option<Vec<u8>>);

/// The row of a past.
pub(super) fn row(store: &Store, agent: &str, past: Option<Past>) -> Result<Row, StoreError> {
    let replica = store.replica();
    let text = past.map(|past| {
        serde_json::to_vec(&Stored {
            agent: agent.to_owned(),
            replica: replica.map(str::to_owned),
            past,
        })
    });
    let text = text
        .transpose()
        .map_err(|error| StoreError::other(error.to_string()))?;
    Ok(Row(key(replica, agent), text))
}

/// Stores pasts, and deletes what was stored of those that are forgotten: all or none, since each transaction is a
/// sync of the disk that the ledger's are behind.
pub(super) fn keep(store: &Store, rows: Vec<Row>) -> Result<(), StoreError> {
    let rows: Vec<_> = rows.into_iter().map(|Row(key, text)| (key, text)).collect();
    store.set_all(TABLE, &rows)
}

/// Names of agents are longer than keys may be; their digests are not.
fn key(replica: Option<&str>, agent: &str) -> String {
    let text = format!("{}\n{agent}", replica.unwrap_or_default());
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
}
