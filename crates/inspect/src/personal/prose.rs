//! What prose says of persons: names where a text introduces them, and addresses of streets.
//!
//! A name without a title or an introduction is not looked for: without a model of language that would be
//! a guess, and a wrong one costs more than a missed one.

use std::ops::Range;

use regex::Regex;

use super::{Known, known};
use crate::{
    SettingsError,
    learned::{self, DIGITS, Lexicon, Sort, Word, place},
    pattern::Marks,
    view::{View, floor},
};

/// Expressions, each with words one of which stands in every text that has it.
#[derive(Debug)]
pub(super) struct Prose {
    rules: Vec<(&'static Rule, Regex)>,
    /// The marks of all rules: the short ones, and the others. Searched for together, they would be suspected
    /// everywhere.
    marks: [RuleMarks; 2],
    street: Vec<u32>,
    address: Regex,
}

/// One search for several marks.
#[derive(Debug)]
struct RuleMarks {
    any: Marks,
    /// The rule that each belongs to, one bit each.
    of: Vec<u32>,
    /// All of these.
    rules: u32,
}

#[derive(Debug)]
struct Rule {
    known: Known,
    marks: &'static [&'static str],
    pattern: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        known: known("personal/name", 0.6, "name of a person"),
        marks: &[
            "Mr", "Mrs", "Ms", "Dr", "Prof", "Miss", "Herr", "Frau", "Señor", "Sra",
        ],
        pattern: r"(?-u:\b)(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Señora?|Sra?)\.?\s(?P<value>\p{Lu}[\p{L}'-]+(?:\s(?:(?:van|von|der|den|de|la|di|bin)\s)*\p{Lu}[\p{L}'.-]*){0,2})",
    },
    Rule {
        known: known("personal/birth-date", 0.7, "date of birth"),
        marks: &["born", "Born", "irth", "DOB"],
        pattern: r"(?:[Bb]orn(?:\s(?:on|in))?|[Bb]irth(?:day|date)?(?:\sis)?|DOB)\W{1,3}(?P<value>(?:[0-9]{1,2}(?:st|nd|rd|th)?\s)?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?\s(?:[0-9]{1,2}(?:st|nd|rd|th)?,?\s)?[0-9]{4})",
    },
    Rule {
        known: known("personal/postcode", 0.6, "postcode (UK)"),
        marks: &["ostcode", "ost code"],
        pattern: r"[Pp]ost\s?code\W{1,3}(?:is\s)?(?P<value>[A-Z]{1,2}[0-9][A-Z0-9]?\s?[0-9][A-Z]{2})(?-u:\b)",
    },
    Rule {
        known: known("personal/name", 0.6, "name of a person"),
        marks: &[
            "ame is",
            "ame:",
            "all me",
            "I'm ",
            "I am ",
            "egards",
            "incerely",
            "imes people",
            "Dear ",
        ],
        pattern: r"(?:[Nn]ame is|[Nn]ame:|[Cc]all me|I'm|I am|[Rr]egards,|[Ss]incerely,|Dear)\s+(?P<value>\p{Lu}[\p{Ll}'-]+(?:\s\p{Lu}[\p{L}'.-]*){1,2})",
    },
];

/// What the name of a street ends or begins with, to look around for the rest.
const STREET: &str = "street st road rd avenue ave lane ln drive dr boulevard blvd way court ct square place pl terrace \
    parkway highway suite apt unit box rue via calle avenida rua";
/// What such a name ends with where it is one word.
const STREET_END: [&str; 5] = ["stra\u{df}e", "strasse", "straat", "weg", "gatan"];

/// An address, in a stretch of text around such a word. Latin letters by their range, and no run of them counted:
/// a counted Unicode class is megabytes of automaton.
const ADDRESS: &str = r"(?-u:\b)(?:[0-9]{1,5}[A-Za-z]?\s(?:[NSEW]\.?\s)?(?:[A-Z\u{c0}-\u{de}\u{100}-\u{17f}0-9][A-Za-z\u{c0}-\u{24f}0-9'.-]*\s){1,4}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Way|Court|Ct|Square|Place|Pl|Terrace|Parkway|Highway)(?-u:\b)\.?(?:,?\s(?:Suite|Apt|Unit|Ste)\.?\s#?[0-9A-Za-z]{1,6})?|(?:Suite|Apt|Unit)\.?\s#?[0-9]{1,5}(?-u:\b)|P\.?O\.?\sBox\s[0-9]{1,6}|[A-Z\u{c0}-\u{de}\u{100}-\u{17f}][A-Za-z\u{c0}-\u{24f}-]+(?:stra\u{df}e|strasse|straat|weg|gatan)\s[0-9]{1,4}|[0-9]{1,4},?\s(?:[Rr]ue|[Aa]venue|[Bb]oulevard)\s[A-Za-z\u{c0}-\u{24f}][A-Za-z\u{c0}-\u{24f}\s'-]+[A-Za-z\u{c0}-\u{24f}]|(?:Via|Calle|Avenida|Rua)\s[A-Z\u{c0}-\u{de}\u{100}-\u{17f}][A-Za-z\u{c0}-\u{24f}\s]+\s[0-9]{1,4})";

/// Bytes before and after such a word that are looked at.
const AROUND: usize = 56;

/// Has the words noted that streets are looked for by.
pub(super) fn want(lexicon: &mut Lexicon) {
    for hash in street() {
        lexicon.want(hash, Sort::Street);
    }
}

fn street() -> impl Iterator<Item = u32> {
    STREET.split_whitespace().map(learned::hash_of)
}

impl Prose {
    pub(super) fn new() -> Result<Self, SettingsError> {
        let made = |name: &str, pattern: &str| {
            Regex::new(pattern).map_err(|source| SettingsError::Pattern {
                name: name.to_owned(),
                source: Box::new(source),
            })
        };
        let rules = RULES
            .iter()
            .map(|rule| Ok((rule, made(rule.known.detector, rule.pattern)?)));
        Ok(Self {
            rules: rules.collect::<Result<_, SettingsError>>()?,
            marks: [
                RuleMarks::new(|length| length < LONG_MARK)?,
                RuleMarks::new(|length| length >= LONG_MARK)?,
            ],
            street: street().collect(),
            address: made("personal/address", ADDRESS)?,
        })
    }

    pub(super) fn look(&self, view: &View<'_>, add: &mut impl FnMut(Known, Range<usize>)) {
        let text = view.text();
        let there = self.marks.iter().fold(0, |there, marks| marks.find(text, there));
        for (n, (rule, regex)) in self.rules.iter().enumerate() {
            if there & (1 << n) == 0 {
                continue;
            }
            for captures in regex.captures_iter(text) {
                if let Some(hit) = captures.name("value").or_else(|| captures.get(0)) {
                    add(rule.known, hit.range());
                }
            }
        }
        self.addresses(view, add);
    }

    fn addresses(&self, view: &View<'_>, add: &mut impl FnMut(Known, Range<usize>)) {
        let text = view.text();
        let mut done = 0;
        for place in self.street_words(view) {
            let from = floor(text, place.start.saturating_sub(AROUND)).max(done);
            let around = text
                .get(from..floor(text, place.end + AROUND))
                .unwrap_or_default();
            if !around.bytes().any(|b| b.is_ascii_digit()) {
                continue;
            }
            if let Some(hit) = self.address.find(around) {
                add(
                    known("personal/address", 0.6, "address of a street"),
                    from + hit.start()..from + hit.end(),
                );
                done = from + hit.end();
            }
        }
    }
}

impl Prose {
    /// The words that are one of `STREET`, or end like the name of a street and stand before a number.
    fn street_words<'v>(&self, view: &'v View<'_>) -> impl Iterator<Item = Range<usize>> + use<'v> {
        let (text, words) = (view.text(), view.words());
        let is_named = |word: &Word| word.end - word.start <= 9 && self.street.contains(&word.hash);
        let mut found: Vec<usize> = view
            .noted(Sort::Street)
            .filter(|n| words.get(*n).is_some_and(is_named))
            .collect();
        let ends = |word: &&Word| {
            let letters = text.get(place(word)).unwrap_or_default();
            word.shape & DIGITS == 0 && STREET_END.iter().any(|end| letters.ends_with(end))
        };
        found.extend(view.with_digits().filter_map(|(n, _)| {
            let before = n.checked_sub(1)?;
            words.get(before).filter(ends).map(|_| before)
        }));
        found.sort_unstable();
        found.dedup();
        // What ends a text has nothing after it.
        let last = words.len().saturating_sub(1);
        found
            .into_iter()
            .take_while(move |n| *n < last)
            .filter_map(|n| words.get(n).map(place))
    }
}

/// Bytes of a mark that stands nowhere by chance.
const LONG_MARK: usize = 4;

impl RuleMarks {
    /// Of all marks those that are so long.
    fn new(is_so_long: impl Fn(usize) -> bool) -> Result<Self, SettingsError> {
        let of_rules = (0..).zip(RULES).flat_map(|(n, rule): (u32, _)| {
            let marks = rule.marks.iter().copied();
            marks.map(move |mark| (mark, 1 << n))
        });
        let (marks, of): (Vec<&str>, Vec<u32>) = of_rules.filter(|(mark, _)| is_so_long(mark.len())).unzip();
        Ok(Self {
            any: Marks::new("personal", &marks)?,
            rules: of.iter().fold(0, |rules, rule| rules | rule),
            of,
        })
    }

    /// The rules of which a mark stands in a text, and those known before.
    fn find(&self, text: &str, mut there: u32) -> u32 {
        // A mark may hide one that begins in it, but none that a rule could use: what stands before those is no mark.
        for (_, mark) in self.any.places(text) {
            there |= self.of.get(mark).copied().unwrap_or(0);
            if there & self.rules == self.rules {
                break;
            }
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found_and_says_whose_it_is() {
        let prose = Prose::new().unwrap();
        let there = |text: &str| prose.marks.iter().fold(0, |there, marks| marks.find(text, there));
        for (n, rule) in RULES.iter().enumerate() {
            for mark in rule.marks {
                assert_eq!(there(&format!("of {mark}...")) & 1 << n, 1 << n, "{mark}");
            }
        }
        assert_eq!(there("Dear Mr Smith, born where? Postcode: N1 9GU"), 0b1111);
        assert_eq!(there("the report lists revenue by region"), 0);
    }
}
