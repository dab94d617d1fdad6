//! What tracing costs for texts as long as long arguments and results are: where the arguments of a call came from, and
//! taking in what it brought.
//!
//! `cargo run --release -p policy --example tracing_cost [BYTES [CALLS]]`. Prose of so many bytes goes to a tool that
//! gives it back, in one context. CPU time of the thread is read from `/proc/thread-self/schedstat`; instructions repeat
//! exactly (`valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*sources*'`).

use std::{
    hint::black_box,
    io::{self, Write},
};

use policy::{
    Confidentiality, Trust,
    flow::{Brought, Call, Flow, Settings, Suspicion},
};
use wire::{
    bounds::REQUEST,
    json::{Document, Keys, object},
};

/// What the load of the bench says, over and over.
const PROSE: &str =
    "The quarterly report lists revenue by region and compares it with the plan of last spring. ";

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |otherwise: u32| args.next().map_or(Ok(otherwise), |text| text.parse());
    let bytes = number(10_000).map_err(io::Error::other)?;
    let calls = number(1_000).map_err(io::Error::other)?;
    let text: String = PROSE.chars().cycle().take(bytes as usize).collect();
    let args = Document::parse(object(|out| out.string("text", &text)), Keys::Exact, &REQUEST)
        .map_err(io::Error::other)?;
    let call = Call {
        server: "stub",
        tool: "echo",
        sink: None,
        args: Some(args.root()),
    };
    let brought = Brought {
        text: &text,
        trust: Trust::Trusted,
        confidentiality: Confidentiality::Public,
        suspicion: Suspicion::None,
    };
    let mut flow = Flow::new(None, Settings::default());
    let begun = on_cpu_us()?;
    for _ in 0..calls {
        flow.absorb(&call, &brought);
    }
    let taken = on_cpu_us()?;
    for _ in 0..calls {
        black_box(flow.sources(call.args));
    }
    let asked = on_cpu_us()?;
    let calls = f64::from(calls.max(1));
    writeln!(
        io::stdout(),
        "{bytes} bytes each way: {:.1} us to take it in, {:.1} us to ask where it came from",
        (taken - begun) / calls,
        (asked - taken) / calls
    )
}

/// CPU time of this thread so far.
fn on_cpu_us() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = stat.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    Ok(first.ok_or_else(|| io::Error::other("no number"))? / 1000.0)
}
