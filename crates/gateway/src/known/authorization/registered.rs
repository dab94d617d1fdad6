//! Clients that registered themselves (RFC 7591). Off by default; few, slowly, and forgotten when nobody uses them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use identity::oauth::{RegisteredClient, read_registration, write_metadata};
use wire::json::{Document, Keys, Node, object};

use super::pace::{Pace, TooFast};
use crate::storage::store::{Store, StoreError};

const TABLE: &str = "registered-clients";
/// Most clients.
const CLIENTS_MAX: usize = 1_000;
/// How long one is kept that nobody ever let in, and one that nobody uses.
const UNUSED_MS: i64 = 24 * 3600 * 1000;
const IDLE_MS: i64 = 60 * UNUSED_MS;

#[derive(Clone, Debug)]
struct Known {
    client: Arc<RegisteredClient>,
    born_ms: i64,
    used_ms: Option<i64>,
}

impl Known {
    fn is_over(&self, now_ms: i64) -> bool {
        match self.used_ms {
            None => now_ms > self.born_ms + UNUSED_MS,
            Some(used_ms) => now_ms > used_ms + IDLE_MS,
        }
    }
}

/// Why nobody can register now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Crowded {
    TooFast,
    Full,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Registered {
    store: Store,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    by_id: BTreeMap<String, Known>,
    pace: Pace,
}

impl Registered {
    /// Reads those that registered before.
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let known = store.list(TABLE)?;
        let by_id = known
            .into_iter()
            .filter_map(|(id, text)| Some((id.clone(), read(id, text)?)));
        let all = All {
            by_id: by_id.collect(),
            pace: Pace::default(),
        };
        let all = Mutex::new(all);
        Ok(Self { store, all })
    }

    /// Whether one more may register.
    pub(crate) fn may_register(&self, from: IpAddr, now_ms: i64) -> Result<(), Crowded> {
        let mut all = self.lock();
        if all.by_id.len() >= CLIENTS_MAX {
            return Err(Crowded::Full);
        }
        all.pace.step(from, now_ms).map_err(|TooFast| Crowded::TooFast)
    }

    /// Takes a client in.
    pub(crate) fn put(&self, client: RegisteredClient, now_ms: i64) -> Result<(), StoreError> {
        let known = Known {
            client: Arc::new(client),
            born_ms: now_ms,
            used_ms: None,
        };
        self.keep(&mut self.lock(), known)
    }

    /// A client.
    pub(crate) fn get(&self, id: &str, now_ms: i64) -> Option<Arc<RegisteredClient>> {
        let all = self.lock();
        let known = all.by_id.get(id).filter(|known| !known.is_over(now_ms))?;
        Some(Arc::clone(&known.client))
    }

    /// Somebody let it in, or it is used.
    pub(crate) fn used(&self, id: &str, now_ms: i64) -> Result<(), StoreError> {
        let mut all = self.lock();
        let Some(known) = all.by_id.get(id) else {
            return Ok(());
        };
        let lately = known.used_ms.is_some_and(|used_ms| now_ms - used_ms < UNUSED_MS);
        if lately {
            return Ok(());
        }
        let known = Known {
            used_ms: Some(now_ms),
            ..known.clone()
        };
        self.keep(&mut all, known)
    }

    fn keep(&self, all: &mut All, known: Known) -> Result<(), StoreError> {
        let text = object(|out| {
            out.string("client_name", &known.client.name);
            write_metadata(&known.client, out);
            out.integer("born", known.born_ms);
            if let Some(used_ms) = known.used_ms {
                out.integer("used", used_ms);
            }
        });
        self.store.put(TABLE, &known.client.id, &text)?;
        all.by_id.insert(known.client.id.clone(), known);
        Ok(())
    }

    /// Forgets those that nobody uses.
    pub(crate) fn sweep(&self, now_ms: i64) -> Result<(), StoreError> {
        let mut all = self.lock();
        let over = all.by_id.iter().filter(|(_, known)| known.is_over(now_ms));
        let over: Vec<String> = over.map(|(id, _)| id.clone()).collect();
        for id in over {
            self.store.delete(TABLE, &id)?;
            all.by_id.remove(&id);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(id: String, text: Vec<u8>) -> Option<Known> {
    let document = Document::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()?;
    let root = document.root();
    let number = |name: &str| root.get(name).and_then(Node::as_number)?.as_i64();
    Some(Known {
        client: Arc::new(read_registration(root, id).ok()?),
        born_ms: number("born")?,
        used_ms: number("used"),
    })
}
