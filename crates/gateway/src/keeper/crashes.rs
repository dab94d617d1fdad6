//! Crash loops: a server whose processes keep ending badly is held back, for a person to look at.

use std::sync::PoisonError;

use wire::mcp::ServerName;

use super::Keeper;

/// So many crashes within this time, of all its processes together.
const CRASHES_MAX: usize = 5;
const WITHIN_MS: i64 = 120_000;

impl Keeper {
    /// A server's process ended by itself and not well.
    pub(crate) fn crashed(&self, name: &ServerName, how: &str) {
        let now = self.ambient.now_ms();
        let mut crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = crashes.entry(name.clone()).or_default();
        recent.retain(|at| now.saturating_sub(*at) < WITHIN_MS);
        recent.push(now);
        if recent.len() < CRASHES_MAX {
            return;
        }
        // Whoever releases it begins anew.
        crashes.remove(name);
        drop(crashes);
        let why = format!(
            "it crashed {CRASHES_MAX} times within {} s, the last time: {how}; see `sallyport server show {name}`",
            WITHIN_MS / 1000
        );
        tracing::warn!(server = %name, why, "a server is held back");
        if let Err(error) = self.quarantine(name.as_str(), None, &why) {
            tracing::warn!(server = %name, %error, "it could not be held back for good");
        }
    }
}
