//! Fingerprints of words and of runs of words. Stored ones must be readable by the next version, so the hash is
//! our own and never changes. They answer "may it have stood there", and where they cannot tell, yes.

use super::order::sort;

/// Fewest bytes of a word that is worth a fingerprint of its own.
pub(super) const WORD_MIN: usize = 5;
/// Words of one fingerprint of running text.
pub(super) const RUN: usize = 4;

/// As many bytes as the compiler looks at together.
const TOGETHER: usize = 32;

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

    /// Takes in another's. What has been joined often knows only its smallest, which few of another's are among: then
    /// there is next to nothing to do.
    pub(super) fn join(&mut self, mut other: Self, max: usize) {
        if other.marks.len() > self.marks.len() {
            std::mem::swap(self, &mut other);
        }
        self.ceiling = self.ceiling.min(other.ceiling);
        let ceiling = self.ceiling;
        let known = self.marks.partition_point(|mark| *mark <= ceiling);
        self.marks.truncate(known);
        let new = other.marks.into_iter().take_while(|mark| *mark <= ceiling);
        let new: Vec<Mark> = new
            .filter(|mark| self.marks.binary_search(mark).is_err())
            .collect();
        if new.is_empty() && known <= max {
            return;
        }
        self.marks.extend(new);
        // The stable one: what is in order in pieces is put together, not sorted.
        self.marks.sort();
        self.limit(max);
    }

    fn settle(&mut self, max: usize) {
        match self.smallest(max) {
            Some(smallest) => self.marks = smallest,
            None => sort(&mut self.marks, Mark::MAX),
        }
        self.limit(max);
    }

    /// At most `max` of them, of those in order.
    fn limit(&mut self, max: usize) {
        if self.marks.len() > max {
            self.marks.truncate(max);
            self.ceiling = self.ceiling.min(self.marks.last().copied().unwrap_or(0));
        }
    }

    /// Of many marks more than `max` of the smallest, sorted: those below where twice as many may be expected. None, if
    /// there are too few of them, as in a text that repeats itself.
    fn smallest(&self, max: usize) -> Option<Vec<Mark>> {
        let part = self.marks.len() / (2 * max.max(1));
        let below = Mark::MAX / u32::try_from(part).ok().filter(|part| *part > 1)?;
        let mut smallest: Vec<Mark> = self.marks.iter().copied().filter(|mark| *mark <= below).collect();
        sort(&mut smallest, below);
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
    let mut words = Vec::with_capacity(text.len() / 6);
    if !text.is_ascii() {
        read(text, |word| words.push(word));
        return words;
    }
    // Nearly every text. Each byte is looked at once.
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

/// What [`telling`] and [`spoken`] say of a text in small letters, which is read once for both.
pub(super) fn telling_and_spoken(text: &str) -> (Vec<Mark>, Vec<Spoken>) {
    let mut words = Vec::with_capacity(text.len() / 6);
    let marks = read(text, |word| words.push(word));
    (marks, words)
}

/// Of the telling words of a text in small letters: with their punctuation taken for nothing, and taken for an end.
pub(super) fn telling(text: &str) -> Vec<Mark> {
    read(text, |_| ())
}

/// Of the words between white space those in which one of these signs stands, or this part, which is ASCII.
pub(super) fn spaced_with<'t>(
    text: &'t str,
    sign: impl Fn(u8) -> bool + Copy + 't,
    part: &'static str,
) -> impl Iterator<Item = &'t str> {
    let mut left = text;
    std::iter::from_fn(move || {
        let (before, after) = left.split_at_checked(first_with(left.as_bytes(), sign, part.as_bytes())?)?;
        let begin = before.trim_end_matches(|c: char| !c.is_whitespace()).len();
        let end = after
            .find(char::is_whitespace)
            .map_or(left.len(), |end| before.len() + end);
        let word = left.get(begin..end)?;
        left = left.get(end..)?;
        Some(word)
    })
}

/// Where the first of these signs stands, or this part ends.
fn first_with(bytes: &[u8], sign: impl Fn(u8) -> bool, part: &[u8]) -> Option<usize> {
    let last = part.last().copied();
    let last_but_one = part.iter().nth_back(1).copied();
    let ends = |at: usize| bytes.get(..=at).is_some_and(|before| before.ends_with(part));
    let mut from = 0;
    loop {
        // The last two bytes of the part, or a sign: most texts have neither in most places.
        from = next_where(bytes, from, |before, byte| {
            sign(byte) | (Some(byte) == last) & (last_but_one.is_none() | (Some(before) == last_but_one))
        })?;
        if sign(*bytes.get(from)?) || ends(from) {
            return Some(from);
        }
        from += 1;
    }
}

/// Where such a byte stands next, from a place on; asked of it and of the byte before, which is 0 at the beginning.
///
/// `sign` is best without a branch: of nearly all bytes the answer is no, and so many are asked side by side.
pub(super) fn next_where(bytes: &[u8], from: usize, sign: impl Fn(u8, u8) -> bool) -> Option<usize> {
    let before_it = |at: usize| {
        at.checked_sub(1)
            .and_then(|at| bytes.get(at))
            .copied()
            .unwrap_or(0)
    };
    let first = *bytes.get(from)?;
    if sign(before_it(from), first) {
        return Some(from);
    }
    let (after, before) = (bytes.get(from + 1..)?, bytes.get(from..)?);
    let (chunks, _) = after.as_chunks::<TOGETHER>();
    let (chunks_before, _) = before.as_chunks::<TOGETHER>();
    let none = |(chunk, before): &(&[u8; TOGETHER], &[u8; TOGETHER])| {
        let pairs = before.iter().zip(*chunk);
        !pairs.fold(false, |any, (before, byte)| any | sign(*before, *byte))
    };
    let skipped = TOGETHER * chunks.iter().zip(chunks_before).take_while(none).count();
    let mut pairs = before.iter().zip(after).enumerate().skip(skipped);
    let (at, _) = pairs.find(|(_, (before, byte))| sign(**before, **byte))?;
    Some(from + 1 + at)
}

/// Of the telling words of a text in small letters, each byte of which is looked at once. The words that are
/// spoken are given away besides: most telling ones are made of one of them, and have its hash.
fn read(text: &str, mut each: impl FnMut(Spoken)) -> Vec<Mark> {
    let mut marks = Vec::with_capacity(text.len() / 8);
    let mut left = text.as_bytes();
    let (mut whole, mut part, mut is_parted) = (Telling::from(left), Telling::from(left), false);
    while let Some(first) = left.first() {
        let (sort, bytes) = match sort_of(*first) {
            BEYOND => sort_beyond(text, left),
            sort => (sort, 1),
        };
        let after = left.get(bytes..).unwrap_or_default();
        match sort {
            SPACE => {
                marks.extend(part.until(left));
                marks.extend(whole.until(left).filter(|_| is_parted));
                (whole, part, is_parted) = (Telling::from(after), Telling::from(after), false);
                left = after;
            }
            END => {
                marks.extend(part.until(left));
                if !is_parted {
                    // Up to here it is one with its part.
                    (whole, is_parted) = (part, true);
                }
                part = Telling::from(after);
                left = after;
            }
            SIGN => left = after,
            _ => {
                let (hash, bytes) = letters(text, left);
                let (word, after) = left.split_at_checked(bytes).unwrap_or((left, &[]));
                each(Spoken(hash));
                part.take(hash, word);
                if is_parted {
                    whole.take(hash, word);
                }
                left = after;
            }
        }
    }
    marks.extend(part.until(left));
    marks.extend(whole.until(left).filter(|_| is_parted));
    marks
}

/// The letters and digits that what is left of a text begins with: their hash, and how many bytes they are.
#[inline]
fn letters(text: &str, left: &[u8]) -> (u64, usize) {
    let (mut hash, mut ahead) = (HASH_START, left);
    loop {
        let mut bytes = 0;
        for letter in ahead.iter().map(|byte| sort_of(*byte)) {
            if letter <= BEYOND {
                break;
            }
            hash = hash_on(hash, letter);
            bytes += 1;
        }
        ahead = ahead.get(bytes..).unwrap_or_default();
        let (LETTER, bytes) = (match ahead.first() {
            Some(byte) if !byte.is_ascii() => sort_beyond(text, ahead),
            Some(_) | None => (END, 0),
        }) else {
            return (hash, left.len() - ahead.len());
        };
        let (letter, after) = ahead.split_at_checked(bytes).unwrap_or((ahead, &[]));
        hash = letter.iter().fold(hash, |hash, byte| hash_on(hash, *byte));
        ahead = after;
    }
}

/// The sort of the sign beyond ASCII that what is left of a text begins with, and how many bytes it is.
fn sort_beyond(text: &str, left: &[u8]) -> (u8, usize) {
    let left = text.get(text.len() - left.len()..);
    match left.and_then(|left| left.chars().next()) {
        Some(c) if c.is_whitespace() => (SPACE, c.len_utf8()),
        Some(c) if c.is_alphanumeric() => (LETTER, c.len_utf8()),
        Some(c) => (SIGN, c.len_utf8()),
        None => (SIGN, 1),
    }
}

/// A word that is being read, or its part since the last sign that ends one.
#[derive(Clone, Copy)]
struct Telling {
    /// Bytes of the text that were left where it began.
    left: usize,
    /// Of its letters and digits so far, if there are any.
    hash: Option<u64>,
}

impl Telling {
    fn from(left: &[u8]) -> Self {
        Self {
            left: left.len(),
            hash: None,
        }
    }

    /// Letters and digits, and the hash of these alone.
    #[inline]
    fn take(&mut self, hash: u64, letters: &[u8]) {
        let on = |before| {
            letters.iter().fold(before, |hash, byte| match sort_of(*byte) {
                BEYOND => hash_on(hash, *byte),
                letter => hash_on(hash, letter),
            })
        };
        self.hash = Some(self.hash.map_or(hash, on));
    }

    /// Its mark, if it is long enough to tell.
    #[inline]
    fn until(self, left: &[u8]) -> Option<Mark> {
        let is_long = self.left - left.len() >= WORD_MIN;
        is_long.then(|| spread(self.hash.unwrap_or(HASH_START)))
    }
}

const SPACE: u8 = 0;
const SIGN: u8 = 1;
/// See [`is_end`].
const END: u8 = 2;
/// A byte of a sign beyond ASCII. What is above it is a letter or digit.
const BEYOND: u8 = 3;
/// A letter or digit beyond ASCII.
const LETTER: u8 = 4;

/// The sort of a byte: what it is but for its case, if it is a letter or digit in ASCII.
const SORTS: [u8; 256] = {
    let mut sorts = [SIGN; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a table for every byte, made when compiled"
        )]
        {
            if byte.is_ascii_whitespace() || byte == VERTICAL_TAB {
                sorts[byte as usize] = SPACE;
            } else if is_end(byte) {
                sorts[byte as usize] = END;
            } else if byte.is_ascii_alphanumeric() {
                sorts[byte as usize] = byte.to_ascii_lowercase();
            } else if !byte.is_ascii() {
                sorts[byte as usize] = BEYOND;
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

/// What Unicode takes for white space and `is_ascii_whitespace` does not, in ASCII.
const VERTICAL_TAB: u8 = 0x0b;

#[cfg(test)]
mod tests {
    use super::{super::words::squash, *};

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

    #[test]
    fn of_two_that_are_joined_the_smallest_are_kept_of_both() {
        let some = |from: u32, count: u32| {
            (from..from + count)
                .map(|n| mark(&n.to_string()))
                .collect::<Vec<_>>()
        };
        for (first, second) in [
            (300, 20),
            (20, 300),
            (500, 500),
            (2_000, 30),
            (3_000, 3_000),
            (0, 10),
        ] {
            // Some are of both.
            let (first, second) = (some(0, first), some(10, second));
            let all = Sketch::of([first.clone(), second.clone()].concat(), 500);
            let mut joined = Sketch::of(first, 500);
            joined.join(Sketch::of(second, 500), 500);
            assert_eq!(joined, all);
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

    /// Texts of such signs, drawn by lot.
    fn texts(signs: &[char], longest: usize) -> impl Iterator<Item = String> {
        let mut lot = 7_u64;
        (0..6_000).map(move |round| {
            let drawn = (0..round % longest).map(|_| {
                lot = hash_on(lot, b'x');
                signs[(lot >> 40) as usize % signs.len()]
            });
            drawn.collect()
        })
    }

    #[test]
    fn telling_words_are_the_same_however_they_are_read() {
        let text = "Dear <b>ann</b>: {\"to\":\"eve@evil.example\", n=[1,22,333333]} (a) ----- \
            \"\"\"\"\"\" x:yyyyy:z end,";
        let sorted = |mut marks: Vec<Mark>| {
            marks.sort_unstable();
            marks
        };
        let mut plain = sorted(telling_plainly(text));
        assert_eq!(sorted(telling(text)), plain);
        plain.dedup();
        assert_eq!(plain.len(), 8);
        let ascii = ['a', 'b', '7', '7', '.', '-', ' ', ':', '"', '\n', '\u{b}'];
        let every = [
            'a',
            'b',
            '7',
            '.',
            ' ',
            ':',
            '\n',
            '\u{e9}',
            '\u{a0}',
            '\u{2014}',
            '\u{85}',
            '\u{1d7d9}',
            '\u{301}',
        ];
        for text in texts(&ascii, 60).chain(texts(&every, 60)) {
            let (marks, words) = telling_and_spoken(&text);
            assert_eq!(sorted(marks), sorted(telling_plainly(&text)), "{text:?}");
            let words: Vec<u64> = words.iter().map(|word| word.0).collect();
            let plain = text.split(|c: char| !c.is_alphanumeric());
            assert!(
                plain
                    .filter(|word| !word.is_empty())
                    .map(hash)
                    .eq(words.iter().copied()),
                "{text:?}"
            );
            assert!(spoken(&text).iter().map(|word| word.0).eq(words), "{text:?}");
        }
    }

    /// [`telling`], word by word.
    fn telling_plainly(text: &str) -> Vec<Mark> {
        let ends = |c: char| u8::try_from(c).is_ok_and(is_end);
        let mut marks = Vec::new();
        for word in text.split_whitespace().filter(|word| word.len() >= WORD_MIN) {
            marks.push(mark(&squash(word)));
            if word.contains(ends) {
                let parts = word.split(ends).filter(|part| part.len() >= WORD_MIN);
                marks.extend(parts.map(|part| mark(&squash(part))));
            }
        }
        marks
    }

    #[test]
    fn what_is_looked_for_side_by_side_is_found_where_it_stands() {
        for text in texts(&['a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'b', '.'], 150) {
            let bytes = text.as_bytes();
            let sign = |before: u8, byte: u8| (byte == b'.') & (before == b'b') | (byte == 0);
            let plain = |at: &usize| bytes[*at] == b'.' && *at > 0 && bytes[at - 1] == b'b';
            for from in (0..bytes.len() + 2).step_by(5) {
                let slowly = (from..bytes.len()).find(plain);
                assert_eq!(next_where(bytes, from, sign), slowly, "{text:?} from {from}");
            }
        }
    }

    /// What is found by its signs is what reading every word finds.
    #[test]
    fn words_with_a_sign_are_found_wherever_they_stand() {
        let signs = [
            'a', 'w', '.', '7', ' ', '@', '-', '/', '\n', ',', '\u{b}', '\u{e9}', '\u{2003}',
        ];
        let mut lot = 7_u64;
        for round in 0..6_000 {
            let text: String = (0..round % 90)
                .map(|_| {
                    lot = hash_on(lot, b'x');
                    // The last ones are beyond ASCII.
                    signs[(lot >> 40) as usize % (signs.len() - usize::from(round % 3 > 0) * 2)]
                })
                .chain(["www.", " www", ""][round % 3].chars())
                .collect();
            let sign = |byte| matches!(byte, b'7' | b'@' | b'/');
            let slowly = text
                .split_whitespace()
                .filter(|word| word.bytes().any(sign) || word.contains("www."));
            assert!(spaced_with(&text, sign, "www.").eq(slowly), "{text:?}");
        }
    }

    #[test]
    fn a_word_is_known_inside_a_link_and_a_field() {
        let marks = telling("<a href=\"mailto:eve@evil.example\">write</a>");
        assert!(marks.contains(&mark(&squash("eve@evil.example"))));
    }
}
