//! People: whether those agreed whom the permit names. See `docs/approvals.md`.

mod desk;
mod request;
#[cfg(test)]
mod tests;

use pipeline::{Objection, Passed, Resolution, decide::Limited, ports::Approvals, refusal};
use policy::{Labels, Obligation, Party, PartyKind};
use records::ledger::Decision;
use wire::{
    json::{Document, Edits, Keys, Node, canonical, object},
    mcp::{Target, federated, target},
};

use desk::Answer;
pub(crate) use desk::{DecideError, Desk};
pub(crate) use request::Request;
use request::{Asked, Demand, Origin, Requester};

use super::Engines;
use crate::{config::said::Mode, store::StoreError};

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
        for obligation in call.permit().obligations() {
            if let Obligation::StepUp(method) = obligation {
                let why =
                    format!("the permit demands `{method}`, and no credential here says how it was made");
                return Err(Objection::new(&refusal::NOT_APPROVED, why));
            }
        }
        let asked = self.asked(call);
        let id = self.ambient.name();
        let answer = self
            .desk
            .ask(asked, &id, self.ambient.now_ms(), |name| self.party(name))
            .map_err(|error| broken(&error))?;
        match answer {
            Answer::Agreed(request) => {
                self.tell(&request, "used", Decision::Permit, None).await?;
                call.dossier()
                    .note(|known| known.approval = Some(request.id.clone()));
                Ok(())
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
                Err(held(&request))
            }
            Answer::TooMuch(why) => Err(Objection::new(&refusal::NOT_APPROVED, why).showing(why)),
            Answer::Waiting(request) => Err(held(&request)),
        }
    }
}

impl Engines {
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
        let principal = call.principal();
        let subject = &call.caller().subject;
        let actor_is_user = subject.actor.kind == PartyKind::User;
        let actor = subject.actor.name.clone();
        let labels = call.context().labels();
        let rules = self.rules();
        let permit = call.permit();
        let demands = permit
            .obligations()
            .iter()
            .filter_map(|obligation| match obligation {
                Obligation::Approve { by, needed } => Some(Demand {
                    by: by.to_string(),
                    needed: *needed,
                }),
                Obligation::Fields(_)
                | Obligation::Label(_)
                | Obligation::Limit(_)
                | Obligation::Pseudonymise(_)
                | Obligation::Redact(_)
                | Obligation::Review(_)
                | Obligation::StepUp(_) => None,
            });
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
            policy: rules.digest().to_owned(),
            demands: demands.collect(),
        }
    }
}

fn demanded(call: &Passed<Limited>) -> String {
    let wanted = call
        .permit()
        .obligations()
        .iter()
        .filter_map(|obligation| match obligation {
            Obligation::Approve { by, needed } => Some(format!("{by} {needed}")),
            Obligation::StepUp(method) => Some(method.clone()),
            Obligation::Fields(_)
            | Obligation::Label(_)
            | Obligation::Limit(_)
            | Obligation::Pseudonymise(_)
            | Obligation::Redact(_)
            | Obligation::Review(_) => None,
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
    Objection::new(&refusal::INTERNAL, error.to_string())
}

/// The full name of what is called.
fn name(resolution: &Resolution) -> String {
    match (resolution.item(), resolution.resource()) {
        (Some(item), _) => federated(item.server(), item.name()),
        (None, policy::Resource::Resource { uri, .. }) => uri.clone(),
        (None, _) => resolution
            .server_name()
            .map_or_else(|| "the gateway".to_owned(), ToString::to_string),
    }
}

/// What is sent, as canonical JSON. `_meta` differs from call to call and is not what happens.
fn arguments(call: &Passed<Limited>) -> String {
    let message = &call.arrival().message;
    let text = match target(message) {
        Ok(Target::Tool { arguments, .. } | Target::Prompt { arguments, .. }) => {
            arguments.map_or_else(|| b"{}".to_vec(), canonical)
        }
        Ok(Target::Completion { .. } | Target::None | Target::Resource { .. } | Target::Task { .. })
        | Err(_) => message.params().map_or_else(|| b"{}".to_vec(), without_meta),
    };
    String::from_utf8_lossy(&text).into_owned()
}

fn without_meta(params: Node<'_>) -> Vec<u8> {
    let rest = object(|out| out.members_except(params, &["_meta"], &Edits::default()));
    let parsed = Document::parse(rest.clone(), Keys::Folded, &wire::bounds::REQUEST);
    parsed.map_or(rest, |document| canonical(document.root()))
}

fn words(labels: &Labels) -> Vec<String> {
    let mut words = vec![
        labels.integrity.as_str().to_owned(),
        labels.confidentiality.as_str().to_owned(),
    ];
    words.extend(labels.categories.iter().cloned());
    words
}
