//! Expressions over bytes: their classes are ASCII's, and a counted class counts bytes. What they look for is
//! ASCII, and automata over all of Unicode would be ten times as large.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind, packed};
use regex::bytes::{Regex, RegexBuilder};

use crate::SettingsError;

/// The group that is the finding; without one, the whole match is.
const VALUE: &str = "value";

/// Bytes a compiled expression may take.
const SIZE_MAX: usize = 4 << 20;

/// One search for any of many texts.
pub(crate) fn any_of<'w>(
    name: &str,
    words: impl Iterator<Item = &'w str>,
) -> Result<regex::Regex, SettingsError> {
    let words: Vec<String> = words.map(regex::escape).collect();
    regex::Regex::new(&words.join("|")).map_err(|source| SettingsError::Pattern {
        name: name.to_owned(),
        source: Box::new(source),
    })
}

/// One search for several short texts, telling which was found.
///
/// An expression of them would be searched for the same way, and at each place where one may stand run as one. How
/// often that is depends on the shortest: each is looked for by as many of its first bytes, at most four.
#[derive(Debug)]
pub(crate) struct Marks {
    /// For processors that can look at many bytes at a time.
    quick: Option<packed::Searcher>,
    /// For others.
    plain: Option<AhoCorasick>,
}

impl Marks {
    pub(crate) fn new(name: &str, marks: &[&str]) -> Result<Self, SettingsError> {
        let quick = packed::Searcher::new(marks);
        let plain = || {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .build(marks)
        };
        let plain = match &quick {
            Some(_) => None,
            None => Some(plain().map_err(|source| SettingsError::Pattern {
                name: name.to_owned(),
                source: Box::new(regex::Error::Syntax(source.to_string())),
            })?),
        };
        Ok(Self { quick, plain })
    }

    /// Where marks stand, none over another, and their numbers: of those that begin at one place, the first.
    pub(crate) fn places<'t>(&'t self, text: &'t str) -> impl Iterator<Item = (usize, usize)> + 't {
        let quick = self.quick.iter().flat_map(move |quick| quick.find_iter(text));
        let plain = self.plain.iter().flat_map(move |plain| plain.find_iter(text));
        quick
            .map(|hit| (hit.start(), hit.pattern().as_usize()))
            .chain(plain.map(|hit| (hit.start(), hit.pattern().as_usize())))
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    /// It has the group [`VALUE`].
    has_value: bool,
}

impl Pattern {
    /// The expression of a detector.
    pub(crate) fn new(detector: &str, pattern: &str) -> Result<Self, SettingsError> {
        let regex = RegexBuilder::new(pattern)
            .unicode(false)
            .size_limit(SIZE_MAX)
            .build()
            .map_err(|source| SettingsError::Pattern {
                name: detector.to_owned(),
                source: Box::new(source),
            })?;
        let has_value = regex.capture_names().flatten().any(|name| name == VALUE);
        Ok(Self { regex, has_value })
    }

    /// Whether it matches where there is nothing.
    pub(crate) fn finds_nothing(&self) -> bool {
        self.regex.is_match(b"")
    }

    /// Where it matches, in whole characters.
    pub(crate) fn places<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        let whole =
            move |hit: Range<usize>| text.floor_char_boundary(hit.start)..text.ceil_char_boundary(hit.end);
        self.regex.find_iter(text.as_bytes()).map(move |hit| {
            let value = self
                .has_value
                .then(|| self.regex.captures_at(text.as_bytes(), hit.start()))
                .flatten()
                .and_then(|captures| captures.name(VALUE));
            whole(value.unwrap_or(hit).range())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn what_it_finds_are_whole_characters() {
        let pattern = Pattern::new("test", r"key=(?P<value>[^ ]{2,3})").expect("a pattern");
        let text = "key=a\u{e9}\u{e9} key=\u{1f511}";
        let found: Vec<&str> = pattern.places(text).filter_map(|place| text.get(place)).collect();
        assert_eq!(found, ["a\u{e9}", "\u{1f511}"]);
    }
}
