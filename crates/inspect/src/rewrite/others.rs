//! The same values wherever else they stand: what was found once by the words around it is hidden everywhere.

use std::ops::Range;

use regex::Regex;

/// Bytes of a value worth looking for elsewhere; what is shorter stands in too much.
const VALUE_MIN: usize = 4;

/// Values looked for.
#[derive(Debug)]
pub struct Others(Regex);

impl Others {
    /// Values to look for; none if there are none.
    pub fn new<'v>(values: impl Iterator<Item = &'v str>) -> Option<Self> {
        let mut values: Vec<&str> = values.filter(|value| value.len() >= VALUE_MIN).collect();
        if values.is_empty() {
            return None;
        }
        // The first alternative that fits is taken: the longest come first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let escaped: Vec<String> = values.iter().map(|value| regex::escape(value)).collect();
        let built = regex::RegexBuilder::new(&escaped.join("|"))
            .size_limit(64 << 20)
            .build();
        built.ok().map(Self)
    }

    /// Where they stand, as whole words.
    pub fn find<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        self.0
            .find_iter(text)
            .map(|found| found.range())
            .filter(move |span| {
                let before = text
                    .get(..span.start)
                    .and_then(|before| before.chars().next_back());
                let after = text.get(span.end..).and_then(|after| after.chars().next());
                let joined = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                !joined(before) && !joined(after)
            })
    }
}
