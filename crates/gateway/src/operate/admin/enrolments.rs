//! Programs that ask to become agents: what a person decides about them.

use std::sync::Arc;

use identity::Model;
use records::ledger::Kind;
use wire::json::object;

use super::{Args, agents};
use crate::{
    failure::Failure,
    known::enrolments::{EnrolError, Enrolment, Standing},
    listen::House,
    storage::store::StoreError,
};

/// The fewest characters of a thumbprint that name it.
const PREFIX_MIN: usize = 8;

pub(super) fn list(house: &House) -> Vec<u8> {
    let waiting = house.enrolments.all(house.engines.ambient.now_ms());
    object(|out| {
        out.array("requests", |list| {
            for (key, one) in &waiting {
                list.object(|out| {
                    out.string("key", key);
                    out.string("name", &one.name);
                    if let Some(model) = &one.model {
                        out.string("model", &said(model));
                    }
                    out.string("peer", &one.peer);
                    out.integer("asked_ms", one.asked_ms);
                    out.string(
                        "state",
                        match one.state {
                            Standing::Denied => "denied",
                            Standing::Waiting => "waiting",
                        },
                    );
                });
            }
        });
    })
}

fn said(model: &Model) -> String {
    match &model.version {
        None => model.name.clone(),
        Some(version) => format!("{} {version}", model.name),
    }
}

/// A person lets one in: with the rights the person gives, and the key that asked.
pub(super) fn approve(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (key, one) = waiting(house, args)?;
    // It may have got in by another way meanwhile. With one key for two, neither is known by it.
    if let Some(agent) = house.engines.people.by_key(&key) {
        let id = agent.id;
        return Err(Failure::configuration(format!(
            "the key is that of `{id}` already"
        )));
    }
    let name = args.text("name");
    if name.is_none() && agents::was_revoked(house, &one.name)? {
        let name = one.name;
        return Err(Failure::configuration(format!(
            "an agent `{name}` was revoked, and rules may still name it; `--name` says which name this one gets"
        )));
    }
    let name = name.unwrap_or_else(|| one.name.clone());
    let answer = agents::enrol(house, args, name, Arc::new(one.keys), one.model)?;
    house
        .enrolments
        .end(&key)
        .map_err(|error| Failure::other(error.to_string()))?;
    Ok(answer)
}

/// A person does not.
pub(super) fn deny(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (key, one) = waiting(house, args)?;
    let engines = &house.engines;
    let detail = [("agent", one.name.clone()), ("key", key.clone())];
    engines.journal.note(Kind::Key, "agent-denied", &detail);
    let denied = Enrolment {
        state: Standing::Denied,
        ..one
    };
    let kept = house.enrolments.put(&key, denied, engines.ambient.now_ms());
    kept.map_err(|error| match error {
        EnrolError::Crowded(_) => Failure::other("there are too many"),
        EnrolError::Store(error) => Failure::other(error.to_string()),
    })?;
    Ok(object(|out| out.string("denied", &key)))
}

/// The one that waits with this key. Names are whatever somebody liked to say; keys are not.
fn waiting(house: &House, args: &Args<'_>) -> Result<(String, Enrolment), Failure> {
    let named = args.needed("key")?;
    let unread = |error: StoreError| Failure::other(error.to_string());
    house.enrolments.take_over().map_err(unread)?;
    let all = house.enrolments.all(house.engines.ambient.now_ms());
    let mut found = all
        .into_iter()
        .filter(|(key, one)| one.state == Standing::Waiting && key.starts_with(&named));
    let unknown = || {
        Failure::configuration(format!(
            "no request waits with the key `{named}`; see `sallyport agent requests`"
        ))
    };
    let one = found
        .next()
        .filter(|_| named.len() >= PREFIX_MIN)
        .ok_or_else(unknown)?;
    match found.next() {
        None => Ok(one),
        Some(_) => Err(Failure::configuration(format!(
            "several keys begin with `{named}`; write more of it"
        ))),
    }
}
