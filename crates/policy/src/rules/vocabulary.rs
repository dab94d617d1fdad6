//! The names there are, so that a misspelt one is an error and not a condition that is silently false.

use super::{
    datum::Datum,
    entity,
    expr::{Binary, Expr, Variable},
    view, world,
};
use crate::{
    facts::FINDING_KINDS,
    label::{Confidentiality, Integrity},
    resource::{Sink, Trust},
};

/// The entity types, in the order of [`super::slices`]' tables.
pub(super) const KINDS: [&str; 13] = [
    "Action", "Agent", "Gateway", "Group", "Model", "Prompt", "Resource", "Role", "Server", "Service",
    "Tenant", "Tool", "User",
];

/// What is wrong with a name in this expression, if anything: the message, the word and the remedy.
pub(super) fn misnamed(expr: &Expr) -> Option<(String, String, String)> {
    match expr {
        Expr::Get(of, name) => unknown_field(of, name),
        Expr::Has(of, path) => path.first().and_then(|name| unknown_field(of, name)),
        Expr::Binary(Binary::Equal | Binary::NotEqual, sides) => {
            unknown_word(&sides.0, &sides.1).or_else(|| unknown_word(&sides.1, &sides.0))
        }
        Expr::Binary(Binary::Contains | Binary::ContainsAll | Binary::ContainsAny, sides) => {
            unknown_word(&sides.0, &sides.1).or_else(|| unknown_word(&sides.1, &sides.0))
        }
        Expr::And(_)
        | Expr::Binary(..)
        | Expr::Constant(_)
        | Expr::If(_)
        | Expr::Is(..)
        | Expr::Like(..)
        | Expr::Or(_)
        | Expr::Record(_)
        | Expr::Remembered(_)
        | Expr::Set(_)
        | Expr::Unary(..)
        | Expr::Variable(_) => None,
    }
}

/// The nearest known name, if one is near enough to be meant.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|known| (distance(name, known), *known))
        .filter(|(distance, known)| *distance <= known.len() / 3 + 1)
        .min()
        .map(|(_, known)| known)
}

fn unknown_field(of: &Expr, name: &str) -> Option<(String, String, String)> {
    let (owner, known) = closed_record(of)?;
    if known.contains(&name) {
        return None;
    }
    let remedy = match nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("it has {}", known.join(", ")),
    };
    Some((format!("`{owner}` has no `{name}`"), name.to_owned(), remedy))
}

/// The names of an expression's fields, where it is one whose fields are all known.
fn closed_record(of: &Expr) -> Option<(&'static str, &'static [&'static str])> {
    match of {
        Expr::Variable(Variable::Context) => Some(("context", &world::CONTEXT)),
        Expr::Variable(Variable::Resource) => Some(("resource", &entity::RESOURCE)),
        Expr::Get(of, field) if of.is_context() => match field.as_ref() {
            "labels" => Some(("context.labels", &view::LABELS)),
            "sources" => Some(("context.sources", &view::SOURCES)),
            "tls" => Some(("context.tls", &view::TLS)),
            _ => None,
        },
        Expr::And(_)
        | Expr::Binary(..)
        | Expr::Constant(_)
        | Expr::Get(..)
        | Expr::Has(..)
        | Expr::If(_)
        | Expr::Is(..)
        | Expr::Like(..)
        | Expr::Or(_)
        | Expr::Record(_)
        | Expr::Remembered(_)
        | Expr::Set(_)
        | Expr::Unary(..)
        | Expr::Variable(_) => None,
    }
}

/// Words compared with something that can only hold certain words.
fn unknown_word(path: &Expr, constant: &Expr) -> Option<(String, String, String)> {
    let known = closed(path)?;
    let Expr::Constant(constant) = constant else {
        return None;
    };
    let words = if let Datum::Set(elements) = constant {
        elements
    } else {
        std::slice::from_ref(constant)
    };
    let word = words.iter().filter_map(word).find(|word| !known.contains(word))?;
    let message = format!("`{word}` is never the case here");
    let remedy = match nearest(word, &known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("the words are {}", known.join(", ")),
    };
    Some((message, word.to_owned(), remedy))
}

pub(super) fn word<'d>(datum: &'d Datum<'_>) -> Option<&'d str> {
    if let Datum::Text(text) = datum {
        return Some(text);
    }
    None
}

/// The words an expression can have for its value or among its elements, where they are few.
fn closed(path: &Expr) -> Option<Vec<&'static str>> {
    let Expr::Get(of, name) = path else {
        return None;
    };
    let (owner, _) = closed_record(of)?;
    match (owner, name.as_ref()) {
        ("context", "findings") => Some(FINDING_KINDS.to_vec()),
        ("context.labels" | "resource", "confidentiality") => {
            Some(Confidentiality::ALL.map(Confidentiality::as_str).to_vec())
        }
        ("context.labels", "integrity") => Some(Integrity::ALL.map(Integrity::as_str).to_vec()),
        ("resource", "sink") => Some(Sink::ALL.map(Sink::as_str).to_vec()),
        ("resource", "trust") => Some(Trust::ALL.map(Trust::as_str).to_vec()),
        _ => None,
    }
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let substituted = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = substituted.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
