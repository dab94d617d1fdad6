//! Death at any moment: of the process, or of the machine with its unsynced writes.

use super::*;
use crate::{
    disk::sim::{Dice, Fault, Op},
    ledger::Receipt,
    verify::{Request, verify},
};

/// An acknowledged entry, and whether it was promised to survive loss of power.
type Promise = (Receipt, Entry, bool);

/// Appends from several threads until the disk dies at a random call; gives what was acknowledged.
fn run_until_death(disk: &SimDisk, dice: &mut Dice, life: u64) -> Vec<Promise> {
    let options = Options {
        segment_bytes: 10_000 + dice.roll(60_000),
        room_bytes: dice.roll(3) * 4_000,
        ..quick()
    };
    let death = 15 + dice.roll(300);
    disk.fail(move |call, op, _| {
        let tears = op == Op::Write && call == death;
        let fault = if tears { Fault::Tears } else { Fault::Dead };
        (call >= death).then_some(fault)
    });
    let Ok((ledger, _)) = try_open(disk, options) else {
        return Vec::new();
    };
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (ledger, mut dice) = (ledger.clone(), Dice::new(dice.roll(u64::MAX)));
            std::thread::spawn(move || {
                let mut promised: Vec<Promise> = Vec::new();
                for n in 0..400 {
                    let entry = entry(Kind::Finding, &format!("{life}-{thread}-{n}"));
                    let durable = dice.roll(3) > 0;
                    let pending = if durable {
                        ledger.append_durable(&entry)
                    } else {
                        ledger.append(&entry)
                    };
                    match pending.wait() {
                        Ok(receipt) => promised.push((receipt, entry, durable)),
                        Err(_) => break,
                    }
                }
                promised
            })
        })
        .collect();
    threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect()
}

fn rounds_of_death(rounds: u64, seed: u64) {
    let mut acknowledged = 0;
    for round in 0..rounds {
        let mut dice = Dice::new(seed + round);
        let mut disk = SimDisk::new();
        let mut promised: Vec<Promise> = Vec::new();
        for life in 0..3 {
            promised.extend(run_until_death(&disk, &mut dice, life));
            let power_goes = dice.roll(2) == 0;
            disk = if power_goes {
                disk.crash(&mut dice)
            } else {
                disk.kill()
            };
            if power_goes {
                promised.retain(|(_, _, durable)| *durable);
            }
        }
        open(&disk).close().unwrap();
        let entries = published(&disk);
        for (receipt, entry, _) in &promised {
            assert_eq!(at(&entries, *receipt), Some(entry), "round {round}, seed {seed}");
        }
        let known = keys().known();
        let request = Request {
            dir: dir(),
            known: &known,
            witnesses: crate::verify::Witnesses::default(),
            older: &[],
            own: None,
        };
        let report = verify(Arc::new(disk.clone()), &request);
        assert!(report.holds(), "round {round}, seed {seed}: {report}");
        acknowledged += promised.len();
    }
    assert!(
        acknowledged as u64 > rounds * 10,
        "the rounds did something: {acknowledged}"
    );
}

#[test]
fn three_hundred_deaths_with_dropped_and_torn_writes_lose_nothing_acknowledged() {
    rounds_of_death(100, 1);
}
