//! The key ring of a data directory, opened for each look and each change: several processes may use it, so none
//! trusts what it read long ago.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::hmac;
use records::{
    ambient::{Clock, Random},
    disk::{Disk, RealDisk},
    keys::{Key, KeyRing, Secret, SecretSource, Use, create_key_file},
    table::Server,
};

use crate::{concerned::SubjectDigests, failure::Failure};

/// See the module. Clones are the same ring.
#[derive(Clone, Debug)]
pub(crate) struct Keychain {
    ring: PathBuf,
    root_key: PathBuf,
    origin: PathBuf,
    clock: Clock,
    /// Where replicas have the ring they share: all keys but those of their logs.
    shared: Option<Server>,
}

impl Keychain {
    /// The ring in this file, sealed by the root key in that one unless the environment has it; and the file that
    /// says how the log is called which its keys sign.
    pub(crate) fn new(ring: PathBuf, root_key: PathBuf, origin: PathBuf, clock: Clock) -> Self {
        Self {
            ring,
            root_key,
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
        let Some(server) = &self.shared else {
            return self.open_log();
        };
        let place = server.ring();
        let new = place.read().map_err(unusable)?.is_none();
        if !new && !self.root_key.exists() && std::env::var_os(ROOT_KEY).is_none() {
            return Err(Failure::configuration(format!(
                "the keys of {} are sealed by a root key that is not here; set {ROOT_KEY}, or copy {} from \
                 another replica",
                server.name(),
                self.root_key.display()
            )));
        }
        let root = self.root()?;
        let open = if new { KeyRing::create_at } else { KeyRing::open_at };
        open(
            server.name().into(),
            place,
            root,
            self.clock.clone(),
            Random::system(),
        )
        .map_err(unusable)
    }

    /// Opens the ring of this replica's log, which is the only one where nothing is shared.
    pub(crate) fn open_log(&self) -> Result<KeyRing, Failure> {
        let new = !self.ring.exists();
        let root = self.root()?;
        let open = if new { KeyRing::create } else { KeyRing::open };
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        open(&self.ring, root, disk, self.clock.clone(), Random::system()).map_err(unusable)
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

    fn root(&self) -> Result<Secret, Failure> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let environment = |name: &str| std::env::var(name).ok();
        let source = match environment(ROOT_KEY) {
            Some(_) => SecretSource::Env(ROOT_KEY.to_owned()),
            None => SecretSource::File(self.root_key.clone()),
        };
        let new = !self.ring.exists();
        if new && !self.root_key.exists() && matches!(source, SecretSource::File(_)) {
            create_key_file(&*disk, &self.root_key, &Random::system()).map_err(unusable)?;
        }
        source.read_key(&*disk, &environment).map_err(unusable)
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
        let lock = RealDisk
            .lock(&self.ring.with_extension("lock"))
            .map_err(unusable)?;
        let lock = lock.ok_or_else(|| Failure::other("another process changes the key ring; try again"))?;
        let done = open().and_then(|mut ring| work(&mut ring));
        drop(lock);
        done
    }
}

fn is_of_log(purpose: Use) -> bool {
    match purpose {
        Use::LogEd25519 | Use::LogFrames | Use::LogMlDsa44 => true,
        Use::Digest | Use::Index | Use::Token | Use::Wrap => false,
    }
}

/// The environment variable of the root key.
const ROOT_KEY: &str = "SALLYPORT_ROOT_KEY";

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
