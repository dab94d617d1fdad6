//! The syncer: makes written frames durable, as many at once as there are. It is a thread of its own, so
//! that entries which only need to be written never wait for a sync that runs.

use std::{sync::PoisonError, time::Duration};

use super::shared::Shared;

/// How long frames that nobody waits for may stay undurable, in the hope of company.
const LINGER: Duration = Duration::from_millis(20);

/// Runs until the log is closed.
pub(crate) fn run(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        let behind = state.tail.durable < state.tail.written;
        if state.has_ended() {
            return;
        }
        if !behind || state.tail.broken {
            state = shared
                .wake
                .syncer
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        if !state.is_sync_awaited() {
            let waited = shared.wake.syncer.wait_timeout(state, LINGER);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.tail.broken || state.has_ended() {
                continue;
            }
        }
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
        shared.wake.writer.notify_all();
        shared.wake.publisher.notify_all();
    }
}
