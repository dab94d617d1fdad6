//! A secret: bytes that do not print, do not compare and do not linger.

use std::fmt;

use zeroize::Zeroizing;

/// Secret bytes. They are overwritten when dropped; `Debug` shows none of them, and there is no `==`,
/// which would tell by its time how much of a guess was right.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes bytes for a secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one use at hand.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}
