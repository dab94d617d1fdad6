//! The publisher: cuts what is durable into tiles, signs checkpoints, and lets segments go that are no
//! longer needed. It works behind; nobody waits for it but who asks for a proof.
//!
//! INVARIANT (signed): a checkpoint is signed only over durable entries, and put in place only after the
//! tiles it needs are durable. So a crash never leaves a log that is shorter than its checkpoint.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    checkpoint::Checkpoint,
    entry::Encoded,
    merkle::Hash,
    options::Unavailable,
    owner::{Owner, Standing},
    recover::bundle_start,
    shared::{Phase, Shared},
    tile::{Edge, Layer, TILE_WIDTH, TileId},
    writer,
};
use crate::{
    disk::{Beside, Disk, replace},
    keys::LogKeys,
};

/// How long after a failure no spare segment is made: where the disk is nearly full, the attempt takes what is left.
const SPARE_AGAIN: Duration = Duration::from_secs(60);

/// The publisher's own memory: the right edge of the signed tree.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) owner: Owner,
    pub(crate) edge: Edge,
    /// The entries of the partial bundle.
    pub(crate) bundle: Vec<Arc<Encoded>>,
    /// Whose signature the newest checkpoint bears; none when there is no checkpoint yet.
    pub(crate) signed_by: Option<Arc<LogKeys>>,
}

impl Publisher {
    /// Runs until the log is closed.
    pub(crate) fn run(mut self, shared: &Shared) {
        let mut spare_after = Instant::now();
        while let Some(entries) = self.next(shared) {
            let keys = shared.lock().keys.clone();
            let published = self.publish(shared, &keys, &entries);
            let mut state = shared.lock();
            match published {
                Ok(Standing::Ours) => {
                    state.covered(self.edge.size());
                    state.publish_trouble = None;
                }
                Ok(Standing::Lost) => {
                    let now_ms = shared.ports.clock.unix_ms();
                    state.refuse_all(&Unavailable::Fenced, now_ms);
                    state.phase = Phase::Abandoned;
                }
                Err(error) => state.publish_trouble = Some(error.to_string()),
            }
            shared.report(&state);
            let wants_spare = state.phase == Phase::Open
                && state.wants_spare(&shared.options)
                && spare_after <= Instant::now();
            drop(state);
            shared.wake.crew.ring();
            if wants_spare {
                match writer::make_spare(shared) {
                    Ok(()) => shared.lock().spare = true,
                    // Without one the segment grows: slower, and no harm.
                    Err(_) => spare_after = Instant::now() + SPARE_AGAIN,
                }
            }
        }
        // The lock of the directory goes before anybody hears that the log is closed.
        drop(self);
        let mut state = shared.lock();
        if !state.has_ended() {
            state.phase = Phase::Closed;
        }
        shared.report(&state);
        drop(state);
        shared.wake_all();
    }

    /// Waits until there is enough to publish, and gives it; nothing at the end.
    fn next(&self, shared: &Shared) -> Option<Vec<Arc<Encoded>>> {
        let pause = Duration::from_millis(shared.options.checkpoint_ms);
        let mut state = shared.lock();
        let mut due: Option<Instant> = None;
        loop {
            let new = state.tail.durable.saturating_sub(self.edge.size());
            let signed_by = self.signed_by.as_ref();
            let rekeyed = signed_by.is_some_and(|keys| !Arc::ptr_eq(keys, &state.keys));
            let is_new = new > 0 || rekeyed;
            if state.has_ended() || (state.is_drained() && !is_new) {
                return None;
            }
            let failing = state.publish_trouble.is_some();
            let asked = rekeyed
                || state.publish_wanted > self.edge.size()
                || state.phase != Phase::Open
                || state.is_crowded(&shared.options)
                || new >= shared.options.checkpoint_entries;
            let now = Instant::now();
            let is_due = due.take_if(|due| *due <= now).is_some();
            if is_new && (is_due || (asked && !failing)) {
                let new = usize::try_from(new).unwrap_or(usize::MAX);
                return Some(state.fresh.iter().take(new).cloned().collect());
            }
            if is_new || failing {
                let left = due.get_or_insert(now + pause).saturating_duration_since(now);
                state = shared.wake.publisher.wait_for(state, left);
            } else {
                state.publisher_idles = true;
                state = shared.wake.publisher.wait(state);
                state.publisher_idles = false;
            }
        }
    }

    fn publish(
        &mut self,
        shared: &Shared,
        keys: &Arc<LogKeys>,
        entries: &[Arc<Encoded>],
    ) -> io::Result<Standing> {
        let disk = &*shared.ports.disk;
        let mut grown = Grown::new(&self.edge, &self.bundle);
        for entry in entries {
            grown.push(entry);
        }
        grown.finish();
        write_tiles(disk, shared, &grown.files)?;
        if self.owner.check(&shared.ports)? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        if !self
            .signed_by
            .as_ref()
            .is_some_and(|signed_by| Arc::ptr_eq(signed_by, keys))
        {
            let lines: String = keys.known().iter().map(|key| format!("{key}\n")).collect();
            replace(disk, &shared.layout.verifiers(), lines.as_bytes())?;
        }
        let head = Checkpoint {
            origin: keys.origin().to_owned(),
            size: grown.edge.size(),
            root: grown.edge.root(),
        };
        let time_s = shared.ports.clock.unix_ms() / 1_000;
        let note = head.sign(keys, time_s).map_err(io::Error::other)?;
        replace(disk, &shared.layout.checkpoint(), note.to_string().as_bytes())?;
        self.signed_by = Some(keys.clone());
        self.edge = grown.edge;
        self.bundle = grown.bundle;
        clean(disk, shared, &grown.files, self.edge.size());
        Ok(Standing::Ours)
    }
}

/// A tree as it will be, and the files that make it so.
struct Grown {
    edge: Edge,
    bundle: Vec<Arc<Encoded>>,
    files: Vec<(TileId, Vec<u8>)>,
}

impl Grown {
    fn new(edge: &Edge, bundle: &[Arc<Encoded>]) -> Self {
        Self {
            edge: edge.clone(),
            bundle: bundle.to_vec(),
            files: Vec::new(),
        }
    }

    fn push(&mut self, entry: &Arc<Encoded>) {
        self.bundle.push(entry.clone());
        let full = self.edge.push(*entry.leaf());
        if let Some((leaves, _)) = full.first() {
            let id = leaves.in_layer(Layer::Entries);
            self.files
                .push((id, bundle_bytes(&std::mem::take(&mut self.bundle))));
        }
        self.files
            .extend(full.into_iter().map(|(id, hashes)| (id, hashes.concat())));
    }

    /// Adds the partial tiles.
    fn finish(&mut self) {
        for level in 0..self.edge.levels() {
            let hashes: &[Hash] = self.edge.partial(level);
            if hashes.is_empty() {
                continue;
            }
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            let id = TileId {
                layer: Layer::Hashes(level),
                n: super::tile::tiles_of(self.edge.size(), level).0,
                width: hashes.len(),
            };
            self.files.push((id, hashes.concat()));
            if level == 0 {
                self.files
                    .push((id.in_layer(Layer::Entries), bundle_bytes(&self.bundle)));
            }
        }
    }
}

fn bundle_bytes(entries: &[Arc<Encoded>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        // INVARIANT (entry fits).
        let length = u16::try_from(entry.bytes().len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry.bytes());
    }
    bytes
}

/// Puts tiles in place: all are written and synced beside, then named, then their directories synced.
fn write_tiles(disk: &dyn Disk, shared: &Shared, files: &[(TileId, Vec<u8>)]) -> io::Result<()> {
    let mut dirs = BTreeSet::new();
    let mut beside = Vec::new();
    for (id, bytes) in files {
        let path = shared.layout.tile(*id);
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        if dirs.insert(dir.clone()) {
            disk.create_dir(&dir)?;
        }
        beside.push(Beside::write(disk, &path, bytes)?);
    }
    for one in beside {
        one.rename(disk)?;
    }
    dirs.iter().try_for_each(|dir| disk.sync_dir(dir))
}

/// Removes partial tiles whose full tile is there, and segments whose entries all stand in full bundles.
/// What cannot be removed stays and harms nobody.
fn clean(disk: &dyn Disk, shared: &Shared, files: &[(TileId, Vec<u8>)], size: u64) {
    for (id, _) in files.iter().filter(|(id, _)| id.width == TILE_WIDTH) {
        let dir: PathBuf = {
            let mut name = shared.layout.tile(*id).into_os_string();
            name.push(".p");
            name.into()
        };
        for name in disk.list(&dir).unwrap_or_default() {
            let _ = disk.remove(&dir.join(name));
        }
        let _ = disk.remove_dir(&dir);
    }
    let needed = bundle_start(size);
    loop {
        let first = {
            let mut state = shared.lock();
            let is_over = state.segments.get(1).is_some_and(|next| *next <= needed);
            state.segments.pop_front_if(|_| is_over)
        };
        match first {
            Some(first) => drop(disk.remove(&shared.layout.segment(first))),
            None => break,
        }
    }
}
