//! PKCE (RFC 7636), the one method in use: the digest goes ahead, what it is of follows.

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::secret::sha256;

/// What is said of a verifier before it is shown (`S256`).
#[must_use]
pub fn pkce_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()))
}

/// Whether a verifier is one, and what the challenge is the digest of.
pub(super) fn is_verified_by(challenge: &str, verifier: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if !(43..=128).contains(&verifier.len()) || !verifier.chars().all(letter) {
        return false;
    }
    let digest = pkce_challenge(verifier);
    constant_time::verify_slices_are_equal(digest.as_bytes(), challenge.as_bytes()).is_ok()
}
