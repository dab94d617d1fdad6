//! The journal: what happened, as entries of the ledger. The only file that knows both the road and the
//! ledger's own types.

mod fields;
mod strangers;

use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
};

use pipeline::{
    Arrival, Dossier, Known, Passed, Received, Refusal, Reply, decide::Approved, ports::Stranger,
};
use policy::{Action, registry::Pin};
use records::{
    digest::Digester,
    keys::Secret,
    ledger::{
        Decision, Entry, Kind, Ledger, Receipt, Said, Unavailable,
        entry::{Principal, Value},
    },
};
use wire::{
    json::canonical,
    mcp::{ServerName, split_federated},
};

use fields::{
    arguments, details, findings, labels, named, principal, protection, refused, released, target_of, tenant,
    unsigned, words_of,
};

use strangers::{Counted, Strangers, Told};

use crate::{
    ambient::Ambient,
    config::records::SaidOutcome,
    engines::Request,
    evidence::{
        events::Backlog,
        incidents::{About, Seen, Sign, Signal, Watch},
        metrics::Metrics,
    },
    known::concerned::SubjectDigests,
    storage::payloads::{Item, Part as PayloadPart, Payloads},
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
    strangers: Arc<Strangers>,
    outcome: SaidOutcome,
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
    arrival: Arc<Arrival>,
    dossier: Arc<Dossier>,
    closed: bool,
}

/// Whose a payload is.
struct Whose {
    tenant: String,
    people: BTreeSet<String>,
}

impl Whose {
    fn of(known: &Known) -> Self {
        let people = known.subjects.iter();
        Self {
            tenant: tenant(known).to_owned(),
            people: people.map(|person| person.as_str().to_owned()).collect(),
        }
    }
}

/// What became of a connection of a boxed server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Egressed<'a> {
    /// It stands, to this address.
    Opened(&'a str),
    /// It ended, with so many bytes.
    Ended {
        address: &'a str,
        sent: u64,
        received: u64,
    },
    /// It did not come about: why.
    Refused(&'a str),
}

impl Journal {
    pub(crate) fn new(
        ledger: Ledger,
        digests: Digests,
        payloads: Payloads,
        ambient: Ambient,
        watch: Watch,
        outcome: SaidOutcome,
    ) -> Self {
        Self {
            ledger,
            digests,
            payloads,
            backlog: Backlog::default(),
            metrics: Metrics::default(),
            ambient,
            watch,
            strangers: Arc::default(),
            outcome,
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
            arrival: call.shared(),
            dossier: Arc::clone(call.dossier()),
            closed: false,
        }
    }

    /// Records an intent; returns its place once it is durable.
    pub(crate) async fn intent(&self, call: &Passed<Approved>) -> Result<u64, Unavailable> {
        let arrival = call.arrival();
        // What it says is borrowed of a copy: little of it is more than a pointer.
        let known = call.dossier().read(Known::clone);
        let mut entry = self.entry(Kind::Intent, arrival, &known);
        if let Some(call) = entry.call.as_deref().filter(|_| entry.server.is_some()) {
            self.payloads.begin(call).await.map_err(unkept)?;
        }
        if let Some(arguments) = arguments(arrival) {
            let arguments = canonical(arguments);
            entry.args_digest = Some(self.digests.text(&arguments).into());
            let whose = || Whose::of(&known);
            self.keep(&entry, whose, PayloadPart::Arguments, arguments)
                .await?;
        }
        if let Some(why) = self.backlog.too_long() {
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
        entry: &Said<'_>,
        whose: impl FnOnce() -> Whose,
        part: PayloadPart,
        bytes: Vec<u8>,
    ) -> Result<(), Unavailable> {
        let Some(call) = entry.call.as_deref().filter(|_| entry.server.is_some()) else {
            return Ok(());
        };
        if !self.payloads.are_kept() {
            return Ok(());
        }
        let Some(since) = self.payloads.since(call).await.map_err(unkept)? else {
            return Ok(());
        };
        let Whose { tenant, people } = whose();
        let item = Item {
            since,
            call: call.to_owned(),
            part,
            time_ms: entry.time_ms,
            tenant,
            people,
            subjects: entry
                .subjects
                .iter()
                .map(|one| one.clone().into_owned())
                .collect(),
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
        let mut entry = Said::borrowing(unsigned(who.received_ms), Kind::Refusal);
        entry.call = Some((&*who.call.0).into());
        entry.transport = Some(who.via.transport.into());
        entry.tls = protection(who.via.tls.as_ref());
        refused(&mut entry, refusal);
        let what = Value::Text(who.what.as_str().into());
        entry.detail.insert("what".into(), what);
        if let Some(peer) = &who.via.peer {
            entry.detail.insert("peer".into(), Value::Text(peer.into()));
        }
        self.metrics.ended(&entry);
        // Nothing was done, so nothing hangs on it; what cannot be written is counted as a gap.
        if self.is_told_alone(&entry, who.via.peer.as_deref()) {
            self.ledger.append_soon(&entry);
        }
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

    /// Records where a boxed server connected to, or wanted to.
    pub(crate) fn egress(&self, server: &ServerName, (host, port): (&str, u16), done: Egressed<'_>) {
        let mut entry = Entry::new(unsigned(self.ambient.now_ms()), Kind::Egress);
        entry.server = Some(server.to_string());
        let host: String = host.chars().take(255).collect();
        let mut tell = |name: &str, text: String| entry.detail.insert(name.into(), Value::Text(text));
        tell("host", format!("{host}:{port}"));
        let (action, reason) = match done {
            Egressed::Opened(address) => {
                tell("address", address.to_owned());
                ("opened", None)
            }
            Egressed::Ended {
                address,
                sent,
                received,
            } => {
                tell("address", address.to_owned());
                tell("sent", sent.to_string());
                tell("received", received.to_string());
                ("connected", None)
            }
            Egressed::Refused(why) => ("refused", Some(why.to_owned())),
        };
        entry.action = Some(action.to_owned());
        entry.reason = reason;
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

    /// Records that somebody was refused who has proven nothing; where there are many, how many.
    pub(crate) fn stranger(&self, action: &str, from: IpAddr, detail: &[(&str, String)]) {
        let why = detail.iter().find(|(name, _)| *name == "why");
        let why = why.map_or("", |(_, why)| why.as_str());
        if self.told(action, Some(from), why) == Told::Alone {
            self.note(Kind::Session, action, detail);
        }
    }

    /// Whether the refusal of somebody who has proven nothing has an entry of its own.
    fn is_told_alone(&self, entry: &Said<'_>, peer: Option<&str>) -> bool {
        let from = peer.and_then(|peer| peer.parse::<SocketAddr>().ok());
        let Some(from) = from else {
            // No stranger: somebody on this machine, over a pipe.
            return true;
        };
        let code = entry.code.as_deref().unwrap_or_default();
        let why = entry.reason.as_deref().unwrap_or_default();
        self.told(code, Some(from.ip()), why) == Told::Alone
    }

    fn told(&self, what: &str, from: Option<IpAddr>, why: &str) -> Told {
        let (told, over) = self.strangers.tell(what, from, why, self.ambient.now_ms());
        self.note_counted(over);
        told
    }

    /// Records what was counted of strangers until now. Call it every few seconds.
    pub(crate) fn settle(&self, now_ms: i64) {
        self.note_counted(self.strangers.settle(now_ms));
    }

    fn note_counted(&self, over: Vec<Counted>) {
        for counted in over {
            let from = counted
                .from
                .map_or_else(|| "many".to_owned(), |from| from.to_string());
            let detail = [
                ("what", counted.what),
                ("peer", from),
                ("count", counted.count.to_string()),
                ("why", counted.last),
            ];
            self.note(Kind::Session, "refused-besides", &detail);
        }
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
        entry.sources = sources(asked.sources.iter().map(|of| (of.trusted, &of.server, &of.tool)));
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
    fn watch_over(&self, entry: &Said<'_>, known: &Known) {
        let who = &entry.principal;
        // A user who calls by themselves may be called what an agent is called.
        let user = || who.user.as_ref().map(|user| Cow::Owned(format!("user {user}")));
        let agent = who.agent.as_deref().map(Cow::Borrowed).or_else(user);
        let (Some(agent), Some(call)) = (agent, &entry.call) else {
            return;
        };
        // What only observes lets pass what it would refuse, and it counts as refused all the same.
        let refused = known.would_refuse.as_ref().map(|_| "not-permitted");
        let code = entry.code.as_deref().filter(|code| *code != "ok");
        let tool = match (&entry.server, &entry.tool) {
            (Some(server), Some(tool)) => Some(Cow::Owned(format!("{server}__{tool}"))),
            (None, Some(tool)) => Some(Cow::Borrowed(&**tool)),
            (_, None) => None,
        };
        let now_ms = self.ambient.now_ms();
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let about = || About {
            agent: owned(&who.agent),
            user: owned(&who.user),
            server: owned(&entry.server),
            context: owned(&entry.context),
        };
        self.watch.saw(
            &Seen {
                agent: &agent,
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

    fn entry<'k>(&self, kind: Kind, arrival: &'k Arrival, known: &'k Known) -> Said<'k> {
        let method = arrival.message.method();
        let mut entry = Said::borrowing(unsigned(self.ambient.now_ms()), kind);
        entry.call = Some((&*arrival.call.0).into());
        entry.method = method.map(|method| method.name().into());
        entry.action = method.map(|method| Action::of(method, arrival.direction).as_str().into());
        entry.transport = Some(arrival.via.transport.into());
        entry.revision = Some(arrival.revision.as_str().into());
        entry.principal = known.caller.as_ref().map(principal).unwrap_or_default();
        if let Some(context) = &known.context {
            entry.context = Some(context.id().into());
            entry.labels = labels(&context.labels());
        }
        entry.purpose = known.purpose.as_deref().map(Cow::from);
        entry.policy = known.policy.as_deref().map(Cow::from);
        entry.rules = known.rules.iter().map(|rule| (&*rule.0).into()).collect();
        entry.obligations = known
            .obligations
            .iter()
            .map(|obligation| format!("{obligation:?}").into())
            .collect();
        let sources = sources(known.sources.iter().map(|of| (of.trusted, &of.server, &of.tool)));
        entry.sources = sources.into_iter().map(Cow::from).collect();
        // Copies of keys are not made for nobody.
        if !known.subjects.is_empty() {
            let people = self.digests.people();
            let people = known
                .subjects
                .iter()
                .filter_map(|one| people.of(tenant(known), one));
            entry.subjects = people.map(Cow::from).collect();
        }
        entry.findings = findings(known);
        match &known.resolution {
            Some(resolution) => target_of(resolution, &mut entry),
            None => entry.tool = named(arrival),
        }
        entry.tls = protection(arrival.via.tls.as_ref());
        details(arrival, known, &mut entry);
        entry.decision = Some(if known.permitted {
            Decision::Permit
        } else {
            Decision::Refuse
        });
        entry
    }
}

/// Which tools arguments came from, each once and those first that are not trusted: an entry has room for a few, and what was
/// refused was refused for these.
fn sources<'s>(of: impl Iterator<Item = (bool, &'s String, &'s String)>) -> Vec<String> {
    let each: BTreeSet<_> = of.collect();
    let lines = each
        .into_iter()
        .map(|(_, server, tool)| format!("{server}/{tool}"));
    lines.collect()
}

/// Where it cannot be known whom erasing concerns, nothing is sent.
fn unkept(error: impl std::fmt::Display) -> Unavailable {
    Unavailable::Disk(format!("the payload of the call cannot be kept: {error}"))
}

impl OpenCase {
    /// Whether what came of it may be more than a refusal.
    pub(crate) fn has_intent(&self) -> bool {
        self.dossier.read(|known| known.intent.is_some())
    }

    /// Records the one outcome.
    pub(crate) async fn outcome(&mut self, outcome: &Result<Reply, Refusal>) -> Result<(), Unavailable> {
        self.closed = true;
        let known = self.dossier.take();
        let released = outcome.as_ref().ok().and_then(released);
        let mut entry = match outcome {
            Ok(_) => {
                let mut entry = self.journal.entry(Kind::Outcome, &self.arrival, &known);
                entry.code = Some("ok".into());
                if let Some(released) = &released {
                    entry.result_digest = Some(self.journal.digests.text(released).into());
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
                let mut entry = self.journal.entry(kind, &self.arrival, &known);
                refused(&mut entry, refusal);
                // An intent has it already; and what strangers send is not worth the work.
                if kind == Kind::Refusal && known.caller.is_some() {
                    let arguments = arguments(&self.arrival);
                    let digest = |args| self.journal.digests.text(&canonical(args)).into();
                    entry.args_digest = arguments.map(digest);
                }
                entry
            }
        };
        entry.ms = Some(unsigned(self.journal.ambient.now_ms() - self.arrival.received_ms));
        self.journal.metrics.ended(&entry);
        self.journal.watch_over(&entry, &known);
        // Nobody was proven, and nothing was done.
        let is_stranger = known.caller.is_none() && entry.kind == Kind::Refusal;
        if is_stranger
            && !self
                .journal
                .is_told_alone(&entry, self.arrival.via.peer.as_deref())
        {
            return Ok(());
        }
        let ledger = &self.journal.ledger;
        match self.journal.outcome {
            SaidOutcome::Durable => ledger.append_durable(&entry).await?,
            SaidOutcome::Written => ledger.append(&entry).await?,
        };
        match released {
            Some(released) => {
                let part = PayloadPart::Result;
                let whose = || Whose::of(&known);
                self.journal.keep(&entry, whose, part, released).await
            }
            None => Ok(()),
        }
    }
}

impl Drop for OpenCase {
    fn drop(&mut self) {
        self.journal.payloads.end(&self.arrival.call.0);
        if self.closed {
            return;
        }
        let known = self.dossier.take();
        let kind = if known.intent.is_some() {
            Kind::Outcome
        } else {
            Kind::Refusal
        };
        let mut entry = self.journal.entry(kind, &self.arrival, &known);
        entry.decision = Some(Decision::Refuse);
        entry.code = Some("abandoned".into());
        entry.fault = Some("caller".into());
        entry.reason = Some("the caller hung up, or the work was lost".into());
        self.journal.metrics.ended(&entry);
        let is_stranger = known.caller.is_none() && entry.kind == Kind::Refusal;
        if is_stranger
            && !self
                .journal
                .is_told_alone(&entry, self.arrival.via.peer.as_deref())
        {
            return;
        }
        self.journal.ledger.append_soon(&entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: an entry has room for a few, and a list of values of a trusted tool took it all: the page a call was
    /// refused for stood in no line.
    #[test]
    fn the_entry_names_each_tool_once_and_the_untrusted_first() {
        let (charts, chart) = ("charts".to_owned(), "read_chart".to_owned());
        let (web, page) = ("web".to_owned(), "get_page".to_owned());
        let many = (0..100).map(|_| (true, &charts, &chart));
        let lines = sources(many.chain([(false, &web, &page)]));
        assert_eq!(lines, ["web/get_page", "charts/read_chart"]);
    }
}
