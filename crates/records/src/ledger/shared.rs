//! What the threads of a ledger hold together: the state, its lock, and the ways to wake each other.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{
    layout::Layout,
    options::{Options, Ports, Unavailable},
    state::{Start, State},
};

/// The state, and the ways to wake those who wait for it to change.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) wake: Wake,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) options: Options,
    pub(crate) ports: Ports,
    pub(crate) layout: Layout,
}

/// One place to wait at for each thread, or for those that do the same, one for whoever mends, and one for whoever
/// closes.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pub(crate) crew: Bell,
    pub(crate) mender: Bell,
    pub(crate) publisher: Bell,
    pub(crate) watch: Bell,
    pub(crate) closer: Bell,
}

/// A place to sleep at. To ring where nobody sleeps costs nothing: a condition variable alone makes a system
/// call of each time it is told, and calls are told of several times each.
///
/// INVARIANT (heard): who rings has changed the state under its lock before. Whoever sleeps then was counted
/// under the same lock, and whoever does not yet will see the change.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    sleepers: AtomicUsize,
    condition: Condvar,
}

impl Bell {
    /// Sleeps until somebody rings, or for no reason.
    pub(crate) fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        let state = self.condition.wait(state);
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, but no longer than this.
    pub(crate) fn wait_for<'s>(
        &self,
        state: MutexGuard<'s, State>,
        longest: Duration,
    ) -> MutexGuard<'s, State> {
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        let waited = self.condition.wait_timeout(state, longest);
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Wakes one of those who sleep here, where any of them can do what is to be done.
    pub(crate) fn ring_one(&self) {
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            self.condition.notify_one();
        }
    }

    /// Wakes whoever sleeps here. Best without the lock, which they need first of all.
    pub(crate) fn ring(&self) {
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            self.condition.notify_all();
        }
    }
}

/// How far the log has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Entries that survive loss of power.
    pub durable: u64,
    /// Entries that a signed checkpoint covers.
    pub published: u64,
    /// Whether nothing will come any more.
    pub ended: bool,
    /// Whether what is durable cannot be published now.
    pub stuck: bool,
}

/// Where the life of a ledger stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// It was given up: what is not done stays undone.
    Abandoned,
    /// Everything is written, durable and published.
    Closed,
    /// No more entries from outside; what waits is written.
    Closing,
    /// The last entry is written.
    Draining,
    /// Entries are taken.
    Open,
}

impl Shared {
    pub(crate) fn new(start: Start, options: Options, ports: Ports, layout: Layout) -> Self {
        let now = ports.clock.unix_ms();
        let progress = Progress {
            durable: start.tail.durable,
            published: start.published,
            ended: false,
            stuck: false,
        };
        let state = State::new(start, now);
        Self {
            state: Mutex::new(state),
            wake: Wake::default(),
            progress: watch::Sender::new(progress),
            options,
            ports,
            layout,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No thread panics while it holds the lock; if one did, the state is still what it last reported.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wake_all(&self) {
        let Wake {
            crew,
            mender,
            publisher,
            watch,
            closer,
        } = &self.wake;
        for bell in [crew, mender, publisher, watch, closer] {
            bell.ring();
        }
    }

    /// Gives the log up: what is not done stays undone.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        if !state.has_ended() {
            state.phase = Phase::Abandoned;
            let why = state.trouble.clone().unwrap_or(Unavailable::Closed);
            let now_ms = self.ports.clock.unix_ms();
            state.refuse_all(&why, now_ms);
        }
        self.report(&state);
        drop(state);
        self.wake_all();
    }

    /// Tells readers how far the log has come.
    pub(crate) fn report(&self, state: &State) {
        self.progress.send_replace(Progress {
            durable: state.tail.durable,
            published: state.published,
            ended: state.has_ended(),
            stuck: state.publish_trouble.is_some(),
        });
    }
}
