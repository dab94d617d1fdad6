//! The Merkle tree of RFC 6962 section 2.1 (the same as RFC 9162 section 2.1), with SHA-256.
//!
//! Pure: hashes in, hashes out. It must not know what a leaf holds or where hashes are kept.

use crate::digest::{Sha256, sha256};

/// A node of the tree.
pub type Hash = Sha256;

/// The root of the tree without leaves: the hash of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The hash of a leaf: `SHA-256(0x00 || entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The root over hashes that stand side by side at one height; all but the last must be roots of full
/// subtrees of equal size. The hash of nothing for none.
#[must_use]
pub fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(largest_power_below(hashes.len()));
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// The largest power of two below `n`, for `n` of at least two: where RFC 6962 splits a tree.
fn largest_power_below(n: usize) -> usize {
    1 << (n - 1).ilog2()
}

/// Gives the root over the leaves `[start, end)` of a tree; proofs are made of such roots.
pub trait Subtrees {
    /// What can go wrong when a hash is looked up.
    type Error;

    /// The root of the full subtree of `2^height` leaves that begins at leaf `index * 2^height`.
    ///
    /// # Errors
    /// When the hash cannot be had.
    fn full(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;

    /// The root over the leaves `[start, end)`, where `start` is a multiple of the smallest power of two
    /// that is at least `end - start`.
    ///
    /// # Errors
    /// When a hash cannot be had.
    fn span(&mut self, start: u64, end: u64) -> Result<Hash, Self::Error> {
        let leaves = end.saturating_sub(start);
        if leaves == 0 {
            return Ok(empty_root());
        }
        if leaves.is_power_of_two() {
            let height = leaves.ilog2();
            return self.full(height, start >> height);
        }
        let left = 1 << leaves.ilog2();
        let (left, right) = (self.span(start, start + left)?, self.span(start + left, end)?);
        Ok(node_hash(&left, &right))
    }
}

/// The inclusion proof of the leaf `index` in the tree of `size` leaves: siblings from the leaf up.
///
/// # Errors
/// When a hash cannot be had.
pub fn inclusion<S: Subtrees>(tree: &mut S, index: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while index < end && end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(tree.span(middle, end)?);
            end = middle;
        } else {
            path.push(tree.span(start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is the beginning of the tree of `new` leaves.
///
/// # Errors
/// When a hash cannot be had.
pub fn consistency<S: Subtrees>(tree: &mut S, old: u64, new: u64) -> Result<Vec<Hash>, S::Error> {
    let (mut start, mut end) = (0, new);
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    // Whether what is left of the old tree is the old tree itself, whose root the reader knows.
    let mut whole = true;
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(tree.span(middle, end)?);
            end = middle;
        } else {
            path.push(tree.span(start, middle)?);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(tree.span(start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// The largest power of two below `n`, for `n` of at least two.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2), or nothing when the proof does
/// not have the form it must have.
#[must_use]
pub fn root_from_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut root = *leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            root = node_hash(sibling, &root);
            let levels = node.trailing_zeros();
            if node & 1 == 0 {
                node >>= levels;
                last >>= levels;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

/// The roots of the old and the new tree that a consistency proof leads to (RFC 9162 section 2.1.4.2),
/// or nothing when the proof does not have the form it must have.
#[must_use]
pub fn roots_from_consistency(old: u64, new: u64, old_root: &Hash, path: &[Hash]) -> Option<(Hash, Hash)> {
    if old == 0 || old >= new {
        return (old == new && path.is_empty()).then_some((*old_root, *old_root));
    }
    let mut siblings = path.iter();
    let first = if old.is_power_of_two() {
        old_root
    } else {
        siblings.next()?
    };
    let (mut node, mut last) = (old - 1, new - 1);
    let levels = node.trailing_ones();
    node >>= levels;
    last >>= levels;
    let (mut old_is, mut new_is) = (*first, *first);
    for sibling in siblings {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            old_is = node_hash(sibling, &old_is);
            new_is = node_hash(sibling, &new_is);
            if node & 1 == 0 {
                let levels = node.trailing_zeros();
                node >>= levels;
                last >>= levels;
            }
        } else {
            new_is = node_hash(&new_is, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some((old_is, new_is))
}
