//! What the threads of a ledger share, and every change of it.
//!
//! Threads: the *crew* of two puts frames into the segment and makes them durable, the *publisher* cuts tiles
//! and signs checkpoints, the *watch* answers those who wait too long. Each does its disk work
//! without the lock and reports here what came of it, so a disk that hangs never holds the lock.
//!
//! INVARIANT (durable): `durable` grows only after a sync succeeded that began after the frames were
//! written, on a file to which no write or sync has failed since it was opened.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    entry::{Encoded, Entry, Kind},
    options::{Options, Unavailable},
    queue::{Accepted, Calls, Job, Queue, Receipt, Want},
    recent::Recent,
    shared::Phase,
};
use crate::{disk::DiskFile, keys::LogKeys};

/// Entries and bytes of one write.
const GROUP_ENTRIES_MAX: usize = 1_024;
const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that may be written and not yet durable.
const UNSYNCED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Calls on the road from which on a sync is put off. With fewer, company does not come in time.
const MANY_CALLS: usize = 16;

/// How long a sync that somebody waits for may be put off where [`MANY_CALLS`] are on the road, and the longest where
/// there are more.
const COMPANY: Duration = Duration::from_millis(1);
const COMPANY_MAX: Duration = Duration::from_millis(6);

/// How long writing may be put off where [`MANY_CALLS`] are on the road and the last write found company, and the longest
/// where there are more.
const SHORTLY: Duration = Duration::from_micros(500);
const SHORTLY_MAX: Duration = Duration::from_millis(2);

/// A write or a sync is worth its price when one in so many of the calls on the road waits for it.
const ONE_IN: usize = 4;

/// A mark (heartbeat) after so many entries, so that recovery never reads further back.
const MARK_ENTRIES: u64 = 16_384;

/// How far times may be out of order, in milliseconds.
pub(crate) const DISORDER_MS: u64 = 2_000;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) keys: Arc<LogKeys>,
    /// Those that sign once the entry of this index, which announces them, is published.
    next_keys: Option<(u64, Arc<LogKeys>)>,
    pub(crate) epoch: u64,
    pub(crate) queue: Queue,
    pub(crate) calls: Calls,
    pub(crate) recent: Recent,
    /// Jobs whose frames are being written.
    in_flight: Vec<Job>,
    /// Jobs whose frames are written and shall be durable, with their indices.
    waiting: VecDeque<(u64, Job)>,
    /// How many waited for the last sync.
    last_company: usize,
    /// How many the last write took along.
    last_group: usize,
    /// Why appends are refused at once.
    pub(crate) trouble: Option<Unavailable>,
    gap: Option<Gap>,
    gap_queued: bool,
    pub(crate) tail: Tail,
    /// One of the crew was woken and has not yet looked what there is to do.
    pub(crate) crew_called: bool,
    /// The next segment lies ready.
    pub(crate) spare: bool,
    /// Entries that no checkpoint covers yet, oldest first.
    pub(crate) fresh: VecDeque<Arc<Encoded>>,
    fresh_bytes: usize,
    pub(crate) published: u64,
    /// First indices of the segments, oldest first.
    pub(crate) segments: VecDeque<u64>,
    /// Somebody waits for a checkpoint over so many entries.
    pub(crate) publish_wanted: u64,
    /// The publisher has nothing to do, and no time at which it looks again.
    pub(crate) publisher_idles: bool,
    /// Why tiles or checkpoints cannot be written, if they cannot.
    pub(crate) publish_trouble: Option<String>,
    pub(crate) tick: u64,
    last_ms: u64,
    marked_ms: u64,
    marked_at: u64,
    refused: u64,
}

/// The end of the write-ahead log.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) file: Arc<dyn DiskFile>,
    /// First index of the segment.
    pub(crate) first: u64,
    /// Bytes of the segment that are written.
    pub(crate) offset: u64,
    /// Bytes of the segment that are there already, as zeros or written.
    pub(crate) room: u64,
    /// Entries written.
    pub(crate) written: u64,
    /// Entries durable.
    pub(crate) durable: u64,
    /// The bytes between, for writing them again.
    pub(crate) unsynced: Vec<u8>,
    /// A write or a sync failed; the file must be opened anew and mended.
    pub(crate) broken: bool,
    /// One of the crew writes, begins a segment or mends it.
    pub(crate) writing: bool,
    /// One of the crew syncs.
    pub(crate) syncing: bool,
    /// When what is written is synced at the latest, while that is put off.
    pub(crate) sync_at: Option<Instant>,
    /// When what is queued is written at the latest, while that is put off.
    pub(crate) write_at: Option<Instant>,
    /// One of the crew sleeps until then, and no longer.
    pub(crate) minded: Option<Instant>,
    /// Failures since the last success.
    pub(crate) strikes: u32,
}

impl Tail {
    /// The end of a log of so many entries, all of them durable, whose newest segment has none yet.
    pub(crate) fn new(file: Arc<dyn DiskFile>, size: u64, offset: u64, room: u64) -> Self {
        Self {
            file,
            first: size,
            offset,
            room,
            written: size,
            durable: size,
            unsynced: Vec::new(),
            broken: false,
            writing: false,
            syncing: false,
            sync_at: None,
            write_at: None,
            minded: None,
            strikes: 0,
        }
    }
}

/// A time in which entries could not be taken.
#[derive(Debug)]
struct Gap {
    from_ms: u64,
    cause: String,
    refused: u64,
}

/// A group of entries for one write.
pub(crate) struct Group {
    pub(crate) entries: Vec<Arc<Encoded>>,
    pub(crate) first: u64,
    pub(crate) durable: u64,
    pub(crate) keys: Arc<LogKeys>,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) offset: u64,
}

/// A job whose entry stands in the log as its caller wants it, and where.
#[derive(Debug)]
pub(crate) struct Good(u64, Job);

impl Good {
    /// Answers its caller.
    pub(crate) fn tell(self) {
        let Self(index, mut job) = self;
        let leaf_hash = *job.entry.leaf();
        job.answer(Ok(Receipt { index, leaf_hash }));
    }
}

/// What the log is like at its opening.
pub(crate) struct Start {
    pub(crate) keys: Arc<LogKeys>,
    pub(crate) epoch: u64,
    pub(crate) tail: Tail,
    pub(crate) fresh: Vec<Arc<Encoded>>,
    pub(crate) published: u64,
    pub(crate) segments: Vec<u64>,
}

impl State {
    pub(crate) fn new(start: Start, now: u64) -> Self {
        Self {
            phase: Phase::Open,
            keys: start.keys,
            next_keys: None,
            epoch: start.epoch,
            queue: Queue::default(),
            calls: Calls::default(),
            recent: Recent::default(),
            in_flight: Vec::new(),
            waiting: VecDeque::new(),
            last_company: 0,
            last_group: 0,
            trouble: None,
            gap: None,
            gap_queued: false,
            marked_at: start.tail.written,
            tail: start.tail,
            crew_called: false,
            spare: false,
            fresh_bytes: start.fresh.iter().map(|entry| entry.bytes().len()).sum(),
            fresh: start.fresh.into(),
            published: start.published,
            segments: start.segments.into(),
            publish_wanted: 0,
            publisher_idles: false,
            publish_trouble: None,
            tick: 0,
            last_ms: now,
            marked_ms: now,
            refused: 0,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Abandoned | Phase::Closed)
    }

    /// Takes an entry in, or answers it at once.
    pub(crate) fn accept(&mut self, mut job: Job, now_ms: u64, options: &Options) {
        if !matches!(self.phase, Phase::Open | Phase::Closing) {
            return job.answer(Err(Unavailable::Closed));
        }
        let closing = (self.phase == Phase::Closing).then_some(Unavailable::Closed);
        let trouble = self.trouble.as_ref().or(closing.as_ref());
        match self
            .queue
            .accept(job, &mut self.calls, self.tick, trouble, options)
        {
            Accepted::Queued => {}
            Accepted::Lost => self.gap(now_ms, "too many entries waited").refused += 1,
            Accepted::Refused => {
                self.refused += 1;
                if let Some(gap) = &mut self.gap {
                    gap.refused += 1;
                }
            }
        }
    }

    /// Appends refused since the ledger was opened.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether somebody waits for an answer.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty() || self.in_flight.iter().any(Job::is_awaited) || self.queue.is_awaited()
    }

    /// Whether somebody waits for a sync, or the log is to be closed.
    pub(crate) fn is_sync_awaited(&self) -> bool {
        !self.waiting.is_empty() || self.phase != Phase::Open
    }

    /// Whether something is written and not yet durable.
    pub(crate) fn is_behind(&self) -> bool {
        self.tail.durable < self.tail.written
    }

    /// Whether one of the crew has to be woken for what is queued, which is then noted: whoever writes, or was
    /// woken before, will look into the queue anyway. So will whoever sleeps no longer than writing is put off.
    pub(crate) fn calls_crew(&mut self) -> bool {
        let Tail { write_at, minded, .. } = self.tail;
        let is_minded = minded.zip(write_at).is_some_and(|(minded, then)| minded <= then);
        let will_look = is_minded || self.tail.writing || self.crew_called;
        self.crew_called |= !is_minded;
        !will_look
    }

    /// Puts writing off, now that one more is queued who wants this; or not any more.
    ///
    /// One entry costs as much to write as a dozen: a call of the system, and waking who makes it. But where calls wait
    /// for slow servers few entries come, and the one that does is not kept waiting. What is to be durable need not be
    /// written before the sync it goes with, where that is put off, too.
    pub(crate) fn put_off_write(&mut self, want: Want, now: Instant) {
        let is_alone = self.last_group < 2 || self.queue.is_empty();
        let is_due = is_alone || self.phase != Phase::Open || self.has_company(self.queue.len());
        let with_sync = self
            .tail
            .sync_at
            .filter(|_| want == Want::Durable && !self.waiting.is_empty());
        let then = with_sync.unwrap_or(now + (SHORTLY * self.crowds()).min(SHORTLY_MAX));
        let then = self.tail.write_at.map_or(then, |before| before.min(then));
        self.tail.write_at = (!is_due).then_some(then);
    }

    /// Whether writing what is queued is put off beyond now.
    pub(crate) fn is_write_put_off(&self, now: Instant) -> bool {
        self.phase == Phase::Open && self.tail.write_at.is_some_and(|then| then > now)
    }

    /// Whether enough wait for a write or a sync, with so many who are yet to be written: a part of the calls on the
    /// road, where those are many. Whom a sync that runs will answer waits for no other.
    pub(crate) fn has_company(&self, queued: usize) -> bool {
        let calls = self.calls.count();
        let waiting = if self.tail.syncing { 0 } else { self.waiting.len() };
        calls < MANY_CALLS || waiting + queued >= calls / ONE_IN
    }

    /// How many times [`MANY_CALLS`] are on the road, and at least one.
    fn crowds(&self) -> u32 {
        u32::try_from(self.calls.count() / MANY_CALLS)
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// How long a sync that somebody waits for may be put off, in the hope of company.
    ///
    /// The more calls are on the road, the longer each takes in any case. But where most wait for slow servers few
    /// come: then the last sync found far fewer than it is worth its price for, and the next does not hope for long.
    pub(crate) fn patience(&self) -> Duration {
        let hope = u32::try_from(self.last_company * ONE_IN / MANY_CALLS).unwrap_or(u32::MAX);
        (COMPANY * hope.clamp(1, self.crowds())).min(COMPANY_MAX)
    }

    /// Whether the end of a sync is news to the publisher: the first that is new, or enough for a checkpoint. In
    /// between it waits for its time.
    pub(crate) fn wants_publisher(&self, options: &Options) -> bool {
        let new = self.tail.durable.saturating_sub(self.published);
        let first = self.publisher_idles && new > 0;
        first || new >= options.checkpoint_entries || self.is_crowded(options) || self.phase != Phase::Open
    }

    /// Whether what has no tiles takes half of its room: beyond all of it nothing is written, so the publisher does not
    /// wait for its time or for enough entries.
    pub(crate) fn is_crowded(&self, options: &Options) -> bool {
        self.fresh_bytes > options.unpublished_bytes_max / 2
    }

    /// Whether the last entry is written and durable.
    pub(crate) fn is_drained(&self) -> bool {
        let idle = self.queue.is_empty() && self.in_flight.is_empty();
        idle && self.phase == Phase::Draining && self.tail.durable == self.tail.written
    }

    /// Adds the ledger's own entries that are due: a heartbeat, or an account of a gap.
    pub(crate) fn add_due(&mut self, now_ms: u64, options: &Options) {
        let silent = now_ms.saturating_sub(self.last_ms) > 2 * options.heartbeat_ms;
        if silent && self.gap.is_none() {
            let from_ms = self.last_ms;
            self.gap(from_ms, "the process did not run, or could not write");
        }
        let back_ms = set_back(self.last_ms, now_ms);
        if back_ms > 0 {
            self.last_ms = now_ms;
            self.gap(now_ms, &format!("the clock was set back by {back_ms} ms"));
        }
        // The writer is at work, so whoever found the disk slow waited for a sync or for tiles.
        let flows = !self.tail.syncing && self.may_write(options);
        self.trouble
            .take_if(|trouble| flows && *trouble == Unavailable::Slow);
        if !self.gap_queued && self.trouble != Some(Unavailable::Slow) {
            self.account_for_gap(now_ms);
        }
        // A clock that was set back must not silence the heartbeat until it has caught up.
        self.marked_ms = self.marked_ms.min(now_ms);
        let many = self.tail.written.saturating_sub(self.marked_at) >= MARK_ENTRIES;
        if many || now_ms - self.marked_ms >= options.heartbeat_ms {
            (self.marked_ms, self.marked_at) = (now_ms, self.tail.written);
            let entry = self.mark(Entry::new(now_ms, Kind::Heartbeat));
            self.queue.push_own(&entry);
        }
    }

    /// Queues the account of the gap, if there was one.
    fn account_for_gap(&mut self, now_ms: u64) {
        let Some(gap) = self.gap.take() else {
            return;
        };
        let mut entry = Entry::new(now_ms, Kind::Gap)
            .with("from", gap.from_ms)
            .with("refused", gap.refused);
        for (kind, count) in self.queue.take_lost() {
            entry = entry.with(&format!("lost_{}", kind.as_str()), count);
        }
        entry.reason = Some(gap.cause);
        self.queue.push_own_first(&entry);
        self.gap_queued = true;
    }

    /// An entry that tells recovery the epoch and how far back it must look for open calls.
    pub(crate) fn mark(&self, entry: Entry) -> Entry {
        let (open, oldest) = self.calls.open();
        let entry = entry
            .with("epoch", self.epoch)
            .with("open", u64::try_from(open).unwrap_or(u64::MAX));
        match oldest {
            Some(index) => entry.with("open_from", index),
            None => entry,
        }
    }

    /// Whether more may be written: what is not durable and what has no tiles is bounded.
    pub(crate) fn may_write(&self, options: &Options) -> bool {
        self.tail.unsynced.len() <= UNSYNCED_BYTES_MAX && self.fresh_bytes <= options.unpublished_bytes_max
    }

    /// Whether the next segment should be made ready: most of this one is used.
    pub(crate) fn wants_spare(&self, options: &Options) -> bool {
        options.room_bytes > 0 && !self.spare && self.tail.offset > self.tail.room / 2
    }

    /// Whether the segment should end: it is long, or has no room left and another has.
    pub(crate) fn is_segment_full(&self, options: &Options) -> bool {
        let room = if self.spare { self.tail.room } else { u64::MAX };
        self.tail.offset >= options.segment_bytes.min(room)
    }

    /// The next group, if anything waits.
    pub(crate) fn next_group(&mut self) -> Option<Group> {
        self.in_flight = self.queue.take(GROUP_ENTRIES_MAX, GROUP_BYTES_MAX);
        self.last_group = self.in_flight.len();
        self.tail.write_at = None;
        (!self.in_flight.is_empty()).then(|| Group {
            entries: self.in_flight.iter().map(|job| job.entry.clone()).collect(),
            first: self.tail.written,
            durable: self.tail.durable,
            keys: self.keys.clone(),
            file: self.tail.file.clone(),
            offset: self.tail.offset,
        })
    }

    /// The frames of the group in flight are written. Gives whom to tell, when the lock is free.
    pub(crate) fn written(&mut self, frames: &[u8], now_ms: u64) -> Vec<Good> {
        let tail = &mut self.tail;
        tail.offset += u64::try_from(frames.len()).unwrap_or(u64::MAX);
        tail.unsynced.extend_from_slice(frames);
        tail.strikes = 0;
        self.last_ms = now_ms;
        if !tail.syncing {
            self.trouble = None;
        }
        let mut answers = Vec::new();
        for job in std::mem::take(&mut self.in_flight) {
            let index = self.tail.written;
            self.tail.written += 1;
            self.fresh_bytes += job.entry.bytes().len();
            self.fresh.push_back(job.entry.clone());
            self.note(&job, index);
            match job.want {
                Want::Durable if job.is_awaited() => self.waiting.push_back((index, job)),
                Want::Durable | Want::Soon | Want::Written => answers.push(Good(index, job)),
            }
        }
        answers
    }

    fn note(&mut self, job: &Job, index: u64) {
        self.gap_queued &= job.kind != Kind::Gap;
        let Some(call) = &job.call else {
            return;
        };
        self.recent.note(index, call);
        if job.kind == Kind::Intent {
            self.calls.intent_at(call.clone(), index);
        } else if job.kind.ends_call() {
            self.calls.ended(call);
        }
    }

    /// The group in flight could not be written.
    pub(crate) fn write_failed(&mut self, cause: &str, now_ms: u64) {
        self.queue.put_back(std::mem::take(&mut self.in_flight));
        self.failed(cause, now_ms);
    }

    /// A sync or a mending failed. What is in flight is the writer's affair.
    pub(crate) fn failed(&mut self, cause: &str, now_ms: u64) {
        self.tail.broken = true;
        self.tail.strikes += 1;
        // The first failure is mended at once and tried again before anybody hears of it.
        if self.tail.strikes > 1 {
            self.refuse_all(&Unavailable::Disk(cause.to_owned()), now_ms);
        }
    }

    /// Answers everybody who waits.
    pub(crate) fn refuse_all(&mut self, why: &Unavailable, now_ms: u64) {
        let mut told = self.queue.refuse_all(why, &mut self.calls);
        for (_, mut job) in self.waiting.drain(..) {
            told += 1;
            job.answer(Err(why.clone()));
        }
        self.told(told, why, now_ms);
        self.trouble = Some(why.clone());
    }

    /// A sync that began when `written` entries were written has succeeded. Gives whom to tell, when the lock is free.
    pub(crate) fn synced(&mut self, written: u64, bytes: usize) -> Vec<Good> {
        let tail = &mut self.tail;
        tail.durable = written;
        tail.unsynced.drain(..bytes.min(tail.unsynced.len()));
        self.trouble.take_if(|trouble| *trouble == Unavailable::Slow);
        let mut answers = Vec::new();
        while let Some((index, job)) = self.waiting.pop_front_if(|(index, _)| *index < written) {
            answers.push(Good(index, job));
        }
        self.last_company = answers.len();
        answers
    }

    /// The segment was opened anew and holds all that was written, durably.
    pub(crate) fn mended(&mut self, file: Arc<dyn DiskFile>) -> Vec<Good> {
        self.tail.file = file;
        // It was cut to what is written, and grows from now on.
        self.tail.room = 0;
        self.tail.broken = false;
        self.synced(self.tail.written, usize::MAX)
    }

    /// A tick of the watch: answers those who have waited too long.
    pub(crate) fn expire(&mut self, ticks_max: u64, now_ms: u64) {
        self.tick += 1;
        let tick = self.tick;
        let mut late = self.queue.expire(tick, ticks_max, &mut self.calls);
        for job in &mut self.in_flight {
            late += u64::from(job.expire(tick, ticks_max));
        }
        self.waiting.retain_mut(|(_, job)| {
            let is_late = job.expire(tick, ticks_max);
            late += u64::from(is_late);
            !is_late
        });
        if late > 0 {
            self.told(late, &Unavailable::Slow, now_ms);
            self.trouble.get_or_insert(Unavailable::Slow);
        }
    }

    /// So many callers were told that their entry could not be recorded.
    fn told(&mut self, callers: u64, why: &Unavailable, now_ms: u64) {
        self.refused += callers;
        self.gap(now_ms, &why.to_string()).refused += callers;
    }

    /// A checkpoint covers so many entries.
    pub(crate) fn covered(&mut self, size: u64) {
        while self.published < size {
            let Some(entry) = self.fresh.pop_front() else {
                break;
            };
            self.fresh_bytes = self.fresh_bytes.saturating_sub(entry.bytes().len());
            self.published += 1;
        }
        let published = self.published;
        if let Some((_, keys)) = self.next_keys.take_if(|(index, _)| *index < published) {
            self.keys = keys;
        }
    }

    /// These sign after the entry of this index, which a checkpoint of the old ones has to cover first.
    pub(crate) fn sign_next(&mut self, index: u64, keys: LogKeys) {
        self.next_keys = Some((index, Arc::new(keys)));
        self.covered(self.published);
    }

    /// The account of the gap that is open now.
    fn gap(&mut self, from_ms: u64, cause: &str) -> &mut Gap {
        self.gap.get_or_insert_with(|| Gap {
            from_ms,
            cause: cause.to_owned(),
            refused: 0,
        })
    }

    /// Ends what is still open, before the log is closed.
    pub(crate) fn add_last(&mut self, now_ms: u64) {
        for call in self.calls.drain_unended() {
            let reason = "the gateway was stopped before the outcome was recorded";
            self.queue.push_own(&unknown_outcome(now_ms, &call, reason));
        }
        let entry = Entry {
            code: Some("close".to_owned()),
            ..Entry::new(now_ms, Kind::Shard)
        };
        self.queue.push_own(&entry.with("epoch", self.epoch));
    }
}

/// By how much a clock is behind what it said before, where that is more than entries are out of order anyway: they are
/// stamped before they queue.
pub(crate) fn set_back(before_ms: u64, now_ms: u64) -> u64 {
    let back_ms = before_ms.saturating_sub(now_ms);
    if back_ms > DISORDER_MS { back_ms } else { 0 }
}

/// The ending the ledger writes for a call that nobody ended.
pub(crate) fn unknown_outcome(now_ms: u64, call: &str, reason: &str) -> Entry {
    Entry {
        call: Some(call.to_owned()),
        code: Some("outcome-unknown".to_owned()),
        reason: Some(reason.to_owned()),
        ..Entry::new(now_ms, Kind::Outcome)
    }
}
