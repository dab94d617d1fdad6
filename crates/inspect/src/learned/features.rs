//! What the model sees of a word and the words before it.

use super::{
    lexicon::Class,
    words::{CALLS, CAPITALS, OPENS, QUOTED, Word},
};

/// Words the model looks at together.
pub const WINDOW_WORDS: usize = 32;
/// Words from one window to the next.
pub const STRIDE_WORDS: usize = 8;
/// Weights of a model: two to this.
pub const BUCKET_BITS: u32 = 18;

/// Words that may stand between two known ones that belong together.
const REACH_WORDS: u32 = 8;

/// What is remembered from word to word.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    number: u32,
    hashes: [u32; 2],
    stems: [u32; 2],
    known: [(Class, u32); 2],
}

const fn place(sort: u32, a: u32, b: u32, c: u32) -> u32 {
    let h = sort
        .wrapping_mul(0xC2B2_AE35)
        .wrapping_add(a)
        .wrapping_mul(0x85EB_CA6B)
        .rotate_left(13)
        .wrapping_add(b)
        .wrapping_mul(0x27D4_EB2F)
        .rotate_left(15)
        .wrapping_add(c)
        .wrapping_mul(0x1656_67B1);
    (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D) >> (32 - BUCKET_BITS)
}

impl Memory {
    /// The features of the next word, each a bucket.
    pub(crate) fn next(&mut self, word: &Word, data: bool, mut emit: impl FnMut(u32)) {
        self.number += 1;
        let [one, two] = self.hashes;
        let [stem, _] = self.stems;
        emit(place(1, word.hash, 0, 0));
        if word.stem != word.hash {
            emit(place(2, word.stem, 0, 0));
        }
        if word.shape & (CAPITALS | CALLS | OPENS) != 0 {
            emit(place(
                3,
                word.hash,
                u32::from(word.shape & (CAPITALS | CALLS | OPENS)),
                0,
            ));
            emit(place(4, u32::from(word.shape), 0, 0));
        }
        if self.number > 1 {
            emit(place(5, one, word.hash, 0));
            emit(place(6, stem, word.stem, 0));
        }
        if self.number > 2 {
            emit(place(7, two, word.hash, 0));
            emit(place(8, two, one, word.hash));
        }
        if word.class != 0 {
            self.known(word, data, emit);
        }
        self.hashes = [word.hash, one];
        self.stems = [word.stem, stem];
    }

    /// Known words near each other, whatever stands between them.
    fn known(&mut self, word: &Word, data: bool, mut emit: impl FnMut(u32)) {
        let class = u32::from(word.class);
        let quoted = u32::from(word.shape & QUOTED);
        emit(place(9, class, quoted, u32::from(data)));
        let [(before, at), (first, first_at)] = self.known;
        if at > 0 && self.number - at <= REACH_WORDS {
            emit(place(10, u32::from(before), class, 0));
            if first_at > 0 && self.number - first_at <= 2 * REACH_WORDS {
                emit(place(11, u32::from(first), u32::from(before), class));
            }
        }
        self.known = [(word.class, self.number), (before, at)];
    }
}

/// The bucket of what is said by the length of a window alone.
pub(crate) fn of_length(words: usize) -> u32 {
    let length = match words {
        0..=2 => 0,
        3..=5 => 1,
        6..=10 => 2,
        11..=18 => 3,
        19..=31 => 4,
        _ => 5,
    };
    place(20, length, 0, 0)
}
