//! The kill switch: stop, and lift.

use std::sync::Arc;

use records::ledger::Kind;
use wire::json::{ObjectWriter, object};

use super::{
    Args, Names,
    operators::{self, Agreed},
};
use crate::{
    engines::context_of,
    failure::Failure,
    listen::House,
    operate::halts::{Halt, Scope, Target},
};

/// All that is stopped.
pub(super) fn list(house: &House) -> Vec<u8> {
    object(|out| {
        out.array("stopped", |list| {
            let halts = house.engines.halts.all();
            halts.iter().for_each(|halt| list.object(|out| write(halt, out)));
        });
    })
}

/// Stops something, from now on and over restarts.
pub(super) async fn stop(house: &Arc<House>, args: &Args<'_>, names: Names) -> Result<Vec<u8>, Failure> {
    let target = target(args)?;
    match names {
        Names::Any => {}
        Names::Known => known(house, &target)?,
    }
    let halt = Halt {
        target,
        why: args.text("why").unwrap_or_else(|| "a person said so".to_owned()),
        by: args.text("as"),
        since_ms: house.engines.ambient.now_ms(),
    };
    put(house, &halt).await?;
    let unknown = match &halt.target {
        Target::Context(id) => !house.engines.contexts.kept(id).is_ok_and(|kept| kept.is_some()),
        Target::Agent(_) | Target::All | Target::Server(_) | Target::User(_) => false,
    };
    Ok(object(|out| {
        write(&halt, out);
        if unknown {
            out.boolean("known", false);
        }
    }))
}

/// Lets something go on that was stopped.
pub(super) async fn lift(house: &Arc<House>, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let target = target(args)?;
    let engines = &house.engines;
    let halts = engines.halts.all();
    let Some(halt) = halts.iter().find(|halt| halt.target == target) else {
        return Err(Failure::configuration(format!(
            "`{target}` is not stopped; see `sallyport stop --list`"
        )));
    };
    let exactly = format!("{target} since {}", halt.since_ms);
    let agreed = operators::agree(house, args, &format!("stop {target} --lift"), &exactly).await?;
    if let Agreed::Waits(answer) = agreed {
        return Ok(answer);
    }
    let by = args.text("as");
    // It goes on only once it is on record that it may.
    recorded(house, "lifted", &target, args.text("why"), by.as_deref()).await?;
    let lifted = engines.halts.lift(&target);
    let lifted = lifted.map_err(|error| Failure::other(error.to_string()))?;
    engines.keeper.heed_halts();
    look_again(house, &target);
    Ok(object(|out| {
        out.string("lifted", &target.to_string());
        if let Some(halt) = lifted {
            out.string("why", &halt.why);
        }
    }))
}

/// Stops something: in memory, then on disk, then for good what goes on meanwhile.
pub(crate) async fn put(house: &Arc<House>, halt: &Halt) -> Result<(), Failure> {
    let engines = &house.engines;
    let stored = engines.halts.put(halt);
    heed(house);
    let why = Some(halt.why.clone());
    let recorded = recorded(house, "stopped", &halt.target, why, halt.by.as_deref()).await;
    stored.map_err(|error| {
        Failure::other(format!(
            "`{}` is stopped, but would not be after a restart: {error}",
            halt.target
        ))
    })?;
    recorded
}

/// Ends for good what goes on and is stopped.
pub(crate) fn heed(house: &House) {
    let engines = &house.engines;
    engines.keeper.heed_halts();
    for session in engines.sessions.all() {
        let caller = session.caller();
        let context = context_of(&caller.principal);
        let scope = Scope {
            principal: &caller.principal,
            context: Some(&context),
            server: None,
        };
        if engines.halts.of(scope).is_some() {
            engines.sessions.end(&session.id);
            engines.upstreams.end_session(&session.id);
        }
    }
}

async fn recorded(
    house: &House,
    what: &str,
    target: &Target,
    why: Option<String>,
    by: Option<&str>,
) -> Result<(), Failure> {
    let mut entry = house.engines.journal.about(Kind::Incident, what);
    entry.reason = why;
    match target {
        Target::All | Target::User(_) => {}
        Target::Agent(name) => entry.principal.agent = Some(name.clone()),
        Target::Context(id) => entry.context = Some(id.clone()),
        Target::Server(name) => entry.server = Some(name.clone()),
    }
    let mut entry = entry.with("target", target.to_string());
    if let Some(by) = by {
        entry = entry.with("by", by);
    }
    let written = house.engines.journal.ledger().append_durable(&entry).await;
    written.map(drop).map_err(|error| {
        let done = if what == "stopped" {
            "is stopped"
        } else {
            "stays stopped"
        };
        Failure::other(format!(
            "`{target}` {done}, and that could not be recorded: {error}"
        ))
    })
}

/// Servers that may run again are looked at: they may have changed meanwhile.
pub(crate) fn look_again(house: &House, target: &Target) {
    let keeper = &house.engines.keeper;
    for server in keeper.view().registry.servers() {
        let concerned = match target {
            Target::All => true,
            Target::Server(name) => server.name.as_str() == name,
            Target::Agent(_) | Target::Context(_) | Target::User(_) => false,
        };
        if concerned && server.may_start() {
            keeper.look_again(&server.name);
        }
    }
}

/// What an operation is about.
pub(super) fn target(args: &Args<'_>) -> Result<Target, Failure> {
    let what = args.needed("what")?;
    Target::parse(&what, args.text("name"))
        .ok_or_else(|| Failure::configuration(format!("`{what}` is nothing that can be stopped like that")))
}

/// A misspelt name would stop nothing, and nobody would know.
fn known(house: &House, target: &Target) -> Result<(), Failure> {
    let engines = &house.engines;
    let is_known = match target {
        Target::All | Target::Context(_) => true,
        // Names with a slash are an external issuer's, who alone knows them all.
        Target::Agent(name) => name.contains('/') || engines.people.client(name).is_some(),
        Target::User(name) => name.contains('/') || engines.people.user(name).is_some(),
        Target::Server(name) => engines.keeper.server(name).is_ok(),
    };
    if is_known {
        return Ok(());
    }
    Err(Failure::configuration(format!(
        "there is no {target}, so nothing was stopped; see `sallyport agent list` and `sallyport server list`"
    )))
}

/// As `sallyport stop --list` says it.
pub(crate) fn write(halt: &Halt, out: &mut ObjectWriter<'_>) {
    out.string("stopped", &halt.target.to_string());
    out.string("why", &halt.why);
    if let Some(by) = &halt.by {
        out.string("by", by);
    }
    let since = u64::try_from(halt.since_ms).unwrap_or(0);
    out.string("since", &records::ledger::entry::rfc3339(since));
}
