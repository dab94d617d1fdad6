//! The write-ahead segments, read from the first to the last.

use std::{ops::Range, path::PathBuf, sync::Arc};

use crate::{
    digest::Digester,
    disk::{Disk, How},
    ledger::{
        entry::Encoded,
        frame::{Frame, HEADER_BYTES, read_header, was_durable, without_room},
        layout::{Layout, SEGMENT_BYTES_MAX, at, segment_first},
        options::OpenError,
    },
};

/// What the segments hold.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// First indices of the segments, in order.
    pub(crate) firsts: Vec<u64>,
    /// Their entries, without gaps.
    pub(crate) entries: Vec<Arc<Encoded>>,
    /// What follows the last intact frame of the last segment.
    torn: Option<Torn>,
}

/// An end that no crash-free writer leaves.
#[derive(Debug)]
struct Torn {
    path: PathBuf,
    keep: u64,
    bytes: u64,
}

impl Segments {
    /// The indices they hold.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.firsts.first().copied().unwrap_or(0);
        start..start + u64::try_from(self.entries.len()).unwrap_or(0)
    }

    /// The entry of an index, if it is here.
    pub(crate) fn entry(&self, index: u64) -> Option<&Arc<Encoded>> {
        let at = index.checked_sub(self.firsts.first().copied()?)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// Bytes of the torn end.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.torn.as_ref().map_or(0, |torn| torn.bytes)
    }

    /// Cuts the torn end, durably; a segment that holds nothing else is removed.
    pub(crate) fn cut(&mut self, disk: &dyn Disk) -> Result<(), OpenError> {
        let Some(torn) = &self.torn else {
            return Ok(());
        };
        if torn.keep == 0 {
            disk.remove(&torn.path).map_err(at(&torn.path))?;
            return disk
                .sync_dir(torn.path.parent().unwrap_or(&torn.path))
                .map_err(at(&torn.path));
        }
        let file = disk.open(&torn.path, How::Existing).map_err(at(&torn.path))?;
        let cut = file.set_len(torn.keep).and_then(|()| file.sync());
        cut.map_err(at(&torn.path))
    }
}

/// Reads all segments. With the log's key their tags are checked too.
pub(crate) fn read(
    disk: &dyn Disk,
    layout: &Layout,
    frames: Option<&Digester>,
) -> Result<Segments, OpenError> {
    let dir = layout.wal();
    let names = disk.list(&dir).map_err(at(&dir))?;
    let firsts: Vec<_> = names.iter().filter_map(|name| segment_first(name)).collect();
    let mut segments = Segments::default();
    for (n, first) in firsts.iter().enumerate() {
        let is_last = n + 1 == firsts.len();
        read_one(disk, layout, frames, *first, is_last, &mut segments)?;
    }
    Ok(segments)
}

fn read_one(
    disk: &dyn Disk,
    layout: &Layout,
    frames: Option<&Digester>,
    first: u64,
    is_last: bool,
    segments: &mut Segments,
) -> Result<(), OpenError> {
    let path = layout.segment(first);
    let bytes = disk
        .read(&path, SEGMENT_BYTES_MAX)
        .map_err(at(&path))?
        .unwrap_or_default();
    let bytes = without_room(&bytes);
    let end = segments.range().end;
    if !segments.firsts.is_empty() && end != first {
        return Err(OpenError::Shorter {
            expected: first,
            found: end,
        });
    }
    let mut rest = match read_header(bytes) {
        Some((found, rest)) if found == first => rest,
        Some(_) | None => {
            let tail = bytes.get(HEADER_BYTES..).unwrap_or_default();
            return segments.tear(path, is_last, bytes, tail, first, 0);
        }
    };
    segments.firsts.push(first);
    let mut index = first;
    while !rest.is_empty() {
        let read = Frame::read(rest).filter(|(frame, _)| frame.index == index);
        let Some((frame, after)) = read else {
            let keep = bytes.len() - rest.len();
            return segments.tear(path, is_last, bytes, rest, index, keep);
        };
        let entry = Encoded::from_stored(frame.entry);
        if frames.is_some_and(|key| !frame.is_ours(key, entry.leaf())) {
            return Err(OpenError::Edited(index));
        }
        segments.entries.push(Arc::new(entry));
        index += 1;
        rest = after;
    }
    Ok(())
}

impl Segments {
    /// A broken place: the torn end of the last segment, or damage.
    fn tear(
        &mut self,
        path: PathBuf,
        is_last: bool,
        bytes: &[u8],
        rest: &[u8],
        index: u64,
        keep: usize,
    ) -> Result<(), OpenError> {
        if !is_last || was_durable(rest, index) {
            return Err(OpenError::Damaged {
                path,
                at: keep,
                index,
            });
        }
        let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        self.torn = Some(Torn {
            path,
            keep: length(keep),
            bytes: length(bytes.len() - keep),
        });
        Ok(())
    }
}
