//! What the signed checkpoint covers: its right edge, read from the tiles or made again from what is left.

use std::sync::Arc;

use super::{Segments, bundle_start, leaves};
use crate::ledger::{
    checkpoint::Checkpoint,
    entry::Encoded,
    merkle::{Hash, root_of},
    options::OpenError,
    reader::Reader,
    tile::{Edge, Layer, TILE_WIDTH, TileId, tiles_of},
};

/// The right edge of the signed tree and the entries of its partial bundle.
pub(super) fn load(
    reader: &Reader,
    head: &Checkpoint,
    segments: &Segments,
) -> Result<(Edge, Vec<Arc<Encoded>>), OpenError> {
    let broken = || OpenError::Tiles(head.size);
    let bundle = partial_bundle(reader, head.size, segments).ok_or_else(broken)?;
    let mut levels = vec![leaves(&bundle)];
    for level in 1..=7 {
        let (full, width) = tiles_of(head.size, level);
        if full == 0 && width == 0 {
            break;
        }
        levels.push(partial_tile(reader, level, full, width).ok_or_else(broken)?);
    }
    if head.size == 0 {
        levels.clear();
    }
    let edge = Edge::from_tiles(head.size, levels).ok_or_else(broken)?;
    if edge.root() != head.root {
        return Err(broken());
    }
    agree(reader, head.size, segments)?;
    Ok((edge, bundle))
}

/// The entries of the partial bundle: as published, or from the segments, which keep them until the
/// bundle is full. Whether they are the right ones the root decides.
fn partial_bundle(reader: &Reader, size: u64, segments: &Segments) -> Option<Vec<Arc<Encoded>>> {
    let start = bundle_start(size);
    let from_segments: Option<Vec<_>> = (start..size)
        .map(|index| segments.entry(index).cloned())
        .collect();
    from_segments.or_else(|| {
        let id = TileId {
            layer: Layer::Entries,
            n: start / u64::try_from(TILE_WIDTH).ok()?,
            width: usize::try_from(size - start).ok()?,
        };
        let entries = reader.bundle(id).ok()?;
        Some(
            entries
                .iter()
                .map(|entry| Arc::new(Encoded::from_stored(entry)))
                .collect(),
        )
    })
}

/// The hashes of the partial tile of a level above 0, from the full tiles below it.
///
/// They are made anew and not read, so that the right edge depends on as few files as can be.
fn partial_tile(reader: &Reader, level: u8, n: u64, width: usize) -> Option<Vec<Hash>> {
    let first = n * u64::try_from(TILE_WIDTH).ok()?;
    (0..width)
        .map(|at| {
            let below = TileId {
                layer: Layer::Hashes(level - 1),
                n: first + u64::try_from(at).ok()?,
                width: TILE_WIDTH,
            };
            Some(root_of(&reader.hashes(below).ok()?))
        })
        .collect()
}

/// Whether the segments hold the entries the tree holds, where they overlap.
fn agree(reader: &Reader, size: u64, segments: &Segments) -> Result<(), OpenError> {
    let range = segments.range();
    let mut tile: Option<(u64, Vec<Hash>)> = None;
    for index in range.start..bundle_start(size).min(range.end) {
        let width = u64::try_from(TILE_WIDTH).unwrap_or(u64::MAX);
        let (n, place) = (index / width, usize::try_from(index % width).unwrap_or(0));
        if tile.as_ref().is_none_or(|(of, _)| *of != n) {
            let id = TileId {
                layer: Layer::Hashes(0),
                n,
                width: TILE_WIDTH,
            };
            tile = Some((n, reader.hashes(id).map_err(|_| OpenError::Tiles(size))?));
        }
        let signed = tile.as_ref().and_then(|(_, hashes)| hashes.get(place));
        if signed != segments.entry(index).map(|entry| entry.leaf()) {
            return Err(OpenError::Differs(index));
        }
    }
    Ok(())
}
