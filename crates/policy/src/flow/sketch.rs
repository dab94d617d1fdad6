//! Fingerprints of words and of runs of words. Stored ones must be readable by the next version, so the hash is
//! our own and never changes. They answer "may it have stood there", and where they cannot tell, yes.

use std::collections::BTreeSet;

use super::words::{squash, words};

/// Fewest bytes of a word that is worth a fingerprint of its own.
pub(super) const WORD_MIN: usize = 5;
/// Words of one fingerprint of running text.
pub(super) const RUN: usize = 4;

/// A fingerprint.
pub(super) type Mark = u32;

/// Fingerprints: all of them, or the smallest, which are as good as drawn by lot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sketch {
    /// Sorted, without repetition.
    pub(super) marks: Vec<Mark>,
    /// The largest fingerprint of which it is known whether it is there.
    pub(super) ceiling: Mark,
}

impl Sketch {
    /// Of these fingerprints, at most `max`.
    pub(super) fn of(marks: Vec<Mark>, max: usize) -> Self {
        let mut sketch = Self {
            marks,
            ceiling: Mark::MAX,
        };
        sketch.settle(max);
        sketch
    }

    /// What lies beyond what is known counts as there.
    pub(super) fn may_hold(&self, mark: Mark) -> bool {
        mark > self.ceiling || self.marks.binary_search(&mark).is_ok()
    }

    /// Takes in another's.
    pub(super) fn join(&mut self, other: &Self, max: usize) {
        self.ceiling = self.ceiling.min(other.ceiling);
        self.marks.extend(&other.marks);
        self.settle(max);
    }

    fn settle(&mut self, max: usize) {
        self.marks.sort_unstable();
        self.marks.dedup();
        if self.marks.len() > max {
            self.marks.truncate(max);
            self.ceiling = self.ceiling.min(self.marks.last().copied().unwrap_or(0));
        }
        let ceiling = self.ceiling;
        self.marks.retain(|mark| *mark <= ceiling);
    }

    /// As text.
    pub(super) fn to_text(&self) -> String {
        use std::fmt::Write;
        let mut text = String::with_capacity(8 * (self.marks.len() + 1));
        for mark in std::iter::once(&self.ceiling).chain(&self.marks) {
            let _ = write!(text, "{mark:08x}");
        }
        text
    }

    /// Reads the text; none if it is not what [`Sketch::to_text`] wrote.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let marks = text.as_bytes().chunks(8).map(|chunk| {
            let digits = std::str::from_utf8(chunk)
                .ok()
                .filter(|digits| digits.len() == 8)?;
            Mark::from_str_radix(digits, 16).ok()
        });
        let mut marks: Vec<Mark> = marks.collect::<Option<_>>()?;
        if marks.is_empty() {
            return None;
        }
        let ceiling = marks.remove(0);
        marks.is_sorted().then_some(Self { marks, ceiling })
    }
}

/// A fingerprint under way: FNV-1a, its bits spread at the end.
#[derive(Clone, Copy)]
pub(super) struct Hash(u64);

impl Hash {
    pub(super) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    pub(super) fn and(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    pub(super) fn mark(self) -> Mark {
        let mut bits = self.0;
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        let [a, b, c, d, ..] = (bits ^ (bits >> 33)).to_be_bytes();
        Mark::from_be_bytes([a, b, c, d])
    }
}

/// Of one text.
pub(super) fn mark(text: &str) -> Mark {
    Hash::EMPTY.and(text).mark()
}

/// Of every run of `count` words.
pub(super) fn runs(words: &[String], count: usize) -> impl Iterator<Item = Mark> + '_ {
    words.windows(count.max(1)).map(|run| {
        let joined = run.iter().fold(Hash::EMPTY, |hash, word| hash.and(word).and(" "));
        joined.mark()
    })
}

/// Of every run of [`RUN`] words of a text.
pub(super) fn shingles(text: &str) -> Vec<Mark> {
    let words: Vec<String> = words(text).collect();
    runs(&words, RUN).collect()
}

/// Of the telling words of a text: with their punctuation taken for nothing, and taken for an end.
pub(super) fn telling(text: &str) -> BTreeSet<Mark> {
    let mut marks = BTreeSet::new();
    for word in text.split_whitespace().filter(|word| word.len() >= WORD_MIN) {
        marks.insert(mark(&squash(word)));
        let ends = |c: char| "\"'`<>()[]{},;=|\\:".contains(c);
        if word.contains(ends) {
            let parts = word.split(ends).filter(|part| part.len() >= WORD_MIN);
            marks.extend(parts.map(|part| mark(&squash(part))));
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored fingerprints outlive versions: these numbers are in people's stores.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!((mark(""), mark("eveevilexample")), (0xefd0_1f60, 0xa35e_ba8c));
    }

    #[test]
    fn what_is_stored_is_read() {
        let sketch = Sketch::of(vec![7, 3, 9, 3, 1], 3);
        assert_eq!((sketch.marks.as_slice(), sketch.ceiling), (&[1, 3, 7][..], 7));
        assert!(sketch.may_hold(3) && !sketch.may_hold(4) && sketch.may_hold(8));
        assert_eq!(Sketch::from_text(&sketch.to_text()), Some(sketch));
        for damaged in ["", "0000000", "0000000200000001000000000", "zzzzzzzz"] {
            assert_eq!(Sketch::from_text(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn a_word_is_known_inside_a_link_and_a_field() {
        let marks = telling("<a href=\"mailto:eve@evil.example\">write</a>");
        assert!(marks.contains(&mark(&squash("eve@evil.example"))));
    }
}
