//! The parts of a URI that rules may read: of a resource's, and of an argument that is one. A part that two readers
//! could take differently is absent, so that a rule about it errors and refuses.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::datum::Datum;

/// The members of an argument that is a URL.
pub(super) const MEMBERS: [&str; 5] = ["host", "path", "port", "scheme", "text"];
/// Schemes browsers repair (WHATWG URL, section 4.2), and their ports.
const REPAIRED: [(&str, Option<i64>); 5] = [
    ("ftp", Some(21)),
    ("http", Some(80)),
    ("https", Some(443)),
    ("ws", Some(80)),
    ("wss", Some(443)),
];

/// Parts of a URI; a part that is missing or ambiguous is none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Uri {
    /// In small letters.
    pub(super) scheme: Option<String>,
    /// In small letters, without port; empty where there is none, as in `file:///etc`.
    pub(super) host: Option<String>,
    /// Percent-decoded once, without `.`, `..` and doubled slashes, without query and fragment.
    pub(super) path: Option<String>,
    /// As said, or the scheme's own.
    port: Option<i64>,
}

/// The record a rule sees in the place of the text.
pub(super) fn record(text: Cow<'_, str>) -> Datum<'_> {
    let parts = split(&text);
    let owned = |part: Option<String>| part.map(|part| Datum::Text(Cow::Owned(part)));
    let known = [
        ("host", owned(parts.host)),
        ("path", owned(parts.path)),
        ("port", parts.port.map(Datum::Long)),
        ("scheme", owned(parts.scheme)),
        ("text", Some(Datum::Text(text))),
    ];
    let known = known.into_iter();
    Datum::record(known.filter_map(|(name, value)| Some((Cow::Borrowed(name), value?))))
}

/// Splits a URI (RFC 3986).
pub(super) fn split(uri: &str) -> Uri {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Uri::default();
    };
    let well_formed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    // What clients repair in different ways: control characters, spaces, backslashes.
    let mangled = uri
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || c == '\\');
    if !well_formed || mangled {
        return Uri::default();
    }
    let scheme = scheme.to_ascii_lowercase();
    let (rest, _) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let own = REPAIRED.iter().find(|(name, _)| *name == scheme);
    let Some((authority, path)) = rest
        .strip_prefix("//")
        .map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())))
    else {
        // `https:/evil.org` has no host to us, and is `https://evil.org/` to a browser.
        let plain = own.is_none();
        return Uri {
            host: plain.then(String::new),
            path: plain.then(|| path_of(rest)).flatten(),
            scheme: Some(scheme),
            port: None,
        };
    };
    if own.is_some() && authority.is_empty() {
        return Uri {
            scheme: Some(scheme),
            ..Uri::default()
        };
    }
    let place = host(authority);
    Uri {
        path: path_of(path),
        port: place
            .as_ref()
            .and_then(|(_, port)| port.or_else(|| own.and_then(|(_, port)| *port))),
        host: place.map(|(host, _)| host),
        scheme: Some(scheme),
    }
}

/// The host of an authority without user information, and the port it says; a name of ASCII letters, digits, `-`,
/// `_` and `.`, or an address.
fn host(authority: &str) -> Option<(String, Option<i64>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let port = match after.strip_prefix(':') {
            Some(port) => port_of(port)?,
            None if after.is_empty() => None,
            None => return None,
        };
        let address: Ipv6Addr = address.parse().ok()?;
        return Some((format!("[{address}]"), port));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port_of(port)?),
        None => (authority, None),
    };
    let plain = host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // `0x7f.1`, `017700000001` and `2130706433` are 127.0.0.1 to many; a name's last label is no number.
    let last = host.rsplit('.').next().unwrap_or_default();
    let number =
        last.starts_with(|c: char| c.is_ascii_digit()) && (is_digits(last) || last.starts_with("0x"));
    let known = plain && !host.ends_with('.') && (!number || host.parse::<Ipv4Addr>().is_ok());
    known.then_some((host, port))
}

/// A port; the inner none where it is left out after all. None where it is no port.
fn port_of(text: &str) -> Option<Option<i64>> {
    if text.is_empty() {
        return Some(None);
    }
    let port: u16 = text.parse().ok().filter(|_| is_digits(text))?;
    Some(Some(i64::from(port)))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn path_of(path: &str) -> Option<String> {
    let decoded = percent_decoded(path)?;
    if decoded.chars().any(|c| c.is_control() || c == '\\') || decoded.contains('%') {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "." => {}
            // An empty segment in the middle is what `..` takes away for clients, and nothing to servers.
            ".." if kept.len() > 1 && kept.last().is_some_and(|last| last.is_empty()) => return None,
            ".." if kept.len() > 1 || !decoded.starts_with('/') => {
                kept.pop();
            }
            ".." => {}
            // `..;x` is `..` to servers that know parameters of a segment.
            _ if segment.starts_with(".;") || segment.starts_with("..;") => return None,
            _ => kept.push(segment),
        }
    }
    kept.retain(|segment| !segment.is_empty());
    let root = if decoded.starts_with('/') { "/" } else { "" };
    Some(format!("{root}{}", kept.join("/")))
}

/// None where an escape is broken, hides a slash, or the outcome is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = u8::try_from(digit()? * 16 + digit()?).ok()?;
        if value == b'/' {
            return None;
        }
        bytes.push(value);
    }
    String::from_utf8(bytes).ok()
}
