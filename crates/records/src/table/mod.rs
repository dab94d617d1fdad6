//! Sealed tables: what the program knows between two starts, in one SQLite file, or in a
//! PostgreSQL database that several replicas share.
//!
//! A record has a table, a key, a version and bytes. The bytes are sealed with the data key of whom they
//! belong to (the platform, a tenant, a person), bound to their place and version, so that a row that is
//! edited or moved does not open. Destroying a data key makes all its records unreadable at once. Table
//! names and keys are not sealed: what is itself personal must not be a key; a keyed digest of it may.
//!
//! Payloads of calls have a file of their own beside it ([`Payloads`]), sealed under the same data keys: copies
//! of it may be kept for long, for they say nothing without the keys.
//!
//! What is stored is decided once, over the seam in `sql`; the two databases differ in how they are opened and what
//! a transaction is (`file`, `server`). It must not know what a record means.

mod counted;
mod database;
mod error;
mod file;
mod owner;
mod payload;
mod schema;
mod server;
mod sql;
mod state;

pub use counted::Due;
pub use error::StateError;
pub use owner::{Moment, Owner, Tag};
pub use payload::{Kept, Payload, Payloads};
pub use server::{Claim, Server};
pub use state::{Expect, Record, State, Transaction};

#[cfg(test)]
mod tests;
