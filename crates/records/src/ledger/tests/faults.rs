//! A disk that fails, hangs, fills up and comes back: nothing acknowledged is lost, nobody waits for long,
//! no restart is needed.

use std::{io::ErrorKind, sync::atomic::AtomicBool, time::Duration};

use super::*;
use crate::{
    disk::sim::{Dice, Fault, Op},
    ledger::{Pending, Receipt, Signing, Unavailable},
};

const ENOSPC: Fault = Fault::Fails(ErrorKind::StorageFull);
const EIO: Fault = Fault::Fails(ErrorKind::Other);

/// Each acknowledged entry stands where its receipt says.
fn check(disk: &SimDisk, acknowledged: &[(Receipt, Entry)]) {
    let entries = published(disk);
    for (receipt, entry) in acknowledged {
        assert_eq!(at(&entries, *receipt), Some(entry), "{receipt:?}");
    }
}

fn append_until_it_works(ledger: &Ledger, entry: &Entry) -> Receipt {
    for _ in 0..200 {
        match ledger.append_durable(entry).wait() {
            Ok(receipt) => return receipt,
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    panic!("the ledger did not come back: {:?}", ledger.status());
}

/// Appends across the end of a tile and of a segment, with a fault at call `n`. Says whether the fault
/// came at all.
fn run_with_fault_at(n: u64, fault: Fault) -> bool {
    let disk = SimDisk::new();
    let came = Arc::new(AtomicBool::new(false));
    let (mut counted, has_come) = (0, came.clone());
    disk.fail(move |_, op, _| {
        // Only writes tear.
        counted += u64::from(fault != Fault::Tears || op == Op::Write);
        (counted == n && !has_come.swap(true, Ordering::Relaxed)).then_some(fault)
    });
    let options = || Options {
        segment_bytes: 20_000,
        room_bytes: 4_000,
        ..quick()
    };
    let opened = try_open(&disk, options()).or_else(|_| {
        // One fault may keep it from opening; trying again must do.
        try_open(&disk.kill(), options())
    });
    let (ledger, _) = opened.unwrap_or_else(|error| panic!("fault {fault:?} at call {n}: {error}"));
    let mut acknowledged = Vec::new();
    let append = |pending: Pending, entry: Entry, acknowledged: &mut Vec<(Receipt, Entry)>| {
        let receipt = pending
            .wait()
            .unwrap_or_else(|error| panic!("fault {fault:?} at call {n}: {error}"));
        acknowledged.push((receipt, entry));
    };
    for round in 0..5 {
        for m in 0..65 {
            let entry = entry(Kind::Finding, &format!("{round}-{m}"));
            if m % 60 == 0 {
                append(ledger.append_durable(&entry), entry, &mut acknowledged);
            } else if m % 20 == 0 {
                append(ledger.append(&entry), entry, &mut acknowledged);
            } else {
                drop(ledger.append(&entry));
            }
        }
    }
    ledger
        .close()
        .unwrap_or_else(|error| panic!("fault {fault:?} at call {n}: {error}"));
    drop(ledger);
    let disk = disk.kill();
    check(&disk, &acknowledged);
    open(&disk).close().unwrap();
    check(&disk, &acknowledged);
    came.load(Ordering::Relaxed)
}

#[test]
fn any_one_call_to_the_disk_may_fail_and_nothing_is_lost() {
    for fault in [EIO, Fault::Tears] {
        let mut n = 1;
        while run_with_fault_at(n, fault) {
            n += 1;
        }
        assert!(n > 40, "the run has more calls than that: {n}");
    }
}

/// What a disk does while it is in trouble.
fn trouble(disk: &SimDisk, wrong: impl Fn(Op) -> Option<Fault> + Send + 'static) {
    disk.fail(move |_, op, _| wrong(op));
}

#[test]
fn a_disk_that_fails_refuses_within_the_bound_and_heals_without_restart() {
    type Wrong = fn(Op) -> Option<Fault>;
    let cases: &[(&str, Wrong)] = &[
        ("full", |op| (op == Op::Write).then_some(ENOSPC)),
        ("full, half written", |op| {
            (op == Op::Write).then_some(Fault::Tears)
        }),
        ("not syncing", |op| (op == Op::Sync).then_some(EIO)),
        ("read-only", |op| {
            (op != Op::Look).then_some(Fault::Fails(ErrorKind::ReadOnlyFilesystem))
        }),
        ("gone", |_| Some(EIO)),
    ];
    for (what, wrong) in cases {
        let disk = SimDisk::new();
        let ledger = open(&disk);
        let intent = entry(Kind::Intent, "before");
        let mut acknowledged = vec![(ledger.append_durable(&intent).wait().unwrap(), intent)];
        trouble(&disk, *wrong);
        for n in 0..5 {
            let refused = ledger
                .append_durable(&entry(Kind::Intent, &format!("during {n}")))
                .wait();
            assert!(
                matches!(refused, Err(Unavailable::Disk(_))),
                "{what}: {refused:?}"
            );
        }
        // The outcome of the call that runs is kept.
        drop(ledger.append(&entry(Kind::Outcome, "before")));
        disk.heal();
        let after = entry(Kind::Intent, "after");
        acknowledged.push((append_until_it_works(&ledger, &after), after));
        ledger.append(&entry(Kind::Outcome, "after")).wait().unwrap();
        ledger.close().unwrap_or_else(|error| panic!("{what}: {error}"));
        check(&disk, &acknowledged);
        let entries = published(&disk);
        let gap = entries
            .iter()
            .find(|entry| entry.kind == Kind::Gap)
            .expect("the outage is accounted for");
        assert!(gap.number("refused").unwrap() >= 1, "{what}: {gap:?}");
        let outcomes = story(&entries)
            .iter()
            .filter(|line| line.starts_with("outcome before"))
            .count();
        assert_eq!(outcomes, 1, "{what}: {:#?}", story(&entries));
    }
}

#[test]
fn a_disk_that_hangs_refuses_within_the_bound_and_heals_without_restart() {
    for hung in [Op::Write, Op::Sync] {
        let disk = SimDisk::new();
        let ledger = open(&disk);
        let is_first = AtomicBool::new(true);
        disk.fail(move |_, op, path| {
            let is_wal = path.to_str().unwrap().contains("/wal");
            (op == hung && is_wal && is_first.swap(false, Ordering::Relaxed)).then_some(Fault::Hangs)
        });
        let pending = ledger.append_durable(&entry(Kind::Intent, "stuck"));
        // Nobody but the watch can answer this: the disk does not return.
        assert_eq!(pending.wait(), Err(Unavailable::Slow), "{hung:?}");
        let at_once = ledger.append_durable(&entry(Kind::Intent, "next")).wait();
        assert_eq!(at_once, Err(Unavailable::Slow));
        ledger.append_soon(&entry(Kind::Refusal, "stuck"));
        disk.heal();
        let after = entry(Kind::Intent, "after");
        let receipt = append_until_it_works(&ledger, &after);
        ledger.close().unwrap();
        check(&disk, &[(receipt, after)]);
        let lines = story(&published(&disk));
        assert_eq!(
            lines.iter().filter(|line| *line == "refusal stuck").count(),
            1,
            "{lines:#?}"
        );
        let intents = lines.iter().filter(|line| *line == "intent stuck").count();
        assert!(
            intents <= 1 && !lines.iter().any(|line| line == "intent next"),
            "{lines:#?}"
        );
        assert!(lines.iter().any(|line| line == "gap"), "{lines:#?}");
    }
}

#[test]
fn what_a_failed_sync_forgot_is_written_again_before_it_is_acknowledged() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        let ledger = open(&disk);
        let is_first = AtomicBool::new(true);
        disk.fail(move |_, op, path| {
            let is_segment = path.extension().is_some_and(|ending| ending == "wal");
            (op == Op::Sync && is_segment && is_first.swap(false, Ordering::Relaxed)).then_some(EIO)
        });
        let intent = entry(Kind::Intent, "c");
        let receipt = ledger.append_durable(&intent).wait().unwrap();
        assert_eq!(ledger.status().refused, 0, "nobody heard of it");
        let disk = disk.crash(&mut Dice::new(seed));
        drop(ledger);
        open(&disk).close().unwrap();
        check(&disk, &[(receipt, intent)]);
    }
}

#[test]
fn what_must_not_wait_is_kept_in_bounds_and_counted_beyond_them() {
    let disk = SimDisk::new();
    let options = Options {
        queue_entries_max: 10,
        ..quick()
    };
    let (ledger, _) = try_open(&disk, options).unwrap();
    for n in 0..30 {
        ledger
            .append_durable(&entry(Kind::Intent, &format!("c{n}")))
            .wait()
            .unwrap();
    }
    trouble(&disk, |_| Some(EIO));
    ledger
        .append_durable(&entry(Kind::Intent, "refused"))
        .wait()
        .unwrap_err();
    for n in 0..30 {
        // Places set aside with the intents: all thirty fit, each call once.
        ledger.append_soon(&entry(Kind::Outcome, &format!("c{n}")));
    }
    for n in 0..25 {
        ledger.append_soon(&entry(Kind::Finding, &format!("f{n}")));
    }
    disk.heal();
    append_until_it_works(&ledger, &entry(Kind::Finding, "after"));
    ledger.close().unwrap();
    let entries = published(&disk);
    let count = |kind| entries.iter().filter(|entry| entry.kind == kind).count();
    assert_eq!(count(Kind::Outcome), 30);
    let lost: u64 = entries
        .iter()
        .filter_map(|entry| entry.number("lost_finding"))
        .sum();
    assert_eq!(count(Kind::Finding) as u64 - 1 + lost, 25, "kept or counted");
    assert!(lost >= 15, "{lost}");
}

#[test]
fn a_full_queue_says_so_at_once() {
    let disk = SimDisk::new();
    let options = Options {
        queue_entries_max: 4,
        ..quick()
    };
    let (ledger, _) = try_open(&disk, options).unwrap();
    disk.fail(|_, op, _| (op == Op::Write).then_some(Fault::Hangs));
    let pending: Vec<_> = (0..12)
        .map(|n| ledger.append_durable(&entry(Kind::Intent, &n.to_string())))
        .collect();
    let answers: Vec<_> = pending.into_iter().map(Pending::wait).collect();
    assert!(answers.contains(&Err(Unavailable::Full)), "{answers:?}");
    assert!(answers.contains(&Err(Unavailable::Slow)), "{answers:?}");
    disk.heal();
    append_until_it_works(&ledger, &entry(Kind::Finding, "after"));
    ledger.close().unwrap();
}

#[test]
fn tiles_that_cannot_be_written_stop_nothing_until_too_many_wait() {
    let disk = SimDisk::new();
    let options = Options {
        unpublished_bytes_max: 20_000,
        ..quick()
    };
    let (ledger, _) = try_open(&disk, options).unwrap();
    disk.fail(|_, op, path| (op == Op::Write && path.to_str().unwrap().contains("/tile/")).then_some(ENOSPC));
    ledger
        .append_durable(&entry(Kind::Intent, "first"))
        .wait()
        .unwrap();
    let mut taken = 0;
    while ledger
        .append_durable(&entry(Kind::Finding, "more"))
        .wait()
        .is_ok()
    {
        taken += 1;
        assert!(taken < 1_000, "memory is bounded");
    }
    assert!(taken > 50, "{taken}");
    assert!(ledger.status().publish_trouble.is_some());
    disk.heal();
    append_until_it_works(&ledger, &entry(Kind::Finding, "after"));
    ledger.close().unwrap();
    assert!(published(&disk).len() > taken);
}

/// Regression: new keys on a disk that was nearly full were waited for until somebody made room.
#[test]
fn new_keys_sign_by_themselves_once_the_disk_takes_what_the_old_ones_vouch_for() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let old = keys();
    let new = || keys_of(ORIGIN, 1).with_retired(old.verifiers().to_vec());
    disk.fail(|_, op, path| (op == Op::Write && path.to_str().unwrap().contains("/tile/")).then_some(ENOSPC));
    let signing = block(ledger.rotate(new(), Entry::new(5, Kind::Key))).unwrap();
    assert!(
        matches!(&signing, Signing::Later(why) if !why.is_empty()),
        "{signing:?}"
    );
    disk.heal();
    let last = ledger
        .append_durable(&entry(Kind::Finding, "after"))
        .wait()
        .unwrap();
    block(ledger.covered(last.index)).unwrap();
    ledger.close().unwrap();
    let proof = ledger.reader().proof(last.index).unwrap();
    proof.verify(&last.leaf_hash, ORIGIN, new().verifiers()).unwrap();
    let (again, _) = Ledger::open(dir(), new(), quick(), ports(&disk)).unwrap();
    again.close().unwrap();
}

#[test]
fn closing_on_a_dead_disk_ends_with_an_error_and_what_was_durable_is_there_later() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let intent = entry(Kind::Intent, "c");
    let receipt = ledger.append_durable(&intent).wait().unwrap();
    trouble(&disk, |_| Some(EIO));
    assert!(ledger.close().is_err());
    drop(ledger);
    let disk = disk.kill();
    let (ledger, opening) = try_open(&disk, quick()).unwrap();
    assert_eq!(opening.unknown_outcomes, 1);
    ledger.close().unwrap();
    check(&disk, &[(receipt, intent)]);
}
