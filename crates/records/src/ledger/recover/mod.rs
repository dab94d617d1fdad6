//! Recovery: from what stands on disk to a log that can go on.
//!
//! The signed checkpoint is the law: what it covers must be there and lead to its root. What follows it
//! stands in the write-ahead segments; a torn end of theirs is cut, anything else that is wrong is an
//! error with a remedy. There is never a silent new beginning. Nothing is written here but the cut.

mod calls;
mod published;
mod segments;

use std::sync::Arc;

pub(crate) use calls::Past;
use segments::Segments;

use super::{
    checkpoint::Checkpoint,
    entry::Encoded,
    layout::{Layout, at},
    merkle::{Hash, Subtrees as _},
    note::{NOTE_BYTES_MAX, VerifierKey},
    options::{OpenError, Options, Ports},
    reader::Reader,
    tile::{Edge, TILE_WIDTH},
};
use crate::keys::LogKeys;

/// A log as it was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The right edge of the signed tree.
    pub(crate) edge: Edge,
    /// The entries of its partial bundle.
    pub(crate) bundle: Vec<Arc<Encoded>>,
    /// Whether the keys in use signed the newest checkpoint, or there is none yet.
    pub(crate) signed_by_current: bool,
    /// Entries that follow the signed tree.
    pub(crate) fresh: Vec<Arc<Encoded>>,
    /// First indices of the segments, in order.
    pub(crate) segments: Vec<u64>,
    /// Bytes of a torn end that were cut.
    pub(crate) cut_bytes: u64,
    /// What the newest entries tell.
    pub(crate) past: Past,
}

impl Recovered {
    /// Entries in the log.
    pub(crate) fn size(&self) -> u64 {
        self.edge.size() + u64::try_from(self.fresh.len()).unwrap_or(u64::MAX)
    }
}

/// Reads the log, checks it, and cuts a torn end.
pub(crate) fn recover(
    layout: &Layout,
    keys: &LogKeys,
    options: &Options,
    ports: &Ports,
) -> Result<Recovered, OpenError> {
    let reader = Reader::new(ports.disk.clone(), layout.dir());
    let signed = signed_head(layout, keys, ports)?;
    let size = signed.as_ref().map_or(0, |signed| signed.head.size);
    let mut segments = segments::read(&*ports.disk, layout, Some(keys.frames()))?;
    let wal = segments.range();
    if wal.start > size {
        return Err(OpenError::Shorter {
            expected: wal.start,
            found: size,
        });
    }
    if wal.end < size && wal.end > wal.start {
        return Err(OpenError::Shorter {
            expected: size,
            found: wal.end,
        });
    }
    if signed.is_none() && wal.is_empty() && reader.has_tiles().map_err(at(layout.dir()))? {
        return Err(OpenError::CheckpointMissing);
    }
    if signed.is_none() && wal.is_empty() && options.must_exist {
        return Err(OpenError::Vanished);
    }
    let (edge, bundle) = match &signed {
        Some(signed) => published::load(&reader, &signed.head, &segments)?,
        None => (Edge::default(), Vec::new()),
    };
    contains(&reader, &edge, options)?;
    segments.cut(&*ports.disk)?;
    let from = usize::try_from(size - wal.start.min(size)).unwrap_or(usize::MAX);
    let fresh: Vec<_> = segments.entries.get(from..).unwrap_or_default().to_vec();
    let past = calls::read(&reader, &segments, size)?;
    if segments.firsts.is_empty() && size > 0 && !past.closed && !options.adopt {
        return Err(OpenError::TailMissing);
    }
    Ok(Recovered {
        edge,
        bundle,
        signed_by_current: signed.as_ref().is_none_or(|signed| signed.by_current),
        fresh,
        cut_bytes: segments.torn_bytes(),
        segments: segments.firsts,
        past,
    })
}

/// A checkpoint that is to be trusted.
struct SignedHead {
    head: Checkpoint,
    by_current: bool,
}

fn signed_head(layout: &Layout, keys: &LogKeys, ports: &Ports) -> Result<Option<SignedHead>, OpenError> {
    let path = layout.checkpoint();
    let Some(bytes) = ports.disk.read(&path, NOTE_BYTES_MAX).map_err(at(&path))? else {
        return Ok(None);
    };
    let (head, vouched) = Checkpoint::verify(&bytes, keys.origin(), &keys.known())?;
    let by = |key: &VerifierKey| vouched.iter().any(|one| one.key == *key);
    Ok(Some(SignedHead {
        head,
        by_current: keys.verifiers().iter().all(by),
    }))
}

/// Whether the log contains the state that was seen before.
fn contains(reader: &Reader, edge: &Edge, options: &Options) -> Result<(), OpenError> {
    let Some((size, root)) = options.at_least else {
        return Ok(());
    };
    let found = match size {
        _ if size > edge.size() => None,
        _ if size == edge.size() => Some(edge.root()),
        _ => reader.tree(edge.size()).span(0, size).ok(),
    };
    (found == Some(root))
        .then_some(())
        .ok_or(OpenError::RolledBack(size))
}

/// The leaf hashes of the places of a bundle.
fn leaves(bundle: &[Arc<Encoded>]) -> Vec<Hash> {
    bundle.iter().map(|entry| *entry.leaf()).collect()
}

/// The first index of the bundle that holds the place after the last entry.
pub(crate) fn bundle_start(size: u64) -> u64 {
    let width = u64::try_from(TILE_WIDTH).unwrap_or(u64::MAX);
    size / width * width
}
