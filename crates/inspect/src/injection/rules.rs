//! Rules over known words: what no honest text says to a model, whatever stands between the words.
//!
//! Texts about attacks quote them. Where the words around say that it is an example, or a quotation mark
//! stands before it, a rule only takes note.

use std::borrow::Cow;

use super::KIND;
use crate::{
    Report, Score, Sighting,
    learned::{
        ABOUT, ATTACKS, CONCEAL, Class, DROP, EVERYTHING, INSTRUCTIONS, NOT, PREVIOUS, QUOTED, REVEAL,
        SECRET, SYSTEM, USER, Word, YOU, place,
    },
    view::View,
};

/// Known words in order, and how many other words may stand before each.
struct Rule {
    detector: &'static str,
    words: &'static [(Class, usize)],
    note: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        detector: "injection/override",
        words: &[(DROP, 0), (PREVIOUS, 3), (INSTRUCTIONS, 2)],
        note: "asks the reader to drop its instructions",
    },
    Rule {
        detector: "injection/override",
        words: &[(DROP, 0), (INSTRUCTIONS, 3), (PREVIOUS, 3)],
        note: "asks the reader to drop its instructions",
    },
    Rule {
        detector: "injection/prompt-extraction",
        words: &[(REVEAL, 0), (SYSTEM, 3), (INSTRUCTIONS, 1)],
        note: "asks for the instructions of the reader",
    },
    Rule {
        detector: "injection/override",
        words: &[(DROP, 0), (EVERYTHING, 1), (PREVIOUS, 3)],
        note: "asks the reader to drop its instructions",
    },
    Rule {
        detector: "injection/prompt-extraction",
        words: &[(REVEAL, 0), (YOU, 3), (INSTRUCTIONS, 1)],
        note: "asks for the instructions of the reader",
    },
    Rule {
        detector: "injection/secret-extraction",
        words: &[(REVEAL, 0), (YOU, 1), (SECRET, 1)],
        note: "asks for the secrets of the reader",
    },
    Rule {
        detector: "injection/conceal",
        words: &[(NOT, 0), (REVEAL, 1), (USER, 1)],
        note: "asks to keep something from the user",
    },
    Rule {
        detector: "injection/conceal",
        words: &[(NOT, 0), (CONCEAL, 2), (USER, 4)],
        note: "asks to keep something from the user",
    },
];

/// Words around an attack that may say it is quoted.
const AROUND: usize = 24;

pub(super) fn look(words: &[Word], view: &View<'_>, hidden: bool, report: &mut Report) {
    for (first, word) in words.iter().enumerate() {
        // What rules begin with; most words are nothing of it.
        if !matches!(word.class, DROP | NOT | REVEAL) {
            continue;
        }
        for rule in RULES {
            let Some(last) = rule.last(words, first) else {
                continue;
            };
            let told = is_told(view, words, first, last);
            let end = words.get(last).map_or(0, |word| place(word).end);
            report.add(Sighting {
                kind: KIND,
                detector: Cow::Borrowed(rule.detector),
                written: view.written(place(word).start..end),
                score: Score::new(match (hidden, told) {
                    (true, _) => 0.95,
                    (false, false) => 0.85,
                    (false, true) => 0.3,
                }),
                note: Cow::Borrowed(rule.note),
            });
        }
    }
}

impl Rule {
    /// The last word of the rule, if it begins at `first`.
    fn last(&self, words: &[Word], first: usize) -> Option<usize> {
        let mut at = first;
        for (n, (class, gap)) in self.words.iter().enumerate() {
            if n == 0 {
                if words.get(at)?.class != *class {
                    return None;
                }
                continue;
            }
            at =
                (at + 1..=at + 1 + gap).find(|at| words.get(*at).is_some_and(|word| word.class == *class))?;
        }
        Some(at)
    }
}

fn is_told(view: &View<'_>, words: &[Word], first: usize, last: usize) -> bool {
    let quoted = words.get(first).is_some_and(|word| word.shape & QUOTED != 0);
    let around = words
        .get(first.saturating_sub(AROUND)..(last + AROUND).min(words.len()))
        .unwrap_or_default();
    quoted
        || around
            .iter()
            .any(|word| matches!(word.class, ABOUT | ATTACKS) && !is_in_a_name(view, word))
}

/// `example` in `example.com` says nothing.
fn is_in_a_name(view: &View<'_>, word: &Word) -> bool {
    let mut after = view
        .text()
        .as_bytes()
        .get(place(word).end..)
        .unwrap_or_default()
        .iter();
    after.next() == Some(&b'.') && after.next().is_some_and(u8::is_ascii_alphanumeric)
}
