//! What the newest entries tell: the epoch, whether the log was closed, and which calls never ended.

use std::collections::BTreeMap;

use super::Segments;
use crate::ledger::{
    entry::{Entry, Kind, holds},
    options::OpenError,
    reader::{Reader, Stored},
};

/// What the newest entries tell.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// The epoch of the last process that wrote; 0 for a new log.
    pub(crate) epoch: u64,
    /// Whether that process closed the log.
    pub(crate) closed: bool,
    /// The time of the newest entry; 0 for a new log.
    pub(crate) newest_ms: u64,
    /// Intents without an ending, in the order of the log.
    pub(crate) open: Vec<OpenCall>,
}

/// An intent without an ending.
#[derive(Clone, Debug)]
pub(crate) struct OpenCall {
    /// Its place in the log.
    pub(crate) index: u64,
    /// The intent.
    pub(crate) intent: Entry,
}

/// Reads back to the last entry that tells how far back open calls can be, and forward from there.
pub(super) fn read(reader: &Reader, segments: &Segments, signed: u64) -> Result<Past, OpenError> {
    let size = segments.range().end.max(signed);
    let mut bundle: Vec<Stored> = Vec::new();
    let mut entry = |index| {
        if let Some(entry) = segments.entry(index) {
            return Ok(entry.bytes().to_vec());
        }
        if !bundle.iter().any(|stored| stored.index == index) {
            bundle = reader
                .bundle_at(index, signed)
                .map_err(|_| OpenError::Tiles(signed))?;
        }
        let stored = bundle.iter().find(|stored| stored.index == index);
        stored
            .map(|stored| stored.bytes.clone())
            .ok_or(OpenError::Tiles(signed))
    };
    let mut past = Past::default();
    if let Some(last) = size.checked_sub(1) {
        past.newest_ms = Entry::read(&entry(last)?).map_or(0, |entry| entry.time_ms);
    }
    let mut from = 0;
    for index in (0..size).rev() {
        let bytes = entry(index)?;
        let is_mark = holds(&bytes, br#""kind":"heartbeat""#) || holds(&bytes, br#""kind":"shard""#);
        let Some(mark) = Entry::read(&bytes).ok().filter(|_| is_mark) else {
            continue;
        };
        let Some(epoch) = mark.number("epoch") else {
            continue;
        };
        past.epoch = epoch;
        past.closed = index + 1 == size && mark.kind == Kind::Shard && mark.code.as_deref() == Some("close");
        from = mark.number("open_from").unwrap_or(index).min(index);
        break;
    }
    let mut open = BTreeMap::new();
    for index in from..size {
        // An entry that cannot be read belongs to no call; verification reports it.
        let Ok(read) = Entry::read(&entry(index)?) else {
            continue;
        };
        let Some(call) = read.call.clone() else {
            continue;
        };
        if read.kind == Kind::Intent {
            open.insert(call, OpenCall { index, intent: read });
        } else if read.kind.ends_call() {
            open.remove(&call);
        }
    }
    past.open = open.into_values().collect();
    past.open.sort_by_key(|call| call.index);
    Ok(past)
}
