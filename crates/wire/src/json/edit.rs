//! Changes to make while a value is written again. The value that was judged stays as it is.

use std::collections::BTreeMap;

use super::{Node, write_string};

/// A set of changes to values of one document, by place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Edits {
    changes: BTreeMap<u32, Change>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Change {
    Remove,
    Replace(Vec<u8>),
}

impl Edits {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Leaves a member or element out.
    pub fn remove(&mut self, node: Node<'_>) {
        self.changes.insert(node.place(), Change::Remove);
    }

    /// Puts a string in the place of a value, or renames a key.
    pub fn string(&mut self, node: Node<'_>, text: &str) {
        let mut written = Vec::with_capacity(text.len() + 2);
        write_string(&mut written, text);
        self.json(node, written);
    }

    /// Puts a JSON text in the place of a value.
    pub fn json(&mut self, node: Node<'_>, text: Vec<u8>) {
        self.changes.insert(node.place(), Change::Replace(text));
    }

    pub(super) fn removes(&self, node: Node<'_>) -> bool {
        self.changes.get(&node.place()) == Some(&Change::Remove)
    }

    pub(super) fn replacement(&self, node: Node<'_>) -> Option<&[u8]> {
        match self.changes.get(&node.place())? {
            Change::Replace(text) => Some(text),
            Change::Remove => None,
        }
    }
}
