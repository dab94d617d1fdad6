//! Payloads: arguments and results of calls, sealed apart from the ledger, which holds only their keyed digests.
//!
//! A file of rows that anybody may copy: each is sealed under the data keys of all the people it concerns
//! ([`Transaction::seal_for`](super::Transaction::seal_for)), and those keys are in another file. A row says in
//! clear which call it belongs to, when it was kept, and the keyed digests of the people.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

use super::{
    StateError,
    schema::PAYLOAD_STEPS,
    state::{compact, connect, copy},
};

/// A payload, sealed.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The call it belongs to.
    pub call: String,
    /// Which part of the call: `arguments`, `result`.
    pub part: &'static str,
    /// When it was kept, in milliseconds since 1970.
    pub time_ms: u64,
    /// Keyed digests of the people it concerns.
    pub subjects: Vec<String>,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// A payload as it was found.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Which part of the call.
    pub part: String,
    /// When it was kept, in milliseconds since 1970.
    pub time_ms: u64,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// Payloads in one file.
#[derive(Debug)]
pub struct Payloads(Mutex<Connection>);

impl Payloads {
    /// Opens the file, or makes it, for the owner alone.
    ///
    /// # Errors
    /// When it is damaged, newer, or readable by others.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        connect(path, PAYLOAD_STEPS).map(|connection| Self(Mutex::new(connection)))
    }

    /// Keeps payloads, all or none. Durable when it returns. What is kept of a call already stays.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn put(&self, payloads: &[Payload]) -> Result<(), StateError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for payload in payloads {
            let sql = "INSERT OR IGNORE INTO payload (call, part, time_ms, sealed) VALUES (?1, ?2, ?3, ?4)";
            let row = (
                &payload.call,
                payload.part,
                stored(payload.time_ms),
                &payload.sealed,
            );
            if transaction.prepare_cached(sql)?.execute(row)? == 0 {
                continue;
            }
            let id = transaction.last_insert_rowid();
            for subject in &payload.subjects {
                let sql = "INSERT OR IGNORE INTO concerned VALUES (?1, ?2)";
                transaction.prepare_cached(sql)?.execute((subject, id))?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// The payloads of a call.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn of_call(&self, call: &str) -> Result<Vec<Kept>, StateError> {
        let connection = self.lock();
        let sql = "SELECT part, time_ms, sealed FROM payload WHERE call = ?1 ORDER BY part";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([call], |row| {
            Ok(Kept {
                part: row.get(0)?,
                time_ms: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
                sealed: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Deletes the payloads that concern a person. Gives how many there were.
    ///
    /// # Errors
    /// When the database refuses, or older bytes may remain in its log.
    pub fn delete_of(&self, subjects: &[String]) -> Result<usize, StateError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let mut deleted = 0;
        for subject in subjects {
            let sql = "DELETE FROM payload WHERE id IN (SELECT payload FROM concerned WHERE subject = ?1)";
            deleted += transaction.execute(sql, [subject])?;
        }
        transaction.commit()?;
        compact(&connection)?;
        Ok(deleted)
    }

    /// Deletes what was kept before a moment, unless it concerns one of the people it is held for. Gives how
    /// many there were.
    ///
    /// # Errors
    /// As [`Self::delete_of`].
    pub fn expire(&self, before_ms: u64, held: &[String]) -> Result<usize, StateError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction
            .execute_batch("CREATE TEMP TABLE IF NOT EXISTS held (subject TEXT); DELETE FROM held;")?;
        for subject in held {
            transaction.execute("INSERT INTO held VALUES (?1)", [subject])?;
        }
        let sql = "DELETE FROM payload WHERE time_ms < ?1 AND id NOT IN
                   (SELECT payload FROM concerned JOIN held USING (subject))";
        let deleted = transaction.execute(sql, [stored(before_ms)])?;
        transaction.commit()?;
        if deleted > 0 {
            compact(&connection)?;
        }
        Ok(deleted)
    }

    /// How many there are, and when the oldest was kept.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn extent(&self) -> Result<(u64, Option<u64>), StateError> {
        let connection = self.lock();
        let sql = "SELECT count(*), min(time_ms) FROM payload";
        let (count, oldest) = connection.query_row(sql, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
        let oldest = oldest.and_then(|oldest| u64::try_from(oldest).ok());
        Ok((u64::try_from(count).unwrap_or(0), oldest))
    }

    /// Copies the file as it is at this moment, while it is used.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn copy_to(&self, path: &Path) -> Result<(), StateError> {
        copy(&self.lock(), path)
    }

    /// As [`State::compact`](super::State::compact).
    ///
    /// # Errors
    /// As there.
    pub fn compact(&self) -> Result<(), StateError> {
        compact(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment as SQLite holds it.
fn stored(time_ms: u64) -> i64 {
    i64::try_from(time_ms).unwrap_or(i64::MAX)
}
