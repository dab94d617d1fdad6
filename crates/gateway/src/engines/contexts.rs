//! Which conversation or task a message belongs to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use pipeline::{
    Answer, Arrival, Objection, Passed,
    ports::{Caller, Contexts},
    refusal,
    release::Screened,
};
use policy::{Context, Integrity, Labels, Obligation, Resource, Trust, flow::Suspicion};
use wire::mcp::{Direction, Era, Method};

use super::{Engines, flow};

/// An idle context ends after this long; until then its labels stay, whatever its caller reconnects with.
const IDLE_MS_MAX: i64 = 60 * 60 * 1000;
/// Most contexts at a time.
const CONTEXTS_MAX: usize = 50_000;

/// All contexts.
#[derive(Debug, Default)]
pub(crate) struct ContextStore {
    by_id: Mutex<HashMap<String, (Arc<Context>, i64)>>,
}

impl ContextStore {
    fn find(&self, id: String, task: Option<&str>, now_ms: i64) -> Option<Arc<Context>> {
        let mut contexts = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((context, used_ms)) = contexts.get_mut(&id) {
            *used_ms = now_ms;
            return Some(Arc::clone(context));
        }
        if contexts.len() >= CONTEXTS_MAX {
            contexts.retain(|_, (_, used_ms)| now_ms - *used_ms < IDLE_MS_MAX);
        }
        if contexts.len() >= CONTEXTS_MAX {
            // Forgetting a context would wash its labels off, so there is no room for another.
            return None;
        }
        let context = Arc::new(Context::new(id.clone(), task));
        contexts.insert(id, (Arc::clone(&context), now_ms));
        Some(context)
    }

    /// Forgets contexts nobody has used for long.
    pub(crate) fn sweep(&self, now_ms: i64) {
        let mut contexts = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        contexts.retain(|_, (_, used_ms)| now_ms - *used_ms < IDLE_MS_MAX);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Contexts for Engines {
    fn enter(&self, caller: &Caller, arrival: &Arrival) -> Result<Arc<Context>, Objection> {
        self.own_session(caller, arrival)?;
        // Without a declared context, the caller's own: a new token or connection does not wash labels off.
        let id = match caller.principal.context() {
            Some(declared) => declared.to_owned(),
            None => format!("implicit:{}", caller.principal.key()),
        };
        let declared = caller.principal.declared();
        let task = declared.and_then(|declared| declared.task.as_deref());
        let context = self.contexts.find(id, task, arrival.received_ms);
        context.ok_or_else(|| Objection::new(&refusal::OVER_LIMIT, "too many contexts at a time"))
    }

    fn absorb(&self, call: &Passed<Screened>) {
        let (Answer::Foreign(..), Some(server)) = (call.unread(), call.resolution().server()) else {
            return;
        };
        let manifest = &server.server().manifest;
        let mut brought = match call.resolution().item() {
            Some(item) => labels_of(item.resource()).clone(),
            None => manifest.labels.clone(),
        };
        let suspicion = flow::suspicion(call.answer_findings());
        brought.integrity = match manifest.trust {
            Trust::Trusted if suspicion < Suspicion::Marked => Integrity::Trusted,
            Trust::Trusted | Trust::Untrusted => Integrity::Untrusted,
        };
        for obligation in call.permit().obligations() {
            if let Obligation::Label(labels) = obligation {
                brought = brought.join(labels);
            }
        }
        call.context().absorb(&brought);
        flow::remember(call, &brought, suspicion);
    }
}

impl Engines {
    /// A session named by the message must be the caller's own, at the door it was opened at.
    fn own_session(&self, caller: &Caller, arrival: &Arrival) -> Result<(), Objection> {
        if arrival.direction == Direction::ToClient {
            return Ok(());
        }
        let initialize = arrival.message.method() == Some(Method::Initialize);
        let needs_one =
            arrival.revision.era() == Era::Legacy && !initialize && arrival.via.transport == "http";
        match &arrival.session {
            Some(id) => {
                let session = self.sessions.of(id, &caller.principal.key(), arrival.received_ms);
                session
                    .filter(|session| session.endpoint == arrival.endpoint)
                    .map(|_| ())
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

fn labels_of(resource: &Resource) -> &Labels {
    static NONE: Labels = Labels {
        integrity: Integrity::Trusted,
        confidentiality: policy::Confidentiality::Public,
        categories: std::collections::BTreeSet::new(),
    };
    match resource {
        Resource::Prompt(facts)
        | Resource::Server(facts)
        | Resource::Tool(facts)
        | Resource::Resource { facts, .. } => &facts.labels,
        Resource::Gateway => &NONE,
    }
}
