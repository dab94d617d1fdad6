//! The same text as its readers may see it: decoded and normalised, each byte still traceable.

mod decode;
mod fold;
mod hidden;
mod map;
mod plain;
mod respell;
mod run;
mod smuggled;

use std::{borrow::Cow, ops::Range};

use crate::learned::{Sort, WORDS_MAX, Word, Words, lexicon, words};
pub(crate) use decode::{decoded, is_read};
pub(crate) use fold::{compatible, look_alike};
pub(crate) use hidden::Hidden;
pub(crate) use map::Map;
pub(crate) use plain::{HiddenRun, plain};
pub(crate) use respell::{respelled, rotated};
pub(crate) use smuggled::smuggled;

/// A text as some reader would see it.
#[derive(Clone, Debug)]
pub struct View<'t> {
    text: Cow<'t, str>,
    map: Map,
    reading: Reading,
    words: Words,
    runs: Vec<Range<usize>>,
}

/// How a view came about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// What was encoded in the view before it, in clear.
    Decoded,
    /// What a person sees: nothing hidden, look-alikes as what they look like.
    Plain,
    /// Lines whose escapes (percent signs, entities, backslashes) are replaced by what they stand for.
    Unescaped,
}

impl<'t> View<'t> {
    pub(crate) fn new(text: Cow<'t, str>, map: Map, reading: Reading) -> Self {
        let words = words(&text, lexicon(), WORDS_MAX);
        let runs = run::runs(&text);
        Self {
            text,
            map,
            reading,
            words,
            runs,
        }
    }

    /// The text of this view.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Unbroken stretches that are long enough to be more than a word.
    pub(crate) fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    pub(crate) fn words(&self) -> &[Word] {
        &self.words.all
    }

    /// The numbers of the words that may be of a sort.
    pub(crate) fn noted(&self, sort: Sort) -> impl Iterator<Item = usize> {
        self.words.noted.places(sort)
    }

    /// Those of the words that have digits, with their numbers.
    pub(crate) fn with_digits(&self) -> impl Iterator<Item = (usize, &Word)> {
        self.words.with_digits()
    }

    /// Those of the words that are long enough to be several, with their numbers.
    pub(crate) fn long_words(&self) -> impl Iterator<Item = (usize, &Word)> {
        self.words.long()
    }

    /// How the view came about.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// The bytes of the text as written that a range of this view's bytes stands for.
    #[must_use]
    pub fn written(&self, range: Range<usize>) -> Range<usize> {
        self.map.written(range)
    }
}

/// The last character boundary at or before `at`.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..4)
        .map(|back| at.saturating_sub(back))
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}
