//! Questions put to fingerprints: at every call, about everything a context has read, so each must cost little
//! however much that is. Texts are expected in small letters.

use std::ops::ControlFlow;

use super::{
    order::{PLACES_MAX, place, sort},
    sketch::{Mark, Sketch, shingles},
};

/// Bytes of one fingerprint of letters and digits.
const GRAM: usize = 4;
/// Most of them that are asked about one value.
const GRAMS_ASKED: usize = 32;

/// A list so many times as long as another is searched for each of the other's marks, not read.
const FEW: usize = 8;
/// Marks that are counted together.
const BLOCK: usize = 64;

/// An odd number without a pattern (2^64 divided by the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The runs of words of a text that is asked about.
pub(super) struct Runs {
    /// Sorted, each once.
    marks: Vec<Mark>,
    /// By the upper bits of a mark, whether one of the marks begins so.
    begun: Vec<bool>,
}

impl Runs {
    pub(super) fn of(text: &str) -> Self {
        let mut marks = shingles(text);
        sort(&mut marks, Mark::MAX);
        let places = (8 * marks.len()).next_power_of_two().clamp(2, PLACES_MAX);
        let mut runs = Self {
            marks,
            begun: vec![false; places],
        };
        for mark in &runs.marks {
            if let Some(begun) = runs.begun.get_mut(place(*mark, places)) {
                *begun = true;
            }
        }
        runs
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Whether so many of these runs as are wanted stood in the text of a sketch, where `wanted` is told of how many of
    /// them that can be said.
    pub(super) fn share(&self, sketch: &Sketch, wanted: impl Fn(usize) -> usize) -> bool {
        let (known, _) = self
            .marks
            .split_at(self.marks.partition_point(|run| *run <= sketch.ceiling));
        let wanted = wanted(known.len());
        let is_short = known.len() * FEW < sketch.marks.len();
        (is_short || self.may_share(&sketch.marks, wanted)) && have_common(known, &sketch.marks, wanted)
    }

    /// Whether so many of the runs may be among these marks. Nearly all that was read lent nothing to a text, and is told
    /// by this: it counts what only begins as a run does, too, and leaves out none of the runs. So the true count never
    /// is above this one, which itself can only grow by what is left.
    fn may_share(&self, marks: &[Mark], wanted: usize) -> bool {
        let (mut counted, mut left) = (0, marks.len());
        for block in marks.chunks(BLOCK) {
            // Without a way out between: which of them are there cannot be foretold.
            let may_be_run = |mark: &Mark| self.begun.get(place(*mark, self.begun.len())) != Some(&false);
            counted += block
                .iter()
                .map(|mark| usize::from(may_be_run(mark)))
                .sum::<usize>();
            left -= block.len();
            if counted + left < wanted {
                return false;
            }
        }
        counted >= wanted
    }
}

/// Whether two lists, sorted and without repetition, have so many marks in common.
fn have_common(one: &[Mark], other: &[Mark], wanted: usize) -> bool {
    let (mut few, mut many) = if one.len() < other.len() {
        (one, other)
    } else {
        (other, one)
    };
    if few.len() * FEW < many.len() {
        let common = few.iter().filter(|mark| many.binary_search(mark).is_ok());
        return common.take(wanted).count() >= wanted;
    }
    let mut common = 0;
    while common < wanted {
        let (Some((a, after_a)), Some((b, after_b))) = (few.split_first(), many.split_first()) else {
            return false;
        };
        common += usize::from(a == b);
        if a <= b {
            few = after_a;
        }
        if b <= a {
            many = after_b;
        }
    }
    true
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
    use std::cell::Cell;

    use super::*;

    /// How many runs stood in the text of a sketch, and of how many that can be said.
    fn shared(runs: &Runs, sketch: &Sketch) -> (usize, usize) {
        let known = Cell::new(0);
        let reach = |count: usize| {
            runs.share(sketch, |of| {
                known.set(of);
                count
            })
        };
        let shared = (0..).find(|count| !reach(count + 1)).unwrap_or_default();
        (shared, known.get())
    }

    /// What is told by bits first, and only as far as it is asked, is what looking for each of the runs tells.
    #[test]
    fn sharing_is_told_as_by_looking_for_each() {
        let mut lot = 1_u32;
        let mut draw = |below: u32| {
            lot = lot.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (lot >> 8) % below
        };
        for round in 0..2_000 {
            // Few words, so that runs come back, over and over in some rounds.
            let words = 3 + draw(2 + round / 10);
            let (asked, read) = (draw(400), draw(400));
            let mut text = |length| {
                (0..length)
                    .map(|_| format!("w{} ", draw(words)))
                    .collect::<String>()
            };
            let runs = Runs::of(&text(asked));
            let sketch = Sketch::of(shingles(&text(read)), 1 + round as usize % 90);
            let known = runs.marks.iter().filter(|mark| **mark <= sketch.ceiling).count();
            let common = sketch
                .marks
                .iter()
                .filter(|mark| runs.marks.contains(mark))
                .count();
            assert_eq!(shared(&runs, &sketch), (common, known), "round {round}");
        }
    }

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
        assert_eq!(shared(&runs, &sketch), (2, 3));
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
        let (shared, known) = shared(&Runs::of(&text(2000)), &sketch);
        assert!(known > 800 && known < 1300, "{known}");
        assert!(
            shared * 10 > known * 4 && shared * 10 < known * 6,
            "{shared} of {known}"
        );
    }
}
