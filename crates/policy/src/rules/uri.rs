//! The parts of a resource's URI that rules may read. A part that two readers could take differently is
//! absent, so that a rule about it errors and refuses.

/// Parts of a URI; a part that is missing or ambiguous is none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Uri {
    /// In small letters.
    pub(super) scheme: Option<String>,
    /// In small letters, without port; empty where there is none, as in `file:///etc`.
    pub(super) host: Option<String>,
    /// Percent-decoded once, without `.`, `..` and doubled slashes, without query and fragment.
    pub(super) path: Option<String>,
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
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (rest, _) = rest.split_at(end);
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (host(authority), path)
        }
        None => (Some(String::new()), rest),
    };
    Uri {
        scheme: Some(scheme.to_ascii_lowercase()),
        host,
        path: path_of(path),
    }
}

/// The host of an authority without user information; a name of ASCII letters, digits, `-` and `.`, or an
/// address in brackets.
fn host(authority: &str) -> Option<String> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port = port.is_empty() || port.strip_prefix(':').is_some_and(is_digits);
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        return port.then(|| format!("[{address}]"));
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_digits(port) => host,
        Some(_) => return None,
        None => authority,
    };
    let plain = host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    plain.then(|| host.trim_end_matches('.').to_ascii_lowercase())
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
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
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
