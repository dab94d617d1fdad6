//! Fingerprints of text: of its telling words, its runs of words, its letters and digits. They are asked at
//! every call about everything a context has read, so a question must cost little however much that is.
//!
//! Texts are expected in small letters.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use super::words::squash;

/// Most fingerprints of each sort kept of one text.
const MARKS_MAX: usize = 1024;
/// Fewest bytes of a word that is worth a fingerprint of its own.
const WORD_MIN: usize = 5;
/// Words of one fingerprint of running text.
const SHINGLE: usize = 4;
/// Bytes of one fingerprint of letters and digits.
const GRAM: usize = 4;
/// Most of them that are asked about one value.
const GRAMS_ASKED: usize = 32;

/// The same for the same bytes, in every process: a test that fails can be run again.
const STATE: FixedState = FixedState::with_seed(0);
/// An odd number without a pattern (2^64 divided by the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

fn mark(text: &str) -> u64 {
    let mut hasher = STATE.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Of a word's letters and digits, whatever stands between them.
fn word_mark(word: &str) -> u64 {
    let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if plain { mark(word) } else { mark(&squash(word)) }
}

/// The words of a text that are worth a fingerprint.
fn telling(text: &str) -> impl Iterator<Item = u64> {
    text.split_whitespace()
        .filter(|word| word.len() >= WORD_MIN)
        .map(word_mark)
}

/// Fingerprints of every run of [`SHINGLE`] words.
fn shingles(text: &str) -> impl Iterator<Item = u64> {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut window = [0; SHINGLE];
    let runs = words.map(move |word| {
        window.rotate_left(1);
        if let Some(last) = window.last_mut() {
            *last = mark(word);
        }
        window.iter().fold(0_u64, |run, word| {
            (run.rotate_left(5) ^ word).wrapping_mul(SPREAD)
        })
    });
    runs.skip(SHINGLE - 1)
}

/// Fingerprints, sorted: all of them, or the smallest, which are as good as drawn by lot.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    marks: Vec<u64>,
    /// The largest fingerprint of which it is known whether it is there.
    ceiling: u64,
}

impl Sketch {
    pub(super) fn of_words(text: &str) -> Self {
        Self::of(telling(text).collect())
    }

    pub(super) fn of_runs(text: &str) -> Self {
        Self::of(shingles(text).collect())
    }

    fn of(mut marks: Vec<u64>) -> Self {
        marks.sort_unstable();
        marks.dedup();
        let whole = marks.len() <= MARKS_MAX;
        marks.truncate(MARKS_MAX);
        marks.shrink_to_fit();
        let ceiling = if whole {
            u64::MAX
        } else {
            marks.last().copied().unwrap_or(u64::MAX)
        };
        Self { marks, ceiling }
    }

    /// Whether all telling words of a value may have stood in the text: what lies beyond what is known counts
    /// as there.
    pub(super) fn may_hold(&self, value: &str) -> bool {
        let mut words = telling(value).peekable();
        words.peek().is_some()
            && words.all(|mark| mark > self.ceiling || self.marks.binary_search(&mark).is_ok())
    }

    /// How many of these runs stood in the text, counted up to `enough`, and of how many that can be said.
    pub(super) fn shared(&self, runs: &Runs, enough: impl Fn(usize) -> usize) -> (usize, usize) {
        let known = runs.marks.partition_point(|run| *run <= self.ceiling);
        let common = self.marks.iter().filter(|mark| runs.holds(**mark));
        (common.take(enough(known)).count(), known)
    }

    pub(super) fn join(&mut self, other: &Self) {
        let ceiling = self.ceiling.min(other.ceiling);
        self.marks.extend(&other.marks);
        self.marks.retain(|mark| *mark <= ceiling);
        let joined = Self::of(std::mem::take(&mut self.marks));
        *self = Self {
            ceiling: ceiling.min(joined.ceiling),
            ..joined
        };
    }
}

/// The runs of words of a text that is asked about.
pub(super) struct Runs {
    marks: Vec<u64>,
    /// A bit for each mark: most questions are answered "no", and by this alone.
    bits: Bits,
}

impl Runs {
    pub(super) fn of(text: &str) -> Self {
        let mut marks: Vec<u64> = shingles(text).collect();
        marks.sort_unstable();
        marks.dedup();
        let mut bits = Bits::with_room_for(marks.len());
        marks.iter().for_each(|mark| bits.set(*mark));
        Self { marks, bits }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    fn holds(&self, mark: u64) -> bool {
        self.bits.may_hold(mark) && self.marks.binary_search(&mark).is_ok()
    }
}

/// Which letters and digits follow each other in a text, whatever stands between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Grams(Bits);

impl Grams {
    pub(super) fn of(text: &str) -> Self {
        let mut bits = Bits::with_room_for(text.len());
        grams(text, |gram| bits.set(gram));
        Self(bits)
    }

    /// Whether the letters and digits of a value may follow each other in the text. Yes for a value too short to
    /// tell.
    pub(super) fn may_hold(&self, value: &str) -> bool {
        let mut asked = 0;
        let mut held = true;
        grams(value, |gram| {
            asked += 1;
            held = held && (asked > GRAMS_ASKED || self.0.may_hold(gram));
        });
        held
    }
}

/// Every [`GRAM`] bytes of the letters and digits of a text.
fn grams(text: &str, mut each: impl FnMut(u64)) {
    let mut window = 0_u32;
    let mut length = 0;
    let mut push = |byte: u8| {
        window = window << 8 | u32::from(byte);
        length += 1;
        if length >= GRAM {
            each(u64::from(window).wrapping_mul(SPREAD));
        }
    };
    if text.is_ascii() {
        text.bytes().filter(u8::is_ascii_alphanumeric).for_each(push);
    } else {
        let mut buffer = [0; 4];
        for c in text.chars().filter(|c| c.is_alphanumeric()) {
            c.encode_utf8(&mut buffer).bytes().for_each(&mut push);
        }
    }
}

/// A set of marks that may say yes where no is right, never the other way: two bits for each.
#[derive(Clone, Debug, Default)]
struct Bits {
    /// Its length is a power of two, or nothing.
    words: Vec<u64>,
}

impl Bits {
    /// Eight bits for each mark.
    fn with_room_for(marks: usize) -> Self {
        let words = (marks / 8 + 1).next_power_of_two();
        Self {
            words: vec![0; words],
        }
    }

    fn set(&mut self, mark: u64) {
        for (word, bit) in self.places(mark) {
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn may_hold(&self, mark: u64) -> bool {
        let has = |(word, bit): (usize, u64)| self.words.get(word).is_some_and(|word| word & bit != 0);
        self.places(mark).into_iter().all(has)
    }

    fn places(&self, mark: u64) -> [(usize, u64); 2] {
        let place = |from: u64| {
            let word = usize::try_from(from >> 6).unwrap_or(0) & self.words.len().wrapping_sub(1);
            (word, 1 << (from & 63))
        };
        // The high bits are the well mixed ones.
        [place(mark >> 34), place(mark >> 8 & 0x3fff_ffff)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_text_is_never_denied() {
        let text = "please pay to at68 5453 2054 at once, before the office closes for the year";
        let grams = Grams::of(text);
        for value in ["at6854532054", "at68-5453", "pay", "the office"] {
            assert!(grams.may_hold(value), "{value}");
        }
        assert!(!grams.may_hold("at6854532055"));
        let grams = Grams::of("grüße an zürich 8001");
        assert!(grams.may_hold("zürich 8001") && !grams.may_hold("zürich 8002"));
    }

    #[test]
    fn runs_are_counted_whatever_stands_between_their_words() {
        let sketch = Sketch::of_runs("one two three four five six");
        let (shared, known) = sketch.shared(&Runs::of("(one) two, three: four five seven"), |known| known);
        assert_eq!((shared, known), (2, 3));
        assert!(Runs::of("one two three").is_empty());
    }

    #[test]
    fn many_marks_are_as_good_as_drawn_by_lot() {
        let text = |from: usize| {
            (from..from + 4000)
                .map(|n| format!("word{n} "))
                .collect::<String>()
        };
        let sketch = Sketch::of_runs(&text(0));
        let (shared, known) = sketch.shared(&Runs::of(&text(2000)), |known| known);
        assert!(known > 800 && known < 1300, "{known}");
        assert!(
            shared * 10 > known * 4 && shared * 10 < known * 6,
            "{shared} of {known}"
        );
    }
}
