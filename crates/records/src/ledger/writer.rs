//! What is done to the write-ahead segment, by one of the crew at a time: frames are put into it, it ends and the
//! next begins, and it is mended after a fault.

use std::{io, sync::Arc, time::Duration};

use super::{
    frame,
    layout::Layout,
    options::Options,
    shared::{Phase, Shared},
    state::Group,
};
use crate::disk::{Beside, Disk, DiskFile, How, TEMPORARY};

/// How long a disk that fails is left alone between two tries.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn write(shared: &Shared, group: &Group, frames: &mut Vec<u8>) {
    frames.clear();
    for (index, entry) in (group.first..).zip(&group.entries) {
        let key = group.keys.frames();
        frame::write(frames, key, index, group.durable, entry.bytes(), entry.leaf());
    }
    let written = group.file.write_at(frames, group.offset);
    let now_ms = shared.ports.clock.unix_ms();
    let mut state = shared.lock();
    state.tail.writing = false;
    let mut answers = Vec::new();
    match written {
        Ok(()) => answers = state.written(frames, now_ms),
        Err(error) => state.write_failed(&error.to_string(), now_ms),
    }
    shared.report(&state);
    drop(state);
    for answer in answers {
        answer.tell();
    }
}

/// Begins a new segment. The old one is durable to its end.
pub(crate) fn rotate(shared: &Shared) {
    let first = shared.lock().tail.written;
    let begun = begin(&*shared.ports.disk, &shared.layout, first, &shared.options);
    let now_ms = shared.ports.clock.unix_ms();
    let mut state = shared.lock();
    state.tail.writing = false;
    match begun {
        Ok(Begun { file, offset, room }) => {
            // Not before: what a failure leaves under this name has to be finished, so the old segment stays full.
            state.spare = false;
            state.tail.file = file;
            state.tail.first = first;
            state.tail.offset = offset;
            state.tail.room = room;
            state.segments.push_back(first);
        }
        Err(error) => state.write_failed(&error.to_string(), now_ms),
    }
}

/// A segment without entries.
pub(crate) struct Begun {
    pub(crate) file: Arc<dyn DiskFile>,
    /// The place of the first frame.
    pub(crate) offset: u64,
    /// How long the file is.
    pub(crate) room: u64,
}

/// Makes a segment's file, durably, with its header: of the spare one where that lies ready.
pub(crate) fn begin(disk: &dyn Disk, layout: &Layout, first: u64, options: &Options) -> io::Result<Begun> {
    let path = layout.segment(first);
    let mut bytes = frame::header(first).to_vec();
    let offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (file, room) = match disk.rename(&layout.spare(), &path) {
        Ok(()) => (disk.open(&path, How::Existing)?, options.segment_bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let room = options.room_bytes.min(options.segment_bytes);
            bytes.resize(bytes.len().max(usize::try_from(room).unwrap_or(0)), 0);
            (disk.open(&path, How::Replace)?, room)
        }
        Err(error) => return Err(error),
    };
    file.write_at(&bytes, 0)?;
    file.sync()?;
    disk.sync_dir(&layout.wal())?;
    Ok(Begun { file, offset, room })
}

/// Makes the next segment ready. Not on the writer's thread: nobody waits for it.
pub(crate) fn make_spare(shared: &Shared) -> io::Result<()> {
    let (disk, path) = (&*shared.ports.disk, shared.layout.spare());
    let made =
        Beside::zeros(disk, &path, shared.options.segment_bytes).and_then(|zeros| zeros.take_place(disk));
    if made.is_err() {
        // What there is of it only takes space away.
        let mut part = path.into_os_string();
        part.push(TEMPORARY);
        let _ = disk.remove(part.as_ref());
    }
    made
}

/// Opens the segment anew, writes again all that was never durable, syncs, and reads it back.
///
/// After a failed sync the kernel may have dropped the pages and forgotten the failure, so a later sync
/// proves nothing about them; only bytes that are written again and synced are durable (the PostgreSQL
/// lesson of 2018). Bytes beyond what was written are the remains of a failed write and are cut.
pub(crate) fn mend(shared: &Shared) {
    let mut state = shared.lock();
    if state.tail.strikes > 1 {
        if state.phase != Phase::Open {
            drop(state);
            return shared.abandon();
        }
        state = shared.wake.mender.wait_for(state, PAUSE);
        if state.has_ended() {
            return;
        }
    }
    let (path, offset) = (shared.layout.segment(state.tail.first), state.tail.offset);
    let unsynced = state.tail.unsynced.clone();
    drop(state);

    let mended = shared.ports.disk.open(&path, How::Existing).and_then(|file| {
        let from = offset.saturating_sub(u64::try_from(unsynced.len()).unwrap_or(u64::MAX));
        file.set_len(offset)?;
        file.write_at(&unsynced, from)?;
        file.sync()?;
        let mut back = vec![0; unsynced.len()];
        file.read_at(&mut back, from)?;
        if back != unsynced {
            return Err(io::Error::other(
                "the disk gives back other bytes than were written",
            ));
        }
        Ok(file)
    });
    let now_ms = shared.ports.clock.unix_ms();
    let mut state = shared.lock();
    state.tail.writing = false;
    let mut answers = Vec::new();
    match mended {
        Ok(file) => answers = state.mended(file),
        Err(error) => state.failed(&error.to_string(), now_ms),
    }
    shared.report(&state);
    drop(state);
    for answer in answers {
        answer.tell();
    }
    shared.wake.publisher.ring();
}
