//! From a place in a view back to the place in the text as written.

use std::ops::Range;

/// Where the bytes of a view come from, stretch by stretch. No stretches: the view is the text as written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Map {
    stretches: Vec<Stretch>,
    view_len: usize,
}

/// View bytes from `view` up to the next stretch stand for `written`.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stretch {
    view: usize,
    written: Range<usize>,
    /// Byte for byte; otherwise as a whole, also where both happen to be equally long.
    straight: bool,
}

impl Map {
    /// The next `view_len` bytes of the view are `written`, or one character for another.
    pub(crate) fn push(&mut self, view_len: usize, written: Range<usize>) {
        let straight = view_len == written.len();
        if let Some(last) = self.stretches.last_mut().filter(|_| straight)
            && last.straight
            && last.written.end == written.start
        {
            last.written.end = written.end;
            self.view_len += view_len;
            return;
        }
        self.add(view_len, written, straight);
    }

    /// The next `view_len` bytes of the view stand for `written` as a whole.
    pub(crate) fn push_whole(&mut self, view_len: usize, written: Range<usize>) {
        self.add(view_len, written, false);
    }

    fn add(&mut self, view_len: usize, written: Range<usize>, straight: bool) {
        self.stretches.push(Stretch {
            view: self.view_len,
            written,
            straight,
        });
        self.view_len += view_len;
    }

    /// The written bytes that a range of view bytes stands for.
    pub(crate) fn written(&self, range: Range<usize>) -> Range<usize> {
        if self.stretches.is_empty() {
            return range;
        }
        let first = self.one(range.start);
        if range.len() < 2 {
            return if range.is_empty() {
                first.start..first.start
            } else {
                first
            };
        }
        let last = self.one(range.end - 1);
        first.start.min(last.start)..first.end.max(last.end)
    }

    /// The written bytes that one view byte stands for.
    fn one(&self, at: usize) -> Range<usize> {
        let after = self.stretches.partition_point(|stretch| stretch.view <= at);
        let Some(stretch) = after.checked_sub(1).and_then(|index| self.stretches.get(index)) else {
            return at..at + 1;
        };
        if stretch.straight {
            let place = stretch.written.start + (at - stretch.view);
            place..place + 1
        } else {
            stretch.written.clone()
        }
    }
}
