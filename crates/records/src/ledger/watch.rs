//! The watch: whoever waits for the disk is answered in time, whatever the disk does.
//!
//! It reads no clock: it counts its own ticks, so that a clock that is set changes nothing.

use std::{thread, time::Duration};

use super::shared::Shared;

/// Ticks in the time within which everybody is answered.
const TICKS: u64 = 20;

/// Runs until the log is closed.
pub(crate) fn run(shared: &Shared) {
    let tick = Duration::from_millis((shared.options.answer_within_ms / TICKS).max(1));
    loop {
        let mut state = shared.lock();
        while !state.is_awaited() {
            if state.has_ended() {
                return;
            }
            state = shared.wake.watch.wait(state);
        }
        drop(state);
        thread::sleep(tick);
        // One tick less than the bound, because an entry may come in just before a tick.
        let now_ms = shared.ports.clock.unix_ms();
        let mut state = shared.lock();
        state.expire(TICKS - 1, now_ms);
        // Clearing the trouble is the affair of whoever finds the disk at work again.
        if state.has_ended() {
            return;
        }
    }
}
