//! Obligations of several rules joined: the strictest of each kind holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    label::Labels,
    permit::{Obligation, Reviewers},
};

/// What all of them together oblige to, sorted.
pub(super) fn strictest<'o>(obligations: impl Iterator<Item = &'o Obligation>) -> Vec<Obligation> {
    let mut approvals: BTreeMap<&Reviewers, u8> = BTreeMap::new();
    let mut fields: Option<BTreeSet<String>> = None;
    let mut labels: Option<Labels> = None;
    let mut pseudonymised = BTreeSet::new();
    let mut redacted = BTreeSet::new();
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
            Obligation::Pseudonymise(kinds) => pseudonymised.extend(kinds.iter().cloned()),
            Obligation::Redact(kinds) => redacted.extend(kinds.iter().cloned()),
            Obligation::Limit(_) | Obligation::Review(_) | Obligation::StepUp(_) => {
                joined.insert(obligation.clone());
            }
        }
    }
    // What is cut out needs no pseudonym.
    pseudonymised.retain(|kind| !redacted.contains(kind));
    joined.extend(approvals.into_iter().map(|(by, needed)| Obligation::Approve {
        by: by.clone(),
        needed,
    }));
    joined.extend(fields.map(Obligation::Fields));
    joined.extend(labels.map(Obligation::Label));
    joined.extend(some(pseudonymised).map(Obligation::Pseudonymise));
    joined.extend(some(redacted).map(Obligation::Redact));
    joined.into_iter().collect()
}

fn some(kinds: BTreeSet<String>) -> Option<BTreeSet<String>> {
    (!kinds.is_empty()).then_some(kinds)
}

/// The parts of a result that both lists let through. A pointer lets through all below it.
fn common(these: &BTreeSet<String>, those: &BTreeSet<String>) -> BTreeSet<String> {
    let covered = |pointer: &str, by: &BTreeSet<String>| {
        by.iter().any(|upper| {
            let below = pointer.strip_prefix(upper.as_str());
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let one = these.iter().filter(|pointer| covered(pointer, those));
    let other = those.iter().filter(|pointer| covered(pointer, these));
    one.chain(other).cloned().collect()
}
