//! What a ledger is told when it is opened, and what it says when it cannot serve.

use std::{path::PathBuf, sync::Arc};

use thiserror::Error;

use super::{checkpoint::CheckpointError, merkle::Hash};
use crate::{
    ambient::{Clock, Random, RandomError},
    disk::{Disk, RealDisk},
    keys::KeyError,
};

/// How a ledger behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// A heartbeat is written this often, in milliseconds, so that silence is never unexplained.
    pub heartbeat_ms: u64,
    /// A checkpoint is signed this long after something new became durable, in milliseconds.
    pub checkpoint_ms: u64,
    /// A checkpoint is signed at once when so many entries are new.
    pub checkpoint_entries: u64,
    /// Every append is answered within this time, in milliseconds: with a receipt or with
    /// [`Unavailable`].
    pub answer_within_ms: u64,
    /// Most entries that wait to be written.
    pub queue_entries_max: usize,
    /// Most bytes of entries that wait to be written, and as many of those handed over with
    /// `append_soon`.
    pub queue_bytes_max: usize,
    /// Most bytes of entries that are written and wait for their tiles.
    pub unpublished_bytes_max: usize,
    /// A write-ahead segment ends when it is this long, in bytes.
    pub segment_bytes: u64,
    /// A segment begins with so many bytes of zeros, and whoever fills it gets a spare one of `segment_bytes`. 0: none,
    /// and files grow.
    pub room_bytes: u64,
    /// A state the log must contain: what a witness saw, or what was remembered elsewhere.
    pub at_least: Option<(u64, Hash)>,
    /// A log was begun here before ([`KeyRing::log_begun`](crate::keys::KeyRing::log_begun)): an empty
    /// directory is a loss, not a beginning.
    pub must_exist: bool,
    /// The operator vouches for a directory that was restored or copied: a missing unsigned tail is
    /// accepted, and recorded.
    pub adopt: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heartbeat_ms: 60_000,
            checkpoint_ms: 1_000,
            checkpoint_entries: 8_192,
            answer_within_ms: 1_000,
            queue_entries_max: 4_096,
            queue_bytes_max: 16 * 1024 * 1024,
            unpublished_bytes_max: 64 * 1024 * 1024,
            segment_bytes: 8 * 1024 * 1024,
            room_bytes: 128 * 1024,
            at_least: None,
            must_exist: false,
            adopt: false,
        }
    }
}

/// What a ledger needs from the outside.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Where it writes.
    pub disk: Arc<dyn Disk>,
    /// Its time.
    pub clock: Clock,
    /// Its randomness.
    pub random: Random,
}

impl Ports {
    /// The machine's disk and randomness, and this clock.
    #[must_use]
    pub fn real(clock: Clock) -> Self {
        Self {
            disk: Arc::new(RealDisk),
            clock,
            random: Random::system(),
        }
    }
}

/// Why an entry could not be recorded. What must not happen without a record must not happen now.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Unavailable {
    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,
    /// The disk refuses.
    #[error("the ledger's disk fails: {0}; it is tried again until it works, no restart is needed")]
    Disk(String),
    /// Another process took the directory over.
    #[error("another process has taken over the ledger's directory; this one must stop")]
    Fenced,
    /// Too much is waiting.
    #[error("too many entries wait for the ledger's disk; try again")]
    Full,
    /// No answer in time.
    #[error("the ledger's disk did not answer in time; try again")]
    Slow,
}

/// Why a ledger was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The signed checkpoint is not to be trusted.
    #[error("{0}; nothing was changed: restore the file `checkpoint` from a copy, or check the keys")]
    Checkpoint(#[from] CheckpointError),
    /// There are tiles and nothing that vouches for them.
    #[error("there are tiles without a checkpoint; restore the file `checkpoint` from a copy")]
    CheckpointMissing,
    /// What stands in a write-ahead segment is damaged where it was durable once.
    #[error("`{path}` is damaged at byte {at}, entry {index}; restore it from a copy")]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Offset of the damage.
        at: usize,
        /// The entry that stood there.
        index: u64,
    },
    /// An entry differs from what was signed.
    #[error("entry {0} in the write-ahead segments is not the entry the signed tree holds; restore a copy")]
    Differs(u64),
    /// An entry was edited by someone without the log's keys, or the keys are of another log.
    #[error("entry {0} in the write-ahead segments was not written with this log's keys; check the keys")]
    Edited(u64),
    /// The system refuses.
    #[error("cannot use the ledger in `{path}`: {source}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Another process has it.
    #[error("another process uses the ledger in `{0}`; stop it, or give this one its own directory")]
    Locked(PathBuf),
    /// Segments that must be there are not.
    #[error(
        "the log ends at entry {found} but must hold {expected}: the newest entries are missing; restore \
         them from a copy"
    )]
    Shorter {
        /// Entries that must be there.
        expected: u64,
        /// Entries found.
        found: u64,
    },
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The log does not contain a state that was seen before.
    #[error(
        "the log does not contain the state of {0} entries that was seen before: it was rolled back or \
         rewritten; restore the newer copy"
    )]
    RolledBack(u64),
    /// The threads could not be started, or the first entry could not be written.
    #[error("the ledger could not be started: {0}")]
    Start(#[from] Unavailable),
    /// The write-ahead segments are missing though the log was not closed.
    #[error(
        "the write-ahead segments are missing though the log was not closed: unsigned entries may be \
         lost; restore `wal`, or accept the loss by adopting the directory"
    )]
    TailMissing,
    /// There is no log though there was one.
    #[error("the log that was kept here is gone; restore it from a copy: a new one would hide the loss")]
    Vanished,
    /// The tiles do not lead to the signed root.
    #[error(
        "the tiles do not lead to the root that was signed for {0} entries; `sallyport-verify` names the \
         place, then restore it from a copy"
    )]
    Tiles(u64),
}
