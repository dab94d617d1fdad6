//! Which conversation or task a message belongs to, and what it has read.

use std::sync::Arc;

use identity::Principal;
use inspect::FindingKind;
use pipeline::{
    Answer, Arrival, Objection, Passed,
    forward::Recorded,
    ports::{Caller, Contexts},
    refusal,
    release::Screened,
};
use policy::{
    Context, Integrity, Labels, Obligation, Resource, ToolFacts, Trust,
    flow::{Brought, Suspicion},
    registry::PinnedServer,
};
use wire::mcp::{Direction, Era, Method};

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
        let context = call.context();
        context.absorb(&brought);
        // Whichever answer raised them: as long as the labels are not stored, this context is told nothing.
        let kept = self.contexts.keep_labels(context, &call.caller().principal);
        kept.map_err(|error| Objection::new(&refusal::OUTCOME_UNRECORDED, error.to_string()))?;
        // Where values come from is not forgotten by a model of one's own that says them again.
        if call.resolution().model().is_none() || trust == Trust::Untrusted {
            remember(call, &text, (&brought, trust, suspicion));
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
        let server = server.server();
        let manifest = &server.manifest;
        let written = self.deposits.labels_in(server.name.as_str(), text);
        let trust = match written.integrity {
            Integrity::Trusted => manifest.trust,
            Integrity::Untrusted => Trust::Untrusted,
        };
        let suspicion = flow::suspicion(call.answer_findings());
        let mut brought = match call.resolution().item() {
            Some(item) => labels_of(item.resource()).clone(),
            // What a task comes to is what its tool brings.
            None => match call.resolution().resource() {
                tool @ Resource::Tool(_) => labels_of(tool).clone(),
                Resource::Gateway
                | Resource::Model(_)
                | Resource::Prompt(_)
                | Resource::Resource { .. }
                | Resource::Server(_) => manifest.labels.clone(),
            },
        };
        brought.integrity = integrity(call, trust, suspicion);
        brought = brought.join(&written);
        for obligation in call.permit().obligations() {
            if let Obligation::Label(labels) = obligation {
                brought = brought.join(labels);
            }
        }
        (brought, trust, suspicion)
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
        own.integrity = match server.manifest.trust {
            Trust::Trusted => Integrity::Trusted,
            Trust::Untrusted => Integrity::Untrusted,
        };
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

/// How far an answer is believed. What nobody could read is nobody's word.
fn integrity(call: &Passed<Screened>, trust: Trust, suspicion: Suspicion) -> Integrity {
    let mut unread = call.answer_findings().of(FindingKind::Uninspectable);
    match trust {
        Trust::Trusted if suspicion < Suspicion::Marked && unread.next().is_none() => Integrity::Trusted,
        Trust::Trusted | Trust::Untrusted => Integrity::Untrusted,
    }
}

/// The labels of what a model said, and how far it is believed.
fn brought_by_model(call: &Passed<Screened>, model: &ToolFacts) -> (Labels, Trust, Suspicion) {
    let suspicion = flow::suspicion(call.answer_findings());
    let mut brought = model.labels.clone();
    brought.integrity = integrity(call, model.trust, suspicion);
    for obligation in call.permit().obligations() {
        if let Obligation::Label(labels) = obligation {
            brought = brought.join(labels);
        }
    }
    (brought, model.trust, suspicion)
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
