//! Incidents: what signals add up to, kept until a person has looked.
//!
//! An incident blocks nothing by itself. Where configuration says so for its kind, what set it off is stopped when
//! it is opened, as by `sallyport stop`.

mod pasts;
mod signals;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub(crate) use pasts::KEEP;
use signals::Signals;
pub(crate) use signals::{Seen, Sign, Thresholds};

use crate::{
    operate::halts::Target,
    storage::store::{Store, StoreError},
};

/// The store's table.
const TABLE: &str = "incidents";
/// Signals that wait to be looked at. More than these are about incidents that are open already.
const WAITING_MAX: usize = 1_024;
/// Most calls an incident names: the first ones.
const CALLS_MAX: usize = 32;
/// Most incidents kept; beyond it, those resolved longest ago are forgotten, then the oldest. The ledger has them still.
const INCIDENTS_MAX: usize = 10_000;
/// Pasts of one transaction. As many are in memory twice meanwhile.
const PASTS_AT_ONCE: usize = 256;

/// What configuration says of incidents.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeantIncidents {
    pub(crate) thresholds: Thresholds,
    /// The kinds that stop what set them off.
    pub(crate) contain: BTreeSet<Sign>,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Nobody has done anything about it.
    Open,
    /// What set it off is stopped.
    Contained,
    /// A person has dealt with it.
    Resolved,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Contained => "contained",
            Self::Resolved => "resolved",
        }
    }
}

/// One of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Incident {
    pub(crate) id: String,
    pub(crate) sign: Sign,
    pub(crate) state: State,
    pub(crate) about: About,
    /// What was seen at first.
    pub(crate) what: String,
    /// How often it was signalled.
    pub(crate) count: u64,
    pub(crate) opened_ms: i64,
    pub(crate) last_ms: i64,
    /// The calls that set it off.
    pub(crate) calls: Vec<String>,
    /// What was stopped because of it.
    pub(crate) contained: Vec<Target>,
    /// Who resolved it, and how.
    pub(crate) resolved: Option<(Option<String>, String)>,
}

/// Whom and what it is about.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct About {
    pub(crate) agent: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) context: Option<String>,
}

/// A signal, and the call that gave it.
#[derive(Clone, Debug)]
pub(crate) struct Signal {
    pub(crate) sign: Sign,
    pub(crate) what: String,
    pub(crate) about: About,
    pub(crate) call: Option<String>,
    pub(crate) now_ms: i64,
}

/// Those who see calls end give signals here. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    signals: Arc<Mutex<Signals>>,
    given: mpsc::Sender<Signal>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Incidents {
    store: Store,
    contain: BTreeSet<Sign>,
    book: Mutex<BTreeMap<String, Incident>>,
    signals: Mutex<Option<mpsc::Receiver<Signal>>>,
    watch: Watch,
}

/// A watch, and the book of what it sees.
pub(crate) fn open(store: Store, meant: MeantIncidents) -> Result<(Watch, Incidents), StoreError> {
    let mut book = BTreeMap::new();
    for (id, text) in store.list(TABLE)? {
        let incident: Incident = serde_json::from_slice(&text)
            .map_err(|error| StoreError::other(format!("the incident `{id}`: {error}")))?;
        book.insert(id, incident);
    }
    let (given, signals) = mpsc::channel(WAITING_MAX);
    let mut counted = Signals::new(meant.thresholds);
    pasts::recall(&store, &mut counted)?;
    let watch = Watch {
        signals: Arc::new(Mutex::new(counted)),
        given,
    };
    let incidents = Incidents {
        store,
        contain: meant.contain,
        book: Mutex::new(book),
        signals: Mutex::new(Some(signals)),
        watch: watch.clone(),
    };
    Ok((watch, incidents))
}

impl Watch {
    /// A call has ended.
    pub(crate) fn saw(&self, seen: &Seen<'_>, about: impl Fn() -> About, call: &str) {
        let signs = self.signals().take(seen);
        for (sign, what) in signs {
            self.give(Signal {
                sign,
                what,
                about: about(),
                call: Some(call.to_owned()),
                now_ms: seen.now_ms,
            });
        }
    }

    fn signals(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signal that needs no counting.
    pub(crate) fn give(&self, signal: Signal) {
        // A full queue holds as many of the same already.
        let _ = self.given.try_send(signal);
    }
}

impl Incidents {
    /// The signals, for the one who takes them in.
    pub(crate) fn signals(&self) -> Option<mpsc::Receiver<Signal>> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Stores the pasts of agents that changed, many at once. One that cannot be stored keeps no other from it.
    pub(crate) fn keep_pasts(&self) -> Result<(), StoreError> {
        let changed: Vec<_> = self.watch.signals().changed().into_iter().collect();
        let mut kept = Ok(());
        for agents in changed.chunks(PASTS_AT_ONCE) {
            let settings = agents.iter().map(|agent| {
                // One at a time: calls wait for this lock, and all pasts together are large.
                let past = self.watch.signals().past(agent);
                pasts::setting(self.store.replica(), agent, past)
            });
            if let Err(unset) = pasts::keep(&self.store, &settings.collect::<Vec<_>>()) {
                for agent in unset.places.iter().filter_map(|place| agents.get(*place)) {
                    self.watch.signals().not_stored(agent.clone());
                }
                kept = Err(unset.why);
            }
        }
        kept
    }

    /// Takes a signal in: into the incident of its kind that is open about the same, or into a new one, which it
    /// gives back.
    pub(crate) fn note(&self, id: String, signal: &Signal) -> Result<Option<Incident>, StoreError> {
        let mut book = self.book();
        let culprit = culprit(signal.sign, &signal.about);
        let known = book.values_mut().find(|incident| {
            incident.state != State::Resolved && incident.sign == signal.sign && incident.culprit() == culprit
        });
        if let Some(incident) = known {
            incident.count += 1;
            incident.last_ms = signal.now_ms;
            if incident.calls.len() < CALLS_MAX {
                incident.calls.extend(signal.call.clone());
            }
            let incident = incident.clone();
            self.keep(&incident)?;
            return Ok(None);
        }
        let incident = Incident {
            id,
            sign: signal.sign,
            state: State::Open,
            about: signal.about.clone(),
            what: signal.what.clone(),
            count: 1,
            opened_ms: signal.now_ms,
            last_ms: signal.now_ms,
            calls: signal.call.iter().cloned().collect(),
            contained: Vec::new(),
            resolved: None,
        };
        self.make_room(&mut book)?;
        book.insert(incident.id.clone(), incident.clone());
        self.keep(&incident)?;
        Ok(Some(incident))
    }

    /// What is stopped when an incident is opened, where configuration says so.
    pub(crate) fn stops(&self, incident: &Incident) -> Option<Target> {
        self.contain
            .contains(&incident.sign)
            .then(|| incident.culprit())?
    }

    /// What was stopped because of it.
    pub(crate) fn contained(&self, id: &str, target: Target) -> Result<Option<Incident>, StoreError> {
        self.change(id, |incident| {
            incident.state = State::Contained;
            if !incident.contained.contains(&target) {
                incident.contained.push(target);
            }
        })
    }

    /// A person has dealt with it.
    pub(crate) fn resolve(
        &self,
        id: &str,
        by: Option<String>,
        how: String,
    ) -> Result<Option<Incident>, StoreError> {
        self.change(id, |incident| {
            incident.state = State::Resolved;
            incident.resolved = Some((by, how));
        })
    }

    /// One of them.
    pub(crate) fn find(&self, id: &str) -> Option<Incident> {
        self.book().get(id).cloned()
    }

    /// All, the newest first.
    pub(crate) fn all(&self) -> Vec<Incident> {
        let mut all: Vec<Incident> = self.book().values().cloned().collect();
        all.sort_by_key(|incident| std::cmp::Reverse(incident.last_ms));
        all
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Incident)) -> Result<Option<Incident>, StoreError> {
        let mut book = self.book();
        let Some(incident) = book.get_mut(id) else {
            return Ok(None);
        };
        let mut next = incident.clone();
        change(&mut next);
        self.keep(&next)?;
        *incident = next.clone();
        Ok(Some(next))
    }

    fn make_room(&self, book: &mut BTreeMap<String, Incident>) -> Result<(), StoreError> {
        if book.len() < INCIDENTS_MAX {
            return Ok(());
        }
        // Those resolved go first; then others, too, or callers without end would fill the memory.
        let oldest = book
            .values()
            .min_by_key(|incident| (incident.state != State::Resolved, incident.last_ms));
        if let Some(id) = oldest.map(|incident| incident.id.clone()) {
            self.store.delete(TABLE, &id)?;
            book.remove(&id);
        }
        Ok(())
    }

    fn keep(&self, incident: &Incident) -> Result<(), StoreError> {
        let text = serde_json::to_vec(incident).map_err(|error| StoreError::other(error.to_string()))?;
        self.store.put(TABLE, &incident.id, &text)
    }

    fn book(&self) -> MutexGuard<'_, BTreeMap<String, Incident>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Incident {
    /// What set it off: the server of a definition that changed, otherwise whoever called.
    pub(crate) fn culprit(&self) -> Option<Target> {
        culprit(self.sign, &self.about)
    }
}

fn culprit(sign: Sign, about: &About) -> Option<Target> {
    match sign {
        Sign::Tampering => about.server.clone().map(Target::Server),
        Sign::Decoy | Sign::Flow | Sign::Loop | Sign::Novelty | Sign::Probing | Sign::Volume => {
            let agent = about.agent.clone().map(Target::Agent);
            agent.or_else(|| about.user.clone().map(Target::User))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{About, MeantIncidents, PASTS_AT_ONCE, Seen, Sign, Signal, Signals, open, pasts};
    use crate::{
        ambient::Ambient,
        storage::vault::{Layout, Vault},
    };

    #[test]
    fn what_two_users_set_off_is_two_incidents_and_what_one_does_again_is_one() {
        let place = std::env::temp_dir().join(format!("sallyport-incidents-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        let vault = Vault::open(&Layout::new(&place), &Ambient::system()).unwrap();
        let (_, incidents) = open(vault.store().clone(), MeantIncidents::default()).unwrap();
        let by = |user: &str| Signal {
            sign: Sign::Probing,
            what: "no".to_owned(),
            about: About {
                user: Some(user.to_owned()),
                ..About::default()
            },
            call: None,
            now_ms: 1,
        };
        let note = |id: &str, user: &str| incidents.note(id.to_owned(), &by(user)).unwrap();
        assert!(note("1", "alice").is_some());
        assert!(note("2", "alice").is_none());
        let bobs = note("3", "bob").unwrap();
        assert_eq!(bobs.culprit().unwrap().to_string(), "user bob");
        let _ = std::fs::remove_dir_all(&place);
    }

    /// However many agents there are, and though one of them cannot be stored.
    #[test]
    fn every_past_is_stored_but_for_the_one_that_cannot_be() {
        let place = std::env::temp_dir().join(format!("sallyport-many-pasts-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        let vault = Vault::open(&Layout::new(&place), &Ambient::system()).unwrap();
        let (watch, incidents) = open(vault.store().clone(), MeantIncidents::default()).unwrap();
        let see = |agent: &str, tool: &str| {
            let seen = Seen {
                agent,
                tool: Some(tool),
                now_ms: 600_000,
                ..Seen::default()
            };
            watch.saw(&seen, About::default, "call");
        };
        let agents: Vec<_> = (0..2 * PASTS_AT_ONCE + 1).map(|n| format!("agent-{n}")).collect();
        for agent in &agents {
            see(agent, "read");
        }
        // Longer than a record may be.
        see("agent-7", &"x".repeat(17 * 1024 * 1024));
        assert!(incidents.keep_pasts().is_err(), "one cannot be stored");
        assert_eq!(watch.signals().changed(), BTreeSet::from(["agent-7".to_owned()]));
        let mut stored = Signals::default();
        pasts::recall(vault.store(), &mut stored).unwrap();
        for agent in &agents {
            assert_eq!(stored.past(agent).is_some(), agent != "agent-7", "{agent}");
        }
        drop((watch, incidents));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(vault.close());
        let _ = std::fs::remove_dir_all(&place);
    }

    /// What an agent never used is news after a restart, too, and what it used before is not.
    #[test]
    fn the_past_of_an_agent_is_known_after_a_restart() {
        let place = std::env::temp_dir().join(format!("sallyport-pasts-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        let saw = |tools: &[&str], keep: bool| {
            let vault = Vault::open(&Layout::new(&place), &Ambient::system()).unwrap();
            let (watch, incidents) = open(vault.store().clone(), MeantIncidents::default()).unwrap();
            for (at, tool) in (0..).zip(tools) {
                let seen = Seen {
                    agent: "scribe",
                    tool: Some(tool),
                    now_ms: 600_000 + at,
                    ..Seen::default()
                };
                watch.saw(&seen, About::default, "call");
            }
            if keep {
                incidents.keep_pasts().unwrap();
            }
            let mut signals = incidents.signals().unwrap();
            let sign = signals.try_recv().ok().map(|signal| signal.sign);
            drop((watch, incidents));
            // The next has the directory to itself.
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(vault.close());
            sign
        };
        // A newcomer learns; so does whoever's past was lost.
        assert_eq!(saw(&["known"; 200], true), None);
        assert_eq!(saw(&["a", "b", "c", "known"], true), None, "three of five");
        assert_eq!(saw(&["a", "b", "c", "d"], true), None, "three are known since");
        assert_eq!(saw(&["e"], false), Some(Sign::Novelty), "the fifth");
        assert_eq!(saw(&["d", "known"], false), None, "nothing new");
        let _ = std::fs::remove_dir_all(&place);
    }
}
