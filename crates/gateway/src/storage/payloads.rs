//! Payloads: arguments and results of calls, kept sealed apart from the ledger where the operator wants them.
//!
//! A call hands its payload to a bounded queue and goes on; a thread seals and stores. What does not fit is not
//! kept, and counted: the ledger says how many. Where configuration says `strict`, a call waits until its payload
//! is durable, and is refused when it cannot be.
//!
//! Each payload is sealed under the keys of all the people it concerns, or the tenant's where it concerns nobody:
//! when one of them is erased, it opens no more. A call that was under way meanwhile keeps nothing about them: it began
//! before ([`Payloads::begin`]), and what is sealed for it is sealed as of then.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
};

use records::{
    keys::Secret,
    table::{Kept, Moment, Owner, Payload, StateError},
};
use tokio::sync::oneshot;

use crate::{
    config::records::MeantPayloads,
    storage::store::{Store, StoreError},
};

/// Payloads that wait at a time.
const WAITING_MAX: usize = 1_024;
/// Their bytes.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of one payload; longer ones are not kept.
const BYTES_MAX: usize = 1024 * 1024;
/// People one payload may concern; with more of them it is not kept.
const SUBJECTS_MAX: usize = 32;
/// Payloads stored in one go.
const BATCH: usize = 64;

/// Which part of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Arguments,
    Result,
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Result => "result",
        }
    }
}

/// A payload and whom it concerns.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) call: String,
    pub(crate) part: Part,
    /// Before the call was sent: whoever is erased later is not in what is kept of it.
    pub(crate) since: Moment,
    pub(crate) time_ms: u64,
    pub(crate) tenant: String,
    /// The people by their identifiers, whose keys seal it.
    pub(crate) people: BTreeSet<String>,
    /// Their keyed digests.
    pub(crate) subjects: Vec<String>,
    pub(crate) bytes: Secret,
}

/// Something for the thread to do.
enum Work {
    /// Keep a payload, and say so where somebody waits.
    Keep(Item, Option<oneshot::Sender<bool>>),
    /// Say when all that came before is done.
    Tell(oneshot::Sender<bool>),
}

/// See the module. Clones are the same payloads.
#[derive(Clone, Debug)]
pub(crate) struct Payloads(Option<Arc<Inner>>);

struct Inner {
    store: Store,
    files: Arc<records::table::Payloads>,
    /// None where nothing new is kept.
    queue: Option<SyncSender<Work>>,
    counts: Arc<Counts>,
    meant: MeantPayloads,
    /// When the calls under way began, in the order of erasures.
    begun: Mutex<HashMap<String, Moment>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payloads")
            .field("meant", &self.meant)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
    kept: AtomicU64,
    dropped: AtomicU64,
}

/// How many payloads there were since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) kept: u64,
    /// Those that could not be kept.
    pub(crate) lost: u64,
    /// Those not kept because somebody they concern was erased while their call was under way.
    pub(crate) dropped: u64,
}

/// What was kept, and its bytes unless a key of it was destroyed.
type Opened = (Kept, Option<Vec<u8>>);

impl Payloads {
    /// None are kept and there never were any.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// The payloads of a data directory; new ones are kept where configuration says so.
    pub(crate) fn open(
        store: Store,
        files: records::table::Payloads,
        meant: MeantPayloads,
    ) -> std::io::Result<Self> {
        let (files, counts) = (Arc::new(files), Arc::new(Counts::default()));
        let queue = if meant.on {
            let (queue, work) = sync_channel(WAITING_MAX);
            let keeper = (store.clone(), Arc::clone(&files), Arc::clone(&counts));
            std::thread::Builder::new()
                .name("payloads".to_owned())
                .spawn(move || run(&work, &keeper.0, &keeper.1, &keeper.2))?;
            Some(queue)
        } else {
            None
        };
        Ok(Self(Some(Arc::new(Inner {
            store,
            files,
            queue,
            counts,
            meant,
            begun: Mutex::default(),
        }))))
    }

    /// Whether there are or may be any.
    pub(crate) fn exist(&self) -> bool {
        self.0.is_some()
    }

    /// Whether new payloads are kept.
    pub(crate) fn are_kept(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.queue.is_some())
    }

    /// How many payloads there were since the start.
    pub(crate) fn counts(&self) -> Tally {
        self.0.as_ref().map_or(Tally::default(), |inner| {
            let counts = &inner.counts;
            Tally {
                kept: counts.kept.load(Ordering::Relaxed),
                lost: counts.lost.load(Ordering::Relaxed),
                dropped: counts.dropped.load(Ordering::Relaxed),
            }
        })
    }

    /// A call is about to be sent, where payloads are kept. Nothing is kept of it about whoever is erased from now on.
    pub(crate) async fn begin(&self, call: &str) -> Result<(), StoreError> {
        let Some(inner) = self.0.as_ref().filter(|inner| inner.queue.is_some()) else {
            return Ok(());
        };
        let now = moment(&inner.store).await?;
        inner.begun().insert(call.to_owned(), now);
        Ok(())
    }

    /// When a call began; now, where it was never sent anywhere.
    pub(crate) async fn since(&self, call: &str) -> Result<Option<Moment>, StoreError> {
        let Some(inner) = &self.0 else { return Ok(None) };
        let begun = inner.begun().get(call).copied();
        match begun {
            Some(begun) => Ok(Some(begun)),
            None => moment(&inner.store).await.map(Some),
        }
    }

    /// A call is over.
    pub(crate) fn end(&self, call: &str) {
        if let Some(inner) = &self.0 {
            inner.begun().remove(call);
        }
    }

    /// Keeps a payload: without waiting, unless configuration wants it durable first. False when it was wanted
    /// durable and is not.
    pub(crate) async fn keep(&self, item: Item) -> bool {
        let Some(inner) = &self.0 else { return true };
        let Some(queue) = &inner.queue else { return true };
        let size = item.bytes.expose().len();
        let fits = size <= BYTES_MAX
            && item.people.len() <= SUBJECTS_MAX
            && inner.counts.waiting_bytes.load(Ordering::Relaxed) + size <= WAITING_BYTES_MAX;
        if !fits {
            inner.counts.lost.fetch_add(1, Ordering::Relaxed);
            return !inner.meant.strict;
        }
        let (done, kept) = oneshot::channel();
        let done = inner.meant.strict.then_some(done);
        inner.counts.waiting_bytes.fetch_add(size, Ordering::Relaxed);
        match queue.try_send(Work::Keep(item, done)) {
            Ok(()) if inner.meant.strict => kept.await.unwrap_or(false),
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                inner.counts.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
                inner.counts.lost.fetch_add(1, Ordering::Relaxed);
                !inner.meant.strict
            }
        }
    }

    /// Waits until everything handed over before is stored.
    pub(crate) async fn settle(&self) {
        let Some(queue) = self.0.as_ref().and_then(|inner| inner.queue.clone()) else {
            return;
        };
        let (done, told) = oneshot::channel();
        // The queue may be full, and its thread at work.
        let sent = tokio::task::spawn_blocking(move || queue.send(Work::Tell(done)).is_ok()).await;
        if sent.unwrap_or(false) {
            let _ = told.await;
        }
    }

    /// Stores what waits, and leaves one whole file behind.
    pub(crate) async fn close(&self) {
        self.settle().await;
        if let Some(Err(error)) = self.0.as_ref().map(|inner| inner.files.compact()) {
            tracing::warn!(%error, "the payloads are whole only together with their log");
        }
    }

    /// What is kept of a call: its part, when it was kept, and the bytes, unless a key of it was destroyed.
    pub(crate) fn of_call(&self, call: &str) -> Result<Vec<Opened>, StoreError> {
        let Some(inner) = &self.0 else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for kept in inner.files.of_call(call)? {
            let place = place(call, &kept.part);
            let opened = inner.store.with(|state| state.open_for(&place, &kept.sealed))?;
            found.push((kept, opened.map(|bytes| bytes.expose().to_vec())));
        }
        Ok(found)
    }

    /// Deletes what concerns people of these digests. Gives how many payloads that were.
    pub(crate) fn delete_of(&self, subjects: &[String]) -> Result<usize, StoreError> {
        self.0
            .as_ref()
            .map_or(Ok(0), |inner| Ok(inner.files.delete_of(subjects)?))
    }

    /// Deletes what has been kept for long enough, unless it is held. Gives how many payloads that were.
    pub(crate) fn expire(&self, now_ms: u64, held: &[String]) -> Result<usize, StoreError> {
        self.0.as_ref().map_or(Ok(0), |inner| {
            let before_ms = now_ms.saturating_sub(inner.meant.retention_ms);
            Ok(inner.files.expire(before_ms, held)?)
        })
    }

    /// How many there are, and when the oldest was kept.
    pub(crate) fn extent(&self) -> Result<(u64, Option<u64>), StoreError> {
        self.0
            .as_ref()
            .map_or(Ok((0, None)), |inner| Ok(inner.files.extent()?))
    }

    /// Copies the file while it is used, if there is one.
    pub(crate) fn copy_to(&self, path: &std::path::Path) -> Result<(), StoreError> {
        self.0
            .as_ref()
            .map_or(Ok(()), |inner| Ok(inner.files.copy_to(path)?))
    }
}

impl Inner {
    fn begun(&self) -> std::sync::MutexGuard<'_, HashMap<String, Moment>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(work: &Receiver<Work>, store: &Store, files: &records::table::Payloads, counts: &Counts) {
    while let Ok(first) = work.recv() {
        let mut batch = vec![first];
        batch.extend(work.try_iter().take(BATCH - 1));
        let mut items = Vec::new();
        let mut waiting = Vec::new();
        for one in batch {
            match one {
                Work::Keep(item, done) => {
                    counts
                        .waiting_bytes
                        .fetch_sub(item.bytes.expose().len(), Ordering::Relaxed);
                    items.push(item);
                    waiting.extend(done);
                }
                Work::Tell(done) => waiting.push(done),
            }
        }
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let done = stored(&items, store, files);
        match &done {
            Ok(kept) => {
                let kept = u64::try_from(*kept).unwrap_or(u64::MAX);
                counts
                    .dropped
                    .fetch_add(count.saturating_sub(kept), Ordering::Relaxed);
                counts.kept.fetch_add(kept, Ordering::Relaxed)
            }
            Err(error) => {
                tracing::error!(%error, "payloads cannot be kept");
                counts.lost.fetch_add(count, Ordering::Relaxed)
            }
        };
        for waiter in waiting {
            let _ = waiter.send(done.is_ok());
        }
    }
}

/// Stores payloads, but those of people who were erased since their call began. Gives how many it stored.
fn stored(items: &[Item], store: &Store, files: &records::table::Payloads) -> Result<usize, StoreError> {
    if items.is_empty() {
        return Ok(0);
    }
    let sealed: Vec<Option<Vec<u8>>> = store.with(|state| {
        state.transact(|transaction| {
            let seal = |item: &Item| -> Result<Option<Vec<u8>>, StateError> {
                let place = place(&item.call, item.part.as_str());
                transaction.seal_for(&owners(item), item.since, &place, item.bytes.expose())
            };
            items.iter().map(seal).collect()
        })
    })?;
    let payloads: Vec<Payload> = items
        .iter()
        .zip(sealed)
        .filter_map(|(item, sealed)| Some((item, sealed?)))
        .map(|(item, sealed)| Payload {
            call: item.call.clone(),
            part: item.part.as_str(),
            time_ms: item.time_ms,
            subjects: item.subjects.clone(),
            sealed,
        })
        .collect();
    files.put(&payloads)?;
    Ok(payloads.len())
}

/// All of whom a payload needs the keys.
fn owners(item: &Item) -> Vec<Owner<'_>> {
    if item.people.is_empty() {
        return vec![Owner::Tenant(&item.tenant)];
    }
    let owner = |subject| Owner::Subject {
        tenant: &item.tenant,
        subject,
    };
    item.people.iter().map(|person| owner(person)).collect()
}

/// What a sealed payload is bound to.
fn place(call: &str, part: &str) -> String {
    format!("payload/1 {part} {call}")
}

/// Now, in the order of erasures. A database on another machine is asked aside: other calls go on meanwhile.
async fn moment(store: &Store) -> Result<Moment, StoreError> {
    if store.server().is_none() {
        return store.with(records::table::State::moment);
    }
    let store = store.clone();
    let asked = tokio::task::spawn_blocking(move || store.with(records::table::State::moment)).await;
    asked.unwrap_or_else(|error| Err(StoreError::other(error.to_string())))
}

#[cfg(test)]
mod tests;
