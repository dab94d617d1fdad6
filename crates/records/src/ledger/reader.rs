//! Reading a ledger's directory, while it is written or long after.
//!
//! It reads what is published: the tree of the newest checkpoint. No lock is taken, for tiles never
//! change and the checkpoint is replaced whole. Nothing is verified here beyond its form; whoever must not
//! trust the directory uses [`verify`](crate::verify) or a [`Proof`].

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use wire::json::write_string;

use super::{
    checkpoint::Checkpoint,
    entry::{Entry, holds},
    layout::{FILE_BYTES_MAX, Layout},
    merkle::{Hash, Subtrees as _, consistency, inclusion},
    note::{NOTE_BYTES_MAX, Note},
    proof::Proof,
    tile::{Layer, TILE_WIDTH, TileId, TileTree, entries_of, hashes_of, tiles_of},
};
use crate::disk::Disk;

/// Why something cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The log does not hold so much yet.
    #[error("entry {index} is not published; the newest checkpoint covers {size} entries")]
    Beyond {
        /// What was asked for.
        index: u64,
        /// What is published.
        size: u64,
    },
    /// The system refuses.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
    /// The file does not hold what its name says.
    #[error("`{0}` is damaged; `sallyport-verify` says what is wrong, then restore it from a copy")]
    Malformed(PathBuf),
    /// The file is not there.
    #[error("`{0}` is missing; restore it from a copy")]
    Missing(PathBuf),
}

/// Reads a ledger's directory.
#[derive(Clone, Debug)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    layout: Layout,
}

/// An entry and its place in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// The place, from 0.
    pub index: u64,
    /// The canonical text.
    pub bytes: Vec<u8>,
}

impl Reader {
    /// A reader of this directory.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            disk,
            layout: Layout::new(dir),
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    /// The newest signed checkpoint, verbatim.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn checkpoint(&self) -> Result<String, ReadError> {
        let path = self.layout.checkpoint();
        let bytes = self.file(&path, NOTE_BYTES_MAX)?;
        String::from_utf8(bytes).map_err(|_| ReadError::Malformed(path))
    }

    /// The newest checkpoint that enough witnesses signed, too, verbatim; none when there never was one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn cosigned(&self) -> Result<Option<String>, ReadError> {
        let path = self.layout.cosigned();
        match self.file(&path, NOTE_BYTES_MAX) {
            Ok(bytes) => String::from_utf8(bytes)
                .map(Some)
                .map_err(|_| ReadError::Malformed(path)),
            Err(ReadError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the newest checkpoint says, its signatures unchecked.
    ///
    /// # Errors
    /// As [`Self::checkpoint`], and when it is malformed.
    pub fn head(&self) -> Result<Checkpoint, ReadError> {
        self.checkpoint().and_then(|signed| self.head_of(&signed))
    }

    fn head_of(&self, signed: &str) -> Result<Checkpoint, ReadError> {
        let note = Note::from_bytes(signed.as_bytes()).ok();
        note.and_then(|note| Checkpoint::from_text(&note.text))
            .ok_or_else(|| ReadError::Malformed(self.layout.checkpoint()))
    }

    /// The bytes of a tile or bundle, cut to the width that was asked for.
    ///
    /// # Errors
    /// When it is missing, too short or cannot be read.
    pub fn tile(&self, id: TileId) -> Result<Vec<u8>, ReadError> {
        let path = self.layout.tile(id);
        match self.file(&path, FILE_BYTES_MAX) {
            // A partial tile may be gone once the full one is there; it holds the same and more.
            Err(ReadError::Missing(_)) if id.width < TILE_WIDTH => {
                let path = self.layout.tile(id.full());
                let mut bytes = self.file(&path, FILE_BYTES_MAX)?;
                let keep = match id.layer {
                    Layer::Hashes(_) => id.width * size_of::<Hash>(),
                    Layer::Entries => {
                        let (entries, _) = entries_of(&bytes);
                        entries.iter().take(id.width).map(|entry| entry.len() + 2).sum()
                    }
                };
                bytes.truncate(keep);
                Ok(bytes)
            }
            read => read,
        }
    }

    /// The partial tiles that lie beside a tile, in its layer and, for leaf tiles, among the bundles.
    pub(crate) fn partials(&self, id: TileId) -> Vec<TileId> {
        let is_leaf = id.layer == Layer::Hashes(0);
        let layers = [Some(id.layer), is_leaf.then_some(Layer::Entries)];
        let mut partials = Vec::new();
        for id in layers
            .into_iter()
            .flatten()
            .map(|layer| id.full().in_layer(layer))
        {
            let dir = format!("{}.p", id.path());
            let names = self.disk.list(&self.dir().join(&dir)).unwrap_or_default();
            partials.extend(
                names
                    .iter()
                    .filter_map(|name| TileId::from_path(&format!("{dir}/{name}"))),
            );
        }
        partials
    }

    /// Whether there is any tile.
    pub(crate) fn has_tiles(&self) -> io::Result<bool> {
        Ok(!self.disk.list(&self.dir().join("tile"))?.is_empty())
    }

    /// The hashes of a tile, exactly as many as its width.
    ///
    /// # Errors
    /// As [`Self::tile`], and when the number is another.
    pub fn hashes(&self, id: TileId) -> Result<Vec<Hash>, ReadError> {
        let bytes = self.tile(id)?;
        let hashes = hashes_of(&bytes).filter(|hashes| hashes.len() == id.width);
        hashes
            .map(<[Hash]>::to_vec)
            .ok_or_else(|| ReadError::Malformed(self.layout.tile(id)))
    }

    /// The entries of a bundle, exactly as many as its width.
    ///
    /// # Errors
    /// As [`Self::tile`], and when the number is another.
    pub fn bundle(&self, id: TileId) -> Result<Vec<Vec<u8>>, ReadError> {
        let bytes = self.tile(id)?;
        let (entries, whole) = entries_of(&bytes);
        if !whole || entries.len() != id.width {
            return Err(ReadError::Malformed(self.layout.tile(id)));
        }
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The tree of this size, for proofs.
    pub fn tree(&self, size: u64) -> TileTree<impl FnMut(TileId) -> Result<Vec<Hash>, ReadError>> {
        TileTree::new(size, |id| self.hashes(id))
    }

    /// The published entries of a range, as far as there are any, at most `entries_max` and at most one
    /// bundle: a page. Ask again from the last index plus one for the next.
    ///
    /// # Errors
    /// When a bundle cannot be read.
    pub fn page(&self, range: Range<u64>, entries_max: usize) -> Result<Vec<Stored>, ReadError> {
        let size = self.head()?.size;
        let mut page = self.bundle_at(range.start, size)?;
        page.retain(|stored| range.contains(&stored.index));
        page.truncate(entries_max);
        Ok(page)
    }

    /// The entries of the bundle that holds an index of a tree of `size` entries; none beyond it.
    pub(crate) fn bundle_at(&self, index: u64, size: u64) -> Result<Vec<Stored>, ReadError> {
        if index >= size {
            return Ok(Vec::new());
        }
        let width = u64::try_from(TILE_WIDTH).unwrap_or(u64::MAX);
        let n = index / width;
        let (full, partial) = tiles_of(size, 0);
        let entries = self.bundle(TileId {
            layer: Layer::Entries,
            n,
            width: if n < full { TILE_WIDTH } else { partial },
        })?;
        let stored = |(index, bytes)| Stored { index, bytes };
        Ok((n * width..).zip(entries).map(stored).collect())
    }

    /// The receipt of an entry: proof that the newest checkpoint covers it.
    ///
    /// # Errors
    /// When no checkpoint covers it yet, or a tile cannot be read.
    pub fn proof(&self, index: u64) -> Result<Proof, ReadError> {
        let checkpoint = self.checkpoint()?;
        let size = self.head_of(&checkpoint)?.size;
        if index >= size {
            return Err(ReadError::Beyond { index, size });
        }
        Ok(Proof {
            index,
            path: inclusion(&mut self.tree(size), index, size)?,
            checkpoint,
        })
    }

    /// The same under the newest checkpoint that enough witnesses signed, too; none while that does not cover the
    /// entry, or is not of the log that stands here.
    ///
    /// # Errors
    /// As [`Self::proof`] and [`Self::cosigned`].
    pub fn witnessed_proof(&self, index: u64) -> Result<Option<Proof>, ReadError> {
        let Some(checkpoint) = self.cosigned()? else {
            return Ok(None);
        };
        let (seen, head) = (self.head_of(&checkpoint)?, self.head()?);
        if index >= seen.size || seen.size > head.size || seen.origin != head.origin {
            return Ok(None);
        }
        let mut tree = self.tree(head.size);
        if tree.span(0, seen.size)? != seen.root {
            return Ok(None);
        }
        Ok(Some(Proof {
            index,
            path: inclusion(&mut tree, index, seen.size)?,
            checkpoint,
        }))
    }

    /// The proof that the tree of `old` entries is the beginning of the tree of `new` entries.
    ///
    /// # Errors
    /// When `new` is not published, or a tile cannot be read.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        let size = self.head()?.size;
        if new > size {
            return Err(ReadError::Beyond { index: new, size });
        }
        consistency(&mut self.tree(size), old, new)
    }

    /// The published entries of a call in a range of indices, in the order of the log.
    ///
    /// # Errors
    /// When a bundle cannot be read.
    pub fn call(&self, call: &str, range: Range<u64>) -> Result<Vec<Stored>, ReadError> {
        let end = range.end.min(self.head()?.size);
        let mut found = Vec::new();
        let mut next = range.start;
        while next < end {
            let page = self.page(next..end, TILE_WIDTH)?;
            next = page.last().map_or(end, |last| last.index + 1);
            found.extend(page.into_iter().filter(|stored| is_of(&stored.bytes, call)));
        }
        Ok(found)
    }

    fn file(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, ReadError> {
        match self.disk.read(path, bytes_max) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(ReadError::Missing(path.to_owned())),
            Err(source) => Err(ReadError::Io {
                path: path.to_owned(),
                source,
            }),
        }
    }
}

/// Whether an entry belongs to a call. Only an entry that names it at all is read.
fn is_of(entry: &[u8], call: &str) -> bool {
    let mut name = Vec::new();
    write_string(&mut name, call);
    holds(entry, &name) && Entry::read(entry).is_ok_and(|entry| entry.call.as_deref() == Some(call))
}
