//! Checkpoints: how large the tree is and its root, signed (C2SP tlog-checkpoint and tlog-cosignature,
//! commit 5ba5ee8).
//!
//! Pure. It must not know where a checkpoint is kept or how old it may be.

use std::fmt;

use aws_lc_rs::signature::{ED25519, ML_DSA_44, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;

use super::{
    entry::rfc3339,
    merkle::Hash,
    note::{Note, NoteError, NoteSignature, SignatureType, VerifierKey},
};
use crate::keys::{KeyError, LogKeys};

/// The head of a log: who, how many entries, which root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Entries in the log.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// A signature that was checked and holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vouched {
    /// By which key.
    pub key: VerifierKey,
    /// When the signer says it signed, in seconds since 1970; cosignatures only.
    pub time_s: Option<u64>,
}

impl fmt::Display for Vouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key.label())?;
        match self.time_s {
            Some(time_s) => write!(f, " at {}", rfc3339(time_s.saturating_mul(1_000))),
            None => Ok(()),
        }
    }
}

/// Why a checkpoint is not to be trusted.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CheckpointError {
    /// A signature in the name of a known key does not hold.
    #[error("the signature by `{0}` does not hold: the checkpoint was altered after it was signed")]
    BadSignature(String),
    /// Three lines, origin, size and root, are not what stands there.
    #[error("the checkpoint's text is malformed")]
    Form,
    /// No signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Of another log.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    Origin {
        /// The log that was asked for.
        expected: String,
        /// The log in the checkpoint.
        found: String,
    },
    /// By none of the known keys.
    #[error("no known key signed the checkpoint; it bears signatures by {0}")]
    Unknown(String),
}

impl Checkpoint {
    /// The three lines that are signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }

    /// Reads the text of a checkpoint. Extension lines are allowed and ignored, as C2SP says.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let root = BASE64.decode(root).ok()?.try_into().ok()?;
        let number: u64 = size.parse().ok()?;
        let plain = number.to_string() == size && !origin.is_empty() && lines.all(|line| !line.is_empty());
        plain.then(|| Self {
            origin: origin.to_owned(),
            size: number,
            root,
        })
    }

    /// Signs with a log's own keys: Ed25519 over the text, ML-DSA-44 as a cosignature of this time.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn sign(&self, keys: &LogKeys, time_s: u64) -> Result<Note, KeyError> {
        let text = self.text();
        let cosigned = self.cosigned_message(keys.origin(), time_s);
        Ok(Note {
            signatures: keys.sign(&text, time_s, &cosigned)?.into(),
            text,
        })
    }

    /// Reads a signed checkpoint and checks every signature in the name of a known key.
    ///
    /// # Errors
    /// When the form is wrong, the origin is not the expected one, a signature by a known key does not
    /// hold, or no known key signed.
    pub fn verify(
        bytes: &[u8],
        origin: &str,
        known: &[VerifierKey],
    ) -> Result<(Self, Vec<Vouched>), CheckpointError> {
        let note = Note::from_bytes(bytes)?;
        let checkpoint = Self::from_text(&note.text).ok_or(CheckpointError::Form)?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::Origin {
                expected: origin.to_owned(),
                found: checkpoint.origin,
            });
        }
        let mut vouched = Vec::new();
        for signature in &note.signatures {
            for key in known.iter().filter(|key| signature.is_by(key)) {
                let time_s = checkpoint
                    .check(&note.text, key, signature)
                    .ok_or_else(|| CheckpointError::BadSignature(signature.signer()))?;
                vouched.push(Vouched {
                    key: key.clone(),
                    time_s,
                });
            }
        }
        if vouched.is_empty() {
            let signers: Vec<_> = note.signatures.iter().map(NoteSignature::signer).collect();
            return Err(CheckpointError::Unknown(signers.join(", ")));
        }
        Ok((checkpoint, vouched))
    }

    /// Checks one signature. Gives its time if it has one, nothing at all when it does not hold.
    fn check(&self, text: &str, key: &VerifierKey, signature: &NoteSignature) -> Option<Option<u64>> {
        let bytes = signature.bytes.as_slice();
        match key.kind() {
            SignatureType::Ed25519 => {
                let public = UnparsedPublicKey::new(&ED25519, key.public());
                public.verify(text.as_bytes(), bytes).ok().map(|()| None)
            }
            SignatureType::Ed25519Cosignature => {
                let (time_s, bytes) = timestamped(bytes)?;
                let message = cosignature_text(time_s, text);
                let public = UnparsedPublicKey::new(&ED25519, key.public());
                public
                    .verify(message.as_bytes(), bytes)
                    .ok()
                    .map(|()| Some(time_s))
            }
            SignatureType::MlDsa44 => {
                let (time_s, bytes) = timestamped(bytes)?;
                let message = self.cosigned_message(key.name(), time_s);
                let public = UnparsedPublicKey::new(&ML_DSA_44, key.public());
                public.verify(&message, bytes).ok().map(|()| Some(time_s))
            }
        }
    }

    /// What an ML-DSA-44 cosigner signs: label, its name, time, the log's origin, start, end, root.
    #[must_use]
    pub fn cosigned_message(&self, cosigner: &str, time_s: u64) -> Vec<u8> {
        let mut message = b"subtree/v1\n\0".to_vec();
        push_short(&mut message, cosigner);
        message.extend_from_slice(&time_s.to_be_bytes());
        push_short(&mut message, &self.origin);
        message.extend_from_slice(&0_u64.to_be_bytes());
        message.extend_from_slice(&self.size.to_be_bytes());
        message.extend_from_slice(&self.root);
        message
    }
}

/// What an Ed25519 cosigner signs: that it saw the checkpoint of this text at this time.
pub(crate) fn cosignature_text(time_s: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

/// A text with its length in one byte before it. Names are at most 255 bytes; a longer origin, which only
/// a foreign checkpoint could have, gives a message that nobody signed.
fn push_short(message: &mut Vec<u8>, text: &str) {
    message.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    message.extend_from_slice(text.as_bytes());
}

/// The time before a cosignature, and the signature proper.
fn timestamped(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signature) = bytes.split_first_chunk::<8>()?;
    let time_s = u64::from_be_bytes(*time);
    (time_s <= i64::MAX.unsigned_abs()).then_some((time_s, signature))
}
