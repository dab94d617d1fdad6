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
    keys::{KeyRing, SecretSource, Use, create_key_file},
};

use crate::{concerned::SubjectDigests, failure::Failure};

/// See the module. Clones are the same ring.
#[derive(Clone, Debug)]
pub(crate) struct Keychain {
    ring: PathBuf,
    root_key: PathBuf,
    origin: PathBuf,
    clock: Clock,
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

    /// Opens the ring, or makes one together with its root key.
    pub(crate) fn open(&self) -> Result<KeyRing, Failure> {
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
        let root = source.read_key(&*disk, &environment).map_err(unusable)?;
        let open = if new { KeyRing::create } else { KeyRing::open };
        open(&self.ring, root, disk, self.clock.clone(), Random::system()).map_err(unusable)
    }

    /// Changes the ring while nobody else does.
    pub(crate) fn change<T>(
        &self,
        work: impl FnOnce(&mut KeyRing) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let lock = RealDisk
            .lock(&self.ring.with_extension("lock"))
            .map_err(unusable)?;
        let lock = lock.ok_or_else(|| Failure::other("another process changes the key ring; try again"))?;
        let done = self.open().and_then(|mut ring| work(&mut ring));
        drop(lock);
        done
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
