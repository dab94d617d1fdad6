//! A witness cosigns what goes on from what it saw, and nothing else.

use super::*;
use crate::{
    disk::sim::SimDisk,
    keys::Cosigner,
    ledger::{
        Kind, Ledger, Reader,
        note::NoteSignature,
        tests::{block, dir, entry, keys, keys_of, open},
    },
};

const WITNESS: &str = "witness.example/w1";

fn cosigner() -> Cosigner {
    keys_of("log.example/other", 5).cosigner(WITNESS).unwrap()
}

/// A log that grows, and what was seen of it.
struct Log {
    ledger: Ledger,
    disk: SimDisk,
}

impl Log {
    fn new() -> Self {
        let disk = SimDisk::new();
        let ledger = open(&disk);
        Self { ledger, disk }
    }

    /// So many further entries, published.
    fn grow(&self, more: usize) -> (Checkpoint, String) {
        for n in 0..more {
            let receipt = block(
                self.ledger
                    .append_durable(&entry(Kind::Refusal, &format!("c{n}"))),
            );
            block(self.ledger.covered(receipt.unwrap().index)).unwrap();
        }
        (self.reader().head().unwrap(), self.reader().checkpoint().unwrap())
    }

    fn reader(&self) -> Reader {
        Reader::new(std::sync::Arc::new(self.disk.clone()), dir())
    }

    fn submit(&self, old: u64, checkpoint: &str) -> Submission {
        let size = self.reader().head().unwrap().size;
        let proof = match old {
            0 => Vec::new(),
            old => self.reader().consistency(old, size).unwrap(),
        };
        let text = Submission {
            old,
            proof,
            checkpoint: checkpoint.to_owned(),
        };
        let read = Submission::from_bytes(text.to_string().as_bytes()).unwrap();
        assert_eq!(read, text, "what is written is read");
        read
    }
}

fn judged(submission: Submission, last: Option<&Checkpoint>) -> Result<Consistent, Declined> {
    submission.authenticate(&keys().known())?.follows(last)
}

#[test]
fn what_goes_on_from_what_was_seen_is_cosigned_and_nothing_else() {
    let log = Log::new();
    let (first, note) = log.grow(3);
    let seen = judged(log.submit(0, &note), None).unwrap();
    assert_eq!(seen.checkpoint(), &first);
    let (second, note) = log.grow(5);
    assert!(judged(log.submit(first.size, &note), Some(&first)).is_ok());
    // Seen already: the same again is good, and only the same.
    assert!(judged(log.submit(second.size, &note), Some(&second)).is_ok());
    let conflict = Err(Declined::Conflict(second.size));
    assert_eq!(
        judged(log.submit(first.size, &note), Some(&second)).map(drop),
        conflict
    );
    assert_eq!(judged(log.submit(0, &note), Some(&second)).map(drop), conflict);
    // Another log under the same name and keys: what a fork looks like.
    let fork = Checkpoint {
        root: [7; 32],
        ..second.clone()
    };
    let forked = fork.sign(&keys(), 1).unwrap().to_string();
    for (old, last) in [(second.size, &second), (first.size, &first)] {
        let declined = judged(log.submit(old, &forked), Some(last)).map(drop);
        assert!(
            matches!(declined, Err(Declined::Inconsistent(_))),
            "{old}: {declined:?}"
        );
    }
    // A proof where none belongs, an empty one where one does, and one too long.
    let (third, note) = log.grow(1);
    for proof in [Vec::new(), vec![[1; 32]; 63]] {
        let wrong = Submission {
            proof,
            ..log.submit(second.size, &note)
        };
        let declined = judged(wrong, Some(&second)).map(drop);
        assert!(matches!(declined, Err(Declined::Inconsistent(_))), "{declined:?}");
    }
    let needless = Submission {
        proof: vec![[1; 32]],
        ..log.submit(third.size, &note)
    };
    assert!(matches!(
        judged(needless, Some(&third)),
        Err(Declined::Inconsistent(_))
    ));
    let empty = Checkpoint {
        size: 0,
        root: [1; 32],
        ..third
    };
    let empty = log.submit(0, &empty.sign(&keys(), 1).unwrap().to_string());
    assert!(matches!(judged(empty, None), Err(Declined::Inconsistent(_))));
}

#[test]
fn only_logs_that_are_known_and_signed_are_heard() {
    let log = Log::new();
    let (head, note) = log.grow(2);
    let ask = |note: &str, keys: &[VerifierKey]| log.submit(0, note).authenticate(keys).map(drop);
    let other = keys_of("log.example/other", 5).known();
    assert_eq!(ask(&note, &other), Err(Declined::UnknownLog(head.origin.clone())));
    // The right name and another key; the right key and an altered root.
    let stranger = keys_of(&head.origin, 9);
    assert!(matches!(
        ask(&note, &stranger.known()),
        Err(Declined::Untrusted(_))
    ));
    let altered = note.replacen(
        &format!("\n{}\n", head.size),
        &format!("\n{}\n", head.size + 1),
        1,
    );
    assert!(matches!(
        ask(&altered, &keys().known()),
        Err(Declined::Untrusted(_))
    ));
    // Whoever else signed is not passed on.
    let cosigned = cosigner().cosign(&head, &head.text(), 5).unwrap();
    let lines: String = cosigned.iter().map(NoteSignature::to_string).collect();
    let heard = log
        .submit(0, &(note.clone() + &lines))
        .authenticate(&keys().known())
        .unwrap();
    assert_eq!(heard.note().to_string(), note);
    let larger = Submission {
        old: head.size + 1,
        ..log.submit(0, &note)
    };
    assert!(matches!(
        larger.authenticate(&keys().known()),
        Err(Declined::Malformed(_))
    ));
}

#[test]
fn a_submission_has_one_form() {
    let note = "a\n1\nAAAA\n\n\u{2014} a AAAAAAA=\n";
    assert!(Submission::from_bytes(format!("old 0\n\n{note}").as_bytes()).is_ok());
    let hash = BASE64.encode([1; 32]);
    let many = format!("{hash}\n").repeat(64);
    for text in [
        String::new(),
        format!("old 00\n\n{note}"),
        format!("old -1\n\n{note}"),
        format!("old 18446744073709551616\n\n{note}"),
        format!("OLD 0\n\n{note}"),
        format!("\n\n{note}"),
        format!("old 1\nAAAA\n\n{note}"),
        format!("old 1\n{hash} \n\n{note}"),
        format!("old 1\n{many}\n{note}"),
        "old 0\n".to_owned(),
        format!("old 0\n\n{}", "x".repeat(SUBMISSION_BYTES_MAX)),
    ] {
        let read = Submission::from_bytes(text.as_bytes());
        let shown: String = text.chars().take(60).collect();
        assert!(matches!(read, Err(Declined::Malformed(_))), "{shown}: {read:?}");
    }
}

#[test]
fn a_cosignature_is_of_its_witness_its_time_and_its_log() {
    let log = Log::new();
    let (head, note) = log.grow(2);
    let witness = cosigner();
    let lines = witness.cosign(&head, &head.text(), 1_763_712_000).unwrap();
    let cosigned = note.clone() + &lines.iter().map(NoteSignature::to_string).collect::<String>();
    let known = [keys().known(), witness.verifiers().to_vec()].concat();
    let (_, vouched) = Checkpoint::verify(cosigned.as_bytes(), &head.origin, &known).unwrap();
    let times: Vec<_> = vouched
        .iter()
        .filter(|one| one.key.name() == WITNESS)
        .map(|one| one.time_s)
        .collect();
    assert_eq!(times, [Some(1_763_712_000); 2]);
    // Another name has other keys, and the log's own keys are none of them.
    let other = keys_of("log.example/other", 5)
        .cosigner("witness.example/w2")
        .unwrap();
    for (one, two) in witness.verifiers().iter().zip(other.verifiers()) {
        assert_ne!(one.public(), two.public());
    }
    // A cosignature of another checkpoint, or of another time, does not hold.
    let elsewhere = Checkpoint {
        size: head.size + 1,
        ..head.clone()
    };
    for wrong in witness.cosign(&elsewhere, &elsewhere.text(), 1).unwrap() {
        let forged = note.clone() + &wrong.to_string();
        assert!(Checkpoint::verify(forged.as_bytes(), &head.origin, &known).is_err());
    }
    for mut later in lines {
        *later.bytes.first_mut().unwrap() ^= 1;
        let forged = note.clone() + &later.to_string();
        assert!(Checkpoint::verify(forged.as_bytes(), &head.origin, &known).is_err());
    }
}
