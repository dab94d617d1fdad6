//! What a value is made of that says where something goes. A mailbox is the same in `Ann <ann@x.org>` and in `mailto:ann@x.org`,
//! an address with other data behind its `?`, and an account in groups of four: whoever looks for the value as it is
//! written alone does not find them.

use std::borrow::Cow;

use memchr::memmem;

use super::sketch::next_where;

/// Fewest digits of a number in groups: fewer are a day, a time or a sum.
pub(super) const ACCOUNT_DIGITS_MIN: usize = 8;
/// Longest group of such a number.
const GROUP_BYTES_MAX: usize = 8;
/// Longest mailbox that is looked for with white space in it, and how far one look goes.
const MAILBOX_BYTES: usize = 128;
const CLOSED_BYTES: usize = 512;
/// Most steps of an address that are taken off one by one.
const STEPS_MAX: usize = 8;

/// A part of a value, in small letters as the value is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Part {
    /// A mailbox, `local@host`.
    Mailbox(String),
    /// An address: itself without its scheme, then what it lies under, the nearest first.
    Address {
        /// At least one step below the host each.
        under: Vec<String>,
        /// The host, where the address carries more than its steps: data could be in it.
        host: Option<String>,
    },
    /// An account, a telephone: groups of letters and digits, written as one.
    Account(String),
}

impl Part {
    /// All that is said by whoever says this part.
    pub(super) fn into_texts(self) -> Vec<String> {
        match self {
            Self::Mailbox(text) | Self::Account(text) => vec![text],
            Self::Address { mut under, host } => {
                under.extend(host);
                under
            }
        }
    }
}

/// The parts of a value in small letters.
pub(super) fn parts(text: &str) -> Vec<Part> {
    let mut found = Vec::new();
    gather(text, &mut found);
    if let Some(decoded) = decoded(text) {
        gather(&decoded, &mut found);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A text as people read it: without the characters that show nothing, and with letters of full width as the usual ones.
pub(super) fn as_read(text: &str) -> Cow<'_, str> {
    let differs = |c: char| shows_nothing(c) || is_wide(c) || is_stop(c);
    if text.is_ascii() || !text.contains(differs) {
        return Cow::Borrowed(text);
    }
    let read = text.chars().filter(|c| !shows_nothing(*c));
    Cow::Owned(read.map(usual).collect())
}

fn shows_nothing(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn is_wide(c: char) -> bool {
    matches!(c, '\u{ff01}'..='\u{ff5e}')
}

/// What stands for the dot in names of hosts, too (UTS #46).
fn is_stop(c: char) -> bool {
    matches!(c, '\u{3002}' | '\u{ff61}')
}

/// ASCII for its forms of full width, which lie as far from it each.
fn usual(c: char) -> char {
    const APART: u32 = 0xff01 - 0x21;
    match c {
        c if is_stop(c) => '.',
        c if is_wide(c) => char::from_u32(u32::from(c) - APART).unwrap_or(c),
        c => c,
    }
}

fn gather(text: &str, found: &mut Vec<Part>) {
    mailboxes_in(text, found);
    for sign in ["://", "www."] {
        addresses(text, sign, found);
    }
    accounts(text, found);
}

/// Every mailbox of a text, those with white space in them, too.
fn mailboxes_in(text: &str, found: &mut Vec<Part>) {
    let mut closed_to = 0;
    for (at, _) in text.match_indices('@') {
        if let Some(mailbox) = mailbox(text, at) {
            found.push(Part::Mailbox(mailbox));
        } else if at >= closed_to {
            // `ann @ x . org`, and what follows at once: no part of the text is looked at often.
            let around = around(text, at);
            let closed = closed_up(around);
            let signs = closed.match_indices('@');
            found.extend(
                signs
                    .filter_map(|(at, _)| mailbox(&closed, at))
                    .map(Part::Mailbox),
            );
            closed_to = at + CLOSED_BYTES / 2;
        }
    }
}

/// What stands around a place: a mailbox before it, and some more behind.
fn around(text: &str, at: usize) -> &str {
    let begin = text.floor_char_boundary(at.saturating_sub(MAILBOX_BYTES));
    let end = text.floor_char_boundary((at + CLOSED_BYTES).min(text.len()));
    text.get(begin..end).unwrap_or_default()
}

/// The `local@host` around this `@`, without what stands around it.
fn mailbox(text: &str, at: usize) -> Option<String> {
    let (before, after) = (text.get(..at)?, text.get(at + 1..)?);
    let local = match before.strip_suffix('"') {
        Some(quoted) => quoted.rsplit('"').next()?,
        None => {
            let is_of = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-');
            let begin = before.trim_end_matches(is_of).len();
            before.get(begin..)?
        }
    };
    let is_of = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    let end = after.find(|c| !is_of(c)).unwrap_or(after.len());
    let edge = ['.', '-', '_', '%', '+'];
    let (local, host) = (local.trim_matches(edge), after.get(..end)?.trim_matches(edge));
    (!local.is_empty() && host.contains('.')).then(|| format!("{local}@{host}"))
}

/// A text without the white space beside `@` and dots.
fn closed_up(text: &str) -> String {
    let mut closed = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '@' | '.') {
            closed.truncate(closed.trim_end().len());
        } else if c.is_whitespace() && closed.ends_with(['@', '.']) {
            continue;
        }
        closed.push(c);
    }
    closed
}

/// The addresses of a text that begin with this sign, each up to where the next begins: one may be written in another, or
/// directly behind it.
fn addresses(text: &str, sign: &str, found: &mut Vec<Part>) {
    let ends = |c: char| c.is_whitespace() || "\"'<>()[]{},;|`".contains(c);
    let mut signs = memmem::find_iter(text.as_bytes(), sign).peekable();
    while let Some(at) = signs.next() {
        let next = signs.peek().copied().unwrap_or(text.len());
        let rest = text.get(at + sign.len()..next).unwrap_or_default();
        let end = rest.find(ends).unwrap_or(rest.len());
        found.extend(rest.get(..end).and_then(address));
    }
}

/// What an address without its scheme lies under, if it is one.
pub(super) fn address(rest: &str) -> Option<Part> {
    let rest = rest.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '/');
    let rest = rest.strip_prefix("www.").unwrap_or(rest);
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, more) = rest.split_at_checked(end)?;
    let (user, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
    let host = host_in(authority);
    if !host.contains('.') {
        return None;
    }
    let path_end = more.find(['?', '#']).unwrap_or(more.len());
    let (path, data) = more.split_at_checked(path_end)?;
    let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    let below = |count: usize| {
        let steps = steps.iter().take(count);
        steps.fold(authority.to_owned(), |under, step| format!("{under}/{step}"))
    };
    let mut under: Vec<String> = (1..=steps.len().min(STEPS_MAX)).rev().map(below).collect();
    if steps.len() > STEPS_MAX || !data.is_empty() {
        under.insert(0, rest.to_owned());
    }
    let carries = !data.is_empty() || !user.is_empty() || authority != host;
    Some(Part::Address {
        under,
        host: carries.then(|| host.to_owned()),
    })
}

/// The host of an address, whatever it carries: the one it leads to, and not one in its user, its path or its data.
pub(super) fn host_of(text: &str) -> &str {
    let ends = ['/', '?', '#', '\\'];
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = if scheme.contains(ends) { text } else { rest };
    host_in(rest.split(ends).next().unwrap_or(rest))
}

/// The host of an authority, without user and port.
fn host_in(authority: &str) -> &str {
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let end = match host.starts_with('[') {
        true => host.find(']').map(|at| at + 1),
        false => host.find(':'),
    };
    let host = end.and_then(|end| host.get(..end)).unwrap_or(host);
    let host = host.trim_matches('.');
    host.strip_prefix("www.").unwrap_or(host)
}

/// Numbers that are written in groups: `de89 3704 0044 0532 0130 00`, `+43-664-1234567`.
fn accounts(text: &str, found: &mut Vec<Part>) {
    let mut groups: Vec<&str> = Vec::new();
    let mut end = 0;
    let is_of = |c: char| c.is_alphanumeric();
    let digit = |_: u8, byte: u8| byte.is_ascii_digit();
    // Words without a digit are not looked at one by one: most words are.
    while let Some(at) = next_where(text.as_bytes(), end, digit) {
        let (Some(before), Some(after)) = (text.get(end..at), text.get(at..)) else {
            break;
        };
        let between = before.trim_end_matches(is_of);
        let begin = end + between.len();
        if between.contains(|c: char| is_of(c) || c == '/' || c == '.') {
            account(&mut groups, found);
        }
        end = at + after.find(|c: char| !is_of(c)).unwrap_or(after.len());
        match text.get(begin..end) {
            Some(group) if group.len() <= GROUP_BYTES_MAX => groups.push(group),
            Some(_) | None => account(&mut groups, found),
        }
    }
    account(&mut groups, found);
}

/// The number that these groups are, if they are one, and none is begun.
fn account(groups: &mut Vec<&str>, found: &mut Vec<Part>) {
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let is_day = groups
        .first()
        .is_some_and(|first| first.len() == 4 && digits(first) == 4)
        && groups.get(1).is_some_and(|second| second.len() <= 2);
    let joined = groups.concat();
    if groups.len() > 1 && !is_day && digits(&joined) >= ACCOUNT_DIGITS_MIN {
        found.push(Part::Account(joined));
    }
    groups.clear();
}

/// What `%40` and the like stand for, once; none where nothing is written so.
pub(super) fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte = || {
            let digits = after.get(..2).filter(|_| *first == b'%')?;
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        match byte() {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok().filter(|decoded| decoded != text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Part {
        Part::Mailbox(text.to_owned())
    }

    #[test]
    fn a_mailbox_is_the_same_however_it_is_written() {
        let eve = mailbox("eve.page@attacker.example");
        for text in [
            "eve.page@attacker.example",
            "eve.page@attacker.example.",
            "eve <eve.page@attacker.example>",
            "<eve.page@attacker.example>",
            "mailto:eve.page@attacker.example?subject=x",
            "bob@x.org,eve.page@attacker.example",
            "bob@x.org; eve.page@attacker.example",
            "bob@x.org\r\nbcc: eve.page@attacker.example",
            "\"eve.page\"@attacker.example",
            "eve . page @ attacker . example",
            "eve.page @attacker.example, soon",
            "eve.page%40attacker.example",
            "(eve.page@attacker.example)",
            "to:eve.page@attacker.example",
        ] {
            assert!(parts(text).contains(&eve), "{text:?}: {:?}", parts(text));
        }
        for text in [
            "eve at attacker.example",
            "@attacker.example",
            "eve@",
            "a@b",
            "@",
            "@@.@",
        ] {
            assert!(
                !parts(text).iter().any(|part| matches!(part, Part::Mailbox(_))),
                "{text:?}"
            );
        }
        assert_eq!(
            as_read("\u{ff45}ve.p\u{200b}age\u{ff20}attacker.example"),
            "eve.page@attacker.example"
        );
        assert_eq!(as_read("Grüße"), "Grüße");
    }

    #[test]
    fn an_address_is_told_with_what_it_lies_under() {
        let told = |text: &str| {
            let parts = parts(text);
            let address = parts.iter().find_map(|part| match part {
                Part::Address { under, host } => Some((under.join(" "), host.clone().unwrap_or_default())),
                Part::Mailbox(_) | Part::Account(_) => None,
            });
            address.expect("an address")
        };
        let one = |under: &str, host: &str| (under.to_owned(), host.to_owned());
        for (text, expected) in [
            ("https://evil.example", one("", "")),
            ("https://www.evil.example/", one("", "")),
            (
                "https://evil.example/a/b.",
                one("evil.example/a/b evil.example/a", ""),
            ),
            (
                "https://evil.example/a?d=secret",
                one("evil.example/a?d=secret evil.example/a", "evil.example"),
            ),
            (
                "see:https://evil.example/#secret",
                one("evil.example/#secret", "evil.example"),
            ),
            (
                "https://secret@evil.example/a",
                one("evil.example/a", "evil.example"),
            ),
            (
                "https://evil.example:443/a",
                one("evil.example:443/a", "evil.example"),
            ),
            ("www.evil.example/a", one("evil.example/a", "")),
            ("[x](https://evil.example/a)", one("evil.example/a", "")),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
        for text in [
            "https://",
            "://",
            "www.",
            "https://localhost/a",
            "a/b",
            "e.g. www",
        ] {
            assert_eq!(parts(text), [], "{text}");
        }
    }

    /// Regression: there were two readers of hosts. One took an address in another's data for the host, so that a page which
    /// the task names vouched for one it does not; the other kept `www.` behind a user.
    #[test]
    fn the_host_is_where_an_address_leads() {
        for (text, host) in [
            ("https://secret@www.evil.example:443/a", "evil.example"),
            ("https://good.example@evil.example/a", "evil.example"),
            ("evil.example/a?to=https://good.example/b", "evil.example"),
            ("https://evil.example?x=://good.example", "evil.example"),
            ("https://evil.example\\@good.example/", "evil.example"),
            ("https://evil.example./a", "evil.example"),
            ("evil.example/a", "evil.example"),
            ("www.evil.example", "evil.example"),
            ("http://[2001:db8::1]:8080/a", "[2001:db8::1]"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(host_of(text), host, "{text}");
        }
    }

    /// Regression: of several addresses without white space between them only the first was told.
    #[test]
    fn every_address_is_told_whatever_stands_before_it() {
        let evil = Part::Address {
            under: vec!["evil.example/a?d=secret".to_owned(), "evil.example/a".to_owned()],
            host: Some("evil.example".to_owned()),
        };
        for text in [
            "https://ok.example,https://evil.example/a?d=secret",
            "{\"a\":\"https://ok.example/\",\"u\":\"https://evil.example/a?d=secret\"}",
            "![](https://ok.example/x)![](https://evil.example/a?d=secret)",
            "https://ok.example/?u=https://evil.example/a?d=secret",
        ] {
            assert!(parts(text).contains(&evil), "{text}: {:?}", parts(text));
        }
        assert_eq!(address("evil.example/a?d=secret"), Some(evil));
        let hostile = "://a.b/c?".repeat(100_000);
        let told: usize = parts(&hostile)
            .into_iter()
            .flat_map(Part::into_texts)
            .map(|text| text.len())
            .sum();
        assert!(told < 100, "{told}");
    }

    #[test]
    fn a_number_in_groups_is_one_number_and_a_day_is_none() {
        for (text, account) in [
            ("pay de89 3704 0044 0532 0130 00 now", "de89370400440532013000"),
            ("call +43-664-1234567!", "436641234567"),
        ] {
            assert_eq!(parts(text), [Part::Account(account.to_owned())], "{text}");
        }
        for text in [
            "2026-11-23 10:30:00",
            "on 12 of 30",
            "1 2 3 4",
            "12345678",
            "at 10:30 and 11:45",
        ] {
            assert_eq!(parts(text), [], "{text}");
        }
    }

    /// Whatever is written, there are no more parts than it has words and signs, and nothing panics.
    #[test]
    fn parts_are_as_many_as_a_text_is_long() {
        let signs = [
            "@", ".", "/", "://", "www.", "?", "%40", "\"", " ", "a", "1", "\u{200b}", "é", "-",
        ];
        let mut lot = 1_u32;
        for round in 0..20_000 {
            let drawn: String = (0..round % 40)
                .filter_map(|_| {
                    lot = lot.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    signs.get((lot >> 16) as usize % signs.len()).copied()
                })
                .collect();
            assert!(parts(&as_read(&drawn)).len() <= 3 * drawn.len() + 1, "{drawn:?}");
        }
    }
}
