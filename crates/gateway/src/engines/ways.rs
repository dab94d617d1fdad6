//! What comes in the place of one finding: cut out, masked, or another value of its kind.
//!
//! Which findings that are, and where else their values stand, is [`super::rewrite`]'s business.

use std::collections::BTreeMap;

use inspect::{Effort, Finding, FindingKind, Like, Strung, mask, redact};
use pipeline::{Objection, refusal};
use wire::json::Node;

use super::{
    Engines,
    disguise::{Disguise, Whose},
    rewrite::{Found, Unkept},
};

/// What is done to findings of a kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    Anonymise,
    Mask,
    Pseudonymise,
    Redact,
}

impl Way {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Anonymise => "anonymise",
            Self::Mask => "mask",
            Self::Pseudonymise => "pseudonymise",
            Self::Redact => "redact",
        }
    }
}

impl Engines {
    pub(super) fn replacement(
        &self,
        (finding, way): (&Finding, Way),
        original: &str,
        (strung, effort): (&Strung, &mut Effort),
        names: &BTreeMap<(u32, usize), String>,
    ) -> String {
        let cut = || redact(original, [(0..original.len(), finding.detector.as_ref())]);
        let drawn = match way {
            Way::Redact if finding.kind == FindingKind::Unicode => return String::new(),
            Way::Redact => return cut(),
            Way::Mask => return mask(original),
            Way::Anonymise => strung
                .like(finding)
                .map(|like| Disguise::anonym(&self.inspector, &like, effort, &self.ambient)),
            Way::Pseudonymise => {
                let key = (finding.location.place, finding.location.span.start);
                names.get(&key).cloned()
            }
        };
        // There is one for every finding that is to have one; what had none would be cut out.
        drawn.unwrap_or_else(cut)
    }

    /// A pseudonym for each finding that is to have one, by its place.
    pub(super) fn pseudonyms(
        &self,
        (whose, unkept): (Whose<'_>, Unkept),
        (strung, effort): (&Strung, &mut Effort),
        found: &Found<'_>,
    ) -> Result<BTreeMap<(u32, usize), String>, Objection> {
        let wanted = found.values().flatten();
        let wanted = wanted.filter(|(_, way)| *way == Way::Pseudonymise);
        let place = |finding: &Finding| (finding.location.place, finding.location.span.start);
        let (places, likes): (Vec<_>, Vec<Like<'_>>) = wanted
            .filter_map(|(finding, _)| Some((place(finding), strung.like(finding)?)))
            .unzip();
        let names = self
            .disguise
            .of(whose, &likes, effort, (&self.inspector, &self.ambient))
            .map_err(|error| {
                let why = format!("no pseudonyms can be kept: {error}");
                unkept(&error, &refusal::OBLIGATION_UNMET, why)
            })?;
        Ok(places.into_iter().zip(names).collect())
    }
}

/// The content as one text, where something in it is to have another value.
pub(super) fn strung(said: Node<'_>, found: &Found<'_>) -> Strung {
    let is_drawn = |(_, way): &(&Finding, Way)| matches!(way, Way::Anonymise | Way::Pseudonymise);
    if found.values().flatten().any(is_drawn) {
        Strung::of(said)
    } else {
        Strung::default()
    }
}
