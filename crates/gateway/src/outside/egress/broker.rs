//! The sockets of the broker, one a server, and the connections over them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream, lookup_host},
    sync::Semaphore,
    task::JoinHandle,
};
use wire::mcp::ServerName;

use super::{
    Host, Look,
    clear::Clear,
    host::normal,
    speak::{self, Wanted},
};
use crate::{
    evidence::journal::{Egressed, Journal},
    operate::admin::control,
    outside::addresses::{Kind, connect, is_here, kind},
};

/// Connections of one server at a time.
const CONNECTIONS_MAX: usize = 64;
/// How long a program may take to say where it wants to, and resolution and connecting may take.
const WAIT: Duration = Duration::from_secs(20);
/// Most places a server wanted to that are kept.
const HEARD_MAX: usize = 256;
/// After a connection could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long an end may still be silent when the other has said all. A box that is gone keeps no place.
const SILENT: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(crate) struct Egress {
    directory: PathBuf,
    open: Mutex<BTreeMap<ServerName, Open>>,
    heard: Arc<Heard>,
}

/// Where servers wanted to, and whether they came there; kept while the gateway runs, for whoever learns a server.
#[derive(Debug, Default)]
struct Heard(Mutex<BTreeMap<ServerName, OfServer>>);

/// Hosts and ports, and whether connections to them came about.
type OfServer = BTreeMap<(String, u16), Came>;

/// Whether a connection came about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Came {
    Not,
    There,
}

impl Heard {
    fn add(&self, server: &ServerName, wanted: &Wanted, came: Came) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_server = heard.entry(server.clone()).or_default();
        if of_server.len() < HEARD_MAX {
            of_server.insert((normal(&wanted.host), wanted.port), came);
        }
    }
}

#[derive(Debug)]
struct Open {
    hosts: Vec<Host>,
    serving: JoinHandle<()>,
}

impl Egress {
    /// Sockets will be in this directory.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            open: Mutex::default(),
            heard: Arc::default(),
        }
    }

    /// What is known of what a server asked for is forgotten.
    pub(crate) fn forget(&self, server: &ServerName, asked: &std::path::Path) -> std::io::Result<()> {
        self.heard
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(server);
        match std::fs::remove_file(asked) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Where a server wanted to.
    pub(crate) fn wanted(&self, server: &ServerName) -> BTreeMap<(String, u16), Came> {
        let heard = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(server).cloned().unwrap_or_default()
    }

    /// Opens the way out for a server, unless it is open to the same hosts already.
    pub(crate) fn open(
        &self,
        server: &ServerName,
        hosts: &[Host],
        journal: &Journal,
        look: Look,
    ) -> std::io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(server).is_some_and(|open| open.hosts == hosts) {
            return Ok(());
        }
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let listener = control::open(&self.directory.join(server.as_str()))?;
        let door = Arc::new(Door {
            server: server.clone(),
            hosts: hosts.to_vec(),
            journal: journal.clone(),
            look,
            heard: Arc::clone(&self.heard),
            places: Semaphore::new(CONNECTIONS_MAX),
        });
        let opened = Open {
            hosts: hosts.to_vec(),
            serving: tokio::spawn(serve(door, listener)),
        };
        if let Some(before) = open.insert(server.clone(), opened) {
            before.serving.abort();
        }
        Ok(())
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        open.values().for_each(|open| open.serving.abort());
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// One server's way out.
struct Door {
    server: ServerName,
    hosts: Vec<Host>,
    journal: Journal,
    /// What is looked for in what leaves unencrypted.
    look: Look,
    heard: Arc<Heard>,
    places: Semaphore,
}

async fn serve(door: Arc<Door>, listener: UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is left, say: that passes, and the way out must not be closed for good.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let door = Arc::clone(&door);
        tokio::spawn(async move {
            let Ok(_place) = door.places.try_acquire() else {
                return;
            };
            // The program sees its connection end.
            let _ = door.pass(stream).await;
        });
    }
}

impl Door {
    async fn pass(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let Ok(heard) = tokio::time::timeout(WAIT, speak::hear(&mut stream)).await else {
            return Ok(());
        };
        let wanted = match heard? {
            Ok(wanted) => wanted,
            Err(why) => return speak::refuse(&mut stream, why).await,
        };
        let reached = tokio::time::timeout(WAIT, self.reach(&wanted)).await;
        let reached = reached.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        let there = match reached {
            Ok(there) => there,
            Err(why) => {
                self.heard.add(&self.server, &wanted, Came::Not);
                self.journal
                    .egress(&self.server, (&wanted.host, wanted.port), Egressed::Refused(&why));
                return wanted.refuse(&mut stream, &why).await;
            }
        };
        let peer = there.peer_addr();
        let is_public = peer
            .as_ref()
            .is_ok_and(|peer| kind(peer.ip().to_canonical()) == Kind::Public);
        let address = peer.map(|address| address.to_string()).unwrap_or_default();
        self.heard.add(&self.server, &wanted, Came::There);
        // At its beginning, too: one that never ends must not be unseen.
        let opened = Egressed::Opened(&address);
        self.journal
            .egress(&self.server, (&wanted.host, wanted.port), opened);
        let mut clear = is_public.then(|| Clear::new(Arc::clone(&self.look)));
        let refused = clear.as_mut().map_or(Ok(()), |clear| clear.pass(wanted.first()));
        if let Err(why) = refused {
            self.journal
                .egress(&self.server, (&wanted.host, wanted.port), Egressed::Refused(&why));
            return wanted.refuse(&mut stream, &why).await;
        }
        let first = wanted.accept(&mut stream).await?.to_vec();
        let (sent, received, stopped) = carry(stream, there, &first, clear, SILENT).await;
        if let Some(why) = stopped {
            self.journal
                .egress(&self.server, (&wanted.host, wanted.port), Egressed::Refused(&why));
        }
        self.journal.egress(
            &self.server,
            (&wanted.host, wanted.port),
            Egressed::Ended {
                address: &address,
                sent,
                received,
            },
        );
        Ok(())
    }

    /// Connects, if its manifest names the host and every address of it is one that may be reached.
    async fn reach(&self, wanted: &Wanted) -> Result<TcpStream, String> {
        let name = normal(&wanted.host);
        let covering = self.hosts.iter().filter(|host| host.covers(&name, wanted.port));
        let is_private = covering.clone().any(|host| host.private);
        if covering.count() == 0 {
            let (server, port) = (&self.server, wanted.port);
            let remedy = "name it under `network` of its sandbox if it should be";
            return Err(format!(
                "{name}:{port} is not among the hosts of `{server}`; {remedy}"
            ));
        }
        let resolved = lookup_host((name.as_str(), wanted.port)).await;
        let addresses: Vec<SocketAddr> = resolved.map_err(|error| error.to_string())?.collect();
        for address in &addresses {
            let address = address.ip().to_canonical();
            match (kind(address), is_private) {
                (Kind::Never, _) => return Err(format!("{address} is never reached")),
                (Kind::Public, false) if !is_here(address) => {}
                (Kind::Loopback | Kind::Private | Kind::Public, true) => {}
                (Kind::Loopback | Kind::Private | Kind::Public, false) => {
                    let remedy = "name the host under `private` if it is yours";
                    return Err(format!("{address} is not a public address elsewhere; {remedy}"));
                }
            }
        }
        connect(&addresses).await
    }
}

/// Passes bytes both ways until both ends have said all, or something must not leave; gives how many, and why not.
async fn carry(
    program: UnixStream,
    server: TcpStream,
    first: &[u8],
    clear: Option<Clear>,
    silent: Duration,
) -> (u64, u64, Option<String>) {
    let (from_program, to_program) = program.into_split();
    let (from_server, mut to_server) = server.into_split();
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    if to_server.write_all(first).await.is_err() {
        return (0, 0, None);
    }
    sent.fetch_add(u64::try_from(first.len()).unwrap_or_default(), Ordering::Relaxed);
    let there = copy(from_program, to_server, &sent, clear);
    let back = copy(from_server, to_program, &received, None);
    tokio::pin!(there, back);
    let stopped = tokio::select! {
        stopped = &mut there => match stopped {
            Err(why) => Some(why),
            Ok(()) => drained(&mut back, &received, silent).await,
        },
        _ = &mut back => drained(&mut there, &sent, silent).await,
    };
    (
        sent.load(Ordering::Relaxed),
        received.load(Ordering::Relaxed),
        stopped,
    )
}

/// Waits for the end of one way when the other has ended, as long as bytes still come; says why it was stopped.
async fn drained(
    mut copying: impl Future<Output = Result<(), String>> + Unpin,
    bytes: &AtomicU64,
    silent: Duration,
) -> Option<String> {
    loop {
        let before = bytes.load(Ordering::Relaxed);
        if let Ok(ended) = tokio::time::timeout(silent, &mut copying).await {
            return ended.err();
        }
        if bytes.load(Ordering::Relaxed) == before {
            return None;
        }
    }
}

/// Passes bytes one way, as long as they may leave.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes: &AtomicU64,
    mut clear: Option<Clear>,
) -> Result<(), String> {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let here = buffer.get(..read).unwrap_or_default();
        if let Some(clear) = &mut clear {
            clear.pass(here)?;
        }
        if to.write_all(here).await.is_err() {
            break;
        }
        bytes.fetch_add(u64::try_from(read).unwrap_or_default(), Ordering::Relaxed);
    }
    let _ = to.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream, UnixStream},
        time::timeout,
    };

    use super::carry;

    /// A program that said all, or is gone with its box, and a server that never ends: the place is free again.
    #[tokio::test]
    async fn an_end_that_is_silent_after_the_other_ended_is_let_go_of() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let there = TcpStream::connect(listener.local_addr().expect("an address"));
        let (there, accepted) = tokio::join!(there, listener.accept());
        let (there, (_silent, _)) = (there.expect("a server"), accepted.expect("a client"));
        let (mut program, gateways) = UnixStream::pair().expect("a pair");
        program.write_all(b"hello").await.expect("it reads");
        program.shutdown().await.expect("it ends");
        let carrying = carry(gateways, there, b"", None, Duration::from_millis(100));
        assert_eq!(timeout(Duration::from_secs(60), carrying).await, Ok((5, 0, None)));
    }
}
