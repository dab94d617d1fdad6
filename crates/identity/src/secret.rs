//! Secrets: never printed, never compared with `==`, gone from memory when dropped.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use thiserror::Error;
use zeroize::Zeroizing;

/// The shortest secret accepted, in bytes. Generated ones have 43 characters (256 bits).
const SECRET_BYTES_MIN: usize = 16;

/// Words that are in every list of default secrets; a secret may not consist of them.
const WELL_KNOWN: [&str; 12] = [
    "admin",
    "changeme",
    "change-me",
    "default",
    "example",
    "letmein",
    "password",
    "qwerty",
    "secret",
    "test",
    "token",
    "welcome",
];

/// A secret as people or programs present it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// Why a secret is refused.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum WeakSecret {
    /// Shorter than [`SECRET_BYTES_MIN`].
    #[error(
        "the secret is shorter than {SECRET_BYTES_MIN} characters; generate one with `openssl rand -base64 32`"
    )]
    Short,
    /// Made of very few different characters, or of a word everybody tries.
    #[error("the secret is easy to guess; generate one with `openssl rand -base64 32`")]
    Guessable,
}

impl Secret {
    /// Takes a presented secret. It may be a wrong one; only its digest will tell.
    #[must_use]
    pub fn presented(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Takes a secret that is to be relied on.
    ///
    /// # Errors
    /// When it is too weak to rely on.
    pub fn strong(text: String) -> Result<Self, WeakSecret> {
        let secret = Self::presented(text);
        if secret.0.len() < SECRET_BYTES_MIN {
            return Err(WeakSecret::Short);
        }
        let mut different: Vec<u8> = secret.0.bytes().collect();
        different.sort_unstable();
        different.dedup();
        let lower = secret.0.to_ascii_lowercase();
        let residue = WELL_KNOWN.iter().fold(lower, |rest, word| rest.replace(word, ""));
        let digits_only = residue.chars().all(|c| !c.is_alphabetic());
        if different.len() < 6 || (digits_only && residue.len() < SECRET_BYTES_MIN) {
            return Err(WeakSecret::Guessable);
        }
        Ok(secret)
    }

    /// The secret itself. Every use of this word is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret's keyed digest: enough to recognise the secret, useless to whoever steals the table alone.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Digests a secret under the gateway's own key.
    #[must_use]
    pub fn of(secret: &Secret, key: &hmac::Key) -> Self {
        let tag = hmac::sign(key, secret.expose().as_bytes());
        let mut bytes = [0; 32];
        // HMAC-SHA-256 has 32 bytes; a shorter tag would leave zeros and match nothing.
        for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// Reads a stored digest.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest, to be stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether it is the digest of this secret; in constant time.
    #[must_use]
    pub fn is_of(&self, secret: &Secret, key: &hmac::Key) -> bool {
        let presented = Self::of(secret, key);
        constant_time::verify_slices_are_equal(&self.0, &presented.0).is_ok()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out
        .iter_mut()
        .zip(digest::digest(&digest::SHA256, bytes).as_ref())
    {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests;
