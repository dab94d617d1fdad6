//! What the model sees of a word and the words before it.

use super::{
    lexicon::Class,
    words::{CALLS, CAPITALS, DIGITS, Gap, OPENS, QUOTED, Word},
};

/// Words the model looks at together.
pub const WINDOW_WORDS: usize = 32;
/// Words of a narrow window; the next begins a quarter later.
pub const NARROW_WORDS: usize = 12;
/// Words from one window to the next.
pub const STRIDE_WORDS: usize = 8;
/// Weights of a model: two to this.
pub const BUCKET_BITS: u32 = 18;
/// The weights below this are of sorts of words, not of words.
const GENERAL: u32 = 1 << (BUCKET_BITS - GENERAL_SHIFT);
const GENERAL_SHIFT: u32 = 3;

/// Words that may stand between two known ones that belong together.
const REACH_WORDS: u32 = 8;

/// What was seen a window ago or less is not counted again: saying a thing often does not make it worse.
#[derive(Clone, Debug)]
struct Recent(Box<[(u32, u32)]>);

const RECENT: usize = 1024;

impl Recent {
    /// Whether the bucket is new, as of the word with this number.
    #[inline]
    fn is_new(&mut self, bucket: u32, number: u32) -> bool {
        let slot = usize::try_from(bucket).unwrap_or(0) % RECENT;
        let Some(entry) = self.0.get_mut(slot) else {
            return true;
        };
        let new = entry.0 != bucket || entry.1 + WINDOW_REACH < number;
        if new {
            *entry = (bucket, number);
        }
        new
    }
}

/// The words of a window, as a number of words.
const WINDOW_REACH: u32 = 24;

/// What is remembered from word to word.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    recent: Recent,
    number: u32,
    words: u32,
    hashes: [u32; 2],
    stems: [u32; 2],
    known: [(Class, u32); 2],
    head: Head,
}

/// The first known word of a sentence, among its first ones.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    class: Class,
    /// What stood before the sentence.
    gap: Gap,
    /// The number of the first word.
    number: u32,
}

/// Words at the beginning of a sentence of which the first known one tells what it is about.
const HEAD_WORDS: u32 = 3;
/// Words of a sentence that are taken together with its beginning.
const SENTENCE_WORDS: u32 = 30;

#[inline]
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

/// A bucket of what does not depend on the very words: it holds for texts that were never seen.
#[inline]
const fn general(sort: u32, a: u32, b: u32, c: u32) -> u32 {
    place(sort, a, b, c) >> GENERAL_SHIFT
}

/// A bucket of very words.
#[inline]
const fn lexical(sort: u32, a: u32, b: u32, c: u32) -> u32 {
    let bucket = place(sort, a, b, c);
    if bucket < GENERAL {
        bucket + GENERAL
    } else {
        bucket
    }
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            recent: Recent(vec![(u32::MAX, 0); RECENT].into_boxed_slice()),
            // The first word is far from those of the empty memory.
            number: 2 * WINDOW_REACH,
            words: 0,
            hashes: [0; 2],
            stems: [0; 2],
            known: [(0, 0); 2],
            head: Head::default(),
        }
    }

    /// The features of the next word, each a bucket.
    #[inline]
    pub(crate) fn next(&mut self, word: &Word, data: bool, mut emit: impl FnMut(u32)) {
        self.number += 1;
        self.words += 1;
        let mut recent = std::mem::replace(&mut self.recent, Recent(Box::default()));
        let number = self.number;
        self.all(word, data, |bucket| {
            if recent.is_new(bucket, number) {
                emit(bucket);
            }
        });
        self.recent = recent;
    }

    #[inline]
    fn all(&mut self, word: &Word, data: bool, mut emit: impl FnMut(u32)) {
        let [one, two] = self.hashes;
        let [stem, _] = self.stems;
        emit(lexical(1, word.hash, 0, 0));
        if word.stem != word.hash {
            emit(lexical(2, word.stem, 0, 0));
        }
        if word.shape & (CAPITALS | CALLS | OPENS) != 0 {
            emit(lexical(
                3,
                word.hash,
                u32::from(word.shape & (CAPITALS | CALLS | OPENS)),
                0,
            ));
            emit(general(4, u32::from(word.shape & !DIGITS), 0, 0));
        }
        if self.words > 1 {
            emit(lexical(5, one, word.hash, 0));
            emit(lexical(6, stem, word.stem, 0));
        }
        if self.words > 2 {
            emit(lexical(7, two, word.hash, 0));
            emit(lexical(8, two, one, word.hash));
        }
        self.sentence(word, data, &mut emit);
        if word.class != 0 {
            self.known(word, data, emit);
        }
        self.hashes = [word.hash, one];
        self.stems = [word.stem, stem];
    }

    /// What a sentence begins with, and what goes with that.
    #[inline]
    fn sentence(&mut self, word: &Word, data: bool, emit: &mut impl FnMut(u32)) {
        let data = u32::from(data);
        let class = u32::from(word.class);
        if word.gap != Gap::None {
            self.head = Head {
                class: 0,
                gap: word.gap,
                number: self.number,
            };
            let first = u32::from(word.gap == Gap::Text);
            emit(lexical(30, word.hash, first, data));
            emit(general(31, class, word.gap as u32, data));
        }
        let Head {
            class: head,
            gap,
            number,
        } = self.head;
        let within = self.number - number;
        if class == 0 || within > SENTENCE_WORDS {
            return;
        }
        if head == 0 && within < HEAD_WORDS {
            self.head.class = word.class;
            emit(general(32, class, gap as u32, data));
        } else if head != 0 {
            emit(general(
                33,
                u32::from(head),
                class,
                u32::from(gap == Gap::Text) + 2 * data,
            ));
        }
    }

    /// Known words near each other, whatever stands between them.
    fn known(&mut self, word: &Word, data: bool, mut emit: impl FnMut(u32)) {
        let class = u32::from(word.class);
        let quoted = u32::from(word.shape & QUOTED);
        emit(general(9, class, quoted, u32::from(data)));
        let [(before, at), (first, first_at)] = self.known;
        if at > 0 && self.number - at <= REACH_WORDS {
            emit(general(10, u32::from(before), class, 0));
            if first_at > 0 && self.number - first_at <= 2 * REACH_WORDS {
                emit(general(11, u32::from(first), u32::from(before), class));
            }
        }
        self.known = [(word.class, self.number), (before, at)];
    }
}

/// The buckets of what is said by the length of a window, and by the words about attacks around it.
pub(crate) fn of_window(words: usize, attacks: u32) -> [u32; 2] {
    let length = match words {
        0..=2 => 0,
        3..=5 => 1,
        6..=10 => 2,
        11..=18 => 3,
        19..=31 => 4,
        _ => 5,
    };
    let attacks = match attacks {
        0..=2 => attacks,
        3..=4 => 3,
        5..=8 => 4,
        _ => 5,
    };
    [general(20, length, 0, 0), of_attacks(attacks)]
}

const fn of_attacks(much: u32) -> u32 {
    general(21, much, 0, 0)
}

/// What training begins with: a text with many words about attacks is about attacks, and quotes some.
pub const PRIOR: [(u32, f32); 3] = [
    (of_attacks(3), -0.7),
    (of_attacks(4), -1.5),
    (of_attacks(5), -2.5),
];
