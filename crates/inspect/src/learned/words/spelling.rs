//! The hashes of many words at a time.

use fearless_simd::{Level, dispatch};

use super::{FIRST, STEM_BYTES, Word, mix};

/// Letters that a word may have to be spelled together with others.
pub(super) const LETTERS_MAX: usize = 16;

/// The letters of a word in lower case, and nothing after the last; nothing at all of a word that is spelled already.
pub(super) type Letters = [u64; 2];

/// The first letters of these, in lower case.
#[inline(always)]
pub(super) fn letters(written: &[u8; LETTERS_MAX], length: usize) -> Letters {
    /// The first bytes of eight.
    const FIRST_BYTES: [u64; 9] = [
        0,
        !0 >> 56,
        !0 >> 48,
        !0 >> 40,
        !0 >> 32,
        !0 >> 24,
        !0 >> 16,
        !0 >> 8,
        !0,
    ];
    const EACH: u64 = 0x0101_0101_0101_0101;
    let written = u128::from_le_bytes(*written);
    let kept = |bytes: usize| FIRST_BYTES.get(bytes.min(8)).copied().unwrap_or(0);
    [
        (low(written) | EACH << 5) & kept(length),
        (low(written >> 64) | EACH << 5) & kept(length.saturating_sub(8)),
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
#[inline(always)]
fn low(letters: u128) -> u64 {
    letters as u64
}

/// Words that are spelled together.
const TOGETHER: usize = 32;

/// Gives words that were read without it their hash and stem; `letters` are those of each. It is done letter by letter of
/// many words, which a processor does for several at once.
pub(super) fn spell(words: &mut [Word], letters: &[Letters]) {
    let level = Level::new();
    for (words, letters) in words.chunks_mut(TOGETHER).zip(letters.chunks(TOGETHER)) {
        dispatch!(level, _registers => spelled(words, letters));
    }
}

#[inline(always)]
fn spelled(words: &mut [Word], letters: &[Letters]) {
    // Four letters of each word, then the next four.
    let mut fours = [[0_u32; TOGETHER]; LETTERS_MAX / 4];
    for (n, [first, second]) in letters.iter().enumerate() {
        let parts = [*first, *first >> 32, *second, *second >> 32];
        for (fours, part) in fours.iter_mut().zip(parts) {
            if let Some(four) = fours.get_mut(n) {
                *four = lower_half(part);
            }
        }
    }
    let (mut hashes, mut stems) = ([FIRST; TOGETHER], [0; TOGETHER]);
    for (four, first) in fours.iter_mut().zip((1..).step_by(4)) {
        for n in first..first + 4 {
            for (hash, four) in hashes.iter_mut().zip(four.iter_mut()) {
                let letter = *four & 0xff;
                *four >>= 8;
                *hash = if letter == 0 { *hash } else { mix(*hash, letter) };
            }
            if n == STEM_BYTES {
                stems = hashes;
            }
        }
    }
    let spelled = hashes.into_iter().zip(stems).zip(letters);
    for (word, ((hash, stem), [first, _])) in words.iter_mut().zip(spelled) {
        if *first != 0 {
            (word.hash, word.stem) = (hash, stem);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
#[inline(always)]
fn lower_half(letters: u64) -> u32 {
    letters as u32
}
