//! The key ring of a data directory: one file, sealed by the root key.
//!
//! It holds what the process needs to sign, tag, digest and wrap. Secrets that are retired are forgotten
//! where nothing depends on them any more (signing keys) and kept where old data does (wrapping and digest
//! keys); public halves are kept for ever, so that old checkpoints verify. Losing the ring or the root key
//! loses sealed data; it never loses the ledger, which verifies with public keys alone.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys as JsonKeys, Node, object},
};

use super::{
    KeeperError, KeyError, LogKeys, Root, SealError, Secret, SecretError,
    root::{Sealing, Wrapped},
    seal::{open, seal},
    sign::SEED_BYTES,
    source::private,
};
use crate::{
    ambient::{Clock, Random, RandomError},
    digest::{Digester, hex},
    disk::{Disk, replace},
    ledger::note::{SignatureType, VerifierKey},
    words::words,
};

/// The version of a file that the root key seals itself.
const VERSION: u64 = 1;
/// The version of a file whose key somebody keeps wrapped, and the newest that is read.
const VERSION_KEPT: u64 = 2;

/// Longest ring read, in bytes.
const RING_BYTES_MAX: usize = 4 * 1024 * 1024;

words! {
    /// What a key is for.
    pub enum Use {
        /// Keyed digests of arguments, results and data subjects.
        Digest => "digest",
        /// Lookups in sealed tables, by keyed digests. It stays as long as the tables.
        Index => "index",
        /// Tags of write-ahead frames.
        LogFrames => "log-frames",
        /// Signs checkpoints: Ed25519.
        LogEd25519 => "log-ed25519",
        /// Signs checkpoints: ML-DSA-44.
        LogMlDsa44 => "log-ml-dsa-44",
        /// Signs access tokens: Ed25519.
        Token => "token",
        /// Wraps the data keys of sealed tables.
        Wrap => "wrap",
    }
}

impl Use {
    /// Whether old data depends on the secret after it is retired.
    const fn outlives(self) -> bool {
        match self {
            Self::Digest | Self::Index | Self::LogFrames | Self::Wrap => true,
            Self::LogEd25519 | Self::LogMlDsa44 | Self::Token => false,
        }
    }
}

/// One key.
#[derive(Clone, Debug)]
pub struct Key {
    /// What it is for.
    pub purpose: Use,
    /// Its name: 16 hexadecimal digits.
    pub id: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was retired.
    pub retired_ms: Option<u64>,
    /// The public half, of keys that sign.
    pub public: Vec<u8>,
    /// The 32 secret bytes: a seed or a symmetric key. Gone when the key is retired and nothing depends on
    /// it.
    pub secret: Option<Secret>,
}

/// Why a key ring cannot be used.
#[derive(Debug, Error)]
pub enum RingError {
    /// A new one was to be made where one is.
    #[error("there is a key ring in `{0}` already; nothing was changed")]
    Exists(PathBuf),
    /// The system refuses.
    #[error("cannot use the key ring in `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
    /// Whoever keeps the root key does not give it.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// A key cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The root key is with somebody, and not in a file or variable.
    #[error(
        "the key ring in `{path}` is sealed by `{by}`, and the configuration names no such `root_key`; name it again"
    )]
    KeptElsewhere {
        /// The file.
        path: PathBuf,
        /// By whom.
        by: String,
    },
    /// The root key is in a file or variable, and not with somebody.
    #[error(
        "the key ring in `{path}` is not sealed by `{by}` yet, but by a root key of before; run `sallyport keys \
         rotate --use root`"
    )]
    NotKept {
        /// The file.
        path: PathBuf,
        /// By whom it should be.
        by: String,
    },
    /// The file is no key ring.
    #[error("the key ring in `{0}` is damaged; restore it from a copy")]
    Malformed(PathBuf),
    /// There is none.
    #[error("there is no key ring in `{0}`; restore it from a copy: without it sealed data is lost")]
    Missing(PathBuf),
    /// Written by a newer program.
    #[error("the key ring has version {0}, this program reads up to {VERSION_KEPT}; use a newer one")]
    Newer(u64),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The root key is weak, or the file can be read by others.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Something depends on it for as long as there is the data directory.
    #[error("the key `{0}` is in use, or what it looks up has no other; nothing was changed")]
    InUse(String),
    /// The log's keys change together, and in the log.
    #[error(
        "the keys of the log are rotated together, by the running ledger; use `sallyport keys rotate log`"
    )]
    WithTheLog,
    /// It does not open with this root key.
    #[error("the root key does not open the key ring in `{0}`: it is another key, or the file was altered")]
    WrongRoot(PathBuf),
}

/// Where a ring is kept, if not in a file.
pub trait RingPlace: std::fmt::Debug + Send + Sync {
    /// Its bytes; none before it was made.
    ///
    /// # Errors
    /// When the place cannot be asked.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Puts other bytes in the place of those that were read last. Durable when it returns.
    ///
    /// # Errors
    /// When somebody else changed them since, or the place refuses.
    fn replace(&self, bytes: &[u8]) -> io::Result<()>;
}

/// A file that only its owner can read.
#[derive(Debug)]
struct RingFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl RingPlace for RingFile {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(&self.path, RING_BYTES_MAX)
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk
            .create_dir(self.path.parent().unwrap_or(Path::new("")))?;
        replace(&*self.disk, &self.path, bytes)
    }
}

/// The keys of a data directory, or those that replicas share.
#[derive(Debug)]
pub struct KeyRing {
    /// Where it is, for messages.
    path: PathBuf,
    place: Arc<dyn RingPlace>,
    clock: Clock,
    random: Random,
    root: Root,
    /// What the file is sealed with; none before it was made or read.
    sealing: Option<Sealing>,
    keys: Vec<Key>,
    log_begun: bool,
}

impl KeyRing {
    /// Makes a ring with one key of each use, sealed by a root key of 32 bytes.
    ///
    /// # Errors
    /// When there is one already, or it cannot be made.
    pub fn create(
        path: &Path,
        root: impl Into<Root>,
        disk: Arc<dyn Disk>,
        clock: Clock,
        random: Random,
    ) -> Result<Self, RingError> {
        let path = path.to_owned();
        let file = Arc::new(RingFile {
            path: path.clone(),
            disk,
        });
        Self::create_at(path, file, root, clock, random)
    }

    /// The same in another place than a file, which `name` is for messages.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_at(
        name: PathBuf,
        place: Arc<dyn RingPlace>,
        root: impl Into<Root>,
        clock: Clock,
        random: Random,
    ) -> Result<Self, RingError> {
        let mut ring = Self::empty(name, place, root.into(), clock, random);
        if ring.bytes()?.is_some() {
            return Err(RingError::Exists(ring.path));
        }
        for purpose in Use::ALL {
            let key = ring.make(*purpose)?;
            ring.keys.push(key);
        }
        ring.sealing = Some(Sealing::begin(&ring.root, &ring.random)?);
        ring.save()?;
        Ok(ring)
    }

    /// Opens a ring.
    ///
    /// # Errors
    /// When there is none, others can read it, it is damaged or newer, or the root key is another.
    pub fn open(
        path: &Path,
        root: impl Into<Root>,
        disk: Arc<dyn Disk>,
        clock: Clock,
        random: Random,
    ) -> Result<Self, RingError> {
        let path = path.to_owned();
        let file = Arc::new(RingFile {
            path: path.clone(),
            disk: Arc::clone(&disk),
        });
        if file.read().is_ok_and(|bytes| bytes.is_some()) {
            private(&*disk, &path)?;
        }
        Self::open_at(path, file, root, clock, random)
    }

    /// The same from another place than a file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_at(
        name: PathBuf,
        place: Arc<dyn RingPlace>,
        root: impl Into<Root>,
        clock: Clock,
        random: Random,
    ) -> Result<Self, RingError> {
        let mut ring = Self::empty(name, place, root.into(), clock, random);
        let Some(bytes) = ring.bytes()? else {
            return Err(RingError::Missing(ring.path));
        };
        ring.load(bytes)?;
        Ok(ring)
    }

    fn empty(path: PathBuf, place: Arc<dyn RingPlace>, root: Root, clock: Clock, random: Random) -> Self {
        Self {
            path,
            place,
            clock,
            random,
            root,
            sealing: None,
            keys: Vec::new(),
            log_begun: false,
        }
    }

    /// The key in use.
    ///
    /// # Errors
    /// When the ring has none, which only a damaged ring has not.
    pub fn current(&self, purpose: Use) -> Result<&Key, RingError> {
        let mut of_use = self.keys.iter().rev().filter(|key| key.purpose == purpose);
        let current = of_use.find(|key| key.retired_ms.is_none() && key.secret.is_some());
        current.ok_or_else(|| RingError::Malformed(self.path.clone()))
    }

    /// A key by its id, retired or not.
    #[must_use]
    pub fn key(&self, purpose: Use, id: &str) -> Option<&Key> {
        self.keys
            .iter()
            .find(|key| key.purpose == purpose && key.id == id)
    }

    /// All keys, oldest first.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Makes a new key of a use and retires the one in use.
    ///
    /// # Errors
    /// When it cannot be made or saved, or is one of the log's; then nothing has changed.
    pub fn rotate(&mut self, purpose: Use) -> Result<&Key, RingError> {
        match purpose {
            Use::LogEd25519 | Use::LogFrames | Use::LogMlDsa44 => return Err(RingError::WithTheLog),
            Use::Index => return Err(RingError::InUse(purpose.as_str().to_owned())),
            Use::Digest | Use::Token | Use::Wrap => {}
        }
        self.rotate_all(&[purpose])?;
        self.current(purpose)
    }

    /// Forgets the secret of a retired key. Whatever it sealed or digested is lost with it: the caller has seen
    /// to it that nothing still needed is.
    ///
    /// # Errors
    /// When there is no such key, it is in use or tags the log, or the ring cannot be saved.
    pub fn destroy(&mut self, id: &str) -> Result<(), RingError> {
        let before = self.keys.clone();
        let found = self.keys.iter_mut().find(|key| key.id == id);
        let found = found.filter(|key| key.retired_ms.is_some() && key.purpose != Use::LogFrames);
        let key = found.ok_or_else(|| RingError::InUse(id.to_owned()))?;
        key.secret = None;
        self.save().inspect_err(|_| self.keys = before)
    }

    /// New signing keys for the log, both at once. The frames' key stays: what it tagged must be read.
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub fn rotate_log(&mut self, origin: &str) -> Result<LogKeys, RingError> {
        self.rotate_all(&[Use::LogEd25519, Use::LogMlDsa44])?;
        self.log_keys(origin)
    }

    /// What signs and tags the log of this origin, with the public halves of all it had before.
    ///
    /// # Errors
    /// When the origin cannot name a key.
    pub fn log_keys(&self, origin: &str) -> Result<LogKeys, RingError> {
        let seed = |purpose| {
            let secret = self.current(purpose)?.secret.clone();
            secret.ok_or_else(|| RingError::Malformed(self.path.clone()))
        };
        let (ed25519, ml_dsa) = (seed(Use::LogEd25519)?, seed(Use::LogMlDsa44)?);
        let keys = LogKeys::from_seeds(origin, &ed25519, &ml_dsa, &seed(Use::LogFrames)?)?;
        let retired = self.keys.iter().filter(|key| key.retired_ms.is_some());
        let retired = retired.filter_map(|key| match key.purpose {
            Use::LogEd25519 => VerifierKey::new(origin, SignatureType::Ed25519, &key.public).ok(),
            Use::LogMlDsa44 => VerifierKey::new(origin, SignatureType::MlDsa44, &key.public).ok(),
            Use::Digest | Use::Index | Use::LogFrames | Use::Token | Use::Wrap => None,
        });
        Ok(keys.with_retired(retired.collect()))
    }

    /// Makes keyed digests with the key in use.
    ///
    /// # Errors
    /// As [`Self::current`].
    pub fn digester(&self) -> Result<Digester, RingError> {
        let secret = self.current(Use::Digest)?.secret.as_ref();
        secret
            .map(Digester::new)
            .ok_or_else(|| RingError::Malformed(self.path.clone()))
    }

    /// Whether a log was ever begun with these keys: then an empty directory is a loss, not a beginning.
    #[must_use]
    pub fn log_begun(&self) -> bool {
        self.log_begun
    }

    /// Remembers that the log was begun.
    ///
    /// # Errors
    /// When the ring cannot be saved.
    pub fn mark_log_begun(&mut self) -> Result<(), RingError> {
        if self.log_begun {
            return Ok(());
        }
        self.log_begun = true;
        self.save().inspect_err(|_| self.log_begun = false)
    }

    /// Seals the ring with another root key from now on. Nothing else is sealed by the root key, so this is
    /// all there is to do.
    ///
    /// # Errors
    /// When the ring cannot be saved; then the old root key stays.
    pub fn change_root(&mut self, root: impl Into<Root>) -> Result<(), RingError> {
        let root = root.into();
        let sealing = Sealing::begin(&root, &self.random)?;
        let before = self.sealing.replace(sealing);
        self.save().inspect_err(|_| self.sealing = before)?;
        self.root = root;
        Ok(())
    }

    fn rotate_all(&mut self, purposes: &[Use]) -> Result<(), RingError> {
        let before = self.keys.clone();
        let now_ms = self.clock.unix_ms();
        for purpose in purposes {
            let made = self.make(*purpose)?;
            for key in self.keys.iter_mut().filter(|key| key.purpose == *purpose) {
                key.retired_ms.get_or_insert(now_ms);
                key.secret.take_if(|_| !purpose.outlives());
            }
            self.keys.push(made);
        }
        self.save().inspect_err(|_| self.keys = before)
    }

    fn make(&self, purpose: Use) -> Result<Key, RingError> {
        let secret = Secret::new(self.random.array::<SEED_BYTES>()?.to_vec());
        Ok(Key {
            purpose,
            id: hex(&self.random.array::<8>()?),
            created_ms: self.clock.unix_ms(),
            retired_ms: None,
            public: public_of(purpose, &secret)?,
            secret: Some(secret),
        })
    }

    fn refused(&self, source: io::Error) -> RingError {
        RingError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>, RingError> {
        self.place.read().map_err(|error| self.refused(error))
    }

    fn save(&self) -> Result<(), RingError> {
        let malformed = || RingError::Malformed(self.path.clone());
        let sealing = self.sealing.as_ref().ok_or_else(malformed)?;
        let mut sealed = Vec::new();
        for key in &self.keys {
            let secret = key.secret.as_ref();
            let bytes = secret.map(|secret| seal(&sealing.key, &place(key), secret.expose(), &self.random));
            sealed.push(bytes.transpose().map_err(|error| match error {
                SealError::Random(error) => RingError::Random(error),
                SealError::Broken | SealError::Key => RingError::WrongRoot(self.path.clone()),
            })?);
        }
        let bytes = object(|out| {
            out.array("keys", |list| {
                for (key, sealed) in self.keys.iter().zip(&sealed) {
                    list.object(|out| {
                        out.integer("created", key.created_ms);
                        out.string("id", &key.id);
                        out.string("public", &BASE64.encode(&key.public));
                        if let Some(retired_ms) = key.retired_ms {
                            out.integer("retired", retired_ms);
                        }
                        if let Some(sealed) = sealed {
                            out.string("sealed", &BASE64.encode(sealed));
                        }
                        out.string("use", key.purpose.as_str());
                    });
                }
            });
            out.boolean("log_begun", self.log_begun);
            if let Some(wrapped) = &sealing.wrapped {
                out.object("root", |out| {
                    out.string("by", &wrapped.by);
                    out.string("wrapped", &wrapped.text());
                });
            }
            out.integer("v", sealing.wrapped.as_ref().map_or(VERSION, |_| VERSION_KEPT));
        });
        self.place.replace(&bytes).map_err(|error| self.refused(error))
    }

    fn load(&mut self, bytes: Vec<u8>) -> Result<(), RingError> {
        let malformed = || RingError::Malformed(self.path.clone());
        let bounds = wire::bounds::JsonBounds {
            text_bytes_max: RING_BYTES_MAX,
            values_max: 100_000,
            ..CREDENTIAL
        };
        let document = Document::parse(bytes, JsonKeys::Exact, &bounds).map_err(|_| malformed())?;
        let node = document.root();
        let version = node
            .get("v")
            .and_then(|v| v.as_number()?.as_u64())
            .ok_or_else(malformed)?;
        if version > VERSION_KEPT {
            return Err(RingError::Newer(version));
        }
        let sealing = self.sealed_by(node.get("root"))?;
        let mut keys = Vec::new();
        for one in node.get("keys").ok_or_else(malformed)?.elements() {
            let (mut key, sealed) = read_key(one).ok_or_else(malformed)?;
            if let Some(sealed) = sealed {
                let secret = open(&sealing.key, &place(&key), &sealed);
                key.secret = Some(secret.map_err(|_| RingError::WrongRoot(self.path.clone()))?);
            }
            keys.push(key);
        }
        self.log_begun = node
            .get("log_begun")
            .and_then(Node::as_bool)
            .ok_or_else(malformed)?;
        self.keys = keys;
        self.sealing = Some(sealing);
        self.index_of_old();
        for purpose in Use::ALL {
            self.current(*purpose)?;
        }
        Ok(())
    }
}

impl KeyRing {
    /// What a file is sealed with, which says so itself where somebody keeps it.
    fn sealed_by(&self, said: Option<Node<'_>>) -> Result<Sealing, RingError> {
        let read = |node: Node<'_>| {
            let text = |name| node.get(name).and_then(Node::as_str);
            Wrapped::read(&text("by")?, &text("wrapped")?)
        };
        let wrapped = said.map(|node| read(node).ok_or_else(|| RingError::Malformed(self.path.clone())));
        let path = self.path.clone();
        match (&self.root, wrapped.transpose()?) {
            (Root::Key(key), None) => Ok(Sealing {
                key: key.clone(),
                wrapped: None,
            }),
            (Root::Kept(kept), Some(wrapped)) => Ok(kept.open(wrapped)?),
            (Root::Key(_), Some(wrapped)) => Err(RingError::KeptElsewhere { path, by: wrapped.by }),
            (Root::Kept(kept), None) => Err(RingError::NotKept {
                path,
                by: kept.name(),
            }),
        }
    }

    /// Rings of older programs looked things up by their first key for digests; it goes on as a key of its own.
    fn index_of_old(&mut self) {
        if self.keys.iter().any(|key| key.purpose == Use::Index) {
            return;
        }
        let first = self.keys.iter().find(|key| key.purpose == Use::Digest).cloned();
        self.keys.extend(first.map(|first| Key {
            purpose: Use::Index,
            retired_ms: None,
            ..first
        }));
    }
}

/// A key as it is stored, without its secret, and the sealed secret.
fn read_key(node: Node<'_>) -> Option<(Key, Option<Vec<u8>>)> {
    let text = |name| node.get(name).and_then(Node::as_str);
    let number = |name| {
        node.get(name)
            .and_then(|node: Node<'_>| node.as_number()?.as_u64())
    };
    let sealed = match text("sealed") {
        Some(sealed) => Some(BASE64.decode(&*sealed).ok()?),
        None => None,
    };
    let key = Key {
        purpose: Use::from_text(&text("use")?)?,
        id: text("id")?.into_owned(),
        created_ms: number("created")?,
        retired_ms: number("retired"),
        public: BASE64.decode(&*text("public")?).ok()?,
        secret: None,
    };
    Some((key, sealed))
}

/// What a sealed key is bound to: it opens as no other key than it was made for.
fn place(key: &Key) -> Vec<u8> {
    let retired = key.retired_ms.is_some();
    let public = hex(&key.public);
    format!(
        "sallyport-keyring/{VERSION}\0{}\0{}\0{retired}\0{public}",
        key.purpose.as_str(),
        key.id
    )
    .into_bytes()
}

fn public_of(purpose: Use, secret: &Secret) -> Result<Vec<u8>, KeyError> {
    match purpose {
        Use::LogEd25519 | Use::Token => Ed25519KeyPair::from_seed_unchecked(secret.expose())
            .map(|pair| pair.public_key().as_ref().to_vec())
            .map_err(|_| KeyError::Refused("Ed25519")),
        Use::LogMlDsa44 => PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, secret.expose())
            .map(|pair| pair.public_key().as_ref().to_vec())
            .map_err(|_| KeyError::Refused("ML-DSA-44")),
        Use::Digest | Use::Index | Use::LogFrames | Use::Wrap => Ok(Vec::new()),
    }
}
