//! Meters by key, bounded.
//!
//! A meter is forgotten only when that changes nothing: it is full, nobody is in flight, and what it has
//! counted in all is long past. When all places are taken by meters that matter, newcomers to a limit share
//! one meter: an attacker with many names competes with itself and cannot make us forget anybody.

use std::collections::HashMap;

use super::bucket::Bucket;

/// How long a total that is used up by a tenth or more is kept after the last call. Contexts end sooner.
const TOTAL_KEPT_MS: u64 = 24 * 3_600_000;
/// How long a smaller one is kept, so that many names with a call each do not fill the room.
const SMALL_TOTAL_KEPT_MS: u64 = 600_000;
/// How often a full shard is searched for meters to forget.
const SWEEP_EVERY_MS: u64 = 1_000;

/// What one key has used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    pub(super) calls: Bucket,
    pub(super) bytes: Bucket,
    pub(super) cost: Bucket,
    pub(super) in_flight: u32,
    /// Calls in all, where the limit has a total.
    pub(super) total: u64,
    /// Whether a tenth or more of the total is used up.
    is_heavy: bool,
    last_ms: u64,
}

/// A part of all meters.
#[derive(Debug)]
pub(super) struct Shard {
    meters: HashMap<Box<str>, Meter>,
    keys_max: usize,
    swept_ms: Option<u64>,
}

impl Meter {
    pub(super) fn enter(&mut self, total_max: Option<u64>) {
        self.in_flight = self.in_flight.saturating_add(1);
        if let Some(most) = total_max {
            self.total = self.total.saturating_add(1);
            self.is_heavy = self.total >= most / 10;
        }
    }

    pub(super) fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn matters(&self, now_ms: u64) -> bool {
        let kept_ms = if self.is_heavy {
            TOTAL_KEPT_MS
        } else {
            SMALL_TOTAL_KEPT_MS
        };
        let counted = self.total > 0 && now_ms.saturating_sub(self.last_ms) < kept_ms;
        let full = [self.calls, self.bytes, self.cost]
            .iter()
            .all(|bucket| bucket.is_full(now_ms));
        self.in_flight > 0 || !full || counted
    }
}

impl Shard {
    pub(super) fn new(keys_max: usize) -> Self {
        Self {
            meters: HashMap::new(),
            keys_max,
            swept_ms: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.meters.len()
    }

    /// The meter of a key. When there is no room for it, the one all newcomers to this limit share, and `key`
    /// becomes that one's.
    pub(super) fn meter(&mut self, key: &mut Box<str>, limit: &str, now_ms: u64) -> &mut Meter {
        if !self.meters.contains_key(key) && self.meters.len() >= self.keys_max {
            self.sweep(now_ms);
            if self.meters.len() >= self.keys_max {
                *key = format!("newcomers to {limit}").into();
            }
        }
        let meter = self.meters.entry(key.clone()).or_default();
        meter.last_ms = now_ms;
        meter
    }

    /// The meter of a key that was given out before.
    pub(super) fn known(&mut self, key: &str) -> Option<&mut Meter> {
        self.meters.get_mut(key)
    }

    fn sweep(&mut self, now_ms: u64) {
        let due = self
            .swept_ms
            .is_none_or(|swept| now_ms.saturating_sub(swept) >= SWEEP_EVERY_MS);
        if due {
            self.meters.retain(|_, meter| meter.matters(now_ms));
            self.swept_ms = Some(now_ms);
        }
    }
}
