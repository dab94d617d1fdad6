//! Where a text leads: the hosts it names, in one form however they are written. A reader of addresses forgives much
//! (`https:/evil.org`, `https:\\evil.org`, `http://0xcb007107`), each reader something else, so all that any of
//! them would take for a host is one here. What that comes to is asked of what a result names, which is read the same way.

use std::{borrow::Cow, net::IpAddr};

use super::sketch::{Mark, mark, next_where};

/// Schemes whose addresses have a host whatever stands between (WHATWG URL, section 4.2).
const REPAIRED: [&str; 5] = ["http", "https", "ws", "wss", "ftp"];
/// Longest host that is read, with what may stand before and behind it.
const AUTHORITY_BYTES: usize = 512;
/// How often a text is read without its percent-encoding: each time may take off as little as two bytes.
const DECODED_MAX: usize = 3;
/// Longest comment before an `@`.
const COMMENT_BYTES: usize = 128;
/// Longest path that is looked at around a sign that it is written otherwise than usual.
const PATH_BYTES: usize = 512;
/// Most names above a host that are asked about.
const ABOVE_MAX: usize = 4;
/// Names under which anybody gets a name: who has one of them has none of the others.
const SHARED: [&str; 21] = [
    "amazonaws.com",
    "appspot.com",
    "azurewebsites.net",
    "blogspot.com",
    "cloudfront.net",
    "core.windows.net",
    "blob.core.windows.net",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "googleapis.com",
    "googleusercontent.com",
    "herokuapp.com",
    "netlify.app",
    "onrender.com",
    "pages.dev",
    "s3.amazonaws.com",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// A host that a text names.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Host {
    /// In one form: small letters, `xn--` where there are others than ASCII's, an address as it is usually written.
    pub(super) name: String,
    /// As the text writes it, without `www.`.
    written: String,
    /// The address carries more than steps, or readers take it for different ones: data could be in it.
    pub(super) carries: bool,
}

impl Host {
    /// The host that a whole value is, without a scheme and what goes with it.
    pub(super) fn bare(text: &str) -> Option<Self> {
        let is_of = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        let is_host = text.contains('.') && text.chars().all(is_of);
        Self::new(text).filter(|_| is_host)
    }

    fn new(authority: &str) -> Option<Self> {
        let name = normal(authority)?;
        let written = match authority.starts_with('[') {
            true => authority
                .split(']')
                .next()
                .unwrap_or_default()
                .trim_start_matches('['),
            false => without_port(authority),
        };
        Some(Self {
            written: written.to_owned(),
            name,
            carries: false,
        })
    }

    /// How the host is written where no scheme says that it is one. A name of one label is any word.
    pub(super) fn spellings(&self) -> Vec<String> {
        let mut spellings = Vec::new();
        if let Ok(IpAddr::V4(address)) = self.name.parse() {
            let number = u32::from(address);
            spellings.extend([number.to_string(), format!("0x{number:x}")]);
        }
        if self.name.split('.').any(|label| label.starts_with("xn--")) {
            spellings.push(url::quirks::domain_to_unicode(&self.name));
        }
        if self.name != self.written && self.written.contains(['.', ':']) {
            spellings.push(self.written.clone());
        }
        if self.name.contains(['.', ':']) {
            spellings.push(self.name.clone());
        }
        spellings
    }

    /// Whether some of a result's marks say that it names this host.
    pub(super) fn mark(&self) -> Mark {
        mark_of(NAMED, &self.name)
    }

    /// The names above it that one owner has, the nearest first, each with what stands before it.
    pub(super) fn above(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_number = self.name.parse::<IpAddr>().is_ok();
        let dots = self.name.match_indices('.').filter(move |_| !is_number);
        let above = dots.filter_map(|(at, _)| Some((self.name.get(..at)?, self.name.get(at + 1..)?)));
        above.filter(|(_, above)| has_one_owner(above)).take(ABOVE_MAX)
    }
}

/// Whether one owner has all names under this one, which is no top of many: `co.uk`, `github.io`.
fn has_one_owner(name: &str) -> bool {
    let (rest, top) = name.rsplit_once('.').unwrap_or(("", name));
    let is_top = !rest.contains('.') && rest.len() <= 3 && top.len() == 2;
    !rest.is_empty() && !is_top && !SHARED.contains(&name)
}

/// Whether a result that names this host, or one under it, may be marked so.
pub(super) fn mark_of_host(name: &str) -> Mark {
    mark_of(NAMED, name)
}

/// Whether a result that names hosts under this one may be marked so.
pub(super) fn mark_of_above(name: &str) -> Mark {
    mark_of(ABOVE, name)
}

/// Whether a result that names a mailbox, whatever is written for its owner behind it (`ann+list`), may be marked so.
pub(super) fn mark_of_mailbox(bare: &str) -> Mark {
    mark_of(MAILBOX, bare)
}

/// Whether a result that names this path, in another spelling, may be marked so.
pub(super) fn mark_of_path(path: &str) -> Mark {
    mark_of(PATH, path)
}

/// What a mark is of. No word begins so, so no word's mark says it. Stored: see `sketch`.
const ABOVE: &str = "above\0";
const MAILBOX: &str = "mailbox\0";
const NAMED: &str = "named\0";
const PATH: &str = "path\0";

fn mark_of(sort: &str, name: &str) -> Mark {
    mark(&format!("{sort}{name}"))
}

/// Marks of all that a result in small letters names where something could go, in one form.
pub(super) fn marks(text: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    read(text, |found| match found {
        Found::Host(host) => {
            marks.push(host.mark());
            marks.extend(host.above().map(|(_, above)| mark_of(ABOVE, above)));
        }
        Found::Mailbox(local, host) => {
            marks.push(host.mark());
            marks.extend(host.above().map(|(_, above)| mark_of(ABOVE, above)));
            marks.push(mark_of(MAILBOX, &bare_mailbox(local, &host.name)));
        }
        Found::Path(path) => marks.push(mark_of(PATH, &path)),
    });
    marks.sort_unstable();
    marks.dedup();
    marks
}

/// The hosts of a text in small letters, and the mailboxes: what is before `@`, and the host.
pub(super) fn hosts(text: &str) -> (Vec<Host>, Vec<(String, Host)>) {
    let (mut hosts, mut mailboxes) = (Vec::new(), Vec::new());
    let mut take = |text: &str| {
        read(text, |found| match found {
            Found::Host(host) => hosts.push(host),
            Found::Mailbox(local, host) => mailboxes.push((local.to_owned(), host)),
            Found::Path(_) => {}
        });
    };
    take(text);
    let mut layer = Cow::Borrowed(text);
    // What is written with `%` twice is read twice on a way of redirects.
    for _ in 0..DECODED_MAX {
        let Some(decoded) = super::parts::decoded(&layer) else {
            break;
        };
        take(&decoded);
        layer = Cow::Owned(decoded);
    }
    // Readers of addresses leave these out.
    if layer.contains(['\t', '\n', '\r']) {
        take(&layer.replace(['\t', '\n', '\r'], ""));
    }
    hosts.sort_unstable();
    hosts.dedup();
    mailboxes.sort_unstable();
    mailboxes.dedup();
    (hosts, mailboxes)
}

/// A mailbox without what its owner may add: `ann+list@x.org` is Ann's, and so is `a.n.n@gmail.com`.
pub(super) fn bare_mailbox(local: &str, host: &str) -> String {
    let bare = local.split('+').next().unwrap_or(local);
    match host {
        "gmail.com" | "googlemail.com" => format!("{}@gmail.com", bare.replace('.', "")),
        _ => format!("{bare}@{host}"),
    }
}

enum Found<'t> {
    Host(Host),
    Mailbox(&'t str, Host),
    /// In its usual spelling, where it is written otherwise.
    Path(String),
}

/// Reads a text up to each sign behind which a host may stand.
fn read<'t>(text: &'t str, mut each: impl FnMut(Found<'t>)) {
    let sign = |before: u8, byte: u8| {
        let slash = (byte == b'/') | (byte == b'\\');
        (byte == b'@')
            | (byte == b':')
            | slash & ((before == b'/') | (before == b'\\'))
            | (before == b'/') & (byte == b'.')
    };
    let (mut next, mut path_to) = (0, 0);
    while let Some(at) = next_where(text.as_bytes(), next, sign) {
        next = at + 1;
        let (Some(before), Some(after)) = (text.get(..at), text.get(at + 1..)) else {
            continue;
        };
        match text.as_bytes().get(at) {
            Some(b':') => {
                if let Some((authority, is_usual)) = behind_scheme(before, after) {
                    authorities(authority, is_usual, &mut each);
                }
            }
            Some(b'@') => {
                if let Some(found) = behind_at(before, after) {
                    each(found);
                }
            }
            _ if begins(before) => authorities(after, false, &mut each),
            // Each stretch once, however many signs it has.
            _ if at >= path_to => {
                let (path, end) = path_around(text, at);
                path_to = end;
                each(Found::Path(path));
            }
            _ => {}
        }
    }
}

/// What stands behind a scheme's colon and is an authority, and whether it is written as it should be.
fn behind_scheme<'t>(before: &str, after: &'t str) -> Option<(&'t str, bool)> {
    let is_of = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let scheme = before.get(before.trim_end_matches(is_of).len()..)?;
    let rest = after.trim_start_matches(['/', '\\']);
    let slashes = after.len() - rest.len();
    let is_usual = slashes == 2 && after.starts_with("//");
    let is_repaired = || REPAIRED.iter().any(|repaired| scheme.ends_with(repaired));
    let is_one = !scheme.is_empty() && (slashes == 2 || is_repaired());
    is_one.then_some((rest, is_usual))
}

/// Whether an address without a scheme may begin with these two slashes, of which the second is not there yet.
fn begins(before: &str) -> bool {
    let head = before.get(..before.len().saturating_sub(1)).unwrap_or_default();
    let is_inside =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '\\' | ':' | '.' | '-' | '_' | '~' | '%');
    before.ends_with(['/', '\\']) && !head.ends_with(is_inside)
}

/// All that readers may take for the host of what begins with an authority.
fn authorities<'t>(text: &'t str, is_usual: bool, each: &mut impl FnMut(Found<'t>)) {
    let text = text
        .get(..text.floor_char_boundary(AUTHORITY_BYTES))
        .unwrap_or(text);
    let ends = |c: char| c.is_whitespace() || "\"'<>(){},;|`".contains(c);
    let address = text.split(ends).next().unwrap_or_default();
    let end = address.find(['/', '?', '#', '\\']).unwrap_or(address.len());
    let (Some(authority), Some(more)) = (address.get(..end), address.get(end..)) else {
        return;
    };
    for part in authority.split('@') {
        if let Some(mut host) = Host::new(part) {
            let is_more = more.contains(['?', '#', '\\']);
            let is_plain = is_usual || !host.name.contains(['.', ':']);
            let is_all = host.written == authority.strip_prefix("www.").unwrap_or(authority);
            host.carries = is_more || !is_plain || !is_all;
            each(Found::Host(host));
        }
    }
}

/// A mailbox around this `@`, or a host behind it.
fn behind_at<'t>(before: &'t str, after: &'t str) -> Option<Found<'t>> {
    let after = after
        .get(..after.floor_char_boundary(AUTHORITY_BYTES))
        .unwrap_or(after);
    let is_of = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let after = after.trim_start_matches(' ');
    let host = match after.strip_prefix('[') {
        Some(_) => after.split_inclusive(']').next()?,
        None => after.get(..after.find(|c| !is_of(c)).unwrap_or(after.len()))?,
    };
    let mut host = Host::new(host).filter(|host| host.name.contains(['.', ':']))?;
    host.carries = true;
    let (local, before) = local(before);
    // Behind other signs it is a part of an address, or of a name that readers end elsewhere.
    let ends = |c: char| c.is_whitespace() || "\"'<>()[]{},;:|`".contains(c);
    let is_mailbox = !local.is_empty() && before.is_none_or(ends);
    Some(match is_mailbox {
        true => Found::Mailbox(local, host),
        false => Found::Host(host),
    })
}

/// Whose mailbox it is, by what stands before its `@`: without a comment in brackets. And the sign before that.
fn local(before: &str) -> (&str, Option<char>) {
    let mut before = before.trim_end_matches(' ');
    while let Some(inner) = before.strip_suffix(')') {
        let from = inner.floor_char_boundary(inner.len().saturating_sub(COMMENT_BYTES));
        let Some(begin) = inner.get(from..).and_then(|near| near.rfind('(')) else {
            break;
        };
        before = inner
            .get(..from + begin)
            .unwrap_or_default()
            .trim_end_matches(' ');
    }
    let before = before.strip_suffix('"').unwrap_or(before);
    let is_of = |c: char| c.is_alphanumeric() || "._%+-=!$&*^~".contains(c);
    let (head, local) = before
        .split_at_checked(before.trim_end_matches(is_of).len())
        .unwrap_or((before, ""));
    (
        local.trim_matches(['.', '-', '_', '%', '\'']),
        head.chars().next_back(),
    )
}

/// A host in one form, if it may be one. Most are written in it.
fn normal(authority: &str) -> Option<String> {
    if authority.starts_with('[') {
        let (address, _) = authority.split_once(']')?;
        let url::Host::Ipv6(address) = url::Host::parse(&format!("{address}]")).ok()? else {
            return None;
        };
        return Some(address.to_canonical().to_string());
    }
    let host = without_port(authority);
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let last = host.rsplit('.').next().filter(|last| !last.is_empty())?;
    if host.bytes().all(is_plain) && !last.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(host.to_owned());
    }
    let parsed = url::Host::parse(host).ok()?;
    let name = match parsed {
        url::Host::Domain(name) => name,
        url::Host::Ipv4(address) => return Some(address.to_string()),
        url::Host::Ipv6(address) => return Some(address.to_canonical().to_string()),
    };
    let name = name.trim_matches('.');
    let name = name.strip_prefix("www.").unwrap_or(name);
    (!name.is_empty()).then(|| name.to_owned())
}

fn without_port(authority: &str) -> &str {
    let host = authority.split(':').next().unwrap_or(authority);
    let host = host.trim_matches(['.', '-', '_', '*', '!']);
    host.strip_prefix("www.").unwrap_or(host)
}

/// The path around a place, in its usual spelling, and where it ends.
fn path_around(text: &str, at: usize) -> (String, usize) {
    let from = text.floor_char_boundary(at.saturating_sub(PATH_BYTES));
    let to = text.floor_char_boundary((at + PATH_BYTES).min(text.len()));
    let ends = |c: char| c.is_whitespace() || "\"'<>(){}[],;|`".contains(c);
    let before = text.get(from..at).unwrap_or_default();
    let begin = before.rfind(ends).map_or(from, |end| from + end + 1);
    let after = text.get(at..to).unwrap_or_default();
    let end = after.find(ends).map_or(to, |end| at + end);
    (usual_path(text.get(begin..end).unwrap_or_default()), end)
}

/// A path as it is usually written: without `file:`, `.`, `..`, doubled slashes, and one at its end.
pub(super) fn usual_path(path: &str) -> String {
    let decoded = super::parts::decoded(path).unwrap_or_else(|| path.to_owned());
    let path = decoded.replace('\\', "/");
    let path = path.strip_prefix("file:").map_or(path.as_str(), |path| {
        path.strip_prefix("//localhost").unwrap_or(path)
    });
    let path = path.trim_end_matches(['.', ':', '!', '?']);
    let mut steps: Vec<&str> = Vec::new();
    let mut is_rooted = path.starts_with('/');
    for step in path.split('/') {
        match step {
            "" | "." => {}
            // Above where it begins is as good as the root: nobody knows how far.
            ".." => is_rooted |= steps.pop().is_none_or(|step| step == "~"),
            _ => steps.push(step),
        }
    }
    let steps = steps.join("/");
    if is_rooted { format!("/{steps}") } else { steps }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: each of these took time with the square of its length, some minutes.
    #[test]
    fn long_texts_are_read_in_time_with_their_length() {
        for text in [
            format!("%{}", "25".repeat(500_000)),
            format!("({}", ")@".repeat(500_000)),
            format!("{}@x.org", "(a)".repeat(300_000)),
            "//@".repeat(300_000),
            "http:@a".repeat(100_000),
            "/.".repeat(500_000),
        ] {
            hosts(&text);
            marks(&text);
        }
        let (_, mailboxes) = hosts("eve(a comment)(and another)@attacker.example");
        let whose: Vec<_> = mailboxes
            .iter()
            .map(|(local, host)| (local.as_str(), host.name.as_str()))
            .collect();
        assert_eq!(whose, [("eve", "attacker.example")]);
    }
}
