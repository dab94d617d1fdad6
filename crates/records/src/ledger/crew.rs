//! The crew: two threads that put frames into the write-ahead segment and make them durable.
//!
//! Neither has a trade of its own. One at a time writes, one at a time syncs, and whoever has written goes on to
//! sync where nobody does: so the entry of a lone caller passes one thread. While one of them waits for the disk the
//! other writes, so entries that only need to be written never wait for a sync that runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    shared::{Phase, Shared},
    state::{Group, State},
    writer::{mend, rotate, write},
};
use crate::disk::DiskFile;

/// How long frames that nobody waits for may stay undurable, in the hope of company.
const LINGER: Duration = Duration::from_millis(20);

/// What one of the crew does next.
enum Step {
    /// Open the segment anew and make sure of all that was written.
    Mend,
    /// Begin a new segment.
    Rotate,
    /// Nothing, ever.
    Stop,
    /// Make durable what is written.
    Sync(Unsynced),
    /// Write a group.
    Write(Group),
}

/// What a sync makes durable. Taken where the sync is decided on, under the same lock: so no write to its file has failed
/// before it.
struct Unsynced {
    file: Arc<dyn DiskFile>,
    written: u64,
    bytes: usize,
}

/// When a sync is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Due {
    /// There is nothing to sync, or somebody is at it.
    Never,
    /// At once.
    Now,
    /// Then, unless more waits for it before.
    Then(Instant),
}

impl Due {
    fn then(self) -> Option<Instant> {
        match self {
            Self::Then(then) => Some(then),
            Self::Never | Self::Now => None,
        }
    }
}

/// Runs until the log is closed.
pub(crate) fn run(shared: &Shared) {
    let mut frames = Vec::new();
    let mut has_written = false;
    loop {
        let step = next(shared, has_written);
        has_written = matches!(step, Step::Write(_));
        match step {
            Step::Mend => mend(shared),
            Step::Rotate => rotate(shared),
            Step::Stop => return,
            Step::Sync(unsynced) => sync(shared, &unsynced),
            Step::Write(group) => write(shared, &group, &mut frames),
        }
    }
}

fn next(shared: &Shared, mut has_written: bool) -> Step {
    let heartbeat = Duration::from_millis(shared.options.heartbeat_ms);
    let mut state = shared.lock();
    loop {
        state.crew_called = false;
        if state.has_ended() {
            return Step::Stop;
        }
        let now = Instant::now();
        let due = due(&mut state, now);
        // Who comes from a write syncs first: where entries never end, nothing would ever become durable.
        let sync_first = has_written && due == Due::Now;
        // What is queued goes along with a sync.
        let put_off = due != Due::Now && state.is_write_put_off(now);
        if !sync_first && let Some(step) = to_write(shared, &mut state, put_off) {
            state.tail.writing = true;
            return step;
        }
        if due == Due::Now {
            state.tail.syncing = true;
            state.tail.sync_at = None;
            let unsynced = Unsynced {
                file: state.tail.file.clone(),
                written: state.tail.written,
                bytes: state.tail.unsynced.len(),
            };
            // The other may write meanwhile.
            let is_wanted = !state.queue.is_empty() && state.calls_crew();
            drop(state);
            if is_wanted {
                shared.wake.crew.ring_one();
            }
            return Step::Sync(unsynced);
        }
        has_written = false;
        let write_at = state.tail.write_at.filter(|_| put_off);
        let then = [due.then(), write_at].into_iter().flatten().min();
        state = match then {
            // One of the two minds the time.
            Some(then) if state.tail.minded.is_none_or(|minded| minded > then) => {
                state.tail.minded = Some(then);
                let left = then.saturating_duration_since(Instant::now());
                let mut state = shared.wake.crew.wait_for(state, left);
                state.tail.minded.take_if(|minded| *minded == then);
                state
            }
            Some(_) | None => shared.wake.crew.wait_for(state, heartbeat),
        };
    }
}

/// What there is to write or to mend, when nobody is at it and it is not put off.
fn to_write(shared: &Shared, state: &mut State, put_off: bool) -> Option<Step> {
    if state.tail.writing {
        return None;
    }
    if state.tail.broken {
        return (!state.tail.syncing).then_some(Step::Mend);
    }
    let (options, now_ms) = (&shared.options, shared.ports.clock.unix_ms());
    if matches!(state.phase, Phase::Open | Phase::Closing) {
        state.add_due(now_ms, options);
    }
    if state.queue.is_empty() && state.phase == Phase::Closing {
        state.add_last(now_ms);
        state.phase = Phase::Draining;
    }
    if state.queue.is_empty() || put_off {
        return None;
    }
    if state.is_segment_full(options) {
        // The next segment begins when the last one is durable to its end.
        return (state.tail.written == state.tail.durable).then_some(Step::Rotate);
    }
    let group = state.may_write(options).then(|| state.next_group());
    group.flatten().map(Step::Write)
}

/// When what is written is to be synced.
///
/// A sync costs the processor about what a tenth of a call does, and more where the disk is a virtual machine's. So
/// where many calls are on the road, it waits for a part of them: they arrive within that part of the time a call
/// takes, or it goes without them.
fn due(state: &mut State, now: Instant) -> Due {
    if state.tail.syncing || state.tail.broken || !state.is_behind() {
        return Due::Never;
    }
    let longest = if !state.is_sync_awaited() {
        LINGER
    } else if state.phase != Phase::Open || state.has_company(0) {
        return Due::Now;
    } else {
        state.patience()
    };
    let then = (now + longest).min(state.tail.sync_at.unwrap_or(now + longest));
    state.tail.sync_at = Some(then);
    if then <= now { Due::Now } else { Due::Then(then) }
}

fn sync(shared: &Shared, unsynced: &Unsynced) {
    let synced = unsynced.file.sync();
    let now_ms = shared.ports.clock.unix_ms();
    let mut state = shared.lock();
    state.tail.syncing = false;
    let mut answers = Vec::new();
    match synced {
        // A write to the file failed meanwhile: whoever mends it makes all of this durable anew.
        Ok(()) if state.tail.broken => {}
        Ok(()) => answers = state.synced(unsynced.written, unsynced.bytes),
        Err(error) => state.failed(&error.to_string(), now_ms),
    }
    shared.report(&state);
    let publish = state.wants_publisher(&shared.options);
    drop(state);
    // Without the lock: whoever is told may be back with the next entry at once.
    for answer in answers {
        answer.tell();
    }
    if publish {
        shared.wake.publisher.ring();
    }
}
