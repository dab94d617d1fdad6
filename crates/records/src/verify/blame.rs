//! Where the entries differ from what was signed, when they do not lead to the signed root.
//!
//! The tiles that lead to the signed root are trusted from the top down: a hash that is trusted vouches for
//! the tile below it. Where a trusted leaf tile and the entries differ, the entries are wrong.

use super::{
    report::{Fault, Problem, Report},
    tree::{Tree, leaves_of, place_of, tiles},
};
use crate::ledger::{
    checkpoint::Checkpoint,
    merkle::{Hash, root_of},
    reader::Reader,
    tile::{Edge, Layer, TILE_WIDTH, TileId, tiles_of},
};

/// Names the places where entries or tiles are wrong.
pub(super) fn find(reader: &Reader, head: &Checkpoint, tree: &Tree, report: &mut Report) {
    let before = report.problems.len();
    match trusted_edge(reader, head) {
        Some(edge) => {
            let mut shift = Shift::None;
            for id in tiles(head.size, 0) {
                leaf_tile(reader, id, &edge, tree, &mut shift, report);
            }
        }
        None => root_differs(reader, head, tree, report),
    }
    if report.problems.len() == before && report.more_problems == 0 {
        let text = "the entries do not lead to the signed root";
        report.add(Problem::new(Fault::RootDiffers, text).file("checkpoint"));
    }
}

/// The hashes the signed root vouches for, level by level; nothing when the partial tiles do not lead to
/// it.
struct Trusted(Vec<Vec<Option<Hash>>>);

impl Trusted {
    /// What is trusted about the root of the tile `n` of a level.
    fn root(&self, level: usize, n: u64) -> Option<Hash> {
        *self.0.get(level + 1)?.get(usize::try_from(n).ok()?)?
    }
}

fn trusted_edge(reader: &Reader, head: &Checkpoint) -> Option<Trusted> {
    let mut levels = Vec::new();
    let mut partials = Vec::new();
    for level in 0..8 {
        let (full, width) = tiles_of(head.size, level);
        if full == 0 && width == 0 {
            break;
        }
        let id = TileId {
            layer: Layer::Hashes(level),
            n: full,
            width,
        };
        partials.push(if width == 0 {
            Vec::new()
        } else {
            reader.hashes(id).ok()?
        });
        levels.push(vec![None; usize::try_from(full).ok()? * TILE_WIDTH]);
    }
    let edge = Edge::from_tiles(head.size, partials.clone())?;
    if edge.root() != head.root {
        return None;
    }
    for (trusted, partial) in levels.iter_mut().zip(partials) {
        trusted.extend(partial.into_iter().map(Some));
    }
    let mut trusted = Trusted(levels);
    for level in (0..trusted.0.len()).rev() {
        let tiles = trusted.0.get(level).map_or(0, Vec::len) / TILE_WIDTH;
        for n in 0..u64::try_from(tiles).ok()? {
            let id = TileId {
                layer: Layer::Hashes(u8::try_from(level).ok()?),
                n,
                width: TILE_WIDTH,
            };
            let hashes = reader.hashes(id).ok();
            let hashes = hashes.filter(|hashes| trusted.root(level, n) == Some(root_of(hashes)));
            let first = usize::try_from(n).ok()? * TILE_WIDTH;
            let places = trusted.0.get_mut(level)?.get_mut(first..first + TILE_WIDTH)?;
            for (place, hash) in places.iter_mut().zip(hashes.unwrap_or_default()) {
                *place = Some(hash);
            }
        }
    }
    Some(trusted)
}

/// Judges one bundle and its leaf tile.
fn leaf_tile(
    reader: &Reader,
    id: TileId,
    trusted: &Trusted,
    tree: &Tree,
    shift: &mut Shift,
    report: &mut Report,
) {
    if id.width == TILE_WIDTH
        && tree
            .leaf_tile_root(id.n)
            .is_some_and(|root| trusted.root(0, id.n) == Some(root))
    {
        *shift = Shift::None;
        return;
    }
    let first = id.n * 256;
    let at = usize::try_from(first).unwrap_or(usize::MAX);
    let places = trusted.0.first().and_then(|leaves| leaves.get(at..at + id.width));
    let signed: Option<Vec<Hash>> = places.and_then(|places| places.iter().copied().collect());
    let Some(signed) = signed else {
        let text =
            "the tile is not the one that was signed, so it cannot be told which of its entries differ";
        return report.add(
            Problem::new(Fault::TileAltered, text)
                .file(&id.path())
                .index(first),
        );
    };
    let found = leaves_of(reader, id).unwrap_or_default();
    let file = id.in_layer(Layer::Entries).path();
    for (fault, index, text) in differences(&signed, &found, first, shift) {
        report.add(Problem::new(fault, &text).file(&file).index(index));
    }
}

/// Whether the entries of the bundle before stood one place too early or too late at its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shift {
    /// One too late: an entry was put in.
    Added,
    None,
    /// One too early: an entry was taken out.
    Removed,
}

type Difference = (Fault, u64, String);

/// What happened to the entries of a bundle, told by their hashes.
fn differences(signed: &[Hash], found: &[Hash], first: u64, shift: &mut Shift) -> Vec<Difference> {
    let index_of = |place: usize| first + u64::try_from(place).unwrap_or(0);
    let differs = |place: &usize| found.get(*place) != signed.get(*place);
    let places: Vec<usize> = (0..signed.len().min(found.len())).filter(differs).collect();
    let Some(start) = places.first().copied() else {
        *shift = Shift::None;
        return Vec::new();
    };
    let tail = |hashes: &[Hash], from: usize| hashes.get(from..).unwrap_or_default().to_vec();
    let (early, late) = (tail(found, start), tail(signed, start + 1));
    let common = early.len().min(late.len());
    if common > 0 && early.get(..common) == late.get(..common) {
        let continues = *shift == Shift::Removed && start == 0;
        *shift = Shift::Removed;
        let text = "the entry that was signed here is gone, and those after it have moved up";
        return if continues {
            Vec::new()
        } else {
            vec![(Fault::EntryRemoved, index_of(start), text.to_owned())]
        };
    }
    let (late, early) = (tail(found, start + 1), tail(signed, start));
    let common = early.len().min(late.len());
    let continues = *shift == Shift::Added && start == 0;
    if common > 0 && early.get(..common) == late.get(..common) {
        *shift = Shift::Added;
        let copy = signed.iter().position(|hash| found.get(start) == Some(hash));
        let text = match copy {
            Some(original) => format!(
                "a copy of entry {} stands where none was signed",
                index_of(original)
            ),
            None => "an entry stands where none was signed".to_owned(),
        };
        return if continues {
            Vec::new()
        } else {
            vec![(Fault::EntryAdded, index_of(start), text)]
        };
    }
    *shift = Shift::None;
    if let [a, b] = places.as_slice()
        && found.get(*a) == signed.get(*b)
        && found.get(*b) == signed.get(*a)
    {
        let text = format!("entries {} and {} are exchanged", index_of(*a), index_of(*b));
        return vec![(Fault::EntriesSwapped, index_of(*a), text)];
    }
    let altered = |place| {
        let text = "the entry is not the one that was signed".to_owned();
        (Fault::EntryAltered, index_of(place), text)
    };
    places.into_iter().map(altered).collect()
}

/// Neither the entries nor the tiles lead to the signed root.
fn root_differs(reader: &Reader, head: &Checkpoint, tree: &Tree, report: &mut Report) {
    for level in 0..8 {
        for id in tiles(head.size, level) {
            let (Some(expected), Ok(found)) = (tree.tile(reader, id), reader.hashes(id)) else {
                continue;
            };
            let differs = found
                .iter()
                .zip(&expected)
                .position(|(found, expected)| found != expected);
            if let Some(place) = differs {
                let (text, index) = place_of(id, place);
                report.add(
                    Problem::new(Fault::TileAltered, &text)
                        .file(&id.path())
                        .index(index),
                );
            }
        }
    }
    let text = "neither entries nor tiles lead to the signed root; an older checkpoint narrows down from \
                where on";
    report.add(Problem::new(Fault::RootDiffers, text).file("checkpoint"));
}
