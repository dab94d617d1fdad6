//! What must survive: ledger, sealed tables, keys.
//!
//! The only crate that writes to disk. It must not know MCP or what a policy means: an entry is a set of
//! typed facts with a schema version, a record is bytes. Clock, randomness, disk and keys are passed in.

pub mod ambient;
pub mod backup;
pub mod digest;
pub mod disk;
pub mod dsse;
pub mod keys;
pub mod ledger;
#[cfg(feature = "tables")]
pub mod table;
pub mod verify;
mod words;
