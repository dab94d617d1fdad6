//! SIGKILL under load: what the process had acknowledged is there, and every intent has one ending.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use records::{
    disk::RealDisk,
    ledger::Kind,
    verify::{Request, verify},
};

use super::*;

/// Set for the child: the ledger's directory.
const DIR: &str = "SALLYPORT_TEST_LEDGER_DIR";
/// Set by whoever wants more rounds.
const ROUNDS: &str = "SALLYPORT_KILL_ROUNDS";

#[test]
fn the_child_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let ledger = open(Path::new(&dir));
    let started = clock().unix_ms();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                for n in 0.. {
                    let call = format!("{started}-{thread}-{n}");
                    let entry = |kind| Entry {
                        call: Some(call.clone()),
                        ..Entry::new(started, kind)
                    };
                    let intent = ledger.append_durable(&entry(Kind::Intent)).wait().unwrap();
                    let outcome = ledger.append(&entry(Kind::Outcome)).wait().unwrap();
                    let line = format!(
                        "{} intent {call}\n{} outcome {call}\n",
                        intent.index, outcome.index
                    );
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn child(dir: &Path) -> Child {
    let me = std::env::current_exe().unwrap();
    Command::new(me)
        .args([
            "--exact",
            "kill::the_child_appends_until_it_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a child append for a while, kills it, and gives what it had acknowledged.
fn killed_after(dir: &Path, life: Duration) -> Vec<(u64, Kind, String)> {
    let mut child = child(dir);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (begun, has_begun) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut acknowledged = Vec::new();
        // The last line may be torn, and the harness prints some of its own.
        for line in lines.map_while(Result::ok) {
            let mut words = line.split(' ');
            let index = words.next().and_then(|word| word.parse().ok());
            let kind = words.next().and_then(Kind::from_text);
            if let (Some(index), Some(kind), Some(call)) = (index, kind, words.next()) {
                acknowledged.push((index, kind, call.to_owned()));
                // Nobody listens after the first.
                let _ = begun.send(());
            }
        }
        acknowledged
    });
    has_begun.recv().expect("the child appends");
    thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut acknowledged = reading.join().unwrap();
    // The call of the last line may be cut short.
    acknowledged.pop();
    acknowledged
}

#[test]
fn a_killed_process_has_lost_nothing_it_acknowledged() {
    if std::env::var_os(DIR).is_some() {
        return;
    }
    let rounds: u64 = std::env::var(ROUNDS).map_or(100, |rounds| rounds.parse().unwrap());
    let dir = fresh_dir("kill");
    let mut checked: u64 = 0;
    let (mut acknowledged, mut unknown, mut slowest) = (0, 0, Duration::ZERO);
    for round in 0..rounds {
        let promised = killed_after(&dir, Duration::from_millis(round * 37 % 150));
        let began = Instant::now();
        let (ledger, opening) = Ledger::open(&dir, keys(), Options::default(), Ports::real(clock())).unwrap();
        slowest = slowest.max(began.elapsed());
        unknown += opening.unknown_outcomes;
        ledger.close().unwrap();
        let entries = entries_from(&Reader::new(Arc::new(RealDisk), &dir), checked);
        for (index, kind, call) in &promised {
            let entry = &entries[usize::try_from(index - checked).unwrap()];
            assert_eq!(
                (entry.kind, entry.call.as_ref()),
                (*kind, Some(call)),
                "round {round}, entry {index}"
            );
        }
        let mut endings: HashMap<String, i64> = HashMap::new();
        for entry in entries.iter().filter(|entry| entry.call.is_some()) {
            let change = if entry.kind == Kind::Intent { 1 } else { -1 };
            *endings.entry(entry.call.clone().unwrap()).or_default() += change;
        }
        assert!(
            endings.values().all(|balance| *balance == 0),
            "every intent has one ending: {endings:?}"
        );
        acknowledged += promised.len();
        checked += u64::try_from(entries.len()).unwrap();
    }
    let known = keys().known();
    let request = Request {
        dir: &dir,
        known: &known,
        witnesses: records::verify::Witnesses::default(),
        older: &[],
        own: Some(&keys()),
    };
    let verified = verify(Arc::new(RealDisk), &request);
    assert!(verified.holds(), "{verified}");
    assert!(acknowledged > 100, "the children did something: {acknowledged}");
    let report = format!(
        "{rounds} kills: {acknowledged} acknowledged, 0 missing, {unknown} outcomes unknown, {checked} entries, \
         slowest recovery {slowest:?}\n"
    );
    std::io::stdout().write_all(report.as_bytes()).unwrap();
}
