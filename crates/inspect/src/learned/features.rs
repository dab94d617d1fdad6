//! What the model sees of a word and the words before it.

use std::hint::select_unpredictable;

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
/// The same, as a number.
pub(crate) const BUCKETS: usize = 1 << BUCKET_BITS;
/// The weights below this are of sorts of words, not of words.
const GENERAL: u32 = 1 << (BUCKET_BITS - GENERAL_SHIFT);
const GENERAL_SHIFT: u32 = 3;

/// Words that may stand between two known ones that belong together.
const REACH_WORDS: u32 = 8;

/// What was seen a window ago or less is not counted again: saying a thing often does not make it worse.
///
/// An entry is the number of the word in its upper half, the bucket in its lower one.
#[derive(Clone, Debug)]
struct Recent(Box<[u64; RECENT]>);

const RECENT: usize = 1024;

impl Recent {
    fn new() -> Self {
        Self(Box::new([u64::from(u32::MAX); RECENT]))
    }

    /// Whether there is something to take and it is new, as of the word with this number. Said without a branch: which
    /// features of a text are new cannot be foretold.
    #[inline]
    fn take(&mut self, Feature { bucket, there }: Feature, number: u32) -> bool {
        let slot = usize::try_from(bucket).unwrap_or(0) % RECENT;
        let Some(entry) = self.0.get_mut(slot) else {
            return false;
        };
        let fresh = u64::from(number) << 32 | u64::from(bucket);
        // Of the same bucket, how many words ago; of another, more than there are words.
        let age = fresh.wrapping_sub(*entry).rotate_left(32);
        let taken = there & (age > WINDOW_REACH);
        *entry = select_unpredictable(taken, fresh, *entry);
        taken
    }
}

/// What may be seen of a word.
#[derive(Clone, Copy, Debug)]
struct Feature {
    bucket: u32,
    /// Whether it is there at all.
    there: bool,
}

/// Of a bucket that is there.
#[inline]
const fn there(bucket: u32) -> Feature {
    Feature { bucket, there: true }
}

/// The words of a window, as a number of words.
const WINDOW_REACH: u64 = 24;

/// The number before that of the first word: further from that of the empty memory than a window reaches.
const FIRST_WORD: u32 = 48;

/// What is remembered from word to word.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    recent: Recent,
    seen: Seen,
}

/// The words before.
#[derive(Clone, Debug)]
struct Seen {
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
            recent: Recent::new(),
            seen: Seen {
                number: FIRST_WORD,
                words: 0,
                hashes: [0; 2],
                stems: [0; 2],
                known: [(0, 0); 2],
                head: Head::default(),
            },
        }
    }

    /// The features of the next word, each a bucket.
    pub(crate) fn next(&mut self, word: &Word, data: bool, mut emit: impl FnMut(u32)) {
        let Self { recent, seen } = self;
        seen.next(word, data, |feature, number| {
            if recent.take(feature, number) {
                emit(feature.bucket);
            }
        });
    }

    /// What the features of the next word weigh together.
    #[inline]
    pub(crate) fn weigh(&mut self, word: &Word, data: bool, weights: &[u8; BUCKETS]) -> i32 {
        let Self { recent, seen } = self;
        let mut sum = 0_i32;
        seen.next(word, data, |feature, number| {
            let at = usize::try_from(feature.bucket).unwrap_or(usize::MAX) % BUCKETS;
            let weight = weights.get(at).map_or(0, |weight| weight.cast_signed());
            let taken = recent.take(feature, number);
            sum = sum.wrapping_add(select_unpredictable(taken, i32::from(weight), 0));
        });
        sum
    }
}

impl Seen {
    #[inline]
    fn next(&mut self, word: &Word, data: bool, mut emit: impl FnMut(Feature, u32)) {
        self.number += 1;
        self.words += 1;
        let number = self.number;
        self.all(word, data, |feature| emit(feature, number));
    }

    #[inline]
    fn all(&mut self, word: &Word, data: bool, mut emit: impl FnMut(Feature)) {
        let [one, two] = self.hashes;
        let [stem, _] = self.stems;
        emit(there(lexical(1, word.hash, 0, 0)));
        emit(Feature {
            bucket: lexical(2, word.stem, 0, 0),
            there: word.stem != word.hash,
        });
        if word.shape & (CAPITALS | CALLS | OPENS) != 0 {
            let shape = u32::from(word.shape & (CAPITALS | CALLS | OPENS));
            emit(there(lexical(3, word.hash, shape, 0)));
            emit(there(general(4, u32::from(word.shape & !DIGITS), 0, 0)));
        }
        if self.words > 1 {
            emit(there(lexical(5, one, word.hash, 0)));
            emit(there(lexical(6, stem, word.stem, 0)));
        }
        if self.words > 2 {
            emit(there(lexical(7, two, word.hash, 0)));
            emit(there(lexical(8, two, one, word.hash)));
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
    fn sentence(&mut self, word: &Word, data: bool, emit: &mut impl FnMut(Feature)) {
        let data = u32::from(data);
        let class = u32::from(word.class);
        if word.gap != Gap::None {
            self.head = Head {
                class: 0,
                gap: word.gap,
                number: self.number,
            };
            let first = u32::from(word.gap == Gap::Text);
            emit(there(lexical(30, word.hash, first, data)));
            emit(there(general(31, class, word.gap as u32, data)));
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
            emit(there(general(32, class, gap as u32, data)));
        } else if head != 0 {
            let at = u32::from(gap == Gap::Text) + 2 * data;
            emit(there(general(33, u32::from(head), class, at)));
        }
    }

    /// Known words near each other, whatever stands between them.
    fn known(&mut self, word: &Word, data: bool, mut emit: impl FnMut(Feature)) {
        let class = u32::from(word.class);
        let quoted = u32::from(word.shape & QUOTED);
        emit(there(general(9, class, quoted, u32::from(data))));
        let [(before, at), (first, first_at)] = self.known;
        if at > 0 && self.number - at <= REACH_WORDS {
            emit(there(general(10, u32::from(before), class, 0)));
            if first_at > 0 && self.number - first_at <= 2 * REACH_WORDS {
                emit(there(general(11, u32::from(first), u32::from(before), class)));
            }
        }
        self.known = [(word.class, self.number), (before, at)];
    }
}

/// Sorts of lengths of a window, and of how many words about attacks stand around it.
pub(crate) const LENGTHS: usize = 6;
pub(crate) const ATTACKS_AROUND: usize = 6;

/// The sort of a length.
#[inline]
pub(crate) const fn length_sort(words: usize) -> usize {
    match words {
        0..=2 => 0,
        3..=5 => 1,
        6..=10 => 2,
        11..=18 => 3,
        19..=31 => 4,
        _ => 5,
    }
}

/// The sort of how many words about attacks there are.
#[inline]
pub(crate) const fn attacks_sort(attacks: u32) -> usize {
    match attacks {
        0 => 0,
        1 => 1,
        2 => 2,
        3..=4 => 3,
        5..=8 => 4,
        _ => 5,
    }
}

/// The bucket of a sort of length.
pub(crate) const fn of_length(sort: usize) -> u32 {
    general(20, number(sort), 0, 0)
}

/// The bucket of how many words about attacks stand around.
pub(crate) const fn of_attacks(sort: usize) -> u32 {
    general(21, number(sort), 0, 0)
}

/// Sorts are few.
#[expect(clippy::cast_possible_truncation, reason = "there are six")]
const fn number(sort: usize) -> u32 {
    sort as u32
}

/// What training begins with: a text with many words about attacks is about attacks, and quotes some.
pub const PRIOR: [(u32, f32); 3] = [
    (of_attacks(3), -0.7),
    (of_attacks(4), -1.5),
    (of_attacks(5), -2.5),
];
