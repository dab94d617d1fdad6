//! The same values wherever else they stand: what was found once by the words around it is hidden everywhere,
//! in whatever case and however it is spaced.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

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

/// Values that are known for long, found as [`Others`] finds them. One more costs nothing but the room it takes, however
/// many there are, and a text is read once, however many are looked for.
#[derive(Debug)]
pub struct Lasting<T> {
    values: HashMap<String, T>,
    lengths: BTreeSet<usize>,
}

impl<T> Default for Lasting<T> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            lengths: BTreeSet::new(),
        }
    }
}

impl<T> Lasting<T> {
    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether a value is among them, or too short to be.
    #[must_use]
    pub fn holds(&self, value: &str) -> bool {
        let value = plain(value);
        value.len() < VALUE_MIN || self.values.contains_key(&value)
    }

    /// Adds a value, and what it is found as; of two alike the first stays.
    pub fn add(&mut self, value: &str, found_as: T) {
        let value = plain(value);
        if value.len() >= VALUE_MIN {
            self.lengths.insert(value.len());
            self.values.entry(value).or_insert(found_as);
        }
    }

    /// What a value is found as.
    #[must_use]
    pub fn get(&self, value: &str) -> Option<&T> {
        self.values.get(&plain(value))
    }

    /// Where values stand in a text, as whole words; of those that overlap, the first and longest.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<(Range<usize>, &T)> {
        let Some(longest) = self.lengths.last() else {
            return Vec::new();
        };
        let (letters, places) = letters(text);
        let words = words(&places);
        let mut found: Vec<(Range<usize>, &T)> = Vec::new();
        for (n, (first, _)) in words.iter().enumerate() {
            let after = found.last().map_or(0, |(span, _)| span.end);
            if first.span.start < after {
                continue;
            }
            let mut best = None;
            for (word, is_apart) in words.iter().skip(n) {
                let length = word.letters.end - first.letters.start;
                if length > *longest || (*is_apart && word.span != first.span) {
                    break;
                }
                if self.lengths.contains(&length)
                    && let Some(value) = letters.get(first.letters.start..word.letters.end)
                    && let Some(value) = self.values.get(value)
                {
                    best = Some((first.span.start..word.span.end, value));
                }
            }
            found.extend(best);
        }
        found
    }
}

/// Letters and digits with nothing between them: where they stand in the plain form of a text, and in the text.
struct Word {
    letters: Range<usize>,
    span: Range<usize>,
}

/// The words of a text by the places of its letters, and whether each is apart from the one before.
fn words(places: &[Range<usize>]) -> Vec<(Word, bool)> {
    let mut words: Vec<(Word, bool)> = Vec::new();
    for (n, place) in places.iter().enumerate() {
        let end = words.last().map(|(word, _)| word.span.end);
        match words.last_mut() {
            Some((word, _)) if place.start <= word.span.end => {
                (word.letters.end, word.span.end) = (n + 1, place.end);
            }
            Some(_) | None => {
                let word = Word {
                    letters: n..n + 1,
                    span: place.clone(),
                };
                words.push((word, end.is_some_and(|end| place.start > end + GAP_MAX)));
            }
        }
    }
    words
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
        // The same, one by one.
        let mut lasting = Lasting::default();
        for (n, value) in values.iter().enumerate() {
            lasting.add(value, n);
        }
        let alike: Vec<_> = lasting.find(text).into_iter().map(|(span, _)| span).collect();
        assert_eq!(alike, others.find(text));
        assert_eq!((lasting.get("ann-lee"), lasting.get("abc")), (Some(&1), None));
        assert!(Lasting::<u8>::default().find(text).is_empty());
    }

    /// Many words, none of them a value, and values that begin alike: what is looked at does not grow with how many there are.
    #[test]
    fn a_million_letters_among_many_values_are_read_at_once() {
        let mut lasting = Lasting::default();
        for n in 0..20_000 {
            lasting.add(&format!("user {n}"), n);
        }
        let text = "user of the house, ".repeat(50_000) + "User  1999";
        let found = lasting.find(&text);
        assert_eq!(found.len(), 1);
        assert_eq!(found.first().map(|(_, n)| **n), Some(1999));
    }
}
