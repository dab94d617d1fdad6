//! Credentials: known forms by their prefix, and values that a text calls a key, token or password.
//!
//! One pass over the bytes; only long unbroken runs, and what an expression is worth, are looked at closer.

mod check;
mod forms;
mod named;

use std::borrow::Cow;

use regex::Regex;

use crate::{Detector, FindingKind, Passage, Report, Score, SettingsError, Sighting, view::View};

const KIND: FindingKind = FindingKind::Secret;

/// Shortest run that is looked at.
const RUN_MIN: usize = 12;
/// Longest run that is a credential; what is longer is data.
const RUN_MAX: usize = 2048;

/// The detector.
#[derive(Debug)]
pub(crate) struct Secrets {
    forms: Vec<(&'static forms::Form, Regex)>,
    vendors: named::Vendors,
}

impl Secrets {
    pub(crate) fn new() -> Result<Self, SettingsError> {
        let forms = forms::FORMS.iter().map(|form| {
            let regex = Regex::new(form.pattern).map_err(|source| SettingsError::Pattern {
                name: form.detector.to_owned(),
                source: Box::new(source),
            })?;
            Ok((form, regex))
        });
        Ok(Self { forms: forms.collect::<Result<_, SettingsError>>()?, vendors: named::Vendors::new() })
    }

    fn runs(&self, view: &View<'_>, report: &mut Report) {
        let bytes = view.text().as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if !is_run(byte) {
                at += 1;
                continue;
            }
            let length = bytes.get(at..).unwrap_or_default().iter().take_while(|b| is_run(**b)).count();
            if (RUN_MIN..=RUN_MAX).contains(&length) {
                self.run(view, at, at + length, report);
            }
            at += length;
        }
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
        if let Some((from, length, prefix)) = forms::prefixed(run) {
            add(prefix.detector, 0.95, from, length, "has the form of a credential");
        } else if let Some((from, length)) = named::value(text, start, run, &self.vendors) {
            add("secret/named-value", 0.7, from, length, "a random value that is called a credential");
        }
    }
}

/// What an unbroken value is made of.
fn is_run(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'.' | b'~' | b'=' | b':' | b'%')
}

impl Detector for Secrets {
    fn name(&self) -> &'static str {
        "secret"
    }

    fn look(&self, passage: &Passage<'_>, report: &mut Report) {
        for view in passage.views() {
            self.runs(view, report);
            for (form, regex) in &self.forms {
                if !form.marks.iter().any(|mark| view.text().contains(mark)) {
                    continue;
                }
                for captures in regex.captures_iter(view.text()) {
                    let Some(hit) = captures.name("value").or_else(|| captures.get(0)) else { continue };
                    if (form.check)(hit.as_str()) {
                        report.add(Sighting {
                            kind: KIND,
                            detector: Cow::Borrowed(form.detector),
                            written: view.written(hit.range()),
                            score: Score::new(0.9),
                            note: Cow::Borrowed("has the form of a credential"),
                        });
                    }
                }
            }
        }
    }
}
