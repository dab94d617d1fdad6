//! Nothing reaches an upstream without an intent in the ledger, and nothing that was answered is missing from
//! it, however often the process is killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, Scratch, program},
    mcp::Client,
    peers::Served,
};
use serde_json::{Value, json};

/// Unless `SALLYPORT_KILL_ROUNDS` says more.
const ROUNDS: u32 = 20;
/// From sixteen calls on the ledger writes and syncs their entries together.
const CLIENTS: u32 = 24;
/// Calls that are answered in every other round before it is killed.
const ANSWERED: u32 = 20;

// CONTROL: audit activity-review availability
#[test]
fn kills_at_any_moment_lose_nothing_and_let_nothing_through_unrecorded() {
    let stub = program("e2e-stub");
    let servers =
        format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio, ./done/journal.txt] }} }}\n");
    let mut gateway = Gateway::configured(&format!("{servers}{OPEN_TO_TESTER}"));
    std::fs::create_dir(gateway.path("done")).expect("a directory");
    let journal = gateway.path("done/journal.txt");
    kill_again_and_again(&mut gateway, &journal);
}

/// The server lives on, and carries out what was on its way to it when the gateway died. A life begins sooner than
/// where a server has to be started in its box, so this is the one for many rounds.
// CONTROL: audit activity-review availability
#[test]
fn kills_lose_nothing_where_the_server_outlives_the_gateway() {
    let scratch = Scratch::new();
    let journal = scratch.path().join("journal.txt");
    let mut stub = Command::new(program("e2e-stub"));
    let stub = Served::start(stub.arg("http").env("STUB_JOURNAL", &journal));
    let servers = format!(
        "mcpServers: {{ stub: {{ url: {:?}, trust: trusted }} }}\n",
        stub.line
    );
    let mut gateway = Gateway::configured(&format!("{servers}{OPEN_TO_TESTER}"));
    kill_again_and_again(&mut gateway, &journal);
}

#[expect(
    clippy::print_stderr,
    reason = "a thousand rounds are long, and what they showed is worth knowing"
)]
fn kill_again_and_again(gateway: &mut Gateway, journal: &Path) {
    let acknowledged = Mutex::new(BTreeSet::new());
    let next = AtomicU32::new(1);
    let rounds =
        std::env::var("SALLYPORT_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let begun = Instant::now();
    for round in 0..rounds {
        if round % 100 == 0 {
            eprintln!("{round} kills after {} s", begun.elapsed().as_secs());
        }
        gateway.run();
        let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
        let dead = AtomicBool::new(false);
        let answered = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while !dead.load(Ordering::Relaxed) {
                        let trace = format!("{:032x}", next.fetch_add(1, Ordering::Relaxed));
                        let answer = client.call_traced("stub__journal", &json!({"text": "x"}), &trace);
                        if answer.is_ok_and(|answer| answer.is_good()) {
                            acknowledged.lock().expect("no panic").insert(trace);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            // Every other life ends among calls that are answered, however slow the machine is.
            let mut patience = 1_000;
            while round % 2 == 0 && answered.load(Ordering::Relaxed) < ANSWERED && patience > 0 {
                std::thread::sleep(Duration::from_millis(10));
                patience -= 1;
            }
            // Spread over the life of many calls, and different in every run.
            let noise = std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .map_or(0, |now| now.subsec_micros() % 40);
            std::thread::sleep(Duration::from_millis(u64::from(20 + round % 60 + noise)));
            gateway.kill();
            dead.store(true, Ordering::Relaxed);
        });
    }
    // One more life, so that open intents are closed as entries.
    gateway.run();
    gateway.stop();
    let executed = std::fs::read_to_string(journal).expect("something was executed");
    let acknowledged = acknowledged.into_inner().expect("no panic");
    let ledger = gateway.ledger();
    eprintln!(
        "{rounds} kills: {} acknowledged, {} executed, {} entries",
        acknowledged.len(),
        executed.lines().count(),
        ledger.len()
    );
    compare(&ledger, &executed, &acknowledged);
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
}

fn compare(ledger: &[Value], executed: &str, acknowledged: &BTreeSet<String>) {
    let mut kinds: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    for entry in ledger {
        if let (Some(trace), Some(kind)) = (entry["detail"]["trace"].as_str(), entry["kind"].as_str()) {
            *kinds.entry(trace).or_default().entry(kind).or_default() += 1;
        }
    }
    let has = |trace: &str, kind: &str| kinds.get(trace).is_some_and(|kinds| kinds.contains_key(kind));
    let executed: BTreeSet<&str> = executed
        .lines()
        .filter_map(|line| line.split('-').nth(1))
        .collect();
    let unrecorded: Vec<_> = executed.iter().filter(|trace| !has(trace, "intent")).collect();
    let missing: Vec<_> = acknowledged
        .iter()
        .filter(|trace| !(has(trace, "intent") && executed.contains(trace.as_str())))
        .collect();
    assert!(executed.len() >= 100, "too little happened to show anything");
    assert!(
        unrecorded.is_empty(),
        "executed without an intent: {:?}",
        unrecorded.first()
    );
    assert!(
        missing.is_empty(),
        "acknowledged and not in the ledger: {:?}",
        missing.first()
    );
    // Every intent has exactly one end: an outcome, or the entry of the next life that none is known.
    let intents: BTreeSet<_> = calls(ledger, "intent");
    let outcomes: BTreeSet<_> = calls(ledger, "outcome");
    let open: Vec<_> = intents.difference(&outcomes).collect();
    assert!(
        open.is_empty(),
        "{} intents without an end: {:?}",
        open.len(),
        open.first()
    );
}

fn calls<'l>(ledger: &'l [Value], kind: &str) -> BTreeSet<&'l str> {
    ledger
        .iter()
        .filter(|entry| entry["kind"] == json!(kind))
        .filter_map(|entry| entry["call"].as_str())
        .collect()
}
