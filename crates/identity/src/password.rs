//! Passwords of people, known by their Argon2id hash alone (RFC 9106), in the PHC string format.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use thiserror::Error;

use crate::{Secret, secret::sha256};

/// The least work, in KiB times passes: what OWASP's weakest recommendation comes to.
const WORK_MIN: u64 = 35_840;
/// The most of each, so that nobody's login takes the machine.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 4;
/// What new hashes are made with: OWASP's first recommendation for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// The length of new hashes, in bytes.
const HASH_BYTES: usize = 32;

/// The hash of a password.
#[derive(Clone)]
pub struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// Why a text is no hash to rely on.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PasswordHashError {
    /// Not of the form.
    #[error("it is not a PHC string of Argon2id, `$argon2id$v=19$m=..,t=..,p=..$SALT$HASH`")]
    Malformed,
    /// Too quick to compute.
    #[error("it is too quick to guess: memory (KiB) times passes is below {WORK_MIN}")]
    Weak,
    /// Too slow to compute.
    #[error("computing it takes too much of this machine")]
    Expensive,
}

impl PasswordHash {
    /// Reads a PHC string.
    ///
    /// # Errors
    /// When it is none of Argon2id, or its cost is out of bounds.
    pub fn parse(text: &str) -> Result<Self, PasswordHashError> {
        let malformed = || PasswordHashError::Malformed;
        let mut parts = text.trim().split('$');
        let mut part = || parts.next().ok_or_else(malformed);
        let head = (part()?, part()?, part()?);
        let (cost, salt, hash) = (part()?, part()?, part()?);
        if head != ("", "argon2id", "v=19") || parts.next().is_some() {
            return Err(malformed());
        }
        let mut costs = cost.split(',');
        let mut cost = |name: &str| -> Result<u32, PasswordHashError> {
            let value = costs.next().and_then(|cost| cost.strip_prefix(name));
            value.and_then(|value| value.parse().ok()).ok_or_else(malformed)
        };
        let (memory_kib, passes, lanes) = (cost("m=")?, cost("t=")?, cost("p=")?);
        if costs.next().is_some() {
            return Err(malformed());
        }
        if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || !(1..=LANES_MAX).contains(&lanes) {
            return Err(PasswordHashError::Expensive);
        }
        if u64::from(memory_kib) * u64::from(passes) < WORK_MIN {
            return Err(PasswordHashError::Weak);
        }
        let bytes = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| malformed());
        let (salt, hash) = (bytes(salt)?, bytes(hash)?);
        if !(8..=64).contains(&salt.len()) || !(16..=64).contains(&hash.len()) {
            return Err(malformed());
        }
        Ok(Self {
            memory_kib,
            passes,
            lanes,
            salt,
            hash,
        })
    }

    /// Hashes a new password with this salt.
    #[must_use]
    pub fn of(password: &Secret, salt: [u8; 16]) -> Option<Self> {
        let mut new = Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: 1,
            salt: salt.to_vec(),
            hash: vec![0; HASH_BYTES],
        };
        new.hash = new.compute(password)?;
        Some(new)
    }

    /// A hash that no password has, and that takes as long as any: for names nobody has.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: 1,
            salt: vec![0; 16],
            hash: vec![0; HASH_BYTES],
        }
    }

    /// Whether it is the hash of this password. Takes its time: tens of milliseconds.
    #[must_use]
    pub fn is_of(&self, password: &Secret) -> bool {
        let computed = self.compute(password);
        computed.is_some_and(|hash| constant_time::verify_slices_are_equal(&hash, &self.hash).is_ok())
    }

    /// Tells one hash from another without saying anything of either.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(self.to_string().as_bytes())
    }

    fn compute(&self, password: &Secret) -> Option<Vec<u8>> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(self.hash.len())).ok()?;
        let mut hash = vec![0; self.hash.len()];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.expose().as_bytes(), &self.salt, &mut hash)
            .ok()?;
        Some(hash)
    }
}

/// The PHC string.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "$argon2id$v=19$m={},t={},p={}${}${}",
            self.memory_kib,
            self.passes,
            self.lanes,
            STANDARD_NO_PAD.encode(&self.salt),
            STANDARD_NO_PAD.encode(&self.hash)
        )
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::{PasswordHash, PasswordHashError};
    use crate::Secret;

    fn secret(text: &str) -> Secret {
        Secret::presented(text.to_owned())
    }

    #[test]
    fn a_password_is_known_by_its_hash_and_no_other_is() {
        let hash = PasswordHash::of(&secret("correct horse"), [7; 16]).expect("a hash");
        let text = hash.to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let read = PasswordHash::parse(&text).expect("a PHC string");
        assert!(read.is_of(&secret("correct horse")));
        for wrong in ["correct horse ", "Correct horse", ""] {
            assert!(!read.is_of(&secret(wrong)), "{wrong:?}");
        }
        assert!(!PasswordHash::of_nobody().is_of(&secret("")));
        assert!(!format!("{read:?}").contains("argon2id"));
    }

    /// By the reference implementation's command: `echo -n 'correct horse' | argon2 somesaltsomesalt -id -t 3 -m 14 -p 1
    /// -l 32 -e`, of Debian's package `argon2`.
    #[test]
    fn hashes_of_other_programs_are_read() {
        let theirs = "$argon2id$v=19$m=16384,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$T/V/JP4PFH3PPoJp+krqgWzH5u/Feoy7gvE1Mk9Lr4Y";
        assert!(
            PasswordHash::parse(theirs)
                .expect("a PHC string")
                .is_of(&secret("correct horse"))
        );
    }

    #[test]
    fn what_is_not_fit_to_be_relied_on_is_refused() {
        use PasswordHashError::{Expensive, Malformed, Weak};
        let (salt, hash) = ("c29tZXNhbHQ", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let with = |head: &str| format!("{head}${salt}${hash}");
        for (text, expected) in [
            (String::new(), Malformed),
            ("hunter2".to_owned(), Malformed),
            ("$2b$12$abcdefghijklmnopqrstuv".to_owned(), Malformed),
            (with("$argon2i$v=19$m=65536,t=3,p=1"), Malformed),
            (with("$argon2id$v=16$m=65536,t=3,p=1"), Malformed),
            (with("$argon2id$m=65536,t=3,p=1"), Malformed),
            (with("$argon2id$v=19$t=3,m=65536,p=1"), Malformed),
            (with("$argon2id$v=19$m=65536,t=3,p=1,x=1"), Malformed),
            (
                format!("{}$more", with("$argon2id$v=19$m=65536,t=3,p=1")),
                Malformed,
            ),
            (format!("$argon2id$v=19$m=65536,t=3,p=1${salt}$AAAA"), Malformed),
            (with("$argon2id$v=19$m=4096,t=3,p=1"), Weak),
            (with("$argon2id$v=19$m=19456,t=0,p=1"), Weak),
            (with("$argon2id$v=19$m=4000000000,t=1,p=1"), Expensive),
            (with("$argon2id$v=19$m=65536,t=1000,p=1"), Expensive),
            (with("$argon2id$v=19$m=65536,t=3,p=64"), Expensive),
            (with("$argon2id$v=19$m=65536,t=3,p=0"), Expensive),
        ] {
            assert_eq!(PasswordHash::parse(&text).err(), Some(expected), "{text}");
        }
    }
}
