//! Data about persons: numbers with check digits, addresses of the net and of the post, telephones, and
//! names as far as a text introduces them.
//!
//! One pass finds runs of digits, one finds words with digits; what has no check digit needs a word beside it.

mod check;
mod class;
mod identifier;
mod number;
mod papers;
mod prose;

pub(crate) use check::luhn;
pub(crate) use class::Class;

use std::{borrow::Cow, cell::OnceCell, ops::Range};

use regex::Regex;

use crate::{
    Detector, FindingKind, Passage, Report, Score, SettingsError, Sighting, learned::Lexicon, view::View,
};

const KIND: FindingKind = FindingKind::Personal;

/// What was recognised: the rule, how sure, and the words for a note.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    detector: &'static str,
    score: f32,
    note: &'static str,
}

const fn known(detector: &'static str, score: f32, note: &'static str) -> Known {
    Known {
        detector,
        score,
        note,
    }
}

/// The detector.
#[derive(Debug)]
pub(crate) struct Personal {
    identifiers: identifier::Identifiers,
    prose: prose::Prose,
}

impl Personal {
    pub(crate) fn new() -> Result<Self, SettingsError> {
        Ok(Self {
            identifiers: identifier::Identifiers::new()?,
            prose: prose::Prose::new()?,
        })
    }
}

impl Detector for Personal {
    fn name(&self) -> &'static str {
        "personal"
    }

    fn look(&self, passage: &Passage<'_>, report: &mut Report) {
        for view in passage.views() {
            let text = view.text();
            let mut add = |known: Known, place: Range<usize>| add(report, view, known, place);
            emails(text, &mut add);
            number::numbers(view, &mut add);
            self.identifiers.look(view, &mut add);
            self.prose.look(view, &mut add);
        }
    }
}

/// Has the words noted that are looked for.
pub(crate) fn want(lexicon: &mut Lexicon) {
    prose::want(lexicon);
}

fn add(report: &mut Report, view: &View<'_>, known: Known, place: Range<usize>) {
    report.add(Sighting {
        kind: KIND,
        detector: Cow::Borrowed(known.detector),
        written: view.written(place),
        score: Score::new(known.score),
        note: Cow::Borrowed(known.note),
    });
}

/// Addresses around each at sign; each byte is looked at once on either side.
fn emails(text: &str, add: &mut impl FnMut(Known, Range<usize>)) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, _) in text.match_indices('@') {
        let before = bytes.get(done..at).unwrap_or_default();
        let local = before.iter().rev().take(64).take_while(|b| is_local(**b)).count();
        let after = bytes.get(at + 1..).unwrap_or_default();
        let domain = after
            .iter()
            .take(253)
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            .count();
        done = at + 1;
        let host = text
            .get(at + 1..at + 1 + domain)
            .unwrap_or_default()
            .trim_end_matches(['.', '-']);
        let top = host.rsplit('.').next().unwrap_or_default();
        let named = top.len() >= 2 && top.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        if local > 0 && host.contains('.') && !host.contains("..") && named && !host.starts_with('.') {
            add(
                known("personal/email", 0.9, "e-mail address"),
                at - local..at + 1 + host.len(),
            );
        }
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

/// Whether one of these words stands near a place: before it, or close behind.
fn has_near(text: &str, place: &Range<usize>, words: &[&str]) -> bool {
    let around = around(text, place);
    words.iter().any(|word| around.contains(word))
}

/// What stands before a place and close behind it, in lower case.
fn around(text: &str, place: &Range<usize>) -> String {
    let from = crate::view::floor(text, place.start.saturating_sub(48));
    let to = crate::view::floor(text, (place.end + 24).min(text.len()));
    let before = text.get(from..place.start).unwrap_or_default();
    let after = text.get(place.end..to).unwrap_or_default();
    let mut around = [before, " ", after].concat();
    if around.is_ascii() {
        around.make_ascii_lowercase();
        around
    } else {
        around.to_lowercase()
    }
}

/// What stands around a place, looked at once however many words are asked for; and whether it is worth it.
struct Near<'t> {
    text: &'t str,
    place: &'t Range<usize>,
    /// All words that are asked for.
    any: &'t Regex,
    around: OnceCell<Option<String>>,
}

impl<'t> Near<'t> {
    fn new(text: &'t str, place: &'t Range<usize>, any: &'t Regex) -> Self {
        Self {
            text,
            place,
            any,
            around: OnceCell::new(),
        }
    }

    /// Whether one of these words stands there.
    fn has(&self, words: &[&str]) -> bool {
        let look = || Some(around(self.text, self.place)).filter(|around| self.any.is_match(around));
        let around = self.around.get_or_init(look);
        around
            .as_ref()
            .is_some_and(|around| words.iter().any(|word| around.contains(word)))
    }
}
