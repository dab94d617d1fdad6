//! The state as the rest of the program sees it: put, get, list, delete, in transactions.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use super::{
    Due, StateError,
    counted::{Counted, Place, place as row_place},
    database::Database,
    file,
    owner::{DataKeys, Moment, Owner, Tag},
    schema,
    server::Server,
    sql::{Access, Row, Sql, Value},
};
use crate::{
    ambient::{Clock, Random},
    keys::{
        KeyRing, Secret,
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
/// Keys that one statement asks for, and records that one writes: each statement is a round trip to a server, for
/// which a writer keeps all others waiting.
const AT_ONCE: usize = 64;
/// Records that one statement writes, from the most on: together they make up any number in few statements.
const WRITTEN: [usize; 3] = [AT_ONCE, 8, 1];
/// Connections to a server: one writes, the others read meanwhile.
const CONNECTIONS: usize = 4;

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
    /// The count of changes when it was written; no two writings of a key have the same.
    pub version: u64,
    /// Its bytes.
    pub value: Secret,
}

/// Sealed records in one database. It may be opened by several processes at once.
#[derive(Debug)]
pub struct State {
    writer: Mutex<Inner>,
    /// More connections that only read; none where the database is a file.
    readers: Vec<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    keys: DataKeys,
    counted: Counted,
}

impl State {
    /// Opens the database, or makes it, for the owner alone.
    ///
    /// # Errors
    /// When the file is damaged, newer, readable by others, or belongs to another key ring; or when what is due is
    /// not there.
    pub fn open(
        path: &Path,
        ring: &KeyRing,
        due: Due,
        clock: Clock,
        random: Random,
    ) -> Result<Self, StateError> {
        let name = format!("`{}`", path.display());
        if due.begun && !path.exists() {
            return Err(StateError::Gone(name));
        }
        let connected = file::connect(path, schema::STEPS).map(Database::File);
        let prepared = connected.and_then(|database| Inner::begin(database, ring, due, clock, random));
        let inner = prepared.map_err(|error| named(file::damaged(error, path), &name))?;
        Ok(Self {
            writer: Mutex::new(inner),
            readers: Vec::new(),
        })
    }

    /// The same on a server.
    ///
    /// # Errors
    /// When it cannot be reached, or belongs to another key ring; or when what is due is not there.
    pub fn on(
        server: &Server,
        ring: &KeyRing,
        due: Due,
        clock: Clock,
        random: Random,
    ) -> Result<Self, StateError> {
        let open = || {
            let database = Database::Server(server.session());
            let begun = Inner::begin(database, ring, due, clock.clone(), random.clone());
            begun
                .map(Mutex::new)
                .map_err(|error| named(error, &server.name()))
        };
        Ok(Self {
            writer: open()?,
            readers: (1..CONNECTIONS).map(|_| open()).collect::<Result<_, _>>()?,
        })
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
        self.within(Access::Read, |transaction| transaction.get(table, key))
    }

    /// Reads those of many records that are there, as they are at one moment, in no order.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_all(&self, table: &str, keys: &[&str]) -> Result<Vec<Record>, StateError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.within(Access::Read, |transaction| transaction.get_all(table, keys))
    }

    /// Reads the records of a table whose key begins so, in the order of their keys, at most 1,000: a page.
    /// Ask again with the last key as `after` for the next.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn list(&self, table: &str, prefix: &str, after: Option<&str>) -> Result<Vec<Record>, StateError> {
        self.within(Access::Read, |transaction| transaction.list(table, prefix, after))
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
        self.within(Access::Read, |transaction| transaction.changes())
    }

    /// Does several things at once, or none when `work` fails. Durable when it returns.
    ///
    /// # Errors
    /// What `work` says, or when the database refuses.
    pub fn transact<T>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.within(Access::Write, work)
    }

    fn within<T>(
        &self,
        access: Access,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut inner = self.connection(access);
        let Inner {
            database,
            keys,
            counted,
        } = &mut *inner;
        let done = database.within(access, |sql| {
            work(&mut Transaction {
                sql,
                keys: &mut *keys,
                counted,
            })
        });
        if done.is_err() {
            // Data keys that were made and rolled back seal nothing.
            keys.forget();
        }
        done
    }

    /// The connection that writes, or one that reads and is free.
    fn connection(&self, access: Access) -> MutexGuard<'_, Inner> {
        if access == Access::Read {
            let mut readers = self.readers.iter();
            if let Some(free) = readers.find_map(|reader| reader.try_lock().ok()) {
                return free;
            }
        }
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All connections, one after the other.
    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Inner>> {
        let all = std::iter::once(&self.writer).chain(&self.readers);
        all.map(|inner| inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Destroys the data key of an owner, and with it every record of theirs. Gives how many there were.
    ///
    /// # Errors
    /// When the database refuses; then nothing was destroyed.
    pub fn shred(&self, owner: Owner<'_>) -> Result<usize, StateError> {
        self.shred_tagged(self.tag(owner))
    }

    /// What stands for an owner.
    #[must_use]
    pub fn tag(&self, owner: Owner<'_>) -> Tag {
        self.connection(Access::Read).keys.tag(owner)
    }

    /// Now, in the order of data keys: whoever is erased later is erased after it.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn moment(&self) -> Result<Moment, StateError> {
        self.within(Access::Read, |transaction| DataKeys::moment(transaction.sql))
    }

    /// As [`Self::shred`], for whoever knows only what stands for the owner.
    ///
    /// # Errors
    /// As [`Self::shred`].
    pub fn shred_tagged(&self, owner: Tag) -> Result<usize, StateError> {
        let shredded = self.transact(|transaction| {
            let mut rows = DataKeys::rows_of(transaction.sql, owner)?;
            rows.retain(|(table, _, _)| transaction.counted.has(table));
            transaction.counted.change(transaction.sql, &rows)?;
            let count = transaction.keys.destroy(transaction.sql, owner)?;
            transaction.count_change()?;
            Ok(count)
        })?;
        self.each().for_each(|mut inner| inner.keys.forget());
        self.compact()?;
        Ok(shredded)
    }

    /// Wraps all data keys anew after the ring's wrapping key was rotated. Gives how many.
    ///
    /// # Errors
    /// When a key is missing or the database refuses; then the old wrapping stays.
    pub fn rewrap(&self, ring: &KeyRing) -> Result<usize, StateError> {
        let count = self.transact(|transaction| transaction.keys.rewrap(transaction.sql, ring))?;
        self.adopt(ring)?;
        self.compact()?;
        Ok(count)
    }

    /// Takes over the wrapping keys of a ring that another process rotated.
    ///
    /// # Errors
    /// When the ring is damaged.
    pub fn adopt(&self, ring: &KeyRing) -> Result<(), StateError> {
        self.each().try_for_each(|mut inner| inner.keys.adopt(ring))
    }

    /// How many data keys a wrapping key wraps. One that wraps none may be destroyed.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn wrapped_by(&self, id: &str) -> Result<usize, StateError> {
        let sql = "SELECT (SELECT count(*) FROM data_key WHERE wrapped_by = ?1)
                   + (SELECT count(*) FROM meta WHERE name = 'index_key_by' AND value = ?2)";
        self.within(Access::Read, |transaction| {
            let row = transaction.sql.first(sql, &[id.into(), id.as_bytes().into()])?;
            let count = row.ok_or(StateError::Column)?.integer()?;
            Ok(usize::try_from(count).unwrap_or(usize::MAX))
        })
    }

    /// Opens what [`Transaction::seal_for`] sealed for this place; nothing when one of the owners' data keys
    /// was destroyed.
    ///
    /// # Errors
    /// When it was altered or moved, or the database refuses.
    pub fn open_for(&self, place: &str, sealed: &[u8]) -> Result<Option<Secret>, StateError> {
        self.within(Access::Read, |transaction| {
            transaction.keys.open_for(transaction.sql, place, sealed)
        })
    }

    /// Copies the database as it is at this moment into a new file, while it is used.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn copy_to(&self, path: &Path) -> Result<(), StateError> {
        self.connection(Access::Write).database.copy(path)
    }

    /// Writes the log back into the file and empties it, so that no older bytes of it remain, and the file alone
    /// is the whole.
    ///
    /// # Errors
    /// When another process reads older pages, or the database refuses.
    pub fn compact(&self) -> Result<(), StateError> {
        self.connection(Access::Write).database.compact()
    }
}

impl Inner {
    fn begin(
        mut database: Database,
        ring: &KeyRing,
        due: Due,
        clock: Clock,
        random: Random,
    ) -> Result<Self, StateError> {
        let (keys, counted) = database.within(Access::Write, |sql| {
            let (mut keys, found) = DataKeys::of(sql, (ring, due.begun), clock, random.clone())?;
            // Whoever rotated the ring may not have come to this.
            keys.rewrap(sql, ring)?;
            let counted = Counted::new(due.counted, keys.index(), random);
            counted.begin(sql, found)?;
            Ok((keys, counted))
        })?;
        Ok(Self {
            database,
            keys,
            counted,
        })
    }
}

/// Says where the tables were that are gone.
fn named(error: StateError, name: &str) -> StateError {
    if matches!(error, StateError::Gone(_)) {
        return StateError::Gone(name.to_owned());
    }
    error
}

/// Several things at once. See [`State::transact`].
pub struct Transaction<'s> {
    sql: &'s mut dyn Sql,
    keys: &'s mut DataKeys,
    counted: &'s Counted,
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transaction")
    }
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
        self.check(table, key, expect)?;
        self.put_all(owner, table, &[(key, value)])
    }

    /// Writes many records of one owner, whatever is there, as one change: all get its version, which is given. Of
    /// two with one key the later counts.
    ///
    /// # Errors
    /// As [`State::put`].
    pub fn put_all(
        &mut self,
        owner: Owner<'_>,
        table: &str,
        records: &[(impl AsRef<str>, impl AsRef<[u8]>)],
    ) -> Result<u64, StateError> {
        bound("table", table.len(), TABLE_BYTES_MAX)?;
        // No statement may write one row twice.
        let mut each = BTreeMap::new();
        for (key, value) in records {
            let (key, value) = (key.as_ref(), value.as_ref());
            bound("key", key.len(), KEY_BYTES_MAX)?;
            bound("value", value.len(), VALUE_BYTES_MAX)?;
            each.insert(key, value);
        }
        let each: Vec<_> = each.into_iter().collect();
        if each.is_empty() {
            return self.changes();
        }
        let version = self.count_change()?;
        if self.counted.has(table) {
            let keys: Vec<&str> = each.iter().map(|(key, _)| *key).collect();
            let mut places = self.places(table, &keys)?;
            let new = |key: &&str| (table.to_owned(), (*key).to_owned(), stored(version));
            places.extend(keys.iter().map(new));
            self.counted.change(self.sql, &places)?;
        }
        let (id, data_key) = self.keys.for_owner(self.sql, owner)?;
        let mut left = each.as_slice();
        for (rows, sql) in &*INSERTS {
            while let Some((now, later)) = left.split_at_checked(*rows) {
                let mut values = vec![table.into(), stored(version).into(), id.into()];
                for (key, value) in now {
                    let place = place(table, key, id, version);
                    let sealed = seal(&data_key, &place, value, &self.keys.random)
                        .map_err(|error| StateError::sealed(error, table, key))?;
                    values.extend([Value::from(*key), sealed.into()]);
                }
                self.sql.execute(sql, &values)?;
                left = later;
            }
        }
        Ok(version)
    }

    /// Bytes that only open while the data keys of all these owners are there. None when one of them was erased
    /// since that moment: what was on its way then is not kept under a new key.
    ///
    /// # Errors
    /// When there is no owner, or the database refuses.
    pub fn seal_for(
        &mut self,
        owners: &[Owner<'_>],
        since: Moment,
        place: &str,
        plain: &[u8],
    ) -> Result<Option<Vec<u8>>, StateError> {
        self.keys.seal_for(self.sql, owners, since, place, plain)
    }

    /// As [`State::get`].
    ///
    /// # Errors
    /// As [`State::get`].
    pub fn get(&mut self, table: &str, key: &str) -> Result<Option<Record>, StateError> {
        let sql = "SELECT key, version, data_key, sealed FROM record WHERE tbl = ?1 AND key = ?2";
        let row = self.sql.first(sql, &[table.into(), key.into()])?;
        row.map(|row| self.open(table, row)).transpose()
    }

    /// As [`State::get_all`].
    ///
    /// # Errors
    /// As [`State::get`].
    pub fn get_all(&mut self, table: &str, keys: &[&str]) -> Result<Vec<Record>, StateError> {
        let rows = self.rows(&SELECT_ALL, table, keys)?;
        rows.into_iter().map(|row| self.open(table, row)).collect()
    }

    /// Which of many rows there are.
    fn places(&mut self, table: &str, keys: &[&str]) -> Result<Vec<Place>, StateError> {
        let rows = self.rows(&SELECT_PLACES, table, keys)?;
        rows.into_iter().map(row_place).collect()
    }

    fn rows(&mut self, sql: &'static str, table: &str, keys: &[&str]) -> Result<Vec<Row>, StateError> {
        let mut found = Vec::new();
        for keys in keys.chunks(AT_ONCE) {
            // The places that are over ask for nothing.
            let mut values = vec![table.into()];
            values.extend(keys.iter().map(|key| Value::from(*key)));
            values.resize(AT_ONCE + 1, Value::Null);
            found.extend(self.sql.query(sql, &values)?);
        }
        Ok(found)
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
        let first = "SELECT key, version, data_key, sealed FROM record
                     WHERE tbl = ?1 AND key >= ?2 AND substr(key, 1, ?3) = ?2 ORDER BY key LIMIT ?4";
        let next = "SELECT key, version, data_key, sealed FROM record
                    WHERE tbl = ?1 AND key >= ?2 AND substr(key, 1, ?3) = ?2 AND key > ?5 ORDER BY key LIMIT ?4";
        let characters = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        let page = i64::try_from(PAGE_MAX).unwrap_or(i64::MAX);
        let mut values = vec![table.into(), prefix.into(), characters.into(), page.into()];
        values.extend(after.map(Into::into));
        let rows = self
            .sql
            .query(if after.is_some() { next } else { first }, &values)?;
        rows.into_iter().map(|row| self.open(table, row)).collect()
    }

    /// As [`State::delete`].
    ///
    /// # Errors
    /// As [`State::delete`].
    pub fn delete(&mut self, table: &str, key: &str, expect: Expect) -> Result<(), StateError> {
        self.check(table, key, expect)?;
        if self.counted.has(table) {
            let places = self.places(table, &[key])?;
            self.counted.change(self.sql, &places)?;
        }
        let sql = "DELETE FROM record WHERE tbl = ?1 AND key = ?2";
        if self.sql.execute(sql, &[table.into(), key.into()])? > 0 {
            self.count_change()?;
        }
        Ok(())
    }

    /// As [`State::changes`].
    ///
    /// # Errors
    /// As [`State::changes`].
    pub fn changes(&mut self) -> Result<u64, StateError> {
        let row = self.sql.first("SELECT value FROM changes", &[])?;
        let changes = row.ok_or(StateError::Column)?.integer()?;
        Ok(u64::try_from(changes).unwrap_or(0))
    }

    fn count_change(&mut self) -> Result<u64, StateError> {
        self.sql.execute("UPDATE changes SET value = value + 1", &[])?;
        self.changes()
    }

    fn check(&mut self, table: &str, key: &str, expect: Expect) -> Result<(), StateError> {
        if expect == Expect::Any {
            return Ok(());
        }
        let sql = "SELECT version FROM record WHERE tbl = ?1 AND key = ?2";
        let found = self.sql.first(sql, &[table.into(), key.into()])?;
        let found = found.map(|mut row| row.integer()).transpose()?;
        let is_expected = match (found, expect) {
            (None, Expect::Absent) => true,
            (Some(version), Expect::Version(expected)) => version == stored(expected),
            (None | Some(_), Expect::Absent | Expect::Any | Expect::Version(_)) => false,
        };
        is_expected.then_some(()).ok_or_else(|| StateError::Conflict {
            table: table.to_owned(),
            key: key.to_owned(),
        })
    }

    fn open(&mut self, table: &str, mut row: Row) -> Result<Record, StateError> {
        let (key, version, id) = (row.text()?, row.integer()?, row.integer()?);
        let sealed = row.bytes()?;
        let data_key = self.keys.by_id(self.sql, id)?;
        let version = u64::try_from(version).unwrap_or(0);
        let value = open(&data_key, &place(table, &key, id, version), &sealed)
            .map_err(|error| StateError::sealed(error, table, &key))?;
        Ok(Record { key, version, value })
    }
}

/// Asks for [`AT_ONCE`] keys.
static SELECT_ALL: LazyLock<String> = LazyLock::new(|| select("key, version, data_key, sealed"));
/// Asks which of them there are.
static SELECT_PLACES: LazyLock<String> = LazyLock::new(|| select("tbl, key, version"));

fn select(columns: &str) -> String {
    let places: Vec<String> = (0..AT_ONCE).map(|n| format!("?{}", n + 2)).collect();
    let places = places.join(", ");
    format!("SELECT {columns} FROM record WHERE tbl = ?1 AND key IN ({places})")
}

/// Writes as many records as stand beside it.
static INSERTS: LazyLock<[(usize, String); 3]> = LazyLock::new(|| {
    WRITTEN.map(|count| {
        let row = |n: usize| format!("(?1, ?{}, ?2, ?3, ?{})", 2 * n + 4, 2 * n + 5);
        let rows: Vec<String> = (0..count).map(row).collect();
        let sql = format!("INSERT INTO record VALUES {} {REPLACING}", rows.join(", "));
        (count, sql)
    })
});

/// What is there is replaced.
const REPLACING: &str = "ON CONFLICT (tbl, key) DO UPDATE
    SET version = excluded.version, data_key = excluded.data_key, sealed = excluded.sealed";

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

/// A version as databases hold it. The count of changes stays far below the bound.
fn stored(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn bound(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), StateError> {
    (bytes <= bytes_max)
        .then_some(())
        .ok_or(StateError::TooLong(what, bytes_max))
}
