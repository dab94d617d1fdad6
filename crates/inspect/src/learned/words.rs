//! A text as words: lower-case, without punctuation, each a hash with its place.
//!
//! Scripts without spaces give one word a character. What case and punctuation say is kept as a shape.

mod spelling;

use std::hint::select_unpredictable;

use super::{
    lexicon::{Class, Lexicon},
    noted::Noted,
};
use spelling::{LETTERS_MAX, Letters, letters, spell};

use crate::bitmap::Bitmap;

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

/// The words of a text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    pub(crate) all: Vec<Word>,
    /// Which of them somebody may want to see.
    pub(crate) noted: Noted,
    /// Which of them have digits.
    pub(crate) numbered: Vec<u32>,
    /// Which are at least [`LONG_MIN`] long.
    pub(crate) long: Vec<u32>,
}

/// Bytes of a word that may be several.
const LONG_MIN: usize = 16;

/// Reads the words of a text, at most `most` of them.
pub(crate) fn words(text: &str, lexicon: &Lexicon, most: usize) -> Words {
    let mut words = read(text, most);
    lexicon.classify(&mut words, text);
    words
}

/// The words, not yet with what the lexicon knows about them.
fn read(text: &str, most: usize) -> Words {
    let room = text.len() / 5 + 8;
    let mut reader = Reader {
        out: Words {
            all: Vec::with_capacity(room),
            ..Words::default()
        },
        letters: Vec::with_capacity(room),
        plain: Bitmap::of(text.as_bytes(), [(b'A', b'Z'), (b'a', b'z')]),
        capitals: Bitmap::of(text.as_bytes(), [(b'A', b'Z')]),
        word: Open::default(),
        before: 0,
        gap: Gap::Text,
    };
    reader.read(text, most);
    spell(&mut reader.out.all, &reader.letters);
    reader.out
}

/// What a byte outside of words does: the [`Gap`] it makes, whatever comes next, or one of these.
const LETTER: u8 = 5;
/// What comes next, or what it is a part of, tells.
const TOLD_BY_OTHERS: u8 = 6;

/// The gap with this number; none for what is none. There are eight, so that no number has to be looked at twice.
#[inline]
fn gap_by(number: u8) -> Gap {
    const NONE: Gap = Gap::None;
    const GAPS: [Gap; 8] = [NONE, Gap::Sentence, Gap::Line, Gap::Value, NONE, NONE, NONE, NONE];
    GAPS.get(usize::from(number % 8)).copied().unwrap_or_default()
}

const SORTS: [u8; 256] = {
    let mut sorts = [0; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a table for every byte, made when compiled"
        )]
        {
            sorts[byte as usize] = match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => LETTER,
                b'.' | b'!' | b'?' | b':' | b';' | b'\\' | 0x80.. => TOLD_BY_OTHERS,
                _ => gap_of(byte, None) as u8,
            };
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    sorts
};

/// The [`Gap`] that a sign makes between a word and a space, or that it is none of those that only do this.
const CLOSINGS: [u8; 256] = {
    let mut closings = [NO_CLOSING; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        #[expect(
            clippy::indexing_slicing,
            reason = "a table for every byte, made when compiled"
        )]
        if !matches!(byte, b' ' | b'#' | b'\\' | b'\'') && !byte.is_ascii_alphanumeric() {
            closings[byte as usize] = gap_of(byte, Some(b' ')) as u8;
        }
        byte += 1;
    }
    closings
};
const NO_CLOSING: u8 = 4;

#[inline]
fn closing(byte: u8) -> u8 {
    CLOSINGS.get(usize::from(byte)).copied().unwrap_or(NO_CLOSING)
}

#[inline]
fn sort_of(byte: u8) -> u8 {
    SORTS.get(usize::from(byte)).copied().unwrap_or(0)
}

/// The last byte that was neither letter nor space, after another one.
#[inline]
fn before(before: u8, byte: u8) -> u8 {
    match byte {
        b' ' if before != b'#' => 0,
        ..=b' ' => before,
        _ => byte,
    }
}

/// The hash of one word as [`words`] would give it, for tables.
pub(crate) fn hash_of(word: &str) -> u32 {
    read(word, 1).all.first().map_or(0, |word| word.hash)
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

impl Words {
    #[inline]
    fn add(&mut self, word: Word, length: usize, digits: bool) {
        if digits {
            self.numbered
                .push(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        }
        if length >= LONG_MIN {
            self.long.push(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        }
        self.all.push(word);
    }

    /// The words with digits, in order.
    pub(crate) fn with_digits(&self) -> impl Iterator<Item = (usize, &Word)> {
        self.those(&self.numbered)
    }

    /// The long words, in order.
    pub(crate) fn long(&self) -> impl Iterator<Item = (usize, &Word)> {
        self.those(&self.long)
    }

    fn those<'w>(&'w self, places: &'w [u32]) -> impl Iterator<Item = (usize, &'w Word)> {
        places.iter().filter_map(|at| {
            let at = usize::try_from(*at).ok()?;
            Some((at, self.all.get(at)?))
        })
    }
}

/// How a word is spelled: its hash and stem, or the letters these are worked out of when all are read.
enum Spelled {
    Now(u32, u32),
    Later(Letters),
}

struct Reader {
    out: Words,
    /// Of each word the letters, if it is to be spelled later.
    letters: Vec<Letters>,
    /// Where ASCII letters stand in the text, and capital ones.
    plain: Bitmap,
    capitals: Bitmap,
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
const fn gap_of(byte: u8, next: Option<u8>) -> Gap {
    match byte {
        b'\n' | b'\r' => Gap::Line,
        b'.' | b'!' | b'?' | b':' | b';' => match next {
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/') => Gap::None,
            Some(_) | None => Gap::Sentence,
        },
        b'"' | b'\'' | b'`' | b'(' | b'[' | b'{' | b'<' | b'>' | b'|' | b'*' => Gap::Value,
        _ => Gap::None,
    }
}

const fn mix(hash: u32, code: u32) -> u32 {
    (hash ^ code).wrapping_mul(0x9E37_79B1).rotate_left(5)
}

/// What the byte after a word says of it: that it calls, that it is a space, or that the word goes on, maybe.
const SPACE: u8 = 64;
const GOES_ON: u8 = 128;

/// What the byte before a word says of it, in the lower half, and the one after it, in the upper one.
const BESIDE: [[u8; 256]; 2] = {
    let mut beside = [[0; 256]; 2];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a table for every byte, made when compiled"
        )]
        {
            beside[0][byte as usize] = match byte {
                b'<' | b'[' | b'{' | b'#' | b'/' => OPENS,
                b'"' | b'\'' | b'`' => QUOTED,
                _ => 0,
            };
            beside[1][byte as usize] = match byte {
                b':' | b'!' => CALLS,
                b' ' => SPACE,
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'\'' | 0x80.. => GOES_ON,
                _ => 0,
            };
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    beside
};

#[inline]
fn shape_after(before: u8) -> u8 {
    let [shapes, _] = &BESIDE;
    shapes.get(usize::from(before)).copied().unwrap_or(0)
}

#[inline]
fn said_by(next: u8) -> u8 {
    let [_, said] = &BESIDE;
    said.get(usize::from(next)).copied().unwrap_or(GOES_ON)
}

impl Reader {
    /// Reads a text, until there are `most` words.
    fn read(&mut self, text: &str, most: usize) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let sort = sort_of(byte);
            if sort <= Gap::Value as u8 {
                // Most bytes between words say little, and are passed by without a word being open.
                self.gap = self.gap.max(gap_by(sort));
                self.before = before(self.before, byte);
                at += 1;
                continue;
            }
            if self.out.all.len() >= most {
                return;
            }
            at = if sort == LETTER {
                match self.plain_word(bytes, at) {
                    Some(after) => after,
                    None => self.letters(bytes, at),
                }
            } else {
                self.step(text, at)
            };
            if self.word.letters != 0 {
                at = self.rest(text, at);
            }
        }
        self.close(at, b' ');
    }

    /// Takes what goes on with the word that is open, and what ends it.
    fn rest(&mut self, text: &str, mut at: usize) -> usize {
        while self.word.letters != 0 && at < text.len() {
            at = self.step(text, at);
        }
        at
    }

    /// Takes whatever comes next; says what comes then.
    fn step(&mut self, text: &str, at: usize) -> usize {
        let bytes = text.as_bytes();
        let Some(&byte) = bytes.get(at) else {
            return at;
        };
        if letter_of(byte) != 0 {
            return self.letters(bytes, at);
        }
        if byte == b' ' {
            self.close(at, b' ');
            self.before = before(self.before, b' ');
            return at + 1;
        }
        if byte.is_ascii() {
            return at + self.ascii(byte, at, bytes);
        }
        let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else {
            return text.len();
        };
        self.wide(c, at);
        at + c.len_utf8()
    }

    /// Takes ASCII letters and digits as far as they go, and says where they end.
    fn letters(&mut self, bytes: &[u8], mut at: usize) -> usize {
        if self.word.letters == 0 {
            self.begin(at);
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

    /// Takes a whole word of ASCII letters, as most are, or a number, and the space after it; says what comes next.
    /// Nothing, if it is another sort of word. None is open.
    #[inline(always)]
    fn plain_word(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let length = self.plain.following(at);
        if length == 0 {
            return self.plain_number(bytes, at);
        }
        let next = *bytes.get(at + length)?;
        let after = bytes.get(at + length + 1).copied().unwrap_or(0);
        let spelled = if length <= LETTERS_MAX {
            Spelled::Later(letters(bytes.get(at..)?.first_chunk()?, length))
        } else {
            let long = bytes.get(at..at + length)?;
            let lower = long.iter().map(u8::to_ascii_lowercase);
            Spelled::Now(hash_bytes(lower.clone()), hash_bytes(lower.take(STEM_BYTES)))
        };
        let loud = (self.capitals.following(at) >= length) & (length > 2);
        let shape = if loud { CAPITALS } else { 0 };
        self.whole((at, length), spelled, shape, [next, after])
    }

    /// The same of a number, whose digits count as one, whatever its length.
    #[inline(never)]
    fn plain_number(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let rest = bytes.get(at..)?;
        let length = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let after = rest.get(length + 1).copied().unwrap_or(0);
        self.whole(
            (at, length),
            Spelled::Now(NUMBER, NUMBER),
            DIGITS,
            [*rest.get(length)?, after],
        )
    }

    /// Takes a word that is whole, if what comes next ends it, and the space after it; if one sign stands between them,
    /// as at the end of most clauses, the sign too.
    #[inline(always)]
    fn whole(
        &mut self,
        (at, length): (usize, usize),
        spelled: Spelled,
        shape: u8,
        [next, after]: [u8; 2],
    ) -> Option<usize> {
        let said = said_by(next);
        if said == GOES_ON {
            return None;
        }
        let (hash, stem, letters) = match spelled {
            Spelled::Later(letters) => (0, 0, letters),
            Spelled::Now(hash, stem) => (hash, stem, [0; 2]),
        };
        let word = Word {
            hash,
            stem,
            class: 0,
            shape: shape | shape_after(self.before) | said & CALLS,
            gap: self.gap,
            start: u32::try_from(at).unwrap_or(u32::MAX),
            end: u32::try_from(at + length).unwrap_or(u32::MAX),
        };
        self.before = 0;
        let sign = closing(next);
        let closed = (sign != NO_CLOSING) & (after == b' ');
        let gap = gap_by(sign);
        self.gap = select_unpredictable(closed, gap, Gap::None);
        self.letters.push(letters);
        self.out.add(word, length, shape & DIGITS != 0);
        Some(at + length + usize::from(said == SPACE) + 2 * usize::from(closed))
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
        word.shape = shape_after(self.before);
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
        let read = Word {
            hash: word.hash,
            stem: if word.letters > STEM_LETTERS {
                word.stem
            } else {
                word.hash
            },
            class: 0,
            shape,
            gap: word.gap,
            start: u32::try_from(word.start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        };
        self.letters.push([0; 2]);
        self.out.add(read, end - word.start, shape & DIGITS != 0);
    }
}

/// Ideographs, kana, Thai, Lao, Khmer and Burmese: no spaces between words.
pub(crate) fn stands_alone(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests;
