//! The same values wherever else they stand: what was found once by the words around it is hidden everywhere,
//! in whatever case and however it is spaced.

use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError};

/// Letters and digits of a value worth looking for elsewhere, in bytes; what is shorter stands in too much.
const VALUE_MIN: usize = 4;
/// Bytes between two letters of a value, at most: `4111 - 1111` is one, two columns of a table are not.
const GAP_MAX: usize = 3;

/// Values looked for.
#[derive(Debug)]
pub struct Others(Option<AhoCorasick>);

impl Others {
    /// Values to look for.
    ///
    /// # Errors
    /// When there are too many to look for.
    pub fn new<'v>(values: impl Iterator<Item = &'v str>) -> Result<Self, BuildError> {
        let values: Vec<String> = values
            .map(plain)
            .filter(|value| value.len() >= VALUE_MIN)
            .collect();
        let sought = (!values.is_empty()).then(|| AhoCorasick::new(&values));
        sought.transpose().map(Self)
    }

    /// Where they stand, as whole words. What is found has the plain form of one of the values; of those that
    /// overlap, the first and longest is found.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Range<usize>> {
        let Some(sought) = &self.0 else {
            return Vec::new();
        };
        let (letters, places) = letters(text);
        let joined = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let whole = |hit: Range<usize>| {
            let within = places.get(hit)?;
            let span = within.first()?.start..within.last()?.end;
            let apart = within
                .windows(2)
                .any(|pair| matches!(pair, [one, two] if two.start > one.end + GAP_MAX));
            let before = text.get(..span.start)?.chars().next_back();
            let after = text.get(span.end..)?.chars().next();
            (!apart && !joined(before) && !joined(after)).then_some(span)
        };
        let hits = sought.find_overlapping_iter(&letters);
        let mut spans: Vec<_> = hits.filter_map(|hit| whole(hit.range())).collect();
        spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
        let mut end = 0;
        spans.retain(|span| {
            let apart = span.start >= end;
            end = end.max(span.end);
            apart
        });
        spans
    }
}

/// A value without its case and without what only lays it out: `4111-1111 ...` and `41111111...` are one card.
#[must_use]
pub fn plain(value: &str) -> String {
    let letters = value.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The plain form of a text, and the place of each of its bytes.
fn letters(text: &str) -> (String, Vec<Range<usize>>) {
    let (mut letters, mut places) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    for (at, c) in text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
        letters.extend(c.to_lowercase());
        places.resize(letters.len(), at..at + c.len_utf8());
    }
    (letters, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_any_layout_and_not_inside_words() {
        let values = [
            "4111 1111 1111 1111",
            "Ann Lee",
            "ann@x.org",
            "abc",
            "Ann Lee-Smith",
            "\u{130}pek Kaya",
        ];
        let others = Others::new(values.into_iter()).unwrap();
        let text = "4111-1111-1111-1111 ANN LEE, lee ann.lee; Ann@X.org 41111111111111112 annleeson abc \
                    Ann    Lee ann lee smith \u{130}PEK KAYA";
        let found: Vec<_> = others
            .find(text)
            .into_iter()
            .filter_map(|span| text.get(span).map(plain))
            .collect();
        let last = plain("\u{130}pek kaya");
        assert_eq!(
            found,
            [
                "4111111111111111",
                "annlee",
                "annlee",
                "annxorg",
                "annleesmith",
                &last
            ]
        );
        assert!(Others::new(["a"].into_iter()).unwrap().find("a").is_empty());
    }
}
