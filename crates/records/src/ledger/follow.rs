//! Following a log: every entry once, in order, as soon as it is durable.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    reader::{ReadError, Reader, Stored},
    shared::{Progress, Shared},
    state::State,
    tile::TILE_WIDTH,
};

/// Follows a log. See [`Ledger::tail`].
#[derive(Debug)]
pub struct Tail {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    reader: Reader,
    next: u64,
}

impl Tail {
    pub(crate) fn new(shared: Arc<Shared>, reader: Reader, from: u64) -> Self {
        Self {
            progress: shared.progress.subscribe(),
            shared,
            reader,
            next: from,
        }
    }

    /// The next entries, at least one and at most a bundle; nothing when the log is closed and all of it
    /// was given.
    ///
    /// # Errors
    /// When a bundle cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Stored>>, ReadError> {
        let from = self.next;
        let found = self
            .progress
            .wait_for(|progress| progress.durable > from || progress.ended)
            .await;
        let Ok(progress) = found.map(|progress| *progress) else {
            return Ok(None);
        };
        if progress.durable <= from {
            return Ok(None);
        }
        let mut page = fresh(&self.shared.lock(), from);
        if page.is_empty() {
            page = self.reader.bundle_at(from, self.reader.head()?.size)?;
            page.retain(|stored| stored.index >= from);
        }
        self.next = page.last().map_or(from, |last| last.index + 1);
        Ok(Some(page))
    }
}

/// The entries of a call among the newest `entries_max`, in the order of the log, as far as they are
/// written.
pub(crate) fn of_call(
    shared: &Shared,
    reader: &Reader,
    call: &str,
    entries_max: u64,
) -> Result<Vec<Stored>, ReadError> {
    let (recent, known_from, written) = {
        let state = shared.lock();
        let (recent, known_from) = state.recent.of(call);
        (recent, known_from, state.tail.written)
    };
    let from = written.saturating_sub(entries_max);
    // What was written before this process, or long ago, is looked up on disk.
    let mut found = reader.call(call, from..known_from.unwrap_or(written))?;
    for index in recent.into_iter().filter(|index| *index >= from) {
        found.extend(stored(shared, reader, index)?);
    }
    Ok(found)
}

/// A written entry, from memory or from its bundle.
fn stored(shared: &Shared, reader: &Reader, index: u64) -> Result<Option<Stored>, ReadError> {
    let fresh = {
        let state = shared.lock();
        let skip = index
            .checked_sub(state.published)
            .and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| state.fresh.get(skip).cloned())
    };
    match fresh {
        Some(entry) => Ok(Some(Stored {
            index,
            bytes: entry.bytes().to_vec(),
        })),
        None => Ok(reader.page(index..index + 1, 1)?.pop()),
    }
}

/// Durable entries that are not yet published, from an index; none when that index is published.
fn fresh(state: &State, from: u64) -> Vec<Stored> {
    let Some(skip) = from.checked_sub(state.published) else {
        return Vec::new();
    };
    let durable = (from..state.tail.durable).zip(
        state
            .fresh
            .iter()
            .skip(usize::try_from(skip).unwrap_or(usize::MAX)),
    );
    let stored = durable.map(|(index, entry)| Stored {
        index,
        bytes: entry.bytes().to_vec(),
    });
    stored.take(TILE_WIDTH).collect()
}
