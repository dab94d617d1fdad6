//! The state as the rest of the program sees it: put, get, list, delete, in transactions.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::{
    StateError,
    owner::{DataKeys, Owner},
    schema,
};
use crate::{
    ambient::{Clock, Random},
    disk::{Disk, How, RealDisk},
    keys::{
        KeyRing, Secret, private,
        seal::{open, seal},
    },
};

/// Bytes of a table's name.
const TABLE_BYTES_MAX: usize = 64;
/// Bytes of a key.
const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value.
const VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Records of one page.
const PAGE_MAX: usize = 1_000;
/// How long another process that writes is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// What a writer believes to be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// Whatever it is.
    Any,
    /// The record as it was read.
    Version(u64),
}

/// A record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// The count of changes when it was written; no two writings have the same.
    pub version: u64,
    /// Its bytes.
    pub value: Secret,
}

/// Sealed records in one file. It may be opened by several processes at once.
#[derive(Debug)]
pub struct State {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    keys: DataKeys,
}

impl State {
    /// Opens the database, or makes it, for the owner alone.
    ///
    /// # Errors
    /// When the file is damaged, newer, readable by others, or belongs to another key ring.
    pub fn open(path: &Path, ring: &KeyRing, clock: Clock, random: Random) -> Result<Self, StateError> {
        let prepared = connect(path, schema::STEPS).and_then(|mut connection| {
            let immediate = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut keys = DataKeys::of(&immediate, ring, clock, random)?;
            // Whoever rotated the ring may not have come to this.
            keys.rewrap(&immediate, ring)?;
            immediate.commit()?;
            Ok(Inner { connection, keys })
        });
        let inner = Mutex::new(prepared.map_err(|error| damaged(error, path))?);
        Ok(Self { inner })
    }

    /// Writes a record; gives its version.
    ///
    /// # Errors
    /// When it is not what was expected, or the database refuses.
    pub fn put(
        &self,
        owner: Owner<'_>,
        table: &str,
        key: &str,
        value: &[u8],
        expect: Expect,
    ) -> Result<u64, StateError> {
        self.transact(|transaction| transaction.put(owner, table, key, value, expect))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it was altered, or the database refuses.
    pub fn get(&self, table: &str, key: &str) -> Result<Option<Record>, StateError> {
        self.within(TransactionBehavior::Deferred, |transaction| {
            transaction.get(table, key)
        })
    }

    /// Reads the records of a table whose key begins so, in the order of their keys, at most 1,000: a page.
    /// Ask again with the last key as `after` for the next.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn list(&self, table: &str, prefix: &str, after: Option<&str>) -> Result<Vec<Record>, StateError> {
        self.within(TransactionBehavior::Deferred, |transaction| {
            transaction.list(table, prefix, after)
        })
    }

    /// Deletes a record. One that is not there is no error unless it was expected.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn delete(&self, table: &str, key: &str, expect: Expect) -> Result<(), StateError> {
        self.transact(|transaction| transaction.delete(table, key, expect))
    }

    /// How many changes there were, by all processes: equal means nothing has changed.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn changes(&self) -> Result<u64, StateError> {
        self.within(TransactionBehavior::Deferred, |transaction| transaction.changes())
    }

    /// Does several things at once, or none when `work` fails. Durable when it returns.
    ///
    /// # Errors
    /// What `work` says, or when the database refuses.
    pub fn transact<T>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.within(TransactionBehavior::Immediate, work)
    }

    /// A transaction that takes the right to write at its beginning, or one that only reads.
    fn within<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { connection, keys } = &mut *inner;
        let database = connection.transaction_with_behavior(behavior)?;
        let mut transaction = Transaction { database, keys };
        let done = work(&mut transaction);
        let Transaction { database, keys } = transaction;
        let done = done.and_then(|done| Ok(database.commit().map(|()| done)?));
        if done.is_err() {
            // Data keys that were made and rolled back seal nothing.
            keys.forget();
        }
        done
    }

    /// Destroys the data key of an owner, and with it every record of theirs. Gives how many there were.
    ///
    /// # Errors
    /// When the database refuses; then nothing was destroyed.
    pub fn shred(&self, owner: Owner<'_>) -> Result<usize, StateError> {
        let shredded = self.transact(|transaction| {
            let count = transaction.keys.destroy(&transaction.database, owner)?;
            transaction.count_change()?;
            Ok(count)
        })?;
        self.compact()?;
        Ok(shredded)
    }

    /// Wraps all data keys anew after the ring's wrapping key was rotated. Gives how many.
    ///
    /// # Errors
    /// When a key is missing or the database refuses; then the old wrapping stays.
    pub fn rewrap(&self, ring: &KeyRing) -> Result<usize, StateError> {
        let count = self.transact(|transaction| transaction.keys.rewrap(&transaction.database, ring))?;
        self.compact()?;
        Ok(count)
    }

    /// Takes over the wrapping keys of a ring that another process rotated.
    ///
    /// # Errors
    /// When the ring is damaged.
    pub fn adopt(&self, ring: &KeyRing) -> Result<(), StateError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.keys.adopt(ring)
    }

    /// How many data keys a wrapping key wraps. One that wraps none may be destroyed.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn wrapped_by(&self, id: &str) -> Result<usize, StateError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = "SELECT (SELECT count(*) FROM data_key WHERE wrapped_by = ?1)
                   + (SELECT count(*) FROM meta WHERE name = 'index_key_by' AND value = CAST(?1 AS BLOB))";
        let count: i64 = inner.connection.query_row(sql, [id], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Opens what [`Transaction::seal_for`] sealed for this place; nothing when one of the owners' data keys
    /// was destroyed.
    ///
    /// # Errors
    /// When it was altered or moved, or the database refuses.
    pub fn open_for(&self, place: &str, sealed: &[u8]) -> Result<Option<Secret>, StateError> {
        self.within(TransactionBehavior::Deferred, |transaction| {
            transaction.keys.open_for(&transaction.database, place, sealed)
        })
    }

    /// Copies the database as it is at this moment into a new file, while it is used.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn copy_to(&self, path: &Path) -> Result<(), StateError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        copy(&inner.connection, path)
    }

    /// Writes the log back into the file and empties it, so that no older bytes of it remain, and the file alone
    /// is the whole.
    ///
    /// # Errors
    /// When another process reads older pages, or the database refuses.
    pub fn compact(&self) -> Result<(), StateError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        compact(&inner.connection)
    }
}

/// Opens a database of ours, or makes it, for the owner alone.
pub(super) fn connect(path: &Path, steps: &[&str]) -> Result<Connection, StateError> {
    let refused = |source| StateError::Io {
        path: path.to_owned(),
        source,
    };
    if path.exists() {
        private(&RealDisk, path)?;
    } else {
        RealDisk
            .create_dir(path.parent().unwrap_or(Path::new("")))
            .map_err(refused)?;
        RealDisk.open(path, How::Create).map_err(refused)?;
    }
    // No URI, no creation under another mode: the file is there.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).map_err(StateError::from);
    let prepared = opened.and_then(|mut connection| {
        connection.busy_timeout(BUSY)?;
        schema::prepare(&mut connection, steps)?;
        Ok(connection)
    });
    prepared.map_err(|error| damaged(error, path))
}

/// See [`State::compact`].
pub(super) fn compact(connection: &Connection) -> Result<(), StateError> {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    (busy == 0).then_some(()).ok_or(StateError::Remains)
}

/// Copies a database into a new file that only its owner can read.
pub(super) fn copy(connection: &Connection, path: &Path) -> Result<(), StateError> {
    let refused = |source| StateError::Io {
        path: path.to_owned(),
        source,
    };
    RealDisk.open(path, How::Create).map_err(refused)?;
    connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
    Ok(())
}

/// Several things at once. See [`State::transact`].
#[derive(Debug)]
pub struct Transaction<'s> {
    database: rusqlite::Transaction<'s>,
    keys: &'s mut DataKeys,
}

impl Transaction<'_> {
    /// As [`State::put`].
    ///
    /// # Errors
    /// As [`State::put`].
    pub fn put(
        &mut self,
        owner: Owner<'_>,
        table: &str,
        key: &str,
        value: &[u8],
        expect: Expect,
    ) -> Result<u64, StateError> {
        bound("table", table.len(), TABLE_BYTES_MAX)?;
        bound("key", key.len(), KEY_BYTES_MAX)?;
        bound("value", value.len(), VALUE_BYTES_MAX)?;
        self.check(table, key, expect)?;
        let version = self.count_change()?;
        let (id, data_key) = self.keys.for_owner(&self.database, owner)?;
        let sealed = seal(
            &data_key,
            &place(table, key, id, version),
            value,
            &self.keys.random,
        )
        .map_err(|error| StateError::sealed(error, table, key))?;
        let sql = "INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut statement = self.database.prepare_cached(sql)?;
        statement.execute((table, key, stored(version), id, sealed))?;
        Ok(version)
    }

    /// Bytes that only open while the data keys of all these owners are there.
    ///
    /// # Errors
    /// When there is no owner, or the database refuses.
    pub fn seal_for(
        &mut self,
        owners: &[Owner<'_>],
        place: &str,
        plain: &[u8],
    ) -> Result<Vec<u8>, StateError> {
        self.keys.seal_for(&self.database, owners, place, plain)
    }

    /// As [`State::get`].
    ///
    /// # Errors
    /// As [`State::get`].
    pub fn get(&mut self, table: &str, key: &str) -> Result<Option<Record>, StateError> {
        let sql = "SELECT key, version, data_key, sealed FROM record WHERE tbl = ?1 AND key = ?2";
        let row = self
            .database
            .prepare_cached(sql)?
            .query_row((table, key), Row::read)
            .optional()?;
        row.map(|row| self.open(table, row)).transpose()
    }

    /// As [`State::list`].
    ///
    /// # Errors
    /// As [`State::list`].
    pub fn list(
        &mut self,
        table: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<Record>, StateError> {
        // Keys are compared by their bytes, so those with a prefix stand together.
        let sql = "SELECT key, version, data_key, sealed FROM record
                   WHERE tbl = ?1 AND key >= ?2 AND (?3 IS NULL OR key > ?3) AND substr(key, 1, ?4) = ?2
                   ORDER BY key LIMIT ?5";
        let rows = {
            let mut statement = self.database.prepare_cached(sql)?;
            let characters = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
            let page = i64::try_from(PAGE_MAX).unwrap_or(i64::MAX);
            let rows = statement.query_map((table, prefix, after, characters, page), Row::read)?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        rows.into_iter().map(|row| self.open(table, row)).collect()
    }

    /// As [`State::delete`].
    ///
    /// # Errors
    /// As [`State::delete`].
    pub fn delete(&mut self, table: &str, key: &str, expect: Expect) -> Result<(), StateError> {
        self.check(table, key, expect)?;
        let sql = "DELETE FROM record WHERE tbl = ?1 AND key = ?2";
        if self.database.prepare_cached(sql)?.execute((table, key))? > 0 {
            self.count_change()?;
        }
        Ok(())
    }

    /// As [`State::changes`].
    ///
    /// # Errors
    /// As [`State::changes`].
    pub fn changes(&mut self) -> Result<u64, StateError> {
        let sql = "SELECT value FROM meta WHERE name = 'changes'";
        let changes: i64 = self
            .database
            .prepare_cached(sql)?
            .query_row([], |row| row.get(0))?;
        Ok(u64::try_from(changes).unwrap_or(0))
    }

    fn count_change(&mut self) -> Result<u64, StateError> {
        let sql = "UPDATE meta SET value = value + 1 WHERE name = 'changes'";
        self.database.prepare_cached(sql)?.execute([])?;
        self.changes()
    }

    fn check(&mut self, table: &str, key: &str, expect: Expect) -> Result<(), StateError> {
        if expect == Expect::Any {
            return Ok(());
        }
        let sql = "SELECT version FROM record WHERE tbl = ?1 AND key = ?2";
        let found = self
            .database
            .prepare_cached(sql)?
            .query_row((table, key), |row| row.get::<_, i64>(0));
        let is_expected = match (found.optional()?, expect) {
            (None, Expect::Absent) => true,
            (Some(version), Expect::Version(expected)) => version == stored(expected),
            (None | Some(_), Expect::Absent | Expect::Any | Expect::Version(_)) => false,
        };
        is_expected.then_some(()).ok_or_else(|| StateError::Conflict {
            table: table.to_owned(),
            key: key.to_owned(),
        })
    }

    fn open(&mut self, table: &str, row: Row) -> Result<Record, StateError> {
        let data_key = self.keys.by_id(&self.database, row.data_key)?;
        let version = u64::try_from(row.version).unwrap_or(0);
        let value = open(
            &data_key,
            &place(table, &row.key, row.data_key, version),
            &row.sealed,
        )
        .map_err(|error| StateError::sealed(error, table, &row.key))?;
        Ok(Record {
            key: row.key,
            version,
            value,
        })
    }
}

/// A record as it is stored.
struct Row {
    key: String,
    version: i64,
    data_key: i64,
    sealed: Vec<u8>,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: row.get(0)?,
            version: row.get(1)?,
            data_key: row.get(2)?,
            sealed: row.get(3)?,
        })
    }
}

/// What a sealed record is bound to.
fn place(table: &str, key: &str, data_key: i64, version: u64) -> Vec<u8> {
    // A zero byte cannot end a name early: the lengths stand before.
    let head = format!(
        "sallyport-record/1\0{}\0{}\0{data_key}\0{version}\0",
        table.len(),
        key.len()
    );
    [head.as_bytes(), table.as_bytes(), key.as_bytes()].concat()
}

/// A version as SQLite holds it. The count of changes stays far below the bound.
fn stored(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn bound(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), StateError> {
    (bytes <= bytes_max)
        .then_some(())
        .ok_or(StateError::TooLong(what, bytes_max))
}

/// Says of a database that SQLite cannot read that it is damaged.
fn damaged(error: StateError, path: &Path) -> StateError {
    if let StateError::Sqlite(cause) = &error
        && let Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) = cause.sqlite_error_code()
    {
        return StateError::Damaged(path.to_owned());
    }
    error
}
