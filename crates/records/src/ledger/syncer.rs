//! The syncer: makes written frames durable, as many at once as there are. It is a thread of its own, so
//! that entries which only need to be written never wait for a sync that runs.

use std::time::{Duration, Instant};

use super::shared::Shared;

/// How long frames that nobody waits for may stay undurable, in the hope of company.
const LINGER: Duration = Duration::from_millis(20);

/// Runs until the log is closed.
pub(crate) fn run(shared: &Shared) {
    let mut state = shared.lock();
    let mut linger_until = None;
    loop {
        if state.has_ended() {
            return;
        }
        if !state.is_behind() || state.tail.broken {
            linger_until = None;
            state = shared.wake.syncer.wait(state);
            continue;
        }
        if !state.is_sync_awaited() {
            let now = Instant::now();
            let left = linger_until
                .get_or_insert(now + LINGER)
                .saturating_duration_since(now);
            if !left.is_zero() {
                state = shared.wake.syncer.wait_for(state, left);
                continue;
            }
        }
        linger_until = None;
        let (file, written) = (state.tail.file.clone(), state.tail.written);
        let bytes = state.tail.unsynced.len();
        state.tail.syncing = true;
        drop(state);

        let synced = file.sync();
        let now_ms = shared.ports.clock.unix_ms();
        state = shared.lock();
        state.tail.syncing = false;
        match synced {
            Ok(()) => state.synced(written, bytes),
            Err(error) => state.failed(&error.to_string(), now_ms),
        }
        shared.report(&state);
        let (write, publish) = (state.wants_writer(), state.wants_publisher(&shared.options));
        drop(state);
        if write {
            shared.wake.writer.ring();
        }
        if publish {
            shared.wake.publisher.ring();
        }
        state = shared.lock();
    }
}
