//! Nonces a server wants to find in proofs of possession (RFC 9449, section 8). Nothing is kept of them: each is the time
//! it was given, in windows, with a tag that only this server can make. A proof with one was made after the window began,
//! whatever its maker's clock says, so that none can be made in advance.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// How long a window is, in milliseconds. The one before still counts.
const WINDOW_MS: i64 = 60 * 1000;
/// Bytes of the window's number, and of the tag.
const NUMBER_BYTES: usize = 8;
const TAG_BYTES: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Nonces(hmac::Key);

/// A nonce that is not one of now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stale;

impl Nonces {
    /// Those of a server with this secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The nonce of now.
    #[must_use]
    pub fn now(&self, now_ms: i64) -> String {
        self.of(now_ms.div_euclid(WINDOW_MS))
    }

    /// Whether a nonce is of now, or of the window before.
    ///
    /// # Errors
    /// When it is older, of the future, or of somebody else.
    pub fn check(&self, nonce: &str, now_ms: i64) -> Result<(), Stale> {
        let window = now_ms.div_euclid(WINDOW_MS);
        let is = |window: i64| {
            let wanted = self.of(window);
            aws_lc_rs::constant_time::verify_slices_are_equal(wanted.as_bytes(), nonce.as_bytes()).is_ok()
        };
        if is(window) || is(window - 1) {
            Ok(())
        } else {
            Err(Stale)
        }
    }

    fn of(&self, window: i64) -> String {
        let number: [u8; NUMBER_BYTES] = window.to_be_bytes();
        let tag = hmac::sign(&self.0, &[b"dpop nonce ".as_slice(), &number].concat());
        let tag = tag.as_ref().get(..TAG_BYTES).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([number.as_slice(), tag].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_window_and_the_next_at_its_server() {
        let (ours, theirs) = (Nonces::new(b"one secret"), Nonces::new(b"another"));
        let now_ms = 1_700_000_000_123;
        let nonce = ours.now(now_ms);
        assert_eq!(nonce.len(), 32);
        for age_ms in [0, WINDOW_MS / 2, WINDOW_MS] {
            assert_eq!(ours.check(&nonce, now_ms + age_ms), Ok(()), "{age_ms}");
        }
        for age_ms in [2 * WINDOW_MS, 24 * WINDOW_MS, -WINDOW_MS] {
            assert_eq!(ours.check(&nonce, now_ms + age_ms), Err(Stale), "{age_ms}");
        }
        assert_eq!(theirs.check(&nonce, now_ms), Err(Stale));
        for changed in [
            "",
            "A",
            &nonce.replace('A', "B"),
            &format!("{nonce}A"),
            nonce.get(1..).unwrap_or(""),
        ] {
            assert_eq!(ours.check(changed, now_ms), Err(Stale), "{changed}");
        }
    }
}
