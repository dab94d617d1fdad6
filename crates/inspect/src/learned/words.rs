//! A text as words: lower-case, without punctuation, each a hash with its place.
//!
//! Scripts without spaces give one word a character. What case and punctuation say is kept as a shape.

use super::lexicon::{Class, Lexicon};

/// One word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    /// Of the word in lower case, digits taken together.
    pub(crate) hash: u32,
    /// Of its first letters; the hash itself for a short word.
    pub(crate) stem: u32,
    /// What the lexicon knows about it.
    pub(crate) class: Class,
    /// How it was written: see the constants.
    pub(crate) shape: u8,
    /// What stands between it and the word before: see [`Gap`].
    pub(crate) gap: Gap,
    /// Bytes of the text.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// What stands between a word and the one before it, the strongest of all that does.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Gap {
    /// Nothing but spaces, or signs that end nothing.
    #[default]
    None = 0,
    /// The end of a sentence, or a colon.
    Sentence = 1,
    /// The end of a line.
    Line = 2,
    /// The beginning of a value: a quotation mark, a bracket, a tag.
    Value = 3,
    /// The beginning of the text.
    Text = 4,
}

/// All letters are capitals.
pub(crate) const CAPITALS: u8 = 1;
/// A colon or an exclamation mark follows.
pub(crate) const CALLS: u8 = 2;
/// An opening bracket of any sort, or several number signs, stand before it.
pub(crate) const OPENS: u8 = 4;
/// A quotation mark stands before it.
pub(crate) const QUOTED: u8 = 8;

/// It has a digit.
pub(crate) const DIGITS: u8 = 16;

/// Letters that make a stem.
const STEM_LETTERS: u32 = 5;
const STEM_BYTES: usize = 5;

/// Reads the words of a text, at most `most` of them.
pub(crate) fn words(text: &str, lexicon: &Lexicon, most: usize) -> Vec<Word> {
    let mut reader = Reader {
        out: Vec::with_capacity(text.len() / 5 + 8),
        lexicon,
        word: Open::default(),
        before: 0,
        gap: Gap::Text,
    };
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if reader.out.len() >= most {
            return reader.out;
        }
        if letter_of(byte) != 0 {
            at = match reader.plain_word(bytes, at) {
                Some(after) => after,
                None => reader.letters(bytes, at),
            };
        } else if byte == b' ' {
            reader.close(at, b' ');
            if reader.before != b'#' {
                reader.before = 0;
            }
            at += 1;
        } else if byte.is_ascii() {
            at += reader.ascii(byte, at, bytes);
        } else {
            let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else {
                break;
            };
            reader.wide(c, at);
            at += c.len_utf8();
        }
    }
    reader.close(at, b' ');
    reader.out
}

/// The hash of one word as [`words`] would give it, for tables.
pub(crate) fn hash_of(word: &str) -> u32 {
    words(word, &Lexicon::empty(), 1)
        .first()
        .map_or(0, |word| word.hash)
}

/// The hash of a word given as its lower-case ASCII letters.
pub(crate) fn hash_bytes(letters: impl Iterator<Item = u8>) -> u32 {
    letters.fold(FIRST, |hash, letter| mix(hash, u32::from(letter)))
}

/// The hash after each letter.
pub(crate) fn hashes(letters: impl Iterator<Item = u8>) -> impl Iterator<Item = u32> {
    letters.scan(FIRST, |hash, letter| {
        *hash = mix(*hash, u32::from(letter));
        Some(*hash)
    })
}

const FIRST: u32 = 0x811C_9DC5;
/// What digits come to, however many.
const NUMBER: u32 = mix(FIRST, b'0' as u32);

/// What each byte is in a word: a letter in lower case, `0` for every digit; nothing for what is in none.
const LETTERS: [u8; 256] = {
    let mut letters = [0; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a table for every byte, made when compiled"
        )]
        {
            letters[byte as usize] = match byte {
                b'0'..=b'9' => b'0',
                b'A'..=b'Z' | b'a'..=b'z' => byte | 0x20,
                _ => 0,
            };
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    letters
};

fn letter_of(byte: u8) -> u8 {
    LETTERS.get(usize::from(byte)).copied().unwrap_or(0)
}

struct Reader<'l> {
    out: Vec<Word>,
    lexicon: &'l Lexicon,
    word: Open,
    /// The last byte that was neither letter nor space.
    before: u8,
    /// What was seen since the last word.
    gap: Gap,
}

#[derive(Default)]
struct Open {
    letters: u32,
    capitals: u32,
    hash: u32,
    stem: u32,
    start: usize,
    shape: u8,
    gap: Gap,
}

/// What a byte that belongs to no word ends; `next` is the byte after it.
#[inline]
fn gap_of(byte: u8, next: Option<u8>) -> Gap {
    match byte {
        b'\n' | b'\r' => Gap::Line,
        b'.' | b'!' | b'?' | b':' | b';' if !next.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'/') => {
            Gap::Sentence
        }
        b'"' | b'\'' | b'`' | b'(' | b'[' | b'{' | b'<' | b'>' | b'|' | b'*' => Gap::Value,
        _ => Gap::None,
    }
}

const fn mix(hash: u32, code: u32) -> u32 {
    (hash ^ code).wrapping_mul(0x9E37_79B1).rotate_left(5)
}

/// The ASCII letters that begin a stretch of eight bytes, read without asking after each whether it is the last; which
/// one is cannot be foretold.
struct First {
    /// How many there are.
    length: usize,
    /// The hash of so many, as if all were letters.
    hashes: [u32; 8],
    /// In the highest bit of each byte: a letter among these, and a capital one.
    taken: u64,
    capitals: u64,
}

impl First {
    #[inline]
    fn of(bytes: &[u8], at: usize) -> Option<Self> {
        const EACH: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = EACH << 7;
        let first = bytes.get(at..)?.first_chunk::<8>()?;
        let written = u64::from_le_bytes(*first);
        let lower = written | EACH << 5;
        // In each byte's highest bit: from `a` on, and beyond `z`; nothing is carried into the next byte.
        let low = lower & !HIGH;
        let letters = (low + EACH * 0x1f) & !(low + EACH * 0x05) & !written & HIGH;
        let others = !letters & HIGH;
        let taken = letters & (others & others.wrapping_neg()).wrapping_sub(1);
        let mut hash = FIRST;
        let hashes = lower.to_le_bytes().map(|letter| {
            hash = mix(hash, u32::from(letter));
            hash
        });
        Some(Self {
            length: usize::try_from(others.trailing_zeros() / 8).unwrap_or(0),
            hashes,
            taken,
            // Of letters, only capitals lack the bit that makes them lower.
            capitals: !written << 2 & taken,
        })
    }
}

impl Reader<'_> {
    /// Takes ASCII letters and digits as far as they go, and says where they end.
    fn letters(&mut self, bytes: &[u8], mut at: usize) -> usize {
        if self.word.letters == 0 {
            self.begin(at);
            at += self.first_letters(bytes, at);
        }
        let word = &mut self.word;
        let (mut hash, mut stem) = (word.hash, word.stem);
        let (mut letters, mut capitals, mut digits) = (word.letters, word.capitals, false);
        for byte in bytes.get(at..).unwrap_or_default() {
            let letter = letter_of(*byte);
            if letter == 0 {
                break;
            }
            at += 1;
            let digit = letter == b'0';
            digits |= digit;
            // A number counts as one digit, whatever its length.
            if digit && hash == NUMBER {
                continue;
            }
            hash = mix(hash, u32::from(letter));
            letters = letters.wrapping_add(1);
            // Of letters and digits, only capitals lack this bit.
            capitals = capitals.wrapping_add(u32::from(byte & 0x20 == 0));
            stem = if letters == STEM_LETTERS { hash } else { stem };
        }
        (word.hash, word.stem) = (hash, stem);
        (word.letters, word.capitals) = (letters, capitals);
        word.shape |= if digits { DIGITS } else { 0 };
        at
    }

    /// Takes a whole word of ASCII letters, as most are, and the space after it; says what comes next. Nothing, if
    /// it is another sort of word.
    #[inline]
    fn plain_word(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        if self.word.letters != 0 {
            return None;
        }
        let first = First::of(bytes, at)?;
        let mut hash = *first.hashes.get(first.length.checked_sub(1)?)?;
        let (mut length, mut loud) = (first.length, first.capitals == first.taken);
        if length == first.hashes.len() {
            let rest = bytes.get(at + length..).unwrap_or_default();
            for byte in rest.iter().take_while(|byte| byte.is_ascii_alphabetic()) {
                hash = mix(hash, u32::from(byte | 0x20));
                loud &= byte.is_ascii_uppercase();
                length += 1;
            }
        }
        let next = *bytes.get(at + length)?;
        if !next.is_ascii() || next.is_ascii_digit() || next == b'\'' {
            return None;
        }
        let stem = first.hashes.get(length.min(STEM_BYTES) - 1).copied();
        let shape = match self.before {
            b'<' | b'[' | b'{' | b'#' | b'/' => OPENS,
            b'"' | b'\'' | b'`' => QUOTED,
            _ => 0,
        };
        self.before = 0;
        self.out.push(Word {
            hash,
            stem: stem.unwrap_or(hash),
            class: self.lexicon.class(hash),
            shape: shape
                | if loud && length > 2 { CAPITALS } else { 0 }
                | if matches!(next, b':' | b'!') { CALLS } else { 0 },
            gap: std::mem::take(&mut self.gap),
            start: u32::try_from(at).unwrap_or(u32::MAX),
            end: u32::try_from(at + length).unwrap_or(u32::MAX),
        });
        Some(at + length + usize::from(next == b' '))
    }

    /// Takes the first letters of a word, as many as there are up to eight.
    #[inline]
    fn first_letters(&mut self, bytes: &[u8], at: usize) -> usize {
        let Some(first) = First::of(bytes, at) else {
            return 0;
        };
        let word = &mut self.word;
        if let Some(hash) = first
            .length
            .checked_sub(1)
            .and_then(|last| first.hashes.get(last))
        {
            word.hash = *hash;
        }
        if first.length >= STEM_BYTES {
            word.stem = first.hashes.get(STEM_BYTES - 1).copied().unwrap_or(0);
        }
        word.letters = u32::try_from(first.length).unwrap_or(0);
        word.capitals = first.capitals.count_ones();
        first.length
    }

    /// Takes another ASCII byte, and says how many bytes it took.
    fn ascii(&mut self, byte: u8, at: usize, bytes: &[u8]) -> usize {
        match byte {
            // don't, user's
            b'\'' if self.word.letters > 0 && bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic) => {}
            b'\\' => {
                self.close(at, b' ');
                // An escape of a text inside a text: \n does not begin a word.
                return if matches!(bytes.get(at + 1), Some(b'n' | b't' | b'r')) {
                    self.gap = self.gap.max(Gap::Line);
                    2
                } else {
                    1
                };
            }
            _ => {
                self.close(at, byte);
                self.gap = self.gap.max(gap_of(byte, bytes.get(at + 1).copied()));
                if byte > b' ' {
                    self.before = byte;
                }
            }
        }
        1
    }

    fn wide(&mut self, c: char, at: usize) {
        match c {
            '\u{2019}' if self.word.letters > 0 => {}
            _ if stands_alone(c) => {
                self.close(at, b' ');
                self.letter(u32::from(c), at);
                self.close(at + c.len_utf8(), b' ');
            }
            '\u{900}'..='\u{dff}' if !matches!(c, '\u{964}' | '\u{965}') => self.letter(u32::from(c), at),
            _ if c.is_alphanumeric() => {
                let lower = c.to_lowercase().next().unwrap_or(c);
                self.letter(u32::from(lower), at);
                if lower != c {
                    self.word.capitals += 1;
                }
            }
            '\u{2018}' | '\u{201c}' | '\u{ab}' => {
                self.close(at, b' ');
                self.gap = self.gap.max(Gap::Value);
                self.before = b'"';
            }
            '\u{ff1a}' => {
                self.close(at, b':');
                self.gap = self.gap.max(Gap::Sentence);
            }
            _ => {
                self.close(at, b' ');
                if matches!(
                    c,
                    '\u{3002}' | '\u{964}' | '\u{61f}' | '\u{ff01}' | '\u{ff1f}' | '\u{2014}'
                ) {
                    self.gap = self.gap.max(Gap::Sentence);
                }
                self.before = 0;
            }
        }
    }

    /// A word begins.
    fn begin(&mut self, at: usize) {
        let word = &mut self.word;
        word.start = at;
        word.hash = FIRST;
        word.gap = std::mem::take(&mut self.gap);
        word.shape = match self.before {
            b'<' | b'[' | b'{' | b'#' | b'/' => OPENS,
            b'"' | b'\'' | b'`' => QUOTED,
            _ => 0,
        };
    }

    /// Takes a letter of any script.
    fn letter(&mut self, code: u32, at: usize) {
        if self.word.letters == 0 {
            self.begin(at);
        }
        let word = &mut self.word;
        word.hash = mix(word.hash, code);
        word.letters += 1;
        if word.letters == STEM_LETTERS {
            word.stem = word.hash;
        }
    }

    #[inline]
    fn close(&mut self, end: usize, by: u8) {
        let word = std::mem::take(&mut self.word);
        if word.letters == 0 {
            return;
        }
        self.before = 0;
        let mut shape = word.shape;
        if word.letters > 2 && word.capitals >= word.letters {
            shape |= CAPITALS;
        }
        if matches!(by, b':' | b'!') {
            shape |= CALLS;
        }
        self.out.push(Word {
            hash: word.hash,
            stem: if word.letters > STEM_LETTERS {
                word.stem
            } else {
                word.hash
            },
            class: self.lexicon.class(word.hash),
            shape,
            gap: word.gap,
            start: u32::try_from(word.start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        });
    }
}

/// Ideographs, kana, Thai, Lao, Khmer and Burmese: no spaces between words.
pub(crate) fn stands_alone(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is quick says the same as what is plain: letter by letter, whatever the word's length and end.
    #[test]
    fn a_word_is_read_as_letter_by_letter() {
        let lexicon = Lexicon::new();
        let written = "Instructionsthatgoonandon";
        for (length, end) in
            (1..=written.len()).flat_map(|n| [(n, " x"), (n, ": x"), (n, "!"), (n, "."), (n, "")])
        {
            for word in [written.to_owned(), written.to_lowercase(), written.to_uppercase()] {
                let word = word.get(..length).unwrap();
                let text = format!("\"{word}{end} and so on");
                let read = words(&text, &lexicon, 1)[0];
                let hash = |most| hash_bytes(word.bytes().take(most).map(|b| b.to_ascii_lowercase()));
                assert_eq!((read.hash, read.stem), (hash(length), hash(5)), "{text}");
                assert_eq!(
                    (read.start, read.end),
                    (1, u32::try_from(length + 1).unwrap()),
                    "{text}"
                );
                assert_eq!(
                    (read.gap, read.class),
                    (Gap::Value.max(Gap::Text), lexicon.class(hash(length)))
                );
                let loud = length > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
                let calls = end.starts_with([':', '!']);
                let shape = QUOTED | if loud { CAPITALS } else { 0 } | if calls { CALLS } else { 0 };
                assert_eq!(read.shape, shape, "{text}");
            }
        }
    }

    #[test]
    fn a_word_goes_on_over_what_is_no_letter_of_its_own() {
        let read = |text| {
            let read = words(text, &Lexicon::empty(), 9);
            read.iter()
                .map(|word| (word.hash, word.start, word.end))
                .collect::<Vec<_>>()
        };
        assert_eq!(read("don't go"), [(hash_of("dont"), 0, 5), (hash_of("go"), 6, 8)]);
        assert_eq!(
            read("sha256sums go"),
            [(hash_of("sha999sums"), 0, 10), (hash_of("go"), 11, 13)]
        );
        assert_eq!(
            read("fianc\u{e9}es go"),
            [(hash_of("fianc\u{e9}es"), 0, 9), (hash_of("go"), 10, 12)]
        );
    }
}
