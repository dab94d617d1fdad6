//! The generic cell rate algorithm (ITU-T I.371): a token bucket kept as one number, the time at which it
//! will be full again.
//!
//! Times are milliseconds times the rate's amount, so that what comes back in a millisecond is a whole number
//! and nothing is ever rounded.

use super::Rate;

/// A bucket. It begins full. One bucket knows one rate all its life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: u128,
    scale: u128,
}

/// How long until something passes. Ordered: the longer, the greater.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Wait {
    Milliseconds(u64),
    /// It is more than the bucket ever holds.
    Forever,
}

impl Wait {
    pub(super) fn milliseconds(self) -> Option<u64> {
        match self {
            Self::Forever => None,
            Self::Milliseconds(ms) => Some(ms),
        }
    }
}

impl Bucket {
    /// How long until an amount can be taken; none if it can be now.
    pub(super) fn wait(&self, rate: Rate, capacity: u64, amount: u64, now_ms: u64) -> Option<Wait> {
        if amount > capacity {
            return Some(Wait::Forever);
        }
        let now = u128::from(now_ms) * rate.scale();
        let after = self.full_at.max(now).saturating_add(rate.time_for(amount));
        let latest = now.saturating_add(rate.time_for(capacity));
        let missing = after.checked_sub(latest).filter(|missing| *missing > 0)?;
        let ms = u64::try_from(missing.div_ceil(rate.scale())).unwrap_or(u64::MAX);
        Some(Wait::Milliseconds(ms))
    }

    /// Takes an amount, even more than there is.
    pub(super) fn take(&mut self, rate: Rate, amount: u64, now_ms: u64) {
        self.scale = rate.scale();
        let now = u128::from(now_ms) * self.scale;
        self.full_at = self.full_at.max(now).saturating_add(rate.time_for(amount));
    }

    pub(super) fn is_full(&self, now_ms: u64) -> bool {
        self.full_at <= u128::from(now_ms) * self.scale
    }
}
