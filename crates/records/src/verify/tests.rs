//! Tampering is found and located; what is whole is not suspected.

mod tampering;

use std::path::PathBuf;

use super::*;
use crate::{
    disk::sim::SimDisk,
    ledger::{
        Entry, Kind, frame,
        tests::{ORIGIN, block, dir, entry, keys, keys_of, open},
        tile::entries_of,
    },
};

const NOBODY: Witnesses<'static> = Witnesses {
    keys: &[],
    quorum: None,
};

/// A log of 702 entries, killed after its last checkpoint: two full bundles, a partial one, and an unsigned
/// tail of two entries. And a checkpoint over its first 301 entries.
struct Case {
    disk: SimDisk,
    older: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let disk = SimDisk::new();
        let ledger = open(&disk);
        let fill = |calls: std::ops::Range<u32>| {
            let mut last = None;
            for n in calls {
                drop(ledger.append(&entry(Kind::Intent, &format!("c{n}"))));
                last = Some(ledger.append(&entry(Kind::Outcome, &format!("c{n}"))));
            }
            let last = last.unwrap().wait().unwrap().index;
            block(ledger.covered(last)).unwrap();
        };
        fill(0..150);
        let older = ledger.reader().checkpoint().unwrap().into_bytes();
        fill(150..350);
        assert_eq!(ledger.head().unwrap().0, 701);
        // From here on no checkpoint.
        disk.fail(|_, _, path| {
            let is_tail = path.to_str().unwrap().contains("/wal/");
            (!is_tail).then_some(crate::disk::sim::Fault::Fails(std::io::ErrorKind::Other))
        });
        for call in ["tail", "torn"] {
            ledger.append_durable(&entry(Kind::Finding, call)).wait().unwrap();
        }
        Self {
            disk: disk.kill(),
            older,
        }
    }

    fn verify(&self) -> Report {
        self.verify_with(&keys().known(), &[])
    }

    fn verify_with(&self, known: &[VerifierKey], older: &[(String, Vec<u8>)]) -> Report {
        let request = Request {
            dir: dir(),
            known,
            witnesses: NOBODY,
            older,
            own: None,
        };
        verify(Arc::new(self.disk.clone()), &request)
    }

    fn path(file: &str) -> PathBuf {
        dir().join(file)
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        self.disk
            .bytes(&Self::path(file))
            .unwrap_or_else(|| panic!("no {file}: {:?}", self.disk.paths()))
    }

    fn write(&self, file: &str, bytes: Vec<u8>) {
        self.disk.tamper(&Self::path(file), Some(bytes));
    }

    fn remove(&self, file: &str) {
        self.disk.tamper(&Self::path(file), None);
    }

    fn flip(&self, file: &str, at: usize) {
        let mut bytes = self.bytes(file);
        bytes[at] ^= 1;
        self.write(file, bytes);
    }

    fn entries(&self, file: &str) -> Vec<Vec<u8>> {
        entries_of(&self.bytes(file))
            .0
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect()
    }

    fn set_entries(&self, file: &str, entries: &[Vec<u8>]) {
        let mut bytes = Vec::new();
        for entry in entries {
            bytes.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(entry);
        }
        self.write(file, bytes);
    }

    fn segment(&self) -> String {
        let wal = Self::path("wal");
        let paths = self.disk.paths();
        let last = paths.iter().rfind(|path| path.starts_with(&wal)).unwrap();
        last.strip_prefix(dir()).unwrap().display().to_string()
    }
}

/// Bytes of the frame of an entry of the tail.
fn frame_bytes(call: &str) -> usize {
    frame::FRAME_BYTES + entry(Kind::Finding, call).encode().bytes().len()
}

#[test]
fn a_log_that_is_whole_holds() {
    let case = Case::new();
    let report = case.verify_with(&keys().known(), &[("older".to_owned(), case.older.clone())]);
    assert!(report.holds(), "{report}");
    assert_eq!(
        (report.size, report.entries, report.unsigned, report.older),
        (701, 701, 2, 1)
    );
    assert_eq!(
        (
            report.open_calls,
            report.kinds[&Kind::Intent],
            report.signed_by.len()
        ),
        (0, 350, 2)
    );
    let json: serde_json::Value = serde_json::from_slice(&report.to_json()).unwrap();
    assert_eq!((&json["holds"], &json["size"]), (&true.into(), &701.into()));
    // The same after recovery, and without the segments, as a static host would serve it.
    open(&case.disk).close().unwrap();
    for path in case.disk.paths() {
        let is_served = path.starts_with(Case::path("tile")) || path.ends_with("checkpoint");
        if !is_served {
            case.disk.tamper(&path, None);
        }
    }
    let report = case.verify();
    assert!(report.holds(), "{report}");
    assert_eq!((report.entries, report.unsigned), (705, 0));
    assert!(report.notes[0].contains("had not closed the log"), "{report}");
}

#[test]
fn a_log_that_was_rolled_back_or_rewritten_is_found_by_an_older_checkpoint() {
    let whole = Case::new();
    let newest = whole.bytes("checkpoint");
    let case = Case::new();
    case.write("checkpoint", case.older.clone());
    let report = case.verify_with(&keys().known(), &[("seen".to_owned(), newest)]);
    let faults: Vec<_> = report
        .problems
        .iter()
        .map(|problem| (problem.fault, problem.index))
        .collect();
    assert_eq!(faults, [(Fault::RolledBack, Some(301))], "{report}");

    // Whoever holds the keys can sign another past, but not one that an older checkpoint vouches for.
    let head = Checkpoint {
        origin: ORIGIN.to_owned(),
        size: 301,
        root: [7; 32],
    };
    let other = head.sign(&keys(), 5).unwrap().to_string().into_bytes();
    let seen = [
        ("good".to_owned(), whole.older.clone()),
        ("other".to_owned(), other),
    ];
    let report = whole.verify_with(&keys().known(), &seen);
    assert_eq!(report.problems.len(), 1, "{report}");
    assert_eq!(
        (report.problems[0].fault, report.problems[0].index),
        (Fault::Forked, Some(301))
    );
    assert_eq!(report.problems[0].file.as_deref(), Some("other"));
}

#[test]
fn everything_rewritten_but_the_signature_is_found() {
    let case = Case::new();
    // All leaf tiles and bundles rebuilt over an altered log; only the signed root gives it away.
    let mut entries = case.entries("tile/entries/002.p/189");
    entries[4] = entries[6].clone();
    case.set_entries("tile/entries/002.p/189", &entries);
    let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    case.write("tile/0/002.p/189", leaves.concat());
    let report = case.verify_with(&keys().known(), &[("older".to_owned(), case.older.clone())]);
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.fault == Fault::RootDiffers),
        "{report}"
    );
    assert_eq!(
        report.agreed_size, 301,
        "what the older checkpoint covers still holds: {report}"
    );
}

#[test]
fn the_owner_of_the_keys_finds_a_forged_tail_that_fits() {
    let case = Case::new();
    let segment = case.segment();
    let mut bytes = case.bytes(&segment);
    bytes.truncate(bytes.len() - frame_bytes("torn"));
    let forged = entry(Kind::Finding, "forged").encode();
    let thief = Digester::new(&crate::keys::Secret::new(vec![9; 32]));
    frame::write(&mut bytes, &thief, 702, 702, forged.bytes(), forged.leaf());
    case.write(&segment, bytes);
    assert!(
        case.verify().holds(),
        "without the keys the unsigned tail vouches for nothing"
    );
    let own = keys();
    let request = Request {
        dir: dir(),
        known: &own.known(),
        witnesses: NOBODY,
        older: &[],
        own: Some(&own),
    };
    let report = verify(Arc::new(case.disk.clone()), &request);
    let places: Vec<_> = report
        .problems
        .iter()
        .map(|problem| (problem.fault, problem.index))
        .collect();
    assert_eq!(places, [(Fault::WalAltered, Some(702))], "{report}");
}

#[test]
fn a_torn_end_is_noted_and_not_suspected() {
    let case = Case::new();
    let segment = case.segment();
    let mut bytes = case.bytes(&segment);
    bytes.truncate(bytes.len() - 3);
    case.write(&segment, bytes);
    let report = case.verify();
    assert!(report.holds() && report.notes.len() == 1, "{report}");
    assert!(report.notes[0].contains("torn or unfinished"));
}

/// Lets a story be told that no ledger would write, and gives the faults.
fn faults_of(entries: &[Entry]) -> Vec<(Fault, Option<u64>)> {
    let mut report = Report::default();
    let mut story = story::Story::default();
    for (index, entry) in (0..).zip(entries) {
        story.tell(index, entry.encode().bytes(), &mut report);
    }
    story.end(&mut report);
    report
        .problems
        .iter()
        .map(|problem| (problem.fault, problem.index))
        .collect()
}

#[test]
fn a_story_with_holes_is_found_out() {
    let at = |time_ms, kind, call: &str| Entry {
        call: (!call.is_empty()).then(|| call.to_owned()),
        ..Entry::new(time_ms, kind)
    };
    let shard = |time_ms, code: &str, epoch: u64| Entry {
        code: Some(code.to_owned()),
        ..Entry::new(time_ms, Kind::Shard)
            .with("epoch", epoch)
            .with("heartbeat_ms", 1_000_u64)
    };
    let intent = |time_ms| at(time_ms, Kind::Intent, "a");
    let outcome = |time_ms| at(time_ms, Kind::Outcome, "a");
    let gap = |time_ms, from: u64| Entry::new(time_ms, Kind::Gap).with("from", from);
    for (what, entries, faults) in [
        (
            "a whole story",
            vec![shard(0, "open", 1), intent(1), outcome(2), shard(3, "close", 1)],
            vec![],
        ),
        (
            "a call that still runs",
            vec![shard(0, "open", 1), intent(1)],
            vec![],
        ),
        (
            "a refusal ends a call",
            vec![shard(0, "open", 1), intent(1), at(2, Kind::Refusal, "a")],
            vec![],
        ),
        (
            "refusals without intent",
            vec![at(1, Kind::Refusal, "a"), at(2, Kind::Refusal, "b")],
            vec![],
        ),
        (
            "closed over an open call",
            vec![shard(0, "open", 1), intent(1), shard(3, "close", 1)],
            vec![(Fault::CallWithoutEnding, Some(1))],
        ),
        (
            "opened again over an open call",
            vec![shard(0, "open", 1), intent(1), shard(3, "open", 2)],
            vec![(Fault::CallWithoutEnding, Some(1))],
        ),
        (
            "two endings",
            vec![intent(1), outcome(2), outcome(3)],
            vec![(Fault::CallEndedTwice, Some(2))],
        ),
        (
            "two beginnings",
            vec![intent(1), outcome(2), intent(3), outcome(4)],
            vec![(Fault::CallBegunTwice, Some(2))],
        ),
        (
            "two writers",
            vec![shard(0, "open", 1), shard(3, "open", 1)],
            vec![(Fault::Epoch, Some(1))],
        ),
        (
            "silence",
            vec![shard(0, "open", 1), at(5_000, Kind::Heartbeat, "")],
            vec![(Fault::Silence, Some(1))],
        ),
        (
            "silence between processes",
            vec![shard(0, "open", 1), shard(50_000, "open", 2)],
            vec![],
        ),
        (
            "silence with an account",
            vec![
                shard(0, "open", 1),
                gap(50_000, 5),
                at(50_001, Kind::Heartbeat, ""),
            ],
            vec![],
        ),
        (
            "a clock that goes back",
            vec![shard(90_000, "open", 1), at(10, Kind::Finding, "")],
            vec![],
        ),
    ] {
        assert_eq!(faults_of(&entries), faults, "{what}");
    }
}

#[test]
fn a_proof_vouches_for_its_entry_alone() {
    let case = Case::new();
    let reader = Reader::new(Arc::new(case.disk.clone()), dir());
    let entry = &reader.page(300..301, 1).unwrap()[0].bytes;
    let proof = reader.proof(300).unwrap().to_string();
    let (index, head, vouched) = verify_proof(&proof, entry, &keys().known(), NOBODY).unwrap();
    assert_eq!((index, head.size, vouched.len()), (300, 701, 2));
    verify_proof(&proof, b"{}", &keys().known(), NOBODY).unwrap_err();
    verify_proof(&proof, entry, &keys_of(ORIGIN, 9).known(), NOBODY).unwrap_err();
    verify_proof(
        &proof.replace("index 300", "index 301"),
        entry,
        &keys().known(),
        NOBODY,
    )
    .unwrap_err();
    let witness = keys_of("witness.example", 3);
    let mut note = Note::from_bytes(Proof::from_text(&proof).unwrap().checkpoint.as_bytes()).unwrap();
    note.signatures = head.sign(&witness, 5).unwrap().signatures.split_off(1);
    let (path, _) = proof.split_once("\n\n").unwrap();
    let by_witness = format!("{path}\n\n{note}");
    verify_proof(&by_witness, entry, &witness.known(), NOBODY).expect_err("a witness is not the log");
}

#[test]
fn a_proof_shows_who_witnessed_it_and_too_few_are_too_few() {
    let case = Case::new();
    let reader = Reader::new(Arc::new(case.disk.clone()), dir());
    assert_eq!(reader.witnessed_proof(300).unwrap(), None, "nobody signed yet");
    // Somebody saw the first 301 entries.
    let witness = keys_of("witness.example", 3);
    let mut note = Note::from_bytes(&case.older).unwrap();
    let seen = Checkpoint::from_text(&note.text).unwrap();
    let cosigned = seen.sign(&witness, 5).unwrap().signatures.split_off(1);
    note.signatures.extend(cosigned);
    case.write("cosigned", note.to_string().into_bytes());
    let proof = reader.witnessed_proof(300).unwrap().unwrap().to_string();
    assert_eq!(reader.witnessed_proof(301).unwrap(), None, "it saw no more");
    let entry = &reader.page(300..301, 1).unwrap()[0].bytes;
    let check = |proof: &str, keys: &[VerifierKey], quorum| {
        verify_proof(proof, entry, &self::keys().known(), Witnesses { keys, quorum })
    };
    let (index, head, vouched) = check(&proof, &witness.known(), None).unwrap();
    assert_eq!((index, head.size, vouched.len()), (300, 301, 3));
    check(&proof, &[], None).expect("whoever asks for no witness gets what the log itself vouches for");
    let unwitnessed = |found| assert!(matches!(found, Err(ProofError::Unwitnessed(_))), "{found:?}");
    unwitnessed(check(&proof, &witness.known(), Some(2)));
    unwitnessed(check(&proof, &keys_of("witness.example", 4).known(), None));
    // The log is no witness of itself.
    unwitnessed(check(&proof, &keys().known(), None));
    unwitnessed(check(
        &reader.proof(300).unwrap().to_string(),
        &witness.known(),
        None,
    ));
    // What was signed of another log is no receipt of this one.
    let other = Checkpoint {
        root: [7; 32],
        ..seen
    };
    note.text = other.text();
    case.write("cosigned", note.to_string().into_bytes());
    assert_eq!(reader.witnessed_proof(300).unwrap(), None);
}
