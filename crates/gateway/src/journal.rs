//! The journal: what happened, as entries of the ledger. The only file that knows both the road and the
//! ledger's own types.

use std::sync::{Arc, PoisonError, RwLock};

use inspect::Part;
use pipeline::{
    Arrival, Body, Dossier, Known, Passed, Received, Refusal, Reply, Resolution,
    decide::Approved,
    ports::{Caller, Stranger},
};
use policy::{Action, registry::Pin};
use records::{
    digest::Digester,
    keys::Secret,
    ledger::{
        Decision, Entry, Kind, Ledger, Receipt, Unavailable,
        entry::{Finding, Labels, Principal, Tls, Value},
    },
};
use wire::{
    json::{Node, Pointer, canonical},
    jsonrpc,
    mcp::{Direction, ServerName, Target, meta, split_federated, target},
};

use crate::{
    ambient::Ambient,
    concerned::SubjectDigests,
    engines::Request,
    events::Backlog,
    incidents::{About, Seen, Sign, Signal, Watch},
    metrics::Metrics,
    payloads::{Item, Part as PayloadPart, Payloads},
};

/// See the module. Clones write the same ledger.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    ledger: Ledger,
    digests: Digests,
    payloads: Payloads,
    backlog: Backlog,
    metrics: Metrics,
    ambient: Ambient,
    watch: Watch,
}

/// What makes keyed digests. They change together when their key is rotated.
#[derive(Clone, Debug)]
pub(crate) struct Digests(Arc<RwLock<(Digester, SubjectDigests)>>);

impl Digests {
    pub(crate) fn new(values: Digester, people: SubjectDigests) -> Self {
        Self(Arc::new(RwLock::new((values, people))))
    }

    /// Makes them with another key from now on.
    pub(crate) fn replace(&self, values: Digester, people: SubjectDigests) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (values, people);
    }

    /// The digest of a value.
    pub(crate) fn text(&self, bytes: &[u8]) -> String {
        let both = self.0.read().unwrap_or_else(PoisonError::into_inner);
        both.0.text(bytes)
    }

    /// What stands for people.
    pub(crate) fn people(&self) -> SubjectDigests {
        let both = self.0.read().unwrap_or_else(PoisonError::into_inner);
        both.1.clone()
    }
}

/// The open case of one message. Dropped unclosed, it records that the message was abandoned.
#[derive(Debug)]
pub(crate) struct OpenCase {
    journal: Journal,
    begun: Begun,
    dossier: Arc<Dossier>,
    closed: bool,
}

/// What is known of a message from the start.
#[derive(Debug)]
struct Begun {
    call: String,
    method: Option<&'static str>,
    action: Option<&'static str>,
    transport: &'static str,
    revision: &'static str,
    direction: Direction,
    peer: Option<String>,
    tls: Option<pipeline::Tls>,
    received_ms: i64,
    /// What the caller named, until it is resolved.
    named: Option<String>,
    /// The caller's trace, which the upstream is told, too.
    trace: Option<String>,
}

impl Journal {
    pub(crate) fn new(
        ledger: Ledger,
        digests: Digests,
        payloads: Payloads,
        ambient: Ambient,
        watch: Watch,
    ) -> Self {
        Self {
            ledger,
            digests,
            payloads,
            backlog: Backlog::default(),
            metrics: Metrics::default(),
            ambient,
            watch,
        }
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Receivers of events whom calls have to wait for.
    pub(crate) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// What makes keyed digests.
    pub(crate) fn digests(&self) -> &Digests {
        &self.digests
    }

    /// What is kept of calls besides entries.
    pub(crate) fn payloads(&self) -> &Payloads {
        &self.payloads
    }

    /// The ledger, for reading.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Opens the case of a message.
    pub(crate) fn open_case(&self, call: &Received) -> OpenCase {
        OpenCase {
            journal: self.clone(),
            begun: Begun::of(call.arrival()),
            dossier: Arc::clone(call.dossier()),
            closed: false,
        }
    }

    /// Records an intent; returns its place once it is durable.
    pub(crate) async fn intent(&self, call: &Passed<Approved>) -> Result<u64, Unavailable> {
        let arrival = call.arrival();
        let known = call.dossier().read();
        let mut entry = self.entry(Kind::Intent, &Begun::of(arrival), &known);
        if let Some(arguments) = arguments(arrival) {
            let arguments = canonical(arguments);
            entry.args_digest = Some(self.digests.text(&arguments));
            self.keep(&entry, &known, PayloadPart::Arguments, arguments)
                .await?;
        }
        if self.backlog.is_too_long() {
            let why = "a receiver of events that must not fall behind has fallen behind";
            return Err(Unavailable::Disk(why.to_owned()));
        }
        let begun = std::time::Instant::now();
        let receipt: Receipt = self.ledger.append_durable(&entry).await?;
        self.metrics.durable(begun.elapsed());
        Ok(receipt.index)
    }

    /// Keeps a payload of a call of some server's, where payloads are kept.
    async fn keep(
        &self,
        entry: &Entry,
        known: &Known,
        part: PayloadPart,
        bytes: Vec<u8>,
    ) -> Result<(), Unavailable> {
        let Some(call) = entry.call.clone().filter(|_| entry.server.is_some()) else {
            return Ok(());
        };
        if !self.payloads.are_kept() {
            return Ok(());
        }
        let item = Item {
            call,
            part,
            time_ms: entry.time_ms,
            tenant: tenant(known).to_owned(),
            people: known
                .subjects
                .iter()
                .map(|person| person.as_str().to_owned())
                .collect(),
            subjects: entry.subjects.clone(),
            bytes: Secret::new(bytes),
        };
        if self.payloads.keep(item).await {
            Ok(())
        } else {
            Err(Unavailable::Disk(
                "the payload of the call cannot be kept".to_owned(),
            ))
        }
    }

    /// Records that somebody was turned away at the gate.
    pub(crate) async fn turned_away(&self, who: &Stranger, refusal: &Refusal) {
        let mut entry = Entry::new(unsigned(who.received_ms), Kind::Refusal);
        entry.call = Some(who.call.to_string());
        entry.transport = Some(who.via.transport.to_owned());
        entry.tls = protection(who.via.tls.as_ref());
        refused(&mut entry, refusal);
        entry.detail.insert("what".into(), Value::Text(who.what.clone()));
        if let Some(peer) = &who.via.peer {
            entry.detail.insert("peer".into(), Value::Text(peer.clone()));
        }
        self.metrics.ended(&entry);
        // Nothing was done, so nothing hangs on it; what cannot be written is counted as a gap.
        self.ledger.append_soon(&entry);
    }

    /// Records a change of the registry.
    pub(crate) fn registry(
        &self,
        server: &ServerName,
        item: Option<&str>,
        what: &str,
        reason: &str,
        approved: Option<Pin>,
        offered: Option<Pin>,
    ) {
        let mut entry = Entry::new(unsigned(self.ambient.now_ms()), Kind::Registry);
        entry.server = Some(server.to_string());
        entry.tool = item.map(str::to_owned);
        entry.action = Some(what.to_owned());
        entry.reason = Some(reason.to_owned());
        entry.pin = approved.map(|pin| pin.to_string());
        if let Some(offered) = offered.filter(|offered| Some(*offered) != approved) {
            entry
                .detail
                .insert("offered".into(), Value::Text(offered.to_string()));
        }
        self.ledger.append_soon(&entry);
    }

    /// Records where a boxed server connected to: the address, and the bytes it sent and received; or why not.
    pub(crate) fn egress(
        &self,
        server: &ServerName,
        (host, port): (&str, u16),
        done: Result<(&str, u64, u64), &str>,
    ) {
        let mut entry = Entry::new(unsigned(self.ambient.now_ms()), Kind::Egress);
        entry.server = Some(server.to_string());
        let host: String = host.chars().take(255).collect();
        entry
            .detail
            .insert("host".into(), Value::Text(format!("{host}:{port}")));
        match done {
            Ok((address, sent, received)) => {
                entry.action = Some("connected".to_owned());
                entry
                    .detail
                    .insert("address".into(), Value::Text(address.to_owned()));
                entry.detail.insert("sent".into(), Value::Text(sent.to_string()));
                entry
                    .detail
                    .insert("received".into(), Value::Text(received.to_string()));
            }
            Err(why) => {
                entry.action = Some("refused".to_owned());
                entry.reason = Some(why.to_owned());
            }
        }
        self.ledger.append_soon(&entry);
    }

    /// Records something that is not about a message: policy in force, a token issued, a session's end.
    pub(crate) fn note(&self, kind: Kind, action: &str, detail: &[(&str, String)]) {
        let mut entry = Entry::new(unsigned(self.ambient.now_ms()), kind);
        entry.action = Some(action.to_owned());
        for (name, text) in detail {
            entry.detail.insert((*name).to_owned(), Value::Text(text.clone()));
        }
        self.ledger.append_soon(&entry);
    }

    /// Records what became of a question to people. Durable when awaited.
    pub(crate) fn approval(
        &self,
        request: &Request,
        what: &str,
        decision: Decision,
        by: Option<&str>,
    ) -> impl Future<Output = Result<Receipt, Unavailable>> + use<> {
        let asked = &request.asked;
        let mut entry = Entry::new(unsigned(self.ambient.now_ms()), Kind::Approval);
        entry.call = Some(asked.call.clone());
        entry.principal = Principal {
            user: asked.requester.user.clone(),
            agent: asked.requester.agent.clone(),
            model: None,
            tenant: asked.requester.tenant.clone(),
        };
        entry.purpose.clone_from(&asked.purpose);
        entry.context = Some(asked.context.clone());
        entry.action = Some(what.to_owned());
        entry.server.clone_from(&asked.server);
        let own = split_federated(&asked.tool).map(|(_, own)| own);
        entry.tool = Some(own.unwrap_or(&asked.tool).to_owned());
        entry.decision = Some(decision);
        entry.policy = Some(asked.policy.clone());
        entry.pin.clone_from(&asked.pin);
        entry.args_digest = Some(self.digests.text(asked.args.as_bytes()));
        entry.sources = asked
            .sources
            .iter()
            .map(|source| format!("{}/{}", source.server, source.tool))
            .collect();
        let demands = asked.demands.iter();
        entry.obligations = demands
            .map(|demand| format!("approve {} {}", demand.by, demand.needed))
            .collect();
        let mut entry = entry
            .with("approval", request.id.clone())
            .with("binding", request.binding.clone());
        if let Some(by) = by {
            entry = entry.with("by", by);
        }
        if let Some(why) = request.denied.as_ref().and_then(|word| word.why.clone()) {
            entry.reason = Some(why);
        }
        self.ledger.append_durable(&entry)
    }

    /// Records that a person takes labels off a context. Durable when awaited.
    pub(crate) fn declassified(
        &self,
        context: &str,
        from: &policy::Labels,
        to: &policy::Labels,
        by: &str,
        why: &str,
    ) -> impl Future<Output = Result<Receipt, Unavailable>> + use<> {
        let mut entry = Entry::new(unsigned(self.ambient.now_ms()), Kind::Approval);
        entry.context = Some(context.to_owned());
        entry.action = Some("declassified".to_owned());
        entry.decision = Some(Decision::Permit);
        entry.reason = Some(why.to_owned());
        entry.labels = labels(to);
        let entry = entry.with("by", by).with("before", words_of(from));
        self.ledger.append_durable(&entry)
    }

    /// Has a call that ended counted, for the signals it may give.
    fn watch_over(&self, entry: &Entry, known: &Known) {
        let who = &entry.principal;
        let (Some(agent), Some(call)) = (who.agent.as_ref().or(who.user.as_ref()), &entry.call) else {
            return;
        };
        // What only observes lets pass what it would refuse, and it counts as refused all the same.
        let refused = known.would_refuse.as_ref().map(|_| "not-permitted");
        let code = entry.code.as_deref().filter(|code| *code != "ok");
        let tool = match (&entry.server, &entry.tool) {
            (Some(server), Some(tool)) => Some(format!("{server}__{tool}")),
            (None, Some(tool)) => Some(tool.clone()),
            (_, None) => None,
        };
        let now_ms = self.ambient.now_ms();
        let about = || About {
            agent: who.agent.clone(),
            user: who.user.clone(),
            server: entry.server.clone(),
            context: entry.context.clone(),
        };
        self.watch.saw(
            &Seen {
                agent,
                tool: tool.as_deref(),
                code: code.or(refused),
                untrusted: known.sources.iter().any(|source| !source.trusted),
                now_ms,
            },
            about,
            call,
        );
        if code == Some("target-changed")
            && let Some(server) = &entry.server
        {
            self.tampering(
                server,
                "a definition changed between its approval and a call",
                Some(call),
            );
        }
    }

    /// A server is not what was approved.
    pub(crate) fn tampering(&self, server: &str, what: &str, call: Option<&str>) {
        self.watch.give(Signal {
            sign: Sign::Tampering,
            what: what.to_owned(),
            about: About {
                server: Some(server.to_owned()),
                ..About::default()
            },
            call: call.map(str::to_owned),
            now_ms: self.ambient.now_ms(),
        });
    }

    /// An entry about what people do, still to be filled in and appended.
    pub(crate) fn about(&self, kind: Kind, what: &str) -> Entry {
        let mut entry = Entry::new(unsigned(self.ambient.now_ms()), kind);
        entry.action = Some(what.to_owned());
        entry
    }

    /// Records a finding that belongs to no call: noise from a server.
    pub(crate) fn noise(&self, server: &ServerName, what: &str) {
        let mut entry = Entry::new(unsigned(self.ambient.now_ms()), Kind::Finding);
        entry.server = Some(server.to_string());
        entry.reason = Some(what.to_owned());
        self.ledger.append_soon(&entry);
    }

    fn entry(&self, kind: Kind, begun: &Begun, known: &Known) -> Entry {
        let mut entry = Entry::new(unsigned(self.ambient.now_ms()), kind);
        entry.call = Some(begun.call.clone());
        entry.method = begun.method.map(str::to_owned);
        entry.action = begun.action.map(str::to_owned);
        entry.transport = Some(begun.transport.to_owned());
        entry.revision = Some(begun.revision.to_owned());
        entry.principal = known.caller.as_ref().map(principal).unwrap_or_default();
        entry.context = known.context.as_ref().map(|context| context.id().to_owned());
        entry.labels = known
            .context
            .as_ref()
            .map(|context| labels(&context.labels()))
            .unwrap_or_default();
        entry.purpose = known.purpose.as_ref().map(|purpose| purpose.to_string());
        entry.policy = known.policy.as_ref().map(|policy| policy.to_string());
        entry.rules = known.rules.iter().map(ToString::to_string).collect();
        entry.obligations = known
            .obligations
            .iter()
            .map(|obligation| format!("{obligation:?}"))
            .collect();
        entry.sources = known
            .sources
            .iter()
            .map(|source| format!("{}/{}", source.server, source.tool))
            .collect();
        let people = self.digests.people();
        let people = known
            .subjects
            .iter()
            .filter_map(|one| people.of(tenant(known), one));
        entry.subjects = people.collect();
        entry.findings = findings(known);
        match &known.resolution {
            Some(resolution) => target_of(resolution, &mut entry),
            None => entry.tool.clone_from(&begun.named),
        }
        entry.tls = protection(begun.tls.as_ref());
        details(begun, known, &mut entry);
        entry.decision = Some(if known.permitted {
            Decision::Permit
        } else {
            Decision::Refuse
        });
        entry
    }
}

fn protection(tls: Option<&pipeline::Tls>) -> Tls {
    Tls {
        version: tls.map(|tls| tls.version.to_owned()),
        group: tls.map(|tls| tls.group.to_owned()),
    }
}

/// What only some calls have.
fn details(begun: &Begun, known: &Known, entry: &mut Entry) {
    let changed: Vec<&str> = known
        .revealed
        .iter()
        .chain(&known.changed)
        .map(String::as_str)
        .collect();
    let changed = (!changed.is_empty()).then(|| changed.join("; "));
    let direction = (begun.direction == Direction::ToClient).then(|| "to-client".to_owned());
    let item = known.resolution.as_ref().and_then(|resolution| {
        let manifest = &resolution.server()?.server().manifest;
        manifest.tool(resolution.item()?.name()).sink
    });
    let certificate = begun.tls.as_ref().and_then(|tls| tls.certificate.clone());
    for (name, text) in [
        ("peer", begun.peer.clone()),
        ("certificate", certificate.map(|digest| digest.to_string())),
        ("trace", begun.trace.clone()),
        ("approval", known.approval.clone()),
        ("would_refuse", known.would_refuse.clone()),
        ("changed", changed),
        ("direction", direction),
        ("sink", item.map(|sink| sink.as_str().to_owned())),
    ] {
        if let Some(text) = text {
            entry.detail.insert(name.into(), Value::Text(text));
        }
    }
}

impl OpenCase {
    /// Records the one outcome.
    pub(crate) async fn outcome(&mut self, outcome: &Result<Reply, Refusal>) -> Result<(), Unavailable> {
        self.closed = true;
        let known = self.dossier.read();
        let released = outcome.as_ref().ok().and_then(released);
        let mut entry = match outcome {
            Ok(_) => {
                let mut entry = self.journal.entry(Kind::Outcome, &self.begun, &known);
                entry.code = Some("ok".to_owned());
                if let Some(released) = &released {
                    entry.result_digest = Some(self.journal.digests.text(released));
                }
                entry
            }
            Err(refusal) => {
                // An intent has an outcome; what was refused before there was one is a refusal.
                let kind = if known.intent.is_some() {
                    Kind::Outcome
                } else {
                    Kind::Refusal
                };
                let mut entry = self.journal.entry(kind, &self.begun, &known);
                refused(&mut entry, refusal);
                entry
            }
        };
        entry.ms = Some(unsigned(self.journal.ambient.now_ms() - self.begun.received_ms));
        self.journal.watch_over(&entry, &known);
        self.journal.metrics.ended(&entry);
        self.journal.ledger.append(&entry).await?;
        match released {
            Some(released) => {
                let part = PayloadPart::Result;
                self.journal.keep(&entry, &known, part, released).await
            }
            None => Ok(()),
        }
    }
}

impl Drop for OpenCase {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let known = self.dossier.read();
        let kind = if known.intent.is_some() {
            Kind::Outcome
        } else {
            Kind::Refusal
        };
        let mut entry = self.journal.entry(kind, &self.begun, &known);
        entry.decision = Some(Decision::Refuse);
        entry.code = Some("abandoned".to_owned());
        entry.fault = Some("caller".to_owned());
        entry.reason = Some("the caller hung up, or the work was lost".to_owned());
        self.journal.metrics.ended(&entry);
        self.journal.ledger.append_soon(&entry);
    }
}

/// What was released, as it was written; whole lists of our own follow from the registry.
fn released(reply: &Reply) -> Option<Vec<u8>> {
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
fn tenant(known: &Known) -> &str {
    let parties = known.caller.iter().flat_map(|caller| caller.subject.parties());
    parties
        .filter_map(|party| party.tenant.as_deref())
        .next()
        .unwrap_or_default()
}

impl Begun {
    fn of(arrival: &Arrival) -> Self {
        let method = arrival.message.method();
        let named = match target(&arrival.message) {
            Ok(Target::Tool { name, .. } | Target::Prompt { name, .. }) => Some(name.into_owned()),
            Ok(Target::Resource { uri }) => Some(uri.into_owned()),
            Ok(Target::Completion { .. } | Target::None | Target::Task { .. }) | Err(_) => None,
        };
        Self {
            call: arrival.call.to_string(),
            method: method.map(wire::mcp::Method::name),
            action: method.map(|method| Action::of(method, arrival.direction).as_str()),
            transport: arrival.via.transport,
            revision: arrival.revision.as_str(),
            direction: arrival.direction,
            peer: arrival.via.peer.clone(),
            tls: arrival.via.tls.clone(),
            received_ms: arrival.received_ms,
            named: named.map(|name| name.chars().take(200).collect()),
            trace: trace(arrival),
        }
    }
}

fn trace(arrival: &Arrival) -> Option<String> {
    let parent = arrival
        .message
        .params()
        .and_then(meta::of)?
        .get(meta::TRACEPARENT)?;
    meta::trace_id(&parent.as_str()?).map(str::to_owned)
}

fn arguments(arrival: &Arrival) -> Option<Node<'_>> {
    match target(&arrival.message) {
        Ok(Target::Tool { arguments, .. } | Target::Prompt { arguments, .. }) => arguments,
        Ok(Target::Completion { .. } | Target::None | Target::Resource { .. } | Target::Task { .. })
        | Err(_) => arrival.message.params(),
    }
}

fn refused(entry: &mut Entry, refusal: &Refusal) {
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

fn target_of(resolution: &Resolution, entry: &mut Entry) {
    entry.server = resolution.server_name().map(ToString::to_string);
    entry.pin = resolution.pin().map(|pin| pin.to_string());
    entry.tool = match (resolution.item(), resolution.resource()) {
        (Some(item), _) => Some(item.name().to_owned()),
        (None, policy::Resource::Resource { uri, .. }) => Some(uri.clone()),
        (None, _) => None,
    };
}

fn principal(caller: &Caller) -> Principal {
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
        model: proven.model().map(str::to_owned),
        tenant: proven.tenant().map(str::to_owned),
    }
}

fn labels(labels: &policy::Labels) -> Labels {
    Labels {
        integrity: Some(labels.integrity.as_str().to_owned()),
        confidentiality: Some(labels.confidentiality.as_str().to_owned()),
        categories: labels.categories.iter().cloned().collect(),
    }
}

fn findings(known: &Known) -> Vec<Finding> {
    let found = || {
        let both = known.findings.iter().chain(&known.answer_findings);
        both.flat_map(|findings| findings.iter())
    };
    // A name in which something was found is not written down: the place ends above it.
    let telling: Vec<&Pointer> = found()
        .filter(|finding| finding.location.part == Part::Key)
        .map(|finding| &finding.location.pointer)
        .collect();
    found()
        .map(|finding| Finding {
            kind: finding.kind.as_str().to_owned(),
            detector: Some(finding.detector.to_string()),
            location: Some(above(&finding.location.pointer, &telling).to_string()),
            score_millis: Some(millis(finding.score.get())),
        })
        .collect()
}

fn above(place: &Pointer, telling: &[&Pointer]) -> Pointer {
    let within = |name: &&&Pointer| {
        let rest = place.as_str().strip_prefix(name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let highest = telling
        .iter()
        .filter(within)
        .min_by_key(|name| name.as_str().len());
    highest.map_or_else(|| place.clone(), |name| name.parent())
}

/// A score from 0 to 1 in thousandths.
fn millis(score: f32) -> u16 {
    format!("{:.0}", score * 1000.0).parse().unwrap_or(1000)
}

fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

/// Labels in words.
fn words_of(labels: &policy::Labels) -> String {
    let words = [labels.integrity.as_str(), labels.confidentiality.as_str()];
    let categories = labels.categories.iter().map(String::as_str);
    words.into_iter().chain(categories).collect::<Vec<_>>().join(" ")
}
