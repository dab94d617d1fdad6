//! Content that speaks to the model instead of informing it: a few rules, and a learned model over windows
//! of words. Neither knows who asked.

mod roles;
mod rules;
mod steer;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::{
    Detector, FindingKind, Passage, Report, Score, SettingsError, Sighting, Surface,
    learned::{ATTACKS, INSTRUCTIONS, Lexicon, Model, PREVIOUS, Sort, Word, is_data},
    view::Reading,
};

const KIND: FindingKind = FindingKind::Injection;

/// The weights (`examples/train.rs` makes them; `NOTICE` names what they were learned from).
static WEIGHTS: &[u8] = include_bytes!("../../data/injection.model");

/// The rules and the model.
#[derive(Debug)]
pub(crate) struct Injection {
    model: Model,
}

impl Injection {
    pub(crate) fn new() -> Result<Self, SettingsError> {
        let model = Model::read(WEIGHTS).ok_or(SettingsError::Model { name: "injection" })?;
        Ok(Self { model })
    }
}

impl Detector for Injection {
    fn name(&self) -> &'static str {
        "injection"
    }

    fn look(&self, passage: &Passage<'_>, report: &mut Report) {
        for view in passage.views() {
            let words = view.words();
            let hidden = view.reading() == Reading::Decoded;
            // A definition tells a model what to do by its nature: another model judges those.
            let hits = if passage.surface() == Surface::Definition {
                Vec::new()
            } else {
                self.model.hits(words, is_data(view.text()))
            };
            for hit in hits {
                report.add(Sighting {
                    kind: KIND,
                    detector: Cow::Borrowed("injection/learned"),
                    written: view.written(hit.place),
                    score: Score::new(hit.score),
                    note: Cow::Borrowed(if hidden {
                        "hides words that are said to a model"
                    } else {
                        "words that are said to a model rather than to a reader"
                    }),
                });
            }
            rules::look(words, view, hidden, report);
            // Elsewhere a sentence may well tell the reader how to answer.
            if passage.surface() == Surface::Result {
                steer::look(words, view, report);
            }
        }
    }
}

/// Has the words noted that the rules want to see.
pub(crate) fn want(lexicon: &mut Lexicon) {
    lexicon.want_classes(rules::begins, Sort::Begins);
    lexicon.want_classes(|class| matches!(class, PREVIOUS | INSTRUCTIONS), Sort::Steers);
    for hash in roles::hashes() {
        lexicon.want(hash, Sort::Steers);
    }
}

/// How many words are about attacks: one says little, since every firewall has blocks.
fn attacks(words: &[Word]) -> usize {
    words.iter().filter(|word| word.class == ATTACKS).count()
}
