//! What may be used once: proofs and assertions, remembered for as long as they are good.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use thiserror::Error;

/// The most that are remembered at a time.
pub(crate) const REMEMBERED_MAX: usize = 64 * 1024;
/// How often those that are over are looked for, in milliseconds: a look at all of them is no work for each request.
const PRUNE_MS: i64 = 1000;

/// Why something was not used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NotOnce {
    /// There are too many at once to tell which were used.
    #[error("too many of its kind at once")]
    Crowded,
    /// It is over, so whether it was used may be forgotten.
    #[error("it is not of this time")]
    Over,
    /// Used before.
    #[error("it was used before")]
    Replayed,
}

/// What was used, as far back as this remembers.
#[derive(Debug)]
pub struct Once {
    since_ms: i64,
    used: Mutex<Used>,
}

/// Something that may be used once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Single {
    /// Its name, digested with whose it is.
    pub(crate) id: [u8; 32],
    /// The earliest moment at which it can have been used.
    pub(crate) from_ms: i64,
    /// The last moment at which it is good.
    pub(crate) until_ms: i64,
}

#[derive(Debug, Default)]
struct Used {
    /// Each with the last moment at which it is good.
    until_ms: HashMap<[u8; 32], i64>,
    /// When those that are over were last forgotten.
    pruned_ms: i64,
}

impl Once {
    /// Nothing was used yet. What was made before now may have been used where nobody remembers, so it is refused.
    #[must_use]
    pub fn since(now_ms: i64) -> Self {
        Self {
            // They carry whole seconds.
            since_ms: now_ms - now_ms.rem_euclid(1000),
            used: Mutex::default(),
        }
    }

    /// Uses it: once, and while it is good.
    pub(crate) fn take(&self, single: Single, now_ms: i64) -> Result<(), NotOnce> {
        if single.from_ms < self.since_ms {
            return Err(NotOnce::Over);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // What is over may have been forgotten, also by somebody whose clock reading was a little later.
        if now_ms.max(used.pruned_ms) > single.until_ms {
            return Err(NotOnce::Over);
        }
        if used.until_ms.contains_key(&single.id) {
            return Err(NotOnce::Replayed);
        }
        if used.until_ms.len() >= REMEMBERED_MAX {
            if now_ms < used.pruned_ms.saturating_add(PRUNE_MS) {
                return Err(NotOnce::Crowded);
            }
            used.pruned_ms = now_ms;
            used.until_ms.retain(|_, until_ms| now_ms <= *until_ms);
            if used.until_ms.len() >= REMEMBERED_MAX {
                return Err(NotOnce::Crowded);
            }
        }
        used.until_ms.insert(single.id, single.until_ms);
        Ok(())
    }
}
