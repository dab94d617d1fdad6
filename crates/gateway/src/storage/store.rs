//! The store of what must survive a restart besides the ledger: sealed tables.

use std::{
    collections::HashMap,
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use pipeline::{Objection, refusal};
use records::table::{Claim, Expect, Owner, Record, Server, State, StateError};
use thiserror::Error;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::storage::keychain::Keychain;

/// Why the store cannot serve.
#[derive(Debug, Error)]
#[error("the store fails: {why}")]
pub(crate) struct StoreError {
    why: String,
    cause: Cause,
}

/// What has to change before the store serves again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    /// The database is away, and nothing else is wrong.
    Away,
    /// The disk takes nothing.
    Disk,
    /// Something that does not pass by itself.
    Other,
}

impl StoreError {
    /// Something that cannot be stored.
    pub(crate) fn other(why: String) -> Self {
        let cause = Cause::Other;
        Self { why, cause }
    }

    /// What a call is told that cannot go on without the store, and was not made.
    pub(crate) fn objection(&self) -> Objection {
        self.objection_or(&refusal::INTERNAL, self.to_string())
    }

    /// The same, where there is another word for what does not pass by itself.
    pub(crate) fn objection_or(&self, code: &'static refusal::Code, why: String) -> Objection {
        let code = match self.cause {
            Cause::Away => &refusal::STATE_UNAVAILABLE,
            Cause::Disk => &refusal::LEDGER_UNAVAILABLE,
            Cause::Other => code,
        };
        Objection::new(code, why)
    }

    /// What is told of a call that was made.
    pub(crate) fn objection_when_made(&self, code: &'static refusal::Code, why: String) -> Objection {
        let code = match self.cause {
            Cause::Away | Cause::Disk => &refusal::OUTCOME_UNRECORDED,
            Cause::Other => code,
        };
        Objection::new(code, why)
    }
}

impl From<StateError> for StoreError {
    fn from(error: StateError) -> Self {
        let cause = if error.is_away() {
            Cause::Away
        } else if error.is_of_disk() {
            Cause::Disk
        } else {
            Cause::Other
        };
        let why = error.to_string();
        Self { why, cause }
    }
}

/// See the module. Clones are the same store. What [`Store::put`] keeps belongs to the installation itself.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    state: Arc<State>,
    keychain: Keychain,
    people: Arc<tokio::sync::Mutex<()>>,
    shared: Option<Arc<Shared>>,
}

/// What replicas on one database have to agree on.
#[derive(Debug)]
struct Shared {
    server: Server,
    /// This replica's own name: that of its log.
    replica: String,
    log: Mutex<Claim>,
}

/// A key and the value it is to have, or none.
pub(crate) type Setting = (String, Option<Vec<u8>>);

/// What of many settings could not be stored.
#[derive(Debug)]
pub(crate) struct Unset {
    /// Their places among them.
    pub(crate) places: Vec<usize>,
    /// Why the first could not.
    pub(crate) why: StoreError,
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exchanged {
    Done,
    /// It was not what it was expected to be, and stayed.
    Otherwise,
}

impl Store {
    pub(crate) fn new(state: State, keychain: Keychain) -> Self {
        Self {
            state: Arc::new(state),
            keychain,
            people: Arc::default(),
            shared: None,
        }
    }

    /// The same on a database that other replicas have, too.
    pub(crate) fn sharing(self, server: Server, replica: String, log: Claim) -> Self {
        let log = Mutex::new(log);
        let shared = Shared { server, replica, log };
        Self {
            shared: Some(Arc::new(shared)),
            ..self
        }
    }

    /// The database that replicas share, if this is one.
    pub(crate) fn server(&self) -> Option<&Server> {
        self.shared.as_ref().map(|shared| &shared.server)
    }

    /// Whether the tables could not be reached when they were last asked for. Those in a file always can.
    pub(crate) fn is_away(&self) -> bool {
        self.server().is_some_and(Server::is_lost)
    }

    /// This replica among those that share the database.
    pub(crate) fn replica(&self) -> Option<&str> {
        self.shared.as_ref().map(|shared| shared.replica.as_str())
    }

    /// Makes sure that nobody else writes this replica's log. What is not known now is asked again later.
    pub(crate) fn hold_log(&self) -> Result<(), StoreError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let mut log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        match aside(|| log.hold()) {
            Err(error @ StateError::Claimed(_)) => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// How many changes there were, by all replicas.
    pub(crate) fn changes(&self) -> Result<u64, StoreError> {
        self.with(State::changes)
    }

    /// What one replica does at a time. Good while it is held; nothing where there is but one.
    pub(crate) fn alone_with(&self, what: &str) -> Result<Option<Claim>, StoreError> {
        let claim = self
            .server()
            .map(|server| aside(|| server.claim(what)))
            .transpose();
        claim.map_err(|error| {
            if matches!(error, StateError::Claimed(_)) {
                StoreError::other(format!("another replica changes {what}; try again"))
            } else {
                error.into()
            }
        })
    }

    /// Puts another value, or none, in the place of one, if that is as expected.
    pub(crate) fn exchange(
        &self,
        table: &str,
        key: &str,
        expected: impl Fn(Option<&[u8]>) -> bool,
        value: Option<&[u8]>,
    ) -> Result<Exchanged, StoreError> {
        self.with(|state| {
            state.transact(|transaction| {
                let found = transaction.get(table, key)?;
                if !expected(found.as_ref().map(|record| record.value.expose())) {
                    return Ok(Exchanged::Otherwise);
                }
                match value {
                    Some(value) => {
                        transaction.put(Owner::Platform, table, key, value, Expect::Any)?;
                    }
                    None => transaction.delete(table, key, Expect::Any)?,
                }
                Ok(Exchanged::Done)
            })
        })
    }

    /// Whoever holds, releases, erases or ends records of people does it alone: nobody's are erased while somebody
    /// else is told that they are held.
    pub(crate) fn people(&self) -> &tokio::sync::Mutex<()> {
        &self.people
    }

    /// The tables themselves, for whoever changes their keys.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Where the keys are.
    pub(crate) fn keychain(&self) -> &Keychain {
        &self.keychain
    }

    /// Work that waits for a database on a network goes [`aside`]. A file answers in microseconds, and every call asks it:
    /// handing a thread's work over each time took half as much again of the processor, and a thread's memory each.
    fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.server().is_some() {
            aside(work)
        } else {
            work()
        }
    }

    /// Works on the tables. Where another process of this data directory changed the wrapping key, with the
    /// new one.
    pub(crate) fn with<T>(&self, work: impl Fn(&State) -> Result<T, StateError>) -> Result<T, StoreError> {
        self.aside(|| match work(&self.state) {
            Err(StateError::MissingKey(_)) => {
                let ring = self
                    .keychain
                    .open()
                    .map_err(|error| StoreError::other(error.to_string()))?;
                self.state.adopt(&ring)?;
                Ok(work(&self.state)?)
            }
            done => Ok(done?),
        })
    }

    /// Stores a value.
    pub(crate) fn put(&self, table: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.with(|state| state.put(Owner::Platform, table, key, value, Expect::Any))?;
        Ok(())
    }

    /// Stores values of one owner, all or none.
    pub(crate) fn put_all(
        &self,
        owner: Owner<'_>,
        table: &str,
        values: &[(String, Vec<u8>)],
    ) -> Result<(), StoreError> {
        self.with(|state| {
            state.transact(|transaction| {
                transaction.put_all(owner, table, values)?;
                Ok(())
            })
        })
    }

    /// Those of many values that are there.
    pub(crate) fn get_all(&self, table: &str, keys: &[&str]) -> Result<HashMap<String, Vec<u8>>, StoreError> {
        Ok(by_key(self.with(|state| state.get_all(table, keys))?))
    }

    /// Looks at many values, stores what is to be stored then for one owner, and gives what came of it, while
    /// nobody else writes.
    pub(crate) fn settle<T>(
        &self,
        (owner, table): (Owner<'_>, &str),
        keys: &[&str],
        decide: impl Fn(&HashMap<String, Vec<u8>>) -> (T, Vec<(String, Vec<u8>)>),
    ) -> Result<T, StoreError> {
        self.with(|state| {
            state.transact(|transaction| {
                let found = by_key(transaction.get_all(table, keys)?);
                let (done, values) = decide(&found);
                transaction.put_all(owner, table, &values)?;
                Ok(done)
            })
        })
    }

    /// Removes values, all or none.
    pub(crate) fn delete_all(&self, table: &str, keys: &[&str]) -> Result<(), StoreError> {
        self.with(|state| {
            state.transact(|transaction| {
                keys.iter()
                    .try_for_each(|key| transaction.delete(table, key, Expect::Any))
            })
        })
    }

    /// Stores values, and removes those that are none, in one transaction: each is a sync of the disk that the ledger's
    /// syncs are behind. Where that fails each is for itself, so that one that cannot be stored keeps no other from it.
    pub(crate) fn set_all(&self, table: &str, values: &[Setting]) -> Result<(), Unset> {
        if values.is_empty() || self.set(table, values).is_ok() {
            return Ok(());
        }
        let mut unset = None;
        for (place, value) in values.iter().enumerate() {
            if let Err(why) = self.set(table, slice::from_ref(value)) {
                let unset = unset.get_or_insert_with(|| Unset {
                    places: Vec::new(),
                    why,
                });
                unset.places.push(place);
            }
        }
        unset.map_or(Ok(()), Err)
    }

    fn set(&self, table: &str, values: &[Setting]) -> Result<(), StoreError> {
        self.with(|state| {
            state.transact(|transaction| {
                for (key, value) in values {
                    match value {
                        Some(value) => {
                            transaction.put(Owner::Platform, table, key, value, Expect::Any)?;
                        }
                        None => transaction.delete(table, key, Expect::Any)?,
                    }
                }
                Ok(())
            })
        })
    }

    /// One value.
    pub(crate) fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.with(|state| state.get(table, key))?;
        Ok(found.map(|record| record.value.expose().to_vec()))
    }

    /// Removes a value.
    pub(crate) fn delete(&self, table: &str, key: &str) -> Result<(), StoreError> {
        self.with(|state| state.delete(table, key, Expect::Any))
    }

    /// All values of a table, by key.
    pub(crate) fn list(&self, table: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map(|(key, _): &(String, _)| key.clone());
            let page = self.with(|state| state.list(table, "", after.as_deref()))?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(
                page.into_iter()
                    .map(|record| (record.key, record.value.expose().to_vec())),
            );
        }
    }
}

/// Work that waits for a disk, a database or another process: what else this thread of the runtime would do, another
/// does meanwhile. The first such work of a task hands that over, and what follows it until the task waits is free.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    // The command's own runtime, where no gateway runs, has one thread and nobody else to serve.
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

/// A lock that is held while the tables are waited for: whoever waits for it waits for them, too.
pub(crate) fn lock_aside<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => aside(|| mutex.lock().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn by_key(records: Vec<Record>) -> HashMap<String, Vec<u8>> {
    let each = records.into_iter();
    each.map(|record| (record.key, record.value.expose().to_vec()))
        .collect()
}

#[cfg(test)]
mod tests;
