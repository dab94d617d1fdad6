//! Copies of every file an import changes, and the way back. A record is on disk before the first file it
//! names is touched, so that even a half-done import can be undone.

use std::{
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use records::digest::hex;
use serde_json::{Value, json};

use super::secrets;
use crate::failure::Failure;

/// The record of an import, in its folder.
const RECORD: &str = "record.json";
/// What it is called when it is done with.
const UNDONE: &str = "undone.json";

/// One changed file.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// The client's name for people, or none for our own configuration.
    pub(crate) client: Option<String>,
    pub(crate) path: PathBuf,
    /// The digest of what was there; none if nothing was.
    before: Option<String>,
    after: String,
    /// The copy, in the record's folder.
    copy: String,
}

/// An import, as it can be undone.
#[derive(Debug)]
pub(crate) struct Record {
    folder: PathBuf,
    pub(crate) saved: Vec<Saved>,
    secrets: Vec<PathBuf>,
}

/// A change to be made: whose file, which, what was read from it, what it will be.
#[derive(Debug)]
pub(crate) struct Change<'c> {
    pub(crate) client: Option<&'c str>,
    pub(crate) path: &'c Path,
    pub(crate) old: Option<&'c str>,
    pub(crate) new: &'c str,
}

fn backups(data: &Path) -> PathBuf {
    data.join("backups")
}

fn sum(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(digest(&SHA256, bytes).as_ref()))
}

impl Record {
    /// Begins a record. The time orders records.
    pub(crate) fn begin(data: &Path, now_ms: i64, secrets: Vec<PathBuf>) -> Self {
        Self {
            folder: backups(data).join(format!("{now_ms:015}")),
            saved: Vec::new(),
            secrets,
        }
    }

    /// Changes a file: first the copy and the record, then the file itself, all at once. A file that is not
    /// what was read any more is left alone.
    pub(crate) fn change(&mut self, change: &Change<'_>) -> Result<PathBuf, Failure> {
        let shown = change.path.display();
        let now = read(change.path).map_err(|error| failed("read", change.path, &error))?;
        if now.as_deref() != change.old.map(str::as_bytes) {
            return Err(Failure::configuration(format!(
                "{shown} was changed in this moment; close what writes to it and import again"
            )));
        }
        let name = change
            .path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let copy = format!("{}-{name}", self.saved.len());
        let kept = self.folder.join(&copy);
        let old = change.old.unwrap_or_default().as_bytes();
        secrets::write_private(&kept, old).map_err(|error| failed("write", &kept, &error))?;
        self.saved.push(Saved {
            client: change.client.map(str::to_owned),
            path: change.path.to_path_buf(),
            before: change.old.map(|old| sum(old.as_bytes())),
            after: sum(change.new.as_bytes()),
            copy,
        });
        self.write()?;
        replace(change.path, change.new.as_bytes()).map_err(|error| failed("write", change.path, &error))?;
        Ok(kept)
    }

    fn write(&self) -> Result<(), Failure> {
        let files = self.saved.iter().map(|saved| {
            json!({
                "client": saved.client, "path": saved.path, "before": saved.before, "after": saved.after,
                "copy": saved.copy,
            })
        });
        let text = json!({ "version": 1, "files": files.collect::<Vec<_>>(), "secrets": self.secrets });
        let path = self.folder.join(RECORD);
        replace(&path, text.to_string().as_bytes()).map_err(|error| failed("write", &path, &error))
    }

    fn read(folder: PathBuf) -> Result<Self, Failure> {
        let path = folder.join(RECORD);
        let damaged = || {
            let shown = path.display();
            Failure::configuration(format!(
                "{shown} is damaged; the copies beside it are whole, put them back by hand"
            ))
        };
        let text = std::fs::read(&path).map_err(|error| failed("read", &path, &error))?;
        let record: Value = serde_json::from_slice(&text).map_err(|_| damaged())?;
        let texts = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let list = |key: &str| {
            record
                .get(key)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        let files = list("files");
        let saved = files.iter().map(|file| {
            Some(Saved {
                client: texts(file, "client"),
                path: texts(file, "path").map(PathBuf::from)?,
                before: texts(file, "before"),
                after: texts(file, "after")?,
                copy: texts(file, "copy")?,
            })
        });
        let saved = saved.collect::<Option<Vec<_>>>().ok_or_else(damaged)?;
        let secrets = list("secrets")
            .iter()
            .filter_map(Value::as_str)
            .map(PathBuf::from)
            .collect();
        Ok(Self {
            folder,
            saved,
            secrets,
        })
    }
}

/// The last import that was not undone.
pub(crate) fn last(data: &Path) -> Result<Option<Record>, Failure> {
    let Ok(folders) = std::fs::read_dir(backups(data)) else {
        return Ok(None);
    };
    let folders = folders.filter_map(Result::ok).map(|folder| folder.path());
    let open = folders.filter(|folder| folder.join(RECORD).is_file()).max();
    open.map(Record::read).transpose()
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Undone {
    /// It is what it was.
    Restored,
    /// It is our own configuration and was changed since, so it stays.
    Stays,
}

/// Undoes an import: each file is again what it was, byte for byte. When one of a client was changed since,
/// nothing is done unless forced; what it is now is then kept beside the record.
pub(crate) fn undo(record: &Record, force: bool) -> Result<Vec<(Saved, Undone)>, Failure> {
    let mut planned = Vec::new();
    for saved in &record.saved {
        let now = read(&saved.path).map_err(|error| failed("read", &saved.path, &error))?;
        let now_sum = now.as_deref().map(sum);
        let untouched = now_sum.as_ref() == Some(&saved.after) || now_sum == saved.before;
        if !untouched && saved.client.is_some() && !force {
            return Err(Failure::does_not_hold(format!(
                "{} was changed after the import, and undoing would lose that change; compare it with {}, \
                 then put it back by hand, or run `sallyport import --undo --force`. Nothing was changed",
                saved.path.display(),
                record.folder.join(&saved.copy).display()
            )));
        }
        let stays = !untouched && saved.client.is_none();
        planned.push((
            saved,
            now,
            if stays { Undone::Stays } else { Undone::Restored },
            untouched,
        ));
    }
    let mut done = Vec::new();
    for (saved, now, what, untouched) in planned {
        let copy = record.folder.join(&saved.copy);
        if !untouched && let Some(now) = now {
            let kept = record.folder.join(format!("{}.changed", saved.copy));
            let _ = std::fs::remove_file(&kept);
            secrets::write_private(&kept, &now).map_err(|error| failed("write", &kept, &error))?;
        }
        if what == Undone::Restored {
            restore(saved, &copy)?;
        }
        done.push((saved.clone(), what));
    }
    // Where the configuration stays, so do the secrets it refers to.
    if done.iter().all(|(_, what)| *what == Undone::Restored) {
        record.secrets.iter().for_each(|path| secrets::forget(path));
    }
    let (from, to) = (record.folder.join(RECORD), record.folder.join(UNDONE));
    std::fs::rename(&from, to).map_err(|error| failed("rename", &from, &error))?;
    Ok(done)
}

fn restore(saved: &Saved, copy: &Path) -> Result<(), Failure> {
    let Some(before) = &saved.before else {
        return match std::fs::remove_file(&saved.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove", &saved.path, &error))
            }
            Ok(()) | Err(_) => Ok(()),
        };
    };
    let bytes = std::fs::read(copy).map_err(|error| failed("read", copy, &error))?;
    if sum(&bytes) != *before {
        return Err(Failure::does_not_hold(format!(
            "{} is not the copy that was made; put {} back by hand",
            copy.display(),
            saved.path.display()
        )));
    }
    replace(&saved.path, &bytes).map_err(|error| failed("write", &saved.path, &error))
}

fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file all at once. It keeps its mode; a new one is for its owner alone.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let new = path.with_file_name(format!(".{name}.sallyport-{}", std::process::id()));
    let mode = std::fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o7777);
    let _ = std::fs::remove_file(&new);
    let written = secrets::write_private(&new, bytes)
        .and_then(|()| std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)))
        .and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written?;
    // The rename itself survives a power cut once the folder is on disk.
    match path.parent().map(std::fs::File::open) {
        Some(Ok(mut folder)) => folder.flush().and_then(|()| folder.sync_all()),
        Some(Err(_)) | None => Ok(()),
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::configuration(format!(
        "cannot {what} {}: {error}; correct its permissions and try again",
        path.display()
    ))
}
