//! The tables, and how older ones become them.

use rusqlite::Connection;

use super::StateError;

/// One step for each schema version, from the empty file on. A step that was released never changes.
pub(super) const STEPS: &[&str] = &["
    CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) WITHOUT ROWID, STRICT;
    CREATE TABLE data_key (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        owner BLOB NOT NULL,             -- blind index of whom it belongs to
        wrapped_by TEXT,                 -- id of the wrapping key; both are null once it is destroyed
        wrapped BLOB,
        created_ms INTEGER NOT NULL,
        destroyed_ms INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX data_key_owner ON data_key (owner) WHERE destroyed_ms IS NULL;
    CREATE TABLE record (
        tbl TEXT NOT NULL,
        key TEXT NOT NULL,
        version INTEGER NOT NULL,        -- the count of changes when it was written
        data_key INTEGER NOT NULL REFERENCES data_key (id),
        sealed BLOB NOT NULL,
        PRIMARY KEY (tbl, key)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX record_data_key ON record (data_key);
    INSERT INTO meta VALUES ('changes', 0);
"];

/// The same for the file of payloads.
pub(super) const PAYLOAD_STEPS: &[&str] = &["
    CREATE TABLE payload (
        id INTEGER PRIMARY KEY,
        call TEXT NOT NULL,
        part TEXT NOT NULL,              -- arguments or result
        time_ms INTEGER NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX payload_call ON payload (call, part);
    CREATE INDEX payload_time ON payload (time_ms);
    CREATE TABLE concerned (
        subject TEXT NOT NULL,           -- keyed digest of a person
        payload INTEGER NOT NULL REFERENCES payload (id) ON DELETE CASCADE,
        PRIMARY KEY (subject, payload)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX concerned_payload ON concerned (payload);
"];

/// Settings of every connection.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA secure_delete = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
";

/// Brings a database to this program's schema, which is all the steps.
pub(super) fn prepare(connection: &mut Connection, steps: &[&str]) -> Result<(), StateError> {
    let version = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    connection.execute_batch(SETTINGS)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > version {
        return Err(StateError::Newer { found, version });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for step in steps.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", version)?;
    Ok(transaction.commit()?)
}
