//! The ledger as the rest of the program sees it: open, append, ask, close.

use std::{
    io,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch as progress;

use super::{
    begin::{announce, start},
    crew,
    entry::Entry,
    follow::{Tail, of_call},
    layout::{Layout, at},
    merkle::Hash,
    note::Note,
    options::{OpenError, Options, Ports, Unavailable},
    owner::Owner,
    publisher::Publisher,
    queue::{Job, Pending, Want},
    reader::{ReadError, Reader, Stored},
    recover,
    shared::{Phase, Progress, Shared},
    state::set_back,
    watch,
};
use crate::{disk::replace, keys::LogKeys};

/// How long [`Ledger::close`] waits for the disk.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// An open ledger. Clones are the same ledger; when the last is dropped it closes in the background.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        begin_close(&self.shared);
    }
}

/// What was found when a ledger was opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opening {
    /// Entries before this process wrote any.
    pub size: u64,
    /// The how-manieth process this is, from 1.
    pub epoch: u64,
    /// Which directory this is.
    pub instance: String,
    /// The directory this one is a copy of. Two copies that are both written fork the log.
    pub copied_from: Option<String>,
    /// Calls whose outcome will never be known.
    pub unknown_outcomes: usize,
    /// Bytes of a torn write that were cut.
    pub cut_bytes: u64,
    /// How far the clock is behind the newest entry, in milliseconds: it was set back, or was ahead before.
    pub clock_back_ms: u64,
}

/// How a ledger is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Status {
    /// Entries written, durable or not.
    pub written: u64,
    /// How far it has come.
    pub progress: Progress,
    /// Calls that have begun and not ended.
    pub open_calls: usize,
    /// Appends that could not be recorded since it was opened.
    pub refused: u64,
    /// Why appends are refused now.
    pub trouble: Option<Unavailable>,
    /// Why tiles or checkpoints cannot be written now.
    pub publish_trouble: Option<String>,
}

/// Since when other keys sign.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Signing {
    /// They do, and nothing is left to do.
    Now,
    /// They do as soon as the disk takes the last checkpoint of the old ones: in this process, or after the next opening
    /// with the new ones. Why it does not now.
    Later(String),
}

impl Ledger {
    /// Opens the ledger in a directory, or begins one there. Blocks until its first entry is published.
    ///
    /// A torn end is cut. An intent whose outcome is missing gets the outcome `outcome-unknown`.
    ///
    /// # Errors
    /// When another process has the directory, the disk refuses, or what stands there is not the log that
    /// was signed. Then nothing was changed but the lock.
    pub fn open(
        dir: &Path,
        keys: LogKeys,
        options: Options,
        ports: Ports,
    ) -> Result<(Self, Opening), OpenError> {
        let layout = Layout::new(dir);
        let mut owner = Owner::take(&layout, &ports)?;
        let found = recover::recover(&layout, &keys, &options, &ports)?;
        let epoch = found.past.epoch + 1;
        owner.mark(epoch)?;
        let opening = Opening {
            size: found.size(),
            epoch,
            instance: owner.instance.clone(),
            copied_from: owner.copied_from.clone(),
            unknown_outcomes: found.past.open.len(),
            cut_bytes: found.cut_bytes,
            clock_back_ms: set_back(found.past.newest_ms, ports.clock.unix_ms()),
        };
        let (shared, publisher) = start(found, keys, options, ports, layout, owner, &opening)?;
        let ledger = Self(Arc::new(Handle {
            shared: Arc::new(shared),
        }));
        let begun = ledger
            .spawn(publisher)
            .and_then(|()| ledger.await_published(opening.size));
        match begun {
            Ok(()) => Ok((ledger, opening)),
            Err(error) => {
                ledger.0.shared.abandon();
                Err(error)
            }
        }
    }

    /// Records an entry. The answer comes when it survives loss of power.
    pub fn append_durable(&self, entry: &Entry<impl AsRef<str>>) -> Pending {
        self.submit(entry, Want::Durable)
    }

    /// Records an entry. The answer comes when it survives the end of this process; it becomes durable
    /// with the next group.
    ///
    /// The ending of a call whose intent was accepted is kept and written as soon as the disk allows, even
    /// when the answer is [`Unavailable`]: do not append it again.
    pub fn append(&self, entry: &Entry<impl AsRef<str>>) -> Pending {
        self.submit(entry, Want::Written)
    }

    /// Records an entry without waiting: for a guard that is being dropped. Never blocks.
    ///
    /// While the disk fails it waits in memory. Endings of accepted intents always have a place, set aside
    /// with the intent; of other entries a bounded number waits, and what exceeds it is counted and the
    /// counts are recorded as an entry of kind `gap`. Silence is not possible.
    pub fn append_soon(&self, entry: &Entry<impl AsRef<str>>) {
        drop(self.submit(entry, Want::Soon));
    }

    fn submit(&self, entry: &Entry<impl AsRef<str>>, want: Want) -> Pending {
        let shared = &self.0.shared;
        let (job, pending) = Job::new(entry, want);
        let now_ms = shared.ports.clock.unix_ms();
        let mut state = shared.lock();
        state.accept(job, now_ms, &shared.options);
        state.put_off_write(want, Instant::now());
        let is_crew_wanted = state.calls_crew();
        drop(state);
        if is_crew_wanted {
            shared.wake.crew.ring_one();
        }
        shared.wake.watch.ring();
        pending
    }

    /// How the ledger is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.0.shared;
        let state = shared.lock();
        Status {
            written: state.tail.written,
            progress: *shared.progress.borrow(),
            open_calls: state.calls.open().0,
            refused: state.refused(),
            trouble: state.trouble.clone(),
            publish_trouble: state.publish_trouble.clone(),
        }
    }

    /// Reads what is published.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let shared = &self.0.shared;
        Reader::new(shared.ports.disk.clone(), shared.layout.dir())
    }

    /// Keeps a checkpoint of this log that witnesses signed, too, beside the log's own. Durable when it returns.
    ///
    /// # Errors
    /// What the system reports.
    pub fn keep_cosigned(&self, note: &Note) -> io::Result<()> {
        let shared = &self.0.shared;
        let bytes = note.to_string().into_bytes();
        replace(&*shared.ports.disk, &shared.layout.cosigned(), &bytes)
    }

    /// Size and root of the newest checkpoint, for whoever remembers it elsewhere ([`Options::at_least`]).
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn head(&self) -> Result<(u64, Hash), ReadError> {
        self.reader().head().map(|head| (head.size, head.root))
    }

    /// Waits until a checkpoint covers the entry of this index, and hastens it. Then [`Reader::proof`]
    /// can prove it.
    ///
    /// # Errors
    /// When the ledger is closed before.
    pub async fn covered(&self, index: u64) -> Result<(), Unavailable> {
        let mut progress = self.ask_to_publish(index.saturating_add(1));
        let found = progress
            .wait_for(|progress| progress.published > index || progress.ended)
            .await;
        match found {
            Ok(progress) if progress.published > index => Ok(()),
            Ok(_) | Err(_) => Err(Unavailable::Closed),
        }
    }

    fn ask_to_publish(&self, size: u64) -> progress::Receiver<Progress> {
        let shared = &self.0.shared;
        let mut state = shared.lock();
        state.publish_wanted = state.publish_wanted.max(size);
        drop(state);
        shared.wake.publisher.ring();
        shared.progress.subscribe()
    }

    /// The entries of a call among the newest `entries_max` of the log, in order, published or not.
    ///
    /// # Errors
    /// When a bundle cannot be read.
    pub fn call(&self, call: &str, entries_max: u64) -> Result<Vec<Stored>, ReadError> {
        of_call(&self.0.shared, &self.reader(), call, entries_max)
    }

    /// Follows the log from an index: every entry once, in order, as soon as it is durable.
    #[must_use]
    pub fn tail(&self, from: u64) -> Tail {
        Tail::new(self.0.shared.clone(), self.reader(), from)
    }

    /// Signs with other keys from now on. `entry` records the change; the last checkpoint of the old keys
    /// covers it, and the next checkpoint is signed by the new ones. Where the disk does not take that checkpoint now, the
    /// new keys sign when it has, and nobody waits for that here.
    ///
    /// # Errors
    /// When the entry cannot be recorded, or the ledger is closed before; then the old keys stay.
    pub async fn rotate(&self, keys: LogKeys, entry: Entry) -> Result<Signing, Unavailable> {
        let index = self.append_durable(&announce(entry, &keys)).await?.index;
        self.0.shared.lock().sign_next(index, keys);
        let mut progress = self.ask_to_publish(index.saturating_add(1));
        let found = progress
            .wait_for(|progress| progress.published > index || progress.ended || progress.stuck)
            .await;
        match found {
            Ok(progress) if progress.published > index => Ok(Signing::Now),
            Ok(progress) if !progress.ended => {
                let why = self.0.shared.lock().publish_trouble.clone();
                Ok(Signing::Later(why.unwrap_or_default()))
            }
            Ok(_) | Err(_) => Err(Unavailable::Closed),
        }
    }

    /// Writes and publishes all that waits, ends calls that nobody has ended, records the closing, and
    /// lets the directory go. Blocks for at most ten seconds.
    ///
    /// # Errors
    /// When the disk does not allow it; then the next opening recovers what was acknowledged.
    pub fn close(&self) -> Result<(), Unavailable> {
        let shared = &self.0.shared;
        begin_close(shared);
        let until = Instant::now() + CLOSE_WITHIN;
        let mut state = shared.lock();
        while !state.has_ended() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = shared.wake.closer.wait_for(state, left);
        }
        if state.phase == Phase::Closed {
            return Ok(());
        }
        let why = state.trouble.clone().unwrap_or(Unavailable::Slow);
        drop(state);
        shared.abandon();
        Err(why)
    }

    fn spawn(&self, publisher: Publisher) -> Result<(), OpenError> {
        let run = |name: &str, body: Box<dyn FnOnce(&Shared) + Send>| {
            let shared = self.0.shared.clone();
            let thread = thread::Builder::new().name(format!("ledger-{name}"));
            let spawned = thread.spawn(move || body(&shared));
            spawned.map(drop).map_err(at(self.0.shared.layout.dir()))
        };
        run("crew", Box::new(crew::run))?;
        run("crew", Box::new(crew::run))?;
        run("watch", Box::new(watch::run))?;
        run("publisher", Box::new(move |shared| publisher.run(shared)))
    }

    /// Waits until the first entry of this process is published.
    fn await_published(&self, size: u64) -> Result<(), OpenError> {
        let shared = &self.0.shared;
        drop(self.ask_to_publish(size.saturating_add(1)));
        let mut state = shared.lock();
        while state.published <= size {
            if let Some(cause) = &state.publish_trouble {
                return Err(Unavailable::Disk(cause.clone()).into());
            }
            if let Some(trouble) = &state.trouble {
                return Err(trouble.clone().into());
            }
            state = shared.wake.closer.wait_for(state, Duration::from_millis(20));
        }
        Ok(())
    }
}

fn begin_close(shared: &Shared) {
    let mut state = shared.lock();
    if state.phase == Phase::Open {
        state.phase = Phase::Closing;
    }
    drop(state);
    shared.wake_all();
}
