//! Where calls wait for a place among concurrent ones: a line for each principal, and places go round the principals,
//! so that nobody's calls wait behind all of somebody else's.
//!
//! It knows no clock and no runtime: a caller that waits is woken by its [`Waker`], and gives up when it wants to.
//!
//! INVARIANT (no place is lost): a call that is called has a place kept for it until it takes it or is dropped, and
//! then the next one is called. So calls wait only while as many are under way, or called, as the limit lets.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    task::{Poll, Waker},
};

/// Calls that wait for one key in all.
const LINE_MAX: usize = 4_096;

/// A call that waits.
pub(super) type Ticket = u64;

/// All lines, by the key of the limit.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<Box<str>, Line>,
    next: Ticket,
}

/// Those who wait for places of one key.
#[derive(Debug, Default)]
struct Line {
    /// Whose turn it is, in order; each principal that has a call waiting stands here once.
    turns: VecDeque<Box<str>>,
    waiting: BTreeMap<Box<str>, VecDeque<Ticket>>,
    wakers: HashMap<Ticket, Waker>,
    /// Places are kept for these.
    called: HashSet<Ticket>,
    count: usize,
}

impl Lines {
    /// Whether a newcomer has to wait, too: somebody waits, or has a place kept.
    pub(super) fn is_formed(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }

    /// Places that are kept for calls that were called.
    pub(super) fn kept(&self, key: &str) -> usize {
        self.lines.get(key).map_or(0, |line| line.called.len())
    }

    /// Joins a principal's line, if there is room in it.
    pub(super) fn join(&mut self, key: &str, principal: &str, most: usize) -> Option<Ticket> {
        let line = self.lines.entry(key.into()).or_default();
        let waits = line.waiting.get(principal).map_or(0, VecDeque::len);
        if waits >= most || line.count >= LINE_MAX {
            self.tidy(key);
            return None;
        }
        let ticket = self.next;
        self.next = self.next.wrapping_add(1);
        if waits == 0 {
            line.turns.push_back(principal.into());
        }
        line.waiting
            .entry(principal.into())
            .or_default()
            .push_back(ticket);
        line.count += 1;
        Some(ticket)
    }

    /// Keeps a place for the next call, and says whom to wake.
    pub(super) fn call(&mut self, key: &str) -> Option<Option<Waker>> {
        let line = self.lines.get_mut(key)?;
        let principal = line.turns.pop_front()?;
        let own = line.waiting.get_mut(&principal)?;
        let ticket = own.pop_front()?;
        if own.is_empty() {
            line.waiting.remove(&principal);
        } else {
            line.turns.push_back(principal);
        }
        line.count = line.count.saturating_sub(1);
        line.called.insert(ticket);
        Some(line.wakers.remove(&ticket))
    }

    /// Whether a call was called; if not, whom to wake when it is.
    pub(super) fn poll(&mut self, key: &str, ticket: Ticket, waker: &Waker) -> Poll<()> {
        let Some(line) = self.lines.get_mut(key) else {
            return Poll::Ready(());
        };
        if line.called.contains(&ticket) {
            return Poll::Ready(());
        }
        line.wakers.insert(ticket, waker.clone());
        Poll::Pending
    }

    /// A call waits no more: it has its place, or gave up.
    pub(super) fn leave(&mut self, key: &str, ticket: Ticket) {
        let Some(line) = self.lines.get_mut(key) else {
            return;
        };
        line.wakers.remove(&ticket);
        if !line.called.remove(&ticket) {
            let found = line.waiting.iter_mut().find_map(|(principal, own)| {
                let at = own.iter().position(|one| *one == ticket)?;
                own.remove(at);
                Some((principal.clone(), own.is_empty()))
            });
            if let Some((principal, is_last)) = found {
                line.count = line.count.saturating_sub(1);
                if is_last {
                    line.waiting.remove(&principal);
                    line.turns.retain(|one| *one != principal);
                }
            }
        }
        self.tidy(key);
    }

    fn tidy(&mut self, key: &str) {
        let is_over = |line: &Line| line.count == 0 && line.called.is_empty();
        if self.lines.get(key).is_some_and(is_over) {
            self.lines.remove(key);
        }
    }
}
