//! What durable intent costs: appends to a ledger next to appends to SQLite and to PostgreSQL, and to the same ledger
//! without waiting for the disk, all in one run on one disk. `cargo xtask bench ledger` runs it.
//!
//! Everything shares the machine, so figures hold as ratios within one run. The entries are what a gateway writes of a
//! call. The ledger runs as in the gateway; the others get what is theirs: SQLite one connection under a lock (it has
//! one writer at a time whatever one does), PostgreSQL one connection for each appender.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use postgres::{Client, NoTls};
use records::{
    ambient::Clock,
    disk::{Disk, DiskFile, How, Identity, RealDisk},
    keys::{LogKeys, Secret},
    ledger::{Entry, Kind, Ledger, Options, Ports, entry::Principal},
};

#[expect(
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "the harness of the tests, of which little is used here"
)]
#[path = "../tests/support/cluster.rs"]
mod cluster;

const CONNECTIONS: [usize; 3] = [1, 32, 128];

fn main() -> io::Result<()> {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let window = Duration::from_secs(seconds.unwrap_or(3));
    let scratch = std::env::temp_dir().join(format!("sallyport-ledger-bench-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let measured = measure(&scratch, window);
    // After a failure a ledger may be open still; then what it writes stays.
    let _ = fs::remove_dir_all(&scratch);
    measured
}

fn measure(scratch: &Path, window: Duration) -> io::Result<()> {
    let line = |text: String| writeln!(io::stdout().lock(), "{text}");
    let mut cluster = cluster::Cluster::start().ok_or_else(|| io::Error::other("PostgreSQL is missing"))?;
    cluster.in_earnest();
    let length = intent(0).encode().bytes().len();
    line(format!(
        "Durable appends a second, entries of {length} bytes; the disk alone: {:.0} syncs a second\n",
        bare_syncs(scratch, length, window)?
    ))?;
    line("| connections | ledger | SQLite | PostgreSQL | × SQLite | × PostgreSQL |".to_owned())?;
    line("| --- | --- | --- | --- | --- | --- |".to_owned())?;
    for connections in CONNECTIONS {
        let ledger = Log::open(&scratch.join(format!("durable-{connections}")))?;
        let own = ledger.calls(connections, window, Mode::Entries)?.per_second();
        ledger.close()?;
        let sqlite = sqlite(&scratch.join(format!("{connections}.db")), connections, window)?;
        let server = server(&cluster, connections, window)?;
        line(format!(
            "| {connections} | {own:.0} | {sqlite:.0} | {server:.0} | {:.1} | {:.1} |",
            own / sqlite,
            own / server
        ))?;
    }
    line("\nCalls a second: an intent and an outcome each\n".to_owned())?;
    line("| connections | intent durable | nothing durable | ratio | bytes written a call | bytes kept a call |".to_owned())?;
    line("| --- | --- | --- | --- | --- | --- |".to_owned())?;
    let mut most = 0.0;
    for connections in CONNECTIONS {
        let dir = scratch.join(format!("calls-{connections}"));
        let ledger = Log::open(&dir)?;
        let before = written_bytes()?;
        let durable = ledger.calls(connections, window, Mode::Calls)?;
        ledger.close()?;
        let written = (written_bytes()? - before) / durable.done;
        let kept = bytes_of(&dir)? / durable.done;
        let loose = Log::open(&scratch.join(format!("loose-{connections}")))?;
        let without = loose.calls(connections, window, Mode::Loose)?.per_second();
        loose.close()?;
        most = durable.per_second();
        line(format!(
            "| {connections} | {most:.0} | {without:.0} | {:.2} | {written} | {kept} |",
            most / without
        ))?;
    }
    let calm = Log::open(&scratch.join("calm"))?;
    let times = calm.paced(most * 0.3, window * 2)?;
    calm.close()?;
    line(format!(
        "\nAt 30 % of that load ({:.0} calls a second), in µs\n",
        most * 0.3
    ))?;
    line("| | p50 | p99 |\n| --- | --- | --- |".to_owned())?;
    let [intents, syncs] = [&times.intents, &times.syncs].map(|all| [50, 99].map(|p| percentile(all, p)));
    line(format!("| an intent's wait | {} | {} |", intents[0], intents[1]))?;
    line(format!("| the disk's own sync | {} | {} |", syncs[0], syncs[1]))?;
    line(format!(
        "| added | {} | {} |",
        intents[0].saturating_sub(syncs[0]),
        intents[1].saturating_sub(syncs[1])
    ))?;
    Ok(())
}

/// What is appended and what is waited for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Mode {
    /// One entry after the other, each durable.
    Entries,
    /// Intents durable, outcomes written: as the gateway does.
    Calls,
    /// Both written and nothing waited for: as if there were no disk.
    Loose,
}

/// What was done in which time.
struct Done {
    done: u64,
    took: Duration,
}

impl Done {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn per_second(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64()
    }
}

/// A ledger on a disk that is timed.
struct Log {
    ledger: Ledger,
    syncs: Arc<Mutex<Vec<u64>>>,
}

/// Times of a calm hour, in microseconds.
struct Calm {
    intents: Vec<u64>,
    syncs: Vec<u64>,
}

impl Log {
    fn open(dir: &Path) -> io::Result<Self> {
        let secret = |byte| Secret::new(vec![byte; 32]);
        let keys = LogKeys::from_seeds("bench.example/log", &secret(1), &secret(2), &secret(3));
        let syncs = Arc::new(Mutex::new(Vec::new()));
        let ports = Ports {
            disk: Arc::new(Timed(syncs.clone())),
            ..Ports::real(clock())
        };
        // A gateway refuses what the disk does not take within a second; here that is waited for and measured.
        let options = Options {
            answer_within_ms: 60_000,
            ..Options::default()
        };
        let opened = Ledger::open(dir, keys.map_err(io::Error::other)?, options, ports);
        let (ledger, _) = opened.map_err(io::Error::other)?;
        Ok(Self { ledger, syncs })
    }

    /// So many callers, each with one call after the other.
    fn calls(&self, connections: usize, window: Duration, mode: Mode) -> io::Result<Done> {
        let begun = Instant::now();
        let until = begun + window;
        let caller = |caller: u64| {
            let ledger = self.ledger.clone();
            async move {
                let mut done = 0;
                while Instant::now() < until {
                    let call = caller << 32 | done;
                    match mode {
                        Mode::Entries => drop(ledger.append_durable(&refusal(call)).await?),
                        Mode::Calls => {
                            ledger.append_durable(&intent(call)).await?;
                            ledger.append(&outcome(call)).await?;
                        }
                        Mode::Loose => {
                            ledger.append(&intent(call)).await?;
                            ledger.append(&outcome(call)).await?;
                        }
                    }
                    done += 1;
                }
                Ok::<u64, records::ledger::Unavailable>(done)
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let done = runtime.block_on(async {
            let tasks: Vec<_> = (0..connections)
                .map(|n| tokio::spawn(caller(u64::try_from(n).unwrap_or(0))))
                .collect();
            let mut done = 0;
            for task in tasks {
                done += task.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
            }
            Ok::<u64, io::Error>(done)
        })?;
        let took = begun.elapsed();
        Ok(Done { done, took })
    }

    /// Calls that come at their own pace, whatever those before them do.
    fn paced(&self, per_second: f64, window: Duration) -> io::Result<Calm> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        self.syncs().clear();
        let intents = runtime.block_on(async {
            let begun = Instant::now();
            let gap = Duration::from_secs_f64(1.0 / per_second);
            let mut tick = tokio::time::interval(Duration::from_millis(1));
            let (mut next, mut call, mut tasks) = (begun, 0, Vec::new());
            while begun.elapsed() < window {
                tick.tick().await;
                while next <= Instant::now() {
                    let (ledger, asked) = (self.ledger.clone(), Instant::now());
                    call += 1;
                    next += gap;
                    tasks.push(tokio::spawn(async move {
                        ledger.append_durable(&intent(call)).await?;
                        let waited = asked.elapsed();
                        ledger.append(&outcome(call)).await?;
                        Ok::<Duration, records::ledger::Unavailable>(waited)
                    }));
                }
            }
            let mut waits = Vec::new();
            for task in tasks {
                waits.push(micros(
                    task.await.map_err(io::Error::other)?.map_err(io::Error::other)?,
                ));
            }
            Ok::<Vec<u64>, io::Error>(waits)
        })?;
        let syncs = std::mem::take(&mut *self.syncs());
        Ok(Calm { intents, syncs })
    }

    /// Ends it, so that it writes no more beside what is measured next.
    fn close(&self) -> io::Result<()> {
        self.ledger.close().map_err(io::Error::other)
    }

    fn syncs(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(call: u64, kind: Kind) -> Entry {
    let digest = |byte: &str| format!("hmac-sha256:{}", byte.repeat(32));
    Entry {
        call: Some(format!("{call:032x}")),
        principal: Principal {
            agent: Some("scribe".to_owned()),
            user: Some("alice".to_owned()),
            ..Principal::default()
        },
        purpose: Some("treatment".to_owned()),
        method: Some("tools/call".to_owned()),
        server: Some("charts".to_owned()),
        tool: Some("read_chart".to_owned()),
        rules: vec!["baseline/reads".to_owned()],
        policy: Some(digest("ab")),
        pin: Some(digest("cd")),
        args_digest: Some(digest("ef")),
        ..Entry::new(clock().unix_ms(), kind)
    }
    .with("sink", "read")
    .with("peer", "192.0.2.7:4711")
}

fn intent(call: u64) -> Entry {
    entry(call, Kind::Intent)
}

fn outcome(call: u64) -> Entry {
    entry(call, Kind::Outcome)
}

/// An entry that needs no other.
fn refusal(call: u64) -> Entry {
    entry(call, Kind::Refusal)
}

/// Whole appends a second by threads, until the time is over.
fn by_threads(
    appenders: Vec<Box<dyn FnMut() -> io::Result<()> + Send>>,
    window: Duration,
) -> io::Result<f64> {
    let (count, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    thread::scope(|scope| {
        for mut append in appenders {
            scope.spawn(|| {
                let mut append = move || append();
                while begun.elapsed() < window {
                    match append() {
                        Ok(()) => count.fetch_add(1, Ordering::Relaxed),
                        Err(_) => return failed.store(true, Ordering::Relaxed),
                    };
                }
            });
        }
    });
    if failed.into_inner() {
        return Err(io::Error::other("an append failed"));
    }
    let took = begun.elapsed();
    let done = count.into_inner();
    Ok(Done { done, took }.per_second())
}

fn sqlite(path: &Path, connections: usize, window: Duration) -> io::Result<f64> {
    let database = rusqlite::Connection::open(path).map_err(io::Error::other)?;
    let begin =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE log (entry BLOB NOT NULL)";
    database.execute_batch(begin).map_err(io::Error::other)?;
    let database = Arc::new(Mutex::new(database));
    let appender = |_| -> Box<dyn FnMut() -> io::Result<()> + Send> {
        let database = database.clone();
        Box::new(move || {
            let entry = refusal(1).encode();
            let database = database.lock().unwrap_or_else(PoisonError::into_inner);
            let insert = database.prepare_cached("INSERT INTO log VALUES (?1)");
            let inserted = insert.and_then(|mut insert| insert.execute([entry.bytes()]));
            inserted.map(drop).map_err(io::Error::other)
        })
    };
    by_threads((0..connections).map(appender).collect(), window)
}

fn server(cluster: &cluster::Cluster, connections: usize, window: Duration) -> io::Result<f64> {
    let address = cluster.database(&format!("log{connections}"));
    let connect = || Client::connect(&address, NoTls).map_err(io::Error::other);
    let table = "CREATE TABLE log (entry bytea NOT NULL)";
    connect()?.batch_execute(table).map_err(io::Error::other)?;
    let mut appenders: Vec<Box<dyn FnMut() -> io::Result<()> + Send>> = Vec::new();
    for _ in 0..connections {
        let mut client = connect()?;
        let insert = client
            .prepare("INSERT INTO log VALUES ($1)")
            .map_err(io::Error::other)?;
        appenders.push(Box::new(move || {
            let entry = refusal(1).encode();
            let inserted = client.execute(&insert, &[&entry.bytes()]);
            inserted.map(drop).map_err(io::Error::other)
        }));
    }
    by_threads(appenders, window)
}

/// Appending and syncing with nothing besides.
fn bare_syncs(scratch: &Path, length: usize, window: Duration) -> io::Result<f64> {
    let mut file = fs::File::create(scratch.join("bare"))?;
    let bytes = vec![b'x'; length];
    let append: Box<dyn FnMut() -> io::Result<()> + Send> = Box::new(move || {
        file.write_all(&bytes)?;
        file.sync_data()
    });
    by_threads(vec![append], window)
}

/// The machine's disk, with the time each sync of the write-ahead file took, in microseconds.
#[derive(Debug)]
struct Timed(Arc<Mutex<Vec<u64>>>);

#[derive(Debug)]
struct TimedFile(Arc<dyn DiskFile>, Arc<Mutex<Vec<u64>>>);

impl Disk for Timed {
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>> {
        let file = RealDisk.open(path, how)?;
        let is_segment = path.extension().is_some_and(|name| name == "wal");
        Ok(if is_segment {
            Arc::new(TimedFile(file, self.0.clone()))
        } else {
            file
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        RealDisk.read(path, bytes_max)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn DiskFile>>> {
        RealDisk.lock(path)
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        RealDisk.identity(path)
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        RealDisk.mode(path)
    }
}

impl DiskFile for TimedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let begun = Instant::now();
        let synced = self.0.sync();
        let mut times = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        times.push(micros(begun.elapsed()));
        synced
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn percentile(all: &[u64], percent: usize) -> u64 {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).copied().unwrap_or_default()
}

fn clock() -> Clock {
    Clock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or_default()
    })
}

/// What this process has sent to disks so far (proc_pid_io(5)).
fn written_bytes() -> io::Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("/proc/self/io says nothing of it"))
}

/// The length of all files below a directory.
fn bytes_of(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    let mut left: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for one in fs::read_dir(dir)? {
            let one = one?;
            let found = one.metadata()?;
            if found.is_dir() {
                left.push(one.path());
            } else {
                sum += found.len();
            }
        }
    }
    Ok(sum)
}
