//! Tests of the ledger, by subject.

mod appends;
mod crash;
mod faults;
mod formats;
mod frames;
mod groups;
mod opening;
mod put_off;
mod vectors;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    ambient::{Clock, Random},
    disk::sim::SimDisk,
    keys::{LogKeys, Secret},
    ledger::{
        Entry, Kind, Ledger, OpenError, Opening, Options, Ports, Reader, Receipt, Stored,
        checkpoint::Checkpoint, merkle::leaf_hash, tile::Edge,
    },
};

pub(crate) const ORIGIN: &str = "log.example/test";

/// Where a simulated ledger stands.
pub(crate) fn dir() -> &'static Path {
    Path::new("/ledger")
}

/// A clock that goes on by a millisecond each time it is asked, and can be moved.
#[derive(Clone, Debug)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_763_712_000_000)))
    }

    pub(crate) fn clock(&self) -> Clock {
        let hand = self.0.clone();
        Clock::new(move || hand.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn back(&self, ms: u64) {
        self.0.fetch_sub(ms, Ordering::Relaxed);
    }

    pub(crate) fn forward(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

pub(crate) fn keys_of(origin: &str, seed: u8) -> LogKeys {
    let secret = |n: u8| Secret::new(vec![seed.wrapping_mul(16) + n; 32]);
    LogKeys::from_seeds(origin, &secret(1), &secret(2), &Secret::new(vec![3; 32])).unwrap()
}

pub(crate) fn keys() -> LogKeys {
    keys_of(ORIGIN, 0)
}

pub(crate) fn ports(disk: &SimDisk) -> Ports {
    Ports {
        disk: Arc::new(disk.clone()),
        clock: Hand::new().clock(),
        random: Random::system(),
    }
}

pub(crate) fn quick() -> Options {
    Options {
        checkpoint_ms: 5,
        answer_within_ms: 400,
        // Where nothing else is said, the end of a file is the end of what is written.
        room_bytes: 0,
        ..Options::default()
    }
}

pub(crate) fn try_open(disk: &SimDisk, options: Options) -> Result<(Ledger, Opening), OpenError> {
    Ledger::open(dir(), keys(), options, ports(disk))
}

pub(crate) fn open(disk: &SimDisk) -> Ledger {
    try_open(disk, quick()).unwrap().0
}

pub(crate) fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

pub(crate) fn entry(kind: Kind, call: &str) -> Entry {
    Entry {
        call: Some(call.to_owned()),
        tool: Some("charts__read".to_owned()),
        ..Entry::new(1_763_712_000_000, kind)
    }
}

/// All published entries, checked against the signed root.
pub(crate) fn published(disk: &SimDisk) -> Vec<Entry> {
    let reader = Reader::new(Arc::new(disk.clone()), dir());
    let (head, _) =
        Checkpoint::verify(reader.checkpoint().unwrap().as_bytes(), ORIGIN, &keys().known()).unwrap();
    let mut edge = Edge::default();
    let mut entries = Vec::new();
    while edge.size() < head.size {
        for Stored { index, bytes } in reader.page(edge.size()..head.size, 1_000).unwrap() {
            assert_eq!(index, edge.size());
            edge.push(leaf_hash(&bytes));
            entries.push(Entry::read(&bytes).unwrap());
        }
    }
    assert_eq!(edge.root(), head.root);
    entries
}

/// The entry a receipt speaks of.
pub(crate) fn at(entries: &[Entry], receipt: Receipt) -> Option<&Entry> {
    entries.get(usize::try_from(receipt.index).unwrap())
}

/// The kinds and calls of entries that belong to calls, and the kinds of the others.
pub(crate) fn story(entries: &[Entry]) -> Vec<String> {
    let word = |entry: &Entry| match (&entry.call, &entry.code) {
        (Some(call), Some(code)) => format!("{} {call} {code}", entry.kind.as_str()),
        (Some(call), None) => format!("{} {call}", entry.kind.as_str()),
        (None, Some(code)) => format!("{} {code}", entry.kind.as_str()),
        (None, None) => entry.kind.as_str().to_owned(),
    };
    entries.iter().map(word).collect()
}
