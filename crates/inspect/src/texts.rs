//! The texts that findings lie in.

use std::borrow::Cow;

use wire::json::Node;

use crate::Finding;

/// The decoded texts of a content's values and keys, each decoded once as long as they are asked for place by place, as
/// findings are in order. A text with an escape is decoded from its beginning, and may have thousands of findings.
#[derive(Debug)]
pub struct Texts<'d> {
    root: Node<'d>,
    last: Option<(u32, Cow<'d, str>)>,
    #[cfg(test)]
    pub(crate) decoded: usize,
}

impl<'d> Texts<'d> {
    /// Those of the document that a value is in.
    #[must_use]
    pub fn of(root: Node<'d>) -> Self {
        Self {
            root,
            last: None,
            #[cfg(test)]
            decoded: 0,
        }
    }

    /// The text at a place; of a number, and of what has no text, as it is written.
    pub fn at(&mut self, place: u32) -> Option<&str> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != place) {
            let node = self.root.document().at(place)?;
            let text = node.as_str().unwrap_or_else(|| node.written().into());
            self.last = Some((place, text));
            #[cfg(test)]
            {
                self.decoded += 1;
            }
        }
        self.last.as_ref().map(|(_, text)| text.as_ref())
    }

    /// What was found.
    pub fn found(&mut self, finding: &Finding) -> Option<&str> {
        let span = finding.location.span.clone();
        self.at(finding.location.place)?.get(span)
    }
}
