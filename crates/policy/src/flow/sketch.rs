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
        match self.smallest(max) {
            Some(smallest) => self.marks = smallest,
            None => {
                self.marks.sort_unstable();
                self.marks.dedup();
            }
        }
        if self.marks.len() > max {
            self.marks.truncate(max);
            self.ceiling = self.ceiling.min(self.marks.last().copied().unwrap_or(0));
        }
        let ceiling = self.ceiling;
        self.marks.retain(|mark| *mark <= ceiling);
    }

    /// Of many marks more than `max` of the smallest, sorted: those below where twice as many may be expected. None, if
    /// there are too few of them, as in a text that repeats itself.
    fn smallest(&self, max: usize) -> Option<Vec<Mark>> {
        let part = self.marks.len() / (2 * max.max(1));
        let below = Mark::MAX / u32::try_from(part).ok().filter(|part| *part > 1)?;
        let mut smallest: Vec<Mark> = self.marks.iter().copied().filter(|mark| *mark <= below).collect();
        smallest.sort_unstable();
        smallest.dedup();
        (smallest.len() > max).then_some(smallest)
    }

    /// As text.
    pub(super) fn to_text(&self) -> String {
        // Not by `write!`: twice a second all marks of every context in use are written.
        let mut text = Vec::with_capacity(8 * (self.marks.len() + 1));
        for mark in std::iter::once(&self.ceiling).chain(&self.marks) {
            text.extend_from_slice(mark.to_be_bytes().map(wire::hex::digits).as_flattened());
        }
        String::from_utf8(text).unwrap_or_default()
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
    let mut marks = Vec::with_capacity(text.len() / 8);
    if is_plain(text) {
        // Nearly every text. Each byte is looked at once.
        let mut word = Telling::default();
        for byte in text.bytes() {
            match sort_of(byte) {
                SPACE => word.end(&mut marks),
                END => word.end_part(&mut marks),
                letter => word.take(letter),
            }
        }
        word.end(&mut marks);
        return marks;
    }
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

/// Of the words between white space those in which one of these signs stands, or this part, which is ASCII.
pub(super) fn spaced_with<'t>(
    text: &'t str,
    sign: impl Fn(u8) -> bool + Copy + 't,
    part: &'static str,
) -> impl Iterator<Item = &'t str> {
    let (mut left, other) = if is_plain(text) { (text, "") } else { ("", text) };
    let other = other
        .split_whitespace()
        .filter(move |word| word.bytes().any(sign) || word.contains(part));
    let marked = std::iter::from_fn(move || {
        let (before, after) = left.split_at_checked(first_with(left.as_bytes(), sign, part.as_bytes())?)?;
        let space = |c: char| c.is_ascii_whitespace();
        let begin = before.rfind(space).map_or(0, |at| at + 1);
        let end = after.find(space).map_or(left.len(), |end| before.len() + end);
        let word = left.get(begin..end)?;
        left = left.get(end..)?;
        Some(word)
    });
    marked.chain(other)
}

/// Where the first of these signs stands, or this part ends.
fn first_with(bytes: &[u8], sign: impl Fn(u8) -> bool, part: &[u8]) -> Option<usize> {
    /// As many as the compiler looks at together.
    const TOGETHER: usize = 32;
    let last = part.last();
    bytes.chunks(TOGETHER).enumerate().find_map(|(n, chunk)| {
        // All of them, without a way out between: most have none, and so they are asked side by side.
        let may = |any, byte: &u8| any | sign(*byte) | (Some(byte) == last);
        chunk.iter().fold(false, may).then_some(())?;
        let mut places = (n * TOGETHER..).zip(chunk);
        let ends = |at: usize| bytes.get(..=at).is_some_and(|before| before.ends_with(part));
        let found = places.find(|(at, byte)| sign(**byte) || Some(*byte) == last && ends(*at));
        found.map(|(at, _)| at)
    })
}

/// A word that is being read, and its part since the last sign that ends one.
#[derive(Default)]
struct Telling {
    whole: Letters,
    part: Letters,
    /// It has such a sign.
    is_parted: bool,
}

/// The hash of letters and digits, and the bytes they stand in.
#[derive(Clone, Copy)]
struct Letters {
    hash: u64,
    bytes: usize,
}

impl Default for Letters {
    fn default() -> Self {
        Self {
            hash: HASH_START,
            bytes: 0,
        }
    }
}

impl Letters {
    /// Its mark, if it is long enough to tell.
    fn end(&mut self) -> Option<Mark> {
        let Self { hash, bytes } = std::mem::take(self);
        (bytes >= WORD_MIN).then(|| spread(hash))
    }
}

impl Telling {
    /// A byte that ends nothing, by its sort.
    #[inline]
    fn take(&mut self, sort: u8) {
        let letter = |hash| if sort == SIGN { hash } else { hash_on(hash, sort) };
        self.part.bytes += 1;
        self.part.hash = letter(self.part.hash);
        if self.is_parted {
            self.whole.bytes += 1;
            self.whole.hash = letter(self.whole.hash);
        }
    }

    fn end_part(&mut self, marks: &mut Vec<Mark>) {
        if !self.is_parted {
            // Up to here it is one with its part.
            self.whole = self.part;
            self.is_parted = true;
        }
        self.whole.bytes += 1;
        marks.extend(self.part.end());
    }

    fn end(&mut self, marks: &mut Vec<Mark>) {
        marks.extend(self.part.end());
        if self.is_parted {
            marks.extend(self.whole.end());
            self.is_parted = false;
        }
    }
}

const SPACE: u8 = 0;
const SIGN: u8 = 1;
/// See [`is_end`].
const END: u8 = 2;

/// The sort of an ASCII byte: what it is but for its case, if it is a letter or digit.
const SORTS: [u8; 256] = {
    let mut sorts = [SIGN; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a table for every byte, made when compiled"
        )]
        {
            if byte.is_ascii_whitespace() {
                sorts[byte as usize] = SPACE;
            } else if is_end(byte) {
                sorts[byte as usize] = END;
            } else if byte.is_ascii_alphanumeric() {
                sorts[byte as usize] = byte.to_ascii_lowercase();
            }
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    sorts
};

fn sort_of(byte: u8) -> u8 {
    SORTS.get(usize::from(byte)).copied().unwrap_or(SIGN)
}

/// Whether a byte ends what stands in a link or a field.
const fn is_end(byte: u8) -> bool {
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

/// What Unicode takes for white space and `split_ascii_whitespace` does not, in ASCII.
const VERTICAL_TAB: u8 = 0x0b;

/// Nearly every text: ASCII, in which all agree what white space is.
fn is_plain(text: &str) -> bool {
    text.is_ascii() && !text.as_bytes().contains(&VERTICAL_TAB)
}

/// What stands between white space: `str::split_whitespace`, which is slow on what nearly every text is, ASCII.
pub(super) fn spaced(text: &str) -> impl Iterator<Item = &str> {
    let (ascii, other) = if is_plain(text) { (text, "") } else { ("", text) };
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

    #[test]
    fn of_many_the_smallest_are_kept() {
        for (count, sorts) in [(100, 100), (10_000, 10_000), (10_000, 50), (40_000, 900)] {
            let marks: Vec<Mark> = (0..count).map(|n| mark(&format!("{}", n % sorts))).collect();
            let mut plain = marks.clone();
            plain.sort_unstable();
            plain.dedup();
            plain.truncate(500);
            let ceiling = if sorts > 500 { plain[499] } else { Mark::MAX };
            assert_eq!(
                Sketch::of(marks, 500),
                Sketch {
                    marks: plain,
                    ceiling
                },
                "{count} {sorts}"
            );
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
    fn telling_words_are_the_same_however_they_are_read() {
        let text = "Dear <b>ann</b>: {\"to\":\"eve@evil.example\", n=[1,22,333333]} (a) ----- \
            \"\"\"\"\"\" x:yyyyy:z end,";
        let sorted = |text: &str| {
            let mut marks = telling(text);
            marks.sort_unstable();
            marks
        };
        // One letter of another script has the whole text read the other way.
        let (quick, mut plain) = (sorted(text), sorted(&format!("{text} \u{e9}")));
        assert_eq!(quick, plain);
        plain.dedup();
        assert_eq!(plain.len(), 8);
    }

    /// What is found by its signs is what reading every word finds.
    #[test]
    fn words_with_a_sign_are_found_wherever_they_stand() {
        let signs = [
            'a', 'w', '.', '7', ' ', '@', '-', '/', '\n', ',', '\u{b}', '\u{e9}',
        ];
        let mut lot = 7_u64;
        for round in 0..6_000 {
            let text: String = (0..round % 90)
                .map(|_| {
                    lot = hash_on(lot, b'x');
                    // The last two make a text that is not plain.
                    signs[(lot >> 40) as usize % (signs.len() - usize::from(round % 3 > 0) * 2)]
                })
                .chain(["www.", " www", ""][round % 3].chars())
                .collect();
            let sign = |byte| matches!(byte, b'7' | b'@' | b'/');
            let slowly = spaced(&text).filter(|word| word.bytes().any(sign) || word.contains("www."));
            assert!(spaced_with(&text, sign, "www.").eq(slowly), "{text:?}");
        }
    }

    #[test]
    fn a_word_is_known_inside_a_link_and_a_field() {
        let marks = telling("<a href=\"mailto:eve@evil.example\">write</a>");
        assert!(marks.contains(&mark(&squash("eve@evil.example"))));
    }
}
