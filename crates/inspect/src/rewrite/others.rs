//! The same values wherever else they stand: what was found once by the words around it is hidden everywhere,
//! in whatever case and however it is spaced.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

/// Letters and digits of a value worth looking for elsewhere; what is shorter stands in too much.
const VALUE_MIN: usize = 4;
/// The most such an expression may take.
const BYTES_MAX: usize = 64 << 20;

/// Values looked for.
#[derive(Debug)]
pub struct Others(Option<Regex>);

impl Others {
    /// Values to look for.
    ///
    /// # Errors
    /// When there are too many to look for.
    pub fn new<'v>(values: impl Iterator<Item = &'v str>) -> Result<Self, regex::Error> {
        let mut values: Vec<&str> = values.filter(|value| plain(value).len() >= VALUE_MIN).collect();
        if values.is_empty() {
            return Ok(Self(None));
        }
        // The first alternative that fits is taken: the longest come first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let patterns: Vec<String> = values.iter().map(|value| pattern(value)).collect();
        let built = RegexBuilder::new(&patterns.join("|"))
            .case_insensitive(true)
            .size_limit(BYTES_MAX)
            .build()?;
        Ok(Self(Some(built)))
    }

    /// Where they stand, as whole words. What is found has the plain form of one of the values.
    pub fn find<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        let found = self.0.iter().flat_map(|regex| regex.find_iter(text));
        found.map(|found| found.range()).filter(move |span| {
            let before = text
                .get(..span.start)
                .and_then(|before| before.chars().next_back());
            let after = text.get(span.end..).and_then(|after| after.chars().next());
            let joined = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            !joined(before) && !joined(after)
        })
    }
}

/// A value without its case and without what only lays it out: `4111-1111 ...` and `41111111...` are one card.
#[must_use]
pub fn plain(value: &str) -> String {
    if value.contains('@') {
        return value.trim().to_lowercase();
    }
    let letters = value.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

fn pattern(value: &str) -> String {
    if value.contains('@') {
        return regex::escape(value.trim());
    }
    let letters = value.chars().filter(|c| c.is_alphanumeric());
    let letters: Vec<String> = letters
        .map(|c| regex::escape(c.encode_utf8(&mut [0; 4])))
        .collect();
    letters.join(r"[\s().,/_-]{0,2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_any_layout_and_not_inside_words() {
        let others = Others::new(["4111 1111 1111 1111", "Ann Lee", "ann@x.org", "abc"].into_iter()).unwrap();
        let text = "4111-1111-1111-1111 ANN LEE, lee ann.lee; Ann@X.org 41111111111111112 annleeson abc";
        let found: Vec<_> = others
            .find(text)
            .filter_map(|span| text.get(span).map(plain))
            .collect();
        assert_eq!(found, ["4111111111111111", "annlee", "annlee", "ann@x.org"]);
        assert_eq!(Others::new(["a"].into_iter()).unwrap().find("a").count(), 0);
    }
}
