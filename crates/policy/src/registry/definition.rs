//! Definitions and their pins.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest;
use thiserror::Error;
use wire::{
    bounds::NAME_BYTES_MAX,
    json::{Document, JsonError, Keys, Kind, Node, canonical},
};

/// What the text form begins with.
const PREFIX: &str = "sha256:";

/// The digest of a whole definition: SHA-256 over its canonical JSON (RFC 8785), every member included,
/// known or not.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pin([u8; 32]);

impl Pin {
    /// The pin of a definition.
    #[must_use]
    pub fn of(definition: Node<'_>) -> Self {
        Self::of_bytes(&canonical(definition))
    }

    /// The pin of bytes that are canonical already.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut pin = [0; 32];
        for (to, from) in pin
            .iter_mut()
            .zip(digest::digest(&digest::SHA256, bytes).as_ref())
        {
            *to = *from;
        }
        Self(pin)
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(PREFIX).filter(|hex| hex.len() == 64)?;
        let mut pin = [0; 32];
        for (to, pair) in pin.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(pin))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At once and not digit by digit: each entry of the ledger has a pin.
        let mut text = [0; PREFIX.len() + 64];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        let (pairs, _) = digits.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(self.0) {
            *pair = wire::hex::digits(byte);
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a server says a tool or a prompt is, as it said it.
#[derive(Clone, Debug)]
pub struct Definition {
    name: String,
    pin: Pin,
    document: Arc<Document>,
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.pin == other.pin
    }
}
impl Eq for Definition {}

/// Why something offered is no definition.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DefinitionError {
    /// Not an object, or one with keys a parser could confuse.
    #[error("the definition is not strict JSON: {0}")]
    Json(#[from] JsonError),
    /// No usable name.
    #[error("the definition has no name of 1 to {NAME_BYTES_MAX} printable characters")]
    Name,
}

impl Definition {
    /// Takes a definition out of a list.
    ///
    /// # Errors
    /// When it has no usable name, or keys that differ only in case.
    pub fn offered(node: Node<'_>) -> Result<Self, DefinitionError> {
        let (start, end) = node.span();
        let text = node.document().text().get(start..end).unwrap_or_default();
        Self::parse(text.as_bytes().to_vec())
    }

    /// Reads a definition.
    ///
    /// # Errors
    /// See [`Definition::offered`].
    pub fn parse(text: Vec<u8>) -> Result<Self, DefinitionError> {
        let document = Document::parse(text, Keys::Folded, &wire::bounds::ANSWER)?;
        let root = document.root();
        if root.kind() != Kind::Object {
            return Err(DefinitionError::Name);
        }
        let name = root
            .get("name")
            .and_then(Node::as_str)
            .ok_or(DefinitionError::Name)?
            .into_owned();
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        if !fits {
            return Err(DefinitionError::Name);
        }
        Ok(Self {
            name,
            pin: Pin::of(document.root()),
            document: Arc::new(document),
        })
    }

    /// The name the server calls it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its pin.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The definition as offered.
    #[must_use]
    pub fn document(&self) -> &Arc<Document> {
        &self.document
    }
}
