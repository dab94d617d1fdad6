//! The key ring of a data directory, opened for each look and each change: several processes may use it, so none
//! trusts what it read long ago.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use records::{
    ambient::{Clock, Random},
    disk::{Disk, RealDisk},
    keys::{Key, KeyRing, Root, Use},
    table::{Server, StateError},
};

use crate::{
    config::root::MeantRoot,
    failure::Failure,
    known::concerned::SubjectDigests,
    storage::root::{Absent, RootKey},
};

/// How long somebody else may take with a ring.
const ALONE_WAIT: Duration = Duration::from_secs(5);

/// See the module. Clones are the same ring.
#[derive(Clone, Debug)]
pub(crate) struct Keychain {
    ring: PathBuf,
    /// Where the root key is. It may move while the gateway runs.
    root: Arc<RwLock<RootKey>>,
    origin: PathBuf,
    clock: Clock,
    /// Where replicas have the ring they share: all keys but those of their logs.
    shared: Option<Server>,
}

impl Keychain {
    /// The ring in this file, sealed by that root key; and the file that says how the log is called which its keys
    /// sign.
    pub(crate) fn new(ring: PathBuf, root: RootKey, origin: PathBuf, clock: Clock) -> Self {
        Self {
            ring,
            root: Arc::new(RwLock::new(root)),
            origin,
            clock,
            shared: None,
        }
    }

    /// The same with the keys that replicas share.
    pub(crate) fn sharing(self, server: Option<Server>) -> Self {
        Self {
            shared: server,
            ..self
        }
    }

    /// A root key of this data directory that configuration means.
    pub(crate) fn root_key(&self, meant: &MeantRoot) -> RootKey {
        RootKey::of(meant, &self.ring.with_file_name("root.key"))
    }

    /// The log's own name.
    pub(crate) fn origin(&self) -> Result<String, Failure> {
        let read = std::fs::read_to_string(&self.origin);
        read.map(|name| name.trim().to_owned()).map_err(unusable)
    }

    /// The files of the ring and of the log's name, by the names they have in a data directory.
    pub(crate) fn files(&self) -> [(&'static str, &Path); 2] {
        [("keys", &self.ring), ("origin", &self.origin)]
    }

    /// Opens the ring of all that is not the log, or makes one together with its root key.
    pub(crate) fn open(&self) -> Result<KeyRing, Failure> {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        self.open_with(&root)
    }

    /// Opens the ring of this replica's log, which is the only one where nothing is shared.
    pub(crate) fn open_log(&self) -> Result<KeyRing, Failure> {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        self.open_log_with(&root)
    }

    fn open_with(&self, key: &RootKey) -> Result<KeyRing, Failure> {
        let Some(server) = &self.shared else {
            return self.open_log_with(key);
        };
        let place = server.ring();
        let new = place.read().map_err(unusable)?.is_none();
        if !new && key.is_absent() {
            return Err(Failure::configuration(format!(
                "the keys of {} are sealed by a root key that is not here; set SALLYPORT_ROOT_KEY, or copy {} from \
                 another replica",
                server.name(),
                key.name()
            )));
        }
        // Where this replica's log was begun there were keys: none are made in the place of those that are lost.
        if new && self.ring.exists() && self.open_log_with(key)?.log_begun() {
            return Err(unusable(StateError::Gone(server.name())));
        }
        let root = self.root_of(key)?;
        let (name, clock) = (server.name().into(), self.clock.clone());
        if new {
            KeyRing::create_at(name, place, root, clock, Random::system()).map_err(unusable)
        } else {
            KeyRing::open_at(name, place, root, clock, Random::system()).map_err(unusable)
        }
    }

    fn open_log_with(&self, key: &RootKey) -> Result<KeyRing, Failure> {
        let new = !self.ring.exists();
        let root = self.root_of(key)?;
        let (disk, clock): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), self.clock.clone());
        if new {
            KeyRing::create(&self.ring, root, disk, clock, Random::system()).map_err(unusable)
        } else {
            KeyRing::open(&self.ring, root, disk, clock, Random::system()).map_err(unusable)
        }
    }

    /// Every key there is, each from the ring it is used from.
    pub(crate) fn keys(&self) -> Result<Vec<Key>, Failure> {
        let mut keys = self.open()?.keys().to_vec();
        if self.shared.is_some() {
            keys.retain(|key| !is_of_log(key.purpose));
            let log = self.open_log()?;
            keys.extend(log.keys().iter().filter(|key| is_of_log(key.purpose)).cloned());
        }
        Ok(keys)
    }

    /// A root key is made where there are no keys yet that it could open.
    fn root_of(&self, key: &RootKey) -> Result<Root, Failure> {
        let absent = if self.ring.exists() {
            Absent::Refuse
        } else {
            Absent::Make
        };
        key.root(absent)
    }

    /// Seals every ring with another root key from now on, those that `before` opens; what the new one opens already was
    /// done when somebody broke off, or by another replica. Whoever opens a ring meanwhile waits.
    pub(crate) fn change_root(&self, to: RootKey, before: Option<&RootKey>) -> Result<(), Failure> {
        let mut now = self.root.write().unwrap_or_else(PoisonError::into_inner);
        let root = to.root(Absent::Make)?;
        let before = before.unwrap_or(&now);
        type Open = fn(&Keychain, &RootKey) -> Result<KeyRing, Failure>;
        for open in [Self::open_log_with as Open, Self::open_with] {
            let either = || open(self, &to).or_else(|_| open(self, before));
            self.changing(either, |ring| ring.change_root(root.clone()).map_err(unusable))?;
        }
        *now = to;
        Ok(())
    }

    /// Changes the ring while nobody else of this directory does; what another replica did meanwhile is an error.
    pub(crate) fn change<T>(
        &self,
        work: impl FnOnce(&mut KeyRing) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.changing(|| self.open(), work)
    }

    /// The same for the ring of the log.
    pub(crate) fn change_log<T>(
        &self,
        work: impl FnOnce(&mut KeyRing) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.changing(|| self.open_log(), work)
    }

    fn changing<T>(
        &self,
        open: impl FnOnce() -> Result<KeyRing, Failure>,
        work: impl FnOnce(&mut KeyRing) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let lock = self.alone()?;
        let done = open().and_then(|mut ring| work(&mut ring));
        drop(lock);
        done
    }

    /// Waits until nobody else of this directory changes a ring: that is a matter of moments, and so is a child of theirs
    /// that is being started and holds what they hold.
    fn alone(&self) -> Result<impl Sized + use<>, Failure> {
        let begun = Instant::now();
        loop {
            let lock = RealDisk
                .lock(&self.ring.with_extension("lock"))
                .map_err(unusable)?;
            match lock {
                Some(lock) => return Ok(lock),
                None if begun.elapsed() < ALONE_WAIT => std::thread::sleep(Duration::from_millis(10)),
                None => return Err(Failure::other("another process changes the key ring; try again")),
            }
        }
    }
}

fn is_of_log(purpose: Use) -> bool {
    match purpose {
        Use::LogEd25519 | Use::LogFrames | Use::LogMlDsa44 => true,
        Use::Digest | Use::Index | Use::Token | Use::Wrap => false,
    }
}

/// The keys that stand for people in the ledger, the newest first.
pub(crate) fn subject_digests(ring: &KeyRing) -> SubjectDigests {
    let keys = ring.keys().iter().rev().filter(|key| key.purpose == Use::Digest);
    let secrets = keys.filter_map(|key| key.secret.as_ref());
    SubjectDigests::new(
        secrets
            .map(|secret| derive(secret.expose(), b"sallyport: digests of data subjects, version 1"))
            .collect(),
    )
}

/// A key for one purpose, derived so that no purpose's key says anything about another's.
pub(crate) fn derive(key: &[u8], purpose: &[u8]) -> hmac::Key {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), purpose);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::configuration(error.to_string())
}
