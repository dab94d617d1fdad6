//! What is synced together, and that nobody waits for company that does not come.

use std::{
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::{disk::sim::Op, ledger::Pending};

/// A ledger with so many calls on the road, and how often its segment was synced since.
fn with_calls(calls: usize) -> (Ledger, Arc<AtomicU64>) {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let intents: Vec<_> = (0..calls)
        .map(|n| ledger.append_durable(&entry(Kind::Intent, &format!("open-{n}"))))
        .collect();
    for intent in intents {
        intent.wait().unwrap();
    }
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = syncs.clone();
    disk.fail(move |_, op, path| {
        let is_segment = path.extension().is_some_and(|ending| ending == "wal");
        counted.fetch_add(u64::from(op == Op::Sync && is_segment), Ordering::Relaxed);
        None
    });
    (ledger, syncs)
}

#[test]
fn where_many_calls_are_on_the_road_a_sync_waits_for_company_but_not_for_long() {
    let (ledger, syncs) = with_calls(64);
    let begun = Instant::now();
    for n in 0..20 {
        // Nobody joins it. That it is answered at all says that the wait ends.
        ledger
            .append_durable(&entry(Kind::Finding, &n.to_string()))
            .wait()
            .unwrap();
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(20),
        "each waits a millisecond"
    );
    assert_eq!(syncs.load(Ordering::Relaxed), 20);
    ledger.close().unwrap();
}

#[test]
fn a_sync_that_has_company_takes_all_of_it_along() {
    let (ledger, syncs) = with_calls(64);
    let pending: Vec<_> = (0..16)
        .map(|n| ledger.append_durable(&entry(Kind::Finding, &n.to_string())))
        .collect();
    let answers: Result<Vec<_>, _> = pending.into_iter().map(Pending::wait).collect();
    assert_eq!(answers.unwrap().len(), 16);
    // A machine that stands still between two appends lets the first go alone.
    assert!(syncs.load(Ordering::Relaxed) <= 8, "{syncs:?}");
    ledger.close().unwrap();
}

#[test]
fn what_is_written_without_end_keeps_nothing_from_becoming_durable() {
    let (ledger, _) = with_calls(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (ledger, over) = (&ledger, &over);
            scope.spawn(move || {
                let mut n = 0;
                while !over.load(Ordering::Relaxed) {
                    // Whether there is room for it is not what this is about.
                    let _ = ledger
                        .append(&entry(Kind::Finding, &format!("{thread}-{n}")))
                        .wait();
                    n += 1;
                }
            });
        }
        let answers: Vec<_> = (0..100)
            .map(|n| {
                ledger
                    .append_durable(&entry(Kind::Finding, &n.to_string()))
                    .wait()
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    });
    ledger.close().unwrap();
}

/// Long entries fill the room for what has no tiles before they are enough for a checkpoint, and before its time.
#[test]
fn a_checkpoint_comes_before_there_is_no_room_to_write() {
    let options = Options {
        checkpoint_ms: 3_600_000,
        unpublished_bytes_max: 64 * 1024,
        ..quick()
    };
    let (ledger, _) = try_open(&SimDisk::new(), options).unwrap();
    let long = "x".repeat(200);
    for n in 0..1_000 {
        let entry = entry(Kind::Finding, &format!("{n}-{long}"));
        ledger.append_durable(&entry).wait().unwrap();
    }
    ledger.close().unwrap();
}
