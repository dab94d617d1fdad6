//! Reading an entry that was stored.

use thiserror::Error;
use wire::{
    bounds::JsonBounds,
    json::{Document, JsonError, Keys, Kind as JsonKind, Node},
};

use super::{Decision, ENTRY_BYTES_MAX, Entry, Finding, Kind, Labels, Principal, SCHEMA_VERSION, Tls, Value};

/// What an entry may be. We wrote it, but whoever can edit the files may have written it since.
pub(super) const BOUNDS: JsonBounds = JsonBounds {
    text_bytes_max: ENTRY_BYTES_MAX,
    depth_max: 8,
    values_max: 4_096,
    key_bytes_max: 1_024,
    number_bytes_max: 32,
};

/// Why a stored entry cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum EntryError {
    /// Not strict JSON.
    #[error("the entry is not JSON: {0}")]
    Json(#[from] JsonError),
    /// A member that must be there is missing or of the wrong type.
    #[error("the entry has no usable `{0}`")]
    Member(&'static str),
    /// Written by a newer program.
    #[error("the entry has schema version {0}, this program reads up to {SCHEMA_VERSION}; use a newer one")]
    Newer(u64),
}

impl Entry {
    /// Reads a stored entry. Members this version does not know are passed over.
    ///
    /// # Errors
    /// When the text is not that of an entry, or of a newer schema.
    pub fn read(bytes: &[u8]) -> Result<Self, EntryError> {
        let document = document(bytes)?;
        let node = document.root();
        let version = number(node, "v").ok_or(EntryError::Member("v"))?;
        if version > SCHEMA_VERSION {
            return Err(EntryError::Newer(version));
        }
        let time_ms = number(node, "time").ok_or(EntryError::Member("time"))?;
        let kind = text(node, "kind").and_then(|kind| Kind::from_text(&kind));
        Ok(Self {
            time_ms,
            kind: kind.ok_or(EntryError::Member("kind"))?,
            call: text(node, "call"),
            principal: principal(node),
            purpose: text(node, "purpose"),
            context: text(node, "context"),
            action: text(node, "action"),
            method: text(node, "method"),
            server: text(node, "server"),
            tool: text(node, "tool"),
            decision: text(node, "decision").and_then(|decision| Decision::from_text(&decision)),
            code: text(node, "code"),
            stage: text(node, "stage"),
            fault: text(node, "fault"),
            reason: text(node, "reason"),
            obligations: texts(node, "obligations"),
            rules: texts(node, "rules"),
            findings: elements(node, "findings").filter_map(finding).collect(),
            labels: labels(node),
            sources: texts(node, "sources"),
            subjects: texts(node, "subjects"),
            policy: text(node, "policy"),
            pin: text(node, "pin"),
            tls: tls(node),
            args_digest: text(node, "args_digest"),
            result_digest: text(node, "result_digest"),
            revision: text(node, "revision"),
            transport: text(node, "transport"),
            ms: number(node, "ms"),
            detail: node
                .get("detail")
                .into_iter()
                .flat_map(Node::members)
                .filter_map(|(key, member)| Some((key.as_str()?.into_owned(), value(member)?)))
                .collect(),
            truncated: node.get("truncated").and_then(Node::as_bool) == Some(true),
        })
    }
}

/// The entry as JSON, for whoever wants more than the typed facts.
pub(super) fn document(bytes: &[u8]) -> Result<Document, JsonError> {
    Document::parse(bytes.to_vec(), Keys::Exact, &BOUNDS)
}

fn principal(node: Node<'_>) -> Principal {
    node.get("principal")
        .map_or_else(Principal::default, |node| Principal {
            user: text(node, "user"),
            agent: text(node, "agent"),
            model: text(node, "model"),
            tenant: text(node, "tenant"),
        })
}

fn labels(node: Node<'_>) -> Labels {
    node.get("labels").map_or_else(Labels::default, |node| Labels {
        integrity: text(node, "integrity"),
        confidentiality: text(node, "confidentiality"),
        categories: texts(node, "categories"),
    })
}

fn tls(node: Node<'_>) -> Tls {
    node.get("tls").map_or_else(Tls::default, |node| Tls {
        version: text(node, "version"),
        group: text(node, "group"),
    })
}

fn finding(node: Node<'_>) -> Option<Finding> {
    Some(Finding {
        kind: text(node, "kind")?,
        detector: text(node, "detector"),
        location: text(node, "location"),
        score_millis: node.get("score").and_then(Node::as_number).and_then(|score| {
            let millis = score.as_f64() * 1000.0;
            (0..=1000).find(|candidate| (f64::from(*candidate) - millis).abs() < 0.5)
        }),
    })
}

fn value(node: Node<'_>) -> Option<Value> {
    match node.kind() {
        JsonKind::Number => node.as_number()?.as_i64().map(Value::Number),
        JsonKind::String => Some(Value::Text(node.as_str()?.into_owned())),
        JsonKind::Array | JsonKind::Bool | JsonKind::Null | JsonKind::Object => None,
    }
}

fn text(node: Node<'_>, key: &str) -> Option<String> {
    Some(node.get(key)?.as_str()?.into_owned())
}

fn number(node: Node<'_>, key: &str) -> Option<u64> {
    node.get(key)?.as_number()?.as_u64()
}

fn elements<'d>(node: Node<'d>, key: &str) -> impl Iterator<Item = Node<'d>> {
    node.get(key).into_iter().flat_map(Node::elements)
}

fn texts(node: Node<'_>, key: &str) -> Vec<String> {
    elements(node, key)
        .filter_map(|element| Some(element.as_str()?.into_owned()))
        .collect()
}
