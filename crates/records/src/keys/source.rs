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

/// Where a secret is. `vault:` and `keyring:` will be further cases.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:PATH`: a file that only its owner can read.
    File(PathBuf),
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
    /// The reference has another form.
    #[error("`{0}` is no reference to a secret; write `env:NAME` or `file:PATH`")]
    Reference(String),
    /// The system refuses.
    #[error("cannot read the secret in `{0}`: {1}")]
    Unreadable(SecretSource, io::Error),
    /// It is short or regular.
    #[error("the secret in `{0}` can be guessed; make one with `openssl rand -hex 32`")]
    Weak(SecretSource),
}

impl SecretSource {
    /// Reads a reference.
    ///
    /// # Errors
    /// When it is not `env:NAME` or `file:PATH`. The text is not repeated, for it may be the secret itself,
    /// put where a reference belongs.
    pub fn from_text(text: &str) -> Result<Self, SecretError> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            // Only a scheme that might have been meant is repeated.
            Some((scheme @ ("keyring" | "vault"), _)) => Err(SecretError::Reference(format!("{scheme}:..."))),
            _ => Err(SecretError::Reference("...".to_owned())),
        }
    }

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
        let written = self.read(disk, environment, KEY_BYTES)?;
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
        }
    }
}

/// Makes a file with a new key of 32 random bytes, for its owner alone.
///
/// # Errors
/// When there is such a file already, or it cannot be written.
pub fn create_key_file(disk: &dyn Disk, path: &Path, random: &Random) -> Result<(), SecretError> {
    let refused = |error| SecretError::Unreadable(SecretSource::File(path.to_owned()), error);
    let key: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(random.array()?);
    let text = Zeroizing::new(format!("{}\n", hex(&*key)));
    disk.create_dir(path.parent().unwrap_or(Path::new("")))
        .map_err(refused)?;
    // Made new or not at all: a root key that is overwritten takes all sealed data with it.
    let file = disk.open(path, How::Create).map_err(refused)?;
    file.write_at(text.as_bytes(), 0)
        .and_then(|()| file.sync())
        .map_err(refused)
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
