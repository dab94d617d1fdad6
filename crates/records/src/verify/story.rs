//! Whether the entries tell a whole story: each intent one ending, no silence without an account, epochs
//! in order.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::report::{Fault, Problem, Report};
use crate::ledger::{
    DISORDER_MS,
    entry::{Entry, Kind, rfc3339},
};

/// Endings remembered, to find a second one.
const ENDED_MAX: usize = 1_000_000;

/// A heartbeat's interval when the opening does not say.
const HEARTBEAT_MS: u64 = 60_000;

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    open: BTreeMap<String, u64>,
    ended: HashSet<String>,
    ended_order: VecDeque<String>,
    epoch: Option<u64>,
    opened_at: u64,
    heartbeat_ms: u64,
    closed: bool,
    /// The latest time seen.
    latest_ms: u64,
    /// Times below are out of order.
    floor_ms: u64,
    backwards: u64,
}

impl Story {
    /// Takes in the next entry.
    pub(super) fn tell(&mut self, index: u64, bytes: &[u8], report: &mut Report) {
        let entry = match Entry::read(bytes) {
            Ok(entry) => entry,
            Err(error) => {
                return report.add(Problem::new(Fault::EntryUnreadable, &error.to_string()).index(index));
            }
        };
        *report.kinds.entry(entry.kind).or_default() += 1;
        let is_opening = entry.kind == Kind::Shard && entry.code.as_deref() == Some("open");
        if is_opening {
            self.opens(index, &entry, report);
        } else {
            self.passes(index, &entry, report);
        }
        self.closed = entry.kind == Kind::Shard && entry.code.as_deref() == Some("close");
        if let Some(call) = &entry.call {
            self.call(index, call, entry.kind, report);
        }
    }

    fn opens(&mut self, index: u64, entry: &Entry, report: &mut Report) {
        let epoch = entry.number("epoch");
        if epoch <= self.epoch {
            let text = "two processes wrote this log at once, or it was put together from two";
            report.add(Problem::new(Fault::Epoch, text).index(index));
        }
        if self.epoch.is_some() && !self.closed {
            report.note(format!(
                "entry {index}: the process before had not closed the log"
            ));
        }
        if entry.time_ms.saturating_add(DISORDER_MS) < self.latest_ms {
            self.goes_back(index, self.latest_ms, entry.time_ms, report);
        }
        if let Some(from) = entry.text("copied_from") {
            report.note(format!(
                "entry {index}: the directory is a copy of the instance {from}"
            ));
        }
        if let Some(bytes) = entry.number("cut_bytes") {
            report.note(format!("entry {index}: {bytes} bytes of a torn write were cut"));
        }
        if entry.text("adopted").is_some() {
            report.note(format!(
                "entry {index}: the operator vouched for a directory without its tail"
            ));
        }
        self.epoch = epoch;
        self.opened_at = index;
        self.heartbeat_ms = entry.number("heartbeat_ms").unwrap_or(HEARTBEAT_MS);
        (self.latest_ms, self.floor_ms) = (entry.time_ms, entry.time_ms);
    }

    /// Time goes on, and never for long without an entry.
    fn passes(&mut self, index: u64, entry: &Entry, report: &mut Report) {
        let latest_ms = self.latest_ms.max(entry.time_ms);
        if entry.kind == Kind::Gap {
            let from_ms = entry.number("from").unwrap_or(entry.time_ms);
            let reason = entry.reason.as_deref().unwrap_or("no reason given");
            report.note(format!(
                "entry {index}: a gap since {} ({reason})",
                rfc3339(from_ms)
            ));
            // Entries that waited through the gap may still come.
            self.floor_ms = self.floor_ms.min(from_ms);
        } else if latest_ms - self.latest_ms > 2 * self.heartbeat_ms + DISORDER_MS {
            let (from, to) = (rfc3339(self.latest_ms), rfc3339(entry.time_ms));
            let text = format!("nothing was recorded from {from} to {to}");
            report.add(Problem::new(Fault::Silence, &text).index(index));
        }
        if entry.time_ms.saturating_add(DISORDER_MS) < self.floor_ms {
            self.goes_back(index, self.floor_ms, entry.time_ms, report);
        }
        self.latest_ms = latest_ms;
        if entry.kind != Kind::Gap {
            self.floor_ms = self.floor_ms.max(entry.time_ms);
        }
    }

    /// Tells of the first time, and counts the others.
    fn goes_back(&mut self, index: u64, from_ms: u64, to_ms: u64, report: &mut Report) {
        self.backwards += 1;
        if self.backwards == 1 {
            let (from, to) = (rfc3339(from_ms), rfc3339(to_ms));
            report.note(format!(
                "entry {index}: the clock goes back, from {from} to {to}; check what sets it, and go by the order of \
                 entries, not by their times"
            ));
        }
    }

    fn call(&mut self, index: u64, call: &str, kind: Kind, report: &mut Report) {
        if kind == Kind::Intent {
            if self.open.insert(call.to_owned(), index).is_some() || self.ended.contains(call) {
                let text = format!("the call `{call}` was begun twice");
                report.add(Problem::new(Fault::CallBegunTwice, &text).index(index));
            }
            return;
        }
        if !kind.ends_call() {
            return;
        }
        if self.open.remove(call).is_some() {
            self.remember_end(call);
        } else if self.ended.contains(call) {
            let text = format!("the call `{call}` was ended twice");
            report.add(Problem::new(Fault::CallEndedTwice, &text).index(index));
        }
    }

    fn remember_end(&mut self, call: &str) {
        if self.ended_order.len() == ENDED_MAX
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        self.ended.insert(call.to_owned());
        self.ended_order.push_back(call.to_owned());
    }

    /// The log is told. Calls that are still open are wrong, unless the process that began them may still
    /// end them.
    pub(super) fn end(self, report: &mut Report) {
        for (call, index) in self.open {
            if index < self.opened_at || self.closed {
                let text = format!("the call `{call}` was begun and never ended");
                report.add(Problem::new(Fault::CallWithoutEnding, &text).index(index));
            } else {
                report.open_calls += 1;
            }
        }
        if self.backwards > 1 {
            report.note(format!("the clock goes back at {} entries", self.backwards));
        }
    }
}
