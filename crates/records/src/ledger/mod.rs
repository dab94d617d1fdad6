//! The ledger: an append-only Merkle log in a directory, in the formats of C2SP (tlog-tiles,
//! tlog-checkpoint, tlog-cosignature, tlog-proof, signed-note).
//!
//! An entry goes through three states. *Written*: its frame stands in a write-ahead segment and survives
//! the end of the process. *Durable*: the segment was synced; the entry survives loss of power. *Published*:
//! it stands in tiles under a signed checkpoint and can be proved to anybody. Whoever must not act
//! without a record waits for *durable*; whoever has acted records the outcome as *written*.
//!
//! One log per process, no global sequencer; a replica has its own log and its own origin. What was
//! refused: a database as the log (nobody could verify it without us), signing each entry (a checkpoint
//! vouches for all), an entry without a bound (a bundle's length has 16 bits).
//!
//! It must not know MCP or what a policy means.

mod begin;
pub mod checkpoint;
mod crew;
pub mod entry;
mod follow;
pub(crate) mod frame;
mod handle;
pub(crate) mod layout;
pub mod merkle;
pub mod note;
mod options;
mod owner;
pub mod proof;
mod publisher;
mod queue;
pub mod reader;
mod recent;
mod recover;
mod shared;
mod state;
pub mod tile;
mod watch;
pub mod witness;
mod writer;

pub use entry::{Decision, Entry, Kind, Said};
pub use follow::Tail;
pub use handle::{Ledger, Opening, Signing, Status};
pub use options::{OpenError, Options, Ports, Unavailable};
pub use queue::{Pending, Receipt};
pub use reader::{ReadError, Reader, Stored};
pub use shared::Progress;
pub(crate) use state::DISORDER_MS;

#[cfg(test)]
pub(crate) mod tests;
