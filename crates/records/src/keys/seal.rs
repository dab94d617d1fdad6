//! Sealing: AES-256-GCM (NIST SP 800-38D) with a random nonce, bound to where the sealed bytes belong.
//!
//! It must not know what is sealed. A key must not seal more than 2^32 times (random nonces of 96 bits);
//! the keys here seal a key ring or the records of one tenant or person.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use thiserror::Error;

use super::Secret;
use crate::ambient::{Random, RandomError};

/// By how many bytes sealing lengthens: nonce and tag.
#[cfg(feature = "tables")]
pub(crate) const SEALED_MORE: usize = NONCE_LEN + 16;

/// Why something cannot be sealed or opened.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SealError {
    /// Another key, another place, or altered bytes; which of them cannot be told.
    #[error("the sealed bytes were altered, moved, or sealed with another key")]
    Broken,
    /// The key is not 32 bytes.
    #[error("a key to seal with has 32 bytes")]
    Key,
    /// No randomness for a nonce.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Seals: nonce, ciphertext, tag. `place` must be given again to open.
pub(crate) fn seal(key: &Secret, place: &[u8], plain: &[u8], random: &Random) -> Result<Vec<u8>, SealError> {
    let nonce: [u8; NONCE_LEN] = random.array()?;
    let mut sealed = plain.to_vec();
    let tag = bound(key)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut sealed)
        .map_err(|_| SealError::Broken)?;
    Ok([nonce.as_slice(), &sealed, tag.as_ref()].concat())
}

/// Opens what was sealed for this place.
pub(crate) fn open(key: &Secret, place: &[u8], sealed: &[u8]) -> Result<Secret, SealError> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Broken)?;
    let mut bytes = rest.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = bound(key)?
        .open_in_place(nonce, Aad::from(place), &mut bytes)
        .map_err(|_| SealError::Broken)?
        .len();
    bytes.truncate(length);
    Ok(Secret::new(bytes))
}

fn bound(key: &Secret) -> Result<LessSafeKey, SealError> {
    let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| SealError::Key)?;
    Ok(LessSafeKey::new(key))
}
