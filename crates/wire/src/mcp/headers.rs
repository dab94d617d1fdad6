//! Headers that mirror the body (2026-07-28, streamable HTTP): they must say what the body says.
//!
//! We never decide on a header. A header that says something else than the body is an attempt to have a
//! guard on the way read one call and the server another, and is refused (-32020).

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

use super::{Direction, Method, Revision, Target, meta, target};
use crate::{bounds::HEADER_BYTES_MAX, jsonrpc::Message};

/// The mirrored headers of one request, each `None` where the header is absent.
#[derive(Clone, Debug, Default)]
pub struct Mirrored<'h> {
    /// `MCP-Protocol-Version`
    pub protocol_version: Option<&'h str>,
    /// `Mcp-Method`
    pub method: Option<&'h str>,
    /// `Mcp-Name`
    pub name: Option<&'h str>,
}

/// Why headers and body do not agree.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Mismatch {
    /// A required header is missing.
    #[error("the `{0}` header is required")]
    Missing(&'static str),
    /// A header says something else than the body.
    #[error("the `{0}` header and the body do not agree")]
    Differs(&'static str),
    /// A header that cannot be read.
    #[error("the `{0}` header is malformed")]
    Malformed(&'static str),
}

impl Mirrored<'_> {
    /// Checks the headers of a request of the modern era against its body.
    ///
    /// # Errors
    /// The first header that is missing, malformed or at odds with the body.
    pub fn agree(&self, message: &Message) -> Result<(), Mismatch> {
        const VERSION: &str = "MCP-Protocol-Version";
        const METHOD: &str = "Mcp-Method";
        const NAME: &str = "Mcp-Name";

        let version = self.protocol_version.ok_or(Mismatch::Missing(VERSION))?;
        let in_body = message
            .params()
            .and_then(meta::of)
            .and_then(|meta| meta.get(meta::PROTOCOL_VERSION));
        if !in_body.is_some_and(|body| body.is_str(version.trim())) {
            return Err(Mismatch::Differs(VERSION));
        }
        let method = self.method.ok_or(Mismatch::Missing(METHOD))?;
        if message.method().map(Method::name) != Some(method.trim()) {
            return Err(Mismatch::Differs(METHOD));
        }
        let Some(named) = named(message) else {
            return Ok(());
        };
        let name =
            decode_sentinel(self.name.ok_or(Mismatch::Missing(NAME))?).ok_or(Mismatch::Malformed(NAME))?;
        if name == named {
            Ok(())
        } else {
            Err(Mismatch::Differs(NAME))
        }
    }
}

/// What `Mcp-Name` must say, where the method requires it.
fn named(message: &Message) -> Option<Cow<'_, str>> {
    // A method the era does not have is refused as that; nothing says what its headers are.
    let known = |method: Method| method.exists(Revision::V2026_07_28, Direction::ToServer);
    if !message.method().is_some_and(known) {
        return None;
    }
    match target(message).ok()? {
        Target::Tool { name, .. } | Target::Prompt { name, .. } => Some(name),
        Target::Resource { uri } if message.method() == Some(Method::ResourcesRead) => Some(uri),
        Target::Task { id } => Some(id),
        Target::Completion { .. } | Target::Model { .. } | Target::None | Target::Resource { .. } => None,
    }
}

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// The value a header stands for: itself, or what `=?base64?...?=` encodes. None if malformed.
#[must_use]
pub fn decode_sentinel(header: &str) -> Option<Cow<'_, str>> {
    let header = header.trim_matches([' ', '\t']);
    if header.len() > HEADER_BYTES_MAX {
        return None;
    }
    let Some(encoded) = header
        .strip_prefix(OPEN)
        .and_then(|rest| rest.strip_suffix(CLOSE))
    else {
        let plain = header.bytes().all(|b| (0x20..0x7F).contains(&b) || b == b'\t');
        return plain.then_some(Cow::Borrowed(header));
    };
    String::from_utf8(STANDARD.decode(encoded).ok()?)
        .ok()
        .map(Cow::Owned)
}

/// The header text for a value: itself where a header can carry it, encoded otherwise.
#[must_use]
pub fn encode_sentinel(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(|b| (0x20..0x7F).contains(&b) || b == b'\t');
    let trimmed = value.trim_matches([' ', '\t']).len() == value.len();
    let looks_encoded = value.starts_with(OPEN) && value.ends_with(CLOSE);
    if plain && trimmed && !looks_encoded {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{OPEN}{}{CLOSE}", STANDARD.encode(value)))
}
