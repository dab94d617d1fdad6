//! Entries that wait to be written, and who waits for them.
//!
//! One queue keeps the order in which entries were handed over. Three lanes share it, each with its own
//! bound:
//!
//! * *ordinary*: somebody waits for the answer. Full means [`Unavailable::Full`].
//! * *soon*: nobody waits (a guard that is being dropped). Full means that the entry is counted, and the
//!   counts become an entry themselves as soon as the disk works: it fails, but never silently.
//! * *reserved*: the ending of a call whose intent was accepted. Its place was set aside with the intent,
//!   so it always fits; there are never more of them than calls that run.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::{
    entry::{Encoded, Entry, Kind},
    merkle::Hash,
    options::{Options, Unavailable},
};

/// An entry stands in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// Its place in the log, from 0.
    pub index: u64,
    /// Its hash in the tree.
    pub leaf_hash: Hash,
}

/// The answer to an append, when it comes.
///
/// It comes within [`Options::answer_within_ms`]. Dropping it does not take the entry back.
#[derive(Debug)]
#[must_use = "an append that nobody waits for is `append_soon`"]
pub struct Pending(oneshot::Receiver<Answer>);

type Answer = Result<Receipt, Unavailable>;

impl Pending {
    /// Waits on this thread. Not for async code, which awaits.
    ///
    /// # Errors
    /// When the entry could not be recorded.
    pub fn wait(self) -> Answer {
        self.0.blocking_recv().unwrap_or(Err(Unavailable::Closed))
    }
}

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let answer = Pin::new(&mut self.0).poll(context);
        answer.map(|answer| answer.unwrap_or(Err(Unavailable::Closed)))
    }
}

/// When an append is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Want {
    /// When the entry survives loss of power.
    Durable,
    /// Never.
    Soon,
    /// When the entry survives the end of the process.
    Written,
}

/// One entry on its way to the disk.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) entry: Arc<Encoded>,
    pub(crate) kind: Kind,
    pub(crate) call: Option<Arc<str>>,
    pub(crate) want: Want,
    lane: Lane,
    reply: Option<oneshot::Sender<Answer>>,
    /// The watch's tick at which it was handed over.
    tick: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lane {
    Ordinary,
    Reserved,
    Soon,
}

impl Job {
    /// A job and the answer its caller waits for.
    pub(crate) fn new(entry: &Entry<impl AsRef<str>>, want: Want) -> (Self, Pending) {
        let (reply, pending) = oneshot::channel();
        let waits = want != Want::Soon;
        let job = Self {
            entry: Arc::new(entry.encode()),
            kind: entry.kind,
            call: entry.call.as_ref().map(|call| Arc::from(call.as_ref())),
            want,
            lane: if waits { Lane::Ordinary } else { Lane::Soon },
            reply: waits.then_some(reply),
            tick: 0,
        };
        (job, Pending(pending))
    }

    /// A job of the ledger's own, which always fits.
    pub(crate) fn own(entry: &Entry) -> Self {
        let (mut job, _) = Self::new(entry, Want::Soon);
        job.lane = Lane::Reserved;
        job
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            // Whoever has stopped waiting needs no answer.
            let _ = reply.send(answer);
        }
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.reply.is_some()
    }

    /// Answers with an error if it has waited for so many ticks.
    pub(crate) fn expire(&mut self, tick: u64, ticks_max: u64) -> bool {
        let is_late = self.is_awaited() && tick.saturating_sub(self.tick) >= ticks_max;
        if is_late {
            self.answer(Err(Unavailable::Slow));
        }
        is_late
    }

    fn bytes(&self) -> usize {
        self.entry.bytes().len()
    }
}

/// Calls whose intent was accepted and whose ending is not yet written.
#[derive(Debug, Default)]
pub(crate) struct Calls(HashMap<Arc<str>, Call>);

#[derive(Debug, Default)]
struct Call {
    /// Where the intent stands, once it is written.
    index: Option<u64>,
    /// Whether the ending is on its way.
    ending: bool,
}

impl Calls {
    /// A call that was open when the log was opened, or whose intent has been written.
    pub(crate) fn intent_at(&mut self, call: Arc<str>, index: u64) {
        self.0.entry(call).or_default().index = Some(index);
    }

    pub(crate) fn ended(&mut self, call: &str) {
        self.0.remove(call);
    }

    /// Sets a place aside for the ending.
    fn begin(&mut self, call: Arc<str>) {
        self.0.entry(call).or_default();
    }

    /// Takes the place that was set aside. Each call has one.
    fn take_place(&mut self, call: &str) -> bool {
        let call = self.0.get_mut(call).filter(|call| !call.ending);
        call.map(|call| call.ending = true).is_some()
    }

    /// The intent will not be written after all.
    fn forget(&mut self, call: &str) {
        if self
            .0
            .get(call)
            .is_some_and(|call| call.index.is_none() && !call.ending)
        {
            self.0.remove(call);
        }
    }

    /// How many there are, and where the oldest written intent of theirs stands.
    pub(crate) fn open(&self) -> (usize, Option<u64>) {
        (self.0.len(), self.0.values().filter_map(|call| call.index).min())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The calls that nobody has ended, for the ledger to end.
    pub(crate) fn drain_unended(&mut self) -> Vec<Arc<str>> {
        let unended: Vec<_> = self
            .0
            .extract_if(|_, call| !call.ending)
            .map(|(call, _)| call)
            .collect();
        unended
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    jobs: VecDeque<Job>,
    load: [Load; 3],
    /// Entries for which there was no room and nobody to tell, by kind.
    lost: BTreeMap<Kind, u64>,
}

/// What waits in one lane.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    entries: usize,
    bytes: usize,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Accepted {
    /// There was no room and nobody to tell.
    Lost,
    /// It will be written.
    Queued,
    /// Its caller was told.
    Refused,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.jobs.iter().any(Job::is_awaited)
    }

    /// Takes a job in, or answers it at once. In trouble only what must not be dropped is taken in.
    pub(crate) fn accept(
        &mut self,
        mut job: Job,
        calls: &mut Calls,
        tick: u64,
        trouble: Option<&Unavailable>,
        options: &Options,
    ) -> Accepted {
        job.tick = tick;
        let ends_call = job.kind.ends_call();
        if ends_call && job.call.as_deref().is_some_and(|call| calls.take_place(call)) {
            job.lane = Lane::Reserved;
        }
        let full = (!self.has_room(&job, options)).then_some(Unavailable::Full);
        match (job.lane, trouble.cloned().or(full.clone())) {
            (Lane::Soon, _) if full.is_some() => {
                *self.lost.entry(job.kind).or_default() += 1;
                return Accepted::Lost;
            }
            (Lane::Ordinary, Some(why)) => {
                job.answer(Err(why));
                return Accepted::Refused;
            }
            // The caller is told, the entry is kept.
            (Lane::Reserved, Some(why)) => job.answer(Err(why)),
            (Lane::Ordinary | Lane::Reserved | Lane::Soon, _) => {}
        }
        if let (Kind::Intent, Some(call)) = (job.kind, &job.call) {
            calls.begin(call.clone());
        }
        self.enter(&job);
        self.jobs.push_back(job);
        Accepted::Queued
    }

    /// Takes in a job of the ledger's own.
    pub(crate) fn push_own(&mut self, entry: &Entry) {
        let job = Job::own(entry);
        self.enter(&job);
        self.jobs.push_back(job);
    }

    /// The same, but it will be written before all that waits.
    pub(crate) fn push_own_first(&mut self, entry: &Entry) {
        self.put_back(vec![Job::own(entry)]);
    }

    /// The oldest jobs, so many that they make one write.
    pub(crate) fn take(&mut self, entries_max: usize, bytes_max: usize) -> Vec<Job> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(job) = self.jobs.pop_front_if(|job| {
            bytes += job.bytes();
            taken.len() < entries_max && (bytes <= bytes_max || taken.is_empty())
        }) {
            self.leave(&job);
            taken.push(job);
        }
        taken
    }

    /// Puts jobs back to where they were taken from.
    pub(crate) fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            self.enter(&job);
            self.jobs.push_front(job);
        }
    }

    /// Answers jobs whose time is up. Those that were not yet being written are dropped, but for endings.
    /// Says how many there were.
    pub(crate) fn expire(&mut self, tick: u64, ticks_max: u64, calls: &mut Calls) -> u64 {
        self.drop_if(calls, |job| job.expire(tick, ticks_max))
    }

    /// Answers all jobs. Those that somebody waited for are dropped, but for endings.
    pub(crate) fn refuse_all(&mut self, why: &Unavailable, calls: &mut Calls) -> u64 {
        self.drop_if(calls, |job| {
            let is_awaited = job.is_awaited();
            job.answer(Err(why.clone()));
            is_awaited
        })
    }

    /// What was lost since this was last asked, by kind.
    pub(crate) fn take_lost(&mut self) -> BTreeMap<Kind, u64> {
        std::mem::take(&mut self.lost)
    }

    fn drop_if(&mut self, calls: &mut Calls, mut is_over: impl FnMut(&mut Job) -> bool) -> u64 {
        let mut told = 0;
        for mut job in std::mem::take(&mut self.jobs) {
            let over = is_over(&mut job);
            told += u64::from(over);
            if over && job.lane == Lane::Ordinary {
                self.leave(&job);
                if let (Kind::Intent, Some(call)) = (job.kind, &job.call) {
                    calls.forget(call);
                }
            } else {
                self.jobs.push_back(job);
            }
        }
        told
    }

    fn has_room(&mut self, job: &Job, options: &Options) -> bool {
        let load = self.load(job.lane);
        job.lane == Lane::Reserved
            || load.entries < options.queue_entries_max && load.bytes + job.bytes() <= options.queue_bytes_max
    }

    fn enter(&mut self, job: &Job) {
        let load = self.load(job.lane);
        load.entries += 1;
        load.bytes += job.bytes();
    }

    fn leave(&mut self, job: &Job) {
        let load = self.load(job.lane);
        load.entries = load.entries.saturating_sub(1);
        load.bytes = load.bytes.saturating_sub(job.bytes());
    }

    fn load(&mut self, lane: Lane) -> &mut Load {
        let [ordinary, reserved, soon] = &mut self.load;
        match lane {
            Lane::Ordinary => ordinary,
            Lane::Reserved => reserved,
            Lane::Soon => soon,
        }
    }
}
