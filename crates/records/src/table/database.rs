//! Where tables are: a file, or a server that several replicas share.

use std::path::Path;

use rusqlite::Connection;

use super::{
    StateError, file,
    server::Session,
    sql::{Access, Sql},
};

/// One connection to a database.
#[derive(Debug)]
pub(super) enum Database {
    File(Connection),
    Server(Session),
}

impl Database {
    /// Does something whole, or nothing of it.
    pub(super) fn within<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut dyn Sql) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match self {
            Self::File(connection) => file::within(connection, access, work),
            Self::Server(session) => session.within(access, work),
        }
    }

    /// Leaves no older bytes where that is in our hands: a file's are overwritten; a server is asked to clear dead
    /// rows away, and what its disk, log and copies still have opens with no key of now.
    pub(super) fn compact(&mut self) -> Result<(), StateError> {
        match self {
            Self::File(connection) => file::compact(connection),
            Self::Server(session) => {
                // One that takes too long or is refused is made up for by the server's own, later.
                let _ = session.batch("VACUUM record, data_key, meta, ring, payload, concerned");
                Ok(())
            }
        }
    }

    /// Copies the whole, as it is at this moment, into a new file.
    pub(super) fn copy(&self, path: &Path) -> Result<(), StateError> {
        match self {
            Self::File(connection) => file::copy(connection, path),
            Self::Server(_) => Err(StateError::NoFile),
        }
    }
}
