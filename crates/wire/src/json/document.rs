//! A parsed text and the places of its values.

use std::borrow::Cow;

use super::{
    JsonError, Keys, Number,
    parse::{self, decode},
};
use crate::bounds::JsonBounds;

/// The kind of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `[...]`
    Array,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
    /// A number, kept as text.
    Number,
    /// `{...}`
    Object,
    /// `"..."`
    String,
}

/// One value or key: where it stands in the text and where the next one begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// First byte; for strings the first byte after the quote.
    pub(super) start: u32,
    /// One past the last byte; for strings the closing quote.
    pub(super) end: u32,
    /// The slot after this value and all it holds.
    pub(super) next: u32,
    pub(super) kind: Kind,
    /// A string that needs decoding, that is, one that has an escape.
    pub(super) escaped: bool,
}

/// A strict JSON text, kept whole, with an index of its values.
///
/// INVARIANT (document): only [`Document::parse`] makes one, so the text is UTF-8, well-formed, within
/// its bounds and free of duplicate keys; whoever holds a `Document` need not check again.
#[derive(Clone, Debug)]
pub struct Document {
    pub(super) text: String,
    pub(super) slots: Vec<Slot>,
}

impl Document {
    /// Reads one JSON text.
    ///
    /// # Errors
    /// The first fault and where it stands; see [`JsonFault`](super::JsonFault).
    pub fn parse(bytes: Vec<u8>, keys: Keys, bounds: &JsonBounds) -> Result<Self, JsonError> {
        let text = parse::utf8(bytes, bounds)?;
        let slots = parse::index(&text, keys, bounds)?;
        Ok(Self { text, slots })
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        Node {
            document: self,
            at: 0,
        }
    }

    /// The text as it came.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value at a place remembered with [`Node::place`].
    #[must_use]
    pub fn at(&self, place: u32) -> Option<Node<'_>> {
        ((place as usize) < self.slots.len()).then_some(Node {
            document: self,
            at: place,
        })
    }

    /// Bytes this document occupies, its index included.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.text.capacity() + self.slots.capacity() * size_of::<Slot>()
    }
}

/// One value of a [`Document`], borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Node<'d> {
    document: &'d Document,
    at: u32,
}

/// Two handles are equal when they are the same value of the same document.
impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.document, other.document) && self.at == other.at
    }
}
impl Eq for Node<'_> {}

impl<'d> Node<'d> {
    fn slot(self) -> Slot {
        // INVARIANT (document): places come from the index, so the fallback is never taken; if it were,
        // the value would read as an empty null and be refused by whoever wanted more.
        const NOTHING: Slot = Slot {
            start: 0,
            end: 0,
            next: u32::MAX,
            kind: Kind::Null,
            escaped: false,
        };
        self.document
            .slots
            .get(self.at as usize)
            .copied()
            .unwrap_or(NOTHING)
    }

    fn sibling(self, at: u32) -> Node<'d> {
        Node {
            document: self.document,
            at,
        }
    }

    /// Where the value stands in the document's index; good for [`Document::at`] and [`super::Edits`].
    #[must_use]
    pub fn place(self) -> u32 {
        self.at
    }

    /// Where the value stands in the text: first byte, and one past the last.
    /// For strings that is the content between the quotes, as written.
    #[must_use]
    pub fn span(self) -> (usize, usize) {
        let slot = self.slot();
        (slot.start as usize, slot.end as usize)
    }

    /// The kind of this value.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.slot().kind
    }

    /// The value as written; for strings the content between the quotes, undecoded.
    #[must_use]
    pub fn written(self) -> &'d str {
        let (start, end) = self.span();
        self.document.text.get(start..end).unwrap_or_default()
    }

    /// Whether the value is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The value, if it is `true` or `false`.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.written() == "true")
    }

    /// The value, if it is a number.
    #[must_use]
    pub fn as_number(self) -> Option<Number<'d>> {
        (self.kind() == Kind::Number).then(|| Number::from_text(self.written()))
    }

    /// The value, if it is a string; decoded only when it has an escape.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'d, str>> {
        let slot = self.slot();
        (slot.kind == Kind::String).then(|| {
            if slot.escaped {
                decode(self.written())
            } else {
                Cow::Borrowed(self.written())
            }
        })
    }

    /// Whether a string has escapes, so that [`Self::written`] is not its value.
    #[must_use]
    pub fn is_escaped(self) -> bool {
        self.slot().escaped
    }

    /// Whether the value is the string `expected`.
    #[must_use]
    pub fn is_str(self, expected: &str) -> bool {
        let slot = self.slot();
        if slot.escaped {
            return self.as_str().is_some_and(|text| text == expected);
        }
        // Names are looked for among others dozens of times for each message, and most differ in length.
        let length = slot.end.saturating_sub(slot.start) as usize;
        slot.kind == Kind::String && length == expected.len() && self.written() == expected
    }

    /// The member of that exact name, if the value is an object that has it.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Node<'d>> {
        self.members()
            .find(|(key, _)| key.is_str(name))
            .map(|(_, value)| value)
    }

    /// The members in the order written, if the value is an object; otherwise none.
    #[must_use]
    pub fn members(self) -> Members<'d> {
        let slot = self.slot();
        let end = if slot.kind == Kind::Object {
            slot.next
        } else {
            self.at + 1
        };
        Members {
            of: self,
            at: self.at + 1,
            end,
        }
    }

    /// The elements in order, if the value is an array; otherwise none.
    #[must_use]
    pub fn elements(self) -> Elements<'d> {
        let slot = self.slot();
        let end = if slot.kind == Kind::Array {
            slot.next
        } else {
            self.at + 1
        };
        Elements {
            of: self,
            at: self.at + 1,
            end,
        }
    }

    /// Every value below and including this one, with the keys on the way, in the order written.
    pub fn walk(self) -> impl Iterator<Item = Node<'d>> {
        let end = self.slot().next;
        (self.at..end).map(move |at| self.sibling(at))
    }

    /// The document this value stands in.
    #[must_use]
    pub fn document(self) -> &'d Document {
        self.document
    }
}

/// See [`Node::members`].
#[derive(Clone, Debug)]
pub struct Members<'d> {
    of: Node<'d>,
    at: u32,
    end: u32,
}

impl<'d> Iterator for Members<'d> {
    /// The key, a string node, and its value.
    type Item = (Node<'d>, Node<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let (key, value) = (self.of.sibling(self.at), self.of.sibling(self.at + 1));
        self.at = value.slot().next;
        Some((key, value))
    }
}

/// See [`Node::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'d> {
    of: Node<'d>,
    at: u32,
    end: u32,
}

impl<'d> Iterator for Elements<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let element = self.of.sibling(self.at);
        self.at = element.slot().next;
        Some(element)
    }
}
