//! Fingerprints of words and of runs of words. Stored ones must be readable by the next version, so the hash is
//! our own and never changes. They answer "may it have stood there", and where they cannot tell, yes.

use super::words::squash;

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

/// What the hash of a text begins with.
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over the bytes of a text.
fn hash(text: &str) -> u64 {
    text.bytes().fold(HASH_START, hash_on)
}

fn hash_on(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

/// Spreads the bits of a hash (the finish of MurmurHash3).
fn spread(mut bits: u64) -> Mark {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let [a, b, c, d, ..] = (bits ^ (bits >> 33)).to_be_bytes();
    Mark::from_be_bytes([a, b, c, d])
}

/// Of one text.
pub(super) fn mark(text: &str) -> Mark {
    spread(hash(text))
}

/// A word, as runs are made of it.
#[derive(Clone, Copy)]
pub(super) struct Spoken(u64);

/// The words of a text in small letters.
pub(super) fn spoken(text: &str) -> Vec<Spoken> {
    if !text.is_ascii() {
        let words = text.split(|c: char| !c.is_alphanumeric());
        let words = words.filter(|word| !word.is_empty());
        return words.map(|word| Spoken(hash(word))).collect();
    }
    // Nearly every text. Each byte is looked at once.
    let mut words = Vec::with_capacity(text.len() / 6);
    let (mut word, mut is_word) = (HASH_START, false);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            (word, is_word) = (hash_on(word, byte), true);
        } else if is_word {
            words.push(Spoken(word));
            (word, is_word) = (HASH_START, false);
        }
    }
    if is_word {
        words.push(Spoken(word));
    }
    words
}

/// Of every run of `count` words.
pub(super) fn runs(words: &[Spoken], count: usize) -> impl Iterator<Item = Mark> {
    words.windows(count.max(1)).map(|run| {
        let join =
            |run: u64, word: &Spoken| (run.rotate_left(5) ^ word.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        spread(run.iter().fold(0, join))
    })
}

/// Of every run of [`RUN`] words of a text in small letters.
pub(super) fn shingles(text: &str) -> Vec<Mark> {
    runs(&spoken(text), RUN).collect()
}

/// Of the telling words of a text: with their punctuation taken for nothing, and taken for an end.
pub(super) fn telling(text: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    for word in spaced(text).filter(|word| word.len() >= WORD_MIN) {
        marks.push(squashed(word));
        let ends = |c: char| u8::try_from(c).is_ok_and(is_end);
        if word.bytes().any(is_end) {
            let parts = word.split(ends).filter(|part| part.len() >= WORD_MIN);
            marks.extend(parts.map(squashed));
        }
    }
    marks
}

/// Whether a byte ends what stands in a link or a field.
fn is_end(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'\''
            | b'`'
            | b'<'
            | b'>'
            | b'('
            | b')'
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b','
            | b';'
            | b'='
            | b'|'
            | b'\\'
            | b':'
    )
}

/// What stands between white space: `str::split_whitespace`, which is slow on what nearly every text is, ASCII.
pub(super) fn spaced(text: &str) -> impl Iterator<Item = &str> {
    // What Unicode takes for white space and `split_ascii_whitespace` does not, in ASCII.
    const VERTICAL_TAB: u8 = 0x0b;
    let is_plain = text.is_ascii() && !text.as_bytes().contains(&VERTICAL_TAB);
    let (ascii, other) = if is_plain { (text, "") } else { ("", text) };
    ascii.split_ascii_whitespace().chain(other.split_whitespace())
}

/// Of a word's letters and digits.
fn squashed(word: &str) -> Mark {
    let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if plain { mark(word) } else { mark(&squash(word)) }
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

    /// What is quick says the same as what is plain.
    #[test]
    fn text_is_taken_apart_as_the_standard_library_would() {
        for text in [
            "",
            " ",
            "one  two\tthree\r\nfour\u{b}five\u{c}six\u{1c}seven",
            "{\"to\": \"eve@evil.example\", 'n': [1,2]}",
            "gr\u{fc}\u{df}e\u{a0}an\u{2003}alle x",
            "trailing ",
        ] {
            assert!(spaced(text).eq(text.split_whitespace()), "{text:?}");
            let plain = text
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty());
            assert!(
                spoken(text).iter().map(|word| word.0).eq(plain.map(hash)),
                "{text:?}"
            );
        }
        let every: String = (0..=u8::MAX).map(char::from).collect();
        let ends = |c: &char| "\"'`<>()[]{},;=|\\:".contains(*c);
        assert!(
            every
                .chars()
                .all(|c| ends(&c) == u8::try_from(c).is_ok_and(is_end))
        );
    }

    #[test]
    fn a_word_is_known_inside_a_link_and_a_field() {
        let marks = telling("<a href=\"mailto:eve@evil.example\">write</a>");
        assert!(marks.contains(&mark(&squash("eve@evil.example"))));
    }
}
