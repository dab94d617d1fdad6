//! What an operator adds: kinds of their own, and what to let pass. Both may change while content is read;
//! one content is judged by one set.
//!
//! This module must not know where the settings come from, nor how a digest is made.

use std::{borrow::Cow, fmt, sync::Arc};

use crate::{
    Detector, Digest, FindingKind, Passage, Report, Scope, Score, SettingsError, Sighting,
    pattern::Pattern,
    recall::{Mark, Recall},
};

/// What an operator may set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Kinds of values that are theirs alone.
    pub kinds: Vec<OwnKind>,
    /// Findings that are none.
    pub passes: Vec<Pass>,
    /// The digest by which [`Pass::value`] knows a value, and by which a text is known that was read before. Without one,
    /// no value is let pass and nothing is remembered.
    pub digest: Option<Digest>,
}

/// A kind of value that only this operator knows.
#[derive(Clone, Debug)]
pub struct OwnKind {
    /// Its name; findings say `own/NAME`.
    pub name: String,
    /// A regular expression of linear time; a group called `value` is the finding, else all of it.
    pub pattern: String,
    /// What a match must satisfy besides.
    pub check: Check,
    /// What it counts as, for rules.
    pub counts_as: FindingKind,
}

/// What a match of an own kind must satisfy besides.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Check {
    /// It looks made up by a machine.
    Entropy,
    /// The check digit of cards and many account numbers (ISO/IEC 7812).
    Luhn,
    /// The check digits of IBAN and others (ISO/IEC 7064, MOD 97-10), at the end or as an IBAN has them.
    Mod97,
    /// Nothing.
    #[default]
    None,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 4] = [Self::Entropy, Self::Luhn, Self::Mod97, Self::None];

    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entropy => "entropy",
            Self::Luhn => "luhn",
            Self::Mod97 => "mod97",
            Self::None => "none",
        }
    }

    fn holds(self, value: &str) -> bool {
        match self {
            Self::Entropy => crate::secret::is_random(value),
            Self::Luhn => crate::personal::luhn(value),
            Self::Mod97 => mod97(value),
            Self::None => true,
        }
    }
}

/// A finding that is let pass: all that is named must agree.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// The detector, such as `secret/named-value`, or the part before the stroke.
    pub detector: Option<String>,
    /// The server the content belongs to.
    pub server: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The digest of the value that was found, as written.
    pub value: Option<[u8; 32]>,
}

impl Pass {
    fn covers(
        &self,
        scope: Scope<'_>,
        sighting: &Sighting,
        digest: impl FnOnce() -> Option<[u8; 32]>,
    ) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| is == Some(wanted.as_str()))
        };
        let group = sighting.detector.split('/').next();
        same(&self.server, scope.server)
            && same(&self.tool, scope.tool)
            && (same(&self.detector, Some(&sighting.detector)) || same(&self.detector, group))
            && self.value.is_none_or(|value| digest() == Some(value))
    }
}

/// The detector, the check, what it counts as, the pattern.
type Kind = (Cow<'static, str>, Check, FindingKind, Pattern);

/// The settings, ready to be used.
pub(crate) struct Own {
    kinds: Vec<Kind>,
    passes: Vec<Pass>,
    digest: Option<Digest>,
    /// What was seen under these settings: under others, other things are seen.
    recall: Recall,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.kinds.iter().map(|kind| &kind.0))
            .finish()
    }
}

impl Own {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            kinds: settings.kinds.iter().map(Self::kind).collect::<Result<_, _>>()?,
            passes: settings.passes.clone(),
            digest: settings.digest,
            recall: Recall::new(),
        })
    }

    pub(crate) fn kind(kind: &OwnKind) -> Result<Kind, SettingsError> {
        let pattern = Pattern::new(&kind.name, &kind.pattern)?;
        if pattern.finds_nothing() {
            return Err(SettingsError::Empty {
                name: kind.name.clone(),
            });
        }
        let detector = Cow::Owned(format!("own/{}", kind.name));
        Ok((detector, kind.check, kind.counts_as, pattern))
    }

    /// What somebody sees in a window of text, or saw in it before.
    pub(crate) fn recalled(
        &self,
        text: &str,
        scope: Scope<'_>,
        see: impl FnOnce() -> Vec<Sighting>,
    ) -> Arc<[Sighting]> {
        let Some(mark) = self.digest.and_then(|digest| Mark::of(text, scope, digest)) else {
            return see().into();
        };
        self.recall.seen(mark).unwrap_or_else(|| {
            let seen: Arc<[Sighting]> = see().into();
            self.recall.remember(mark, &seen);
            seen
        })
    }

    #[cfg(test)]
    pub(crate) fn recall(&self) -> &Recall {
        &self.recall
    }

    /// Whether a sighting in this text is let pass.
    pub(crate) fn passes(&self, scope: Scope<'_>, sighting: &Sighting, text: &str) -> bool {
        let digest = || {
            let value = text.get(sighting.written.clone()).unwrap_or_default();
            self.digest.map(|digest| digest(value.as_bytes()))
        };
        // That something was not read is never let pass: nobody knows what it is.
        sighting.kind != FindingKind::Uninspectable
            && self
                .passes
                .iter()
                .any(|pass| pass.covers(scope, sighting, digest))
    }
}

impl Detector for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn look(&self, passage: &Passage<'_>, report: &mut Report) {
        for view in passage.views() {
            for (detector, check, counts_as, pattern) in &self.kinds {
                for place in pattern.places(view.text()) {
                    if view
                        .text()
                        .get(place.clone())
                        .is_some_and(|value| check.holds(value))
                    {
                        report.add(Sighting {
                            kind: *counts_as,
                            detector: detector.clone(),
                            written: view.written(place),
                            score: Score::new(0.9),
                            note: Cow::Borrowed("a kind of this gateway's own"),
                        });
                    }
                }
            }
        }
    }
}

/// ISO/IEC 7064, MOD 97-10: letters count from 10, and check digits stand at the end, or third and fourth.
fn mod97(value: &str) -> bool {
    let letters: Vec<u8> = value
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|b| b.to_ascii_uppercase())
        .collect();
    let rest = |parts: [&[u8]; 2]| {
        parts.concat().iter().fold(0_u32, |rest, byte| match byte {
            b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
            _ => (rest * 100 + u32::from(byte.saturating_sub(b'A')) + 10) % 97,
        })
    };
    let (head, tail) = letters.split_at(letters.len().min(4));
    letters.len() >= 4 && (rest([&letters, &[]]) == 1 || rest([tail, head]) == 1)
}

#[cfg(test)]
mod tests {
    use super::{Check, OwnKind, Pass, Settings};
    use crate::{FindingKind, Findings, Inspector, Scope, Surface};

    fn kind(pattern: &str, check: Check) -> OwnKind {
        OwnKind {
            name: "patient".to_owned(),
            pattern: pattern.to_owned(),
            check,
            counts_as: FindingKind::Personal,
        }
    }

    fn own(inspector: &Inspector, text: &str, server: &str) -> Vec<String> {
        let scope = Scope {
            surface: Surface::Result,
            server: Some(server),
            tool: Some("search"),
            whose: Some("agent"),
        };
        let found = |findings: Findings| -> Vec<String> {
            findings
                .iter()
                .filter(|f| f.detector.starts_with("own/"))
                .filter_map(|f| text.get(f.location.span.clone()).map(str::to_owned))
                .collect()
        };
        found(inspector.inspect_text(text, scope))
    }

    #[test]
    fn a_kind_of_ones_own_is_found_where_its_check_holds() {
        let with = |check| {
            let kinds = vec![kind(r"PN-(?P<value>\d{8})\b", check)];
            Inspector::new(&Settings {
                kinds,
                ..Settings::default()
            })
            .expect("settings")
        };
        let text = "first PN-12345675 then PN-12345674";
        assert_eq!(own(&with(Check::None), text, "a"), ["12345675", "12345674"]);
        assert_eq!(own(&with(Check::Luhn), text, "a"), ["12345674"]);
        assert!(own(&with(Check::Entropy), text, "a").is_empty());
        let mod97 = own(&with(Check::Mod97), "PN-12345676 PN-12345683 PN-12345677", "a");
        assert_eq!(mod97, ["12345676", "12345683"], "at the end, or third and fourth");
    }

    #[test]
    fn what_matches_nothing_or_is_too_large_is_no_kind() {
        for pattern in ["x*", "(", r"(?:\w{1000}){1000}"] {
            let kinds = vec![kind(pattern, Check::None)];
            assert!(
                Inspector::new(&Settings {
                    kinds,
                    ..Settings::default()
                })
                .is_err(),
                "{pattern}"
            );
        }
    }

    /// No digest but for short texts.
    fn first_bytes(value: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(value) {
            *to = *from;
        }
        digest
    }

    #[test]
    fn what_is_let_pass_is_let_pass_there_alone_and_at_once() {
        let settings = |passes| Settings {
            kinds: vec![kind(r"PN-\d{8}", Check::None)],
            passes,
            digest: Some(first_bytes),
        };
        let inspector = Inspector::new(&settings(Vec::new())).expect("settings");
        let copy = inspector.clone();
        let text = "PN-12345678 PN-87654321";
        assert_eq!(own(&copy, text, "docs").len(), 2);
        let value = first_bytes(b"PN-12345678");
        let pass = Pass {
            server: Some("docs".to_owned()),
            value: Some(value),
            ..Pass::default()
        };
        inspector.adopt(&settings(vec![pass])).expect("settings");
        assert_eq!(own(&copy, text, "docs"), ["PN-87654321"], "the copy follows");
        assert_eq!(own(&copy, text, "other").len(), 2, "elsewhere it is found");
        let pass = Pass {
            detector: Some("secret".to_owned()),
            tool: Some("search".to_owned()),
            ..Pass::default()
        };
        inspector.adopt(&settings(vec![pass])).expect("settings");
        assert_eq!(own(&copy, text, "docs").len(), 2, "another detector");
        assert!(
            inspector
                .adopt(&Settings {
                    kinds: vec![kind("(", Check::None)],
                    ..settings(Vec::new())
                })
                .is_err()
        );
        assert_eq!(
            own(&copy, text, "docs").len(),
            2,
            "what cannot be used changes nothing"
        );
    }
}
