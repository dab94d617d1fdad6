//! Finding the gateway of a configuration, or starting it: what `connect --serve` does before it bridges.
//!
//! Hosts start their servers all at once, so several bridges may look at the same moment. One of them has
//! the lock and starts the gateway; the others wait until it is there.

use std::{
    fs::{File, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::UnixStream,
    time::Instant,
};
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys, Node},
};

use crate::{failure::Failure, storage::vault::Layout};

/// How long it may take until a gateway is there.
const WAIT: Duration = Duration::from_secs(60);
/// How long a gateway may take to greet.
const GREETING_WAIT: Duration = Duration::from_secs(5);
/// How often we look.
const LOOK: Duration = Duration::from_millis(50);
/// How much of the gateway's last words is told.
const WORDS_BYTES_MAX: usize = 4 * 1024;

/// A gateway that is held open as long as this lives.
#[derive(Debug)]
pub(super) struct Attached {
    /// Such as `http://127.0.0.1:8420`.
    pub(super) base: String,
    connection: BufReader<UnixStream>,
}

impl Attached {
    /// Resolves when the gateway has ended.
    pub(super) async fn ended(&mut self) {
        let mut buffer = [0; 64];
        while let Ok(1..) = self.connection.read(&mut buffer).await {}
    }
}

/// Attaches to the gateway of a configuration and its data directory; starts it if none runs.
pub(super) async fn attach(config: &Path, data: &Path) -> Result<Attached, Failure> {
    let layout = Layout::new(data);
    let deadline = Instant::now() + WAIT;
    while Instant::now() < deadline {
        if let Some(attached) = greeted(config, &layout).await? {
            return Ok(attached);
        }
        if let Some(lock) = lock(data)? {
            let started = start(config, data, &layout, deadline).await;
            drop(lock);
            return started;
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(late(data))
}

/// Starts the gateway and waits until it greets. We have the lock.
async fn start(config: &Path, data: &Path, layout: &Layout, deadline: Instant) -> Result<Attached, Failure> {
    // Somebody else may have been quicker.
    if let Some(attached) = greeted(config, layout).await? {
        return Ok(attached);
    }
    let words = data.join("gateway.log");
    let _ = std::fs::remove_file(&words);
    let unable = |error: std::io::Error| Failure::other(format!("the gateway cannot be started: {error}"));
    let log = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&words)
        .map_err(unable)?;
    let mut child = tokio::process::Command::new(std::env::current_exe().map_err(unable)?)
        .args(["serve", "--while-used", "--config"])
        .arg(config)
        // Not the host's folder, which may go away.
        .current_dir(config.parent().unwrap_or(Path::new("/")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // Hosts end the group of what they started; other hosts need the gateway still.
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
        .map_err(unable)?;
    while Instant::now() < deadline {
        if let Some(attached) = greeted(config, layout).await? {
            return Ok(attached);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(last_words(&words, status.code()));
        }
        tokio::time::sleep(LOOK).await;
    }
    let _ = child.kill().await;
    Err(late(data))
}

fn late(data: &Path) -> Failure {
    let log = data.join("gateway.log");
    Failure::unreachable(format!(
        "the gateway was not there after {} s; see {}, or run `sallyport serve` to watch it start",
        WAIT.as_secs(),
        log.display()
    ))
}

/// What a gateway that ended at once said.
fn last_words(path: &PathBuf, code: Option<i32>) -> Failure {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let text = text.trim().strip_prefix("sallyport: ").unwrap_or(text.trim());
    let text: String = text.chars().take(WORDS_BYTES_MAX).collect();
    let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Failure::with_code(code, format!("the gateway could not be started: {text}"))
}

/// The gateway, if it runs and greets.
async fn greeted(config: &Path, layout: &Layout) -> Result<Option<Attached>, Failure> {
    let Ok(stream) = UnixStream::connect(layout.hold()).await else {
        return Ok(None);
    };
    let mut connection = BufReader::new(stream);
    let mut line = Vec::new();
    let reading = tokio::time::timeout(GREETING_WAIT, connection.read_until(b'\n', &mut line)).await;
    // One that is about to end hangs up without a word.
    let (Ok(Ok(1..)), true) = (reading, line.ends_with(b"\n")) else {
        return Ok(None);
    };
    let garbled = || Failure::unreachable("the gateway's greeting is garbled; are both of the same version?");
    let greeting = Document::parse(line, Keys::Exact, &CREDENTIAL).map_err(|_| garbled())?;
    let text = |name: &str| {
        greeting
            .root()
            .get(name)
            .and_then(Node::as_str)
            .map(std::borrow::Cow::into_owned)
    };
    let runs = text("config").map(PathBuf::from);
    let same = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if let Some(runs) = runs.filter(|runs| same(runs) != same(config)) {
        return Err(Failure::configuration(format!(
            "a gateway of another configuration, {}, has this data directory; stop it, or set `data` in {}",
            runs.display(),
            config.display()
        )));
    }
    Ok(Some(Attached {
        base: text("base").ok_or_else(garbled)?,
        connection,
    }))
}

/// The lock of those who start a gateway; none if somebody else has it. It ends with its owner.
fn lock(data: &Path) -> Result<Option<File>, Failure> {
    let path = data.join("connect.lock");
    let unusable = |error: std::io::Error| {
        Failure::configuration(format!(
            "cannot use {}: {error}; make the directory writable for you",
            path.display()
        ))
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(unusable)?;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}
