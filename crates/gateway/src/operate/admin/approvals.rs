//! Human approval: what waits, and what people say to it.

use policy::Party;
use records::ledger::entry::rfc3339;
use wire::json::{ObjectWriter, object};

use super::Args;
use crate::{
    engines::{DecideError, Request, Say, Similar},
    failure::Failure,
    listen::House,
};

/// Everything that waits; where a person looks, what does in their tenant.
pub(super) fn list(house: &House, args: &Args<'_>) -> Vec<u8> {
    let engines = &house.engines;
    object(|out| {
        out.array("approvals", |list| {
            for request in engines.desk.list(engines.ambient.now_ms()) {
                if may_see(house, args, &request) {
                    list.object(|out| write(house, &request, out));
                }
            }
        });
    })
}

/// Whether whoever looks is in the tenant it was asked in. Whoever owns this machine sees all.
fn may_see(house: &House, args: &Args<'_>, request: &Request) -> bool {
    let viewer = args.text("as");
    viewer.is_none_or(|name| {
        house
            .engines
            .party(&name)
            .is_some_and(|party| request.concerns(&party))
    })
}

/// One of them.
pub(super) fn show(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let id = args.needed("id")?;
    let request = find(house, &id)?;
    if !may_see(house, args, &request) {
        return Err(Failure::configuration(DecideError::Unknown(id).to_string()));
    }
    Ok(object(|out| write(house, &request, out)))
}

/// A person agrees: to this call, or to calls within bounds.
pub(super) async fn approve(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let bounds = args.list("let");
    let number = |name: &str, otherwise: u64| match args.text(name) {
        None => Ok(otherwise),
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| Failure::configuration(format!("`{name}`: `{text}` is not a number"))),
    };
    let (uses, seconds) = (number("uses", 10)?, number("seconds", 3600)?);
    if bounds.is_empty() {
        return decide(house, args, Say::Yes).await;
    }
    let request = find(house, &args.needed("id")?)?;
    let uses = u32::try_from(uses).unwrap_or(u32::MAX);
    let similar = Similar::parse(&bounds, uses, seconds, &request.asked.args);
    decide(
        house,
        args,
        Say::YesToSimilar(similar.map_err(Failure::configuration)?),
    )
    .await
}

/// A person says no.
pub(super) async fn deny(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let why = args.text("why").unwrap_or_else(|| "a person said no".to_owned());
    decide(house, args, Say::No(why)).await
}

async fn decide(house: &House, args: &Args<'_>, say: Say) -> Result<Vec<u8>, Failure> {
    let engines = &house.engines;
    let id = args.needed("id")?;
    let name = args.needed("as")?;
    let party = engines.party(&name).ok_or_else(|| not_a_person(house, &name))?;
    let taken = engines.decide(&id, &party, say).await;
    let request = taken.map_err(|error| match error {
        DecideError::NotTheirs(why) => Failure::refused(why),
        DecideError::Store(_) | DecideError::Unrecorded(_) => Failure::other(error.to_string()),
        DecideError::Unknown(_) => Failure::configuration(error.to_string()),
    })?;
    Ok(object(|out| write(house, &request, out)))
}

/// A question that waits, or stands.
pub(crate) fn find(house: &House, id: &str) -> Result<Request, Failure> {
    let engines = &house.engines;
    let mut all = engines.desk.list(engines.ambient.now_ms()).into_iter();
    all.find(|request| request.id == id)
        .ok_or_else(|| Failure::configuration(DecideError::Unknown(id.to_owned()).to_string()))
}

fn not_a_person(house: &House, name: &str) -> Failure {
    if house.engines.people.client(name).is_some() {
        return Failure::refused(format!(
            "`{name}` is an agent or a service; only a person can decide"
        ));
    }
    Failure::configuration(format!(
        "there is no user `{name}`; people are listed under `users`"
    ))
}

pub(crate) fn write(house: &House, request: &Request, out: &mut ObjectWriter<'_>) {
    let asked = &request.asked;
    let person = |name: &str| -> Option<Party> { house.engines.party(name) };
    let (needed, given) = (request.needed(), request.given(person));
    let time = |ms: i64| rfc3339(u64::try_from(ms).unwrap_or(0));
    out.string("id", &request.id);
    out.string("call", &asked.call);
    out.string("state", state(request, needed, given));
    out.object("requester", |out| {
        for (name, text) in [
            ("user", &asked.requester.user),
            ("agent", &asked.requester.agent),
            ("tenant", &asked.requester.tenant),
        ] {
            if let Some(text) = text {
                out.string(name, text);
            }
        }
    });
    out.string("action", &asked.action);
    out.string("tool", &asked.tool);
    out.json("args", asked.args.as_bytes());
    if let Some(beside) = &asked.beside {
        out.json("beside", beside.as_bytes());
    }
    if let Some(purpose) = &asked.purpose {
        out.string("purpose", purpose);
    }
    out.array("labels", |list| {
        asked.labels.iter().for_each(|word| list.string(word))
    });
    out.array("sources", |list| {
        for source in &asked.sources {
            list.object(|out| {
                out.string("argument", source.argument());
                out.string("server", &source.server);
                out.string("tool", &source.tool);
                out.boolean("trusted", source.trusted);
            });
        }
    });
    out.array("reasons", |list| {
        asked.reasons.iter().for_each(|why| list.string(why))
    });
    out.string("asked", &time(request.opened_ms));
    out.string("expires", &time(request.expires_ms));
    out.integer("needed", needed);
    out.integer("given", given);
    out.array("by", |list| {
        for demand in &asked.demands {
            list.object(|out| {
                out.string("who", &demand.by);
                out.integer("needed", demand.needed);
            });
        }
    });
    out.array("agreed", |list| {
        request.given.iter().for_each(|word| list.string(&word.by))
    });
    if let Some(word) = &request.denied {
        out.string("denied_by", &word.by);
    }
    let similar = request.given.first().and_then(|word| word.similar.as_ref());
    if let Some(similar) = similar {
        out.object("similar", |out| {
            out.object("bounds", |out| {
                similar
                    .bounds
                    .iter()
                    .for_each(|(name, bound)| out.string(name, bound))
            });
            out.integer("uses", similar.uses);
            out.integer("seconds", similar.seconds);
            if let Some(standing) = &request.standing {
                out.integer("left", standing.left);
            }
        });
    }
    if let Some(pin) = &asked.pin {
        out.string("pin", pin);
    }
    out.string("policy", &asked.policy);
    out.string("binding", &request.binding);
}

fn state(request: &Request, needed: u64, given: u64) -> &'static str {
    if request.denied.is_some() {
        "denied"
    } else if request.standing.is_some() {
        "standing"
    } else if given >= needed {
        "granted"
    } else {
        "waiting"
    }
}
