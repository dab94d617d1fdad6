//! What prose says of persons: names where a text introduces them, and addresses of streets.
//!
//! A name without a title or an introduction is not looked for: without a model of language that would be
//! a guess, and a wrong one costs more than a missed one.

use std::ops::Range;

use regex::Regex;

use super::{Known, known};
use crate::SettingsError;

/// Expressions, each with words one of which stands in every text that has it.
#[derive(Debug)]
pub(super) struct Prose(Vec<(&'static Rule, Regex)>);

#[derive(Debug)]
struct Rule {
    known: Known,
    marks: &'static [&'static str],
    pattern: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        known: known("personal/name", 0.6, "name of a person"),
        marks: &["Mr", "Mrs", "Ms", "Dr", "Prof", "Miss", "Herr", "Frau", "Señor", "Sra"],
        pattern: r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Señora?|Sra?)\.?\s(?P<value>\p{Lu}[\p{L}'-]+(?:\s(?:(?:van|von|der|den|de|la|di|bin)\s)*\p{Lu}[\p{L}'.-]*){0,2})",
    },
    Rule {
        known: known("personal/name", 0.6, "name of a person"),
        marks: &["ame is", "ame:", "all me", "I'm ", "I am ", "egards", "incerely", "imes people", "Dear "],
        pattern: r"(?:[Nn]ame is|[Nn]ame:|[Cc]all me|I'm|I am|[Rr]egards,|[Ss]incerely,|Dear)\s+(?P<value>\p{Lu}[\p{Ll}'-]+(?:\s\p{Lu}[\p{L}'.-]*){1,2})",
    },
    Rule {
        known: known("personal/address", 0.6, "address of a street"),
        marks: &[
            "Street", " St", "Road", " Rd", "Avenue", " Ave", "Lane", "Drive", " Dr", "Boulevard", "Blvd", "Way", "Court",
            " Ct", "Square", "Place", "Suite", "Apt", "P.O. Box", "PO Box", "straße", "strasse", "Rue ", "rue ", "Via ",
            "Calle ", "Avenida ", "straat", "weg",
        ],
        pattern: r"\b(?:\d{1,5}[A-Za-z]?\s(?:[NSEW]\.?\s)?(?:[\p{Lu}\d][\p{L}\d'.-]*\s){1,4}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Way|Court|Ct|Square|Place|Pl|Terrace|Parkway|Highway)\b\.?(?:,?\s(?:Suite|Apt|Unit|Ste)\.?\s#?\w{1,6})?|(?:Suite|Apt|Unit)\.?\s#?\d{1,5}\b|P\.?O\.?\sBox\s\d{1,6}|\p{Lu}[\p{L}-]{2,30}(?:straße|strasse|straat|weg|gatan)\s\d{1,4}|\d{1,4},?\s(?:[Rr]ue|[Aa]venue|[Bb]oulevard)\s\p{L}[\p{L}\s'-]{2,40}\p{L}|(?:Via|Calle|Avenida|Rua)\s\p{Lu}[\p{L}\s]{2,30}\s\d{1,4})",
    },
];

impl Prose {
    pub(super) fn new() -> Result<Self, SettingsError> {
        let rules = RULES.iter().map(|rule| {
            let regex = Regex::new(rule.pattern).map_err(|source| SettingsError::Pattern {
                name: rule.known.detector.to_owned(),
                source: Box::new(source),
            })?;
            Ok((rule, regex))
        });
        rules.collect::<Result<_, SettingsError>>().map(Self)
    }

    pub(super) fn look(&self, text: &str, add: &mut impl FnMut(Known, Range<usize>)) {
        for (rule, regex) in &self.0 {
            if !rule.marks.iter().any(|mark| text.contains(mark)) {
                continue;
            }
            for captures in regex.captures_iter(text) {
                if let Some(hit) = captures.name("value").or_else(|| captures.get(0)) {
                    add(rule.known, hit.range());
                }
            }
        }
    }
}
