//! What a log tells a witness, and when a witness may cosign it (C2SP tlog-witness, commit 5ba5ee8).
//!
//! Pure. It must not know how a submission came or where a witness keeps what it saw last; whoever does keeps that
//! before it signs.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;

use super::{
    checkpoint::{Checkpoint, CheckpointError},
    merkle::{Hash, empty_root, roots_from_consistency},
    note::{NOTE_BYTES_MAX, Note, VerifierKey},
};

/// Most hashes of a proof.
const PROOF_MAX: usize = 63;

/// Longest submission, in bytes.
pub const SUBMISSION_BYTES_MAX: usize = NOTE_BYTES_MAX + 4_096;

/// A checkpoint, and the proof that it goes on from one of `old` entries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Submission {
    /// Entries of the checkpoint the witness saw last.
    pub old: u64,
    /// The proof from there.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Declined {
    /// The submission is no submission.
    #[error("the submission is malformed: {0}")]
    Malformed(&'static str),
    /// The log is none of those that are witnessed.
    #[error("the log `{0}` is not witnessed here")]
    UnknownLog(String),
    /// No known key of the log signed, or a signature does not hold.
    #[error(transparent)]
    Untrusted(CheckpointError),
    /// The witness saw another checkpoint last: of this size.
    #[error("the checkpoint seen last has {0} entries")]
    Conflict(u64),
    /// The log does not go on from what the witness saw.
    #[error("the log does not go on from what was seen before: {0}")]
    Inconsistent(&'static str),
}

/// A submission of a log that is witnessed, signed by it. Whether it goes on from what was seen is not known yet.
#[derive(Clone, Debug)]
pub struct Authentic {
    checkpoint: Checkpoint,
    note: Note,
    old: u64,
    proof: Vec<Hash>,
}

/// A submission that may be cosigned, once it is kept as what was seen last.
#[derive(Clone, Debug)]
pub struct Consistent(Authentic);

impl Submission {
    /// Reads a submission.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Declined> {
        if bytes.len() > SUBMISSION_BYTES_MAX {
            return Err(Declined::Malformed("it is too long"));
        }
        let text = str::from_utf8(bytes).map_err(|_| Declined::Malformed("it is no text"))?;
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(Declined::Malformed("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let plain = |digits: &str| digits.parse::<u64>().ok().filter(|n| n.to_string() == digits);
        let old = old.and_then(plain).ok_or(Declined::Malformed("no old size"))?;
        let mut proof = Vec::new();
        for line in lines {
            let hash = BASE64.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
            let hash = hash.filter(|_| proof.len() < PROOF_MAX);
            proof.push(hash.ok_or(Declined::Malformed(
                "a line of the proof is no hash, or one too many",
            ))?);
        }
        Ok(Self {
            old,
            proof,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// Checks that one of these logs says it. Signatures by keys that are not known are dropped.
    ///
    /// # Errors
    /// When the log is none of these, or did not sign.
    pub fn authenticate(self, known: &[VerifierKey]) -> Result<Authentic, Declined> {
        let bytes = self.checkpoint.as_bytes();
        let mut note =
            Note::from_bytes(bytes).map_err(|_| Declined::Malformed("the checkpoint is no signed note"))?;
        let claimed =
            Checkpoint::from_text(&note.text).ok_or(Declined::Malformed("the note is no checkpoint"))?;
        let own = |key: &&VerifierKey| key.name() == claimed.origin;
        let keys: Vec<VerifierKey> = known.iter().filter(own).cloned().collect();
        if keys.is_empty() {
            return Err(Declined::UnknownLog(claimed.origin));
        }
        let verified = Checkpoint::verify(bytes, &claimed.origin, &keys);
        let (checkpoint, _) = verified.map_err(Declined::Untrusted)?;
        note.signatures
            .retain(|signature| keys.iter().any(|key| signature.is_by(key)));
        if self.old > checkpoint.size {
            return Err(Declined::Malformed(
                "the old size is larger than the checkpoint's",
            ));
        }
        Ok(Authentic {
            checkpoint,
            note,
            old: self.old,
            proof: self.proof,
        })
    }
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", BASE64.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl Authentic {
    /// What the log says.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint as the log signed it.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Whether the log itself told two stories: another root of as many entries, or a proof that leads to what it signed
    /// from another root than was seen. A proof that leads nowhere may be anybody's.
    #[must_use]
    pub fn contradicts(&self, seen: &Checkpoint) -> bool {
        let Checkpoint { size, root, .. } = &self.checkpoint;
        if *size == seen.size {
            return *root != seen.root;
        }
        let led = roots_from_consistency(seen.size, *size, &seen.root, &self.proof);
        led.is_some_and(|(old, new)| new == *root && old != seen.root)
    }

    /// Checks that the log goes on from what was seen of it last, if anything was.
    ///
    /// # Errors
    /// When something else was seen last, or the log does not go on from it.
    pub fn follows(self, last: Option<&Checkpoint>) -> Result<Consistent, Declined> {
        let (old_size, old_root) = last.map_or((0, empty_root()), |last| (last.size, last.root));
        if self.old != old_size {
            return Err(Declined::Conflict(old_size));
        }
        let Checkpoint { size, root, .. } = &self.checkpoint;
        if *size == 0 && *root != empty_root() {
            return Err(Declined::Inconsistent("a log without entries has another root"));
        }
        if self.old == 0 || self.old == *size {
            if !self.proof.is_empty() {
                return Err(Declined::Inconsistent("there is nothing to prove, but a proof"));
            }
            if self.old == *size && *root != old_root {
                return Err(Declined::Inconsistent("as many entries have another root"));
            }
        } else if roots_from_consistency(self.old, *size, &old_root, &self.proof) != Some((old_root, *root)) {
            return Err(Declined::Inconsistent(
                "the proof does not lead from one root to the other",
            ));
        }
        Ok(Consistent(self))
    }
}

impl Consistent {
    /// What the log says.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.0.checkpoint
    }

    /// The checkpoint as the log signed it.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.0.note
    }
}

#[cfg(test)]
mod tests;
