//! Questions put to fingerprints: at every call, about everything a context has read, so each must cost little
//! however much that is. Texts are expected in small letters.

use std::ops::ControlFlow;

use super::sketch::{Mark, Sketch, shingles};

/// Bytes of one fingerprint of letters and digits.
const GRAM: usize = 4;
/// Most of them that are asked about one value.
const GRAMS_ASKED: usize = 32;

/// An odd number without a pattern (2^64 divided by the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The runs of words of a text that is asked about.
pub(super) struct Runs {
    marks: Vec<Mark>,
    /// A bit for each mark: most questions are answered "no", and by this alone.
    bits: Bits,
}

impl Runs {
    pub(super) fn of(text: &str) -> Self {
        let mut marks = shingles(text);
        marks.sort_unstable();
        marks.dedup();
        let mut bits = Bits::with_room_for(marks.len());
        marks.iter().for_each(|mark| bits.set(u64::from(*mark)));
        Self { marks, bits }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// How many of these runs stood in the text of a sketch, counted up to `enough`, and of how many that can be
    /// said.
    pub(super) fn shared(&self, sketch: &Sketch, enough: impl Fn(usize) -> usize) -> (usize, usize) {
        let known = self.marks.partition_point(|run| *run <= sketch.ceiling);
        let common = sketch.marks.iter().filter(|mark| self.holds(**mark));
        (common.take(enough(known)).count(), known)
    }

    fn holds(&self, mark: Mark) -> bool {
        self.bits.may_hold(u64::from(mark)) && self.marks.binary_search(&mark).is_ok()
    }
}

/// Which letters and digits follow each other in a text, whatever stands between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Grams(Bits);

impl Grams {
    pub(super) fn of(text: &str) -> Self {
        let mut bits = Bits::with_room_for(text.len());
        let _: ControlFlow<Asked> = grams(text, |gram| {
            bits.set(gram);
            ControlFlow::Continue(())
        });
        Self(bits)
    }

    /// Whether the letters and digits of a value may follow each other in the text. Yes for a value too short to
    /// tell.
    pub(super) fn may_hold(&self, value: &str) -> bool {
        let mut asked = 0;
        let denied = grams(value, |gram| {
            asked += 1;
            if !self.0.may_hold(gram) {
                return ControlFlow::Break(Asked::No);
            }
            if asked == GRAMS_ASKED {
                return ControlFlow::Break(Asked::Enough);
            }
            ControlFlow::Continue(())
        });
        denied != ControlFlow::Break(Asked::No)
    }
}

/// Why no more grams of a value are asked about.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Asked {
    /// One does not stand in the text.
    No,
    /// Many do.
    Enough,
}

/// Every [`GRAM`] bytes of the letters and digits of a text, until one is enough.
fn grams(text: &str, mut each: impl FnMut(u64) -> ControlFlow<Asked>) -> ControlFlow<Asked> {
    let mut window = 0_u32;
    let mut length = 0;
    let mut push = |byte: u8| {
        window = window << 8 | u32::from(byte);
        length += 1;
        if length >= GRAM {
            each(u64::from(window))
        } else {
            ControlFlow::Continue(())
        }
    };
    if text.is_ascii() {
        return text.bytes().filter(u8::is_ascii_alphanumeric).try_for_each(push);
    }
    let mut buffer = [0; 4];
    let mut letters = text.chars().filter(|c| c.is_alphanumeric());
    letters.try_for_each(|c| c.encode_utf8(&mut buffer).bytes().try_for_each(&mut push))
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
        let (word, bits) = self.place(mark);
        if let Some(word) = self.words.get_mut(word) {
            *word |= bits;
        }
    }

    fn may_hold(&self, mark: u64) -> bool {
        let (word, bits) = self.place(mark);
        self.words.get(word).is_some_and(|word| word & bits == bits)
    }

    /// Two bits of one word: one look into memory for each question.
    fn place(&self, mark: u64) -> (usize, u64) {
        // The high bits are the well mixed ones.
        let mixed = mark.wrapping_mul(SPREAD);
        let word = usize::try_from(mixed >> 40).unwrap_or(0) & self.words.len().wrapping_sub(1);
        (word, 1 << (mixed >> 34 & 63) | 1 << (mixed >> 28 & 63))
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
        let sketch = Sketch::of(shingles("one two three four five six"), 100);
        let runs = Runs::of("(one) two, three: four five seven");
        assert_eq!(runs.shared(&sketch, |known| known), (2, 3));
        assert!(Runs::of("one two three").is_empty());
    }

    #[test]
    fn many_marks_are_as_good_as_drawn_by_lot() {
        let text = |from: usize| {
            (from..from + 4000)
                .map(|n| format!("word{n} "))
                .collect::<String>()
        };
        let sketch = Sketch::of(shingles(&text(0)), 1024);
        let (shared, known) = Runs::of(&text(2000)).shared(&sketch, |known| known);
        assert!(known > 800 && known < 1300, "{known}");
        assert!(
            shared * 10 > known * 4 && shared * 10 < known * 6,
            "{shared} of {known}"
        );
    }
}
