//! Which conversation or task a message belongs to, and what it has read.

use std::{collections::BTreeMap, sync::Arc};

use identity::Principal;
use inspect::{FindingKind, Findings};
use pipeline::{
    Answer, Arrival, Objection, Passed, Resolution,
    decide::Approved,
    forward::Recorded,
    ports::{Browsed, Caller, Contexts},
    refusal,
    release::Screened,
};
use policy::{
    Context, Integrity, Labels, Obligation, Permit, Resource, ToolFacts, Trust,
    flow::{Brought, Suspicion},
    registry::PinnedServer,
};
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, object},
    mcp::{Direction, Era, Method},
};

use super::{Engines, flow};

impl Contexts for Engines {
    fn enter(&self, caller: &Caller, arrival: &Arrival) -> Result<Arc<Context>, Objection> {
        self.own_session(caller, arrival)?;
        let id = context_of(&caller.principal);
        self.may_go_on(&caller.principal, Some(&id), None)?;
        let declared = caller.principal.declared();
        let task = declared.and_then(|declared| declared.task.as_deref());
        let found = self.contexts.find(id, task, arrival.received_ms);
        let context = found.map_err(|error| error.objection())?;
        context.ok_or_else(|| Objection::new(&refusal::OVER_LIMIT, "too many contexts at a time"))
    }

    fn absorb(&self, call: &Passed<Screened>) -> Result<(), Objection> {
        let Answer::Foreign(response, _) = call.unread() else {
            return Ok(());
        };
        let text = flow::text_of_answer(response);
        let (brought, trust, suspicion) = match (call.resolution().server(), call.resolution().model()) {
            (Some(server), _) => self.brought(call, server, &text),
            (None, Some(model)) => brought_by_model(call, model),
            (None, None) => return Ok(()),
        };
        self.raise(call, &brought)?;
        // Where values come from is not forgotten by a model of one's own that says them again.
        if call.resolution().model().is_none() || trust == Trust::Untrusted {
            remember(call, &text, (&brought, trust, suspicion));
        }
        Ok(())
    }

    fn overhear(&self, call: &Passed<Recorded>) -> Result<(), Objection> {
        let arrival = call.arrival();
        let (Some(server), Some(method)) = (call.resolution().server(), arrival.message.method()) else {
            return Ok(());
        };
        // A question that says nothing but that it is one brings nothing.
        let Some(said) = arrival
            .message
            .params()
            .filter(|said| said.members().next().is_some())
        else {
            return Ok(());
        };
        let mut text = flow::text_of(said);
        let (labels, trust, suspicion) = self.said_by(server, &text, call.findings());
        let manifest = &server.server().manifest;
        let name = server.server().name.as_str();
        // It may be of any call that runs, and brings what that brings.
        let term = self
            .terms
            .of(&call.principal().holder(), name, self.ambient.steady_ms());
        let mut labels = labels.join(&confided(&manifest.labels));
        if let Some(besides) = &term.labels {
            labels = labels.join(besides);
        }
        let labels = with_ordered(labels, call.permit());
        self.raise(call, &labels)?;
        // The agent may know values by other names: they are traced as the values are.
        if !call.outgoing().is_empty() {
            let edited = object(|out| out.members_except(said, &[], call.outgoing()));
            if let Ok(edited) = Document::parse(edited, Keys::Exact, &ANSWER) {
                text.push_str(&flow::text_of(edited.root()));
            }
        }
        let brought = Brought {
            text: &text,
            trust,
            confidentiality: labels.confidentiality,
            suspicion,
        };
        call.context().overhear(name, method.name(), &brought);
        Ok(())
    }

    fn browse(&self, call: &Passed<Screened>, shown: &[Browsed<'_>]) -> Result<(), Objection> {
        let mut servers: BTreeMap<&str, Said<'_>> = BTreeMap::new();
        for one in shown {
            // All else that is listed was pinned and approved.
            let Resource::Resource { facts, .. } = &*one.entry.resource else {
                continue;
            };
            let said = servers.entry(&facts.server).or_insert_with(|| Said::of(facts));
            said.read(&one.entry.shown);
            // The agent may know values by other names: they are traced as the values are.
            if one.shown != one.entry.shown {
                said.read(&one.shown);
            }
            if let Some(added) = &one.labels {
                said.added = Some(
                    said.added
                        .take()
                        .map_or_else(|| added.clone(), |known| known.join(added)),
                );
            }
        }
        let method = call.arrival().message.method().map_or("", Method::name);
        // What was found in one entry of a page counts for all of it.
        let found = call.dossier().read(|known| known.answer_findings.clone());
        let found = found.unwrap_or_default();
        let suspicion = flow::suspicion(&found);
        for (name, said) in servers {
            let written = self.deposits.labels_in(name, &said.text);
            let trust = believed(said.facts.trust, &written);
            let mut labels = said.facts.labels.clone();
            labels.integrity = integrity(&found, trust, suspicion);
            labels = labels.join(&written);
            if let Some(added) = &said.added {
                labels = labels.join(added);
            }
            self.raise(call, &labels)?;
            let brought = Brought {
                text: &said.text,
                trust,
                confidentiality: labels.confidentiality,
                suspicion,
            };
            call.context().overhear(name, method, &brought);
        }
        Ok(())
    }
}

/// The name of a caller's context. Without a declared one it is the caller's own: neither a new token or connection
/// nor another model washes labels off.
pub(crate) fn context_of(principal: &Principal) -> String {
    match principal.context() {
        Some(declared) => declared.to_owned(),
        None => format!("implicit:{}", principal.holder()),
    }
}

impl Engines {
    /// The labels of what an answer brought, and how far its content is believed.
    pub(super) fn brought(
        &self,
        call: &Passed<Screened>,
        server: &PinnedServer,
        text: &str,
    ) -> (Labels, Trust, Suspicion) {
        let said = self.said_by(server, text, call.answer_findings());
        let own = labels_of_answer(call.resolution()).map_or_else(Labels::none, confided);
        let labels = said.0.join(&own);
        (with_ordered(labels, call.permit()), said.1, said.2)
    }

    /// The same of anything a server says: without what its tool or a rule adds.
    fn said_by(&self, server: &PinnedServer, text: &str, findings: &Findings) -> (Labels, Trust, Suspicion) {
        let server = server.server();
        let written = self.deposits.labels_in(server.name.as_str(), text);
        let trust = believed(server.manifest.trust, &written);
        let suspicion = flow::suspicion(findings);
        let labels = Labels {
            integrity: integrity(findings, trust, suspicion),
            ..Labels::none()
        };
        (labels.join(&written), trust, suspicion)
    }

    /// Raises a context's labels, and stores them. Whichever message raised them: as long as they are not stored, this
    /// context is told nothing.
    fn raise(&self, call: &Passed<Recorded>, labels: &Labels) -> Result<(), Objection> {
        let context = call.context();
        context.absorb(labels);
        let kept = self.contexts.keep_labels(context, &call.caller().principal);
        kept.map_err(|error| Objection::new(&refusal::OUTCOME_UNRECORDED, error.to_string()))
    }

    /// What the permit of an answer's release adds to the conversation's labels, beside what that of its call does.
    pub(super) fn label(&self, call: &Passed<Screened>, obligations: &[Obligation]) -> Result<(), Objection> {
        let labels = Obligation::labels(obligations);
        match labels.filter(|labels| Obligation::labels(call.permit().obligations()).as_ref() != Some(labels))
        {
            Some(labels) => self.raise(call, &labels),
            None => Ok(()),
        }
    }

    /// Remembers the names under which the asker gets to know what an answer said: they are traced as it is.
    pub(super) fn remember_names(&self, call: &Passed<Screened>, names: &str) {
        if let (Answer::Foreign(response, _), Some(server)) = (call.unread(), call.resolution().server()) {
            let (labels, trust, suspicion) = self.brought(call, server, &flow::text_of_answer(response));
            remember(call, names, (&labels, trust, suspicion));
        }
    }

    /// What a call is about to write into a server comes back with the labels the context has now.
    pub(super) fn wrote(&self, call: &Passed<Recorded>) {
        let (Some(server), Direction::ToServer) = (call.resolution().server(), call.arrival().direction)
        else {
            return;
        };
        let server = server.server();
        let mut own = server.manifest.labels.clone();
        own.integrity = of_trust(server.manifest.trust);
        let labels = call.context().labels();
        // What the server's own labels say of it anyway needs no memory.
        if own.clone().join(&labels) != own {
            let seen = flow::Seen::new(call.resolution().resource(), call.arrival());
            self.deposits.add(server.name.as_str(), &seen.call(), &labels);
        }
    }

    /// A session named by the message must be the caller's own, at the door it was opened at.
    fn own_session(&self, caller: &Caller, arrival: &Arrival) -> Result<(), Objection> {
        if arrival.direction == Direction::ToClient {
            return Ok(());
        }
        // A connection may be tried before its session is opened; over HTTP nothing comes back without one.
        let may_come_first = match arrival.message.method() {
            Some(Method::Initialize) => true,
            Some(Method::Ping) => arrival.via.transport != "http",
            Some(_) | None => false,
        };
        let needs_one = arrival.revision.era() == Era::Legacy && !may_come_first;
        match &arrival.session {
            Some(id) => {
                let session = self.sessions.of(id, &caller.principal.key(), arrival.received_ms);
                session
                    .filter(|session| session.endpoint == arrival.endpoint)
                    .map(|session| session.renew(caller))
                    .ok_or_else(|| {
                        let why = "the session does not exist, has ended, or is somebody else's";
                        Objection::new(&refusal::SESSION_UNKNOWN, why)
                    })
            }
            None if needs_one => Err(Objection::new(&refusal::SESSION_MISSING, "no session was named")),
            None => Ok(()),
        }
    }
}

/// What one server says of itself in a page of a list.
struct Said<'e> {
    facts: &'e ToolFacts,
    text: String,
    /// The labels that rules add.
    added: Option<Labels>,
}

impl<'e> Said<'e> {
    fn of(facts: &'e ToolFacts) -> Self {
        Self {
            facts,
            text: String::new(),
            added: None,
        }
    }

    fn read(&mut self, entry: &[u8]) {
        if let Ok(entry) = Document::parse(entry.to_vec(), Keys::Exact, &ANSWER) {
            self.text.push_str(&flow::text_of(entry.root()));
        }
    }
}

/// How far a message is believed. What nobody could read is nobody's word.
fn integrity(findings: &Findings, trust: Trust, suspicion: Suspicion) -> Integrity {
    let mut unread = findings.of(FindingKind::Uninspectable);
    match trust {
        Trust::Trusted if suspicion < Suspicion::Marked && unread.next().is_none() => Integrity::Trusted,
        Trust::Trusted | Trust::Untrusted => Integrity::Untrusted,
    }
}

/// How far a server is believed that says again what was written into it.
fn believed(trust: Trust, written: &Labels) -> Trust {
    match written.integrity {
        Integrity::Trusted => trust,
        Integrity::Untrusted => Trust::Untrusted,
    }
}

fn of_trust(trust: Trust) -> Integrity {
    match trust {
        Trust::Trusted => Integrity::Trusted,
        Trust::Untrusted => Integrity::Untrusted,
    }
}

/// The labels of what a call brings; how far it is believed depends on what came.
fn labels_of_answer(resolution: &Resolution) -> Option<&Labels> {
    match (resolution.item(), resolution.resource()) {
        (Some(item), _) => Some(labels_of(item.resource())),
        // What a task comes to is what its tool brings.
        (None, tool @ Resource::Tool(_)) => Some(labels_of(tool)),
        (
            None,
            Resource::Gateway
            | Resource::Model(_)
            | Resource::Prompt(_)
            | Resource::Resource { .. }
            | Resource::Server(_),
        ) => resolution.server().map(|server| &server.server().manifest.labels),
    }
}

/// What the words a server says while a call runs have besides the labels of all its words; mostly nothing.
pub(super) fn labels_besides(call: &Passed<Approved>) -> Option<Labels> {
    let own = &call.resolution().server()?.server().manifest.labels;
    let of_call = labels_of_answer(call.resolution())?;
    let is_label = |obligation: &Obligation| matches!(obligation, Obligation::Label(_));
    if of_call == own && !call.permit().obligations().iter().any(is_label) {
        return None;
    }
    Some(with_ordered(confided(of_call), call.permit()))
}

/// Labels without a word on who had a hand in it.
fn confided(labels: &Labels) -> Labels {
    Labels {
        integrity: Integrity::Trusted,
        ..labels.clone()
    }
}

/// With what the rules that permit this add.
fn with_ordered(labels: Labels, permit: &Permit) -> Labels {
    match Obligation::labels(permit.obligations()) {
        Some(added) => labels.join(&added),
        None => labels,
    }
}

/// The labels of what a model said, and how far it is believed.
fn brought_by_model(call: &Passed<Screened>, model: &ToolFacts) -> (Labels, Trust, Suspicion) {
    let suspicion = flow::suspicion(call.answer_findings());
    let mut brought = model.labels.clone();
    brought.integrity = integrity(call.answer_findings(), model.trust, suspicion);
    (with_ordered(brought, call.permit()), model.trust, suspicion)
}

fn remember(call: &Passed<Screened>, text: &str, (labels, trust, suspicion): (&Labels, Trust, Suspicion)) {
    if call.arrival().direction == Direction::ToServer {
        let seen = flow::Seen::new(call.resolution().resource(), call.arrival());
        let brought = Brought {
            text,
            trust,
            confidentiality: labels.confidentiality,
            suspicion,
        };
        call.context().remember(&seen.call(), &brought);
    }
}

fn labels_of(resource: &Resource) -> &Labels {
    static NONE: Labels = Labels {
        integrity: Integrity::Trusted,
        confidentiality: policy::Confidentiality::Public,
        categories: std::collections::BTreeSet::new(),
    };
    resource.facts().map_or(&NONE, |facts| &facts.labels)
}
