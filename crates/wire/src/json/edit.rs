//! Changes to make while a value is written again. The value that was judged stays as it is.

use std::collections::BTreeMap;

use super::{Node, write_string};

/// A set of changes to values of one document, by place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Edits {
    changes: BTreeMap<u32, Change>,
    /// Members to add to the `_meta` of a result: the gateway's own.
    meta: BTreeMap<&'static str, Vec<u8>>,
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
        self.changes.is_empty() && self.meta.is_empty()
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

    /// Adds a member to the result's `_meta`: a JSON text.
    pub fn meta(&mut self, key: &'static str, text: Vec<u8>) {
        self.meta.insert(key, text);
    }

    /// What is added to `_meta`.
    pub fn added_meta(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.meta.iter().map(|(key, text)| (*key, text.as_slice()))
    }

    /// These changes and those; of two for one place, those.
    #[must_use]
    pub fn and(mut self, those: Self) -> Self {
        self.changes.extend(those.changes);
        self.meta.extend(those.meta);
        self
    }

    /// Whether a value, or something that holds it, is not judged here: it has a change already.
    #[must_use]
    pub fn touches(&self, node: Node<'_>) -> bool {
        self.changes.contains_key(&node.place())
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
