//! Proofs: an entry's place in the tree, provable offline (C2SP tlog-proof, commit 5ba5ee8).
//!
//! Pure. It must not know where proofs are kept.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;

use super::{
    checkpoint::{Checkpoint, CheckpointError, Vouched},
    merkle::{Hash, root_from_inclusion},
    note::{NOTE_BYTES_MAX, VerifierKey},
};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Longest path: one sibling per level of a tree of 2^63 leaves.
const PATH_MAX: usize = 63;

/// Proof that an entry stands at an index of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// The entry's place in the log, from 0.
    pub index: u64,
    /// Siblings from the leaf up.
    pub path: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Why a receipt does not prove what it should.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ProofError {
    /// Its checkpoint is not to be trusted.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Not a `tlog-proof`.
    #[error("the receipt is malformed at line {0}")]
    Form(usize),
    /// Too few witnesses signed its checkpoint.
    #[error("{0}")]
    Unwitnessed(String),
    /// The entry is not the one that was logged there.
    #[error("the entry is not what the log holds at index {0}")]
    Other(u64),
}

impl Proof {
    /// Reads the text form. Extra data is allowed and ignored: nothing vouches for it.
    ///
    /// # Errors
    /// When the text is not a `tlog-proof`.
    pub fn from_text(text: &str) -> Result<Self, ProofError> {
        let bound = NOTE_BYTES_MAX + 64 * (PATH_MAX + 3);
        let (head, checkpoint) = text
            .split_once("\n\n")
            .filter(|_| text.len() <= bound)
            .ok_or(ProofError::Form(1))?;
        let mut lines = head.split('\n').enumerate().peekable();
        lines
            .next_if(|(_, line)| *line == HEADER)
            .ok_or(ProofError::Form(1))?;
        lines.next_if(|(_, line)| line.starts_with("extra "));
        let (_, index) = lines.next().ok_or(ProofError::Form(2))?;
        let index = index
            .strip_prefix("index ")
            .and_then(|digits| digits.parse::<u64>().ok().filter(|n| n.to_string() == digits))
            .ok_or(ProofError::Form(2))?;
        let mut path = Vec::new();
        for (n, line) in lines {
            let hash = BASE64.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
            path.push(
                hash.filter(|_| path.len() < PATH_MAX)
                    .ok_or(ProofError::Form(n + 1))?,
            );
        }
        Ok(Self {
            index,
            path,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// Checks that a leaf stands at the index, under a checkpoint that a known key signed.
    ///
    /// # Errors
    /// When the checkpoint is not to be trusted, or the path does not lead to its root.
    pub fn verify(
        &self,
        leaf: &Hash,
        origin: &str,
        known: &[VerifierKey],
    ) -> Result<(Checkpoint, Vec<Vouched>), ProofError> {
        let (checkpoint, vouched) = Checkpoint::verify(self.checkpoint.as_bytes(), origin, known)?;
        match root_from_inclusion(leaf, self.index, checkpoint.size, &self.path) {
            Some(root) if root == checkpoint.root => Ok((checkpoint, vouched)),
            Some(_) | None => Err(ProofError::Other(self.index)),
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", BASE64.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}
