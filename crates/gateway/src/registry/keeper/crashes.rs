//! Crash loops: a server whose processes keep ending badly is held back, for a person to look at.
//!
//! There is a process for each caller, and one who can make it crash must not take the server from the others. So
//! what one caller's processes do holds the server back for that caller, until some of it is long enough ago; for all it
//! is held back when the gateway's own process keeps crashing, or those of several callers.

use std::{collections::BTreeMap, sync::PoisonError};

use wire::mcp::ServerName;

use super::Keeper;

/// So many crashes within this time.
const CRASHES_MAX: usize = 5;
const WITHIN_MS: i64 = 120_000;
/// As many of one caller's count against the server.
const OF_ONE_MAX: usize = 3;

/// A process that ended badly.
#[derive(Debug)]
pub(super) struct Crash {
    at_ms: i64,
    /// For whom it was started; none: for the gateway itself.
    owner: Option<String>,
}

impl Keeper {
    /// A server's process ended by itself and not well.
    pub(crate) fn crashed(&self, name: &ServerName, owner: Option<&str>, how: &str) {
        let now = self.ambient.now_ms();
        let mut crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = crashes.entry(name.clone()).or_default();
        recent.retain(|crash| now.saturating_sub(crash.at_ms) < WITHIN_MS);
        recent.push(Crash {
            at_ms: now,
            owner: owner.map(str::to_owned),
        });
        let own = recent
            .iter()
            .filter(|crash| crash.owner.as_deref() == owner)
            .count();
        let counted = counted(recent);
        let why = format!(
            "crashed {CRASHES_MAX} times within {} s, the last time: {how}; see `sallyport server show {name}`",
            WITHIN_MS / 1000
        );
        if counted < CRASHES_MAX {
            drop(crashes);
            if let Some(owner) = owner.filter(|_| own == CRASHES_MAX) {
                let why = format!("held back for `{owner}` alone, where it {why}");
                tracing::warn!(server = %name, why, "a server keeps crashing");
                self.journal.registry(name, None, "crashing", &why, None, None);
            }
            return;
        }
        // Whoever releases it begins anew.
        crashes.remove(name);
        drop(crashes);
        let why = format!("it {why}");
        tracing::warn!(server = %name, why, "a server is held back");
        if let Err(error) = self.quarantine(name.as_str(), None, &why) {
            tracing::warn!(server = %name, %error, "it could not be held back for good");
        }
    }

    /// Why no process is started for somebody now.
    pub(crate) fn crashing(&self, name: &ServerName, owner: &str) -> Option<String> {
        let now = self.ambient.now_ms();
        let crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = |crash: &&Crash| {
            crash.owner.as_deref() == Some(owner) && now.saturating_sub(crash.at_ms) < WITHIN_MS
        };
        let own = crashes.get(name)?.iter().filter(is_own).count();
        (own >= CRASHES_MAX).then(|| {
            let within = WITHIN_MS / 1000;
            format!(
                "`{name}` crashed {own} times within {within} s for this caller; it is left alone for a while"
            )
        })
    }
}

/// How many count against the server as a whole.
fn counted(recent: &[Crash]) -> usize {
    let mut by_owner: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for crash in recent {
        *by_owner.entry(crash.owner.as_deref()).or_default() += 1;
    }
    let each = by_owner.into_iter();
    each.map(|(owner, n)| if owner.is_some() { n.min(OF_ONE_MAX) } else { n })
        .sum()
}
