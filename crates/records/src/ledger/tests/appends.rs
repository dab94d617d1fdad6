//! Appending and reading, on a disk without faults.

use super::*;
use crate::ledger::{Unavailable, tile::TileId};

#[test]
fn an_entry_is_durable_then_published_then_provable() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let entry = entry(Kind::Intent, "c1");
    let receipt = ledger.append_durable(&entry).wait().unwrap();
    assert_eq!(receipt.index, 1, "after the entry that opens the shard");
    assert_eq!(receipt.leaf_hash, *entry.encode().leaf());
    block(ledger.covered(receipt.index)).unwrap();
    let proof = ledger.reader().proof(1).unwrap();
    proof.verify(&receipt.leaf_hash, ORIGIN, &keys().known()).unwrap();
    assert!(matches!(
        ledger.reader().proof(99),
        Err(crate::ledger::ReadError::Beyond { .. })
    ));
    ledger.close().unwrap();
}

// CONTROL: retention
#[test]
fn a_log_goes_on_where_it_ended_over_many_tiles_and_openings() {
    let disk = SimDisk::new();
    let mut sent = 0;
    for _ in 0..3 {
        let ledger = open(&disk);
        for _ in 0..400 {
            let pending = ledger.append(&entry(Kind::Finding, &format!("c{sent}")));
            sent += 1;
            if sent % 100 == 0 {
                pending.wait().unwrap();
            }
        }
        ledger.close().unwrap();
    }
    let entries = published(&disk);
    assert_eq!(entries.len(), 1_200 + 3 * 2);
    let calls: Vec<_> = entries.iter().filter_map(|entry| entry.call.clone()).collect();
    assert_eq!(calls, (0..1_200).map(|n| format!("c{n}")).collect::<Vec<_>>());
    // Nothing is left over: no temporary files, no partial tiles beside full ones, no old segments.
    let paths: Vec<_> = disk
        .paths()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert!(paths.iter().all(|path| !path.ends_with(".new")), "{paths:#?}");
    assert!(
        paths
            .iter()
            .all(|path| !path.contains("/000.p/") || path.contains("/tile/1/")),
        "{paths:#?}"
    );
    assert!(
        paths.iter().filter(|path| path.contains("/wal/")).count() <= 4,
        "{paths:#?}"
    );
}

#[test]
fn consistency_of_two_states_can_be_proved() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let mut heads = Vec::new();
    for n in 0..3 {
        for _ in 0..n * 200 + 3 {
            drop(ledger.append(&entry(Kind::Finding, "x")));
        }
        let last = ledger
            .append_durable(&entry(Kind::Finding, "last"))
            .wait()
            .unwrap();
        block(ledger.covered(last.index)).unwrap();
        heads.push(ledger.head().unwrap());
    }
    for (old, old_root) in &heads {
        for (new, new_root) in heads.iter().filter(|(new, _)| new > old) {
            let path = ledger.reader().consistency(*old, *new).unwrap();
            let roots = crate::ledger::merkle::roots_from_consistency(*old, *new, old_root, &path);
            assert_eq!(roots, Some((*old_root, *new_root)));
        }
    }
    ledger.close().unwrap();
}

#[test]
fn a_follower_sees_every_entry_once_in_order_and_then_the_end() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let mut tail = ledger.tail(0);
    let sender = {
        let ledger = ledger.clone();
        std::thread::spawn(move || {
            for n in 0..700 {
                drop(ledger.append(&entry(Kind::Finding, &n.to_string())));
            }
            ledger.close().unwrap();
        })
    };
    let mut seen = Vec::new();
    block(async {
        while let Some(page) = tail.next().await.unwrap() {
            for Stored { index, bytes } in page {
                assert_eq!(index, seen.len() as u64);
                seen.push(Entry::read(&bytes).unwrap());
            }
        }
    });
    sender.join().unwrap();
    assert_eq!(seen, published(&disk));
    assert_eq!(seen.len(), 702);
}

#[test]
fn the_entries_of_a_call_are_found() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    for n in 0..300 {
        drop(ledger.append(&entry(Kind::Intent, &format!("c{n}"))));
        drop(ledger.append(&entry(Kind::Outcome, &format!("c{n}"))));
    }
    let last = ledger
        .append_durable(&entry(Kind::Finding, "c299"))
        .wait()
        .unwrap();
    let indices = |found: Vec<Stored>| found.iter().map(|stored| stored.index).collect::<Vec<_>>();
    let written = |call, max| indices(ledger.call(call, max).unwrap());
    assert_eq!(written("c0", 10_000), [1, 2]);
    assert_eq!(written("c299", 10), [599, 600, 601], "published or not");
    assert_eq!(written("c0", 10), [0_u64; 0], "beyond the newest ten");
    assert_eq!(written("c", 10_000), [0_u64; 0]);
    block(ledger.covered(last.index)).unwrap();
    ledger.close().unwrap();
    let published = |call, range| indices(ledger.reader().call(call, range).unwrap());
    assert_eq!(published("c0", 0..700), [1, 2]);
    assert_eq!(published("c299", 600..700), [600, 601]);
    let again = open(&disk);
    assert_eq!(
        indices(again.call("c0", 10_000).unwrap()),
        [1, 2],
        "from before this process"
    );
    again.close().unwrap();
}

#[test]
fn a_partial_tile_is_answered_from_the_full_one_once_that_is_there() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    for _ in 0..300 {
        drop(ledger.append(&entry(Kind::Finding, "x")));
    }
    ledger.close().unwrap();
    let reader = ledger.reader();
    for layer in ["tile/0/000", "tile/entries/000"] {
        let full = reader.tile(TileId::from_path(layer).unwrap()).unwrap();
        let part = reader
            .tile(TileId::from_path(&format!("{layer}.p/17")).unwrap())
            .unwrap();
        assert!(full.starts_with(&part) && part.len() < full.len());
        assert_eq!(
            reader
                .bundle(TileId::from_path("tile/entries/000.p/17").unwrap())
                .unwrap()
                .len(),
            17
        );
    }
}

#[test]
fn a_closed_ledger_takes_nothing() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    ledger.close().unwrap();
    let refused = ledger.append_durable(&entry(Kind::Intent, "late")).wait();
    assert_eq!(refused, Err(Unavailable::Closed));
    assert_eq!(block(ledger.covered(50)), Err(Unavailable::Closed));
    ledger.close().unwrap();
    assert_eq!(story(&published(&disk)), ["shard open", "shard close"]);
}

#[test]
fn closing_ends_the_calls_that_nobody_ended() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    ledger.append_durable(&entry(Kind::Intent, "a")).wait().unwrap();
    ledger.append_durable(&entry(Kind::Intent, "b")).wait().unwrap();
    assert_eq!(ledger.status().open_calls, 2);
    ledger.append_soon(&entry(Kind::Outcome, "b"));
    ledger.close().unwrap();
    assert_eq!(
        story(&published(&disk)),
        [
            "shard open",
            "intent a",
            "intent b",
            "outcome b",
            "outcome a outcome-unknown",
            "shard close"
        ]
    );
}

#[test]
fn silence_is_broken_by_heartbeats_and_a_sleep_is_accounted_for() {
    let disk = SimDisk::new();
    let hand = Hand::new();
    let options = Options {
        heartbeat_ms: 50,
        checkpoint_ms: 5,
        ..Options::default()
    };
    let ports = Ports {
        clock: hand.clock(),
        ..ports(&disk)
    };
    let (ledger, _) = Ledger::open(dir(), keys(), options, ports).unwrap();
    let wait_for = |kind| {
        let mut tail = ledger.tail(0);
        block(async {
            loop {
                for stored in tail.next().await.unwrap().unwrap() {
                    let entry = Entry::read(&stored.bytes).unwrap();
                    if entry.kind == kind {
                        return entry;
                    }
                }
            }
        })
    };
    hand.forward(60);
    let heartbeat = wait_for(Kind::Heartbeat);
    assert_eq!(
        (heartbeat.number("epoch"), heartbeat.number("open")),
        (Some(1), Some(0))
    );
    hand.forward(5_000);
    let gap = wait_for(Kind::Gap);
    assert!(gap.time_ms - gap.number("from").unwrap() >= 5_000, "{gap:?}");
    assert_eq!(
        gap.reason.as_deref(),
        Some("the process did not run, or could not write")
    );
    ledger.close().unwrap();
}

#[test]
fn new_keys_sign_after_an_entry_that_the_old_ones_vouched_for() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let old = keys();
    let new = || keys_of(ORIGIN, 1).with_retired(old.verifiers().to_vec());
    block(ledger.rotate(new(), Entry::new(5, Kind::Key))).unwrap();
    let last = ledger
        .append_durable(&entry(Kind::Finding, "after"))
        .wait()
        .unwrap();
    block(ledger.covered(last.index)).unwrap();
    let proof = ledger.reader().proof(last.index).unwrap();
    proof.verify(&last.leaf_hash, ORIGIN, new().verifiers()).unwrap();
    proof
        .verify(&last.leaf_hash, ORIGIN, old.verifiers())
        .unwrap_err();
    ledger.close().unwrap();
    let entries = {
        let reader = ledger.reader();
        let size = reader.head().unwrap().size;
        let page = reader.page(0..size, 100).unwrap();
        page.iter()
            .map(|stored| Entry::read(&stored.bytes).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(story(&entries)[1], "key log-key");
    assert_eq!(entries[1].text("ed25519").map(str::len), Some(8));
    let (again, _) = Ledger::open(dir(), new(), quick(), ports(&disk)).unwrap();
    again.close().unwrap();
    let refused = Ledger::open(dir(), keys(), quick(), ports(&disk)).unwrap_err();
    assert!(matches!(refused, OpenError::Checkpoint(_)), "{refused}");
}
