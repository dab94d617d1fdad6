//! The same text as its readers may see it: decoded and normalised, each byte still traceable.

mod hidden;
mod map;
mod plain;
mod smuggled;

use std::{borrow::Cow, ops::Range};

pub(crate) use hidden::Hidden;
pub(crate) use map::Map;
pub(crate) use plain::{HiddenRun, plain};
pub(crate) use smuggled::smuggled;

/// A text as some reader would see it.
#[derive(Clone, Debug)]
pub struct View<'t> {
    text: Cow<'t, str>,
    map: Map,
    reading: Reading,
}

/// How a view came about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// What was encoded in the view before it, in clear.
    Decoded,
    /// What a person sees: nothing hidden, look-alikes as what they look like.
    Plain,
}

impl<'t> View<'t> {
    pub(crate) fn new(text: Cow<'t, str>, map: Map, reading: Reading) -> Self {
        Self { text, map, reading }
    }

    /// The text of this view.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
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
