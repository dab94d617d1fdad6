//! RFC 8785, the JSON Canonicalization Scheme: one text per value, so that a digest means the value.

use super::{Kind, Node, write_string};

/// The canonical text of a value.
///
/// Members are sorted by the UTF-16 code units of their keys (section 3.2.3); numbers as
/// [`Number::canonical`](super::Number::canonical) says, the one place where we go beyond the RFC.
#[must_use]
pub fn canonical(node: Node<'_>) -> Vec<u8> {
    let (start, end) = node.span();
    let mut out = Vec::with_capacity(end - start);
    write(&mut out, node);
    out
}

/// Recursion is bounded by the depth limit the document was read with.
fn write(out: &mut Vec<u8>, node: Node<'_>) {
    match node.kind() {
        Kind::Array => {
            out.push(b'[');
            for (n, element) in node.elements().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write(out, element);
            }
            out.push(b']');
        }
        Kind::Object => {
            let mut members: Vec<_> = node
                .members()
                .map(|(key, value)| (key.as_str().unwrap_or_default(), value))
                .collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (n, (key, value)) in members.into_iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_string(out, &key);
                out.push(b':');
                write(out, value);
            }
            out.push(b'}');
        }
        Kind::String => write_string(out, &node.as_str().unwrap_or_default()),
        Kind::Number => {
            let text = node.as_number().map(super::Number::canonical).unwrap_or_default();
            out.extend_from_slice(text.as_bytes());
        }
        Kind::Bool | Kind::Null => out.extend_from_slice(node.written().as_bytes()),
    }
}
