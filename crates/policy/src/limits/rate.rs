//! Rates as people write them: `600/min`, `100/5min`, `10 MB/hour`.

use std::fmt;

use thiserror::Error;

/// An amount per period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    amount: u64,
    period_ms: u64,
}

/// Why a text is not a rate.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is not a rate; write an amount and a period, such as `600/min`, `100/5min` or `10MB/hour`")]
pub struct RateError(String);

/// What stands after an amount, and what it stands for.
const SIZES: [(&str, u64); 7] = [
    ("", 1),
    ("B", 1),
    ("k", 1_000),
    ("kB", 1_000),
    ("M", 1_000_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];
/// Periods in milliseconds.
const PERIODS: [(&str, u64); 14] = [
    ("ms", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("second", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("minute", 60_000),
    ("h", 3_600_000),
    ("hour", 3_600_000),
    ("d", 86_400_000),
    ("day", 86_400_000),
    ("w", 604_800_000),
    ("week", 604_800_000),
    ("month", 2_592_000_000),
];

impl Rate {
    /// Reads a rate.
    ///
    /// # Errors
    /// When it is of another form, or one of its numbers is zero or too large.
    pub fn parse(text: &str) -> Result<Self, RateError> {
        let read = || {
            let (amount, period) = text.split_once('/')?;
            Some(Self {
                amount: quantity(amount, &SIZES)?,
                period_ms: quantity_or_one(period, &PERIODS)?,
            })
        };
        read().ok_or_else(|| RateError(text.to_owned()))
    }

    /// So many a minute.
    #[must_use]
    pub fn per_minute(amount: u64) -> Self {
        Self {
            amount: amount.max(1),
            period_ms: 60_000,
        }
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        Self {
            amount: self.amount.saturating_mul(factor),
            ..self
        }
    }

    /// This, or what is more over time.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        let own = u128::from(self.amount) * u128::from(other.period_ms);
        if own < u128::from(other.amount) * u128::from(self.period_ms) {
            other
        } else {
            self
        }
    }

    /// How much in one period.
    #[must_use]
    pub fn amount(self) -> u64 {
        self.amount
    }

    /// What a millisecond counts in [`Rate::time_for`].
    pub(super) fn scale(self) -> u128 {
        u128::from(self.amount)
    }

    /// How long it takes for an amount to come back, in milliseconds times [`Rate::scale`].
    pub(super) fn time_for(self, amount: u64) -> u128 {
        u128::from(amount) * u128::from(self.period_ms)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, ms): &&(&str, u64)| self.period_ms.is_multiple_of(*ms);
        let (unit, ms) = PERIODS.iter().rev().find(fits).copied().unwrap_or(("ms", 1));
        match self.period_ms / ms {
            1 => write!(f, "{}/{unit}", self.amount),
            n => write!(f, "{}/{n}{unit}", self.amount),
        }
    }
}

/// A number and a unit.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim())?;
    let number: u64 = number.parse().ok()?;
    number.checked_mul(*size).filter(|quantity| *quantity > 0)
}

/// A unit, perhaps with a number.
fn quantity_or_one(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let counted = text.starts_with(|c: char| c.is_ascii_digit());
    let (_, size) = match units.iter().find(|(name, _)| *name == text) {
        Some(unit) => unit,
        None if counted => return quantity(text, units),
        None => return None,
    };
    Some(*size)
}
