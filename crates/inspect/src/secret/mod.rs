//! Credentials: known forms by their prefix, and values that a text calls a key, token or password.
//!
//! One pass over the bytes; only long unbroken runs, and what an expression is worth, are looked at closer.

mod asked;
mod check;
mod forms;
mod named;

pub use asked::{ASKED_FOR, asked_for};
pub(crate) use check::is_random;

use std::borrow::Cow;

use crate::{
    Detector, FindingKind, Passage, Report, Score, SettingsError, Sighting,
    pattern::{Marks, Pattern},
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
    marks: [FormMarks; 2],
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
            FormMarks::new(&marks.copied().collect::<Vec<_>>())
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
        self.marks.iter().fold(0, |there, marks| marks.find(text, there))
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

/// One search for several marks.
#[derive(Debug)]
struct FormMarks {
    any: Marks,
    /// For each, the marks that could be meant where it stands, and the form of each, one bit.
    meant: Vec<Vec<(&'static str, u32)>>,
}

impl FormMarks {
    fn new(marks: &[&'static str]) -> Result<Self, SettingsError> {
        let of_forms = || {
            let forms = (0..).zip(forms::FORMS);
            forms.flat_map(|(n, form): (u32, _)| form.marks.iter().map(move |mark| (*mark, 1 << n)))
        };
        // Those that share a beginning are found as one.
        let meant = |found: &&str| {
            let alike = |(mark, _): &(&str, u32)| mark.starts_with(found) || found.starts_with(mark);
            of_forms().filter(alike).collect()
        };
        Ok(Self {
            any: Marks::new("secret", marks)?,
            meant: marks.iter().map(meant).collect(),
        })
    }

    /// The forms that have a mark in a text, and those known before, one bit each.
    fn find(&self, text: &str, mut there: u32) -> u32 {
        for (start, found) in self.any.places(text) {
            let rest = text.get(start..).unwrap_or_default();
            for (mark, form) in self.meant.get(found).into_iter().flatten() {
                there |= if rest.starts_with(mark) { *form } else { 0 };
            }
        }
        there
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
