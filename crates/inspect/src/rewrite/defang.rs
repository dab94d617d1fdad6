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
const LOADING: [&str; 22] = [
    "audio", "base", "body", "embed", "frame", "iframe", "image", "img", "input", "link", "meta", "object",
    "picture", "script", "source", "style", "svg", "table", "td", "th", "track", "video",
];
/// Elements of HTML that lead elsewhere.
const LEADING: [&str; 6] = ["a", "area", "base", "button", "form", "meta"];
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
            (Defang::Images, b'@') if begins(rest, "@import") => Some((1, "@ ".to_owned())),
            (Defang::Links, b']') if rest.starts_with("](") || rest.starts_with("]:") => {
                Some((1, "] ".to_owned()))
            }
            (Defang::Links, b'<') if opens(rest, &LEADING) => Some((1, "&lt;".to_owned())),
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
        .unwrap_or(2 * NAME_BYTES_MAX);
    let name = name.get(..end).unwrap_or_default();
    let name = name.rsplit(':').next().unwrap_or_default();
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn begins(rest: &str, with: &str) -> bool {
    let start = rest.as_bytes().get(..with.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

fn starts_word(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    !before.is_some_and(|b| b.is_ascii_alphanumeric())
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
                "<p style='background:url (//e.example)'>",
            ),
            ("<style>@import '//e.example'", "&lt;style>@ import '//e.example'"),
            ("![[![", "! [[! ["),
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
            "Ä://",
        ] {
            assert_eq!(done(text, Defang::Links), text);
        }
    }
}
