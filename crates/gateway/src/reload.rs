//! Rules and people as the files say them now, a second after they say it. What cannot be used changes
//! nothing: the old snapshot stays in force, and the record says why.
//!
//! INVARIANT (whole): rules are read, checked and compiled before anybody sees them, and swapped in one step;
//! a decision is made by one set of rules, never by parts of two.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use records::ledger::Kind;
use tokio::sync::watch;

use crate::{
    assemble,
    config::Meant,
    failure::Failure,
    listen::{House, stopped},
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a file looks like from outside.
type Stamp = Option<(SystemTime, u64)>;

/// Follows the files until told to stop. `load` reads and checks all of them.
pub(crate) async fn follow(
    house: Arc<House>,
    config: PathBuf,
    mut files: Vec<PathBuf>,
    load: impl Fn() -> Result<Meant, Failure> + Send + 'static,
    mut stop: watch::Receiver<bool>,
) {
    let mut known = stamps(&config, &files);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = stamps(&config, &files);
        if now == known {
            continue;
        }
        match load().and_then(|meant| apply(&house, &meant).map(|()| meant)) {
            Ok(meant) => {
                files = meant.files;
                known = stamps(&config, &files);
            }
            Err(failure) => {
                known = now;
                tracing::error!(error = %failure, "the configuration was changed and cannot be used; the old rules stay");
                house
                    .engines
                    .journal
                    .note(Kind::Policy, "rejected", &[("why", failure.to_string())]);
            }
        }
    }
}

/// Puts rules and people in force; all or nothing.
fn apply(house: &Arc<House>, meant: &Meant) -> Result<(), Failure> {
    let engines = &house.engines;
    let rules = assemble::rules(meant)?;
    let (old, new) = (engines.rules().digest().to_owned(), rules.digest().to_owned());
    *engines.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    let gone = engines.people.replace(&meant.parties);
    for name in gone {
        for session in engines.sessions.end_of_actor(&name) {
            engines.upstreams.end_session(&session.id);
        }
    }
    if old != new {
        engines
            .journal
            .note(Kind::Policy, "in-force", &[("policy", new), ("instead_of", old)]);
    }
    // Who may see what may have changed with it.
    engines.keeper.announce();
    Ok(())
}

fn stamps(config: &Path, files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    };
    std::iter::once(config)
        .chain(files.iter().map(PathBuf::as_path))
        .map(stamp)
        .collect()
}
