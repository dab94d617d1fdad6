//! The tree made anew from the entries, and compared with the signed root and with every tile.

use super::{
    blame,
    report::{Fault, Problem, Report},
    story::Story,
    tail::Tail,
};
use crate::ledger::{
    checkpoint::Checkpoint,
    merkle::{Hash, Subtrees, leaf_hash, root_of},
    reader::{ReadError, Reader},
    tile::{Edge, Layer, TILE_WIDTH, TileId, entries_of, hashes_of, tiles_of},
};

/// What re-hashing every entry gave.
#[derive(Debug)]
pub(super) struct Tree {
    /// Whether the signed root came out.
    pub(super) holds: bool,
    /// Hashes of the levels from 1 up: `levels[0]` holds the roots of the full leaf tiles, and so on.
    levels: Vec<Vec<Hash>>,
    size: u64,
}

/// Every tile of a layer of a tree, the partial one last.
pub(super) fn tiles(size: u64, level: u8) -> impl Iterator<Item = TileId> {
    let (full, partial) = tiles_of(size, level);
    let tile = move |n, width| TileId {
        layer: Layer::Hashes(level),
        n,
        width,
    };
    let whole = (0..full).map(move |n| tile(n, TILE_WIDTH));
    whole.chain((partial > 0).then(|| tile(full, partial)))
}

/// The leaf hashes of a bundle, as far as it holds entries.
pub(super) fn leaves_of(reader: &Reader, id: TileId) -> Result<Vec<Hash>, ReadError> {
    let bytes = reader.tile(id.in_layer(Layer::Entries))?;
    let (entries, _) = entries_of(&bytes);
    Ok(entries
        .iter()
        .take(id.width)
        .map(|entry| leaf_hash(entry))
        .collect())
}

/// Hashes every entry and lets it tell its part of the story.
pub(super) fn rehash(
    reader: &Reader,
    head: &Checkpoint,
    tail: &Tail,
    story: &mut Story,
    report: &mut Report,
) -> Tree {
    let mut edge = Edge::default();
    let mut levels: Vec<Vec<Hash>> = Vec::new();
    let mut disagree = Vec::new();
    for id in tiles(head.size, 0) {
        let first = edge.size();
        let leaves = bundle(reader, id, first, story, report);
        for (index, leaf) in (first..).zip(&leaves) {
            if let Some((written, file)) = tail.covered.get(&index)
                && written != leaf
            {
                disagree.push((index, file));
            }
            for (tile, hashes) in edge.push(*leaf) {
                let Layer::Hashes(level) = tile.layer else {
                    continue;
                };
                let above = usize::from(level);
                if levels.len() == above {
                    levels.push(Vec::new());
                }
                if let Some(roots) = levels.get_mut(above) {
                    roots.push(root_of(&hashes));
                }
            }
        }
    }
    let tree = Tree {
        holds: edge.root() == head.root,
        levels,
        size: head.size,
    };
    if !tree.holds {
        blame::find(reader, head, &tree, report);
    }
    judge_segments(&disagree, tree.holds, report);
    tree
}

/// Where segments and bundles hold different entries, the bundles are right if they lead to the signed
/// root. If they do not, the segments may be all that is left of the original.
fn judge_segments(disagree: &[(u64, &String)], holds: bool, report: &mut Report) {
    for (index, file) in disagree.iter().filter(|_| holds) {
        let text = "the segment holds another entry than the one that was signed";
        report.add(Problem::new(Fault::WalAltered, text).file(file).index(*index));
    }
    if let (Some((index, file)), false) = (disagree.first(), holds) {
        let count = disagree.len();
        report.note(format!(
            "{file} holds other entries than the bundles in {count} places, first at entry {index}: perhaps the \
             original ones"
        ));
    }
}

/// Reads a bundle. Gives one leaf hash per place, a hash of nothing where the entry is missing.
fn bundle(reader: &Reader, id: TileId, first: u64, story: &mut Story, report: &mut Report) -> Vec<Hash> {
    let id = id.in_layer(Layer::Entries);
    report.tiles += 1;
    let bytes = match reader.tile(id) {
        Ok(bytes) => bytes,
        Err(error) => {
            let text = format!("the bundle cannot be read: {error}");
            report.add(
                Problem::new(Fault::Truncated, &text)
                    .file(&id.path())
                    .index(first),
            );
            Vec::new()
        }
    };
    let (entries, whole) = entries_of(&bytes);
    if !bytes.is_empty() && (!whole || entries.len() != id.width) {
        let text = format!(
            "the bundle holds {} whole entries, not {}",
            entries.len(),
            id.width
        );
        let index = first + u64::try_from(entries.len().min(id.width)).unwrap_or(0);
        report.add(
            Problem::new(Fault::Truncated, &text)
                .file(&id.path())
                .index(index),
        );
    }
    let mut leaves = Vec::with_capacity(id.width);
    for (index, entry) in (first..).zip(entries.into_iter().take(id.width)) {
        story.tell(index, entry, report);
        report.entries += 1;
        leaves.push(leaf_hash(entry));
    }
    leaves.resize(id.width, [0; 32]);
    leaves
}

/// Compares every tile and every partial tile that lies about with what the entries make them.
pub(super) fn compare_tiles(reader: &Reader, head: &Checkpoint, tree: &Tree, report: &mut Report) {
    for level in 0..8 {
        for id in tiles(head.size, level) {
            // Where the entries do not lead to the signed root, `blame` has judged the tiles they are in.
            let Some(expected) = tree.tile(reader, id) else {
                continue;
            };
            report.tiles += 1;
            match reader.tile(id) {
                Ok(bytes) => compare(id, &bytes, &expected, tree.holds, report),
                Err(error) => {
                    let text = format!("the tile cannot be read: {error}");
                    report.add(Problem::new(Fault::TileMissing, &text).file(&id.path()));
                }
            }
            for part in reader.partials(id) {
                if part != id {
                    compare_part(reader, part, &expected, tree.holds, report);
                }
            }
        }
    }
}

fn compare(id: TileId, bytes: &[u8], expected: &[Hash], holds: bool, report: &mut Report) {
    let Some(found) = hashes_of(bytes).filter(|found| found.len() == expected.len()) else {
        let text = format!(
            "the tile holds {} bytes, not {} hashes",
            bytes.len(),
            expected.len()
        );
        return report.add(Problem::new(Fault::TileMissing, &text).file(&id.path()));
    };
    let differs = found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found != expected);
    if let (Some(place), true) = (differs, holds) {
        let (text, index) = place_of(id, place);
        report.add(
            Problem::new(Fault::TileAltered, &text)
                .file(&id.path())
                .index(index),
        );
    }
}

/// A partial tile other than the one the checkpoint needs: a beginning of the tile, or forged.
fn compare_part(reader: &Reader, part: TileId, expected: &[Hash], holds: bool, report: &mut Report) {
    report.tiles += 1;
    let found = match part.layer {
        Layer::Hashes(_) => reader.hashes(part),
        Layer::Entries => leaves_of(reader, part),
    };
    // A tile that is wider than the signed tree was cut for a checkpoint that was not put in place.
    let agrees = |found: &[Hash]| expected.starts_with(found) || found.starts_with(expected);
    let is_beginning = found.is_ok_and(|found| agrees(&found) && found.len() == part.width);
    if !is_beginning && holds {
        let text = "the partial tile is no part of the tree that was signed";
        report.add(Problem::new(Fault::PartialTileForged, text).file(&part.path()));
    }
}

/// A place in a tile in words, and the first entry it is about.
pub(super) fn place_of(id: TileId, place: usize) -> (String, u64) {
    let Layer::Hashes(level) = id.layer else {
        return (String::new(), 0);
    };
    let place = u64::try_from(place).unwrap_or(0);
    let leaves = 1_u64.checked_shl(8 * u32::from(level)).unwrap_or(u64::MAX);
    let index = (id.n * 256 + place).saturating_mul(leaves);
    let text = match level {
        0 => format!("hash {place} of the tile is not that of the entry"),
        _ => format!("hash {place} of the tile is not the root over its {leaves} entries"),
    };
    (text, index)
}

impl Tree {
    /// What a tile must hold, as the entries have it. Nothing when a bundle cannot be read.
    pub(super) fn tile(&self, reader: &Reader, id: TileId) -> Option<Vec<Hash>> {
        match id.layer {
            Layer::Hashes(0) | Layer::Entries => {
                let leaves = leaves_of(reader, id).ok()?;
                (leaves.len() == id.width).then_some(leaves)
            }
            Layer::Hashes(level) => {
                let first = usize::try_from(id.n).ok()? * TILE_WIDTH;
                let hashes = self.levels.get(usize::from(level) - 1)?;
                Some(hashes.get(first..first + id.width)?.to_vec())
            }
        }
    }

    /// The root over the roots of one leaf tile, if it is full.
    pub(super) fn leaf_tile_root(&self, n: u64) -> Option<Hash> {
        self.levels.first()?.get(usize::try_from(n).ok()?).copied()
    }

    /// The root the tree had when it was smaller.
    pub(super) fn root_at(&self, reader: &Reader, size: u64) -> Option<Hash> {
        let mut looked_up = LookedUp { tree: self, reader };
        (size <= self.size)
            .then(|| looked_up.span(0, size).ok())
            .flatten()
    }
}

/// The tree as the entries have it.
struct LookedUp<'t> {
    tree: &'t Tree,
    reader: &'t Reader,
}

impl Subtrees for LookedUp<'_> {
    type Error = ();

    fn full(&mut self, height: u32, index: u64) -> Result<Hash, ()> {
        let level = u8::try_from(height / 8).map_err(|_| ())?;
        let within = height % 8;
        let first = index << within;
        let (full, partial) = tiles_of(self.tree.size, level);
        let n = first / 256;
        let id = TileId {
            layer: Layer::Hashes(level),
            n,
            width: if n < full { TILE_WIDTH } else { partial },
        };
        let hashes = self.tree.tile(self.reader, id).ok_or(())?;
        let at = usize::try_from(first % 256).map_err(|_| ())?;
        hashes.get(at..at + (1 << within)).map(root_of).ok_or(())
    }
}
