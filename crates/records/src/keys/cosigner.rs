//! The keys of a witness: they say that a log of somebody else's went on as it should (C2SP tlog-cosignature).
//!
//! They are not the keys of the log that stands beside them: whoever reads a signature knows by its name and kind
//! which of the two spoke. They are made from the key that tags the log's frames, which stays when the log's signing
//! keys are rotated, and from the witness's name: another name has other keys.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair};

use super::{KeyError, LogKeys, Secret};
use crate::ledger::{
    checkpoint::{Checkpoint, cosignature_text},
    note::{NoteSignature, SignatureType, VerifierKey},
};

/// What cosigns checkpoints of other logs.
pub struct Cosigner {
    ed25519: Ed25519KeyPair,
    ml_dsa: PqdsaKeyPair,
    verifiers: [VerifierKey; 2],
}

impl LogKeys {
    /// The keys of a witness of this name, of whoever has these keys.
    ///
    /// # Errors
    /// When the name cannot name a key, or the cryptography provider refuses.
    pub fn cosigner(&self, name: &str) -> Result<Cosigner, KeyError> {
        let seed = |kind: SignatureType| {
            let place = format!("sallyport: a key of a witness, version 1\0{kind}\0{name}");
            Secret::new(self.frames().tag(&[place.as_bytes()]).to_vec())
        };
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(seed(SignatureType::Ed25519Cosignature).expose())
            .map_err(|_| KeyError::Refused("Ed25519"))?;
        let ml_dsa = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed(SignatureType::MlDsa44).expose())
            .map_err(|_| KeyError::Refused("ML-DSA-44"))?;
        let verifiers = [
            VerifierKey::new(
                name,
                SignatureType::Ed25519Cosignature,
                ed25519.public_key().as_ref(),
            )?,
            VerifierKey::new(name, SignatureType::MlDsa44, ml_dsa.public_key().as_ref())?,
        ];
        Ok(Cosigner {
            ed25519,
            ml_dsa,
            verifiers,
        })
    }
}

impl Cosigner {
    /// The public halves: Ed25519 first, then ML-DSA-44.
    #[must_use]
    pub fn verifiers(&self) -> &[VerifierKey; 2] {
        &self.verifiers
    }

    /// The witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        let [ed25519, _] = &self.verifiers;
        ed25519.name()
    }

    /// Says of a checkpoint, whose whole text this is, that the log it is of goes on to it.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn cosign(
        &self,
        checkpoint: &Checkpoint,
        text: &str,
        time_s: u64,
    ) -> Result<[NoteSignature; 2], KeyError> {
        let [of_ed25519, of_ml_dsa] = &self.verifiers;
        let stamped = |signature: &[u8]| [time_s.to_be_bytes().as_slice(), signature].concat();
        let classic = self.ed25519.sign(cosignature_text(time_s, text).as_bytes());
        let message = checkpoint.cosigned_message(of_ml_dsa.name(), time_s);
        let mut post_quantum = vec![0; ML_DSA_44_SIGNING.signature_len()];
        self.ml_dsa
            .sign(&message, &mut post_quantum)
            .map_err(|_| KeyError::Refused("ML-DSA-44"))?;
        Ok([
            NoteSignature::new(of_ed25519, stamped(classic.as_ref())),
            NoteSignature::new(of_ml_dsa, stamped(&post_quantum)),
        ])
    }
}

impl std::fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cosigner")
            .field("verifiers", &self.verifiers)
            .finish_non_exhaustive()
    }
}
