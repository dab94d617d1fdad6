//! Tests of the crate from outside: real files, real processes, real peers.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests: helpers outside `#[test]` functions may stop the test too"
)]

mod kill;
mod verifier;

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use records::{
    ambient::Clock,
    keys::{LogKeys, Secret},
    ledger::{Entry, Ledger, Options, Ports, Reader},
};

const ORIGIN: &str = "log.example/it";

fn keys() -> LogKeys {
    let secret = |byte| Secret::new(vec![byte; 32]);
    LogKeys::from_seeds(ORIGIN, &secret(1), &secret(2), &secret(3)).unwrap()
}

fn clock() -> Clock {
    Clock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    })
}

fn open(dir: &Path) -> Ledger {
    Ledger::open(dir, keys(), Options::default(), Ports::real(clock()))
        .unwrap()
        .0
}

/// A directory of this test's own, emptied.
fn fresh_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
    dir
}

/// The published entries from an index.
fn entries_from(reader: &Reader, from: u64) -> Vec<Entry> {
    let size = reader.head().unwrap().size;
    let mut entries = Vec::new();
    let mut next = from;
    while next < size {
        for stored in reader.page(next..size, 1_000).unwrap() {
            entries.push(Entry::read(&stored.bytes).unwrap());
            next = stored.index + 1;
        }
    }
    entries
}
