//! Records and sets of a call that are only looked into where a rule looks.

use std::{borrow::Cow, collections::BTreeSet};

use wire::json::Node;

use super::{ArgumentType, Value, datum::Datum, evaluate::Failure};
use crate::{
    facts::{Source, TlsFacts},
    label::Labels,
};

pub(super) const LABELS: [&str; 4] = ["categories", "confidentiality", "integrity", "level"];
pub(super) const TLS: [&str; 3] = ["group", "pq", "version"];
pub(super) const SOURCES: [&str; 5] = ["arguments", "servers", "tainted", "tools", "untrusted"];

/// A record or set that is only looked into where a rule looks.
#[derive(Clone, Copy, Debug)]
pub(super) enum View<'a> {
    Configured(&'a Value),
    Context,
    Findings(&'a BTreeSet<&'static str>),
    Labels(&'a Labels),
    Object(Node<'a>, Option<&'a ArgumentType>),
    Sources(&'a [Source]),
    Tls(Option<TlsFacts<'a>>),
    Words(&'a BTreeSet<String>),
}

/// A value or the way to one.
#[derive(Clone, Debug)]
pub(super) enum Seen<'a> {
    Datum(Datum<'a>),
    View(View<'a>),
}

impl<'a> View<'a> {
    /// Whether this is a record; otherwise it is a set.
    pub(super) fn is_record(self) -> bool {
        match self {
            Self::Configured(value) => matches!(value, Value::Record(_)),
            Self::Context | Self::Labels(_) | Self::Object(..) | Self::Sources(_) | Self::Tls(_) => true,
            Self::Findings(_) | Self::Words(_) => false,
        }
    }
}

impl<'a> Seen<'a> {
    pub(super) fn configured(value: &'a Value) -> Self {
        match value {
            Value::Record(_) | Value::Set(_) => Self::View(View::Configured(value)),
            Value::Bool(_) | Value::Decimal(_) | Value::Long(_) | Value::String(_) => {
                Self::Datum(Datum::of(value))
            }
        }
    }
}

pub(super) fn labels_field<'a>(labels: &'a Labels, name: &str) -> Option<Seen<'a>> {
    Some(Seen::Datum(match name {
        "categories" => return Some(Seen::View(View::Words(&labels.categories))),
        "confidentiality" => Datum::text(labels.confidentiality.as_str()),
        "integrity" => Datum::text(labels.integrity.as_str()),
        "level" => Datum::Long(labels.confidentiality.level()),
        _ => return None,
    }))
}

/// Without TLS, as over stdio, the texts are empty.
pub(super) fn tls_field<'a>(tls: Option<TlsFacts<'a>>, name: &str) -> Option<Seen<'a>> {
    let group = tls.map_or("", |tls| tls.group);
    Some(Seen::Datum(match name {
        "group" => Datum::text(group),
        "pq" => Datum::Bool(group.contains("MLKEM")),
        "version" => Datum::text(tls.map_or("", |tls| tls.version)),
        _ => return None,
    }))
}

pub(super) fn sources_field<'a>(sources: &'a [Source], name: &str) -> Result<Option<Seen<'a>>, Failure> {
    let untrusted = || sources.iter().filter(|source| !source.trusted);
    Ok(Some(Seen::Datum(match name {
        "arguments" => named(sources.iter())?,
        "servers" => Datum::set(sources.iter().map(|source| Datum::text(&source.server))),
        "tainted" => named(untrusted())?,
        "tools" => Datum::set(
            sources
                .iter()
                .map(|source| Datum::Text(Cow::Owned(format!("{}__{}", source.server, source.tool)))),
        ),
        "untrusted" => Datum::set(untrusted().map(|source| Datum::text(&source.server))),
        _ => return Ok(None),
    })))
}

/// The arguments. Where they could not all be told there is no answer, however a rule asks: a set without some would pass
/// for all of them.
fn named<'a>(sources: impl Iterator<Item = &'a Source>) -> Result<Datum<'a>, Failure> {
    let named = sources.map(|source| source.argument.as_deref().map(Datum::text));
    named
        .collect::<Option<Vec<_>>>()
        .map(Datum::set)
        .ok_or(Failure::Untold)
}
