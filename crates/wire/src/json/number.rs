//! Numbers as text, and the one text RFC 8785 gives each of them.

/// A JSON number as it was written. Nothing is rounded until somebody asks for a machine number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Number<'d>(&'d str);

/// The largest integer a double holds exactly together with all smaller ones: 2^53 - 1.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

impl<'d> Number<'d> {
    pub(super) fn from_text(text: &'d str) -> Self {
        Self(text)
    }

    /// The number as written.
    #[must_use]
    pub fn as_text(self) -> &'d str {
        self.0
    }

    /// The number, if it is written as an integer and fits.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The number, if it is written as an integer that is not negative, and fits.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// The nearest double. The reader has refused numbers that have none.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Whether the number is written without fraction and exponent.
    #[must_use]
    pub fn is_integer_text(self) -> bool {
        !self.0.contains(['.', 'e', 'E'])
    }

    /// Whether a double would lose digits of this integer.
    fn is_unsafe_integer(self) -> bool {
        self.is_integer_text()
            && self
                .0
                .trim_start_matches('-')
                .parse::<u64>()
                .map_or(true, |n| n > SAFE_INTEGER_MAX)
    }

    /// The canonical text: RFC 8785 section 3.2.2.3, that is, ECMAScript's `Number::toString`.
    ///
    /// Integers beyond ±(2^53 − 1) are written as they stand. RFC 8785 leaves them to I-JSON; rounding
    /// them as ECMAScript does would give two different definitions one digest.
    #[must_use]
    pub fn canonical(self) -> String {
        if self.is_unsafe_integer() {
            return self.0.to_owned();
        }
        ryu_js::Buffer::new().format(self.as_f64()).to_owned()
    }
}
