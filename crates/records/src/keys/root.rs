//! What seals a key ring: a root key that is here, or a key of the ring's own that somebody keeps wrapped for us (a
//! token, a service) with a key nobody gets to see.
//!
//! It must not know who keeps it or how they are reached.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::constant_time;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;

use super::{Secret, sign::SEED_BYTES};
use crate::ambient::{Random, RandomError};

/// Somebody who wraps keys with one that never leaves them.
pub trait RootKeeper: fmt::Debug + Send + Sync {
    /// What messages, the ring and the ledger call the key. Nothing secret.
    fn name(&self) -> String;

    /// Wraps a key.
    ///
    /// # Errors
    /// When they cannot be reached, or refuse.
    fn wrap(&self, key: &Secret) -> Result<Vec<u8>, KeeperError>;

    /// Gives a key back that they wrapped.
    ///
    /// # Errors
    /// As [`Self::wrap`], and when they did not wrap it.
    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret, KeeperError>;
}

/// Why a keeper gives nothing.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// They cannot be reached, or refuse.
    #[error("{keeper}: {what}; {remedy}")]
    Refused {
        /// Who.
        keeper: String,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// No randomness to make a key of.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What opens a ring and seals it again.
#[derive(Clone, Debug)]
pub enum Root {
    /// The key itself.
    Key(Secret),
    /// Somebody keeps it.
    Kept(Kept),
}

impl From<Secret> for Root {
    fn from(key: Secret) -> Self {
        Self::Key(key)
    }
}

/// Rings of one process whose keys are remembered: that of its log, a shared one, and those that take their places.
const TOLD_MAX: usize = 4;

/// A keeper, and the keys they gave last: whoever opens the same ring again, or saves it, does not ask again. So a keeper
/// who goes away stops the next start and not the process that runs.
#[derive(Clone, Debug)]
pub struct Kept {
    keeper: Arc<dyn RootKeeper>,
    last: Arc<Mutex<Vec<Told>>>,
}

/// What a keeper gave.
#[derive(Debug)]
struct Told {
    wrapped: Vec<u8>,
    key: Secret,
}

impl Kept {
    /// Nobody is asked yet.
    #[must_use]
    pub fn by(keeper: Arc<dyn RootKeeper>) -> Self {
        Self {
            keeper,
            last: Arc::default(),
        }
    }

    /// What messages call the key.
    #[must_use]
    pub fn name(&self) -> String {
        self.keeper.name()
    }

    /// A new key for a ring. It is used only when the keeper gives it back.
    pub(super) fn begin(&self, random: &Random) -> Result<Sealing, KeeperError> {
        let key = Secret::new(random.array::<SEED_BYTES>()?.to_vec());
        let wrapped = self.keeper.wrap(&key)?;
        let again = self.keeper.unwrap(&wrapped)?;
        if constant_time::verify_slices_are_equal(key.expose(), again.expose()).is_err() {
            return Err(KeeperError::Refused {
                keeper: self.name(),
                what: "gave another key back than it was given".to_owned(),
                remedy: "nothing was changed; look at its own log".to_owned(),
            });
        }
        self.remember(&wrapped, &key);
        Ok(Sealing {
            key,
            wrapped: Some(Wrapped {
                by: self.name(),
                bytes: wrapped,
            }),
        })
    }

    /// The key of a ring.
    pub(super) fn open(&self, wrapped: Wrapped) -> Result<Sealing, KeeperError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.iter().find(|told| told.wrapped == wrapped.bytes);
        let known = known.map(|told| told.key.clone());
        drop(last);
        let key = match known {
            Some(key) => key,
            None => self.keeper.unwrap(&wrapped.bytes)?,
        };
        self.remember(&wrapped.bytes, &key);
        Ok(Sealing {
            key,
            wrapped: Some(wrapped),
        })
    }

    fn remember(&self, wrapped: &[u8], key: &Secret) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|told| told.wrapped != wrapped);
        if last.len() >= TOLD_MAX {
            last.remove(0);
        }
        last.push(Told {
            wrapped: wrapped.to_vec(),
            key: key.clone(),
        });
    }
}

/// The key a ring is sealed with, and its wrapped form where somebody keeps it.
#[derive(Clone, Debug)]
pub(super) struct Sealing {
    pub(super) key: Secret,
    pub(super) wrapped: Option<Wrapped>,
}

/// A ring's key as its keeper wrapped it.
#[derive(Clone, Debug)]
pub(super) struct Wrapped {
    /// Who, for messages: it may be called otherwise by now.
    pub(super) by: String,
    pub(super) bytes: Vec<u8>,
}

impl Wrapped {
    pub(super) fn text(&self) -> String {
        BASE64.encode(&self.bytes)
    }

    pub(super) fn read(by: &str, text: &str) -> Option<Self> {
        Some(Self {
            by: by.to_owned(),
            bytes: BASE64.decode(text).ok()?,
        })
    }
}

impl Sealing {
    /// What a new ring is sealed with.
    pub(super) fn begin(root: &Root, random: &Random) -> Result<Self, KeeperError> {
        match root {
            Root::Key(key) => Ok(Self {
                key: key.clone(),
                wrapped: None,
            }),
            Root::Kept(kept) => kept.begin(random),
        }
    }
}
