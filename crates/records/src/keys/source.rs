//! Where secrets come from: by reference only, never from a configuration file itself.
//!
//! A secret that others can read, or that can be guessed, is refused with a remedy. It must not know what
//! a secret is for.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Secret;
use crate::{
    ambient::{Random, RandomError},
    digest::{from_hex, hex},
    disk::{Disk, How},
};

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Longest secret read, in bytes.
const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Fewest different bytes of a secret that is not suspected to be typed by hand.
const DIFFERENT_BYTES_MIN: usize = 8;

/// Where a secret is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:PATH`: a file that only its owner can read.
    File(PathBuf),
    /// A place of another name that somebody else reads: what is there is handed to [`Self::key`].
    Named(String),
}

/// Why a secret is not used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// It has another length than it must have.
    #[error(
        "the secret in `{0}` must be {1} bytes as hexadecimal digits or base64; make one with `openssl rand -hex {1}`"
    )]
    Length(SecretSource, usize),
    /// There is no such variable or file.
    #[error("there is no secret in `{0}`; set it, or name another place")]
    Missing(SecretSource),
    /// No randomness to make a key of.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Others can read the file.
    #[error(
        "`{path}` can be read by others (mode {mode:03o}); run `chmod 600 {path}`, and replace the secret"
    )]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The system refuses.
    #[error("cannot read the secret in `{0}`: {1}")]
    Unreadable(SecretSource, io::Error),
    /// It is short or regular.
    #[error("the secret in `{0}` can be guessed; make one with `openssl rand -hex 32`")]
    Weak(SecretSource),
}

impl SecretSource {
    /// The secret, as it stands there but for a newline at its end.
    ///
    /// `environment` gives the value of an environment variable.
    ///
    /// # Errors
    /// When it is missing, empty, can be read by others, or can be guessed: shorter than `bytes_min` or of
    /// fewer than eight different bytes.
    pub fn read(
        &self,
        disk: &dyn Disk,
        environment: &dyn Fn(&str) -> Option<String>,
        bytes_min: usize,
    ) -> Result<Secret, SecretError> {
        let mut bytes = match self {
            Self::Env(name) => environment(name).map(String::into_bytes),
            Self::File(path) => {
                let refused = |error| SecretError::Unreadable(self.clone(), error);
                let bytes = disk.read(path, SECRET_BYTES_MAX).map_err(refused)?;
                if bytes.is_some() {
                    private(disk, path)?;
                }
                bytes
            }
            Self::Named(_) => None,
        }
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| SecretError::Missing(self.clone()))?;
        while bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        let secret = Secret::new(bytes);
        if secret.expose().len() < bytes_min || is_regular(secret.expose()) {
            return Err(SecretError::Weak(self.clone()));
        }
        Ok(secret)
    }

    /// A key of 32 bytes, written as 64 hexadecimal digits or in base64.
    ///
    /// # Errors
    /// As [`Self::read`], and when it is not 32 bytes.
    pub fn read_key(
        &self,
        disk: &dyn Disk,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Secret, SecretError> {
        self.key(&self.read(disk, environment, KEY_BYTES)?)
    }

    /// A key of 32 bytes out of what stands in this place.
    ///
    /// # Errors
    /// When it is not 32 bytes, as hexadecimal digits or base64, or can be guessed.
    pub fn key(&self, written: &Secret) -> Result<Secret, SecretError> {
        let text = str::from_utf8(written.expose()).unwrap_or_default().trim();
        let digits = Zeroizing::new(text.to_ascii_lowercase());
        let key = from_hex(&digits).or_else(|| BASE64.decode(text).ok());
        let key = key.filter(|key| key.len() == KEY_BYTES).map(Secret::new);
        let key = key.ok_or_else(|| SecretError::Length(self.clone(), KEY_BYTES))?;
        if is_regular(key.expose()) {
            return Err(SecretError::Weak(self.clone()));
        }
        Ok(key)
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// Makes a file with a new key of 32 random bytes, for its owner alone.
///
/// # Errors
/// When there is such a file already, or it cannot be written.
pub fn create_key_file(disk: &dyn Disk, path: &Path, random: &Random) -> Result<(), SecretError> {
    let refused = |error| SecretError::Unreadable(SecretSource::File(path.to_owned()), error);
    let text = new_key(random)?;
    disk.create_dir(path.parent().unwrap_or(Path::new("")))
        .map_err(refused)?;
    // Made new or not at all: a root key that is overwritten takes all sealed data with it.
    let file = disk.open(path, How::Create).map_err(refused)?;
    file.write_at(text.expose(), 0)
        .and_then(|()| file.sync())
        .map_err(refused)
}

/// A new key of 32 random bytes as it is written down.
///
/// # Errors
/// When there is no randomness.
pub fn new_key(random: &Random) -> Result<Secret, RandomError> {
    let key: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(random.array()?);
    Ok(Secret::new(format!("{}\n", hex(&*key)).into_bytes()))
}

/// Refuses a file that anybody but its owner can read or write.
pub(crate) fn private(disk: &dyn Disk, path: &Path) -> Result<(), SecretError> {
    match disk.mode(path) {
        Ok(mode) if mode & 0o077 != 0 => Err(SecretError::Readable {
            path: path.to_owned(),
            mode,
        }),
        Ok(_) => Ok(()),
        Err(error) => Err(SecretError::Unreadable(
            SecretSource::File(path.to_owned()),
            error,
        )),
    }
}

fn is_regular(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(place) = seen.get_mut(usize::from(*byte)) {
            *place = true;
        }
    }
    seen.iter().filter(|seen| **seen).count() < DIFFERENT_BYTES_MIN
}
