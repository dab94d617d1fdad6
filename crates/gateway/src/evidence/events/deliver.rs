//! Live delivery. The ledger is the queue: each receiver has a place in it, kept in the store, and gets every entry
//! from there on, in order, at least once. Whoever is slow or away holds nobody up and loses nothing; where
//! configuration says `strict`, calls are refused while a receiver is too far behind.

use std::{
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Uri, header::CONTENT_TYPE};
use records::ledger::{Ledger, entry::rfc3339};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
    sync::watch,
};

use super::{Format, body, lines};
use crate::{
    config::events::{MeantEvents, To},
    failure::Failure,
    listen::stopped,
    outside::fetch::Fetch,
    storage::store::Store,
};

/// The store's table of places.
const PLACES: &str = "event-places";
/// Entries a strict receiver may be behind.
const BEHIND_MAX: u64 = 1_000;
/// Between two tries, at first and at most.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// How long a receiver may take.
const WAIT: Duration = Duration::from_secs(10);

/// Whom calls have to wait for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog(Arc<Behind>);

#[derive(Debug, Default)]
struct Behind {
    /// How many strict receivers are too far behind.
    receivers: AtomicUsize,
    /// Too few witnesses saw the ledger, where that is required.
    witnesses: AtomicBool,
}

impl Backlog {
    /// Why calls have to wait, if they have to.
    pub(crate) fn too_long(&self) -> Option<&'static str> {
        if self.0.receivers.load(Ordering::Relaxed) > 0 {
            return Some("a receiver of events that must not fall behind has fallen behind");
        }
        let unwitnessed = self.0.witnesses.load(Ordering::Relaxed);
        unwitnessed.then_some("too few of the witnesses that are required have seen the ledger")
    }

    /// Says whether calls have to wait for witnesses.
    pub(crate) fn unwitnessed(&self, is_far: bool) {
        self.0.witnesses.store(is_far, Ordering::Relaxed);
    }
}

/// Delivers to one receiver until told to stop.
pub(crate) async fn follow(
    meant: MeantEvents,
    ledger: Ledger,
    origin: String,
    store: Store,
    backlog: Backlog,
    mut stop: watch::Receiver<bool>,
) {
    let mut receiver = Receiver {
        meant,
        origin,
        connection: Connection::None,
    };
    tokio::select! {
        () = stopped(&mut stop) => {}
        () = receiver.run(&ledger, &store, &backlog) => {}
    }
}

struct Receiver {
    meant: MeantEvents,
    origin: String,
    connection: Connection,
}

/// What is open between two deliveries.
enum Connection {
    None,
    Tcp(TcpStream),
    Udp(UdpSocket),
    Http(Fetch),
}

impl Receiver {
    async fn run(&mut self, ledger: &Ledger, store: &Store, backlog: &Backlog) {
        let (key, to) = (self.meant.key(), self.meant.to.to_string());
        let stored = store.get(PLACES, &key).ok().flatten();
        let stored: Option<u64> = stored.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        // Whoever is new hears of what happens from now on, even when the first they hear is after a restart.
        let mut next: u64 = stored.unwrap_or_else(|| ledger.status().written);
        if stored.is_none() {
            self.keep_place(store, &key, next);
        }
        let mut tail = ledger.tail(next);
        let mut blocks = false;
        loop {
            let page = match tail.next().await {
                Ok(Some(page)) => page,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, to, "entries cannot be read for delivery");
                    mark(backlog, &mut blocks, self.is_late(ledger, next));
                    tokio::time::sleep(AGAIN_MAX).await;
                    tail = ledger.tail(next);
                    continue;
                }
            };
            let made = page
                .iter()
                .flat_map(|stored| lines(self.meant.format, &self.origin, stored));
            let made: Vec<Vec<u8>> = made.collect();
            let mut wait = AGAIN;
            while let Err(error) = self.send(&made).await {
                self.connection = Connection::None;
                tracing::warn!(%error, to, "events wait to be delivered");
                mark(backlog, &mut blocks, self.is_late(ledger, next));
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(AGAIN_MAX);
            }
            next = page.last().map_or(next, |last| last.index + 1);
            self.keep_place(store, &key, next);
            mark(backlog, &mut blocks, self.is_late(ledger, next));
        }
    }

    /// Whether calls have to wait for it.
    fn is_late(&self, ledger: &Ledger, next: u64) -> bool {
        self.meant.strict && ledger.status().written.saturating_sub(next) > BEHIND_MAX
    }

    fn keep_place(&self, store: &Store, key: &str, next: u64) {
        if let Err(error) = store.put(PLACES, key, next.to_string().as_bytes()) {
            tracing::warn!(%error, to = %self.meant.to, "events may be delivered twice");
        }
    }

    async fn send(&mut self, lines: &[Vec<u8>]) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        let sent = tokio::time::timeout(WAIT, self.send_at_once(lines)).await;
        sent.unwrap_or_else(|_| Err(Failure::unreachable("it did not take them in time")))
    }

    async fn send_at_once(&mut self, lines: &[Vec<u8>]) -> Result<(), Failure> {
        let refused = |error: std::io::Error| Failure::unreachable(error.to_string());
        match &self.meant.to {
            To::File(path) => {
                let (path, text) = (path.clone(), body(self.meant.format, lines));
                let written = tokio::task::spawn_blocking(move || append(path, &text)).await;
                written
                    .map_err(|error| Failure::other(error.to_string()))?
                    .map_err(refused)
            }
            To::Udp(address) => {
                if !matches!(self.connection, Connection::Udp(_)) {
                    self.connection = Connection::Udp(udp(*address).await.map_err(refused)?);
                }
                let Connection::Udp(socket) = &self.connection else {
                    return Ok(());
                };
                for line in lines {
                    socket.send(&syslog(line)).await.map_err(refused)?;
                }
                Ok(())
            }
            To::Tcp(address) => {
                if !matches!(self.connection, Connection::Tcp(_)) {
                    self.connection = Connection::Tcp(TcpStream::connect(*address).await.map_err(refused)?);
                }
                let Connection::Tcp(stream) = &mut self.connection else {
                    return Ok(());
                };
                for line in lines {
                    // RFC 6587 section 3.4.1: counted, so that a line break ends nothing.
                    let message = syslog(line);
                    let counted = [format!("{} ", message.len()).as_bytes(), &message].concat();
                    stream.write_all(&counted).await.map_err(refused)?;
                }
                stream.flush().await.map_err(refused)
            }
            To::Http(uri) => {
                if !matches!(self.connection, Connection::Http(_)) {
                    self.connection = Connection::Http(Fetch::new()?);
                }
                let Connection::Http(fetch) = &self.connection else {
                    return Ok(());
                };
                post(fetch, uri, self.meant.format, body(self.meant.format, lines)).await
            }
        }
    }
}

fn mark(backlog: &Backlog, blocks: &mut bool, is_late: bool) {
    if is_late && !*blocks {
        backlog.0.receivers.fetch_add(1, Ordering::Relaxed);
    }
    if !is_late && *blocks {
        backlog.0.receivers.fetch_sub(1, Ordering::Relaxed);
    }
    *blocks = is_late;
}

/// Appends to a file that only its owner can read. It may be moved away at any time.
fn append(path: PathBuf, text: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_data()
}

async fn udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

async fn post(fetch: &Fetch, uri: &Uri, format: Format, text: Vec<u8>) -> Result<(), Failure> {
    let kind = match format {
        Format::Otlp => "application/json",
        Format::Cef => "text/plain; charset=utf-8",
        Format::Json | Format::Ocsf => "application/x-ndjson",
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri.clone())
        .header(CONTENT_TYPE, kind)
        .body(Full::new(Bytes::from(text)))
        .map_err(|error| Failure::other(error.to_string()))?;
    let response = fetch.send(request).await?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    Err(Failure::unreachable(format!("it answered {status}")))
}

/// A message of syslog (RFC 5424): facility 13, the audit log; what it is about stands in the message.
fn syslog(line: &[u8]) -> Vec<u8> {
    const NOTICE: u32 = 13 * 8 + 5;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_ms = now.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    let head = format!(
        "<{NOTICE}>1 {} - sallyport {} - - ",
        rfc3339(now_ms),
        std::process::id()
    );
    [head.as_bytes(), line].concat()
}
