//! Incidents: what was noticed, and what people do about it.

use std::sync::Arc;

use records::ledger::{Entry, Kind, entry::rfc3339};
use tokio::sync::watch;
use wire::json::{ObjectWriter, object};

use super::{Args, halts, write_list};
use crate::{
    evidence::incidents::{self, Incident, Signal, State},
    failure::Failure,
    listen::{House, stopped},
    operate::halts::{Halt, Target},
};

/// All of them, the newest first.
pub(super) fn list(house: &House) -> Vec<u8> {
    object(|out| {
        out.array("incidents", |list| {
            let all = house.engines.incidents.all();
            all.iter().for_each(|one| list.object(|out| write(one, out)));
        });
    })
}

/// One of them.
pub(super) fn show(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let incident = find(house, args)?;
    Ok(object(|out| write(&incident, out)))
}

/// Stops what set it off, or what a person says.
pub(super) async fn contain(house: &Arc<House>, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let incident = find(house, args)?;
    let target = match args.text("what") {
        Some(_) => halts::target(args)?,
        None => incident.culprit().ok_or_else(|| {
            Failure::configuration("nobody is known to have set it off; say whom to stop: `--server NAME`")
        })?,
    };
    let contained = stop(house, &incident, target, args.text("as")).await?;
    Ok(object(|out| write(&contained, out)))
}

/// A person has dealt with it. What is stopped stays so until it is lifted.
pub(super) async fn resolve(house: &Arc<House>, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let incident = find(house, args)?;
    let (by, how) = (args.text("as"), args.needed("why")?);
    if incident.state == State::Resolved {
        return Err(Failure::configuration(format!(
            "`{}` is resolved already",
            incident.id
        )));
    }
    let mut entry = entry(house, "resolved", &incident);
    entry.reason = Some(how.clone());
    if let Some(by) = &by {
        entry = entry.with("by", by.clone());
    }
    let written = house.engines.journal.ledger().append_durable(&entry).await;
    written
        .map_err(|error| Failure::other(format!("it could not be recorded, so it stays open: {error}")))?;
    let resolved = house.engines.incidents.resolve(&incident.id, by, how);
    let resolved = resolved.map_err(|error| Failure::other(error.to_string()))?;
    Ok(object(|out| write(resolved.as_ref().unwrap_or(&incident), out)))
}

/// Takes signals in until told to stop.
pub(crate) async fn keep_watch(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let Some(mut signals) = house.engines.incidents.signals() else {
        return;
    };
    loop {
        let signal = tokio::select! {
            () = stopped(&mut stop) => return,
            signal = signals.recv() => signal,
        };
        let Some(signal) = signal else { return };
        if let Err(failure) = note(&house, &signal).await {
            tracing::error!(error = %failure, "an incident cannot be kept as it should be");
        }
    }
}

/// Stores what is known of agents until told to stop.
pub(crate) async fn keep_pasts(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(incidents::KEEP) => {}
        }
        let keeping = Arc::clone(&house);
        let kept = tokio::task::spawn_blocking(move || keeping.engines.incidents.keep_pasts()).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(%error, "the past of an agent cannot be stored");
        }
    }
}

async fn note(house: &Arc<House>, signal: &Signal) -> Result<(), Failure> {
    let engines = &house.engines;
    let id = engines.ambient.name().to_string();
    let noted = engines.incidents.note(id, signal);
    let Some(incident) = noted.map_err(|error| Failure::other(error.to_string()))? else {
        return Ok(());
    };
    tracing::warn!(
        incident = incident.id,
        sign = incident.sign.as_str(),
        what = incident.what,
        "noticed"
    );
    let mut entry = entry(house, "opened", &incident);
    entry.reason = Some(incident.what.clone());
    entry.call.clone_from(&signal.call);
    engines.journal.ledger().append_soon(&entry);
    if let Some(target) = engines.incidents.stops(&incident) {
        stop(house, &incident, target, None).await?;
    }
    Ok(())
}

async fn stop(
    house: &Arc<House>,
    incident: &Incident,
    target: Target,
    by: Option<String>,
) -> Result<Incident, Failure> {
    let engines = &house.engines;
    let halt = Halt {
        target: target.clone(),
        why: format!("incident {}: {}", incident.id, incident.what),
        by: by.clone(),
        since_ms: engines.ambient.now_ms(),
    };
    halts::put(house, &halt).await?;
    let contained = engines.incidents.contained(&incident.id, target.clone());
    let contained = contained.map_err(|error| Failure::other(error.to_string()))?;
    let mut entry = entry(house, "contained", incident).with("target", target.to_string());
    if let Some(by) = by {
        entry = entry.with("by", by);
    }
    engines.journal.ledger().append_soon(&entry);
    Ok(contained.unwrap_or_else(|| incident.clone()))
}

fn find(house: &House, args: &Args<'_>) -> Result<Incident, Failure> {
    let id = args.needed("id")?;
    house.engines.incidents.find(&id).ok_or_else(|| {
        Failure::configuration(format!(
            "there is no incident `{id}`; see `sallyport incident list`"
        ))
    })
}

fn entry(house: &House, what: &str, incident: &Incident) -> Entry {
    let mut entry = house.engines.journal.about(Kind::Incident, what);
    let about = &incident.about;
    entry.principal.agent.clone_from(&about.agent);
    entry.principal.user.clone_from(&about.user);
    entry.server.clone_from(&about.server);
    entry.context.clone_from(&about.context);
    entry
        .with("incident", incident.id.clone())
        .with("sign", incident.sign.as_str())
}

fn write(incident: &Incident, out: &mut ObjectWriter<'_>) {
    let time = |ms: i64| rfc3339(u64::try_from(ms).unwrap_or(0));
    let about = &incident.about;
    out.string("id", &incident.id);
    out.string("kind", incident.sign.as_str());
    out.string("state", incident.state.as_str());
    for (name, text) in [
        ("agent", &about.agent),
        ("user", &about.user),
        ("server", &about.server),
        ("context", &about.context),
    ] {
        if let Some(text) = text {
            out.string(name, text);
        }
    }
    out.string("what", &incident.what);
    out.integer("count", incident.count);
    out.string("opened", &time(incident.opened_ms));
    out.string("last", &time(incident.last_ms));
    write_list(out, "calls", &incident.calls);
    let stopped: Vec<String> = incident.contained.iter().map(ToString::to_string).collect();
    write_list(out, "stopped", &stopped);
    if let Some((by, how)) = &incident.resolved {
        if let Some(by) = by {
            out.string("resolved_by", by);
        }
        out.string("resolution", how);
    }
}
