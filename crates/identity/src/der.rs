//! DER (X.690) as far as it takes to find what certificates say. It judges nothing: chains and signatures are for
//! `webpki`.

/// Values of DER, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Der<'a>(pub &'a [u8]);

/// One value: its tag, what is in it, and the whole of it.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// Its tag.
    pub tag: u8,
    /// What is in it.
    pub inner: &'a [u8],
    /// All of it.
    pub whole: &'a [u8],
}

impl<'a> Iterator for Der<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f).min(5))?;
            let length = bytes.iter().try_fold(0_usize, |n, byte| {
                n.checked_mul(256)?.checked_add(usize::from(*byte))
            })?;
            (length, rest)
        };
        // Tags of more than one byte and lengths without end are not DER as certificates have it.
        if tag & 0x1f == 0x1f || first == 0x80 {
            return None;
        }
        let (inner, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some(Value { tag, inner, whole })
    }
}

impl<'a> Value<'a> {
    /// The values in it.
    #[must_use]
    pub fn values(self) -> Der<'a> {
        Der(self.inner)
    }
}

/// Seconds since 1970 of a `UTCTime` or `GeneralizedTime` in UTC (RFC 5280 section 4.1.2.5).
#[must_use]
pub fn moment(value: Value<'_>) -> Option<u64> {
    let text = std::str::from_utf8(value.inner).ok()?;
    let century = match value.tag {
        0x17 if text.get(..2)? < "50" => "20",
        0x17 => "19",
        _ => "",
    };
    let text = format!("{century}{text}");
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    // Of the civil calendar, with March as the first month.
    let (year, month) = if month <= 2 {
        (year.checked_sub(1)?, month + 9)
    } else {
        (year, month - 3)
    };
    let days = (year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day)
        .checked_sub(719_469)?;
    Some(days * 86_400 + part(8, 10)? * 3_600 + part(10, 12)? * 60 + part(12, 14)?)
}

#[cfg(test)]
mod tests {
    use super::{Der, Value, moment};

    #[test]
    fn values_come_one_after_the_other() {
        let mut two = Der(b"\x02\x01\x05\x04\x00");
        assert_eq!(two.next().map(|value| value.inner), Some(&[5_u8][..]));
        assert_eq!(two.next().map(|value| value.whole), Some(&b"\x04\x00"[..]));
        assert!(two.next().is_none());
    }

    #[test]
    fn times_are_seconds() {
        let of = |tag, inner: &'static str| {
            moment(Value {
                tag,
                inner: inner.as_bytes(),
                whole: &[],
            })
        };
        assert_eq!(of(0x17, "700101000000Z"), Some(0));
        assert_eq!(of(0x17, "000228235959Z"), Some(951_782_399));
        assert_eq!(of(0x17, "261122000000Z"), Some(1_795_305_600));
        assert_eq!(of(0x18, "20500101000000Z"), Some(2_524_608_000));
        for bad in ["", "70", "7001x1000000Z", "\u{e9}01010000"] {
            assert_eq!(of(0x17, bad), None, "{bad}");
        }
    }
}
