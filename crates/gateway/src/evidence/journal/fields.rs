//! How what is known of a message becomes the fields of an entry.

use std::{borrow::Cow, collections::HashSet};

use identity::proof::Binding;
use inspect::Part;
use pipeline::{Arrival, Body, Known, Refusal, Reply, Resolution, ports::Caller};
use records::ledger::{
    Decision, Said,
    entry::{Finding, Labels, Principal, Tls, Value},
};
use wire::{
    json::{Node, Pointer},
    jsonrpc,
    mcp::{Direction, Target, meta, target},
};

/// Most characters kept of what a caller named.
const NAMED_CHARS_MAX: usize = 200;

pub(super) fn protection(tls: Option<&pipeline::Tls>) -> Tls<Cow<'static, str>> {
    Tls {
        version: tls.map(|tls| tls.version.into()),
        group: tls.map(|tls| tls.group.into()),
    }
}

/// What only some calls have.
pub(super) fn details<'k>(arrival: &'k Arrival, known: &'k Known, entry: &mut Said<'k>) {
    let mut tell = |name: &'static str, text: Option<Cow<'k, str>>| {
        if let Some(text) = text {
            entry.detail.insert(name.into(), Value::Text(text));
        }
    };
    let model = known.resolution.as_ref().and_then(Resolution::model);
    tell("asked_model", model.map(|model| model.name.as_str().into()));
    let tokens = known.tokens;
    tell("tokens_in", tokens.map(|tokens| tokens.input.to_string().into()));
    tell(
        "tokens_out",
        tokens.map(|tokens| tokens.output.to_string().into()),
    );
    let upstream = known.upstream_tls.as_ref();
    tell("upstream_tls", upstream.map(|tls| tls.version.into()));
    tell("upstream_group", upstream.map(|tls| tls.group.into()));
    let certificate = |tls: &pipeline::Tls| Some(tls.certificate.as_ref()?.to_string().into());
    tell("upstream_certificate", upstream.and_then(certificate));
    tell("peer", arrival.via.peer.as_deref().map(Cow::from));
    let tls = arrival.via.tls.as_ref();
    tell("certificate", tls.and_then(certificate));
    let workload = tls.and_then(|tls| tls.workload.as_ref());
    tell(
        "workload",
        workload.map(|workload| workload.id().to_string().into()),
    );
    if let Some(caller) = &known.caller {
        if let Some(Binding::Key(key)) = caller.principal.binding() {
            tell("key", Some(key.to_string().into()));
        }
        if let Some(model) = caller.principal.model() {
            tell("model_version", model.version.as_deref().map(Cow::from));
            tell("model_source", Some(model.source.as_str().into()));
        }
    }
    tell("trace", trace(arrival));
    tell("approval", known.approval.as_deref().map(Cow::from));
    tell("would_refuse", known.would_refuse.as_deref().map(Cow::from));
    tell("judge", joined(known.judged.iter()));
    tell("changed", joined(known.revealed.iter().chain(&known.changed)));
    let to_client = arrival.direction == Direction::ToClient;
    tell("direction", to_client.then_some("to-client".into()));
    let tool = known.resolution.as_ref().and_then(|resolution| {
        let manifest = &resolution.server()?.server().manifest;
        manifest.tool(resolution.item()?.name()).sink
    });
    let sink = tool.or(model.map(|model| model.sink));
    tell("sink", sink.map(|sink| sink.as_str().into()));
}

/// Lines as one text; none where there is no line.
fn joined<'k>(lines: impl Iterator<Item = &'k String>) -> Option<Cow<'k, str>> {
    let lines: Vec<&str> = lines.map(String::as_str).collect();
    (!lines.is_empty()).then(|| lines.join("; ").into())
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
pub(super) fn named(arrival: &Arrival) -> Option<Cow<'_, str>> {
    let named = match target(&arrival.message) {
        Ok(Target::Tool { name, .. } | Target::Prompt { name, .. } | Target::Model { name }) => name,
        Ok(Target::Resource { uri }) => uri,
        Ok(Target::Completion { .. } | Target::None | Target::Task { .. }) | Err(_) => return None,
    };
    let Some((end, _)) = named.char_indices().nth(NAMED_CHARS_MAX) else {
        return Some(named);
    };
    named.get(..end).map(|named| named.to_owned().into())
}

/// The caller's trace, which the upstream is told, too.
fn trace(arrival: &Arrival) -> Option<Cow<'_, str>> {
    let parent = arrival
        .message
        .params()
        .and_then(meta::of)?
        .get(meta::TRACEPARENT)?;
    meta::trace_id(&parent.as_str()?).map(|id| id.to_owned().into())
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

pub(super) fn refused<'k>(entry: &mut Said<'k>, refusal: &'k Refusal) {
    entry.decision = Some(Decision::Refuse);
    if let Some(approval) = &refusal.objection().approval {
        entry.decision = Some(Decision::Hold);
        let approval = Value::Text(approval.to_string().into());
        entry.detail.insert("approval".into(), approval);
    }
    entry.code = Some(refusal.code().name.into());
    entry.stage = Some(refusal.stage().into());
    entry.fault = Some(refusal.code().fault.as_str().into());
    entry.reason = Some(refusal.objection().inside.as_str().into());
}

pub(super) fn target_of<'k>(resolution: &'k Resolution, entry: &mut Said<'k>) {
    entry.server = resolution.server_name().map(|name| name.as_str().into());
    entry.pin = resolution.pin().map(|pin| pin.to_string().into());
    entry.tool = match (resolution.item(), resolution.resource()) {
        (Some(item), _) => Some(item.name().into()),
        (None, policy::Resource::Resource { uri, .. }) => Some(uri.into()),
        (None, _) => None,
    };
}

pub(super) fn principal(caller: &Caller) -> Principal<Cow<'_, str>> {
    let proven = &caller.principal;
    let actor = proven.actor();
    let name = Some(Cow::from(&actor.name));
    let (user, agent) = match actor.kind {
        identity::ActorKind::User => (name, None),
        identity::ActorKind::Agent | identity::ActorKind::Service => (proven.for_user().map(Cow::from), name),
    };
    Principal {
        user,
        agent,
        model: proven.model().map(|model| model.name.as_str().into()),
        tenant: proven.tenant().map(Cow::from),
    }
}

pub(super) fn labels<T: From<&'static str> + From<String>>(labels: &policy::Labels) -> Labels<T> {
    Labels {
        integrity: Some(labels.integrity.as_str().into()),
        confidentiality: Some(labels.confidentiality.as_str().into()),
        categories: labels.categories.iter().cloned().map(T::from).collect(),
    }
}

/// One more than an entry has room for, by which the entry says that there were more.
const FINDINGS_MAX: usize = 33;

pub(super) fn findings(known: &Known) -> Vec<Finding<Cow<'_, str>>> {
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
            kind: finding.kind.as_str().into(),
            detector: Some((&*finding.detector).into()),
            location: Some(above(&finding.location.pointer, &telling).to_string().into()),
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
