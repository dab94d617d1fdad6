//! Opening what a process left: recovered, flagged or refused, never silently begun anew.

use super::*;
use crate::ledger::{
    frame,
    merkle::leaf_hash as hash,
    note::Note,
    tile::{Layer, TileId},
};

/// A log of 301 entries, killed: one full bundle, a partial one, and an unsigned tail in the segment.
fn killed() -> SimDisk {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    for n in 0..298 {
        drop(ledger.append(&entry(Kind::Finding, &n.to_string())));
    }
    let last = ledger
        .append_durable(&entry(Kind::Intent, "open"))
        .wait()
        .unwrap();
    block(ledger.covered(last.index)).unwrap();
    // From here on no checkpoint: the tail stands in the segment only.
    disk.fail(|_, _, path| {
        let is_tail = path.to_str().unwrap().contains("/wal/");
        (!is_tail).then_some(crate::disk::sim::Fault::Fails(std::io::ErrorKind::Other))
    });
    ledger
        .append_durable(&entry(Kind::Finding, "tail"))
        .wait()
        .unwrap();
    disk.kill()
}

fn segment(disk: &SimDisk) -> std::path::PathBuf {
    let paths = disk.paths();
    paths
        .into_iter()
        .rfind(|path| path.to_str().unwrap().contains("/wal/"))
        .unwrap()
}

#[test]
fn a_killed_log_goes_on_and_its_open_call_is_ended() {
    let disk = killed();
    let (ledger, opening) = try_open(&disk, quick()).unwrap();
    assert_eq!(
        (opening.size, opening.epoch, opening.unknown_outcomes),
        (301, 2, 1)
    );
    assert_eq!((opening.cut_bytes, opening.copied_from), (0, None));
    ledger.close().unwrap();
    let entries = published(&disk);
    assert_eq!(
        story(&entries[298..]),
        [
            "finding 297",
            "intent open",
            "finding tail",
            "shard open",
            "outcome open outcome-unknown",
            "shard close"
        ]
    );
    assert_eq!(entries[301].text("after"), Some("crash"));
    assert_eq!(entries[302].number("intent"), Some(299));
    assert_eq!(entries[302].tool.as_deref(), Some("charts__read"));
}

#[test]
fn an_open_call_is_found_again_when_the_first_opening_also_ended_early() {
    let disk = killed();
    // The process dies right after its first group.
    let (ledger, _) = try_open(&disk, quick()).unwrap();
    let disk = disk.kill();
    drop(ledger);
    let path = segment(&disk);
    let bytes = disk.bytes(&path).unwrap();
    let (_, frames) = frame::read_header(&bytes).unwrap();
    let (first, rest) = frame::Frame::read(frames).unwrap();
    assert!(
        first.entry.windows(9).any(|part| part == b"open_from"),
        "the opening says how far to look back"
    );
    assert!(!rest.is_empty());
    let (ledger, opening) = try_open(&disk, quick()).unwrap();
    assert_eq!(opening.unknown_outcomes, 0, "the first opening had ended it");
    ledger.close().unwrap();
}

#[test]
fn a_torn_end_is_cut_and_said_so() {
    for cut in [1, 20, 39] {
        let disk = killed();
        let path = segment(&disk);
        let mut bytes = disk.bytes(&path).unwrap();
        bytes.truncate(bytes.len() - cut);
        disk.tamper(&path, Some(bytes));
        let (ledger, opening) = try_open(&disk, quick()).unwrap();
        assert_eq!(opening.size, 300, "only the unsigned entry is gone");
        assert!(opening.cut_bytes > 0);
        ledger.close().unwrap();
        let entries = published(&disk);
        assert_eq!(entries[300].number("cut_bytes"), Some(opening.cut_bytes));
    }
}

#[test]
fn an_edited_tail_is_refused_even_with_a_good_checksum() {
    let disk = killed();
    let path = segment(&disk);
    let bytes = disk.bytes(&path).unwrap();
    let (_, mut frames) = frame::read_header(&bytes).unwrap();
    let mut forged = frame::header(0).to_vec();
    while let Some((read, rest)) = frame::Frame::read(frames) {
        let entry = if read.index == 300 {
            b"{}".as_slice()
        } else {
            read.entry
        };
        let thief = crate::digest::Digester::new(&Secret::new(vec![9; 32]));
        let ours = crate::digest::Digester::new(&Secret::new(vec![3; 32]));
        let key = if read.index == 300 { &thief } else { &ours };
        frame::write(&mut forged, key, read.index, read.durable, entry, &hash(entry));
        frames = rest;
    }
    disk.tamper(&path, Some(forged));
    let error = try_open(&disk, quick()).unwrap_err();
    assert!(matches!(error, OpenError::Edited(300)), "{error}");
}

/// Changes a byte in the middle of a file.
fn flip(disk: &SimDisk, path: &std::path::Path) {
    let mut bytes = disk.bytes(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    disk.tamper(path, Some(bytes));
}

#[test]
fn whatever_is_missing_or_altered_is_refused_with_its_name() {
    type Deed = fn(&SimDisk);
    let tile = |path: &str| dir().join(path);
    let cases: &[(&str, Deed, &str)] = &[
        (
            "an altered checkpoint",
            |disk| flip(disk, &dir().join("checkpoint")),
            "`checkpoint`",
        ),
        (
            "a checkpoint that says more",
            |disk| {
                let path = dir().join("checkpoint");
                let mut note = Note::from_bytes(&disk.bytes(&path).unwrap()).unwrap();
                note.text = note.text.replacen("\n300\n", "\n301\n", 1);
                disk.tamper(&path, Some(note.to_string().into_bytes()));
            },
            "altered after it was signed",
        ),
        (
            "an altered full tile",
            |disk| flip(disk, &dir().join("tile/0/000")),
            "do not lead to the root",
        ),
        (
            "a missing full tile",
            |disk| disk.tamper(&dir().join("tile/0/000"), None),
            "do not lead to the root",
        ),
        (
            "a missing segment",
            |disk| disk.tamper(&segment(disk), None),
            "write-ahead segments are missing",
        ),
        (
            "a segment cut below the checkpoint",
            |disk| {
                let path = segment(disk);
                let bytes = disk.bytes(&path).unwrap();
                disk.tamper(&path, Some(bytes[..bytes.len() / 2].to_vec()));
            },
            "must hold 300",
        ),
        (
            "an altered segment",
            |disk| flip(disk, &segment(disk)),
            "is damaged at byte",
        ),
        (
            "nothing but tiles",
            |disk| {
                disk.tamper(&segment(disk), None);
                disk.tamper(&dir().join("checkpoint"), None);
            },
            "tiles without a checkpoint",
        ),
    ];
    assert!(tile("tile/0/000").starts_with(dir()));
    for (what, deed, error) in cases {
        let disk = killed();
        deed(&disk);
        let before: Vec<_> = disk.paths();
        let refused = try_open(&disk, quick())
            .err()
            .unwrap_or_else(|| panic!("{what} was accepted"));
        assert!(refused.to_string().contains(error), "{what}: {refused}");
        assert_eq!(disk.paths(), before, "{what}: nothing was changed");
    }
}

#[test]
fn partial_tiles_are_made_again_from_what_is_signed() {
    let disk = killed();
    for layer in [Layer::Hashes(0), Layer::Hashes(1), Layer::Entries] {
        let (n, width) = if layer == Layer::Hashes(1) {
            (0, 1)
        } else {
            (1, 44)
        };
        let path = dir().join(TileId { layer, n, width }.path());
        assert!(disk.bytes(&path).is_some(), "{}", path.display());
        disk.tamper(&path, None);
    }
    open(&disk).close().unwrap();
    assert_eq!(published(&disk).len(), 304);
}

#[test]
fn a_lost_checkpoint_is_no_loss_while_the_segments_reach_back_to_the_start() {
    let disk = killed();
    disk.tamper(&dir().join("checkpoint"), None);
    let (ledger, opening) = try_open(&disk, quick()).unwrap();
    assert_eq!(opening.size, 301);
    ledger.close().unwrap();
    assert_eq!(published(&disk).len(), 304);
}

#[test]
fn a_log_that_is_gone_is_not_begun_anew_by_whoever_remembers_it() {
    let must_exist = Options {
        must_exist: true,
        ..quick()
    };
    let error = try_open(&SimDisk::new(), must_exist).unwrap_err();
    assert!(matches!(error, OpenError::Vanished), "{error}");
}

#[test]
fn a_directory_has_one_writer() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let error = try_open(&disk, quick()).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    ledger.close().unwrap();
    open(&disk).close().unwrap();
}

#[test]
fn a_writer_whose_mark_is_gone_stops_for_good() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    // As another machine would, over a file system whose locks do not reach.
    disk.tamper(&dir().join("lock"), Some(b"epoch 2 other\n".to_vec()));
    let receipt = ledger.append_durable(&entry(Kind::Finding, "x")).wait().unwrap();
    block(ledger.covered(receipt.index)).unwrap_err();
    ledger
        .append_durable(&entry(Kind::Finding, "y"))
        .wait()
        .unwrap_err();
    assert_eq!(ledger.status().trouble, Some(crate::ledger::Unavailable::Fenced));
    assert_eq!(
        published(&disk).len(),
        1,
        "nothing was signed after the other came"
    );
}

#[test]
fn a_copied_directory_is_noticed() {
    let disk = SimDisk::new();
    open(&disk).close().unwrap();
    let instance = dir().join("instance");
    let copied = String::from_utf8(disk.bytes(&instance).unwrap()).unwrap();
    let elsewhere = copied.replace("\"device\":\"1\"", "\"device\":\"2\"");
    assert_ne!(elsewhere, copied);
    disk.tamper(&instance, Some(elsewhere.into_bytes()));
    let (ledger, opening) = try_open(&disk, quick()).unwrap();
    let from = opening.copied_from.unwrap();
    assert!(copied.contains(&from) && opening.instance != from);
    ledger.close().unwrap();
    assert_eq!(published(&disk)[2].text("copied_from"), Some(from.as_str()));
    let (ledger, opening) = try_open(&disk, quick()).unwrap();
    assert_eq!(opening.copied_from, None, "it is flagged once");
    ledger.close().unwrap();
}

#[test]
fn a_log_that_was_rolled_back_is_refused_by_whoever_remembers() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    for _ in 0..300 {
        drop(ledger.append(&entry(Kind::Finding, "x")));
    }
    ledger.close().unwrap();
    let (size, root) = ledger.head().unwrap();
    let with = |at_least| Options {
        at_least: Some(at_least),
        ..quick()
    };
    for (at_least, holds) in [
        ((size, root), true),
        ((size + 1, root), false),
        ((size, [0; 32]), false),
        ((1, [0; 32]), false),
    ] {
        match try_open(&disk, with(at_least)) {
            Ok((ledger, _)) => {
                assert!(holds, "{at_least:?}");
                ledger.close().unwrap();
            }
            Err(error) => assert!(!holds && matches!(error, OpenError::RolledBack(_)), "{error}"),
        }
    }
    let (ledger, _) = try_open(&disk, with((size, root))).unwrap();
    ledger.close().unwrap();
}

#[test]
fn the_keys_of_another_log_open_nothing() {
    let disk = SimDisk::new();
    open(&disk).close().unwrap();
    let before = disk.paths();
    let error = Ledger::open(dir(), keys_of(ORIGIN, 7), quick(), ports(&disk)).unwrap_err();
    assert!(matches!(error, OpenError::Checkpoint(_)), "{error}");
    let error = Ledger::open(dir(), keys_of("log.example/other", 0), quick(), ports(&disk)).unwrap_err();
    assert!(
        error.to_string().contains("is of the log `log.example/test`"),
        "{error}"
    );
    assert_eq!(disk.paths(), before);
}

#[test]
fn a_lost_tail_is_accepted_only_when_the_operator_vouches_and_it_is_recorded() {
    let disk = killed();
    disk.tamper(&segment(&disk), None);
    assert!(matches!(
        try_open(&disk, quick()).unwrap_err(),
        OpenError::TailMissing
    ));
    let (ledger, opening) = try_open(
        &disk,
        Options {
            adopt: true,
            ..quick()
        },
    )
    .unwrap();
    assert_eq!(opening.size, 300);
    ledger.close().unwrap();
    assert_eq!(published(&disk)[300].text("adopted"), Some("yes"));
}

#[test]
fn a_clock_that_was_set_back_is_told_of_while_it_runs_and_at_the_next_opening() {
    let (disk, hand) = (SimDisk::new(), Hand::new());
    let opened = || {
        let ports = Ports {
            clock: hand.clock(),
            ..ports(&disk)
        };
        Ledger::open(dir(), keys(), quick(), ports).unwrap()
    };
    let (ledger, opening) = opened();
    assert_eq!(opening.clock_back_ms, 0, "there was nothing before");
    hand.forward(20_000);
    ledger
        .append_durable(&entry(Kind::Finding, "one"))
        .wait()
        .unwrap();
    hand.back(10_000);
    ledger
        .append_durable(&entry(Kind::Finding, "two"))
        .wait()
        .unwrap();
    ledger.close().unwrap();
    let entries = published(&disk);
    let gaps: Vec<_> = entries.iter().filter(|entry| entry.kind == Kind::Gap).collect();
    let [gap] = gaps.as_slice() else {
        panic!("{gaps:?}")
    };
    let reason = gap.reason.as_deref().unwrap();
    assert!(reason.starts_with("the clock was set back by"), "{reason}");
    hand.back(10_000);
    let (ledger, opening) = opened();
    assert!(opening.clock_back_ms > 5_000, "{opening:?}");
    ledger.close().unwrap();
    let entries = published(&disk);
    let told = |entry: &&Entry| entry.number("clock_back_ms") == Some(opening.clock_back_ms);
    assert_eq!(entries.iter().filter(told).count(), 1);
    // Nobody is accused: it is told, and the log holds.
    let report = crate::verify::verify(
        Arc::new(disk.clone()),
        &crate::verify::Request {
            dir: dir(),
            known: &keys().known(),
            witnesses: crate::verify::Witnesses::default(),
            older: &[],
            own: None,
        },
    );
    assert!(report.holds(), "{report}");
    assert!(report.to_string().contains("the clock goes back"), "{report}");
}
