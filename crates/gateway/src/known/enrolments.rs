//! Programs that ask to become agents and wait for a person: few, slowly, and forgotten after a day.
//!
//! INVARIANT (nobody lets himself in): what is kept here is a wish. Roles, purposes and users come from the person who
//! approves; nothing of the request gives any.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use identity::{Model, ModelSource, jose::KeySet};
use wire::json::{Document, Keys, Node, object};

use crate::{
    config::authorization::Switch,
    known::authorization::{Pace, TooFast},
    storage::store::{Store, StoreError},
};

const TABLE: &str = "enrolments";
/// Most that wait.
const WAITING_MAX: usize = 100;
/// How long one waits, and is remembered once it was denied.
const WAIT_MS: i64 = 24 * 3600 * 1000;

/// One that waits, or was denied.
#[derive(Clone, Debug)]
pub(crate) struct Enrolment {
    /// The name it would like to have.
    pub(crate) name: String,
    pub(crate) model: Option<Model>,
    /// The one key.
    pub(crate) keys: KeySet,
    pub(crate) peer: String,
    pub(crate) asked_ms: i64,
    pub(crate) state: Standing,
}

/// How it stands with one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    Denied,
    Waiting,
}

/// Why nobody can ask now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Crowded {
    Full,
    TooFast,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Enrolments {
    store: Store,
    /// Whether anybody may ask.
    pub(crate) open: Switch,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    by_key: BTreeMap<String, Enrolment>,
    asking: Pace,
    rotating: Pace,
}

impl Enrolments {
    /// Reads those that asked before.
    pub(crate) fn open(store: Store, open: Switch) -> Result<Self, StoreError> {
        let these = Self {
            store,
            open,
            all: Mutex::default(),
        };
        these.take_over()?;
        Ok(these)
    }

    /// Takes over whom other replicas let ask, in or away. Whoever decides about one asks for it first, so that it is
    /// decided once.
    pub(crate) fn take_over(&self) -> Result<(), StoreError> {
        // Held while reading: what is put meanwhile would be forgotten.
        let mut all = self.lock();
        let known = self.store.list(TABLE)?;
        let read = known
            .into_iter()
            .filter_map(|(key, text)| Some((key, read(text)?)));
        all.by_key = read.collect();
        Ok(())
    }

    /// Whether somebody may ask from there now.
    pub(crate) fn may_ask(&self, from: IpAddr, now_ms: i64) -> Result<(), Crowded> {
        let step = self.lock().asking.step(from, now_ms);
        step.map_err(|TooFast| Crowded::TooFast)
    }

    /// Whether an agent may change its key from there now. Apart: strangers who ask leave agents no less room.
    pub(crate) fn may_rotate(&self, from: IpAddr, now_ms: i64) -> Result<(), Crowded> {
        let step = self.lock().rotating.step(from, now_ms);
        step.map_err(|TooFast| Crowded::TooFast)
    }

    /// How it stands with the one of this key.
    pub(crate) fn find(&self, key: &str, now_ms: i64) -> Option<Enrolment> {
        let all = self.lock();
        let found = all.by_key.get(key).filter(|one| !is_over(one, now_ms));
        found.cloned()
    }

    /// Takes one in, unless there are too many.
    pub(crate) fn put(&self, key: &str, enrolment: Enrolment, now_ms: i64) -> Result<(), EnrolError> {
        let mut all = self.lock();
        self.sweep(&mut all, now_ms)?;
        let is_new = !all.by_key.contains_key(key);
        if is_new && all.by_key.len() >= WAITING_MAX {
            self.make_room(&mut all)?;
        }
        self.store.put(TABLE, key, &write(&enrolment))?;
        all.by_key.insert(key.to_owned(), enrolment);
        Ok(())
    }

    /// Ends one that waits: it was approved, and cannot be again.
    pub(crate) fn end(&self, key: &str) -> Result<(), StoreError> {
        let mut all = self.lock();
        self.store.delete(TABLE, key)?;
        all.by_key.remove(key);
        Ok(())
    }

    /// All of them.
    pub(crate) fn all(&self, now_ms: i64) -> Vec<(String, Enrolment)> {
        let all = self.lock();
        let here = all.by_key.iter().filter(|(_, one)| !is_over(one, now_ms));
        here.map(|(key, one)| (key.clone(), one.clone())).collect()
    }

    /// Who was denied longest ago is forgotten first, so that a person who turns strangers away gets somewhere. Nobody
    /// who waits is.
    fn make_room(&self, all: &mut All) -> Result<(), EnrolError> {
        let denied = all.by_key.iter().filter(|(_, one)| one.state == Standing::Denied);
        let oldest = denied
            .min_by_key(|(_, one)| one.asked_ms)
            .map(|(key, _)| key.clone());
        let oldest = oldest.ok_or(EnrolError::Crowded(Crowded::Full))?;
        self.store.delete(TABLE, &oldest)?;
        all.by_key.remove(&oldest);
        Ok(())
    }

    fn sweep(&self, all: &mut All, now_ms: i64) -> Result<(), StoreError> {
        let over = all.by_key.iter().filter(|(_, one)| is_over(one, now_ms));
        let over: Vec<String> = over.map(|(key, _)| key.clone()).collect();
        for key in over {
            self.store.delete(TABLE, &key)?;
            all.by_key.remove(&key);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why one is not taken in.
#[derive(Debug)]
pub(crate) enum EnrolError {
    Crowded(Crowded),
    Store(StoreError),
}

impl From<StoreError> for EnrolError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn is_over(one: &Enrolment, now_ms: i64) -> bool {
    now_ms > one.asked_ms.saturating_add(WAIT_MS)
}

fn write(one: &Enrolment) -> Vec<u8> {
    object(|out| {
        out.string("name", &one.name);
        if let Some(model) = &one.model {
            out.string("model", &model.name);
            if let Some(version) = &model.version {
                out.string("version", version);
            }
        }
        one.keys.write(out);
        out.string("peer", &one.peer);
        out.integer("asked", one.asked_ms);
        out.boolean("denied", one.state == Standing::Denied);
    })
}

fn read(text: Vec<u8>) -> Option<Enrolment> {
    let document = Document::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()?;
    let root = document.root();
    let text = |name: &str| Some(root.get(name).and_then(Node::as_str)?.into_owned());
    let model = text("model").and_then(|name| Model::new(name, text("version"), ModelSource::Declared));
    let is_waiting = root.get("denied").and_then(Node::as_bool) == Some(false);
    Some(Enrolment {
        name: text("name")?,
        model,
        keys: KeySet::read(root)?,
        peer: text("peer")?,
        asked_ms: root.get("asked").and_then(Node::as_number)?.as_i64()?,
        state: if is_waiting {
            Standing::Waiting
        } else {
            Standing::Denied
        },
    })
}

#[cfg(test)]
mod tests {
    use identity::jose::{KeySet, SigningKey};

    use super::*;
    use crate::{
        ambient::Ambient,
        storage::vault::{Layout, Vault},
    };

    fn asked(n: i64, state: Standing) -> Enrolment {
        Enrolment {
            name: "bot".to_owned(),
            model: None,
            keys: KeySet::of(vec![SigningKey::from_seed(&[7; 32]).expect("a key").public()]),
            peer: "192.0.2.1".to_owned(),
            asked_ms: n,
            state,
        }
    }

    /// Strangers fill the list. A person who turns them away gets somewhere, and nobody who waits loses the place.
    #[test]
    fn who_was_denied_makes_room_and_who_waits_does_not() {
        let place = std::env::temp_dir().join(format!("sallyport-enrolments-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        let vault = Vault::open(&Layout::new(&place), &Ambient::system()).expect("a vault");
        let all = Enrolments::open(vault.store().clone(), Switch::On).expect("enrolments");
        for n in (0..).take(WAITING_MAX) {
            all.put(&format!("key{n}"), asked(n, Standing::Waiting), n)
                .expect("room");
        }
        all.put("late", asked(100, Standing::Waiting), 100)
            .expect_err("all of them wait");
        for n in [7, 5] {
            all.put(&format!("key{n}"), asked(n, Standing::Denied), 100)
                .expect("known");
        }
        all.put("late", asked(100, Standing::Waiting), 100).expect("room");
        let state = |key: &str| all.find(key, 100).map(|one| one.state);
        assert_eq!(state("key5"), None, "denied, and the oldest");
        assert_eq!(state("key7"), Some(Standing::Denied));
        assert_eq!(
            (state("key0"), state("late")),
            (Some(Standing::Waiting), Some(Standing::Waiting))
        );
        let _ = std::fs::remove_dir_all(&place);
    }
}
