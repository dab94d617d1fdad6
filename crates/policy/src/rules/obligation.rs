//! Obligations of several rules joined: the strictest of each kind holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    label::Labels,
    permit::{Obligation, Reviewers},
};

/// What all of them together oblige to, sorted: obligations of one permit, or of several that hold at once.
pub fn strictest<'o>(obligations: impl Iterator<Item = &'o Obligation>) -> Vec<Obligation> {
    let mut approvals: BTreeMap<&Reviewers, u8> = BTreeMap::new();
    let mut fields: Option<BTreeSet<String>> = None;
    let mut labels: Option<Labels> = None;
    let mut dropped = BTreeSet::new();
    let mut defanged = BTreeSet::new();
    let mut judged = BTreeSet::new();
    let mut hidden = Hidden::default();
    let mut revealed = BTreeSet::new();
    let mut joined = BTreeSet::new();
    for obligation in obligations {
        match obligation {
            Obligation::Approve { by, needed } => {
                let most = approvals.entry(by).or_default();
                *most = (*most).max(*needed);
            }
            Obligation::Fields(these) => {
                fields = Some(match fields {
                    Some(those) => common(&those, these),
                    None => these.clone(),
                });
            }
            Obligation::Label(more) => {
                labels = Some(labels.unwrap_or_else(Labels::none).join(more));
            }
            Obligation::Anonymise(kinds) => hidden.anonymised.extend(kinds.iter().cloned()),
            Obligation::Defang(sorts) => defanged.extend(sorts.iter().cloned()),
            Obligation::Drop(pointers) => dropped.extend(pointers.iter().cloned()),
            Obligation::Judge(these) => judged.extend(these.iter().copied()),
            Obligation::Mask(kinds) => hidden.masked.extend(kinds.iter().cloned()),
            Obligation::Pseudonymise(kinds) => hidden.pseudonymised.extend(kinds.iter().cloned()),
            Obligation::Redact(kinds) => hidden.redacted.extend(kinds.iter().cloned()),
            Obligation::Reveal(kinds) => revealed.extend(kinds.iter().cloned()),
            Obligation::Limit(_) | Obligation::Review(_) | Obligation::StepUp { .. } => {
                joined.insert(obligation.clone());
            }
        }
    }
    joined.extend(approvals.into_iter().map(|(by, needed)| Obligation::Approve {
        by: by.clone(),
        needed,
    }));
    joined.extend(fields.map(Obligation::Fields));
    joined.extend((!judged.is_empty()).then_some(judged).map(Obligation::Judge));
    joined.extend(labels.map(Obligation::Label));
    joined.extend(some(defanged).map(Obligation::Defang));
    joined.extend(some(dropped).map(Obligation::Drop));
    joined.extend(some(revealed).map(Obligation::Reveal));
    joined.extend(hidden.obligations());
    joined.into_iter().collect()
}

/// Ways to hide a finding. For a kind that several are asked for, the one that shows least holds.
#[derive(Default)]
struct Hidden {
    redacted: BTreeSet<String>,
    masked: BTreeSet<String>,
    anonymised: BTreeSet<String>,
    pseudonymised: BTreeSet<String>,
}

impl Hidden {
    fn obligations(mut self) -> impl Iterator<Item = Obligation> {
        let mut hidden = BTreeSet::new();
        let mut of = |kinds: &mut BTreeSet<String>| {
            kinds.retain(|kind| hidden.insert(kind.clone()));
            some(std::mem::take(kinds))
        };
        [
            of(&mut self.redacted).map(Obligation::Redact),
            of(&mut self.masked).map(Obligation::Mask),
            of(&mut self.anonymised).map(Obligation::Anonymise),
            of(&mut self.pseudonymised).map(Obligation::Pseudonymise),
        ]
        .into_iter()
        .flatten()
    }
}

fn some(kinds: BTreeSet<String>) -> Option<BTreeSet<String>> {
    (!kinds.is_empty()).then_some(kinds)
}

/// The parts of a result that both lists let through. A pointer lets through all below it, and `*` any name.
fn common(these: &BTreeSet<String>, those: &BTreeSet<String>) -> BTreeSet<String> {
    let pairs = these
        .iter()
        .flat_map(|this| those.iter().map(move |that| (this, that)));
    pairs.filter_map(|(this, that)| narrowed(this, that)).collect()
}

/// What lies below both pointers; none if nothing does.
fn narrowed(this: &str, that: &str) -> Option<String> {
    let (mut these, mut those) = (this.split('/'), that.split('/'));
    let mut both = Vec::new();
    loop {
        both.push(match (these.next(), those.next()) {
            (None, None) => return Some(both.join("/")),
            (Some(one), None) | (None, Some(one)) => one,
            (Some("*"), Some(one)) | (Some(one), Some("*")) => one,
            (Some(one), Some(other)) if one == other => one,
            (Some(_), Some(_)) => return None,
        });
    }
}
