//! Characters that are there without being seen.

use std::collections::BTreeSet;

use crate::{
    Detector, FindingKind, Passage, Report, Score, Sighting,
    view::{Hidden, HiddenRun},
};

/// Reports hidden characters that neither a script nor an emoji needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HiddenCharacters;

/// From so many sorts in one text on, hiding is the purpose (the rule of Snyk's W021).
const SORTS_MANY: usize = 3;
/// From so many characters in one run on, they carry something.
const RUN_MANY: usize = 4;

impl Detector for HiddenCharacters {
    fn name(&self) -> &'static str {
        "unicode/hidden-characters"
    }

    fn look(&self, passage: &Passage<'_>, report: &mut Report) {
        let runs = passage.hidden();
        let sorts: BTreeSet<_> = runs.iter().map(|run| run.sort).collect();
        for run in runs {
            report.add(Sighting {
                kind: FindingKind::Unicode,
                detector: run.sort.detector().into(),
                written: run.written.clone(),
                score: if sorts.len() >= SORTS_MANY {
                    Score::new(0.9)
                } else {
                    score(run, passage.written())
                },
                note: format!("{} {} characters", run.count, run.sort.as_str()).into(),
            });
        }
    }
}

fn score(run: &HiddenRun, written: &str) -> Score {
    let text = written.get(run.written.clone()).unwrap_or_default();
    Score::new(match run.sort {
        Hidden::Tag => 0.95,
        Hidden::Bidi if text.contains(['\u{202d}', '\u{202e}']) => 0.85,
        // What moves a terminal's cursor, ends a text for programs in C, or begins a sequence in one character.
        Hidden::Control if text.contains(['\0', '\u{8}', '\u{1b}', '\u{90}', '\u{9b}', '\u{9d}']) => 0.6,
        Hidden::Filler if run.count >= RUN_MANY => 0.7,
        Hidden::Variation | Hidden::ZeroWidth if run.count >= RUN_MANY => 0.85,
        // One soft hyphen, one stray joiner, one form feed: worth knowing, not worth a word.
        Hidden::Bidi | Hidden::Control | Hidden::Filler | Hidden::Variation | Hidden::ZeroWidth => 0.3,
    })
}
