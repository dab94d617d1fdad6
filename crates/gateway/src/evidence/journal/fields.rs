//! How what is known of a message becomes the fields of an entry.

use std::collections::HashSet;

use identity::proof::Binding;
use inspect::Part;
use pipeline::{Arrival, Body, Known, Refusal, Reply, Resolution, ports::Caller};
use records::ledger::{
    Decision, Entry,
    entry::{Finding, Labels, Principal, Tls, Value},
};
use wire::{
    json::{Node, Pointer},
    jsonrpc,
    mcp::{Direction, Target, meta, target},
};

/// Most characters kept of what a caller named.
const NAMED_CHARS_MAX: usize = 200;

pub(super) fn protection(tls: Option<&pipeline::Tls>) -> Tls {
    Tls {
        version: tls.map(|tls| tls.version.to_owned()),
        group: tls.map(|tls| tls.group.to_owned()),
    }
}

/// What only some calls have.
pub(super) fn details(arrival: &Arrival, known: &Known, entry: &mut Entry) {
    let tls = arrival.via.tls.as_ref();
    let changed: Vec<&str> = known
        .revealed
        .iter()
        .chain(&known.changed)
        .map(String::as_str)
        .collect();
    let changed = (!changed.is_empty()).then(|| changed.join("; "));
    let direction = (arrival.direction == Direction::ToClient).then(|| "to-client".to_owned());
    let item = known.resolution.as_ref().and_then(|resolution| {
        let manifest = &resolution.server()?.server().manifest;
        manifest.tool(resolution.item()?.name()).sink
    });
    let key = known
        .caller
        .as_ref()
        .and_then(|caller| match caller.principal.binding() {
            Some(Binding::Key(key)) => Some(key.to_string()),
            Some(Binding::Certificate(_)) | None => None,
        });
    let model = known.caller.as_ref().and_then(|caller| caller.principal.model());
    let certificate = tls.and_then(|tls| tls.certificate.as_ref());
    let upstream = known.upstream_tls.as_ref();
    let asked = known.resolution.as_ref().and_then(Resolution::model);
    let tokens = known.tokens;
    for (name, text) in [
        ("asked_model", asked.map(|model| model.name.clone())),
        ("tokens_in", tokens.map(|tokens| tokens.input.to_string())),
        ("tokens_out", tokens.map(|tokens| tokens.output.to_string())),
        ("upstream_tls", upstream.map(|tls| tls.version.to_owned())),
        ("upstream_group", upstream.map(|tls| tls.group.to_owned())),
        (
            "upstream_certificate",
            upstream
                .and_then(|tls| tls.certificate.as_ref())
                .map(ToString::to_string),
        ),
        ("peer", arrival.via.peer.clone()),
        ("certificate", certificate.map(|digest| digest.to_string())),
        (
            "workload",
            tls.and_then(|tls| tls.workload.as_ref())
                .map(|workload| workload.id().to_string()),
        ),
        ("key", key),
        ("model_version", model.and_then(|model| model.version.clone())),
        (
            "model_source",
            model.map(|model| model.source.as_str().to_owned()),
        ),
        ("trace", trace(arrival)),
        ("approval", known.approval.clone()),
        ("would_refuse", known.would_refuse.clone()),
        (
            "judge",
            (!known.judged.is_empty()).then(|| known.judged.join("; ")),
        ),
        ("changed", changed),
        ("direction", direction),
        (
            "sink",
            item.or(asked.map(|model| model.sink))
                .map(|sink| sink.as_str().to_owned()),
        ),
    ] {
        if let Some(text) = text {
            entry.detail.insert(name.into(), Value::Text(text));
        }
    }
}

/// What was released, as it was written; whole lists of our own follow from the registry.
pub(super) fn released(reply: &Reply) -> Option<Vec<u8>> {
    match &reply.body {
        Body::Foreign(response, edits, _) => {
            let (jsonrpc::Answer::Result(said) | jsonrpc::Answer::Error(said)) = response.answer();
            let mut writer = wire::json::Writer::default();
            writer.edited(said, edits);
            Some(writer.into_bytes())
        }
        Body::Accepted | Body::Listed(_) | Body::Own(_) => None,
    }
}

/// The tenant of whoever asks; empty where there is but one.
pub(super) fn tenant(known: &Known) -> &str {
    let parties = known.caller.iter().flat_map(|caller| caller.subject.parties());
    parties
        .filter_map(|party| party.tenant.as_deref())
        .next()
        .unwrap_or_default()
}

/// What the caller named, which is told where it was not resolved.
pub(super) fn named(arrival: &Arrival) -> Option<String> {
    let named = match target(&arrival.message) {
        Ok(Target::Tool { name, .. } | Target::Prompt { name, .. } | Target::Model { name }) => name,
        Ok(Target::Resource { uri }) => uri,
        Ok(Target::Completion { .. } | Target::None | Target::Task { .. }) | Err(_) => return None,
    };
    Some(shortened(named.into_owned()))
}

fn shortened(mut name: String) -> String {
    if let Some((end, _)) = name.char_indices().nth(NAMED_CHARS_MAX) {
        name.truncate(end);
    }
    name
}

/// The caller's trace, which the upstream is told, too.
fn trace(arrival: &Arrival) -> Option<String> {
    let parent = arrival
        .message
        .params()
        .and_then(meta::of)?
        .get(meta::TRACEPARENT)?;
    meta::trace_id(&parent.as_str()?).map(str::to_owned)
}

pub(super) fn arguments(arrival: &Arrival) -> Option<Node<'_>> {
    match target(&arrival.message) {
        Ok(Target::Tool { arguments, .. } | Target::Prompt { arguments, .. }) => arguments,
        Ok(
            Target::Completion { .. }
            | Target::Model { .. }
            | Target::None
            | Target::Resource { .. }
            | Target::Task { .. },
        )
        | Err(_) => arrival.message.params(),
    }
}

pub(super) fn refused(entry: &mut Entry, refusal: &Refusal) {
    entry.decision = Some(Decision::Refuse);
    if let Some(approval) = &refusal.objection().approval {
        entry.decision = Some(Decision::Hold);
        entry
            .detail
            .insert("approval".into(), Value::Text(approval.to_string()));
    }
    entry.code = Some(refusal.code().name.to_owned());
    entry.stage = Some(refusal.stage().to_owned());
    entry.fault = Some(refusal.code().fault.as_str().to_owned());
    entry.reason = Some(refusal.objection().inside.clone());
}

pub(super) fn target_of(resolution: &Resolution, entry: &mut Entry) {
    entry.server = resolution.server_name().map(|name| name.as_str().to_owned());
    entry.pin = resolution.pin().map(|pin| pin.to_string());
    entry.tool = match (resolution.item(), resolution.resource()) {
        (Some(item), _) => Some(item.name().to_owned()),
        (None, policy::Resource::Resource { uri, .. }) => Some(uri.clone()),
        (None, _) => None,
    };
}

pub(super) fn principal(caller: &Caller) -> Principal {
    let proven = &caller.principal;
    let actor = proven.actor();
    let is_user = actor.kind == identity::ActorKind::User;
    Principal {
        user: if is_user {
            Some(actor.name.clone())
        } else {
            proven.for_user().map(str::to_owned)
        },
        agent: (!is_user).then(|| actor.name.clone()),
        model: proven.model().map(|model| model.name.clone()),
        tenant: proven.tenant().map(str::to_owned),
    }
}

pub(super) fn labels(labels: &policy::Labels) -> Labels {
    Labels {
        integrity: Some(labels.integrity.as_str().to_owned()),
        confidentiality: Some(labels.confidentiality.as_str().to_owned()),
        categories: labels.categories.iter().cloned().collect(),
    }
}

/// One more than an entry has room for, by which the entry says that there were more.
const FINDINGS_MAX: usize = 33;

pub(super) fn findings(known: &Known) -> Vec<Finding> {
    let found = || {
        let both = known.findings.iter().chain(&known.answer_findings);
        both.flat_map(|findings| findings.iter())
    };
    // A name in which something was found is not written down: the place ends above it.
    let telling: HashSet<&str> = found()
        .filter(|finding| finding.location.part == Part::Key)
        .map(|finding| finding.location.pointer.as_str())
        .collect();
    found()
        .take(FINDINGS_MAX)
        .map(|finding| Finding {
            kind: finding.kind.as_str().to_owned(),
            detector: Some(finding.detector.to_string()),
            location: Some(above(&finding.location.pointer, &telling).to_string()),
            score_millis: Some(millis(finding.score.get())),
        })
        .collect()
}

fn above(place: &Pointer, telling: &HashSet<&str>) -> Pointer {
    let text = place.as_str();
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
    let mut above = ends.filter_map(|end| text.get(..end));
    let highest = above.find(|name| telling.contains(name)).and_then(Pointer::parse);
    highest.map_or_else(|| place.clone(), |name| name.parent())
}

/// A score from 0 to 1 in thousandths.
fn millis(score: f32) -> u16 {
    format!("{:.0}", score * 1000.0).parse().unwrap_or(1000)
}

pub(super) fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

/// Labels in words.
pub(super) fn words_of(labels: &policy::Labels) -> String {
    let words = [labels.integrity.as_str(), labels.confidentiality.as_str()];
    let categories = labels.categories.iter().map(String::as_str);
    words.into_iter().chain(categories).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use inspect::{FindingKind, Findings, Location, Score};

    use super::*;

    /// Regression: of thousands of findings each place was written down, of which an entry keeps 32.
    #[test]
    fn no_more_findings_are_written_down_than_an_entry_keeps() {
        let finding = |place: u32, part, pointer: &str| inspect::Finding {
            kind: FindingKind::Personal,
            detector: "personal/email".into(),
            location: Location {
                pointer: Pointer::parse(pointer).unwrap(),
                part,
                place,
                span: 0..1,
            },
            score: Score::CERTAIN,
            note: "".into(),
        };
        let mut all: Vec<_> = (2..4_000)
            .map(|n| finding(n, Part::Value, "/a/ann@x.org/0"))
            .collect();
        all.push(finding(1, Part::Key, "/a/ann@x.org"));
        let known = Known {
            findings: Some(Arc::new(Findings::new(all))),
            ..Known::default()
        };
        let written = findings(&known);
        assert_eq!(written.len(), 33);
        assert!(written.iter().all(|one| one.location.as_deref() == Some("/a")));
    }
}
