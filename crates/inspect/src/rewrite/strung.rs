//! What stands around a value, for whoever needs another one that is taken for the same there.

use std::collections::BTreeMap;

use wire::json::Node;

use super::Like;
use crate::{
    Finding, Part,
    scan::{Reader, string_together},
};

/// A content as the one text that detectors read: the words that say what a number is may stand in the name of its
/// member, or in the value before.
#[derive(Debug, Default)]
pub struct Strung {
    text: String,
    /// Where the values begin, by place.
    starts: BTreeMap<u32, usize>,
}

impl Strung {
    /// A content with all it holds.
    #[must_use]
    pub fn of(root: Node<'_>) -> Self {
        let mut strung = Self::default();
        string_together(root, &mut strung);
        strung
    }

    /// What was found, with what stands around it. Nothing, if it was found in another content.
    #[must_use]
    pub fn like<'l>(&'l self, finding: &'l Finding) -> Option<Like<'l>> {
        let start = self.starts.get(&finding.location.place)?;
        let span = start + finding.location.span.start..start + finding.location.span.end;
        Some(Like {
            detector: &finding.detector,
            original: self.text.get(span.clone())?,
            before: self.text.get(..span.start)?,
            after: self.text.get(span.end..)?,
        })
    }
}

impl Reader for Strung {
    fn piece(&mut self, text: &str, place: u32, _part: Part) {
        self.starts.insert(place, self.text.len());
        self.text.push_str(text);
    }

    fn glue(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn object(&mut self, _node: Node<'_>) {}
}
