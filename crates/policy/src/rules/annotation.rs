//! Annotations of rules: a rule's name and reason, and the obligations that come with its permit.
//! An annotation nobody knows is an error, because it was meant to oblige somebody.

use std::{collections::BTreeSet, sync::Arc};

use super::{rule::Effect, vocabulary};
use crate::{
    facts::FINDING_KINDS,
    label::{Confidentiality, Integrity, Labels},
    permit::{Judging, Obligation, Reviewers},
};

/// What the annotations of one rule say.
#[derive(Clone, Debug, Default)]
pub(super) struct Annotations {
    pub(super) id: Option<String>,
    pub(super) reason: Option<String>,
    /// The scope without which the rule does not permit.
    pub(super) scope: Option<String>,
    pub(super) obligations: Vec<Obligation>,
}

/// What is wrong with an annotation's value, and what to write instead.
type Wrong = (String, String);

const ON_PERMIT: [&str; 17] = [
    "anonymise",
    "approve",
    "defang",
    "drop",
    "fields",
    "id",
    "judge",
    "label",
    "limit",
    "mask",
    "pseudonymise",
    "reason",
    "redact",
    "reveal",
    "review",
    "scope",
    "step_up",
];
const ON_FORBID: [&str; 3] = ["approve", "id", "reason"];
/// Longest `@id`, in bytes: it stands in every record of a decision.
const ID_BYTES_MAX: usize = 128;
/// Most people one approval may need.
const APPROVERS_MAX: u8 = 16;

impl Annotations {
    /// Reads one annotation.
    pub(super) fn add(&mut self, name: &str, value: &str, effect: Effect) -> Result<(), Wrong> {
        let known: &[&str] = match effect {
            Effect::Forbid => &ON_FORBID,
            Effect::Permit => &ON_PERMIT,
        };
        if !known.contains(&name) {
            return Err(unknown(name, effect, known));
        }
        match name {
            "id" => self.id = Some(id(value)?),
            "reason" => self.reason = Some(value.to_owned()),
            "scope" => self.scope = Some(scope(value)?),
            _ => self.obligations.push(obligation(name, value)?),
        }
        Ok(())
    }
}

fn unknown(name: &str, effect: Effect, known: &[&str]) -> Wrong {
    if ON_PERMIT.contains(&name) {
        let message = format!("`@{name}` means nothing on a `{}`", effect.as_str());
        let remedy = "put it on the `permit` it should hold for".to_owned();
        return (message, remedy);
    }
    let remedy = match vocabulary::nearest(name, known) {
        Some(nearest) => format!("did you mean `@{nearest}`?"),
        None => format!("there are @{}", known.join(", @")),
    };
    (format!("there is no annotation `@{name}`"), remedy)
}

fn obligation(name: &str, value: &str) -> Result<Obligation, Wrong> {
    match name {
        "anonymise" => kinds(value).map(Arc::new).map(Obligation::Anonymise),
        "approve" => approve(value),
        "defang" => defanged(value).map(Arc::new).map(Obligation::Defang),
        "drop" => fields(value).map(Arc::new).map(Obligation::Drop),
        "fields" => fields(value).map(Arc::new).map(Obligation::Fields),
        "judge" => judging(value).map(Obligation::Judge),
        "label" => labels(value).map(Obligation::Label),
        "limit" => word(value).map(Obligation::Limit),
        "mask" => kinds(value).map(Arc::new).map(Obligation::Mask),
        "pseudonymise" => kinds(value).map(Arc::new).map(Obligation::Pseudonymise),
        "redact" => kinds(value).map(Arc::new).map(Obligation::Redact),
        "reveal" => kinds(value).map(Arc::new).map(Obligation::Reveal),
        "review" => reviewers(value).map(Obligation::Review),
        _ => step_up(value),
    }
}

fn id(value: &str) -> Result<String, Wrong> {
    let fits = (1..=ID_BYTES_MAX).contains(&value.len()) && !value.chars().any(char::is_control);
    fits.then(|| value.to_owned()).ok_or_else(|| {
        let remedy = format!("write 1 to {ID_BYTES_MAX} bytes without control characters");
        (format!("`{}` is not a rule's name", value.escape_debug()), remedy)
    })
}

/// RFC 6749 section 3.3: `scope-token`.
fn scope(value: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    let good = !value.is_empty() && value.chars().all(fits);
    good.then(|| value.to_owned()).ok_or_else(|| {
        let remedy = "write one scope, such as `charts:read`".to_owned();
        (
            format!("`{}` is not one OAuth scope", value.escape_debug()),
            remedy,
        )
    })
}

fn approve(value: &str) -> Result<Obligation, Wrong> {
    let mut words = value.split_whitespace();
    let by = reviewers(words.next().unwrap_or_default())?;
    let needed = match words.next() {
        None => Some(1),
        Some(count) => count
            .parse()
            .ok()
            .filter(|count| (1..=APPROVERS_MAX).contains(count)),
    };
    match (needed, words.next()) {
        (Some(needed), None) => Ok(Obligation::Approve { by, needed }),
        _ => Err((
            format!("`{value}` does not say who approves and how many of them"),
            format!("write `role:NAME` or `role:NAME 2`, with at most {APPROVERS_MAX}"),
        )),
    }
}

fn step_up(value: &str) -> Result<Obligation, Wrong> {
    let mut words = value.split_whitespace();
    let level = word(words.next().unwrap_or_default())?;
    let age = words.next().map(str::parse::<u32>);
    match (age, words.next()) {
        (None, None) => Ok(Obligation::StepUp {
            level,
            max_age_s: None,
        }),
        (Some(Ok(age)), None) if age > 0 => Ok(Obligation::StepUp {
            level,
            max_age_s: Some(age),
        }),
        _ => Err((
            format!("`{value}` does not say how somebody logs in, and how long ago at most"),
            "write `mfa`, or `mfa 300` for the last 300 seconds".to_owned(),
        )),
    }
}

fn reviewers(value: &str) -> Result<Reviewers, Wrong> {
    Reviewers::parse(value.trim()).ok_or_else(|| {
        let remedy = "write `user:NAME`, `role:NAME` or `group:NAME`".to_owned();
        (format!("`{value}` does not say who"), remedy)
    })
}

fn fields(value: &str) -> Result<BTreeSet<String>, Wrong> {
    let pointers: BTreeSet<String> = value.split_whitespace().map(str::to_owned).collect();
    let is_pointer = |text: &String| {
        let mut escapes = text.split('~').skip(1);
        text.starts_with('/') && escapes.all(|after| after.starts_with(['0', '1']))
    };
    if pointers.is_empty() || !pointers.iter().all(is_pointer) {
        let remedy = "write JSON pointers apart by spaces, such as `/name /birth/date`".to_owned();
        return Err((format!("`{value}` is not a list of JSON pointers"), remedy));
    }
    Ok(pointers)
}

fn defanged(value: &str) -> Result<BTreeSet<String>, Wrong> {
    let sorts: BTreeSet<String> = value.split_whitespace().map(str::to_owned).collect();
    if sorts.is_empty()
        || !sorts
            .iter()
            .all(|sort| ["images", "links"].contains(&sort.as_str()))
    {
        let remedy = "write `images`, `links` or both, apart by a space".to_owned();
        return Err((format!("`{value}` does not say what is made harmless"), remedy));
    }
    Ok(sorts)
}

fn judging(value: &str) -> Result<BTreeSet<Judging>, Wrong> {
    let known = |word: &str| Judging::ALL.into_iter().find(|one| one.as_str() == word);
    let these: Option<BTreeSet<Judging>> = value.split_whitespace().map(known).collect();
    these.filter(|these| !these.is_empty()).ok_or_else(|| {
        let remedy = "write `intent`, `content` or both, apart by a space".to_owned();
        (
            format!("`{value}` does not say what a second opinion is on"),
            remedy,
        )
    })
}

fn kinds(value: &str) -> Result<BTreeSet<String>, Wrong> {
    let kinds: BTreeSet<String> = value.split_whitespace().map(str::to_owned).collect();
    let known = |kind: &String| FINDING_KINDS.contains(&kind.as_str());
    if kinds.is_empty() || !kinds.iter().all(known) {
        let remedy = format!("the kinds are {}", FINDING_KINDS.join(", "));
        return Err((format!("`{value}` is not a list of kinds of findings"), remedy));
    }
    Ok(kinds)
}

fn word(value: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    let good = !value.is_empty() && value.chars().all(fits);
    good.then(|| value.to_owned()).ok_or_else(|| {
        let remedy = "write letters, digits, `_`, `-`, `.` and `:`".to_owned();
        (format!("`{}` is not one word", value.escape_debug()), remedy)
    })
}

fn labels(value: &str) -> Result<Labels, Wrong> {
    let mut labels = Labels::none();
    let mut any = false;
    for part in value.split_whitespace() {
        any = true;
        let known = match part.split_once(':') {
            Some(("category", category)) if !category.is_empty() => {
                labels.categories.insert(category.to_owned());
                true
            }
            Some(("confidentiality", level)) => Confidentiality::parse(level)
                .map(|level| labels.confidentiality = level.max(labels.confidentiality))
                .is_some(),
            Some(("integrity", integrity)) => Integrity::parse(integrity)
                .map(|integrity| labels.integrity = integrity.max(labels.integrity))
                .is_some(),
            _ => false,
        };
        any &= known;
        if !known {
            break;
        }
    }
    any.then_some(labels).ok_or_else(|| {
        let remedy = "write `confidentiality:restricted category:phi integrity:untrusted` or a part of it";
        (format!("`{value}` is not a list of labels"), remedy.to_owned())
    })
}
