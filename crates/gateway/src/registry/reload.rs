//! Rules and people as the files say them now, within seconds after they say it. What cannot be used changes
//! nothing: the old snapshot stays in force, and the log and the ledger say why.
//!
//! INVARIANT (whole): rules are read, checked and compiled before anybody sees them, and swapped in one step;
//! a decision is made by one set of rules, never by parts of two. Files are read only when they have not
//! changed for a while: half a file may be good rules without their last `forbid`. A file that was emptied is no
//! change either: a disk that is full leaves such files, and so do editors for a while.

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use records::ledger::Kind;
use tokio::sync::watch;

use crate::{
    assemble,
    config::{Meant, standing::Standing},
    failure::Failure,
    listen::{House, stopped},
    operate::admin,
    registry::policy_version,
    storage::store::aside,
};

/// How often the files are looked at. A change is in force at the second look after it.
const LOOK: Duration = Duration::from_secs(1);
/// How soon files that could not be used are read again though they look the same: rules take time to compile.
const AGAIN: Duration = Duration::from_secs(30);

/// So many keys that wait for a restart are named.
const KEYS_TOLD_MAX: usize = 32;

/// What a file looks like from outside; none where there is none.
pub(crate) type Stamp = Option<(SystemTime, u64, u64)>;

/// What the gateway was started with, as far as what comes later is compared with it.
#[derive(Debug)]
pub(crate) struct Begun {
    files: Files,
    standing: Standing,
}

impl Begun {
    pub(crate) fn with(meant: &Meant) -> Self {
        Self {
            files: Files::of(meant),
            standing: meant.standing.clone(),
        }
    }
}

/// Files that are in force, besides the configuration, and in which of all nothing stands.
#[derive(Debug)]
struct Files {
    paths: Vec<PathBuf>,
    blank: BTreeSet<PathBuf>,
}

impl Files {
    fn of(meant: &Meant) -> Self {
        Self {
            paths: meant.files.clone(),
            blank: meant.blank.clone(),
        }
    }

    /// Whether nothing stands now where something stood.
    fn still_say_something(&self, meant: &Meant) -> Result<(), Failure> {
        for path in meant.blank.difference(&self.blank) {
            let shown = path.display();
            if meant.file.as_ref() == Some(path) {
                let why = format!("{shown}: nothing stands in it any more; if that is meant, write `{{}}`");
                return Err(Failure::configuration(why));
            }
            if self.paths.contains(path) {
                let why = "nothing stands in it any more; if that is meant, take it out of `policy.files`";
                return Err(Failure::configuration(format!("{shown}: {why}")));
            }
        }
        Ok(())
    }
}

/// Follows the files until told to stop. `load` reads and checks all of them.
pub(crate) async fn follow(
    house: Arc<House>,
    config: PathBuf,
    begun: Begun,
    load: impl Fn() -> Result<Meant, Failure> + Send + 'static,
    mut stop: watch::Receiver<bool>,
) {
    // The files may have changed since they were read to start with, so they are read once more.
    let mut used = None;
    let Begun { mut files, standing } = begun;
    let mut waits = Standing::default();
    let look = |files: &Files| stamps(std::iter::once(&config).chain(&files.paths).map(PathBuf::as_path));
    let mut seen = look(&files);
    let mut registry = house.engines.keeper.changed();
    let mut unfit = None;
    let mut told: Option<(Vec<Stamp>, String)> = None;
    let mut tried = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if registry.has_changed().unwrap_or_default() {
            registry.mark_unchanged();
            unfit = aside(|| look_again(&house, unfit));
        }
        let before = std::mem::replace(&mut seen, look(&files));
        if seen != before || used.as_ref() == Some(&seen) {
            continue;
        }
        let failed = told.as_ref().is_some_and(|(stamps, _)| *stamps == seen);
        if failed && tried.elapsed() < AGAIN {
            continue;
        }
        tried = tokio::time::Instant::now();
        // Many rules take seconds to read and to weigh, and calls go on meanwhile.
        let loaded = aside(&load);
        if look(&files) != seen {
            continue;
        }
        let applied = loaded.and_then(|meant| {
            files.still_say_something(&meant)?;
            aside(|| apply(&house, &meant)).map(|()| meant)
        });
        match applied {
            Ok(meant) => {
                tell_what_waits(&house, standing.otherwise(&meant.standing), &mut waits);
                files = Files::of(&meant);
                used = Some(seen.clone());
                told = None;
            }
            // They are tried again: what was wrong may be mended where none of them changes, as with who may read a
            // secret.
            Err(failure) => {
                let news = Some((seen.clone(), failure.to_string()));
                if told == news {
                    continue;
                }
                told = news;
                tell_what_is_wrong(&house, &failure);
            }
        }
    }
}

fn tell_what_is_wrong(house: &House, failure: &Failure) {
    let policy = house.engines.rules().digest().to_owned();
    tracing::error!(
        error = %failure,
        policy,
        "the configuration was changed and cannot be used; the old rules stay in force"
    );
    let detail = [("why", failure.to_string()), ("stays", policy)];
    house.engines.journal.note(Kind::Policy, "rejected", &detail);
}

/// What is followed at once makes it easy to believe that everything is: whoever changes what is read at the start alone
/// is told, once for each change.
fn tell_what_waits(house: &House, waits: Standing, told: &mut Standing) {
    if waits == *told {
        return;
    }
    *told = waits;
    let mut keys: Vec<_> = told.keys().collect();
    let more = keys.len().saturating_sub(KEYS_TOLD_MAX);
    keys.truncate(KEYS_TOLD_MAX);
    let mut keys = keys.join(", ");
    match (keys.is_empty(), more) {
        (true, _) => {
            tracing::info!("nothing in the configuration waits for a restart any more");
            return;
        }
        (false, 0) => {}
        (false, more) => keys.push_str(&format!(" and {more} more")),
    }
    tracing::warn!(
        keys,
        "the configuration was changed where it is read at the start alone; that waits for a restart"
    );
    let detail = [("keys", keys)];
    house
        .engines
        .journal
        .note(Kind::Configuration, "waits-for-restart", &detail);
}

/// Puts rules and people in force; nothing of either where something speaks against it.
///
/// People come last but for the rules, and directly before them: whoever is asked about between the two is a new person
/// under the old rules, and what can fail or takes time was done before.
fn apply(house: &Arc<House>, meant: &Meant) -> Result<(), Failure> {
    let engines = &house.engines;
    let rules = assemble::rules(meant)?;
    // What is in force already was weighed when it came.
    if rules.digest() != engines.rules().digest() {
        assemble::fitting(&rules, engines)?;
    }
    let version = policy_version::may_follow(&house.store, meant)?;
    let texts = assemble::rule_sources(meant)?;
    policy_version::keep(&house.store, version.as_ref())?;
    policy_version::stands(&house.store, meant)?;
    let adopted = engines.inspector.adopt(&meant.inspection);
    adopted.map_err(|error| Failure::configuration(error.to_string()))?;
    let followed = house
        .authorization
        .follow(&meant.authorization, engines.people.key());
    followed.map_err(Failure::configuration)?;
    let mut sources = engines.sources.lock().unwrap_or_else(PoisonError::into_inner);
    let rules = assemble::with_reviews(&texts, &house.store)?;
    admin::enlist(house, meant)?;
    *sources = texts;
    assemble::put_in_force(house, rules);
    Ok(())
}

/// Rules that were written before anybody had looked at a server may turn out to name tools it has not. They stay
/// in force, where they are silent; whoever wrote them is told, once.
fn look_again(house: &House, told: Option<String>) -> Option<String> {
    let engines = &house.engines;
    let rules = engines.rules();
    let why = assemble::fitting(&rules, engines).err()?.to_string();
    if told.as_ref() != Some(&why) {
        tracing::warn!(why, "rules in force speak of what is not there");
        let detail = [("policy", rules.digest().to_owned()), ("why", why.clone())];
        engines.journal.note(Kind::Policy, "unfit", &detail);
    }
    Some(why)
}

/// What files look like from outside.
pub(crate) fn stamps<'p>(files: impl IntoIterator<Item = &'p Path>) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len(), data.ino()))
    };
    files.into_iter().map(stamp).collect()
}
