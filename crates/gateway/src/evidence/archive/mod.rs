//! A copy of the ledger in S3-compatible storage: tiles and checkpoint as static objects (C2SP tlog-tiles), so that
//! whoever has the bucket and the public keys verifies without us.
//!
//! INVARIANT (behind): a checkpoint is put in place only after all tiles it needs, and only where it continues the one
//! that is there. A ledger that was rolled back or forked is not copied over what it was.
//!
//! Nobody waits for it. All it remembers is in the bucket: whoever comes back after an outage looks there.

mod s3;
mod sign;

use std::{iter::once, time::Duration};

use records::ledger::{
    Kind, ReadError, Reader,
    checkpoint::Checkpoint,
    merkle::roots_from_consistency,
    note::Note,
    tile::{Layer, TILE_WIDTH, TileId, tiles_between, tiles_of},
};
use thiserror::Error;
use tokio::sync::watch;

use self::s3::{Bucket, Stays};
use crate::{
    ambient::Ambient,
    config::{archive::MeantArchive, authorization::Switch},
    evidence::journal::Journal,
    failure::Failure,
    listen::stopped,
};

/// Between two tries, at first and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);
const CHECKPOINT: &str = "checkpoint";

/// Why nothing is copied.
#[derive(Debug, Error)]
enum Trouble {
    /// It may be over soon.
    #[error("{0}")]
    Away(Failure),
    /// The ledger cannot be read.
    #[error("{0}")]
    Unread(#[from] ReadError),
    /// What is there is not the beginning of what is here.
    #[error("{0}")]
    Otherwise(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Away(failure)
    }
}

/// One log and its copy.
pub(crate) struct Copy {
    reader: Reader,
    bucket: Bucket,
    entries: Switch,
    every: Duration,
    /// How far a copy got that was broken off, above which checkpoint.
    begun: Option<(Vec<u8>, u64)>,
    /// From how many entries on partial tiles of before may lie about: those of a copy that was broken off, by an
    /// outage or by the end of the process. At the start nobody knows.
    litter: Option<u64>,
}

impl Copy {
    /// A copy of this log.
    pub(crate) fn new(
        meant: MeantArchive,
        origin: &str,
        reader: Reader,
        ambient: Ambient,
    ) -> Result<Self, Failure> {
        Ok(Self {
            reader,
            entries: meant.entries,
            every: meant.every,
            bucket: Bucket::new(meant, origin, ambient)?,
            begun: None,
            litter: Some(0),
        })
    }

    /// Copies until told to stop.
    pub(crate) async fn follow(mut self, journal: Journal, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = stopped(&mut stop) => {}
            () = self.run(&journal) => {}
        }
    }

    async fn run(&mut self, journal: &Journal) {
        let (mut wait, mut told) = (AGAIN, None);
        loop {
            match self.bring_up().await {
                Ok(entries) => {
                    journal.metrics().archived(entries);
                    if told.take().is_some() {
                        tracing::info!(to = self.bucket.name(), "the ledger is copied again");
                    }
                    wait = AGAIN;
                    tokio::time::sleep(self.every).await;
                }
                Err(trouble) => {
                    let why = trouble.to_string();
                    // Each reason once: an outage of hours is not a line a minute.
                    if told.as_ref() != Some(&why) {
                        tracing::error!(to = self.bucket.name(), why, "the ledger is not copied");
                        if let Trouble::Otherwise(_) = trouble {
                            let detail = [("to", self.bucket.name()), ("why", why.clone())];
                            journal.note(Kind::Gap, "archive-differs", &detail);
                        }
                        told = Some(why);
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(AGAIN_MAX);
                }
            }
        }
    }

    /// Copies what is published and not there yet. Gives how many entries are covered there now.
    async fn bring_up(&mut self) -> Result<u64, Trouble> {
        let Some(signed) = self
            .read(|reader| match reader.checkpoint() {
                Err(ReadError::Missing(_)) => Ok(None),
                read => read.map(Some),
            })
            .await?
        else {
            return Ok(0);
        };
        let there = self.bucket.get(CHECKPOINT).await?;
        let head =
            head_of(signed.as_bytes()).ok_or_else(|| Trouble::Otherwise("no checkpoint".to_owned()))?;
        if there.as_deref() == Some(signed.as_bytes()) {
            return Ok(head.size);
        }
        let before = match &there {
            None => None,
            Some(there) => Some(self.continued(there, &head).await?),
        };
        let old = before.as_ref().map_or(0, |before| before.size);
        let marker = there.unwrap_or_default();
        let begun = self.begun.take().filter(|(of, _)| *of == marker);
        let mut done = begun.map_or(old, |(_, done)| done.max(old));
        // A bundle a step, so that whoever is broken off goes on from there.
        let width = u64::try_from(TILE_WIDTH).unwrap_or(u64::MAX);
        while done < head.size {
            let next = ((done / width + 1) * width).min(head.size);
            let full = tiles_between(done, next).filter(|id| id.width == TILE_WIDTH);
            if let Err(trouble) = self.put(full).await {
                self.begun = Some((marker, done));
                return Err(trouble);
            }
            done = next;
        }
        let litter = self.litter;
        self.litter = Some(litter.map_or(old, |from| from.min(old)));
        let edge = tiles_between(old, head.size).filter(|id| id.width < TILE_WIDTH);
        self.put(edge).await?;
        self.bucket
            .put(CHECKPOINT, signed.into_bytes(), Stays::ForGood)
            .await?;
        match self.clear(litter, old, head.size).await {
            Ok(()) => self.litter = None,
            Err(failure) => tracing::debug!(%failure, "partial tiles of before stay in the archive"),
        }
        Ok(head.size)
    }

    /// The checkpoint that is there, of which the ledger here has to be a continuation.
    async fn continued(&self, there: &[u8], head: &Checkpoint) -> Result<Checkpoint, Trouble> {
        let name = self.bucket.name();
        let remedy = "this ledger was rolled back, or the copy is another's: verify both with `sallyport-verify`, and copy \
                      to another place";
        let otherwise = |what: String| Trouble::Otherwise(format!("{name}: {what}; {remedy}"));
        let before = head_of(there).ok_or_else(|| otherwise("its checkpoint cannot be read".to_owned()))?;
        if before.origin != head.origin {
            return Err(otherwise(format!("it is of the log `{}`", before.origin)));
        }
        if before.size > head.size {
            let more = before.size;
            return Err(otherwise(format!(
                "its {more} entries are more than there are here"
            )));
        }
        let (old, new) = (before.size, head.size);
        let holds = if old == 0 || old == new {
            old == 0 || before.root == head.root
        } else {
            let path = self.read(move |reader| reader.consistency(old, new)).await?;
            roots_from_consistency(old, new, &before.root, &path) == Some((before.root, head.root))
        };
        if holds {
            Ok(before)
        } else {
            Err(otherwise(format!(
                "its {old} entries are not the first {old} here"
            )))
        }
    }

    async fn put(&self, tiles: impl Iterator<Item = TileId> + Send) -> Result<(), Trouble> {
        for id in tiles {
            let is_wanted = id.layer != Layer::Entries || self.entries == Switch::On;
            if !is_wanted {
                continue;
            }
            let bytes = self.read(move |reader| reader.tile(id)).await?;
            self.bucket.put(&id.path(), bytes, stays(id)).await?;
        }
        Ok(())
    }

    /// Removes edges of before: the full tiles and the new edge hold the same and more.
    async fn clear(&self, litter: Option<u64>, old: u64, new: u64) -> Result<(), Failure> {
        let edge = |size| tiles_between(0, size).filter(|id| id.width < TILE_WIDTH);
        let now: Vec<TileId> = edge(new).collect();
        let before = match litter {
            None => edge(old).collect(),
            Some(from) => self.partial_tiles(from, new).await?,
        };
        for id in before.iter().filter(|id| !now.contains(id)) {
            self.bucket.delete(&id.path()).await?;
        }
        Ok(())
    }

    /// The partial tiles that are there, from the place on where a tree of `from` entries has its edge.
    async fn partial_tiles(&self, from: u64, new: u64) -> Result<Vec<TileId>, Failure> {
        let layers = once(Layer::Entries).chain((0..u8::MAX).map(Layer::Hashes));
        let mut found = Vec::new();
        for layer in layers.take_while(|layer| tiles_of(new, layer.level()) != (0, 0)) {
            let edge = TileId {
                layer,
                n: tiles_of(from, layer.level()).0,
                width: TILE_WIDTH,
            };
            // Keys come in the order of tiles, and a partial tile after the full one of its place.
            let (begin, mut after) = (layer.path(), edge.path());
            loop {
                let (keys, is_more) = self.bucket.list(&begin, &after).await?;
                let tiles = keys.iter().filter_map(|key| TileId::from_path(key));
                found.extend(tiles.filter(|id| id.width < TILE_WIDTH));
                match keys.last() {
                    // Storage that gives the same again is not asked for ever.
                    Some(last) if is_more && *last > after => last.clone_into(&mut after),
                    Some(_) | None => break,
                }
            }
        }
        Ok(found)
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || work(&reader)).await;
        Ok(done.map_err(|error| Failure::other(error.to_string()))??)
    }
}

fn stays(id: TileId) -> Stays {
    if id.width == TILE_WIDTH {
        Stays::ForGood
    } else {
        Stays::ForNow
    }
}

fn head_of(signed: &[u8]) -> Option<Checkpoint> {
    Checkpoint::from_text(&Note::from_bytes(signed).ok()?.text)
}
