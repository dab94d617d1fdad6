//! Fixed-point numbers of the policy language: four digits after the point, nothing is ever rounded.

use std::fmt;

/// Digits after the point.
const DIGITS: usize = 4;
/// Ten to the [`DIGITS`].
const ONE: i64 = 10_000;

/// A number with up to four digits after the point, between ±922337203685477.5807.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Decimal(i64);

impl Decimal {
    /// Reads `12.34`: digits on both sides of the point, at most four after it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.')?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let well_formed = digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(fraction);
        (well_formed && fraction.len() <= DIGITS)
            .then(|| Self::exactly(text))
            .flatten()
    }

    /// How many ten thousandths it is.
    pub(super) fn ten_thousandths(self) -> i64 {
        self.0
    }

    /// The value of a JSON number, if it has one exactly; `1e2` and `1.50000` have.
    #[must_use]
    pub fn exactly(number: &str) -> Option<Self> {
        scaled(number, 4).map(Self)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0 / ONE, self.0 % ONE);
        write!(f, "{sign}{}.{:04}", whole.unsigned_abs(), rest.unsigned_abs())
    }
}

/// The integer a JSON number stands for, if it is one exactly; `1.0` and `1e2` are.
pub(super) fn integer(number: &str) -> Option<i64> {
    scaled(number, 0)
}

/// The number times ten to the `power`, if that is an integer that fits.
fn scaled(number: &str, power: i32) -> Option<i64> {
    let (negative, unsigned) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let all = [whole, fraction].concat();
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let trimmed = significant.trim_end_matches('0');
    let zeros = i32::try_from(significant.len() - trimmed.len()).ok()?;
    let shift = exponent
        .checked_sub(i32::try_from(fraction.len()).ok()?)?
        .checked_add(zeros)?
        .checked_add(power)?;
    let factor = 10_i128.checked_pow(u32::try_from(shift).ok()?)?;
    let digits: i128 = trimmed.parse().ok()?;
    let value = digits.checked_mul(factor)?;
    i64::try_from(if negative { -value } else { value }).ok()
}
