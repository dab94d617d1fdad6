//! Rules over known words: what no honest text says to a model, whatever stands between the words.
//!
//! Texts about attacks quote them. Where the words before say that it is an example, those around that it is
//! about attacks, or a quotation mark stands before it, a rule only takes note.

use std::{borrow::Cow, ops::Range};

use super::{KIND, attacks};
use crate::{
    Report, Score, Sighting,
    learned::{
        ABOUT, CONCEAL, Class, DROP, EVERYTHING, INSTRUCTIONS, NOT, PREVIOUS, QUOTED, REVEAL, SECRET, SYSTEM,
        Sort, USER, Word, YOU, is_data, place,
    },
    view::View,
};

/// Known words in order, and how many other words may stand before each.
struct Rule {
    detector: &'static str,
    words: &'static [(Class, usize)],
    note: &'static str,
}

const OVERRIDE: &str = "injection/override";

const RULES: &[Rule] = &[
    Rule {
        detector: OVERRIDE,
        words: &[(DROP, 0), (PREVIOUS, 3), (INSTRUCTIONS, 2)],
        note: "asks the reader to drop its instructions",
    },
    Rule {
        detector: OVERRIDE,
        words: &[(DROP, 0), (INSTRUCTIONS, 3), (PREVIOUS, 3)],
        note: "asks the reader to drop its instructions",
    },
    Rule {
        detector: "injection/prompt-extraction",
        words: &[(REVEAL, 0), (SYSTEM, 3), (INSTRUCTIONS, 1)],
        note: "asks for the instructions of the reader",
    },
    Rule {
        detector: OVERRIDE,
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

/// The classes that rules begin with, one bit each; most words are of none.
const BEGINNINGS: u64 = {
    let mut classes = 0;
    let mut n = 0;
    while n < RULES.len() {
        #[expect(clippy::indexing_slicing, reason = "worked out when compiled")]
        {
            classes |= 1 << RULES[n].words[0].0;
        }
        n += 1;
    }
    classes
};

/// Whether a rule begins with a word of this class.
pub(super) fn begins(class: Class) -> bool {
    BEGINNINGS.checked_shr(u32::from(class)).unwrap_or(0) & 1 == 1
}

/// Words around an attack that may say it is quoted.
const AROUND: usize = 24;
/// Words before an attack that may say it is an example.
const BEFORE: usize = 8;

pub(super) fn look(words: &[Word], view: &View<'_>, hidden: bool, report: &mut Report) {
    let may_begin = view.noted(Sort::Begins);
    for (first, word) in may_begin.filter_map(|n| Some((n, words.get(n)?))) {
        for rule in RULES {
            let Some(last) = rule.last(words, first) else {
                continue;
            };
            let told = is_told(view, words, (first, last), rule);
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

fn is_told(view: &View<'_>, words: &[Word], (first, last): (usize, usize), rule: &Rule) -> bool {
    let part = |range: Range<usize>| words.get(range).unwrap_or_default();
    // Every value of data is quoted.
    let quoted = !is_data(view.text())
        && part(first.saturating_sub(2)..last + 1)
            .iter()
            .any(|word| word.shape & QUOTED != 0 && !is_assigned(view, word));
    let example = part(first.saturating_sub(BEFORE)..last)
        .iter()
        .any(|word| word.class == ABOUT && !is_in_a_name(view, word));
    let end = (last + AROUND).min(words.len());
    // An override says what it is; one word about attacks near it is chance.
    let most = usize::from(rule.detector == OVERRIDE);
    quoted || example || attacks(part(first.saturating_sub(AROUND)..end)) > most
}

/// `a="..."`: a value, not a quotation.
fn is_assigned(view: &View<'_>, word: &Word) -> bool {
    let before = view
        .text()
        .as_bytes()
        .get(..place(word).start)
        .unwrap_or_default();
    matches!(before, [.., b'=', b'"' | b'\''])
}

/// `example` in `example.com` or `mail.example` says nothing.
fn is_in_a_name(view: &View<'_>, word: &Word) -> bool {
    let (range, bytes) = (place(word), view.text().as_bytes());
    let mut before = bytes.get(..range.start).unwrap_or_default().iter().rev();
    let mut after = bytes.get(range.end..).unwrap_or_default().iter();
    let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    (after.next() == Some(&b'.') && letter(after.next()))
        || (before.next() == Some(&b'.') && letter(before.next()))
}
