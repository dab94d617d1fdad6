//! Time and chance: the two things that are not arguments anywhere else. Everything that needs them is given
//! an [`Ambient`].

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use pipeline::CallId;
use records::digest::hex;

/// Where time and chance come from.
#[derive(Clone)]
pub(crate) struct Ambient {
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
    began: Instant,
    random: Arc<SystemRandom>,
}

impl Ambient {
    /// The system's.
    pub(crate) fn system() -> Self {
        let now = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        };
        Self {
            now: Arc::new(now),
            began: Instant::now(),
            random: Arc::new(SystemRandom::new()),
        }
    }

    /// The system's, with a clock that a test sets.
    #[cfg(test)]
    pub(crate) fn by(clock: Arc<std::sync::atomic::AtomicI64>) -> Self {
        Self {
            now: Arc::new(move || clock.load(std::sync::atomic::Ordering::Relaxed)),
            ..Self::system()
        }
    }

    /// Now, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        (self.now)()
    }

    /// Milliseconds since this began, by a clock that nobody sets.
    pub(crate) fn steady_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// A name nobody can guess and nobody else has: 128 bits, in hexadecimal digits. People type names as
    /// arguments of a command, where one that starts with `-` would be read as an option.
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::from(hex(&self.bytes::<16>()))
    }

    /// A secret: 256 bits.
    pub(crate) fn secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes::<32>())
    }

    /// The name of a message's passage.
    pub(crate) fn call(&self) -> CallId {
        CallId(self.name())
    }

    /// Random bytes.
    ///
    /// A machine without randomness cannot be guarded; there is nothing sensible left to do on it.
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self.random.fill(&mut bytes) {
            Ok(()) => bytes,
            Err(_) => std::process::abort(),
        }
    }
}

impl std::fmt::Debug for Ambient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ambient")
    }
}

#[cfg(test)]
mod tests {
    use super::Ambient;

    /// The bug: one approval of 64 could not be decided at the command line, since its name started with `-`.
    #[test]
    fn no_name_is_read_as_an_option() {
        let ambient = Ambient::system();
        for _ in 0..1000 {
            let name = ambient.name();
            assert!(
                name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{name}"
            );
        }
    }
}
