//! Tiles: the tree cut into files of 256 hashes, and entries in bundles of 256 (C2SP tlog-tiles).
//!
//! Pure. It must not know where tiles are kept.

use super::merkle::{Hash, Subtrees, node_hash, root_of};

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: usize = 256;

/// Bits of an index that stay within a tile.
const TILE_HEIGHT: u32 = 8;

/// What a tile path names.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Layer {
    /// The entries themselves.
    Entries,
    /// Hashes of subtrees of `256^level` leaves; at level 0 the leaf hashes.
    Hashes(u8),
}

/// One tile: which layer, the how-manieth, and how many of its 256 places are filled.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TileId {
    /// What it holds.
    pub layer: Layer,
    /// Its place in the layer, from 0.
    pub n: u64,
    /// Filled places, 1 to 256.
    pub width: usize,
}

impl Layer {
    /// The level of the tree whose tiles are cut as this layer's are: bundles as the leaf hashes.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::Entries => 0,
            Self::Hashes(level) => level,
        }
    }

    /// Where its tiles are, below the log's directory.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Self::Entries => "tile/entries/".to_owned(),
            Self::Hashes(level) => format!("tile/{level}/"),
        }
    }
}

impl TileId {
    /// The path below the log's directory, such as `tile/0/x001/234.p/17`.
    #[must_use]
    pub fn path(self) -> String {
        let mut groups = vec![format!("{:03}", self.n % 1000)];
        let mut rest = self.n / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        let mut path = format!("{}{}", self.layer.path(), groups.join("/"));
        if self.width < TILE_WIDTH {
            path.push_str(&format!(".p/{}", self.width));
        }
        path
    }

    /// The tile a path names; nothing when the path is not exactly one that [`Self::path`] writes.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let (layer, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let layer = match layer {
            "entries" => Layer::Entries,
            level => Layer::Hashes(level.parse().ok().filter(|level| *level < 64)?),
        };
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse().ok()?),
            None => (rest, TILE_WIDTH),
        };
        let mut n: u64 = 0;
        for group in groups.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            n = n.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let id = Self { layer, n, width };
        // Whatever is not written exactly so (leading zeros, missing `x`, width 256) names no tile.
        (id.width > 0 && id.path() == path).then_some(id)
    }

    /// The same tile with all its places filled.
    #[must_use]
    pub fn full(self) -> Self {
        Self {
            width: TILE_WIDTH,
            ..self
        }
    }

    /// The same place in another layer.
    #[must_use]
    pub fn in_layer(self, layer: Layer) -> Self {
        Self { layer, ..self }
    }
}

/// Every tile of a tree of `size` leaves in one layer of hashes: how many full ones, and the width of the
/// partial one, 0 when there is none.
#[must_use]
pub fn tiles_of(size: u64, level: u8) -> (u64, usize) {
    let hashes = size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0);
    let width = usize::try_from(hashes % (1 << TILE_HEIGHT)).unwrap_or(0);
    (hashes >> TILE_HEIGHT, width)
}

/// The tiles that a tree of `new` leaves has and one of `old` leaves had not, bundles of entries among them: full ones
/// first, level by level, then those at the right edge.
pub fn tiles_between(old: u64, new: u64) -> impl Iterator<Item = TileId> {
    let layers = || std::iter::once(Layer::Entries).chain((0..64 / 8).map(Layer::Hashes));
    let full = layers().flat_map(move |layer: Layer| {
        let (before, _) = tiles_of(old, layer.level());
        let (after, _) = tiles_of(new, layer.level());
        (before..after).map(move |n| TileId {
            layer,
            n,
            width: TILE_WIDTH,
        })
    });
    let edge = layers().filter_map(move |layer: Layer| {
        let (n, width) = tiles_of(new, layer.level());
        let is_new = tiles_of(old, layer.level()) != (n, width);
        (width > 0 && is_new).then_some(TileId { layer, n, width })
    });
    full.chain(edge)
}

/// The hashes of a tile's bytes; nothing when the length is not that of whole hashes.
#[must_use]
pub fn hashes_of(bytes: &[u8]) -> Option<&[Hash]> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then_some(hashes)
}

/// The entries of a bundle: each a big-endian length of two bytes and so many bytes.
/// Gives the entries that stand whole, and whether that was all.
#[must_use]
pub fn entries_of(mut bytes: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let Some((entry, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            break;
        };
        entries.push(entry);
        bytes = rest;
    }
    (entries, bytes.is_empty())
}

/// The right edge of a growing tree: the hashes of its partial tiles, level by level.
///
/// Holds at most 255 hashes a level, whatever the size of the tree.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Edge {
    size: u64,
    levels: Vec<Partial>,
}

/// The partial tile of a level.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Partial {
    hashes: Vec<Hash>,
    /// The roots of its full subtrees: one for each bit of its width, the largest leftmost. Kept, so that a root
    /// costs a few hashes and not the whole tile again.
    peaks: Vec<Hash>,
}

impl Partial {
    fn push(&mut self, hash: Hash) {
        self.hashes.push(hash);
        self.peaks.push(hash);
        // As a binary counter carries: two of equal size become one of the next.
        for _ in 0..self.hashes.len().trailing_zeros() {
            if let (Some(right), Some(left)) = (self.peaks.pop(), self.peaks.pop()) {
                self.peaks.push(node_hash(&left, &right));
            }
        }
    }
}

impl Edge {
    /// The edge of a tree of `size` leaves, from its partial tiles; nothing when a tile does not have the
    /// width that size gives it.
    #[must_use]
    pub fn from_tiles(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let mut expected = size;
        let mut partials = Vec::with_capacity(levels.len());
        for hashes in levels {
            if u64::try_from(hashes.len()).ok()? != expected % (1 << TILE_HEIGHT) {
                return None;
            }
            expected >>= TILE_HEIGHT;
            let mut partial = Partial::default();
            hashes.into_iter().for_each(|hash| partial.push(hash));
            partials.push(partial);
        }
        (expected == 0).then_some(Self {
            size,
            levels: partials,
        })
    }

    /// Leaves in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the partial tile of a level.
    #[must_use]
    pub fn partial(&self, level: usize) -> &[Hash] {
        self.levels.get(level).map_or(&[], |partial| &partial.hashes)
    }

    /// Levels in use.
    #[must_use]
    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Adds a leaf. Gives the tiles that became full by it, from the lowest level up.
    pub fn push(&mut self, leaf: Hash) -> Vec<(TileId, Vec<Hash>)> {
        let mut full = Vec::new();
        let mut carried = Some(leaf);
        let mut level = 0;
        self.size += 1;
        while let Some(hash) = carried.take() {
            if self.levels.len() == level {
                self.levels.push(Partial::default());
            }
            let Some(partial) = self.levels.get_mut(level) else {
                break;
            };
            partial.push(hash);
            if partial.hashes.len() == TILE_WIDTH {
                let Partial { hashes, peaks } = std::mem::take(partial);
                // Full, it has one subtree: itself.
                carried = peaks.first().copied();
                full.push((self.last_full(level), hashes));
            }
            level += 1;
        }
        full
    }

    /// The tile of a level that has just become full.
    fn last_full(&self, level: usize) -> TileId {
        let level = u8::try_from(level).unwrap_or(u8::MAX);
        TileId {
            layer: Layer::Hashes(level),
            n: tiles_of(self.size, level).0.saturating_sub(1),
            width: TILE_WIDTH,
        }
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let subtrees = self.levels.iter().flat_map(|partial| partial.peaks.iter().rev());
        subtrees
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(super::merkle::empty_root)
    }
}

/// A tree whose hashes are looked up in tiles.
#[derive(Debug)]
pub struct TileTree<F> {
    size: u64,
    tile: F,
}

impl<F, E> TileTree<F>
where
    F: FnMut(TileId) -> Result<Vec<Hash>, E>,
{
    /// A tree of `size` leaves. `tile` gives the hashes of a tile, at least as many as its width.
    pub fn new(size: u64, tile: F) -> Self {
        Self { size, tile }
    }
}

impl<F, E> Subtrees for TileTree<F>
where
    F: FnMut(TileId) -> Result<Vec<Hash>, E>,
{
    type Error = E;

    fn full(&mut self, height: u32, index: u64) -> Result<Hash, E> {
        let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
        let within = height % TILE_HEIGHT;
        let first = index << within;
        let n = first >> TILE_HEIGHT;
        let (full, partial) = tiles_of(self.size, level);
        let width = if n < full { TILE_WIDTH } else { partial };
        let hashes = (self.tile)(TileId {
            layer: Layer::Hashes(level),
            n,
            width,
        })?;
        let at = usize::try_from(first % (1 << TILE_HEIGHT)).unwrap_or(0);
        // A tile too narrow reads as the empty root, with which no proof holds.
        Ok(root_of(hashes.get(at..at + (1 << within)).unwrap_or_default()))
    }
}
