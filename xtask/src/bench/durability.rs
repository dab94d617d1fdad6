//! `cargo xtask bench durability`: what it costs that every intent is durable, through the whole gateway.
//!
//! Two gateways of one build and one configuration, but for where their data is: on a disk, and in memory
//! (`/dev/shm`), where a sync costs nothing and keeps nothing. So no switch is needed that a gateway in earnest could
//! have, too. They are measured in turn, round by round, so that a busy machine is as busy for both; ratios of
//! neighbouring rounds count, and of them the median.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Shown,
    gateway::{Gateway, Programs, cpu_seconds, start_stub},
    shown,
};
use crate::run::{output, say};

/// Rounds of each kind.
const ROUNDS: usize = 7;
const CONNECTIONS: usize = 128;
const BYTES: usize = 200;
/// Part of the most that a calm gateway has to do.
const CALM: f64 = 0.3;
/// Between two syncs of the disk alone. Few, so that they are not what the ledger waits for.
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// Both gateways, and what asks them.
struct Bench<'b> {
    programs: &'b Programs,
    seconds: &'b str,
    kept: Gateway,
    lost: Gateway,
}

/// One round against one gateway.
struct Round {
    per_second: f64,
    cpu_us: f64,
    shown: Shown,
}

pub(super) fn measure(programs: &Programs, scratch: &Path, seconds: &str) -> Result<(), String> {
    let memory = Memory(PathBuf::from("/dev/shm").join(format!("sallyport-bench-{}", std::process::id())));
    let (_stub, upstream) = start_stub(&programs.tools)?;
    let begin = |name: &str, data: &Path| {
        std::fs::create_dir_all(data).map_err(|error| format!("{}: {error}", data.display()))?;
        Gateway::start(programs, &scratch.join(name), data, &upstream)
    };
    let bench = Bench {
        programs,
        seconds,
        kept: begin("kept", &scratch.join("kept"))?,
        lost: begin("lost", &memory.0)?,
    };
    let most = bench.full()?;
    bench.calm(most * CALM, scratch)
}

impl Bench<'_> {
    /// As many calls as come through. Gives how many that are with durability.
    fn full(&self) -> Result<f64, String> {
        // The first round of each warms caches and the pool of connections, and is not counted.
        self.round(&self.kept, None)?;
        self.round(&self.lost, None)?;
        say(&format!(
            "{CONNECTIONS} connections, calls of {BYTES} bytes, windows of {} s in turn\n\n\
             | round | durable calls/s | not durable | ratio | CPU µs/call durable | not durable | ratio |\n\
             | --- | --- | --- | --- | --- | --- | --- |",
            self.seconds
        ));
        let (mut rates, mut costs, mut most) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            let (kept, lost) = self.both(round, None)?;
            let (rate, cost) = (kept.per_second / lost.per_second, kept.cpu_us / lost.cpu_us);
            say(&format!(
                "| {round} | {:.0} | {:.0} | {rate:.2} | {:.0} | {:.0} | {cost:.2} |",
                kept.per_second, lost.per_second, kept.cpu_us, lost.cpu_us
            ));
            rates.push(rate);
            costs.push(cost);
            most.push(kept.per_second);
        }
        say(&format!(
            "\nmedian ratios: {:.2} of the calls, {:.2} times the gateway's CPU a call\n",
            median(&mut rates),
            median(&mut costs)
        ));
        Ok(median(&mut most))
    }

    /// So many calls a second, that come at their own pace.
    fn calm(&self, per_second: f64, scratch: &Path) -> Result<(), String> {
        say(&format!(
            "{per_second:.0} calls a second at their own pace ({:.0} % of that), µs; `sync` is the disk's own: one \
             file beside, {} bytes and a sync every {} ms, while the durable gateway is asked\n\n\
             | round | p50 durable | not | sync | added | p99 durable | not | sync | added |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            CALM * 100.0,
            SYNC_BYTES,
            PROBE_EVERY.as_millis()
        ));
        let (mut usual, mut rare) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            let probe = Probe::start(scratch)?;
            let kept = self.round(&self.kept, Some(per_second))?.shown;
            let mut syncs = probe.stop()?;
            let lost = self.round(&self.lost, Some(per_second))?.shown;
            syncs.sort_by(f64::total_cmp);
            let added = |kept: f64, lost: f64, sync: f64| kept - lost - sync;
            let (p50, p99) = (part(&syncs, 50), part(&syncs, 99));
            let (half, most) = (
                added(kept.p50_us, lost.p50_us, p50),
                added(kept.p99_us, lost.p99_us, p99),
            );
            say(&format!(
                "| {round} | {:.0} | {:.0} | {p50:.0} | {half:.0} | {:.0} | {:.0} | {p99:.0} | {most:.0} |",
                kept.p50_us, lost.p50_us, kept.p99_us, lost.p99_us,
            ));
            usual.push(half);
            rare.push(most);
        }
        say(&format!(
            "\nmedian added beyond the sync: p50 {:.0} µs, p99 {:.0} µs",
            median(&mut usual),
            median(&mut rare)
        ));
        Ok(())
    }

    /// One round of each, in an order that changes.
    fn both(&self, round: usize, rate: Option<f64>) -> Result<(Round, Round), String> {
        if round.is_multiple_of(2) {
            let lost = self.round(&self.lost, rate)?;
            return Ok((self.round(&self.kept, rate)?, lost));
        }
        Ok((self.round(&self.kept, rate)?, self.round(&self.lost, rate)?))
    }

    fn round(&self, gateway: &Gateway, rate: Option<f64>) -> Result<Round, String> {
        let mut load = std::process::Command::new(self.programs.tools.join("e2e-load"));
        let (bytes, connections) = (BYTES.to_string(), CONNECTIONS.to_string());
        load.args([&gateway.url, "stub__echo", &bytes, &connections, self.seconds]);
        load.arg(&gateway.token).args(rate.map(|rate| rate.to_string()));
        let before = cpu_seconds(&gateway.process)?;
        let shown = shown(&output(&mut load)?)?;
        let cpu = cpu_seconds(&gateway.process)? - before;
        Ok(Round {
            per_second: shown.calls / shown.seconds,
            cpu_us: cpu / shown.calls * 1e6,
            shown,
        })
    }
}

/// About what one group of a calm ledger is long.
const SYNC_BYTES: usize = 1_200;

/// Appends to a file beside and syncs it, again and again, as a ledger does that is alone with the disk.
struct Probe {
    ends: Arc<AtomicBool>,
    thread: thread::JoinHandle<std::io::Result<Vec<f64>>>,
}

impl Probe {
    fn start(scratch: &Path) -> Result<Self, String> {
        let file = File::create(scratch.join("probe")).map_err(|error| error.to_string())?;
        let ends = Arc::new(AtomicBool::new(false));
        let until = ends.clone();
        let thread = thread::spawn(move || {
            let (mut times, mut offset) = (Vec::new(), 0);
            while !until.load(Ordering::Relaxed) {
                let begun = Instant::now();
                file.write_all_at(&[b'x'; SYNC_BYTES], offset)?;
                file.sync_data()?;
                times.push(begun.elapsed().as_secs_f64() * 1e6);
                offset += SYNC_BYTES as u64;
                thread::sleep(PROBE_EVERY);
            }
            Ok(times)
        });
        Ok(Self { ends, thread })
    }

    fn stop(self) -> Result<Vec<f64>, String> {
        self.ends.store(true, Ordering::Relaxed);
        let times = self.thread.join().map_err(|_| "the probe panicked")?;
        times.map_err(|error| error.to_string())
    }
}

/// A directory in memory that goes with the bench.
struct Memory(PathBuf);

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn part(sorted: &[f64], percent: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).copied().unwrap_or_default()
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    part(all, 50)
}
