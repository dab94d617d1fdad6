//! Credentials: known forms by their prefix, and values that a text calls a key, token or password.
//!
//! One pass over the bytes; only long unbroken runs, and what an expression is worth, are looked at closer.

mod check;
mod forms;
mod named;

pub(crate) use check::is_random;

use std::borrow::Cow;

use regex::Regex;

use crate::{
    Detector, FindingKind, Passage, Report, Score, SettingsError, Sighting,
    pattern::{Pattern, any_of},
    view::View,
};

const KIND: FindingKind = FindingKind::Secret;

/// Longest run that is a credential; what is longer is data.
const RUN_MAX: usize = 2048;

/// The detector.
#[derive(Debug)]
pub(crate) struct Secrets {
    forms: Vec<(&'static forms::Form, Pattern)>,
    /// All marks of all forms: those that begin like words, and the others. Searched for together, they would be
    /// suspected everywhere.
    marks: [Regex; 2],
    prefixes: forms::Prefixes,
    vendors: named::Vendors,
}

impl Secrets {
    pub(crate) fn new() -> Result<Self, SettingsError> {
        let forms = forms::FORMS
            .iter()
            .map(|form| Ok((form, Pattern::new(form.detector, form.pattern)?)));
        let marks = |like_words: bool| {
            let marks = forms::FORMS.iter().flat_map(|form| form.marks);
            let marks =
                marks.filter(|mark| mark.bytes().take(3).all(|b| b.is_ascii_lowercase()) == like_words);
            any_of("secret", marks.copied())
        };
        Ok(Self {
            marks: [marks(true)?, marks(false)?],
            forms: forms.collect::<Result<_, SettingsError>>()?,
            prefixes: forms::Prefixes::new(),
            vendors: named::Vendors::new()?,
        })
    }

    /// The forms that have a mark in a text, one bit each.
    fn marked(&self, text: &str) -> u32 {
        let mut there = 0;
        for mark in self.marks.iter().flat_map(|marks| marks.find_iter(text)) {
            // Marks that share a beginning are found as one, so all forms that could be meant are.
            let rest = text.get(mark.start()..).unwrap_or_default();
            for (n, form) in forms::FORMS.iter().enumerate() {
                if form.marks.iter().any(|known| rest.starts_with(known)) {
                    there |= 1 << n;
                }
            }
        }
        there
    }

    fn run(&self, view: &View<'_>, start: usize, end: usize, report: &mut Report) {
        let text = view.text();
        let Some(run) = text.get(start..end) else { return };
        let mut add = |detector: &'static str, score: f32, from: usize, length: usize, note: &'static str| {
            report.add(Sighting {
                kind: KIND,
                detector: Cow::Borrowed(detector),
                written: view.written(start + from..start + from + length),
                score: Score::new(score),
                note: Cow::Borrowed(note),
            });
        };
        // Most stretches are words: what a machine made up has digits or capitals, and few letters only if it is long.
        let (digits, capitals) = run.bytes().fold((0_usize, 0_usize), |(digits, capitals), byte| {
            (
                digits + usize::from(byte.is_ascii_digit()),
                capitals + usize::from(byte.is_ascii_uppercase()),
            )
        });
        let prefixed = if digits + capitals == 0 {
            None
        } else {
            self.prefixes.find(run)
        };
        if let Some((from, length, prefix)) = prefixed {
            add(
                prefix.detector,
                0.95,
                from,
                length,
                "has the form of a credential",
            );
        } else if (digits > 1 || run.len() >= named::LETTERS_MIN)
            && let Some((from, length)) = named::value(text, start, run, &self.vendors)
        {
            add(
                "secret/named-value",
                0.7,
                from,
                length,
                "a random value that is called a credential",
            );
        }
    }
}

impl Detector for Secrets {
    fn name(&self) -> &'static str {
        "secret"
    }

    fn look(&self, passage: &Passage<'_>, report: &mut Report) {
        for view in passage.views() {
            for run in view.runs().iter().filter(|run| run.len() <= RUN_MAX) {
                self.run(view, run.start, run.end, report);
            }
            let there = self.marked(view.text());
            for (n, (form, pattern)) in self.forms.iter().enumerate() {
                if there & (1 << n) == 0 {
                    continue;
                }
                for place in pattern.places(view.text()) {
                    if view.text().get(place.clone()).is_some_and(form.check) {
                        report.add(Sighting {
                            kind: KIND,
                            detector: Cow::Borrowed(form.detector),
                            written: view.written(place),
                            score: Score::new(0.9),
                            note: Cow::Borrowed("has the form of a credential"),
                        });
                    }
                }
            }
        }
    }
}
