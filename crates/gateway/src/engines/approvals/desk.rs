//! The desk where questions to people wait. All of it survives a restart: what is here is in the store first.
//!
//! INVARIANT (single use): a yes is deleted from the store before the call it lets through goes on, under
//! the desk's lock, so of any number of racing calls one passes. A yes to similar calls is counted down in
//! the store in the same way.
//!
//! It must not know the road or the ledger.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use policy::Party;
use thiserror::Error;
use tokio::sync::watch;

use super::{
    request::{Asked, Request, Standing, Word},
    similar::Similar,
};
use crate::storage::store::{Exchanged, Store, StoreError, lock_aside};

/// The table questions are kept in, by their binding.
const TABLE: &str = "approvals";
/// The table in which a yes to similar calls is kept, by its id.
const STANDING: &str = "approvals-standing";
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

/// What somebody says.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// No, and why.
    No(String),
    /// To exactly this call, once.
    Yes,
    /// To calls like this one.
    YesToSimilar(Similar),
}

/// Why a word was not taken.
#[derive(Debug, Error)]
pub(crate) enum DecideError {
    #[error("{0}")]
    NotTheirs(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it could not be recorded, so it does not count: {0}")]
    Unrecorded(String),
    #[error("there is no approval `{0}` that waits; see `sallyport approvals list`")]
    Unknown(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    store: Store,
    /// How long a question waits, and a yes holds, from when it was first asked.
    expires_ms: i64,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default, PartialEq)]
struct State {
    /// Questions, by their binding.
    waiting: HashMap<String, Request>,
    /// What was agreed to for similar calls, by id.
    standing: HashMap<String, Request>,
}

impl Desk {
    /// The desk as it was left.
    pub(crate) fn open(store: Store, expires: Duration) -> Result<Self, StoreError> {
        let state = stored(&store)?;
        Ok(Self {
            store,
            expires_ms: i64::try_from(expires.as_millis()).unwrap_or(i64::MAX),
            state: Mutex::new(state),
            changed: watch::channel(0).0,
        })
    }

    /// Takes over what was asked and said through other replicas, and tells those who wait.
    pub(crate) fn take_over(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        let found = stored(&self.store)?;
        if *state != found {
            *state = found;
            self.changed.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// What is on the desk, of all replicas.
    fn fresh(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.lock();
        if self.store.server().is_some() {
            *state = stored(&self.store)?;
        }
        Ok(state)
    }

    /// Puts a question back as it is now, or takes it away, unless another replica was quicker.
    fn exchange(
        &self,
        table: &str,
        key: &str,
        old: Option<&Request>,
        new: Option<&Request>,
    ) -> Result<(), StoreError> {
        let new = new.map(written).transpose()?;
        let is_same = |found: Option<&[u8]>| match (found, old) {
            (None, None) => true,
            (Some(found), Some(old)) => {
                serde_json::from_slice::<Request>(found).is_ok_and(|found| found == *old)
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        match self.store.exchange(table, key, is_same, new.as_deref())? {
            Exchanged::Done => Ok(()),
            Exchanged::Otherwise => Err(StoreError::other(
                "another replica changed the question meanwhile; try again".to_owned(),
            )),
        }
    }

    /// Counts up whenever somebody has said something.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Asks, or passes once where people have agreed. `id` names the question if it is new.
    pub(crate) fn ask(
        &self,
        asked: Asked,
        id: &str,
        now_ms: i64,
        person: impl Fn(&str) -> Option<Party>,
    ) -> Result<Answer, StoreError> {
        let mut state = self.fresh()?;
        if let Some(request) = self.use_standing(&mut state, &asked, now_ms, &person)? {
            return Ok(Answer::Agreed(request));
        }
        let waiting = &mut state.waiting;
        let binding = asked.binding();
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
            self.exchange(TABLE, &binding, Some(&request), None)?;
            waiting.remove(&binding);
            return Ok(Answer::Agreed(request));
        }
        let of_caller = |request: &&Request| request.asked.requester.key == asked.requester.key;
        if waiting.len() >= OPEN_MAX || waiting.values().filter(of_caller).count() >= OPEN_PER_CALLER_MAX {
            return Ok(Answer::TooMuch("too many questions wait for people already"));
        }
        let length = asked.args.len() + asked.beside.as_ref().map_or(0, String::len);
        if length > ARGS_BYTES_MAX {
            return Ok(Answer::TooMuch(
                "the arguments are longer than anybody can be asked to read",
            ));
        }
        let request = Request {
            id: id.to_owned(),
            binding: binding.clone(),
            asked,
            opened_ms: now_ms,
            expires_ms: now_ms.saturating_add(self.expires_ms),
            ..Request::default()
        };
        self.keep(waiting, request.clone())?;
        Ok(Answer::Opened(Box::new(request)))
    }

    /// Uses up one of the calls that people let through in advance, if this is one.
    fn use_standing(
        &self,
        state: &mut State,
        asked: &Asked,
        now_ms: i64,
        person: &impl Fn(&str) -> Option<Party>,
    ) -> Result<Option<Box<Request>>, StoreError> {
        let found = state.standing.values().find(|request| {
            let covers = |standing: &Standing| {
                standing.left > 0 && standing.similar.covers(&request.asked.args, &asked.args)
            };
            now_ms < request.expires_ms
                && request.asked.frames(asked)
                && request.standing.as_ref().is_some_and(covers)
                && request.needed() > 0
                && request.given(person) >= request.needed()
        });
        let Some(mut request) = found.cloned() else {
            return Ok(None);
        };
        let left = request.standing.as_mut().map_or(0, |standing| {
            standing.left = standing.left.saturating_sub(1);
            standing.left
        });
        if left == 0 {
            self.exchange(STANDING, &request.id, state.standing.get(&request.id), None)?;
            state.standing.remove(&request.id);
        } else {
            self.keep_standing(&mut state.standing, request.clone())?;
        }
        Ok(Some(Box::new(request)))
    }

    /// Takes a person's word.
    pub(crate) fn decide(
        &self,
        id: &str,
        party: &Party,
        say: Say,
        now_ms: i64,
        person: impl Fn(&str) -> Option<Party>,
    ) -> Result<Request, DecideError> {
        let mut state = self.fresh()?;
        let found = state.waiting.values().find(|request| request.id == id);
        let found = found.or_else(|| state.standing.get(id));
        let mut request = found
            .filter(|request| now_ms < request.expires_ms)
            .cloned()
            .ok_or_else(|| DecideError::Unknown(id.to_owned()))?;
        if let Some(why) = request.objects_to(party) {
            return Err(DecideError::NotTheirs(why));
        }
        if let Some(word) = &request.denied {
            return Err(DecideError::NotTheirs(format!("`{}` said no already", word.by)));
        }
        let mut word = Word {
            by: party.name.clone(),
            at_ms: now_ms,
            why: None,
            similar: None,
        };
        match say {
            Say::No(why) => {
                word.why = Some(why);
                request.denied = Some(word);
                // Whatever was let through in advance ends with it.
                if request.standing.is_some() {
                    self.store.delete(STANDING, id)?;
                    state.standing.remove(id);
                    self.changed.send_modify(|count| *count += 1);
                    return Ok(request);
                }
            }
            Say::Yes | Say::YesToSimilar(_) => {
                if let Say::YesToSimilar(similar) = say {
                    word.similar = Some(similar);
                }
                if request.standing.is_some() || request.given.iter().any(|word| word.by == party.name) {
                    return Err(DecideError::NotTheirs(format!("`{}` agreed already", party.name)));
                }
                if request.given.iter().any(|other| other.similar != word.similar) {
                    let why =
                        "somebody agreed already, to something else: agree to the same bounds, or say no";
                    return Err(DecideError::NotTheirs(why.to_owned()));
                }
                request.given.push(word);
            }
        }
        self.place(&mut state, &mut request, now_ms, person)?;
        self.changed.send_modify(|count| *count += 1);
        Ok(request)
    }

    /// Keeps a question after a word; one that is agreed to for similar calls stands from now on.
    fn place(
        &self,
        state: &mut State,
        request: &mut Request,
        now_ms: i64,
        person: impl Fn(&str) -> Option<Party>,
    ) -> Result<(), StoreError> {
        let similar = request.given.last().and_then(|word| word.similar.clone());
        let granted = request.denied.is_none() && request.given(person) >= request.needed();
        match similar {
            Some(similar) if granted => {
                let lasts_ms = i64::try_from(similar.seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
                request.expires_ms = now_ms.saturating_add(lasts_ms);
                request.standing = Some(Standing {
                    left: similar.uses,
                    similar,
                });
                // In this order a crash in between loses the yes, and doubles nothing.
                self.exchange(TABLE, &request.binding, state.waiting.get(&request.binding), None)?;
                state.waiting.remove(&request.binding);
                self.keep_standing(&mut state.standing, request.clone())
            }
            Some(_) | None => self.keep(&mut state.waiting, request.clone()),
        }
    }

    /// Takes back a word that could not be recorded.
    pub(crate) fn take_back(&self, id: &str, by: &str) -> Result<(), StoreError> {
        let mut state = self.fresh()?;
        if state.standing.remove(id).is_some() {
            return self.store.delete(STANDING, id);
        }
        let found = state.waiting.values().find(|request| request.id == id).cloned();
        let Some(mut request) = found else { return Ok(()) };
        request.given.retain(|word| word.by != by);
        request.denied = request.denied.filter(|word| word.by != by);
        self.keep(&mut state.waiting, request)
    }

    /// What waits or was agreed to and not used, the oldest first.
    pub(crate) fn list(&self, now_ms: i64) -> Vec<Request> {
        let state = self.lock();
        let mut all: Vec<Request> = state
            .waiting
            .values()
            .chain(state.standing.values())
            .filter(|request| now_ms < request.expires_ms)
            .cloned()
            .collect();
        all.sort_by(|a, b| (a.opened_ms, &a.id).cmp(&(b.opened_ms, &b.id)));
        all
    }

    /// Clears away what has expired, and says what that was.
    pub(crate) fn sweep(&self, now_ms: i64) -> Vec<Request> {
        let mut state = self.lock();
        let over = |requests: &HashMap<String, Request>| -> Vec<Request> {
            let over = requests.values().filter(|request| now_ms >= request.expires_ms);
            over.cloned().collect()
        };
        let (mut waited, stood) = (over(&state.waiting), over(&state.standing));
        // One the store cannot delete now is expired all the same, and is tried again after a restart.
        for request in &waited {
            // Another replica may have put the question anew meanwhile: that one stays.
            let _ = self.exchange(TABLE, &request.binding, Some(request), None);
            state.waiting.remove(&request.binding);
        }
        for request in &stood {
            let _ = self.store.delete(STANDING, &request.id);
            state.standing.remove(&request.id);
        }
        waited.extend(stood);
        waited
    }

    fn keep(&self, waiting: &mut HashMap<String, Request>, request: Request) -> Result<(), StoreError> {
        self.exchange(
            TABLE,
            &request.binding,
            waiting.get(&request.binding),
            Some(&request),
        )?;
        waiting.insert(request.binding.clone(), request);
        Ok(())
    }

    fn keep_standing(
        &self,
        standing: &mut HashMap<String, Request>,
        request: Request,
    ) -> Result<(), StoreError> {
        self.exchange(STANDING, &request.id, standing.get(&request.id), Some(&request))?;
        standing.insert(request.id.clone(), request);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock_aside(&self.state)
    }
}

/// What is in the store.
fn stored(store: &Store) -> Result<State, StoreError> {
    let mut state = State::default();
    for (binding, text) in store.list(TABLE)? {
        match serde_json::from_slice::<Request>(&text) {
            Ok(request) if request.binding == binding && request.asked.binding() == binding => {
                state.waiting.insert(binding, request);
            }
            // What cannot be read cannot be agreed to; it is asked again.
            Ok(_) | Err(_) => store.delete(TABLE, &binding)?,
        }
    }
    for (id, text) in store.list(STANDING)? {
        match serde_json::from_slice::<Request>(&text) {
            Ok(request) if request.id == id => {
                state.standing.insert(id, request);
            }
            Ok(_) | Err(_) => store.delete(STANDING, &id)?,
        }
    }
    Ok(state)
}

fn written(request: &Request) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(request).map_err(|error| StoreError::other(error.to_string()))
}
