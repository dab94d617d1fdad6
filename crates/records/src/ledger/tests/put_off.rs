//! When writing is put off in the hope of company, and who is woken. No thread and no clock: the state alone is told what
//! time it is.

use std::time::{Duration, Instant};

use super::*;
use crate::{
    disk::{Disk, How},
    ledger::{
        queue::{Job, Want},
        shared::Phase,
        state::{Start, State, Tail},
    },
};

/// With so many calls on the road, whose intents were written together.
fn with_calls(calls: usize) -> State {
    let disk = SimDisk::new();
    disk.create_dir(dir()).unwrap();
    let file = disk.open(&dir().join("0.wal"), How::Create).unwrap();
    let start = Start {
        keys: Arc::new(keys()),
        epoch: 1,
        tail: Tail::new(file, 0, 0, 0),
        fresh: Vec::new(),
        published: 0,
        segments: vec![0],
    };
    let mut state = State::new(start, 1_763_712_000_000);
    for n in 0..calls {
        submit(
            &mut state,
            Kind::Intent,
            &n.to_string(),
            Want::Soon,
            Instant::now(),
        );
    }
    write(&mut state);
    state
}

/// What an append does under the lock: whether it wakes one of the crew.
fn submit(state: &mut State, kind: Kind, call: &str, want: Want, now: Instant) -> bool {
    let (job, pending) = Job::new(&entry(kind, call), want);
    // That nobody waits for the answer changes nothing here: who waits is told by the job.
    drop(pending);
    state.accept(job, 1_763_712_000_000, &quick());
    state.put_off_write(want, now);
    state.calls_crew()
}

/// What the crew does when it writes.
fn write(state: &mut State) {
    state.crew_called = false;
    let _ = state.next_group();
    let _ = state.written(b"frames", 1_763_712_000_000);
}

/// How long writing is put off with 64 calls on the road: four times as long as with 16.
const SHORTLY: Duration = Duration::from_millis(2);

#[test]
fn what_comes_after_company_waits_for_more_of_it_but_not_for_long() {
    let mut state = with_calls(64);
    let now = Instant::now();
    let woken = submit(&mut state, Kind::Outcome, "0", Want::Written, now);
    assert!(woken, "somebody has to mind the time");
    assert!(state.is_write_put_off(now));
    assert!(state.is_write_put_off(now + SHORTLY / 2));
    assert!(!state.is_write_put_off(now + SHORTLY));
    state.crew_called = false;
    state.tail.minded = Some(now + SHORTLY);
    let later = now + SHORTLY / 2;
    assert!(!submit(&mut state, Kind::Outcome, "1", Want::Written, later));
    assert!(
        !state.is_write_put_off(now + SHORTLY),
        "the first does not wait longer"
    );
}

#[test]
fn enough_of_them_are_written_at_once() {
    let mut state = with_calls(64);
    let now = Instant::now();
    state.tail.minded = Some(now + SHORTLY);
    let woken = (0..16).map(|n| submit(&mut state, Kind::Outcome, &n.to_string(), Want::Written, now));
    let woken: Vec<_> = woken.collect();
    assert_eq!(woken.iter().position(|woken| *woken), Some(15), "{woken:?}");
    assert!(!state.is_write_put_off(now));
}

#[test]
fn what_comes_after_one_alone_does_not_wait() {
    let mut state = with_calls(64);
    let now = Instant::now();
    submit(&mut state, Kind::Outcome, "0", Want::Written, now);
    write(&mut state);
    assert!(submit(&mut state, Kind::Outcome, "1", Want::Written, now));
    assert!(!state.is_write_put_off(now));
}

#[test]
fn where_few_calls_are_on_the_road_nothing_is_put_off() {
    let mut state = with_calls(2);
    let now = Instant::now();
    assert!(submit(&mut state, Kind::Outcome, "0", Want::Written, now));
    assert!(!state.is_write_put_off(now));
}

#[test]
fn what_shall_be_durable_goes_with_a_sync_that_is_put_off_and_what_shall_not_is_written_before() {
    let mut state = with_calls(64);
    let (first, pending) = Job::new(&entry(Kind::Finding, "waits"), Want::Durable);
    state.accept(first, 1_763_712_000_000, &quick());
    write(&mut state);
    submit(&mut state, Kind::Finding, "a", Want::Soon, Instant::now());
    submit(&mut state, Kind::Finding, "b", Want::Soon, Instant::now());
    write(&mut state);
    assert!(state.is_sync_awaited(), "{pending:?}");
    let now = Instant::now();
    let sync_at = now + 3 * SHORTLY;
    state.tail.sync_at = Some(sync_at);
    state.tail.minded = Some(sync_at);
    assert!(!submit(&mut state, Kind::Intent, "new", Want::Durable, now));
    assert!(state.is_write_put_off(now + 2 * SHORTLY));
    assert!(submit(&mut state, Kind::Outcome, "0", Want::Written, now));
    assert!(!state.is_write_put_off(now + SHORTLY));
}

#[test]
fn the_fewer_calls_are_on_the_road_the_shorter_the_wait() {
    let mut state = with_calls(16);
    let now = Instant::now();
    submit(&mut state, Kind::Outcome, "0", Want::Written, now);
    assert!(state.is_write_put_off(now));
    assert!(!state.is_write_put_off(now + SHORTLY / 4));
}

#[test]
fn whom_a_sync_that_runs_will_answer_is_no_company_for_a_write() {
    let mut state = with_calls(64);
    let now = Instant::now();
    let waiting: Vec<_> = (0..16)
        .map(|n| {
            let (job, pending) = Job::new(&entry(Kind::Finding, &n.to_string()), Want::Durable);
            state.accept(job, 1_763_712_000_000, &quick());
            pending
        })
        .collect();
    write(&mut state);
    state.tail.syncing = true;
    submit(&mut state, Kind::Outcome, "0", Want::Written, now);
    assert!(state.is_write_put_off(now), "{waiting:?}");
    state.tail.syncing = false;
    submit(&mut state, Kind::Outcome, "1", Want::Written, now);
    assert!(!state.is_write_put_off(now), "it goes with the sync that is due");
}

#[test]
fn a_log_that_is_closed_puts_nothing_off() {
    let mut state = with_calls(64);
    let now = Instant::now();
    submit(&mut state, Kind::Outcome, "0", Want::Written, now);
    assert!(state.is_write_put_off(now));
    state.phase = Phase::Closing;
    assert!(!state.is_write_put_off(now));
}
