//! The store of what must survive a restart besides the ledger.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use thiserror::Error;

/// Why the store cannot serve.
#[derive(Debug, Error)]
#[error("the store fails: {0}")]
pub(crate) struct StoreError(pub(crate) String);

/// See the module. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store(Arc<Mutex<BTreeMap<(String, String), Vec<u8>>>>);

impl Store {
    /// Stores a value.
    pub(crate) fn put(&self, table: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.insert((table.to_owned(), key.to_owned()), value.to_vec());
        Ok(())
    }

    /// All values of a table, by key.
    pub(crate) fn list(&self, table: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_table = rows.iter().filter(|((of, _), _)| of == table);
        Ok(of_table.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}
