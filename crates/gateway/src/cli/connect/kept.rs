//! What `connect` keeps between its runs: the tokens for one server and the name it was given. Sealed, in files that only
//! their owner reads. Several processes of one server take turns: one asks for a token, the others find it here.
//!
//! The key lies beside them unless `SALLYPORT_ROOT_KEY` has it: sealing keeps a copied file from being of use, not
//! whoever can read the whole directory.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use records::{
    ambient::Random,
    digest::hex,
    disk::{Disk, DiskFile, RealDisk, replace},
    keys::{SecretSource, create_key_file},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{ambient::Ambient, conversations::sealed::Seal, failure::Failure};

/// The largest file read, in bytes.
const FILE_BYTES_MAX: usize = 256 * 1024;
/// How often we look whether it is our turn.
const LOOK: Duration = Duration::from_millis(50);
/// Who may hold the place of the key while it is made.
const KEY_WAIT: Duration = Duration::from_secs(5);
/// What the sealing key is derived for.
const PURPOSE: &[u8] = b"sallyport: what connect keeps, version 1";
const ROOT_KEY: &str = "SALLYPORT_ROOT_KEY";

/// All that is kept of one server.
#[derive(Clone, Default, Deserialize, Serialize)]
pub(super) struct Session {
    /// Who gave the name and the token. Neither is shown to anybody else.
    pub(super) issuer: String,
    pub(super) name: Option<Name>,
    pub(super) token: Option<Token>,
}

/// The name an authorization server gave.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Name {
    pub(super) id: String,
    pub(super) secret: Option<String>,
    /// Where people are sent back to with it.
    pub(super) redirect: Option<String>,
}

/// A token with what is needed to use and to renew it.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Token {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    pub(super) expires_ms: i64,
    /// The scopes that were asked for.
    pub(super) asked: BTreeSet<String>,
    pub(super) is_bound: bool,
    /// The key it is bound to, as DER in base64.
    pub(super) key: Option<String>,
}

/// Where it is kept, if anywhere.
pub(super) struct Place {
    directory: Option<PathBuf>,
    name: String,
}

/// The turn of one process; it ends when this is dropped.
pub(super) struct Turn {
    _lock: Option<Arc<dyn DiskFile>>,
}

/// Whether anything outlives the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keeping {
    /// In the directory of this user, where there is one.
    Yes,
    /// What can be had again without anybody is not written down.
    No,
}

impl Place {
    /// The place of what these say: the server, and all that makes another token of it.
    pub(super) fn of(parts: &[&str], keeping: Keeping) -> Self {
        let mut whole = Vec::new();
        for part in parts {
            whole.extend_from_slice(&part.len().to_be_bytes());
            whole.extend_from_slice(part.as_bytes());
        }
        let name = hex(digest(&SHA256, &whole).as_ref()).chars().take(32).collect();
        let directory = directory().filter(|_| keeping == Keeping::Yes);
        Self { directory, name }
    }

    /// A number that is the same for the same server.
    pub(super) fn number(&self) -> u32 {
        let digits = self.name.get(..8).unwrap_or_default();
        u32::from_str_radix(digits, 16).unwrap_or_default()
    }

    /// Waits for our turn.
    pub(super) async fn turn(&self, patience: Duration) -> Result<Turn, Failure> {
        let Some(directory) = &self.directory else {
            return Ok(Turn { _lock: None });
        };
        RealDisk
            .create_dir(directory)
            .map_err(|error| unusable(directory, &error))?;
        lock(&directory.join(format!("{}.lock", self.name)), patience).await
    }

    /// What is kept. What cannot be opened any more is as good as nothing.
    pub(super) async fn read(&self) -> Result<Option<Session>, Failure> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        let file = self.file(directory);
        let sealed = RealDisk.read(&file, FILE_BYTES_MAX);
        let Some(sealed) = sealed.map_err(|error| unusable(&file, &error))? else {
            return Ok(None);
        };
        let text = String::from_utf8(sealed).ok();
        let seal = self.seal(directory).await?;
        let opened = text.and_then(|text| seal.open(text.trim(), self.name.as_bytes()));
        Ok(opened.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Keeps it, in place of what was there. Only in our turn.
    pub(super) async fn write(&self, session: &Session) -> Result<(), Failure> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        let text = serde_json::to_vec(session).map_err(|error| Failure::other(error.to_string()))?;
        let seal = self.seal(directory).await?;
        let sealed = seal.seal(&Ambient::system(), self.name.as_bytes(), &text);
        let file = self.file(directory);
        replace(&RealDisk, &file, sealed.as_bytes()).map_err(|error| unusable(&file, &error))
    }

    fn file(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.sealed", self.name))
    }

    async fn seal(&self, directory: &Path) -> Result<Seal, Failure> {
        let environment = |name: &str| std::env::var(name).ok();
        let file = directory.join("key");
        let source = match environment(ROOT_KEY) {
            Some(_) => SecretSource::Env(ROOT_KEY.to_owned()),
            None => SecretSource::File(file.clone()),
        };
        if matches!(source, SecretSource::File(_)) && !file.exists() {
            let turn = lock(&directory.join("key.lock"), KEY_WAIT).await?;
            if !file.exists() {
                create_key_file(&RealDisk, &file, &Random::system()).map_err(bad_key)?;
            }
            drop(turn);
        }
        let root = source.read_key(&RealDisk, &environment).map_err(bad_key)?;
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, root.expose()), PURPOSE);
        Seal::with(key.as_ref()).ok_or_else(|| Failure::other("there is no key to seal with"))
    }
}

async fn lock(path: &Path, patience: Duration) -> Result<Turn, Failure> {
    let end = Instant::now() + patience;
    loop {
        match RealDisk.lock(path).map_err(|error| unusable(path, &error))? {
            Some(lock) => return Ok(Turn { _lock: Some(lock) }),
            None if Instant::now() < end => tokio::time::sleep(LOOK).await,
            None => {
                return Err(Failure::unreachable(
                    "another `sallyport connect` to this server waits for a person; finish there, or end it",
                ));
            }
        }
    }
}

fn directory() -> Option<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("SALLYPORT_CONNECT_DIR").or_else(|| {
        let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
        Some(state?.join("sallyport/connect"))
    })
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::configuration(format!(
        "{}: {error}; set SALLYPORT_CONNECT_DIR to a directory of your own",
        path.display()
    ))
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn bad_key(error: records::keys::SecretError) -> Failure {
    Failure::configuration(error.to_string())
}
