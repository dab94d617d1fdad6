//! The same values wherever else they stand: what was found once by the words around it is hidden everywhere,
//! in whatever case and however it is spaced.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use aho_corasick::{AhoCorasick, BuildError};

use crate::view::{Hidden, compatible, look_alike};

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
        let (letters, places) = letters(text, as_written);
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

/// The plain form of a text whose characters are taken for these, and the place of each of its bytes.
fn letters(text: &str, taken_for: fn(char) -> char) -> (String, Vec<Range<usize>>) {
    let (mut letters, mut places) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    for (at, c) in text.char_indices() {
        let shown = taken_for(c);
        if shown.is_alphanumeric() {
            letters.extend(shown.to_lowercase());
            places.resize(letters.len(), at..at + c.len_utf8());
        }
    }
    (letters, places)
}

fn as_written(c: char) -> char {
    c
}

/// What a person takes a character for: full width, mathematical and other scripts' letters for those they look like.
fn as_seen(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    compatible(c).or_else(|| look_alike(c)).unwrap_or(c)
}

/// A value as a person sees it, in its plain form.
fn seen(value: &str) -> String {
    letters(value, as_seen).0
}

/// Bytes between two letters of a text that a person sees.
fn gap(text: &str, between: Range<usize>) -> usize {
    let between = text.get(between).unwrap_or_default();
    let shown = between.chars().filter(|c| Hidden::of(*c).is_none());
    shown.map(char::len_utf8).sum()
}

/// Values that are known for long, found as [`Others`] finds them, and also where look-alikes stand for letters or hidden
/// characters between them: whoever reads the text reads the value. One more costs nothing but the room it takes, however
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
        let value = seen(value);
        value.len() < VALUE_MIN || self.values.contains_key(&value)
    }

    /// Adds a value, and what it is found as; of two alike the first stays.
    pub fn add(&mut self, value: &str, found_as: T) {
        let value = seen(value);
        if value.len() >= VALUE_MIN {
            self.lengths.insert(value.len());
            self.values.entry(value).or_insert(found_as);
        }
    }

    /// What a value is found as.
    #[must_use]
    pub fn get(&self, value: &str) -> Option<&T> {
        self.values.get(&seen(value))
    }

    /// Where values stand in a text, as whole words; of those that overlap, the first and longest.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<(Range<usize>, &T)> {
        let Some(longest) = self.lengths.last() else {
            return Vec::new();
        };
        let (letters, places) = letters(text, as_seen);
        let words = words(text, &places);
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

/// Letters and digits with nothing to be seen between them: where they stand in the plain form of a text, and in the text.
struct Word {
    letters: Range<usize>,
    span: Range<usize>,
}

/// The words of a text by the places of its letters, and whether each is apart from the one before.
fn words(text: &str, places: &[Range<usize>]) -> Vec<(Word, bool)> {
    let mut words: Vec<(Word, bool)> = Vec::new();
    for (n, place) in places.iter().enumerate() {
        let gap = words.last().map(|(word, _)| match word.span.end {
            end if place.start <= end => 0,
            end => gap(text, end..place.start),
        });
        match words.last_mut() {
            Some((word, _)) if gap == Some(0) => {
                (word.letters.end, word.span.end) = (n + 1, place.end);
            }
            Some(_) | None => {
                let word = Word {
                    letters: n..n + 1,
                    span: place.clone(),
                };
                words.push((word, gap.is_some_and(|gap| gap > GAP_MAX)));
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

    /// Regression: a server that was told a value said it again with letters of other scripts, or with so many characters between
    /// them that nobody sees.
    #[test]
    fn what_is_known_for_long_is_found_as_it_is_seen() {
        let mut lasting = Lasting::default();
        for (n, value) in [
            "Ann.Lee@clinic.org",
            "4111 1111 1111 1111",
            "\u{406}\u{432}\u{430}\u{43d} \u{41a}\u{43e}",
        ]
        .iter()
        .enumerate()
        {
            lasting.add(value, n);
        }
        for (text, expected) in [
            ("\u{430}nn.l\u{435}e@clinic.org", 0),
            ("\u{ff21}\u{ff4e}\u{ff4e}.Lee@clinic.org", 0),
            ("a\u{200b}\u{200b}\u{200b}nn.lee@c\u{ad}linic.org", 0),
            ("a\u{e0041}\u{e0042}nn.lee\u{fe0f}\u{fe0f}@clinic.org", 0),
            ("\u{1d41a}nn lee clinic org", 0),
            ("\u{ff14}111\u{200d}\u{200d}1111 1111 1111", 1),
            ("\u{406}\u{432}\u{430}\u{43d} \u{41a}\u{43e}", 2),
        ] {
            let text = format!("to {text}, and more");
            let found = lasting.find(&text);
            let [(span, known)] = found.as_slice() else {
                panic!("{text}: {found:?}");
            };
            assert_eq!((span.start, **known), (3, expected), "{text}");
            assert_eq!(text.get(span.end..), Some(", and more"));
        }
        assert!(lasting.holds("\u{430}nn.lee@clinic.org"));
        for other in [
            "ann, \u{200b} lee    @clinic.org",
            "joann.lee@clinic.org",
            "a\u{200b}nn",
        ] {
            assert!(lasting.find(other).is_empty(), "{other}");
        }
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
