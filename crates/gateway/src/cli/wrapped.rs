//! The kill switch for servers that hosts wrap: each has a data directory of its own and no gateway to ask.
//!
//! What is stopped is put into that directory's store, which every process that wraps the server there reads again
//! and again ([`follow`]).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use records::ledger::Kind;
use tokio::sync::watch;
use wire::json::{Document, Keys, object};

use crate::{
    ambient::Ambient,
    config::{find, records::SaidOutcome},
    evidence::{
        incidents::{self, MeantIncidents},
        journal::{Digests, Journal},
    },
    failure::Failure,
    listen::{House, stopped},
    operate::{
        admin,
        halts::{Halt, Halts, Target},
    },
    storage::{
        payloads::Payloads,
        vault::{Layout, Vault},
    },
};

/// How many hosts may wrap the same server at a time; each needs a ledger of its own.
const PLACES_MAX: u32 = 64;
/// The file that says that a directory is a wrapper's, and of which server: a gateway's own directory has its own kill
/// switch, and its own operators.
const MARK: &str = "wrapped";
/// Whoever's host it is: the one principal behind a wrapper.
pub(super) const OWNER: &str = "owner";
/// How often a wrapper looks at what was stopped.
const LOOK: Duration = Duration::from_millis(250);

/// Where a server's state is kept when it is wrapped, unless it is said otherwise.
pub(super) fn usual(env: &dyn Fn(&str) -> Option<String>, server: &str) -> PathBuf {
    find::default_data(env).join("wrap").join(server)
}

/// Says of a data directory that the wrapper of a server keeps its state there.
pub(super) fn mark(data: &Path, server: &str) -> Result<(), Failure> {
    let mark = data.join(MARK);
    if std::fs::read_to_string(&mark).is_ok_and(|known| known == server) {
        return Ok(());
    }
    std::fs::write(&mark, server)
        .map_err(|error| Failure::configuration(format!("cannot write {}: {error}", mark.display())))
}

/// A ledger nobody writes now.
pub(super) fn vacant(data: &Path, ambient: &Ambient) -> Result<Vault, Failure> {
    let layout = Layout::new(data);
    for place in 0..PLACES_MAX {
        if let Some(vault) = Vault::try_open(&layout.at_place(place), ambient)? {
            return Ok(vault);
        }
    }
    Err(Failure::configuration(format!(
        "{PLACES_MAX} hosts wrap this server already; end some of them"
    )))
}

/// Heeds what is stopped in the data directory by others, until told to stop.
pub(super) async fn follow(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut trouble = false;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let halts = house.engines.halts.clone();
        let taken = tokio::task::spawn_blocking(move || halts.take_over()).await;
        let failed = match taken {
            Ok(Ok(changed)) => {
                if changed {
                    // The host has no other session to begin: its own goes on, refused, until it is lifted.
                    house.engines.keeper.heed_halts();
                    admin::look_at_lifted(&house, &Target::All);
                }
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        match failed {
            Some(error) if !trouble => {
                trouble = true;
                tracing::error!(error, "what is stopped cannot be read");
            }
            Some(_) => {}
            None => trouble = false,
        }
    }
}

/// The data directories of wrapped servers that are meant: one that is named, all, or that of one server. Whatever is
/// called there is called for one user; contexts may have begun anywhere.
pub(super) fn meant(named: Option<&Path>, target: &Target) -> Result<Vec<PathBuf>, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    if let Some(named) = named {
        return if is_one(named) {
            Ok(vec![named.to_owned()])
        } else {
            Err(Failure::configuration(format!(
                "nothing is wrapped in {}; say what `sallyport wrap --data` was given",
                named.display()
            )))
        };
    }
    let found = match target {
        Target::All | Target::Context(_) => every(&env),
        Target::User(name) if name == OWNER => every(&env),
        Target::Server(name) => vec![usual(&env, name)],
        Target::Agent(_) | Target::User(_) => Vec::new(),
    };
    Ok(found.into_iter().filter(|place| is_one(place)).collect())
}

/// The wrapped servers that go on whatever is said of somebody, because nobody of that name is known there.
pub(super) fn unreached(target: &Target) -> Vec<PathBuf> {
    let env = |name: &str| std::env::var(name).ok();
    match target {
        Target::User(name) if name == OWNER => Vec::new(),
        Target::Agent(_) | Target::User(_) => every(&env).into_iter().filter(|place| is_one(place)).collect(),
        Target::All | Target::Context(_) | Target::Server(_) => Vec::new(),
    }
}

/// Every directory where wrapped servers usually have theirs.
fn every(env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(usual(env, "")).into_iter().flatten();
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Whether a directory has what a wrapper keeps.
fn is_one(place: &Path) -> bool {
    place.join("state.db").is_file() && place.join(MARK).is_file()
}

/// What is done to the kill switch of a wrapped server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change<'a> {
    Stop {
        target: &'a Target,
        why: &'a str,
        by: Option<&'a str>,
    },
    Lift {
        /// Whatever is stopped there unless said: who lifts everything does not lift what was stopped by itself.
        target: Option<&'a Target>,
        why: Option<&'a str>,
        by: Option<&'a str>,
    },
}

/// Does it, in the store and in a ledger of that directory. Says whether that changed anything.
pub(super) async fn change(place: &Path, change: Change<'_>) -> Result<bool, Failure> {
    let ambient = Ambient::system();
    let vault = vacant(place, &ambient)?;
    let done = change_in(place, &vault, ambient, change).await;
    vault.close().await;
    done
}

/// A target as it is called behind the wrapper, which may know the server by another name than its directory's.
fn own(place: &Path, target: &Target) -> Result<Target, Failure> {
    let Target::Server(_) = target else {
        return Ok(target.clone());
    };
    let mark = place.join(MARK);
    std::fs::read_to_string(&mark)
        .map(Target::Server)
        .map_err(|error| Failure::configuration(format!("{}: {error}", mark.display())))
}

async fn change_in(
    place: &Path,
    vault: &Vault,
    ambient: Ambient,
    change: Change<'_>,
) -> Result<bool, Failure> {
    let failed = |error: crate::storage::store::StoreError| Failure::other(error.to_string());
    let halts = Halts::open(vault.store().clone()).map_err(failed)?;
    let journal = journal(vault, ambient.clone())?;
    match change {
        Change::Stop { target, why, by } => {
            let halt = Halt {
                target: own(place, target)?,
                why: why.to_owned(),
                by: by.map(str::to_owned),
                since_ms: ambient.now_ms(),
            };
            halts.put(&halt).map_err(failed)?;
            recorded(&journal, "stopped", &halt.target, Some(why), by).await?;
            Ok(true)
        }
        Change::Lift { target, why, by } => {
            let target = target.map(|target| own(place, target)).transpose()?;
            let mut lifted = false;
            for halt in halts.all() {
                if target.as_ref().is_none_or(|target| halt.target == *target) {
                    // It goes on only once it is on record that it may.
                    recorded(&journal, "lifted", &halt.target, why, by).await?;
                    lifted |= halts.lift(&halt.target).map_err(failed)?.is_some();
                }
            }
            Ok(lifted)
        }
    }
}

/// What is stopped in a directory, in the words of `sallyport stop --list`.
pub(super) async fn listed(place: &Path) -> Result<Vec<Document>, Failure> {
    let vault = vacant(place, &Ambient::system())?;
    let halts = Halts::open(vault.store().clone()).map(|halts| halts.all());
    vault.close().await;
    let halts = halts.map_err(|error| Failure::other(error.to_string()))?;
    let said = halts.iter().map(|halt| {
        object(|out| {
            admin::write_halt(halt, out);
            out.string("wrapped", &place.display().to_string());
        })
    });
    said.map(|text| Document::parse(text, Keys::Exact, &wire::bounds::ANSWER))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::other(error.to_string()))
}

async fn recorded(
    journal: &Journal,
    what: &str,
    target: &Target,
    why: Option<&str>,
    by: Option<&str>,
) -> Result<(), Failure> {
    let mut entry = journal.about(Kind::Incident, what);
    entry.reason = why.map(str::to_owned);
    let mut entry = entry.with("target", target.to_string());
    if let Some(by) = by {
        entry = entry.with("by", by);
    }
    let written = journal.ledger().append_durable(&entry).await;
    written
        .map(drop)
        .map_err(|error| Failure::other(format!("that it is {what} could not be recorded: {error}")))
}

/// Writes the ledger of a vault, and nothing else.
fn journal(vault: &Vault, ambient: Ambient) -> Result<Journal, Failure> {
    let (watch, _) = incidents::open(vault.store().clone(), MeantIncidents::default())
        .map_err(|error| Failure::other(error.to_string()))?;
    let digests = Digests::new(vault.digester().clone(), vault.subjects().clone());
    let ledger = vault.ledger().clone();
    let outcome = SaidOutcome::default();
    Ok(Journal::new(
        ledger,
        digests,
        Payloads::none(),
        ambient,
        watch,
        outcome,
    ))
}
