//! What a program usually takes from its surroundings and we are handed: the time and randomness.
//!
//! It must not know who asks or why.

use std::{fmt, sync::Arc};

use thiserror::Error;

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock that asks `now` for the milliseconds since 1970-01-01T00:00:00Z.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The system has no random bytes to give.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the system has no random bytes to give; check `getrandom` in the sandbox's filter")]
pub struct RandomError;

/// A source of random bytes that nobody can predict.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) -> Result<(), RandomError> + Send + Sync;

impl Random {
    /// A source that lets `fill` overwrite a slice.
    pub fn new(fill: impl Fn(&mut [u8]) -> Result<(), RandomError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// The generator of the cryptography provider, seeded by the kernel.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|bytes| aws_lc_rs::rand::fill(bytes).map_err(|_| RandomError))
    }

    /// Overwrites `bytes`.
    ///
    /// # Errors
    /// When the source fails; then `bytes` must not be used.
    pub fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        (self.0)(bytes)
    }

    /// An array of random bytes.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn array<const N: usize>(&self) -> Result<[u8; N], RandomError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
