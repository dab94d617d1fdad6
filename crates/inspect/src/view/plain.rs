//! The view a person has: what is hidden is left out, and noted.

use std::{borrow::Cow, cell::OnceCell, ops::Range};

use super::{
    Map, Reading, View,
    fold::{compatible, is_neighbour_script, look_alike},
    hidden::{self, Around, Hidden},
};

/// A run of hidden characters that has no good reason to be there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HiddenRun {
    pub(crate) sort: Hidden,
    /// Bytes of the text as written, from the first hidden character to the last.
    pub(crate) written: Range<usize>,
    pub(crate) count: usize,
}

/// Characters that may lie between two hidden ones of one run, as where one hides behind every letter.
const RUN_GAP_MAX: usize = 8;

/// Letters of a word that are looked at together.
const WORD_LETTERS_MAX: usize = 64;

/// Makes the plain view of a text and says what it left out.
pub(crate) fn plain(written: &str) -> (View<'_>, Vec<HiddenRun>) {
    if plain_length(written.as_bytes()) == written.len() {
        return (
            View::new(Cow::Borrowed(written), Map::default(), Reading::Plain),
            Vec::new(),
        );
    }
    let mut plain = Plain {
        written,
        right_to_left: OnceCell::new(),
        neighbours: OnceCell::new(),
        word: (0, false),
        text: String::with_capacity(written.len()),
        map: Map::default(),
        runs: Vec::new(),
        seen_before: None,
        before: None,
    };
    plain.read();
    (
        View::new(Cow::Owned(plain.text), plain.map, Reading::Plain),
        plain.runs,
    )
}

/// How many bytes come before the first that may hide something.
fn plain_length(bytes: &[u8]) -> usize {
    // In blocks without a way out, which the processor takes many bytes at a time.
    let whole = bytes
        .chunks(BLOCK)
        .take_while(|block| !block.iter().fold(false, |any, byte| any | may_hide(*byte)))
        .map(<[u8]>::len)
        .sum();
    let rest = bytes.get(whole..).unwrap_or_default();
    whole + rest.iter().position(|byte| may_hide(*byte)).unwrap_or(rest.len())
}

const BLOCK: usize = 64;

fn may_hide(byte: u8) -> bool {
    !byte.is_ascii() || (byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r'))
}

struct Plain<'t> {
    written: &'t str,
    /// Whether the text has letters that are written from right to left. Looked for when something depends on it.
    right_to_left: OnceCell<bool>,
    /// Whether it has letters that only a text in a neighbouring script has. The same.
    neighbours: OnceCell<bool>,
    /// The end of the word that was looked at last, and whether its letters are taken for Latin ones.
    word: (usize, bool),
    text: String,
    map: Map,
    runs: Vec<HiddenRun>,
    seen_before: Option<char>,
    before: Option<char>,
}

impl Plain<'_> {
    fn read(&mut self) {
        let mut at = 0;
        while at < self.written.len() {
            at = self.keep_plain(at);
            let Some((c, after)) = next(self.written, at) else {
                return;
            };
            let length = match Hidden::of(c) {
                None => {
                    self.keep(c, at);
                    after - at
                }
                Some(Hidden::Control) if c == '\u{1b}' => self.leave_out_sequence(at),
                Some(Hidden::Tag) => self.tags(at),
                Some(sort) => {
                    self.hidden(sort, c, at);
                    after - at
                }
            };
            at += length.max(1);
        }
    }

    /// Keeps what is plain up to the next character that is not, and says where that stands.
    fn keep_plain(&mut self, at: usize) -> usize {
        let rest = self.written.get(at..).unwrap_or_default();
        let length = plain_length(rest.as_bytes());
        let plain = rest.get(..length).unwrap_or_default();
        if let Some(last) = plain.bytes().next_back() {
            self.text.push_str(plain);
            self.map.push(length, at..at + length);
            self.before = Some(char::from(last));
            self.seen_before = self.before;
        }
        at + length
    }

    fn keep(&mut self, c: char, at: usize) {
        let shown = if c.is_ascii() { c } else { self.shown(c, at) };
        self.text.push(shown);
        self.map.push(shown.len_utf8(), at..at + c.len_utf8());
        self.before = Some(c);
        self.seen_before = Some(c);
    }

    /// What a reader takes a character for.
    fn shown(&mut self, c: char, at: usize) -> char {
        if let Some(plain) = compatible(c) {
            return plain;
        }
        if !is_neighbour_script(c) {
            return c;
        }
        if at >= self.word.0 {
            self.word = self.look_at_word(at);
        }
        if self.word.1 {
            look_alike(c).unwrap_or(c)
        } else {
            c
        }
    }

    /// Letters are taken for Latin ones in a word that has some, or where no text in their script stands.
    fn look_at_word(&self, at: usize) -> (usize, bool) {
        let mut end = at;
        let mut latin = self
            .seen_before
            .is_some_and(|before| before.is_ascii_alphabetic());
        let mut alike = true;
        for c in self
            .written
            .get(at..)
            .unwrap_or_default()
            .chars()
            .take(WORD_LETTERS_MAX)
        {
            if !c.is_alphabetic() && Hidden::of(c).is_none() {
                break;
            }
            latin |= c.is_ascii_alphabetic();
            alike &= !is_neighbour_script(c) || look_alike(c).is_some();
            end += c.len_utf8();
        }
        (end, alike && (latin || !self.has_neighbours()))
    }

    fn is_right_to_left(&self) -> bool {
        let looked = || self.written.chars().any(hidden::is_right_to_left);
        *self.right_to_left.get_or_init(looked)
    }

    fn has_neighbours(&self) -> bool {
        let only_there = |c| is_neighbour_script(c) && look_alike(c).is_none();
        *self
            .neighbours
            .get_or_init(|| self.written.chars().any(only_there))
    }

    fn hidden(&mut self, sort: Hidden, c: char, at: usize) {
        let end = at + c.len_utf8();
        let around = Around {
            before: self.before,
            seen_before: self.seen_before,
            after: next(self.written, end).map(|(c, _)| c),
            right_to_left: self.is_right_to_left(),
        };
        self.before = Some(c);
        if !hidden::is_lawful(c, around) {
            self.note(sort, at..end);
        }
    }

    /// A terminal sequence: ECMA-48 control sequences and operating-system commands.
    fn leave_out_sequence(&mut self, at: usize) -> usize {
        let rest = self.written.as_bytes().get(at + 1..).unwrap_or_default();
        let length = match rest.first() {
            Some(b'[') => {
                2 + rest
                    .iter()
                    .skip(1)
                    .take(32)
                    .position(|b| (0x40..=0x7e).contains(b))
                    .map_or(0, |n| n + 1)
            }
            Some(b']') => {
                2 + rest
                    .iter()
                    .skip(1)
                    .take(256)
                    .position(|b| matches!(b, 0x07 | 0x1b))
                    .map_or(0, |n| n + 1)
            }
            Some(_) | None => 1,
        };
        let length = (length..)
            .find(|n| self.written.is_char_boundary(at + n))
            .unwrap_or(1);
        self.before = Some('\u{1b}');
        self.note(Hidden::Control, at..at + length);
        length
    }

    fn tags(&mut self, at: usize) -> usize {
        let rest = self.written.get(at..).unwrap_or_default();
        let flag = hidden::flag_length(self.before, rest.chars().take(8));
        let count = if flag > 0 {
            flag
        } else {
            rest.chars()
                .take_while(|c| Hidden::of(*c) == Some(Hidden::Tag))
                .count()
        };
        let length = rest.chars().take(count).map(char::len_utf8).sum();
        self.before = rest.chars().nth(count.saturating_sub(1));
        if flag == 0 {
            self.note(Hidden::Tag, at..at + length);
        }
        length
    }

    fn note(&mut self, sort: Hidden, written: Range<usize>) {
        if let Some(last) = self.runs.last_mut()
            && last.sort == sort
            && written.start - last.written.end <= RUN_GAP_MAX
        {
            last.written.end = written.end;
            last.count += 1;
            return;
        }
        self.runs.push(HiddenRun {
            sort,
            written,
            count: 1,
        });
    }
}

fn next(text: &str, at: usize) -> Option<(char, usize)> {
    let c = text.get(at..)?.chars().next()?;
    Some((c, at + c.len_utf8()))
}
