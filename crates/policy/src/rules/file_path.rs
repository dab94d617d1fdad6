//! The canonical form of a file path in an argument: as far as its text says. Links are the server's own, which its
//! box keeps it from following out (docs/sandbox.md). A path that programs would take differently has no such form,
//! and a rule that asks for it cannot be evaluated, and refuses.

use std::borrow::Cow;

use super::datum::Datum;

/// The members of an argument that is a file path.
pub(super) const MEMBERS: [&str; 4] = ["absolute", "canonical", "name", "text"];

/// The record a rule sees in the place of the text.
pub(super) fn record(text: Cow<'_, str>) -> Datum<'_> {
    let canonical = canonical(&text);
    let absolute = canonical.as_ref().map(|path| Datum::Bool(path.starts_with('/')));
    let name = canonical.as_ref().map(|path| {
        let (_, name) = path.rsplit_once('/').unwrap_or(("", path));
        Datum::Text(Cow::Owned(name.to_owned()))
    });
    let known = [
        ("absolute", absolute),
        ("canonical", canonical.map(|path| Datum::Text(Cow::Owned(path)))),
        ("name", name),
        ("text", Some(Datum::Text(text))),
    ];
    let known = known.into_iter();
    Datum::record(known.filter_map(|(name, value)| Some((Cow::Borrowed(name), value?))))
}

/// Without `.`, `..` and doubled slashes. None of what a shell, a URL parser or another system would make something
/// else of, and of what climbs out of where it starts.
fn canonical(text: &str) -> Option<String> {
    let first = text.split('/').next().unwrap_or_default();
    let hidden = |c: char| c.is_control() || c == '\\' || (c.is_whitespace() && c != ' ');
    let odd = text.is_empty()
        || text.trim() != text
        || text.chars().any(hidden)
        || text.starts_with('~')
        || text.contains(['$', '`'])
        // `file:/etc`, `c:secrets`.
        || first.contains(':')
        || has_escape(text);
    if odd {
        return None;
    }
    let root = if text.starts_with('/') { "/" } else { "" };
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            // The root is above itself; anything else has no known place above it.
            ".." if kept.pop().is_none() && root.is_empty() => return None,
            ".." => {}
            _ => kept.push(segment),
        }
    }
    Some(format!("{root}{}", kept.join("/")))
}

/// `%2e`: some programs decode it.
fn has_escape(text: &str) -> bool {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    bytes
        .windows(3)
        .any(|three| three.first() == Some(&b'%') && hex(three.get(1)) && hex(three.get(2)))
}
