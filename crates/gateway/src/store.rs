//! The store of what must survive a restart besides the ledger: sealed tables.

use std::sync::Arc;

use records::table::{Expect, Owner, State};
use thiserror::Error;

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
pub(crate) struct Store(Arc<State>);

impl Store {
    pub(crate) fn new(state: State) -> Self {
        Self(Arc::new(state))
    }

    /// Stores a value.
    pub(crate) fn put(&self, table: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.put(Owner::Platform, table, key, value, Expect::Any)?;
        Ok(())
    }

    /// Stores values of one owner, all or none.
    pub(crate) fn put_all(
        &self,
        owner: Owner<'_>,
        table: &str,
        values: &[(String, Vec<u8>)],
    ) -> Result<(), StoreError> {
        Ok(self.0.transact(|transaction| {
            for (key, value) in values {
                transaction.put(owner, table, key, value, Expect::Any)?;
            }
            Ok(())
        })?)
    }

    /// One value.
    pub(crate) fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.0.get(table, key)?;
        Ok(found.map(|record| record.value.expose().to_vec()))
    }

    /// Removes a value.
    pub(crate) fn delete(&self, table: &str, key: &str) -> Result<(), StoreError> {
        Ok(self.0.delete(table, key, Expect::Any)?)
    }

    /// All values of a table, by key.
    pub(crate) fn list(&self, table: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map(|(key, _): &(String, _)| key.clone());
            let page = self.0.list(table, "", after.as_deref())?;
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
