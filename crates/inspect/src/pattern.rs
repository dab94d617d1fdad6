//! Rules that are one expression and one check.

use std::borrow::Cow;

use regex::Regex;

use crate::{Detector, FindingKind, Passage, Report, Score, SettingsError, Sighting};

/// One rule as it is listed. The group `value`, if there is one, is what is reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) detector: &'static str,
    pub(crate) kind: FindingKind,
    pub(crate) pattern: &'static str,
    pub(crate) score: f32,
    pub(crate) check: fn(&str) -> bool,
    pub(crate) note: &'static str,
}

/// Rules made ready, as one detector.
#[derive(Debug)]
pub(crate) struct Patterns {
    name: &'static str,
    rules: Vec<(Rule, Regex)>,
}

impl Patterns {
    pub(crate) fn new(name: &'static str, rules: &[Rule]) -> Result<Self, SettingsError> {
        let rules = rules
            .iter()
            .map(|rule| {
                let regex = Regex::new(rule.pattern).map_err(|source| SettingsError::Pattern {
                    name: rule.detector.to_owned(),
                    source: Box::new(source),
                })?;
                Ok((*rule, regex))
            })
            .collect::<Result<_, SettingsError>>()?;
        Ok(Self { name, rules })
    }
}

impl Detector for Patterns {
    fn name(&self) -> &'static str {
        self.name
    }

    fn look(&self, passage: &Passage<'_>, report: &mut Report) {
        for view in passage.views() {
            for (rule, regex) in &self.rules {
                for captures in regex.captures_iter(view.text()) {
                    let Some(hit) = captures.name("value").or_else(|| captures.get(0)) else {
                        continue;
                    };
                    if (rule.check)(hit.as_str()) {
                        report.add(Sighting {
                            kind: rule.kind,
                            detector: Cow::Borrowed(rule.detector),
                            written: view.written(hit.range()),
                            score: Score::new(rule.score),
                            note: Cow::Borrowed(rule.note),
                        });
                    }
                }
            }
        }
    }
}

/// The check of a rule whose pattern says all.
pub(crate) fn any(_: &str) -> bool {
    true
}
