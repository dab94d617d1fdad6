//! What the model sees of a word and the words before it.

use std::hint::select_unpredictable;

use fearless_simd::{Level, dispatch};

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
/// The bits of a hash below its bucket.
const BUCKET_SHIFT: u32 = 32 - BUCKET_BITS;
/// The weights whose hashes are below this are of sorts of words, not of words.
const GENERAL: u32 = 1 << (32 - GENERAL_SHIFT);
const GENERAL_SHIFT: u32 = 3;

/// Words that may stand between two known ones that belong together.
const REACH_WORDS: u32 = 8;

/// What was seen a window ago or less is not counted again: saying a thing often does not make it worse.
///
/// An entry is the number of the word in its lower bits, and of the bucket the bits that its slot does not tell in its
/// upper ones.
#[derive(Clone, Debug)]
struct Recent([u32; RECENT]);

const RECENT: usize = 1024;
/// No text has so many words.
const NUMBERS: u32 = 1 << 24;

impl Recent {
    fn new() -> Self {
        Self([0; RECENT])
    }

    /// Whether there is something to take and it is new, as of the word with this number. Said without a branch: which
    /// features of a text are new cannot be foretold.
    #[inline]
    fn take(&mut self, feature: Feature, number: u32) -> bool {
        let Some(entry) = self.0.get_mut(feature.bucket() % RECENT) else {
            return false;
        };
        let fresh = feature.hash & !(NUMBERS - 1) | number;
        // Of the same bucket, how many words ago; of another, more than there are words.
        let age = fresh.wrapping_sub(*entry);
        let taken = feature.there & (age > WINDOW_REACH);
        *entry = select_unpredictable(taken, fresh, *entry);
        taken
    }
}

/// What may be seen of a word.
#[derive(Clone, Copy, Debug)]
struct Feature {
    /// The bucket, in as many bits as it has, the upper ones.
    hash: u32,
    /// Whether it is there at all.
    there: bool,
}

impl Feature {
    #[inline]
    fn bucket(self) -> usize {
        usize::try_from(self.hash >> BUCKET_SHIFT).unwrap_or(0)
    }
}

/// Of a bucket that is there.
#[inline]
const fn there(hash: u32) -> Feature {
    Feature { hash, there: true }
}

/// The words of a window, as a number of words.
const WINDOW_REACH: u32 = 24;

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
    /// Hash and stem of the last one and of the one before it.
    before: [(u32, u32); 2],
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

/// What the first part of a place is multiplied by.
const FIRST_FACTOR: u32 = 0x85EB_CA6B;

/// A place whose first part is multiplied already, which is done once for all that have the same.
#[inline]
const fn place(sort: u32, multiplied: u32, b: u32, c: u32) -> u32 {
    let h = sort
        .wrapping_mul(0xC2B2_AE35)
        .wrapping_mul(FIRST_FACTOR)
        .wrapping_add(multiplied)
        .rotate_left(13)
        .wrapping_add(b)
        .wrapping_mul(0x27D4_EB2F)
        .rotate_left(15)
        .wrapping_add(c)
        .wrapping_mul(0x1656_67B1);
    (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D)
}

/// A bucket of what does not depend on the very words: it holds for texts that were never seen.
#[inline]
const fn general(sort: u32, a: u32, b: u32, c: u32) -> u32 {
    place(sort, a.wrapping_mul(FIRST_FACTOR), b, c) >> GENERAL_SHIFT
}

/// A bucket of very words.
#[inline]
const fn lexical(sort: u32, a: u32, b: u32, c: u32) -> u32 {
    specific(place(sort, a.wrapping_mul(FIRST_FACTOR), b, c))
}

/// What is below the others is for sorts of words.
#[inline]
const fn specific(hash: u32) -> u32 {
    if hash < GENERAL { hash | GENERAL } else { hash }
}

/// Words whose buckets are worked out together.
const TOGETHER: usize = 32;

/// The buckets of very words that are asked for of every word, of many words. They are worked out feature by feature
/// and without a decision, which a processor does for several words at once.
struct Lexical {
    /// The word, and its stem.
    alone: [[u32; TOGETHER]; 2],
    /// The same after the word before.
    after_one: [[u32; TOGETHER]; 2],
    /// The word after the one before that, and after both.
    after_two: [[u32; TOGETHER]; 2],
}

impl Lexical {
    /// With the widest registers this processor has.
    #[inline(never)]
    fn new(words: &[Word], before: &mut [(u32, u32); 2]) -> Self {
        dispatch!(Level::new(), _registers => Self::worked_out(words, before))
    }

    #[inline(always)]
    fn worked_out(words: &[Word], before: &mut [(u32, u32); 2]) -> Self {
        let zeros = [0; TOGETHER];
        let (mut hashes, mut ones, mut twos) = (zeros, zeros, zeros);
        let (mut stems, mut stems_before) = (zeros, zeros);
        let after = ones.iter_mut().zip(&mut twos).zip(&mut stems_before);
        for (((hash, stem), ((one, two), stem_before)), word) in
            hashes.iter_mut().zip(&mut stems).zip(after).zip(words)
        {
            let [last, last_but_one] = *before;
            (*hash, *stem) = (word.hash, word.stem);
            (*one, *two, *stem_before) = (last.0, last_but_one.0, last.1);
            *before = [(word.hash, word.stem), last];
        }
        // Not by `array::map`, which the compiler leaves as a call for each of them.
        let multiplied = |parts: &[u32; TOGETHER]| {
            let mut parts = *parts;
            parts
                .iter_mut()
                .for_each(|part| *part = part.wrapping_mul(FIRST_FACTOR));
            parts
        };
        let alone = |sort, parts| {
            let mut parts = multiplied(parts);
            parts
                .iter_mut()
                .for_each(|a| *a = specific(place(sort, *a, 0, 0)));
            parts
        };
        let pair = |sort, mut first: [u32; TOGETHER], second: &[u32; TOGETHER]| {
            let each = first.iter_mut().zip(second);
            each.for_each(|(a, b)| *a = specific(place(sort, *a, *b, 0)));
            first
        };
        let begins = multiplied(&twos);
        let mut three = begins;
        for ((a, b), c) in three.iter_mut().zip(&ones).zip(&hashes) {
            *a = specific(place(8, *a, *b, *c));
        }
        Self {
            alone: [alone(1, &hashes), alone(2, &stems)],
            after_one: [
                pair(5, multiplied(&ones), &hashes),
                pair(6, multiplied(&stems_before), &stems),
            ],
            after_two: [pair(7, begins, &hashes), three],
        }
    }

    /// Two of the buckets of a word.
    #[inline]
    fn of(two: &[[u32; TOGETHER]; 2], n: usize) -> [Feature; 2] {
        let [one, other] = two;
        let at = |buckets: &[u32; TOGETHER]| there(buckets.get(n % TOGETHER).copied().unwrap_or(0));
        [at(one), at(other)]
    }
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            recent: Recent::new(),
            seen: Seen {
                number: FIRST_WORD,
                before: [(0, 0); 2],
                known: [(0, 0); 2],
                head: Head::default(),
            },
        }
    }

    /// The features of words, each a bucket.
    pub(crate) fn read(&mut self, words: &[Word], data: bool) -> Vec<Vec<u32>> {
        let Self { recent, seen } = self;
        let mut read = Vec::new();
        for words in words.chunks(TOGETHER) {
            let lexical = Lexical::new(words, &mut seen.before);
            read.extend(words.iter().enumerate().map(|(n, word)| {
                let mut buckets = Vec::new();
                seen.next((word, n), &lexical, data, |feature, number| {
                    if recent.take(feature, number) {
                        buckets.push(feature.hash >> BUCKET_SHIFT);
                    }
                });
                buckets
            }));
        }
        read
    }

    /// What the features of each word weigh together.
    #[inline]
    pub(crate) fn weigh(
        &mut self,
        words: &[Word],
        data: bool,
        weights: &[u8; BUCKETS],
        mut each: impl FnMut(i32),
    ) {
        let Self { recent, seen } = self;
        for words in words.chunks(TOGETHER) {
            let lexical = Lexical::new(words, &mut seen.before);
            for (n, word) in words.iter().enumerate() {
                let mut sum = 0_i32;
                seen.next((word, n), &lexical, data, |feature, number| {
                    let weight = weights.get(feature.bucket());
                    let weight = weight.map_or(0, |weight| weight.cast_signed());
                    let taken = recent.take(feature, number);
                    sum = sum.wrapping_add(select_unpredictable(taken, i32::from(weight), 0));
                });
                each(sum);
            }
        }
    }
}

impl Seen {
    /// What is seen of the next word, which is so far from the first of those whose buckets were worked out together.
    #[inline]
    fn next(
        &mut self,
        (word, n): (&Word, usize),
        lexical: &Lexical,
        data: bool,
        mut emit: impl FnMut(Feature, u32),
    ) {
        // Numbers do not reach where they would wrap: see `WORDS_MAX`.
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let mut emit = |feature| emit(feature, number);
        let [alone, stem] = Lexical::of(&lexical.alone, n);
        emit(alone);
        emit(Feature {
            there: word.stem != word.hash,
            ..stem
        });
        if word.shape & (CAPITALS | CALLS | OPENS) != 0 {
            let shape = u32::from(word.shape & (CAPITALS | CALLS | OPENS));
            emit(there(self::lexical(3, word.hash, shape, 0)));
            emit(there(general(4, u32::from(word.shape & !DIGITS), 0, 0)));
        }
        if number > FIRST_WORD + 1 {
            Lexical::of(&lexical.after_one, n).into_iter().for_each(&mut emit);
        }
        if number > FIRST_WORD + 2 {
            Lexical::of(&lexical.after_two, n).into_iter().for_each(&mut emit);
        }
        self.sentence(word, data, &mut emit);
        if word.class != 0 {
            self.known(word, data, emit);
        }
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
            let begins = u32::from(word.gap == Gap::Text);
            emit(there(lexical(30, word.hash, begins, data)));
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
    general(20, number(sort), 0, 0) >> BUCKET_SHIFT
}

/// The bucket of how many words about attacks stand around.
pub(crate) const fn of_attacks(sort: usize) -> u32 {
    general(21, number(sort), 0, 0) >> BUCKET_SHIFT
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
