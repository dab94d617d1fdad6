//! Many letters at a time.

use std::hint::select_unpredictable;

use super::mix;

/// The ASCII letters that begin a stretch of eight bytes, read without asking after each whether it is the last; which
/// one is cannot be foretold.
pub(super) struct Eight {
    /// How many there are.
    pub(super) length: usize,
    /// The hash of what stands before them.
    before: u32,
    /// The hash with so many of them, as if all were letters.
    pub(super) hashes: [u32; 8],
    /// What comes after them, if they are fewer than eight.
    pub(super) next: u8,
    /// Whether all are capitals.
    pub(super) loud: bool,
}

impl Eight {
    /// Those from `at` on, of a word that has the hash `before` so far.
    #[inline]
    pub(super) fn of(bytes: &[u8], at: usize, before: u32) -> Option<Self> {
        const EACH: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = EACH << 7;
        let written = u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?);
        let lower = written | EACH << 5;
        // In each byte's highest bit: from `a` on, and beyond `z`; nothing is carried into the next byte.
        let low = lower & !HIGH;
        let others = (!(low + EACH * 0x1f) | (low + EACH * 0x05) | written) & HIGH;
        let length = others.trailing_zeros() / 8;
        let mut hash = before;
        let hashes = lower.to_le_bytes().map(|letter| {
            hash = mix(hash, u32::from(letter));
            hash
        });
        let [next, ..] = written.wrapping_shr(length * 8).to_le_bytes();
        // The bits below the first that is no letter; of letters, only capitals lack the bit that makes them lower.
        let letters = (others & others.wrapping_neg()).wrapping_sub(1) & HIGH;
        Some(Self {
            length: usize::try_from(length).unwrap_or(0),
            before,
            hashes,
            next,
            loud: written << 2 & letters == 0,
        })
    }

    /// The hash with so many letters, at most eight.
    #[inline]
    pub(super) fn hash(&self, letters: usize) -> u32 {
        let hash = self.hashes.get(letters.wrapping_sub(1) % 8);
        select_unpredictable(letters == 0, self.before, hash.copied().unwrap_or(0))
    }
}
