//! URLs of calls: the base, the path of an operation with arguments in it, and a query.
//!
//! INVARIANT (below): a URL that leaves here is the base's, and its path is the base's path and then exactly the segments
//! of the operation's own path. What an argument could do to that is refused or written so that it cannot.

use std::fmt::Write;

use hyper::Uri;

/// Where a service is: scheme, host, and the path below which everything is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Base {
    uri: Uri,
    /// Without a slash at its end.
    prefix: String,
}

/// A part of a path as the description has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// A parameter, by its name.
    Argument(String),
    /// Text, as it is sent.
    Text(String),
}

/// Why a path of a description cannot be one.
pub(super) const ODD: &str = "its path has characters or segments that readers take differently";

impl Base {
    /// None if it has a query, or is not absolute.
    pub(crate) fn new(uri: &Uri) -> Option<Self> {
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let path = uri.path().trim_end_matches('/');
        let fits = uri.query().is_none() && (path.is_empty() || is_plain(path));
        fits.then(|| Self {
            prefix: format!("{scheme}://{authority}{path}"),
            uri: uri.clone(),
        })
    }

    /// The URL of a path and a query below it.
    pub(super) fn below(&self, path: &str, query: &str) -> Result<Uri, String> {
        let mark = if query.is_empty() { "" } else { "?" };
        let whole = [self.prefix.as_str(), path, mark, query].concat();
        let refused = || "its URL would not be below the service's".to_owned();
        let uri: Uri = whole
            .parse()
            .map_err(|_| "no URL can be made of its arguments".to_owned())?;
        let own = uri.scheme() == self.uri.scheme() && uri.authority() == self.uri.authority();
        let base = self.uri.path().trim_end_matches('/');
        let rest = uri.path().strip_prefix(base).ok_or_else(refused)?;
        // INVARIANT (below): read again, whatever was done before.
        let same = rest == path && uri.query().unwrap_or_default() == query;
        if own && same && is_plain(rest) {
            Ok(uri)
        } else {
            Err(refused())
        }
    }
}

/// Whether a path begins with `/` and is read in one way by everybody: no segment that leads up or stays, none that is
/// empty but the last, nothing that hides a separator.
fn is_plain(path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else {
        return false;
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&b);
    let last = path.split('/').count() - 1;
    path.bytes().all(allowed)
        && path
            .split('/')
            .enumerate()
            .all(|(n, segment)| (n == last && segment.is_empty()) || is_plain_segment(segment))
}

fn is_plain_segment(segment: &str) -> bool {
    decoded(segment).is_some_and(|text| is_harmless(&text))
}

/// Whether a decoded segment stays one segment, and where it is, for every reader: those that decode before they look for
/// separators, that decode twice, that take `\` for `/`, and that cut a segment at its first `;`.
fn is_harmless(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let twice = bytes.windows(3).any(
        |three| matches!(three, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
    );
    let name = segment.split(';').next().unwrap_or_default().trim();
    let breaks = segment.contains(['/', '\\']) || segment.chars().any(char::is_control);
    !(twice || breaks || matches!(name, "" | "." | ".."))
}

/// The parts of a path of a description.
pub(super) fn parts(path: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = path;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("a `{` has no `}`")?;
        if name.is_empty() || name.contains('{') {
            return Err("a parameter in the path has no name");
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        parts.push(Part::Argument(name.to_owned()));
        rest = after;
    }
    if rest.contains('}') {
        return Err("a `}` has no `{`");
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    // An `x` in each argument's place: what is left is the description's own.
    let own: String = parts
        .iter()
        .map(|part| match part {
            Part::Argument(_) => "x",
            Part::Text(text) => text,
        })
        .collect();
    if is_plain(&own) { Ok(parts) } else { Err(ODD) }
}

/// A path with arguments in it; `value` knows each by the parameter's name.
pub(super) fn path<'v>(parts: &[Part], value: impl Fn(&str) -> Option<&'v str>) -> Result<String, String> {
    let mut path = String::new();
    for part in parts {
        match part {
            Part::Text(text) => path.push_str(text),
            Part::Argument(name) => {
                let value = value(name).ok_or_else(|| format!("`{name}` is missing"))?;
                if !is_harmless(value) {
                    return Err(format!(
                        "`{name}` is part of a path, and cannot be empty, `.` or `..`, or have `/`, `\\`, control \
                         characters or `%` before two hexadecimal digits in it"
                    ));
                }
                encode(&mut path, value);
            }
        }
    }
    // Two harmless parts can make one that is not, such as `.` and `.`; `below` looks at the whole.
    Ok(path)
}

/// Writes a text so that nothing in it has a meaning in a URL: everything but what is unreserved (RFC 3986, section 2.3).
pub(super) fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A text without its percent-encoding; none if that is broken or hides what is no UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
