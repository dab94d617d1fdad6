//! Fingerprints of words and of runs of words. Stored ones must be readable by the next version, so the hash is
//! our own and never changes. They answer "may it have stood there", and where they cannot tell, yes.

use super::words::squash;

/// Fewest bytes of a word that is worth a fingerprint of its own.
pub(super) const WORD_MIN: usize = 5;
/// Words of one fingerprint of running text.
pub(super) const RUN: usize = 4;

/// As many bytes as the compiler looks at together.
const TOGETHER: usize = 32;

/// Most [`place`]s that marks are told apart by.
pub(super) const PLACES_MAX: usize = 1 << 17;

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
            None => sort(&mut self.marks, Mark::MAX),
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

/// Sorts marks, of which none is above `most`, and leaves each once.
pub(super) fn sort(marks: &mut Vec<Mark>, most: Mark) {
    /// Below it the standard library is as quick.
    const MANY: usize = 256;
    let zeros = most.max(1).leading_zeros();
    if marks.len() >= MANY {
        drop_repeated(marks, zeros);
    }
    if marks.len() < MANY || !sort_mixed(marks, zeros) {
        marks.sort_unstable();
    }
    marks.dedup();
}

/// Drops most of the marks that came before, where a text repeats itself so much that it is worth the look.
fn drop_repeated(marks: &mut Vec<Mark>, zeros: u32) {
    /// Marks after which that is known.
    const TRIED: usize = 128;
    const PLACES: usize = 1024;
    let mut last = [None; PLACES];
    let (mut asked, mut dropped) = (0, 0);
    marks.retain(|mark| {
        if asked >= TRIED && dropped < asked / 2 {
            return true;
        }
        asked += 1;
        let last = last.get_mut(place(*mark << zeros, PLACES));
        let is_repeated = last.is_some_and(|last| last.replace(*mark) == Some(*mark));
        dropped += usize::from(is_repeated);
        !is_repeated
    });
}

/// Sorts marks that are well mixed below so many upper bits that are zero: the bits after these bring nearly all of them to
/// where they belong. Gives up on others: marks can be made that begin alike.
fn sort_mixed(marks: &mut Vec<Mark>, zeros: u32) -> bool {
    /// For each mark, what others take to be sorted.
    const SWAPS_MAX: usize = 4;
    let places = (marks.len().next_power_of_two() / 2).clamp(1, PLACES_MAX);
    *marks = by_upper_bits(marks, zeros, places);
    let mut swaps = SWAPS_MAX * marks.len();
    for mut at in 1..marks.len() {
        while at > 0 && marks.get(at - 1) > marks.get(at) {
            if swaps == 0 {
                return false;
            }
            swaps -= 1;
            marks.swap(at - 1, at);
            at -= 1;
        }
    }
    true
}

/// Marks in the order of their [`place`]s.
fn by_upper_bits(marks: &[Mark], zeros: u32, places: usize) -> Vec<Mark> {
    let mut begins = vec![0_usize; places + 1];
    for mark in marks {
        if let Some(count) = begins.get_mut(place(*mark << zeros, places) + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for begin in &mut begins {
        sum += *begin;
        *begin = sum;
    }
    let mut sorted = vec![0; marks.len()];
    for mark in marks {
        if let Some(begin) = begins.get_mut(place(*mark << zeros, places)) {
            if let Some(free) = sorted.get_mut(*begin) {
                *free = *mark;
            }
            *begin += 1;
        }
    }
    sorted
}

/// The place of a mark among so many, which are a power of two: by its upper bits.
pub(super) fn place(mark: Mark, places: usize) -> usize {
    ((u64::from(mark) * places as u64) >> Mark::BITS) as usize
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

/// What [`telling`] and [`spoken`] say of a text in small letters, which is read once for both.
pub(super) fn telling_and_spoken(text: &str) -> (Vec<Mark>, Vec<Spoken>) {
    if !is_plain(text) {
        return (telling(text), spoken(text));
    }
    let mut words = Vec::with_capacity(text.len() / 6);
    let marks = telling_of_plain(text, |word| words.push(word));
    (marks, words)
}

/// Of the telling words of a text: with their punctuation taken for nothing, and taken for an end.
pub(super) fn telling(text: &str) -> Vec<Mark> {
    if is_plain(text) {
        return telling_of_plain(text, |_| ());
    }
    let mut marks = Vec::with_capacity(text.len() / 8);
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

/// Of the telling words of a plain text in small letters, each byte of which is looked at once. The words that are
/// spoken are given away besides: most telling ones are made of one of them, and have its hash.
fn telling_of_plain(text: &str, mut each: impl FnMut(Spoken)) -> Vec<Mark> {
    let mut marks = Vec::with_capacity(text.len() / 8);
    let mut left = text.as_bytes();
    let (mut whole, mut part, mut is_parted) = (Telling::from(left), Telling::from(left), false);
    while let Some((first, after)) = left.split_first() {
        match sort_of(*first) {
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
                let (mut hash, mut bytes) = (HASH_START, 0);
                for letter in left
                    .iter()
                    .map(|byte| sort_of(*byte))
                    .take_while(|sort| *sort > END)
                {
                    hash = hash_on(hash, letter);
                    bytes += 1;
                }
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
            letters
                .iter()
                .fold(before, |hash, byte| hash_on(hash, sort_of(*byte)))
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
/// See [`is_end`]. What is above it is a letter or digit.
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
        // One letter of another script has the whole text read the other way.
        let otherwise = |text: &str| sorted(telling(&format!("{text} \u{e9}")));
        let mut plain = otherwise(text);
        assert_eq!(sorted(telling(text)), plain);
        plain.dedup();
        assert_eq!(plain.len(), 8);
        for text in texts(&['a', 'b', '7', '7', '.', '-', ' ', ':', '"', '\n'], 60) {
            let (marks, words) = telling_and_spoken(&text);
            assert_eq!(sorted(marks), otherwise(&text), "{text:?}");
            assert!(
                words
                    .iter()
                    .map(|word| word.0)
                    .eq(spoken(&text).iter().map(|word| word.0)),
                "{text:?}"
            );
        }
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

    #[test]
    fn marks_are_sorted_whatever_they_are() {
        let mut marks: Vec<Mark> = (0..3_000).map(|n: u32| mark(&n.to_string())).collect();
        marks.extend([0, 0, 1, Mark::MAX, Mark::MAX, Mark::MAX - 1]);
        let alike = marks.iter().map(|mark| mark >> 20).collect::<Vec<_>>();
        let over_and_over = (0..4_000).map(|n| marks[n % 40]).collect();
        let at_first = (0..4_000)
            .map(|n| marks[if n < 500 { n % 7 } else { n % 3_000 }])
            .collect();
        let falling = (0..3_000).rev().collect();
        for length in [0, 1, 2, 255, 256, 257, 1_700, 3_006] {
            for marks in [&marks, &alike, &over_and_over, &at_first, &falling] {
                let mut sorted: Vec<Mark> = marks.iter().copied().take(length).collect();
                let mut plain = sorted.clone();
                let most = plain.iter().copied().max().unwrap_or(0);
                sort(&mut sorted, most);
                plain.sort_unstable();
                plain.dedup();
                assert_eq!(sorted, plain);
            }
        }
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
