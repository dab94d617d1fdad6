//! Where things stand in a ledger's directory.
//!
//! ```text
//! lock         held by the process that writes; holds its epoch and token
//! instance     which directory this is, so that a copy is noticed
//! checkpoint   the newest signed head
//! cosigned     the newest head that enough witnesses have signed, too
//! verifiers    the public keys, for convenience; whoever verifies brings their own
//! wal/         entries that are not yet in full bundles
//! tile/        hashes and entries, as C2SP tlog-tiles lays them out
//! ```

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    entry::ENTRY_BYTES_MAX,
    options::OpenError,
    tile::{TILE_WIDTH, TileId},
};

/// Longest file in a ledger's directory that is read whole: a bundle of the longest entries.
pub(crate) const FILE_BYTES_MAX: usize = TILE_WIDTH * (ENTRY_BYTES_MAX + 2);

/// Longest segment that is read. A segment ends with the group that makes it too long.
pub(crate) const SEGMENT_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The directory of a ledger.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn instance(&self) -> PathBuf {
        self.dir.join("instance")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    pub(crate) fn cosigned(&self) -> PathBuf {
        self.dir.join("cosigned")
    }

    pub(crate) fn verifiers(&self) -> PathBuf {
        self.dir.join("verifiers")
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.dir.join("wal")
    }

    pub(crate) fn segment(&self, first: u64) -> PathBuf {
        self.wal().join(format!("{first:020}.wal"))
    }

    /// The next segment, filled with zeros.
    pub(crate) fn spare(&self) -> PathBuf {
        self.wal().join("spare")
    }

    pub(crate) fn tile(&self, id: TileId) -> PathBuf {
        self.dir.join(id.path())
    }
}

/// The first index of a segment, by its name.
pub(crate) fn segment_first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let first = digits.parse().ok()?;
    (format!("{first:020}") == digits).then_some(first)
}

/// Says at which file the system refused.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}
