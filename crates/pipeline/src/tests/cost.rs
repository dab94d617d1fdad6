//! What each stage costs by itself, without I/O: the road's own work and, of the engines, the rules; every other port
//! answers at once. `cargo test --release -p pipeline -- --ignored what_each_stage_costs --nocapture` prints it.

use std::{
    fs,
    io::{self, Write},
};

use super::{
    run,
    world::{World, arrival},
};
use crate::{Received, Refusal, admit, decide, forward, release};

/// Calls that take each stage together: one alone is too short for the clock.
const CALLS: usize = 20_000;

/// CPU time of this thread, in microseconds.
fn on_cpu_us() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = stat.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.expect("a number") / 1000.0
}

/// Takes all calls through a stage and says what it cost each.
fn timed<A, B>(name: &str, calls: Vec<A>, stage: impl Fn(A) -> Result<B, Refusal>) -> Vec<B> {
    let before = on_cpu_us();
    let passed: Vec<B> = calls.into_iter().map(|call| stage(call).expect(name)).collect();
    let cost = (on_cpu_us() - before) / f64::from(u32::try_from(CALLS).expect("few"));
    writeln!(io::stdout(), "{name:<14} {cost:>7.2} us").expect("somebody reads");
    passed
}

#[test]
#[ignore = "it measures, and asserts nothing of time"]
fn what_each_stage_costs() {
    let world = World::permitting();
    let calls: Vec<Received> = (0..CALLS).map(|_| Received::new(arrival())).collect();
    let begun = on_cpu_us();
    let calls = timed("authenticate", calls, |call| {
        run(admit::authenticate(&world, call))
    });
    let calls = timed("enter_context", calls, |call| admit::enter_context(&world, call));
    let calls = timed("declare", calls, |call| admit::declare(&world, call));
    let calls = timed("resolve", calls, |call| decide::resolve(&world, call));
    let calls = timed("inspect", calls, |call| decide::inspect(&world, call));
    let calls = timed("authorize", calls, |call| decide::authorize(&world, call));
    let calls = timed("limit", calls, |call| run(decide::limit(&world, call)));
    let calls = timed("consult", calls, |call| run(decide::consult(&world, call)));
    let calls = timed("approve", calls, |call| run(decide::approve(&world, call)));
    let calls = timed("heed", calls, |call| forward::heed(&world, call));
    let calls = timed("record", calls, |call| run(forward::record(&world, call)));
    let calls = timed("answer", calls, |call| run(forward::answer(&world, call)));
    let calls = timed("screen", calls, |call| release::screen(&world, call));
    let calls = timed("filter", calls, |call| release::filter(&world, call));
    let calls = timed("reconsider", calls, |call| run(release::reconsider(&world, call)));
    let whole = (on_cpu_us() - begun) / f64::from(u32::try_from(CALLS).expect("few"));
    writeln!(io::stdout(), "{:<14} {whole:>7.2} us", "all").expect("somebody reads");
    assert_eq!(calls.len(), CALLS);
}
