//! Frames: how entries stand in a write-ahead segment before they reach their tiles.
//!
//! A segment is a header and then frames without gaps. All integers are big-endian.
//!
//! ```text
//! header  16 bytes  "sallyport-wal/1\n"
//!          8 bytes  index of the first entry
//!          4 bytes  CRC-32C of the 24 bytes before
//! frame    4 bytes  length of what follows the checksum (32 + entry)
//!          4 bytes  CRC-32C of the length and of what follows the checksum
//!          8 bytes  index of the entry
//!          8 bytes  how many entries of the log were durable when this frame was made
//!         16 bytes  tag: HMAC-SHA-256 over the index and the entry's leaf hash, first half
//!                   the entry
//! room     zeros, as far as there is room: a file that does not grow is synced without the file system's journal, in
//!          which everybody's writes wait for each other
//! ```
//!
//! The checksum finds what a crash tore. The tag finds what a person edited before a checkpoint covered
//! it. The count of durable entries tells the two apart: a broken frame before an intact one that was made
//! when the broken one was durable already is damage, not a torn tail. Pure; it must not know files.

use crate::{digest::Digester, ledger::entry::ENTRY_BYTES_MAX};

const MAGIC: &[u8; 16] = b"sallyport-wal/1\n";

/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 28;

/// Bytes of a frame before its entry.
pub(crate) const FRAME_BYTES: usize = 40;

/// Bytes of a frame that the length counts, besides the entry.
const COUNTED_BYTES: usize = 32;

const TAG_BYTES: usize = 16;

/// The header of a segment that begins with this index.
pub(crate) fn header(first: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let (fields, checksum) = header.split_at_mut(HEADER_BYTES - 4);
    let (magic, index) = fields.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    index.copy_from_slice(&first.to_be_bytes());
    checksum.copy_from_slice(&crc32c::crc32c(fields).to_be_bytes());
    header
}

/// The first index of a segment and what follows its header; nothing when the header is broken.
pub(crate) fn read_header(segment: &[u8]) -> Option<(u64, &[u8])> {
    let (found, rest) = segment.split_first_chunk::<HEADER_BYTES>()?;
    let (_, index) = found.split_first_chunk::<16>()?;
    let first = u64::from_be_bytes(*index.first_chunk::<8>()?);
    (header(first) == *found).then_some((first, rest))
}

/// A segment without the zeros that are its room. An entry does not end with one.
pub(crate) fn without_room(segment: &[u8]) -> &[u8] {
    let used = segment
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    segment.get(..used.max(HEADER_BYTES)).unwrap_or(segment)
}

/// A frame that was read and whose checksum holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'s> {
    /// The entry's index.
    pub(crate) index: u64,
    /// How many entries were durable when the frame was made.
    pub(crate) durable: u64,
    tag: [u8; TAG_BYTES],
    /// The entry.
    pub(crate) entry: &'s [u8],
}

impl<'s> Frame<'s> {
    /// Reads the frame at the start of some bytes, and gives what follows it. Nothing when no whole frame
    /// with a good checksum stands there.
    pub(crate) fn read(bytes: &'s [u8]) -> Option<(Self, &'s [u8])> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let counted = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if !(COUNTED_BYTES..=COUNTED_BYTES + ENTRY_BYTES_MAX).contains(&counted) {
            return None;
        }
        let (counted, after) = rest.split_at_checked(counted)?;
        if u32::from_be_bytes(*checksum) != frame_checksum(length, counted) {
            return None;
        }
        let (index, rest) = counted.split_first_chunk::<8>()?;
        let (durable, rest) = rest.split_first_chunk::<8>()?;
        let (tag, entry) = rest.split_first_chunk::<TAG_BYTES>()?;
        let frame = Self {
            index: u64::from_be_bytes(*index),
            durable: u64::from_be_bytes(*durable),
            tag: *tag,
            entry,
        };
        Some((frame, after))
    }

    /// Whether whoever made the frame had the log's key.
    pub(crate) fn is_ours(&self, frames: &Digester, leaf: &[u8; 32]) -> bool {
        tag(frames, self.index, leaf) == self.tag
    }
}

/// Appends a frame to a buffer.
pub(crate) fn write(
    out: &mut Vec<u8>,
    frames: &Digester,
    index: u64,
    durable: u64,
    entry: &[u8],
    leaf: &[u8; 32],
) {
    // INVARIANT (entry fits): far below the 32 bits of the length.
    let length = u32::try_from(COUNTED_BYTES + entry.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    out.extend_from_slice(&length);
    let checksum_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let counted_at = out.len();
    out.extend_from_slice(&index.to_be_bytes());
    out.extend_from_slice(&durable.to_be_bytes());
    out.extend_from_slice(&tag(frames, index, leaf));
    out.extend_from_slice(entry);
    let checksum = frame_checksum(&length, out.get(counted_at..).unwrap_or_default());
    if let Some(place) = out.get_mut(checksum_at..counted_at) {
        place.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Whether some later frame proves that the frame of `index` was durable once: then what stands there
/// instead is damage.
pub(crate) fn was_durable(mut bytes: &[u8], index: u64) -> bool {
    while bytes.len() >= FRAME_BYTES {
        if Frame::read(bytes).is_some_and(|(frame, _)| frame.index > index && frame.durable > index) {
            return true;
        }
        bytes = bytes.get(1..).unwrap_or_default();
    }
    false
}

fn frame_checksum(length: &[u8; 4], counted: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(length), counted)
}

fn tag(frames: &Digester, index: u64, leaf: &[u8; 32]) -> [u8; TAG_BYTES] {
    let whole = frames.tag(&[&index.to_be_bytes(), leaf]);
    whole.first_chunk().copied().unwrap_or_default()
}
