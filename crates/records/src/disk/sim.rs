//! A disk in memory that fails on command and forgets what was not synced. For tests.
//!
//! It is harsher than most real disks: what was written and not synced is kept, dropped or torn at a
//! crash, each write by itself; names that were not synced may be lost; a sync that fails forgets the
//! writes and lets the next sync succeed without them, as Linux did to PostgreSQL.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use super::{Disk, DiskFile, How, Identity};

/// What a call does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Op {
    Change,
    Look,
    Sync,
    Write,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It does nothing at all, as after the power is gone.
    Dead,
    /// It fails; a sync also forgets.
    Fails(io::ErrorKind),
    /// It does not return until [`SimDisk::release`].
    Hangs,
    /// A write does a part of its work and fails.
    Tears,
}

type Rule = Box<dyn FnMut(u64, Op, &Path) -> Option<Fault> + Send>;

#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    world: Arc<World>,
    /// Handles of a process that was killed do nothing any more.
    life: u64,
}

struct World {
    inner: Mutex<Inner>,
    released: Condvar,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

#[derive(Default)]
struct Inner {
    life: u64,
    calls: u64,
    rule: Option<Rule>,
    hanging: bool,
    next_id: u64,
    files: HashMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    renames: Vec<(PathBuf, Naming)>,
    dirs: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
}

#[derive(Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

#[derive(Clone)]
enum Naming {
    Add(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(at, new) => {
                let end = at + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(new);
            }
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Add(path, id) => drop(names.insert(path.clone(), *id)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

/// A small generator, so that a seed tells the whole story.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll(u64::try_from(sides).unwrap())).unwrap()
    }
}

impl SimDisk {
    pub(crate) fn new() -> Self {
        Self {
            world: Arc::new(World {
                inner: Mutex::default(),
                released: Condvar::new(),
            }),
            life: 0,
        }
    }

    /// Lets `rule` decide for every call, by its number, kind and path.
    pub(crate) fn fail(&self, rule: impl FnMut(u64, Op, &Path) -> Option<Fault> + Send + 'static) {
        let mut inner = self.inner();
        inner.calls = 0;
        inner.rule = Some(Box::new(rule));
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        self.inner().rule = None;
        self.release();
    }

    /// Lets hanging calls go on.
    pub(crate) fn release(&self) {
        self.inner().hanging = false;
        self.world.released.notify_all();
    }

    /// The process is killed: what it wrote stays, its handles and locks are gone.
    pub(crate) fn kill(&self) -> Self {
        let mut inner = self.inner();
        inner.life += 1;
        inner.locked.clear();
        inner.rule = None;
        inner.hanging = false;
        self.world.released.notify_all();
        Self {
            world: self.world.clone(),
            life: inner.life,
        }
    }

    /// The power goes: what was not synced is kept, dropped or torn.
    pub(crate) fn crash(&self, dice: &mut Dice) -> Self {
        let after = self.kill();
        let mut inner = self.inner();
        for content in inner.files.values_mut() {
            for change in std::mem::take(&mut content.unsynced) {
                match (dice.roll(3), change) {
                    (0, _) => {}
                    (1, Change::Write(at, mut bytes)) => {
                        bytes.truncate(dice.pick(bytes.len() + 1));
                        Change::Write(at, bytes).apply(&mut content.durable);
                    }
                    (_, change) => change.apply(&mut content.durable),
                }
            }
            content.seen = content.durable.clone();
        }
        // Of each directory a beginning of its changes survives.
        let mut cut: BTreeMap<PathBuf, bool> = BTreeMap::new();
        let mut names = inner.durable_names.clone();
        for (dir, naming) in std::mem::take(&mut inner.renames) {
            let lost = cut.entry(dir).or_insert(false);
            *lost = *lost || dice.roll(3) == 0;
            if !*lost {
                naming.apply(&mut names);
            }
        }
        inner.durable_names = names.clone();
        inner.names = names;
        after
    }

    /// What a path holds, as a reader sees it.
    pub(crate) fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.inner();
        inner.names.get(path).map(|id| inner.files[id].seen.clone())
    }

    /// Overwrites or removes a file behind everybody's back, durably.
    pub(crate) fn tamper(&self, path: &Path, bytes: Option<Vec<u8>>) {
        let mut inner = self.inner();
        let Some(bytes) = bytes else {
            inner.names.remove(path);
            inner.durable_names.remove(path);
            return;
        };
        inner.next_id += 1;
        let id = inner.next_id;
        inner.files.insert(
            id,
            Content {
                seen: bytes.clone(),
                durable: bytes,
                unsynced: Vec::new(),
            },
        );
        inner.names.insert(path.to_owned(), id);
        inner.durable_names.insert(path.to_owned(), id);
    }

    /// All paths.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.inner().names.keys().cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.world.inner.lock().unwrap()
    }

    /// Counts a call and lets it fail if it shall. A torn write is the caller's to carry out.
    fn call(&self, op: Op, path: &Path) -> io::Result<(MutexGuard<'_, Inner>, bool)> {
        let mut inner = self.inner();
        if inner.life != self.life {
            return Err(io::Error::other("the process was killed"));
        }
        inner.calls += 1;
        let number = inner.calls;
        let fault = inner.rule.as_mut().and_then(|rule| rule(number, op, path));
        match fault {
            None => Ok((inner, false)),
            Some(Fault::Tears) if op == Op::Write => Ok((inner, true)),
            Some(Fault::Dead | Fault::Tears) => Err(io::ErrorKind::Other.into()),
            Some(Fault::Fails(kind)) => {
                if op == Op::Sync {
                    let id = inner.names.get(path).copied();
                    if let Some(content) = id.and_then(|id| inner.files.get_mut(&id)) {
                        content.unsynced.clear();
                    }
                }
                Err(kind.into())
            }
            Some(Fault::Hangs) => {
                inner.hanging = true;
                while inner.hanging {
                    inner = self.world.released.wait(inner).unwrap();
                }
                if inner.life != self.life {
                    return Err(io::Error::other("the process was killed"));
                }
                Ok((inner, false))
            }
        }
    }

    fn name(&self, inner: &mut Inner, dir: &Path, naming: Naming) {
        naming.apply(&mut inner.names);
        inner.renames.push((dir.to_owned(), naming));
    }
}

fn dir_of(path: &Path) -> PathBuf {
    path.parent().unwrap().to_owned()
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let (mut inner, _) = self.call(Op::Change, path)?;
        inner.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let (inner, _) = self.call(Op::Look, dir)?;
        let below = inner
            .names
            .keys()
            .filter_map(|path| path.strip_prefix(dir).ok()?.iter().next());
        let names: BTreeSet<_> = below.map(|name| name.to_str().unwrap().to_owned()).collect();
        Ok(names.into_iter().collect())
    }

    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>> {
        let (mut inner, _) = self.call(Op::Change, path)?;
        let known = inner.names.get(path).copied();
        let id = match (how, known) {
            (How::Existing, Some(id)) => id,
            (How::Existing, None) => return Err(io::ErrorKind::NotFound.into()),
            (How::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (How::Replace, Some(id)) => {
                let content = inner.files.get_mut(&id).unwrap();
                content.seen.clear();
                content.unsynced.push(Change::Length(0));
                id
            }
            (How::Create | How::Replace, None) => {
                if !inner.dirs.contains(&dir_of(path)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                inner.next_id += 1;
                let id = inner.next_id;
                inner.files.insert(id, Content::default());
                self.name(&mut inner, &dir_of(path), Naming::Add(path.to_owned(), id));
                id
            }
        };
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            path: path.to_owned(),
            id,
            locks: false,
        }))
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let (inner, _) = self.call(Op::Look, path)?;
        let bytes = inner.names.get(path).map(|id| inner.files[id].seen.clone());
        match bytes {
            Some(bytes) if bytes.len() > bytes_max => Err(io::ErrorKind::FileTooLarge.into()),
            bytes => Ok(bytes),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut inner, _) = self.call(Op::Change, to)?;
        if !inner.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.name(
            &mut inner,
            &dir_of(to),
            Naming::Rename(from.to_owned(), to.to_owned()),
        );
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (mut inner, _) = self.call(Op::Change, path)?;
        self.name(&mut inner, &dir_of(path), Naming::Remove(path.to_owned()));
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let (mut inner, _) = self.call(Op::Change, path)?;
        inner.dirs.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let (mut inner, _) = self.call(Op::Sync, dir)?;
        let (here, rest) = std::mem::take(&mut inner.renames)
            .into_iter()
            .partition(|(of, _)| of == dir);
        inner.renames = rest;
        let here: Vec<(PathBuf, Naming)> = here;
        here.iter()
            .for_each(|(_, naming)| naming.apply(&mut inner.durable_names));
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn DiskFile>>> {
        if self.inner().locked.contains(path) {
            return Ok(None);
        }
        let how = if self.inner().names.contains_key(path) {
            How::Existing
        } else {
            How::Create
        };
        self.open(path, how)?;
        let mut inner = self.inner();
        inner.locked.insert(path.to_owned());
        let id = inner.names[path];
        Ok(Some(Arc::new(SimFile {
            disk: self.clone(),
            path: path.to_owned(),
            id,
            locks: true,
        })))
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        let (inner, _) = self.call(Op::Look, path)?;
        let id = inner.names.get(path).copied();
        id.map(|inode| Identity { device: 1, inode })
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        self.identity(path).map(|_| MODE)
    }
}

/// All files here are the owner's alone.
const MODE: u32 = 0o600;

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    id: u64,
    locks: bool,
}

impl SimFile {
    fn change(&self, op: Op, change: Change) -> io::Result<()> {
        let (mut inner, tears) = self.disk.call(op, &self.path)?;
        let content = inner.files.get_mut(&self.id).unwrap();
        let change = match change {
            Change::Write(at, mut bytes) if tears => {
                bytes.truncate(bytes.len() / 2);
                Change::Write(at, bytes)
            }
            Change::Length(_) | Change::Write(..) => change,
        };
        change.apply(&mut content.seen);
        content.unsynced.push(change);
        if tears {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let (inner, _) = self.disk.call(Op::Look, &self.path)?;
        let at = usize::try_from(offset).unwrap();
        let found = inner.files[&self.id].seen.get(at..at + bytes.len());
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(
            Op::Write,
            Change::Write(usize::try_from(offset).unwrap(), bytes.to_vec()),
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Op::Change, Change::Length(usize::try_from(len).unwrap()))
    }

    fn sync(&self) -> io::Result<()> {
        let (mut inner, _) = self.disk.call(Op::Sync, &self.path)?;
        let content = inner.files.get_mut(&self.id).unwrap();
        for change in std::mem::take(&mut content.unsynced) {
            change.apply(&mut content.durable);
        }
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        if self.locks && inner.life == self.disk.life {
            inner.locked.remove(&self.path);
        }
    }
}
