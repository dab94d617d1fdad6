//! Waiting for a place among concurrent calls.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use super::{
    Exceeded, Limit, Limiter, Place, Shared, Usage,
    key::{self, Dimension},
    line::{Lines, Ticket},
};

/// What came of asking for a place.
#[derive(Debug)]
pub enum Taken {
    /// It is there.
    Now(Place),
    /// Others have them all: it is asked for again when this is over, with it in hand. Whoever drops it has given up.
    After(Waiting),
}

/// A call in its principal's line. It is over when a place is kept for it.
#[derive(Debug)]
pub struct Waiting {
    shared: Arc<Shared>,
    key: Box<str>,
    ticket: Ticket,
    /// What it would be told if it waited no longer.
    exceeded: Exceeded,
}

impl Limiter {
    /// Takes what a call costs, or says what to wait for: where nothing is missing but a place among concurrent
    /// calls, and the limit lets calls wait for one. `waited` is what it has waited for.
    ///
    /// # Errors
    /// As [`Limiter::take`]; and when too many calls of the principal wait already.
    pub fn take_or_wait(
        &self,
        usage: &Usage<'_>,
        waited: Option<Waiting>,
        now_ms: u64,
    ) -> Result<Taken, Exceeded> {
        let called: Vec<Box<str>> = waited.iter().map(|waited| waited.key.clone()).collect();
        let taken = self.take_called(usage, now_ms, &called);
        // The place that was kept is taken, or it is the next one's: not before, or a newcomer took it.
        drop(waited);
        let (exceeded, waits_for) = match taken {
            Ok(place) => return Ok(Taken::Now(place)),
            Err(why) => why,
        };
        let Some((key, most)) = waits_for else {
            return Err(exceeded);
        };
        let principal = key::key("", &[Dimension::Principal], usage);
        let Some(ticket) = self.shared.lines().join(&key, &principal, most) else {
            return Err(exceeded);
        };
        // A place may have become free between the look at it and the line.
        if let Some(limit) = self.shared.counted(usage).ok().and_then(|counted| {
            let own = counted.into_iter().find(|one| one.key == key)?;
            self.shared.limits.get(own.limit)
        }) {
            self.shared.call_next(&key, limit);
        }
        Ok(Taken::After(Waiting {
            shared: Arc::clone(&self.shared),
            key,
            ticket,
            exceeded,
        }))
    }
}

impl Waiting {
    /// What a call is told that waits no longer.
    #[must_use]
    pub fn exceeded(&self) -> &Exceeded {
        &self.exceeded
    }

    /// Over when a place is kept.
    pub fn called(&mut self) -> impl Future<Output = ()> + Send + '_ {
        Called(self)
    }
}

/// See [`Waiting::called`].
struct Called<'w>(&'w Waiting);

impl Future for Called<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waiting = self.0;
        waiting
            .shared
            .lines()
            .poll(&waiting.key, waiting.ticket, context.waker())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.lines().leave(&self.key, self.ticket);
        let shared = Arc::clone(&self.shared);
        // If a place was kept for it that it did not take, it is the next one's.
        let of_key = |limit: &&Limit| limit.queue > 0 && key::is_of(&self.key, &limit.name);
        if let Some(limit) = shared.limits.iter().find(of_key) {
            shared.call_next(&self.key, limit);
        }
    }
}

impl Shared {
    pub(super) fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody waits for places of a key, or has one kept: others come after them.
    pub(super) fn has_line(&self, key: &str) -> bool {
        self.lines().is_formed(key)
    }

    /// Calls as many as there are free places.
    pub(super) fn call_next(&self, key: &str, limit: &Limit) {
        let Some(most) = limit.concurrency else { return };
        let Some(shard) = self.shards.get(key::spread(key, self.shards.len())) else {
            return;
        };
        let mut woken = Vec::new();
        let mut shard = super::locked(shard);
        let under_way = shard.known(key).map_or(0, |meter| meter.in_flight);
        let mut lines = self.lines();
        loop {
            let kept = u32::try_from(lines.kept(key)).unwrap_or(u32::MAX);
            if under_way.saturating_add(kept) >= most {
                break;
            }
            let Some(waker) = lines.call(key) else { break };
            woken.extend(waker);
        }
        drop(lines);
        drop(shard);
        woken.into_iter().for_each(std::task::Waker::wake);
    }
}
