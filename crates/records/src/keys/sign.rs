//! The keys of one log: Ed25519 and ML-DSA-44 to sign its checkpoints, one more to tag its frames.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair};
use thiserror::Error;

use super::Secret;
use crate::{
    ambient::{Random, RandomError},
    digest::Digester,
    ledger::note::{NoteSignature, SignatureType, VerifierKey, VerifierKeyError},
};

/// Bytes of the seed of each key.
pub(super) const SEED_BYTES: usize = 32;

/// Why a log's keys cannot be used.
#[derive(Clone, Debug, Error)]
pub enum KeyError {
    /// The log's name cannot stand in a note.
    #[error(transparent)]
    Name(#[from] VerifierKeyError),
    /// No randomness to make a key of.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The cryptography provider refuses the seed or cannot sign with it.
    #[error("the cryptography provider refuses the {0} key")]
    Refused(&'static str),
}

/// What signs and tags one log.
pub struct LogKeys {
    ed25519: Ed25519KeyPair,
    ml_dsa: PqdsaKeyPair,
    verifiers: [VerifierKey; 2],
    frames: Digester,
    retired: Vec<VerifierKey>,
}

impl LogKeys {
    /// Keys from three seeds of 32 bytes, for the log of this origin.
    ///
    /// # Errors
    /// When the origin cannot name a key, or a seed is refused.
    pub fn from_seeds(
        origin: &str,
        ed25519: &Secret,
        ml_dsa: &Secret,
        frames: &Secret,
    ) -> Result<Self, KeyError> {
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(ed25519.expose())
            .map_err(|_| KeyError::Refused("Ed25519"))?;
        let ml_dsa = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, ml_dsa.expose())
            .map_err(|_| KeyError::Refused("ML-DSA-44"))?;
        let verifiers = [
            VerifierKey::new(origin, SignatureType::Ed25519, ed25519.public_key().as_ref())?,
            VerifierKey::new(origin, SignatureType::MlDsa44, ml_dsa.public_key().as_ref())?,
        ];
        Ok(Self {
            ed25519,
            ml_dsa,
            verifiers,
            frames: Digester::new(frames),
            retired: Vec::new(),
        })
    }

    /// New keys that are kept nowhere: for tests and for logs that need not outlive the process.
    ///
    /// # Errors
    /// As [`Self::from_seeds`], and when there is no randomness.
    pub fn generate(origin: &str, random: &Random) -> Result<Self, KeyError> {
        let seed = || Ok::<_, RandomError>(Secret::new(random.array::<SEED_BYTES>()?.to_vec()));
        let (ed25519, ml_dsa, frames) = (seed()?, seed()?, seed()?);
        Self::from_seeds(origin, &ed25519, &ml_dsa, &frames)
    }

    /// The same keys, and the public halves of those the log had before, so that its older checkpoints
    /// are still known.
    #[must_use]
    pub fn with_retired(mut self, retired: Vec<VerifierKey>) -> Self {
        self.retired = retired;
        self
    }

    /// The public halves of the keys in use: Ed25519 first, then ML-DSA-44.
    #[must_use]
    pub fn verifiers(&self) -> &[VerifierKey; 2] {
        &self.verifiers
    }

    /// The public halves of all keys the log ever had, those in use first.
    #[must_use]
    pub fn known(&self) -> Vec<VerifierKey> {
        self.verifiers.iter().chain(&self.retired).cloned().collect()
    }

    /// The log's name, which its keys bear too.
    #[must_use]
    pub fn origin(&self) -> &str {
        let [ed25519, _] = &self.verifiers;
        ed25519.name()
    }

    /// Tags the frames of the write-ahead segments.
    pub(crate) fn frames(&self) -> &Digester {
        &self.frames
    }

    /// Signs something that is no checkpoint, and cannot be read as one, with both keys.
    pub(crate) fn sign_apart(&self, message: &[u8]) -> Result<[Vec<u8>; 2], KeyError> {
        let mut post_quantum = vec![0; ML_DSA_44_SIGNING.signature_len()];
        self.ml_dsa
            .sign(message, &mut post_quantum)
            .map_err(|_| KeyError::Refused("ML-DSA-44"))?;
        Ok([self.ed25519.sign(message).as_ref().to_vec(), post_quantum])
    }

    /// Signs a checkpoint's text with Ed25519 and its cosigned message with ML-DSA-44.
    pub(crate) fn sign(
        &self,
        text: &str,
        time_s: u64,
        cosigned: &[u8],
    ) -> Result<[NoteSignature; 2], KeyError> {
        let [ed25519, ml_dsa] = &self.verifiers;
        let mut stamped = time_s.to_be_bytes().to_vec();
        let mut signature = vec![0; ML_DSA_44_SIGNING.signature_len()];
        self.ml_dsa
            .sign(cosigned, &mut signature)
            .map_err(|_| KeyError::Refused("ML-DSA-44"))?;
        stamped.append(&mut signature);
        Ok([
            NoteSignature::new(ed25519, self.ed25519.sign(text.as_bytes()).as_ref().to_vec()),
            NoteSignature::new(ml_dsa, stamped),
        ])
    }
}

impl std::fmt::Debug for LogKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogKeys")
            .field("verifiers", &self.verifiers)
            .finish_non_exhaustive()
    }
}
