//! Access reviews: what agents may do, and people who certify it or take it away.

use std::{collections::BTreeMap, sync::Arc};

use policy::{Action, PartyKind, Resource, rules::Foresight};
use records::ledger::{Kind, entry::rfc3339};
use tokio::sync::watch;
use wire::json::{ObjectWriter, object};

use super::{Args, count, weigh};
use crate::{
    assemble,
    failure::Failure,
    known::reviews::{Certified, Revoked},
    listen::{House, stopped},
    storage::store::StoreError,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::other(error.to_string())
    }
}

/// What an agent may do with a tool, for whomever and for whatever purpose: the most of it.
struct Grant {
    verdict: Foresight,
    sink: &'static str,
}

/// What each agent may do, and when somebody looked at it last.
pub(super) fn show(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let only = args.text("agent");
    let mut agents = Vec::new();
    for person in house.engines.people.clients() {
        let name = &person.party.name;
        if only.as_ref().is_none_or(|only| only == name) {
            agents.push((name.clone(), Certified::of(&house.store, name)?));
        }
    }
    if let (Some(only), true) = (&only, agents.is_empty()) {
        return Err(unknown(only));
    }
    let all = grants(house);
    let revoked = Revoked::all(&house.store)?;
    Ok(object(|out| {
        out.array("agents", |list| {
            for (name, certified) in &agents {
                list.object(|out| {
                    out.string("agent", name);
                    write_review(house, certified.as_ref(), out);
                    out.array("grants", |list| {
                        for (target, grant) in all.get(name).into_iter().flatten() {
                            list.object(|out| {
                                out.string("target", target);
                                out.string("verdict", grant.verdict.as_str());
                                out.string("sink", grant.sink);
                            });
                        }
                    });
                    out.array("revoked", |list| {
                        let own = revoked
                            .iter()
                            .filter(|one| one.who.split_once(':').is_some_and(|(_, n)| n == name));
                        own.for_each(|one| list.string(&one.target));
                    });
                });
            }
        });
    }))
}

fn write_review(house: &House, certified: Option<&Certified>, out: &mut ObjectWriter<'_>) {
    let time = |ms: i64| rfc3339(u64::try_from(ms).unwrap_or(0));
    if let Some(certified) = certified {
        out.string("certified", &time(certified.at_ms));
        out.string("by", &certified.by);
    }
    out.boolean("overdue", is_overdue(house, certified));
}

/// Whether it is time to look again. Nobody is late where nothing is scheduled.
fn is_overdue(house: &House, certified: Option<&Certified>) -> bool {
    let engines = &house.engines;
    let Some(days) = engines.review_days else {
        return false;
    };
    let every_ms = i64::from(days).saturating_mul(DAY_MS);
    certified.is_none_or(|last| engines.ambient.now_ms().saturating_sub(last.at_ms) > every_ms)
}

/// A person certifies what an agent may do.
pub(super) async fn certify(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (agent, by) = (args.needed("agent")?, reviewer(house, args)?);
    house
        .engines
        .people
        .client(&agent)
        .ok_or_else(|| unknown(&agent))?;
    let certified = Certified {
        grants: grants(house).get(&agent).map_or(0, |own| count(own.len())),
        policy: house.engines.rules().digest().to_owned(),
        at_ms: house.engines.ambient.now_ms(),
        agent,
        by,
    };
    record(house, "access-certified", (&certified.agent, &certified.by), None).await?;
    certified.keep(&house.store)?;
    Ok(object(|out| {
        out.string("agent", &certified.agent);
        out.integer("grants", certified.grants);
        write_review(house, Some(&certified), out);
    }))
}

/// A person takes away what an agent may do with tools.
pub(super) async fn revoke(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (agent, by, targets) = (
        args.needed("agent")?,
        reviewer(house, args)?,
        args.list("targets"),
    );
    let who = who(house, &agent)?;
    let own = grants(house).remove(&agent).unwrap_or_default();
    for target in &targets {
        // A misspelt name would take nothing away.
        if !own.contains_key(target) {
            return Err(Failure::configuration(format!(
                "`{agent}` may do nothing with `{target}`; see `sallyport review --agent {agent}`"
            )));
        }
    }
    let at_ms = house.engines.ambient.now_ms();
    for target in &targets {
        let revoked = Revoked {
            who: who.clone(),
            target: target.clone(),
            by: by.clone(),
            at_ms,
        };
        // What is no rule takes nothing away, and must not be kept as one.
        revoked.rule()?;
        revoked.keep(&house.store)?;
        record(house, "access-revoked", (&agent, &by), Some(target)).await?;
    }
    assemble::review_again(house)?;
    Ok(told(&agent, "revoked", &targets))
}

/// A person gives back what was taken away; what rules say of it counts again.
pub(super) async fn restore(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (agent, by, targets) = (
        args.needed("agent")?,
        reviewer(house, args)?,
        args.list("targets"),
    );
    let all = Revoked::all(&house.store)?;
    for target in &targets {
        let is_it = |one: &&Revoked| {
            one.target == *target && one.who.split_once(':').is_some_and(|(_, name)| name == agent)
        };
        let found = all.iter().find(is_it).ok_or_else(|| {
            Failure::configuration(format!("no review took `{target}` away from `{agent}`"))
        })?;
        record(house, "access-restored", (&agent, &by), Some(target)).await?;
        found.forget(&house.store)?;
    }
    assemble::review_again(house)?;
    Ok(told(&agent, "restored", &targets))
}

/// Says once a day, and at the start, which reviews are overdue.
pub(crate) async fn remind(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut said: BTreeMap<String, i64> = BTreeMap::new();
    loop {
        let now_ms = house.engines.ambient.now_ms();
        for person in house.engines.people.clients() {
            let name = person.party.name.clone();
            let Ok(certified) = Certified::of(&house.store, &name) else {
                continue;
            };
            let lately = said.get(&name).is_some_and(|said_ms| now_ms - said_ms < DAY_MS);
            if is_overdue(&house, certified.as_ref()) && !lately {
                tracing::warn!(
                    agent = name,
                    "the access review is overdue; see `sallyport review`"
                );
                let detail = [("agent", name.clone())];
                house
                    .engines
                    .journal
                    .note(Kind::Policy, "access-review-overdue", &detail);
                said.insert(name, now_ms);
            }
        }
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(std::time::Duration::from_secs(60 * 60)) => {}
        }
    }
}

/// What agents and services may do with tools, by the rules in force.
fn grants(house: &House) -> BTreeMap<String, BTreeMap<String, Grant>> {
    let rank = |verdict| match verdict {
        Foresight::Refused => 0,
        Foresight::Held => 1,
        Foresight::Depends => 2,
        Foresight::Permitted => 3,
    };
    let mut all: BTreeMap<String, BTreeMap<String, Grant>> = BTreeMap::new();
    for (cell, verdict) in weigh::foreseen(house) {
        let (Some(agent), Action::Invoke, Resource::Tool(facts)) = (cell.agent, cell.action, &cell.resource)
        else {
            continue;
        };
        if verdict == Foresight::Refused {
            continue;
        }
        let grant = Grant {
            verdict,
            sink: facts.sink.as_str(),
        };
        let own = all.entry(agent).or_default();
        let kept = own.get(&cell.name);
        if kept.is_none_or(|kept| rank(kept.verdict) < rank(verdict)) {
            own.insert(cell.name, grant);
        }
    }
    all
}

/// Who reviews: a person, and known.
fn reviewer(house: &House, args: &Args<'_>) -> Result<String, Failure> {
    let name = args.needed("as")?;
    match house.engines.people.user(&name) {
        Some(_) => Ok(name),
        None => Err(Failure::refused(format!(
            "there is no user `{name}`; only a person reviews"
        ))),
    }
}

fn who(house: &House, agent: &str) -> Result<String, Failure> {
    let person = house.engines.people.client(agent).ok_or_else(|| unknown(agent))?;
    Ok(match person.party.kind {
        PartyKind::Service => format!("service:{agent}"),
        PartyKind::Agent | PartyKind::User => format!("agent:{agent}"),
    })
}

fn unknown(agent: &str) -> Failure {
    Failure::configuration(format!("there is no agent `{agent}`; see `sallyport agent list`"))
}

async fn record(
    house: &House,
    what: &str,
    (agent, by): (&str, &str),
    target: Option<&str>,
) -> Result<(), Failure> {
    let journal = &house.engines.journal;
    let mut entry = journal.about(Kind::Policy, what).with("by", by);
    entry.principal.agent = Some(agent.to_owned());
    if let Some(target) = target {
        entry = entry.with("target", target);
    }
    let written = journal.ledger().append_durable(&entry).await;
    written
        .map(drop)
        .map_err(|error| Failure::other(format!("it could not be recorded: {error}")))
}

fn told(agent: &str, what: &str, targets: &[String]) -> Vec<u8> {
    object(|out| {
        out.string("agent", agent);
        out.array(what, |list| targets.iter().for_each(|target| list.string(target)));
    })
}
