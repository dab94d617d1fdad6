//! People: whether those agreed whom the permit names. See `docs/approvals.md`.

mod channels;
mod desk;
mod request;
mod similar;
mod step_up;
#[cfg(test)]
mod tests;

use std::time::Duration;

use pipeline::{Arrival, Objection, Passed, Resolution, decide::Limited, ports::Approvals, refusal};
use policy::{Labels, Obligation, Party, PartyKind};
use records::ledger::{Decision, Kind};
use wire::{
    json::{Document, Edits, Keys, canonical, object},
    jsonrpc,
    mcp::{Method, Revision, Target, federated, target},
};

pub(crate) use channels::Channels;
use desk::Answer;
pub(crate) use desk::{DecideError, Desk, Say};
pub(crate) use request::Request;
use request::{Asked, Demand, Origin, Requester};
pub(crate) use similar::Similar;

use super::{Engines, asking::Reply, flow};
use crate::{config::said::Mode, storage::store::StoreError};

/// How long a call waits for people once its own user has seen that they are asked.
const PATIENCE: Duration = Duration::from_secs(120);

impl Approvals for Engines {
    async fn approve(&self, call: &Passed<Limited>) -> Result<(), Objection> {
        if self.mode == Mode::Observe {
            call.dossier().note(|known| {
                known
                    .would_refuse
                    .get_or_insert_with(|| format!("people would be asked: {}", demanded(call)));
            });
            return Ok(());
        }
        step_up::check(call)?;
        if call
            .permit()
            .obligations()
            .iter()
            .all(|one| demand(one).is_none())
        {
            return Ok(());
        }
        let asked = self.asked(call);
        let arrival = call.arrival();
        let reply = channels::reply(arrival);
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        let mut changed = self.desk.changed();
        loop {
            // People may take their time; what the rules said of the call holds only as long as they do.
            if asked.policy != self.rules().digest() {
                let why = "the rules changed while the call waited for people";
                return Err(Objection::new(&refusal::NOT_APPROVED, why).showing(why));
            }
            let request = match self.ask(call, asked.clone()).await? {
                None => return Ok(()),
                Some(held) => held,
            };
            // A client whose user has looked waits a while; every other one is told at once.
            if reply != Reply::Accepted {
                return Err(self.channels.say(arrival, &request, held(&request)));
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = &mut patience => return Err(held(&request)),
                () = arrival.exchange.withdrawn() => return Err(held(&request)),
            }
        }
    }
}

impl Engines {
    /// Asks once: nothing if people agreed to this call, or what waits for them.
    async fn ask(&self, call: &Passed<Limited>, asked: Asked) -> Result<Option<Box<Request>>, Objection> {
        let (id, now_ms) = (self.ambient.name(), self.ambient.now_ms());
        let answer = self.desk.ask(asked, &id, now_ms, |name| self.party(name));
        match answer.map_err(|error| broken(&error))? {
            Answer::Agreed(request) => {
                self.tell(&request, "used", Decision::Permit, None).await?;
                call.dossier()
                    .note(|known| known.approval = Some(request.id.clone()));
                Ok(None)
            }
            Answer::Denied(request) => {
                let by = request
                    .denied
                    .as_ref()
                    .map_or("somebody", |word| word.by.as_str());
                let why = format!("`{by}` said no to approval `{}`", request.id);
                Err(Objection::new(&refusal::NOT_APPROVED, why).showing("somebody was asked and said no"))
            }
            Answer::Opened(request) => {
                self.tell(&request, "requested", Decision::Hold, None).await?;
                if let Some(telling) = self.channels.notify(&request, now_ms) {
                    let (journal, id) = (self.journal.clone(), request.id.clone());
                    tokio::spawn(async move {
                        let told = match telling.await {
                            Ok(Ok(())) => ("notified", String::new()),
                            Ok(Err(error)) => ("not-notified", error.to_string()),
                            Err(error) => ("not-notified", error.to_string()),
                        };
                        journal.note(Kind::Approval, told.0, &[("approval", id), ("why", told.1)]);
                    });
                }
                Ok(Some(request))
            }
            Answer::TooMuch(why) => Err(Objection::new(&refusal::NOT_APPROVED, why).showing(why)),
            Answer::Waiting(request) => Ok(Some(request)),
        }
    }

    /// Takes a person's word: durable in the ledger, or it does not count.
    pub(crate) async fn decide(&self, id: &str, party: &Party, say: Say) -> Result<Request, DecideError> {
        let (what, decision) = match say {
            Say::No(_) => ("denied", Decision::Refuse),
            Say::Yes | Say::YesToSimilar(_) => ("granted", Decision::Permit),
        };
        let now_ms = self.ambient.now_ms();
        let request = self
            .desk
            .decide(id, party, say, now_ms, |name| self.party(name))?;
        if let Err(objection) = self.tell(&request, what, decision, Some(&party.name)).await {
            self.desk.take_back(id, &party.name)?;
            return Err(DecideError::Unrecorded(objection.inside));
        }
        let decided = request.denied.is_some() || request.given(|name| self.party(name)) >= request.needed();
        let session = request.asked.session.as_deref();
        if decided && let Some(session) = session.and_then(|id| self.sessions.peek(id)) {
            session.tell(jsonrpc::notification(
                Method::NotificationsElicitationComplete,
                |out| out.string("elicitationId", id),
            ));
        }
        Ok(request)
    }

    /// A user as rules see them. Agents and services agree to nothing.
    pub(crate) fn party(&self, user: &str) -> Option<Party> {
        self.people.user(user).map(|person| person.party.clone())
    }

    /// Records what became of a question; durable when it returns.
    pub(crate) async fn tell(
        &self,
        request: &Request,
        what: &str,
        decision: Decision,
        by: Option<&str>,
    ) -> Result<(), Objection> {
        let unavailable = |error: records::ledger::Unavailable| {
            Objection::new(&refusal::LEDGER_UNAVAILABLE, error.to_string())
        };
        let told = self.journal.approval(request, what, decision, by);
        told.await.map(|_| ()).map_err(unavailable)
    }

    fn asked(&self, call: &Passed<Limited>) -> Asked {
        let arrival = call.arrival();
        let principal = call.principal();
        let subject = &call.caller().subject;
        let actor_is_user = subject.actor.kind == PartyKind::User;
        let actor = subject.actor.name.clone();
        let labels = call.context().labels();
        let rules = self.rules();
        let decided_by = call.dossier().read(|known| known.policy.clone());
        let permit = call.permit();
        let sources = call.sources().iter().map(|source| Origin {
            argument: source.argument.clone(),
            server: source.server.clone(),
            tool: source.tool.clone(),
            trusted: source.trusted,
        });
        Asked {
            call: call.arrival().call.to_string(),
            requester: Requester {
                key: principal.key(),
                agent: (!actor_is_user).then(|| actor.clone()),
                user: if actor_is_user {
                    Some(actor)
                } else {
                    principal.for_user().map(str::to_owned)
                },
                tenant: principal.tenant().map(str::to_owned),
            },
            action: call.action().as_str().to_owned(),
            server: call.resolution().server_name().map(ToString::to_string),
            tool: name(call.resolution()),
            args: arguments(call),
            beside: beside(call.arrival()),
            purpose: call.purpose().map(|purpose| purpose.to_string()),
            context: call.context().id().to_owned(),
            labels: words(&labels),
            sources: sources.collect(),
            reasons: permit
                .rules()
                .iter()
                .filter_map(|rule| rules.reason(rule).map(|reason| format!("{rule}: {reason}")))
                .collect(),
            pin: call.resolution().pin().map(|pin| pin.to_string()),
            // Of the rules that asked, whatever is in force by now.
            policy: decided_by.as_deref().unwrap_or_default().to_owned(),
            demands: permit.obligations().iter().filter_map(demand).collect(),
            session: arrival
                .session
                .as_deref()
                .filter(|_| arrival.revision == Revision::V2025_11_25)
                .map(str::to_owned),
        }
    }
}

fn demand(obligation: &Obligation) -> Option<Demand> {
    let Obligation::Approve { by, needed } = obligation else {
        return None;
    };
    Some(Demand {
        by: by.to_string(),
        needed: *needed,
    })
}

/// What holds the call, in words.
fn demanded(call: &Passed<Limited>) -> String {
    let wanted = call.permit().obligations().iter().filter_map(|obligation| {
        if let Obligation::StepUp { level, .. } = obligation {
            return Some(level.clone());
        }
        demand(obligation).map(|demand| format!("{} {}", demand.by, demand.needed))
    });
    wanted.collect::<Vec<_>>().join(", ")
}

fn held(request: &Request) -> Objection {
    let wanted: Vec<String> = request
        .asked
        .demands
        .iter()
        .map(|demand| format!("{} of {}", demand.needed, demand.by))
        .collect();
    let wanted = wanted.join(" and ");
    let id = &request.id;
    let inside = format!("held: approval `{id}` waits for {wanted}");
    let shown = format!(
        "held as approval {id} until {wanted} agrees (sallyport approvals approve {id} --as USER); then make \
         exactly the same call again, it passes once"
    );
    Objection {
        approval: Some(id.as_str().into()),
        ..Objection::new(&refusal::NOT_APPROVED, inside).showing(shown)
    }
}

fn broken(error: &StoreError) -> Objection {
    error.objection()
}

/// The full name of what is called.
fn name(resolution: &Resolution) -> String {
    match (resolution.item(), resolution.resource()) {
        (Some(item), _) => federated(item.server(), item.name()),
        (None, policy::Resource::Resource { uri, .. }) => uri.clone(),
        (None, policy::Resource::Model(facts)) => facts.name.clone(),
        (None, _) => resolution
            .server_name()
            .map_or_else(|| "the gateway".to_owned(), ToString::to_string),
    }
}

/// What is asked, as canonical JSON.
fn arguments(call: &Passed<Limited>) -> String {
    let message = &call.arrival().message;
    let text = match target(message) {
        Ok(Target::Tool { arguments, .. } | Target::Prompt { arguments, .. }) => {
            arguments.map_or_else(|| b"{}".to_vec(), canonical)
        }
        Ok(
            Target::Completion { .. }
            | Target::Model { .. }
            | Target::None
            | Target::Resource { .. }
            | Target::Task { .. },
        )
        | Err(_) => message.params().map_or_else(
            || b"{}".to_vec(),
            |params| {
                canonically(object(|out| {
                    out.members_except(params, &BY_OTHERS, &Edits::default())
                }))
            },
        ),
    };
    String::from_utf8_lossy(&text).into_owned()
}

/// What is no part of what is asked: `_meta` is told beside it, and answers to questions are the gateway's to give.
const BY_OTHERS: [&str; 3] = ["_meta", "inputResponses", "requestState"];

/// What goes to the server with what is asked, as canonical JSON. A trace is another one in each call, and does not go
/// with a call that people agree to (`reveal`).
fn beside(arrival: &Arrival) -> Option<String> {
    let said = flow::beside(arrival).into_iter();
    let mut said = said.filter(|one| !one.is_trace()).peekable();
    said.peek()?;
    let text = canonically(object(|out| flow::write_beside(said, out)));
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn canonically(text: Vec<u8>) -> Vec<u8> {
    let parsed = Document::parse(text.clone(), Keys::Folded, &wire::bounds::REQUEST);
    parsed.map_or(text, |document| canonical(document.root()))
}

fn words(labels: &Labels) -> Vec<String> {
    let mut words = vec![
        labels.integrity.as_str().to_owned(),
        labels.confidentiality.as_str().to_owned(),
    ];
    words.extend(labels.categories.iter().cloned());
    words
}
