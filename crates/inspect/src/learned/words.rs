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
            at = reader.letters(bytes, at);
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

    /// Takes the first letters of a word, as many as there are up to eight, without asking after each whether it is
    /// the last; which one is cannot be foretold.
    #[inline]
    fn first_letters(&mut self, bytes: &[u8], at: usize) -> usize {
        const EACH: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = EACH << 7;
        let Some(first) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            return 0;
        };
        let written = u64::from_le_bytes(*first);
        let lower = written | EACH << 5;
        // In each byte's highest bit: from `a` on, and beyond `z`; nothing is carried into the next byte.
        let low = lower & !HIGH;
        let letters = (low + EACH * 0x1f) & !(low + EACH * 0x05) & !written & HIGH;
        let others = !letters & HIGH;
        let count = others.trailing_zeros() / 8;
        let word = &mut self.word;
        let mut hash = word.hash;
        for (n, letter) in (0..).zip(lower.to_le_bytes()) {
            let mixed = mix(hash, u32::from(letter));
            hash = if n < count { mixed } else { hash };
            word.stem = if n + 1 == STEM_LETTERS { hash } else { word.stem };
        }
        word.hash = hash;
        word.letters = count;
        // Of letters, only capitals lack the bit that makes them lower.
        let taken = letters & (others & others.wrapping_neg()).wrapping_sub(1);
        word.capitals = (!written << 2 & taken).count_ones();
        usize::try_from(count).unwrap_or(0)
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
