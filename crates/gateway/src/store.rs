//! The store of what must survive a restart besides the ledger: sealed tables.

use std::sync::Arc;

use records::table::{Expect, Owner, State, StateError};
use thiserror::Error;

use crate::keychain::Keychain;

/// Why the store cannot serve.
#[derive(Debug, Error)]
#[error("the store fails: {0}")]
pub(crate) struct StoreError(String);

impl StoreError {
    /// Something that cannot be stored.
    pub(crate) fn other(why: String) -> Self {
        Self(why)
    }
}

impl From<records::table::StateError> for StoreError {
    fn from(error: records::table::StateError) -> Self {
        Self(error.to_string())
    }
}

/// See the module. Clones are the same store. What [`Store::put`] keeps belongs to the installation itself.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    state: Arc<State>,
    keychain: Keychain,
    people: Arc<tokio::sync::Mutex<()>>,
}

impl Store {
    pub(crate) fn new(state: State, keychain: Keychain) -> Self {
        Self {
            state: Arc::new(state),
            keychain,
            people: Arc::default(),
        }
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

    /// Works on the tables. Where another process of this data directory changed the wrapping key, with the
    /// new one.
    pub(crate) fn with<T>(&self, work: impl Fn(&State) -> Result<T, StateError>) -> Result<T, StoreError> {
        match work(&self.state) {
            Err(StateError::MissingKey(_)) => {
                let ring = self
                    .keychain
                    .open()
                    .map_err(|error| StoreError(error.to_string()))?;
                self.state.adopt(&ring)?;
                Ok(work(&self.state)?)
            }
            done => Ok(done?),
        }
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
                for (key, value) in values {
                    transaction.put(owner, table, key, value, Expect::Any)?;
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
