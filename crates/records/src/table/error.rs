//! Why the state cannot be used.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{
    ambient::RandomError,
    keys::{RingError, SealError, SecretError},
};

/// Why the state, or a record of it, cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// A sealed record does not open: it was edited, moved, or taken from another file.
    #[error("the record `{key}` in `{table}` was altered outside this program; restore the file from a copy")]
    Altered {
        /// Its table.
        table: String,
        /// Its key.
        key: String,
    },
    /// The address of the server cannot be read. It may have a password in it, so it is not repeated.
    #[error("the address of the database cannot be read; write `postgresql://user@host:5432/database`")]
    Address,
    /// Another process writes this log.
    #[error("another process writes the log `{0}`; each replica needs a data directory of its own")]
    Claimed(String),
    /// A column has another type than it must have.
    #[error(
        "the database was altered outside this program: a column has another type; restore it from a copy"
    )]
    Column,
    /// The record is not what the caller saw.
    #[error("the record `{key}` in `{table}` was changed by somebody else; read it again")]
    Conflict {
        /// Its table.
        table: String,
        /// Its key.
        key: String,
    },
    /// The tables were begun, and are not there.
    #[error(
        "the tables in {0} are gone though they were begun, and with them what was stopped, revoked and approved; \
         restore them from a copy, or begin a new data directory"
    )]
    Gone(String),
    /// The file is not a database of ours, or is damaged.
    #[error("the database `{0}` is damaged or not a database; restore it from a copy")]
    Damaged(PathBuf),
    /// The server keeps texts in another encoding.
    #[error("the database must have the encoding UTF8; make it with `createdb --encoding UTF8`")]
    Encoding,
    /// The system refuses.
    #[error("cannot use the database `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] RingError),
    /// The key that wraps a data key is not in the ring.
    #[error("the wrapping key `{0}` is not in the key ring; restore the ring that belongs to this database")]
    MissingKey(String),
    /// Written by a newer program.
    #[error(
        "the database has schema version {found}, this program knows up to {version}; use a newer program"
    )]
    Newer {
        /// What the file has.
        found: i64,
        /// What this program knows.
        version: i64,
    },
    /// Only a database in a file can be copied into one.
    #[error("the tables are on a PostgreSQL server, whose own tools copy them: `pg_dump --schema sallyport`")]
    NoFile,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Others can read the file.
    #[error(transparent)]
    Readable(#[from] SecretError),
    /// What was destroyed may still be read in the database's log.
    #[error("it is done, but another process still reads older pages; stop that process and try again")]
    Remains,
    /// A table name, key or value is too long.
    #[error("`{0}` is too long; at most {1} bytes")]
    TooLong(&'static str, usize),
    /// A program that holds other tables' rows was started meanwhile.
    #[error("another version of this program uses the tables; stop this one")]
    OtherRows,
    /// The rows are not those that were written: some were deleted, or put back.
    #[error(
        "rows of the tables were deleted or put back outside this program, among those that say what is stopped, \
         revoked and approved; restore the tables from a copy"
    )]
    Rows,
    /// The server refuses.
    #[error("the database refuses: {}", .0.as_db_error().map_or_else(|| .0.to_string(), ToString::to_string))]
    Postgres(#[source] postgres::Error),
    /// The database refuses.
    #[error("the database refuses: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// The server is another machine, and TLS is off.
    #[error(
        "a database on another machine is reached over TLS alone; take `sslmode=disable` out of its address"
    )]
    Unencrypted,
    /// The server cannot be reached, or was lost in the middle of something.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl StateError {
    /// Whether the database is away, so that the same may be done when it is back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// Whether the disk takes nothing, being full, read-only or broken, so that the same may be done when it is well.
    #[must_use]
    pub fn is_of_disk(&self) -> bool {
        use rusqlite::ErrorCode;
        let of_disk = |code: ErrorCode| {
            matches!(
                code,
                ErrorCode::CannotOpen
                    | ErrorCode::DiskFull
                    | ErrorCode::ReadOnly
                    | ErrorCode::SystemIoFailure
            )
        };
        matches!(self, Self::Io { .. })
            || matches!(self, Self::Sqlite(error) if error.sqlite_error_code().is_some_and(of_disk))
    }

    /// A record that does not open.
    pub(super) fn sealed(error: SealError, table: &str, key: &str) -> Self {
        match error {
            SealError::Random(error) => Self::Random(error),
            SealError::Broken | SealError::Key => Self::Altered {
                table: table.to_owned(),
                key: key.to_owned(),
            },
        }
    }
}
