//! The beginning of an epoch: a segment of its own, and the first entries.

use std::sync::Arc;

use super::{
    entry::{Entry, Kind},
    frame::without_room,
    handle::Opening,
    layout::{Layout, SEGMENT_BYTES_MAX, at},
    note::VerifierKey,
    options::{OpenError, Options, Ports},
    owner::Owner,
    publisher::Publisher,
    recover::{Past, Recovered},
    shared::Shared,
    state::{Start, State, Tail, unknown_outcome},
    writer::{self, Begun},
};
use crate::{
    digest::{hex, sha256_text},
    disk::replace,
    keys::LogKeys,
};

/// Makes the segments durable anew, begins the next one, and queues the first entries.
pub(crate) fn start(
    found: Recovered,
    keys: LogKeys,
    options: Options,
    ports: Ports,
    layout: Layout,
    owner: Owner,
    opening: &Opening,
) -> Result<(Shared, Publisher), OpenError> {
    let disk = &*ports.disk;
    // The process before us may have died after a failed sync, when the kernel shows bytes that are not on
    // the disk. Segments that still matter are therefore written again.
    for first in &found.segments {
        let path = layout.segment(*first);
        let bytes = disk.read(&path, SEGMENT_BYTES_MAX).map_err(at(&path))?;
        let bytes = bytes.unwrap_or_default();
        replace(disk, &path, without_room(&bytes)).map_err(at(&path))?;
    }
    let size = found.size();
    let path = layout.segment(size);
    // A spare of before may be of another length.
    let spare = layout.spare();
    disk.remove(&spare).map_err(at(&spare))?;
    let Begun { file, offset, room } = writer::begin(disk, &layout, size, &options).map_err(at(&path))?;
    let keys = Arc::new(keys);
    let mut segments = found.segments;
    segments.retain(|first| *first != size);
    segments.push(size);
    let publisher = Publisher {
        owner,
        edge: found.edge,
        bundle: found.bundle,
        signed_by: None,
    };
    let shared = Shared::new(
        Start {
            keys: keys.clone(),
            epoch: opening.epoch,
            tail: Tail::new(file, size, offset, room),
            published: publisher.edge.size(),
            fresh: found.fresh,
            segments,
        },
        options,
        ports,
        layout,
    );
    let mut state = shared.lock();
    for open in &found.past.open {
        if let Some(call) = &open.intent.call {
            state.calls.intent_at(Arc::from(call.as_str()), open.index);
        }
    }
    first_entries(
        &mut state,
        &shared,
        opening,
        &found.past,
        !found.signed_by_current,
    );
    drop(state);
    Ok((shared, publisher))
}

/// The opening itself, a change of keys if there was one, and the endings nobody else will write.
fn first_entries(state: &mut State, shared: &Shared, opening: &Opening, past: &Past, keys_changed: bool) {
    let now_ms = shared.ports.clock.unix_ms();
    let mut open = Entry {
        code: Some("open".to_owned()),
        ..Entry::new(now_ms, Kind::Shard)
    }
    .with("instance", opening.instance.as_str())
    .with("heartbeat_ms", shared.options.heartbeat_ms)
    .with(
        "after",
        if past.closed || opening.size == 0 {
            "close"
        } else {
            "crash"
        },
    );
    if let Some(instance) = &opening.copied_from {
        open = open.with("copied_from", instance.as_str());
    }
    if opening.cut_bytes > 0 {
        open = open.with("cut_bytes", opening.cut_bytes);
    }
    if opening.clock_back_ms > 0 {
        open = open.with("clock_back_ms", opening.clock_back_ms);
    }
    if shared.options.adopt {
        open = open.with("adopted", "yes");
    }
    let open = state.mark(open);
    state.queue.push_own(&open);
    if keys_changed {
        let entry = announce(Entry::new(now_ms, Kind::Key), &state.keys);
        state.queue.push_own(&entry);
    }
    for open in &past.open {
        let call = open.intent.call.as_deref().unwrap_or_default();
        let reason = "the process ended before the outcome was recorded; the call may have been carried out";
        let entry = Entry {
            principal: open.intent.principal.clone(),
            purpose: open.intent.purpose.clone(),
            context: open.intent.context.clone(),
            server: open.intent.server.clone(),
            tool: open.intent.tool.clone(),
            ..unknown_outcome(now_ms, call, reason)
        };
        state.queue.push_own(&entry.with("intent", open.index));
    }
}

/// An entry that names the keys which sign from now on.
pub(crate) fn announce(entry: Entry, keys: &LogKeys) -> Entry {
    let [ed25519, ml_dsa] = keys.verifiers();
    let id = |key: &VerifierKey| hex(&key.id());
    let mut entry = entry
        .with("ed25519", id(ed25519))
        .with("ed25519_public", hex(ed25519.public()))
        .with("ml_dsa_44", id(ml_dsa))
        .with("ml_dsa_44_digest", sha256_text(ml_dsa.public()));
    entry.code.get_or_insert_with(|| "log-key".to_owned());
    entry
}
