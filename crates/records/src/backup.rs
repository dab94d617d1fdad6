//! Back-ups: a consistent copy of a data directory while it is used, with a signed list of what is in it.
//!
//! The root key is not in it: who finds a back-up finds sealed bytes and names. The order is tables, payloads, ledger,
//! so that nothing stands in a table whose entry is missing. It must not know what tables and entries mean.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;
use wire::{
    bounds::ANSWER,
    json::{Document, Keys as JsonKeys, Node, object},
};

use crate::{
    digest::{hex, sha256},
    disk::{Disk, How, RealDisk},
    dsse::{self, EnvelopeError},
    keys::{KeyError, LogKeys},
    ledger::{Reader, note::VerifierKey},
};

/// The signed list.
pub const MANIFEST: &str = "manifest.json";
/// The type of what is signed.
const KIND: &str = "application/vnd.sallyport.backup+json";
/// Longest file that is copied whole: a bundle, a key ring, a database.
const FILE_BYTES_MAX: usize = 8 * 1024 * 1024 * 1024;
/// Deepest directory of a ledger's tiles.
const DEPTH_MAX: usize = 8;

/// Why a back-up is not made or not used.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A file is not what was signed.
    #[error("`{0}` in the back-up is not what was signed: it was altered or damaged; use another back-up")]
    Altered(PathBuf),
    /// The list's signature.
    #[error("the list of the back-up: {0}")]
    Envelope(#[from] EnvelopeError),
    /// There is something already.
    #[error("there is something in `{0}` already; nothing was overwritten: name an empty directory")]
    Exists(PathBuf),
    /// Something that was not signed.
    #[error("`{0}` is in the back-up and not in its list; use another back-up, or remove it")]
    Extra(PathBuf),
    /// The system refuses.
    #[error("`{0}`: {1}")]
    Io(PathBuf, io::Error),
    /// The list cannot be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The list is malformed.
    #[error("the list of the back-up is malformed; use another back-up")]
    Malformed,
    /// A table or the ledger cannot be copied.
    #[error("it cannot be copied: {0}")]
    Source(String),
}

/// What a back-up holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// The ledger's name.
    pub origin: String,
    /// Entries of the ledger.
    pub size: u64,
    /// Digest of each file, by its path in the back-up.
    pub files: BTreeMap<String, String>,
}

/// What is copied.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'s> {
    /// Single files, by the names they get.
    pub files: &'s [(&'s str, &'s Path)],
    /// The ledger's directory. Everything written should be published before.
    pub ledger: &'s Path,
}

/// Makes a back-up in a new directory. `tables` copies the databases into it.
///
/// # Errors
/// When the directory is there already, or something cannot be copied. Then what was made is incomplete and has no
/// list.
pub fn create(
    to: &Path,
    sources: Sources<'_>,
    keys: &LogKeys,
    made_ms: u64,
    tables: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<Manifest, BackupError> {
    empty(to)?;
    RealDisk.create_dir(to).map_err(at(to))?;
    for (name, from) in sources.files {
        copy(from, &to.join(name))?;
    }
    tables(to).map_err(BackupError::Source)?;
    let reader = Reader::new(std::sync::Arc::new(RealDisk), sources.ledger);
    let checkpoint = reader
        .checkpoint()
        .map_err(|error| BackupError::Source(error.to_string()))?;
    let head = reader
        .head()
        .map_err(|error| BackupError::Source(error.to_string()))?;
    let ledger = to.join("ledger");
    RealDisk.create_dir(&ledger).map_err(at(&ledger))?;
    // Tiles only come; those this checkpoint needs are there and stay.
    put(&ledger.join("checkpoint"), checkpoint.as_bytes())?;
    copy_tree(&sources.ledger.join("tile"), &ledger.join("tile"), DEPTH_MAX)?;
    let mut files = BTreeMap::new();
    digests(to, to, &mut files, DEPTH_MAX)?;
    let manifest = Manifest {
        made_ms,
        origin: head.origin,
        size: head.size,
        files,
    };
    put(&to.join(MANIFEST), &dsse::sign(KIND, &manifest.write(), keys)?)?;
    Ok(manifest)
}

/// Checks a back-up: signed by a known key, and every file in it as it was.
///
/// # Errors
/// When it is not.
pub fn check(from: &Path, known: &[VerifierKey]) -> Result<Manifest, BackupError> {
    let path = from.join(MANIFEST);
    let envelope = RealDisk.read(&path, FILE_BYTES_MAX).map_err(at(&path))?;
    let opened = dsse::open(&envelope.ok_or(BackupError::Malformed)?, known)?;
    if opened.kind != KIND {
        return Err(BackupError::Malformed);
    }
    let manifest = Manifest::read(opened.statement).ok_or(BackupError::Malformed)?;
    let mut found = BTreeMap::new();
    digests(from, from, &mut found, DEPTH_MAX)?;
    found.remove(MANIFEST);
    for (name, digest) in &manifest.files {
        if found.remove(name).as_ref() != Some(digest) {
            return Err(BackupError::Altered(from.join(name)));
        }
    }
    match found.into_keys().next() {
        Some(extra) => Err(BackupError::Extra(from.join(extra))),
        None => Ok(manifest),
    }
}

/// Copies a checked back-up into an empty data directory: all of it or nothing. Half of one would start without what
/// was stopped and revoked.
///
/// # Errors
/// When there is something in it, a file is not what was checked any more, or it cannot be written.
pub fn restore(from: &Path, manifest: &Manifest, to: &Path) -> Result<(), BackupError> {
    empty(to)?;
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let half = to.with_file_name(name);
    // What an attempt that was interrupted left there.
    match fs::remove_dir_all(&half) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(BackupError::Io(half, error)),
        Ok(()) | Err(_) => {}
    }
    RealDisk.create_dir(&half).map_err(at(&half))?;
    for (name, digest) in &manifest.files {
        let source = from.join(name);
        let bytes = RealDisk.read(&source, FILE_BYTES_MAX).map_err(at(&source))?;
        let bytes = bytes.filter(|bytes| digest_of(bytes) == *digest);
        put(&half.join(name), &bytes.ok_or(BackupError::Altered(source))?)?;
    }
    fs::rename(&half, to).map_err(at(to))
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha256(&[bytes])))
}

impl Manifest {
    fn write(&self) -> Vec<u8> {
        object(|out| {
            out.object("files", |out| {
                self.files
                    .iter()
                    .for_each(|(name, digest)| out.string(name, digest));
            });
            out.integer("made", self.made_ms);
            out.string("origin", &self.origin);
            out.integer("size", self.size);
            out.integer("v", 1);
        })
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        let document = Document::parse(bytes, JsonKeys::Exact, &ANSWER).ok()?;
        let root = document.root();
        let number = |name: &str| root.get(name)?.as_number()?.as_u64();
        let file = |(name, digest): (Node<'_>, Node<'_>)| {
            let name = name.as_str()?.into_owned();
            // A path that leads out of the back-up is no path in it.
            let inside = name
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != "..");
            inside.then_some((name, digest.as_str()?.into_owned()))
        };
        (number("v")? == 1).then_some(())?;
        Some(Self {
            made_ms: number("made")?,
            origin: root.get("origin")?.as_str()?.into_owned(),
            size: number("size")?,
            files: root.get("files")?.members().map(file).collect::<Option<_>>()?,
        })
    }
}

/// Refuses a directory with anything in it.
fn empty(dir: &Path) -> Result<(), BackupError> {
    match fs::read_dir(dir) {
        Ok(mut found) => match found.next() {
            None => Ok(()),
            Some(_) => Err(BackupError::Exists(dir.to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BackupError::Io(dir.to_owned(), error)),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let bytes = RealDisk.read(from, FILE_BYTES_MAX).map_err(at(from))?;
    let missing = || BackupError::Io(from.to_owned(), io::ErrorKind::NotFound.into());
    put(to, &bytes.ok_or_else(missing)?)
}

/// Writes a new file for its owner alone, durably.
fn put(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let dir = path.parent().unwrap_or(Path::new(""));
    RealDisk.create_dir(dir).map_err(at(dir))?;
    let file = RealDisk.open(path, How::Create).map_err(at(path))?;
    file.write_at(bytes, 0)
        .and_then(|()| file.sync())
        .map_err(at(path))
}

fn copy_tree(from: &Path, to: &Path, depth: usize) -> Result<(), BackupError> {
    for name in RealDisk.list(from).map_err(at(from))? {
        let (source, target) = (from.join(&name), to.join(&name));
        if source.is_dir() && depth > 0 {
            copy_tree(&source, &target, depth - 1)?;
        } else if !name.ends_with(crate::disk::TEMPORARY) {
            match copy(&source, &target) {
                // A partial tile goes when the full one is there, which is copied, too.
                Err(BackupError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {}
                copied => copied?,
            }
        }
    }
    Ok(())
}

fn digests(
    root: &Path,
    dir: &Path,
    files: &mut BTreeMap<String, String>,
    depth: usize,
) -> Result<(), BackupError> {
    for name in RealDisk.list(dir).map_err(at(dir))? {
        let path = dir.join(&name);
        if path.is_dir() && depth > 0 {
            digests(root, &path, files, depth - 1)?;
            continue;
        }
        let bytes = RealDisk
            .read(&path, FILE_BYTES_MAX)
            .map_err(at(&path))?
            .unwrap_or_default();
        let inside = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        files.insert(inside, digest_of(&bytes));
    }
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::Io(path, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Random;

    fn manifest(files: &[(&str, &[u8])]) -> Manifest {
        let file = |(name, bytes): &(&str, &[u8])| ((*name).to_owned(), digest_of(bytes));
        Manifest {
            made_ms: 1,
            origin: "log.example/1".to_owned(),
            size: 0,
            files: files.iter().map(file).collect(),
        }
    }

    #[test]
    fn a_list_that_leads_out_of_the_back_up_is_no_list() {
        for name in ["../keys", "/etc/passwd", "ledger/../../keys", "a//b", "./a", ""] {
            let written = manifest(&[(name, b"x")]).write();
            assert_eq!(Manifest::read(written), None, "{name}");
        }
        let good = manifest(&[("ledger/checkpoint", b"x")]);
        assert_eq!(Manifest::read(good.write()), Some(good));
    }

    #[test]
    fn a_back_up_is_restored_whole_or_not_at_all_and_over_nothing() {
        let place = std::env::temp_dir().join(hex(&Random::system().array::<8>().unwrap()));
        let (from, to) = (place.join("from"), place.join("to"));
        put(&from.join("keys"), b"k").unwrap();
        put(&from.join("state.db"), b"s").unwrap();
        // Changed between the check and the copy: after the first file was written already.
        let other = manifest(&[("keys", b"k"), ("state.db", b"t")]);
        assert!(matches!(
            restore(&from, &other, &to),
            Err(BackupError::Altered(_))
        ));
        assert!(!to.exists(), "half of it is in place");
        let right = manifest(&[("keys", b"k"), ("state.db", b"s")]);
        restore(&from, &right, &to).unwrap();
        assert_eq!(fs::read(to.join("state.db")).unwrap(), b"s");
        assert!(matches!(restore(&from, &right, &to), Err(BackupError::Exists(_))));
        fs::remove_dir_all(place).unwrap();
    }
}
