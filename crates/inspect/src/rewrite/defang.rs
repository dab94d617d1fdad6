//! Links and images made harmless: what a program shows of a text leads nowhere and loads nothing.
//!
//! An address is where data leaks to: a picture that a chat shows is fetched with all that stands in its address, and
//! a link needs one click. What is changed stays readable for people and models.

use std::ops::Range;

/// What is made harmless.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Defang {
    /// What is loaded where a text is shown: images, frames and styles, of Markdown and HTML.
    Images,
    /// What leads elsewhere: addresses, and links of Markdown and HTML.
    Links,
}

impl Defang {
    /// The word rules use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Links => "links",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Images, Self::Links]
            .into_iter()
            .find(|one| one.as_str() == word)
    }
}

/// Elements of HTML that load something by being there.
const LOADING: [&str; 26] = [
    "audio", "base", "body", "embed", "frame", "iframe", "image", "img", "input", "link", "meta", "object",
    "picture", "script", "source", "style", "svg", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "track", "video",
];
/// Elements of HTML that lead elsewhere.
const LEADING: [&str; 8] = ["a", "area", "base", "button", "form", "input", "math", "meta"];
/// Schemes of addresses that are fetched, and what they become.
const SCHEMES: [(&str, &str); 6] = [
    ("http", "hxxp"),
    ("https", "hxxps"),
    ("ftp", "fxp"),
    ("ftps", "fxps"),
    ("ws", "wx"),
    ("wss", "wxs"),
];
/// The longest of these names, in bytes.
const NAME_BYTES_MAX: usize = 8;

/// The changes that make a text harmless, in order and apart; none where nothing in it is of that sort.
#[must_use]
pub fn defang(text: &str, what: Defang) -> Vec<(Range<usize>, String)> {
    let bytes = text.as_bytes();
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    let mut done = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if at < done {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let found = match (what, byte) {
            (Defang::Images, b'!') if rest.starts_with("![") => Some((1, "! ".to_owned())),
            (Defang::Images, b'<') if opens(rest, &LOADING) => Some((1, "&lt;".to_owned())),
            (Defang::Images, b'u' | b'U') if begins(rest, "url(") => Some((4, "url (".to_owned())),
            // In it a style can be written in many ways: with entities, escapes, or functions that need no `url`.
            (Defang::Images, b's' | b'S') if is_style(bytes, at) => Some((5, "styled".to_owned())),
            (Defang::Images, b'@') if begins(rest, "@import") => Some((1, "@ ".to_owned())),
            (Defang::Links, b']') if rest.starts_with("](") || rest.starts_with("]:") => {
                Some((1, "] ".to_owned()))
            }
            (Defang::Links, b'<') if opens(rest, &LEADING) => Some((1, "&lt;".to_owned())),
            (Defang::Links, b'<') if is_autolink(rest) => Some((1, "&lt;".to_owned())),
            (Defang::Links, b'w' | b'W') if begins(rest, "www.") && starts_word(bytes, at) => {
                Some((4, "www[.]".to_owned()))
            }
            (Defang::Links, byte) if byte.is_ascii_alphabetic() && starts_word(bytes, at) => address(rest),
            _ => None,
        };
        if let Some((length, instead)) = found {
            done = at + length;
            changes.push((at..done, instead));
        }
    }
    changes
}

/// Whether an element of one of these names begins here, or one of that name with a prefix (`<svg:image`).
fn opens(rest: &str, names: &[&str]) -> bool {
    let name = rest.get(1..).unwrap_or_default();
    let end = name
        .bytes()
        .take(2 * NAME_BYTES_MAX + 2)
        .position(|b| !b.is_ascii_alphanumeric() && b != b':')
        .unwrap_or(name.len().min(2 * NAME_BYTES_MAX));
    let name = name.get(..end).unwrap_or_default();
    let name = name.rsplit(':').next().unwrap_or_default();
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn begins(rest: &str, with: &str) -> bool {
    let start = rest.as_bytes().get(..with.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

fn starts_word(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    !before.last().is_some_and(u8::is_ascii_alphanumeric) || ends_escape(before)
}

/// Whether an escape of JSON ends here, such as `\n` or `\u000a`: texts often are JSON, and its letters are no word's.
fn ends_escape(before: &[u8]) -> bool {
    match before {
        [.., b'\\', b'b' | b'f' | b'n' | b'r' | b't'] => true,
        [.., b'\\', b'u', a, b, c, d] => [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()),
        _ => false,
    }
}

/// Whether `style=` stands here, with or without blanks.
fn is_style(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some((name, rest)) = rest.split_at_checked(5) else {
        return false;
    };
    let value = rest.iter().find(|b| !b.is_ascii_whitespace());
    name.eq_ignore_ascii_case(b"style") && value == Some(&b'=') && starts_word(bytes, at)
}

/// Whether an autolink of Markdown begins here, of any scheme: `<scheme:...>` without blanks. `<std::string>` is none.
fn is_autolink(rest: &str) -> bool {
    let inside = rest.get(1..).unwrap_or_default();
    let end = inside.find(|c: char| c == '>' || c == '<' || c.is_ascii_whitespace() || c.is_ascii_control());
    let Some(end) = end.filter(|end| inside.as_bytes().get(*end) == Some(&b'>')) else {
        return false;
    };
    let address = inside.get(..end).unwrap_or_default();
    let Some((scheme, after)) = address.split_once(':') else {
        return false;
    };
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+.-".contains(&b);
    (2..=32).contains(&scheme.len())
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(is_scheme)
        && !after.starts_with(':')
}

/// The scheme and the host of an address that begins here, and what they become.
fn address(rest: &str) -> Option<(usize, String)> {
    let end = rest.bytes().take(NAME_BYTES_MAX).position(|b| b == b':')?;
    let scheme = rest.get(..end)?;
    let (_, instead) = SCHEMES
        .iter()
        .find(|(name, _)| scheme.eq_ignore_ascii_case(name))?;
    let after = rest.get(end + 1..)?;
    // Browsers take a backslash for a stroke, and any number of them; in JSON within a text each has one before it.
    let strokes = after.bytes().take_while(|b| matches!(b, b'/' | b'\\')).count();
    if strokes == 0 {
        return None;
    }
    let host = after.get(strokes..)?;
    let length = host
        .bytes()
        .position(|b| b.is_ascii_whitespace() || b"/\\?#\"'<>()`".contains(&b))
        .unwrap_or(host.len());
    let (strokes, host) = (after.get(..strokes)?, host.get(..length)?);
    let instead = format!("{instead}:{strokes}{}", host.replace('.', "[.]"));
    Some((end + 1 + strokes.len() + length, instead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(text: &str, what: Defang) -> String {
        let mut out = String::new();
        let mut at = 0;
        for (span, instead) in defang(text, what) {
            out.push_str(text.get(at..span.start).unwrap());
            out.push_str(&instead);
            at = span.end;
        }
        out + text.get(at..).unwrap()
    }

    #[test]
    fn what_loads_by_being_shown_loads_no_more() {
        for (text, wanted) in [
            ("![a](https://e.example/?d=1)", "! [a](https://e.example/?d=1)"),
            ("![a][r]\n[r]: //e.example", "! [a][r]\n[r]: //e.example"),
            ("<IMG src=//e.example/x>", "&lt;IMG src=//e.example/x>"),
            ("<svg:image href=x>", "&lt;svg:image href=x>"),
            (
                "<p style='background:URL(//e.example)'>",
                "<p styled='background:url (//e.example)'>",
            ),
            ("<style>@import '//e.example'", "&lt;style>@ import '//e.example'"),
            ("![[![", "! [[! ["),
            (
                "<p style='background:&#117;rl(//e.example)'>",
                "<p styled='background:&#117;rl(//e.example)'>",
            ),
            (
                "<p STYLE =background:image-set('//e.example')>",
                "<p styled =background:image-set('//e.example')>",
            ),
            ("<tr background=//e.example>", "&lt;tr background=//e.example>"),
            ("<img", "&lt;img"),
        ] {
            assert_eq!(done(text, Defang::Images), wanted);
            assert!(
                defang(wanted, Defang::Images).is_empty(),
                "{wanted} is changed once more"
            );
        }
        for text in [
            "Hello! [see](https://a.example)",
            "a < b, imgs",
            "<imgx>",
            "<p>curl (x)</p>",
            "a style of its own: lifestyle = good",
            "Ä!",
            "<",
        ] {
            assert_eq!(done(text, Defang::Images), text);
        }
    }

    #[test]
    fn what_leads_elsewhere_leads_nowhere() {
        for (text, wanted) in [
            (
                "see https://a.e.example/x.y?d=1.",
                "see hxxps://a[.]e[.]example/x.y?d=1.",
            ),
            ("(HTTP://e.example)", "(hxxp://e[.]example)"),
            ("http:\\\\e.example", "hxxp:\\\\e[.]example"),
            ("https:/e.example", "hxxps:/e[.]example"),
            ("[a](//e.example)", "[a] (//e.example)"),
            ("[a]: h&#116;tps://e.example", "[a] : h&#116;tps://e.example"),
            ("<A href=//e.example>", "&lt;A href=//e.example>"),
            ("go to www.e.example", "go to www[.]e.example"),
            ("https://u:p@e.example:80", "hxxps://u:p@e[.]example:80"),
            ("wss://e.example", "wxs://e[.]example"),
            (
                r#"{"a":"b\nhttps://e.example\u000awww.e.example"}"#,
                r#"{"a":"b\nhxxps://e[.]example\u000awww[.]e.example"}"#,
            ),
            ("<javascript:alert(1)>", "&lt;javascript:alert(1)>"),
            ("<vscode://e.example/x>", "&lt;vscode://e.example/x>"),
        ] {
            assert_eq!(done(text, Defang::Links), wanted);
            assert!(
                defang(wanted, Defang::Links).is_empty(),
                "{wanted} is changed once more"
            );
        }
        for text in [
            "the https protocol",
            "a: b",
            "https:",
            "std::fs",
            "at 10:30",
            "xhttps ://",
            "<abbr>",
            "Vec<std::string>",
            "a <b: c>",
            "Ä://",
        ] {
            assert_eq!(done(text, Defang::Links), text);
        }
    }
}
