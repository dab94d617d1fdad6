//! One-time codes by time (RFC 6238): HMAC-SHA-1, six digits, thirty seconds, as every authenticator program has them.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use zeroize::Zeroizing;

/// How long a code is good, in seconds.
const STEP_S: i64 = 30;
/// How many steps the clock of a phone may differ.
const STEPS_OFF: i64 = 1;
/// The shortest secret taken, in bytes (RFC 4226, section 4).
const SECRET_BYTES_MIN: usize = 16;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The secret a person's authenticator has, too.
#[derive(Clone)]
pub struct Totp(Zeroizing<Vec<u8>>);

impl Totp {
    /// Reads a secret in base 32, as authenticators show it; blanks and case do not count. None where it is none, or
    /// shorter than 128 bits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new(Vec::new());
        let (mut held, mut bits) = (0_u32, 0_u32);
        let letters = text.trim_end_matches('=').bytes();
        for letter in letters.filter(|letter| *letter != b' ') {
            let letter = letter.to_ascii_uppercase();
            let value = ALPHABET.iter().position(|known| *known == letter)?;
            held = ((held << 5) | u32::try_from(value).ok()?) & 0xFFFF;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from((held >> bits) & 0xFF).ok()?);
            }
        }
        (bytes.len() >= SECRET_BYTES_MIN).then_some(Self(bytes))
    }

    /// A new one of these random bytes.
    #[must_use]
    pub fn of(bytes: [u8; 20]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The secret in base 32.
    #[must_use]
    pub fn to_base32(&self) -> String {
        let mut out = String::new();
        let (mut held, mut bits) = (0_u32, 0_u32);
        let mut put = |value: u32| {
            let letter = ALPHABET.get(usize::try_from(value & 31).unwrap_or(0));
            out.push(letter.map_or('A', |letter| char::from(*letter)));
        };
        for byte in self.0.iter() {
            held = ((held << 8) | u32::from(*byte)) & 0xFFFF;
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                put(held >> bits);
            }
        }
        if bits > 0 {
            put(held << (5 - bits));
        }
        out
    }

    /// The step a code is good for now, if it is one after `used`: each is good once (RFC 6238, section 5.2).
    #[must_use]
    pub fn accept(&self, code: &str, now_ms: i64, used: Option<i64>) -> Option<i64> {
        let now = now_ms.div_euclid(STEP_S * 1000);
        let steps = (now - STEPS_OFF)..=(now + STEPS_OFF);
        let mut found = None;
        for step in steps.filter(|step| used.is_none_or(|used| *step > used)) {
            let right = constant_time::verify_slices_are_equal(self.at(step).as_bytes(), code.as_bytes());
            if right.is_ok() {
                found = Some(step);
            }
        }
        found
    }

    /// The code of a step (RFC 4226, section 5.3).
    fn at(&self, step: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().copied().unwrap_or(0) & 0x0F);
        let word = tag
            .iter()
            .skip(offset)
            .take(4)
            .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        format!("{:06}", (word & 0x7FFF_FFFF) % 1_000_000)
    }

    /// The code that is good now: what an authenticator shows.
    #[must_use]
    pub fn now(&self, now_ms: i64) -> String {
        self.at(now_ms.div_euclid(STEP_S * 1000))
    }
}

impl fmt::Debug for Totp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Totp(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Totp;

    fn of_the_rfc() -> Totp {
        Totp::parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").expect("12345678901234567890")
    }

    /// RFC 6238, appendix B, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(of_the_rfc().now(seconds * 1000), code, "{seconds}");
        }
    }

    #[test]
    fn a_code_is_good_once_and_for_a_short_time() {
        let totp = of_the_rfc();
        let code = totp.now(59_000);
        let step = totp.accept(&code, 59_000, None).expect("good");
        assert_eq!(totp.accept(&code, 59_000, Some(step)), None, "used before");
        assert!(totp.accept(&code, 61_000, None).is_some(), "a clock that is late");
        assert!(
            totp.accept(&code, 29_000, None).is_some(),
            "a clock that is early"
        );
        for (what, code, now_ms) in [
            ("too old", code.as_str(), 90_000),
            ("too early", code.as_str(), -31_000),
            ("wrong", "287083", 59_000),
            ("shorter", "28708", 59_000),
            ("longer", "2870820", 59_000),
            ("nothing", "", 59_000),
        ] {
            assert_eq!(totp.accept(code, now_ms, None), None, "{what}");
        }
    }

    #[test]
    fn secrets_are_written_as_they_are_read() {
        let new = Totp::of([0xA5; 20]);
        let again = Totp::parse(&new.to_base32()).expect("base 32");
        assert_eq!(new.now(0), again.now(0));
        assert_eq!(of_the_rfc().to_base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let spaced = Totp::parse("gezd gnbv gy3t qojq gezd gnbv gy3t qojq").expect("as shown");
        assert_eq!(spaced.now(59_000), "287082");
        for bad in [
            "",
            "GEZDGNBV",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1",
            "not base 32 at all, is it?",
        ] {
            assert!(Totp::parse(bad).is_none(), "{bad}");
        }
    }
}
