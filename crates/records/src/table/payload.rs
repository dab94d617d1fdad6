//! Payloads: arguments and results of calls, sealed apart from the ledger, which holds only their keyed digests.
//!
//! A file of rows that anybody may copy: each is sealed under the data keys of all the people it concerns
//! ([`Transaction::seal_for`](super::Transaction::seal_for)), and those keys are in another file. A row says in
//! clear which call it belongs to, when it was kept, and the keyed digests of the people.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    StateError,
    database::Database,
    file,
    schema::PAYLOAD_STEPS,
    server::Server,
    sql::{Access, Value},
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

/// Payloads in one file, or on a server.
#[derive(Debug)]
pub struct Payloads(Mutex<Database>);

impl Payloads {
    /// Opens the file, or makes it, for the owner alone.
    ///
    /// # Errors
    /// When it is damaged, newer, or readable by others.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        file::connect(path, PAYLOAD_STEPS).map(|connection| Self(Mutex::new(Database::File(connection))))
    }

    /// Those on a server.
    #[must_use]
    pub fn on(server: &Server) -> Self {
        Self(Mutex::new(Database::Server(server.session())))
    }

    /// Keeps payloads, all or none. Durable when it returns. What is kept of a call already stays.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn put(&self, payloads: &[Payload]) -> Result<(), StateError> {
        let keep = "INSERT INTO payload (call, part, time_ms, sealed) VALUES (?1, ?2, ?3, ?4)
                    ON CONFLICT (call, part) DO NOTHING RETURNING id";
        let concern = "INSERT INTO concerned VALUES (?1, ?2) ON CONFLICT (subject, payload) DO NOTHING";
        self.lock().within(Access::Write, |sql| {
            for payload in payloads {
                let call = payload.call.as_str().into();
                let sealed = payload.sealed.as_slice().into();
                let values = [call, payload.part.into(), stored(payload.time_ms), sealed];
                let Some(mut kept) = sql.first(keep, &values)? else {
                    continue;
                };
                let id = kept.integer()?;
                for subject in &payload.subjects {
                    sql.execute(concern, &[subject.as_str().into(), id.into()])?;
                }
            }
            Ok(())
        })
    }

    /// The payloads of a call.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn of_call(&self, call: &str) -> Result<Vec<Kept>, StateError> {
        let sql = "SELECT part, time_ms, sealed FROM payload WHERE call = ?1 ORDER BY part";
        let rows = self
            .lock()
            .within(Access::Read, |database| database.query(sql, &[call.into()]))?;
        let kept = rows.into_iter().map(|mut row| {
            Ok(Kept {
                part: row.text()?,
                time_ms: u64::try_from(row.integer()?).unwrap_or(0),
                sealed: row.bytes()?,
            })
        });
        kept.collect()
    }

    /// Deletes the payloads that concern a person. Gives how many there were.
    ///
    /// # Errors
    /// When the database refuses, or older bytes may remain in its log.
    pub fn delete_of(&self, subjects: &[String]) -> Result<usize, StateError> {
        let sql = "DELETE FROM payload WHERE id IN (SELECT payload FROM concerned WHERE subject = ?1)";
        let mut database = self.lock();
        let deleted = database.within(Access::Write, |database| {
            let each = subjects
                .iter()
                .map(|subject| database.execute(sql, &[subject.as_str().into()]));
            each.sum::<Result<usize, StateError>>()
        })?;
        database.compact()?;
        Ok(deleted)
    }

    /// Deletes what was kept before a moment, unless it concerns one of the people it is held for. Gives how
    /// many there were.
    ///
    /// # Errors
    /// As [`Self::delete_of`].
    pub fn expire(&self, before_ms: u64, held: &[String]) -> Result<usize, StateError> {
        let sql = "DELETE FROM payload WHERE time_ms < ?1 AND id NOT IN
                   (SELECT payload FROM concerned JOIN held USING (subject))";
        let mut database = self.lock();
        let deleted = database.within(Access::Write, |database| {
            database.execute("CREATE TEMP TABLE IF NOT EXISTS held (subject TEXT)", &[])?;
            database.execute("DELETE FROM held", &[])?;
            for subject in held {
                database.execute("INSERT INTO held VALUES (?1)", &[subject.as_str().into()])?;
            }
            database.execute(sql, &[stored(before_ms)])
        })?;
        if deleted > 0 {
            database.compact()?;
        }
        Ok(deleted)
    }

    /// How many there are, and when the oldest was kept.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn extent(&self) -> Result<(u64, Option<u64>), StateError> {
        let sql = "SELECT count(*), min(time_ms) FROM payload";
        let row = self
            .lock()
            .within(Access::Read, |database| database.first(sql, &[]))?;
        let mut row = row.ok_or(StateError::Column)?;
        let (count, oldest) = (row.integer()?, row.maybe_integer()?);
        let oldest = oldest.and_then(|oldest| u64::try_from(oldest).ok());
        Ok((u64::try_from(count).unwrap_or(0), oldest))
    }

    /// Copies the file as it is at this moment, while it is used.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn copy_to(&self, path: &Path) -> Result<(), StateError> {
        self.lock().copy(path)
    }

    /// As [`State::compact`](super::State::compact).
    ///
    /// # Errors
    /// As there.
    pub fn compact(&self) -> Result<(), StateError> {
        self.lock().compact()
    }

    fn lock(&self) -> MutexGuard<'_, Database> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment as databases hold it.
fn stored(time_ms: u64) -> Value {
    i64::try_from(time_ms).unwrap_or(i64::MAX).into()
}
