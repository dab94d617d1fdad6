//! Writing JSON: always our own bytes, never the bytes that came in.

use super::{Edits, Kind, Node, parse::plain_run};

/// Writes one JSON text.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// A writer that expects about this many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
        }
    }

    /// The text written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Writes an object.
    pub fn object(&mut self, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.out.push(b'{');
        fill(&mut ObjectWriter {
            out: &mut self.out,
            first: true,
        });
        self.out.push(b'}');
    }

    /// Writes an array.
    pub fn array(&mut self, fill: impl FnOnce(&mut ArrayWriter<'_>)) {
        self.out.push(b'[');
        fill(&mut ArrayWriter {
            out: &mut self.out,
            first: true,
        });
        self.out.push(b']');
    }

    /// Writes a value that was read.
    pub fn node(&mut self, node: Node<'_>) {
        write_node(&mut self.out, node, None);
    }

    /// Writes a value that was read, with changes.
    pub fn edited(&mut self, node: Node<'_>, edits: &Edits) {
        write_node(&mut self.out, node, Some(edits));
    }
}

/// One JSON object, written alone.
#[must_use]
pub fn object(fill: impl FnOnce(&mut ObjectWriter<'_>)) -> Vec<u8> {
    let mut writer = Writer::with_capacity(256);
    writer.object(fill);
    writer.into_bytes()
}

/// An object that was written here, with more members at its end.
#[must_use]
pub fn extended(written: &[u8], more: impl FnOnce(&mut ObjectWriter<'_>)) -> Vec<u8> {
    let inner = written
        .strip_prefix(b"{")
        .and_then(|rest| rest.strip_suffix(b"}"))
        .unwrap_or_default();
    let mut out = Vec::with_capacity(written.len() + 256);
    out.push(b'{');
    out.extend_from_slice(inner);
    more(&mut ObjectWriter {
        first: inner.is_empty(),
        out: &mut out,
    });
    out.push(b'}');
    out
}

/// Writes the members of one object.
#[derive(Debug)]
pub struct ObjectWriter<'w> {
    out: &'w mut Vec<u8>,
    first: bool,
}

impl ObjectWriter<'_> {
    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        write_string(self.out, key);
        self.out.push(b':');
    }

    /// A string member.
    pub fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        write_string(self.out, value);
    }

    /// An integer member.
    pub fn integer(&mut self, key: &str, value: impl Into<i128>) {
        self.key(key);
        write_integer(self.out, value.into());
    }

    /// A `true` or `false` member.
    pub fn boolean(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A `null` member.
    pub fn null(&mut self, key: &str) {
        self.key(key);
        self.out.extend_from_slice(b"null");
    }

    /// A member whose value was read.
    pub fn node(&mut self, key: &str, value: Node<'_>) {
        self.key(key);
        write_node(self.out, value, None);
    }

    /// A member whose value was read, with changes; nothing at all if the change is to leave it out.
    pub fn edited(&mut self, key: &str, value: Node<'_>, edits: &Edits) {
        if !edits.removes(value) {
            self.key(key);
            write_node(self.out, value, Some(edits));
        }
    }

    /// A member that was read, with changes to its name and its value; nothing at all if the change is to leave
    /// it out.
    pub fn member(&mut self, key: Node<'_>, value: Node<'_>, edits: &Edits) {
        if edits.removes(value) {
            return;
        }
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        write_node(self.out, key, Some(edits));
        self.out.push(b':');
        write_node(self.out, value, Some(edits));
    }

    /// A member whose value is a JSON text made by a [`Writer`] or taken from a
    /// [`Document`](super::Document).
    pub fn json(&mut self, key: &str, text: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(text);
    }

    /// An object member.
    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.key(key);
        self.out.push(b'{');
        fill(&mut ObjectWriter {
            out: self.out,
            first: true,
        });
        self.out.push(b'}');
    }

    /// An object member; nothing at all if nothing is written into it.
    pub fn object_unless_empty(&mut self, key: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        let before = (self.out.len(), self.first);
        let mut is_empty = true;
        self.object(key, |out| {
            fill(out);
            is_empty = out.first;
        });
        if is_empty {
            self.out.truncate(before.0);
            self.first = before.1;
        }
    }

    /// An array member.
    pub fn array(&mut self, key: &str, fill: impl FnOnce(&mut ArrayWriter<'_>)) {
        self.key(key);
        self.out.push(b'[');
        fill(&mut ArrayWriter {
            out: self.out,
            first: true,
        });
        self.out.push(b']');
    }

    /// The members of an object that was read, with changes, but for those the caller writes anew or leaves
    /// out.
    pub fn members_except(&mut self, of: Node<'_>, left_out: &[&str], edits: &Edits) {
        for (key, value) in of.members() {
            let Some(name) = key.as_str() else { continue };
            if !left_out.contains(&name.as_ref()) {
                self.member(key, value, edits);
            }
        }
    }
}

/// Writes the elements of one array.
#[derive(Debug)]
pub struct ArrayWriter<'w> {
    out: &'w mut Vec<u8>,
    first: bool,
}

impl ArrayWriter<'_> {
    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
    }

    /// A string element.
    pub fn string(&mut self, value: &str) {
        self.separate();
        write_string(self.out, value);
    }

    /// An element that was read.
    pub fn node(&mut self, value: Node<'_>) {
        self.separate();
        write_node(self.out, value, None);
    }

    /// An element that is a JSON text; see [`ObjectWriter::json`].
    pub fn json(&mut self, text: &[u8]) {
        self.separate();
        self.out.extend_from_slice(text);
    }

    /// An object element.
    pub fn object(&mut self, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.separate();
        self.out.push(b'{');
        fill(&mut ObjectWriter {
            out: self.out,
            first: true,
        });
        self.out.push(b'}');
    }
}

/// Writes a number in decimal digits, without a text of its own.
fn write_integer(out: &mut Vec<u8>, value: i128) {
    // 39 digits are the most that 128 bits have.
    let mut digits = [b'0'; 39];
    let mut left = value.unsigned_abs();
    let mut begin = digits.len();
    for digit in digits.iter_mut().rev() {
        begin -= 1;
        // Nearly every number has 64 bits, and those are divided by the processor.
        let last;
        (left, last) = match u64::try_from(left) {
            Ok(left) => (u128::from(left / 10), left % 10),
            Err(_) => (left / 10, u64::try_from(left % 10).unwrap_or_default()),
        };
        *digit += u8::try_from(last).unwrap_or_default();
        if left == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(begin..).unwrap_or_default());
}

/// Writes a string with its quotes, escaping what JSON must have escaped and nothing else.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Nearly every text needs no escape. What the reader takes as it stands is what can be written so.
    while let Some((plain, escaped)) = rest.split_at_checked(plain_run(rest)) {
        out.extend_from_slice(plain);
        let Some((byte, after)) = escaped.split_first() else {
            break;
        };
        write_escape(out, *byte);
        rest = after;
    }
    out.push(b'"');
}

/// A byte that JSON has written as an escape (RFC 8259 section 7).
fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        0x08 => b'b',
        0x09 => b't',
        0x0A => b'n',
        0x0C => b'f',
        0x0D => b'r',
        0x00..=0x1F => return out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        same => same,
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Writes a value anew: same order, numbers as they were written, strings with the fewest escapes.
fn write_node(out: &mut Vec<u8>, node: Node<'_>, edits: Option<&Edits>) {
    if let Some(text) = edits.and_then(|edits| edits.replacement(node)) {
        out.extend_from_slice(text);
        return;
    }
    match node.kind() {
        Kind::Object => {
            out.push(b'{');
            let mut first = true;
            for (key, value) in node.members() {
                if edits.is_some_and(|edits| edits.removes(value)) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                write_node(out, key, edits);
                out.push(b':');
                write_node(out, value, edits);
            }
            out.push(b'}');
        }
        Kind::Array => {
            out.push(b'[');
            let mut first = true;
            for element in node
                .elements()
                .filter(|e| !edits.is_some_and(|edits| edits.removes(*e)))
            {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                write_node(out, element, edits);
            }
            out.push(b']');
        }
        Kind::String if node.is_escaped() => write_string(out, &node.as_str().unwrap_or_default()),
        Kind::String => {
            out.push(b'"');
            out.extend_from_slice(node.written().as_bytes());
            out.push(b'"');
        }
        Kind::Bool | Kind::Null | Kind::Number => out.extend_from_slice(node.written().as_bytes()),
    }
}
