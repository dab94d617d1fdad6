//! The desk where questions to people wait. All of it survives a restart: what is here is in the store first.
//!
//! INVARIANT (single use): a yes is deleted from the store before the call it lets through goes on, under
//! the desk's lock, so of any number of racing calls one passes.
//!
//! It must not know the road or the ledger.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use policy::Party;
use thiserror::Error;

use super::request::{Asked, Request, Word};
use crate::store::{Store, StoreError};

/// The table questions are kept in, by their binding.
const TABLE: &str = "approvals";
/// How long a question waits, and a yes holds, from when it was first asked.
const EXPIRES_MS: i64 = 60 * 60 * 1000;
/// Most questions at a time of one caller: people are the scarcest budget.
const OPEN_PER_CALLER_MAX: usize = 32;
/// Most questions at a time.
const OPEN_MAX: usize = 10_000;
/// Longest arguments a person is asked about, in bytes. Nobody reads more.
const ARGS_BYTES_MAX: usize = 256 * 1024;

/// What a call is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// People agreed; this used it up.
    Agreed(Box<Request>),
    /// Somebody said no.
    Denied(Box<Request>),
    /// The question was put.
    Opened(Box<Request>),
    /// Too much is asked; in words.
    TooMuch(&'static str),
    /// The question waits already.
    Waiting(Box<Request>),
}

/// Why a word was not taken.
#[derive(Debug, Error)]
pub(crate) enum DecideError {
    #[error("{0}")]
    NotTheirs(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no approval `{0}` that waits; see `sallyport approvals list`")]
    Unknown(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    store: Store,
    by_binding: Mutex<HashMap<String, Request>>,
}

impl Desk {
    /// The desk as it was left.
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let mut waiting = HashMap::new();
        for (binding, text) in store.list(TABLE)? {
            match serde_json::from_slice::<Request>(&text) {
                Ok(request) if request.binding == binding => {
                    waiting.insert(binding, request);
                }
                // What cannot be read cannot be agreed to; it is asked again.
                Ok(_) | Err(_) => store.delete(TABLE, &binding)?,
            }
        }
        Ok(Self {
            store,
            by_binding: Mutex::new(waiting),
        })
    }

    /// Asks, or passes once where people have agreed. `id` names the question if it is new.
    pub(crate) fn ask(
        &self,
        asked: Asked,
        id: &str,
        now_ms: i64,
        person: impl Fn(&str) -> Option<Party>,
    ) -> Result<Answer, StoreError> {
        let binding = asked.binding();
        let mut waiting = self.lock();
        if let Some(request) = waiting
            .get(&binding)
            .filter(|request| now_ms < request.expires_ms)
        {
            let request = Box::new(request.clone());
            if request.denied.is_some() {
                return Ok(Answer::Denied(request));
            }
            if request.needed() == 0 || request.given(person) < request.needed() {
                return Ok(Answer::Waiting(request));
            }
            self.store.delete(TABLE, &binding)?;
            waiting.remove(&binding);
            return Ok(Answer::Agreed(request));
        }
        let of_caller = |request: &&Request| request.asked.requester.key == asked.requester.key;
        if waiting.len() >= OPEN_MAX || waiting.values().filter(of_caller).count() >= OPEN_PER_CALLER_MAX {
            return Ok(Answer::TooMuch("too many questions wait for people already"));
        }
        if asked.args.len() > ARGS_BYTES_MAX {
            return Ok(Answer::TooMuch(
                "the arguments are longer than anybody can be asked to read",
            ));
        }
        let request = Request {
            id: id.to_owned(),
            binding: binding.clone(),
            asked,
            opened_ms: now_ms,
            expires_ms: now_ms.saturating_add(EXPIRES_MS),
            given: Vec::new(),
            denied: None,
        };
        self.keep(&mut waiting, request.clone())?;
        Ok(Answer::Opened(Box::new(request)))
    }

    /// Takes a person's word; `why` makes it a no.
    pub(crate) fn decide(
        &self,
        id: &str,
        party: &Party,
        no: Option<&str>,
        now_ms: i64,
    ) -> Result<Request, DecideError> {
        let mut waiting = self.lock();
        let mut request = waiting
            .values()
            .find(|request| request.id == id && now_ms < request.expires_ms)
            .cloned()
            .ok_or_else(|| DecideError::Unknown(id.to_owned()))?;
        if let Some(why) = request.objects_to(party) {
            return Err(DecideError::NotTheirs(why));
        }
        if let Some(word) = &request.denied {
            return Err(DecideError::NotTheirs(format!("`{}` said no already", word.by)));
        }
        let word = Word {
            by: party.name.clone(),
            at_ms: now_ms,
            why: no.map(str::to_owned),
        };
        if no.is_some() {
            request.denied = Some(word);
        } else if request.given.iter().any(|word| word.by == party.name) {
            return Err(DecideError::NotTheirs(format!("`{}` agreed already", party.name)));
        } else {
            request.given.push(word);
        }
        self.keep(&mut waiting, request.clone())?;
        Ok(request)
    }

    /// Takes back a word that could not be recorded.
    pub(crate) fn take_back(&self, id: &str, by: &str) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        let found = waiting.values().find(|request| request.id == id).cloned();
        let Some(mut request) = found else { return Ok(()) };
        request.given.retain(|word| word.by != by);
        request.denied = request.denied.filter(|word| word.by != by);
        self.keep(&mut waiting, request)
    }

    /// What waits or was agreed to and not used, the oldest first.
    pub(crate) fn list(&self, now_ms: i64) -> Vec<Request> {
        let mut all: Vec<Request> = self
            .lock()
            .values()
            .filter(|request| now_ms < request.expires_ms)
            .cloned()
            .collect();
        all.sort_by(|a, b| (a.opened_ms, &a.id).cmp(&(b.opened_ms, &b.id)));
        all
    }

    /// Clears away what has expired, and says what that was.
    pub(crate) fn sweep(&self, now_ms: i64) -> Vec<Request> {
        let mut waiting = self.lock();
        let over: Vec<Request> = waiting
            .values()
            .filter(|request| now_ms >= request.expires_ms)
            .cloned()
            .collect();
        for request in &over {
            // One the store cannot delete now is expired all the same, and is tried again after a restart.
            let _ = self.store.delete(TABLE, &request.binding);
            waiting.remove(&request.binding);
        }
        over
    }

    fn keep(&self, waiting: &mut HashMap<String, Request>, request: Request) -> Result<(), StoreError> {
        let text = serde_json::to_vec(&request).map_err(|error| StoreError::other(error.to_string()))?;
        self.store.put(TABLE, &request.binding, &text)?;
        waiting.insert(request.binding.clone(), request);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Request>> {
        self.by_binding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
