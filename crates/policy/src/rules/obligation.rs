//! Obligations of several rules joined: the strictest of each kind holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    label::Labels,
    permit::{Obligation, Reviewers},
};

/// What all of them together oblige to, sorted: obligations of one permit, or of several that hold at once.
pub fn strictest<'o>(obligations: impl Iterator<Item = &'o Obligation>) -> Vec<Obligation> {
    let mut all: Vec<&Obligation> = obligations.collect();
    all.sort_unstable();
    all.dedup();
    if have_nothing_to_join(&all) {
        return all.into_iter().cloned().collect();
    }
    joined(all.into_iter())
}

/// Whether obligations stay as they are beside each other, as those of nearly every call do: each is of another kind,
/// one at most hides something, and none is about nothing.
fn have_nothing_to_join(sorted: &[&Obligation]) -> bool {
    let alike = |pair: &[&Obligation]| match pair {
        [one, other] => std::mem::discriminant(*one) == std::mem::discriminant(*other),
        _ => false,
    };
    let hides = |one: &&&Obligation| {
        matches!(
            one,
            Obligation::Anonymise(_)
                | Obligation::Mask(_)
                | Obligation::Pseudonymise(_)
                | Obligation::Redact(_)
        )
    };
    let is_of_nothing = |one: &&Obligation| match one {
        Obligation::Anonymise(of)
        | Obligation::Defang(of)
        | Obligation::Drop(of)
        | Obligation::Mask(of)
        | Obligation::Pseudonymise(of)
        | Obligation::Redact(of)
        | Obligation::Reveal(of) => of.is_empty(),
        Obligation::Judge(of) => of.is_empty(),
        Obligation::Approve { .. }
        | Obligation::Fields(_)
        | Obligation::Label(_)
        | Obligation::Limit(_)
        | Obligation::Review(_)
        | Obligation::StepUp { .. } => false,
    };
    !sorted.windows(2).any(alike)
        && sorted.iter().filter(hides).count() < 2
        && !sorted.iter().any(is_of_nothing)
}

fn joined<'o>(obligations: impl Iterator<Item = &'o Obligation>) -> Vec<Obligation> {
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
                    None => BTreeSet::clone(these),
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
    joined.extend(fields.map(Arc::new).map(Obligation::Fields));
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

fn some(kinds: BTreeSet<String>) -> Option<Arc<BTreeSet<String>>> {
    (!kinds.is_empty()).then(|| Arc::new(kinds))
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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::{label::Integrity, permit::Judging};

    fn some_obligations() -> Vec<Obligation> {
        let set = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>()
                .into()
        };
        let mut all = Vec::new();
        for names in [&[][..], &["/a"], &["/a", "/b"]] {
            all.extend([
                Obligation::Anonymise(set(names)),
                Obligation::Defang(set(names)),
                Obligation::Drop(set(names)),
                Obligation::Fields(set(names)),
                Obligation::Mask(set(names)),
                Obligation::Pseudonymise(set(names)),
                Obligation::Redact(set(names)),
                Obligation::Reveal(set(names)),
            ]);
        }
        for by in [Reviewers::Role("r".to_owned()), Reviewers::User("u".to_owned())] {
            all.push(Obligation::Review(by.clone()));
            all.push(Obligation::Approve { by, needed: 2 });
        }
        let level = || "mfa".to_owned();
        all.extend([
            Obligation::Judge(BTreeSet::new()),
            Obligation::Judge(BTreeSet::from([Judging::Content])),
            Obligation::Label(Labels::none()),
            Obligation::Label(Labels {
                integrity: Integrity::Untrusted,
                ..Labels::none()
            }),
            Obligation::Limit("one".to_owned()),
            Obligation::Limit("other".to_owned()),
            Obligation::StepUp {
                level: level(),
                max_age_s: None,
            },
            Obligation::StepUp {
                level: level(),
                max_age_s: Some(300),
            },
        ]);
        all
    }

    proptest! {
        #[test]
        fn what_need_not_be_joined_is_what_joining_would_give(
            obligations in vec(select(some_obligations()), 0..4),
        ) {
            prop_assert_eq!(strictest(obligations.iter()), joined(obligations.iter()));
        }
    }
}
