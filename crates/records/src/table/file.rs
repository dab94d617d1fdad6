//! A database in a file of its own: SQLite.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{
    StateError, schema,
    sql::{Access, InFile, Sql},
};
use crate::{
    disk::{Disk, How, RealDisk},
    keys::private,
};

/// How long another process that writes is waited for.
const BUSY: Duration = Duration::from_secs(5);

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

/// Does something whole, or nothing of it.
pub(super) fn within<T>(
    connection: &mut Connection,
    access: Access,
    work: impl FnOnce(&mut dyn Sql) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let behavior = match access {
        Access::Read => TransactionBehavior::Deferred,
        Access::Write => TransactionBehavior::Immediate,
    };
    let mut transaction = InFile(connection.transaction_with_behavior(behavior)?);
    let done = work(&mut transaction)?;
    transaction.0.commit()?;
    Ok(done)
}

/// Writes the log back into the file and empties it.
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

/// Says of a database that SQLite cannot read that it is damaged.
pub(super) fn damaged(error: StateError, path: &Path) -> StateError {
    if let StateError::Sqlite(cause) = &error
        && let Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) = cause.sqlite_error_code()
    {
        return StateError::Damaged(path.to_owned());
    }
    error
}
