//! What tracing costs for texts as long as long arguments and results are: where the arguments of a call came from, and
//! taking in what it brought.
//!
//! `cargo run --release -p policy --example tracing_cost [BYTES [CALLS [FILE [TOOLS]]]]`. A text of so many bytes goes to a tool
//! that gives it back, in one context: the bench's prose each time, which is one sentence over and over, or what stands in
//! FILE, each time from 1,000 bytes further on; to one tool, or to so many of them in turn. CPU time of the thread is read from `/proc/thread-self/schedstat`; instructions repeat
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

/// By how much texts of a file begin after each other.
const STEP: usize = 1_000;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |otherwise: u32| args.next().map_or(Ok(otherwise), |text| text.parse());
    let bytes = number(10_000).map_err(io::Error::other)?;
    let calls = number(1_000).map_err(io::Error::other)?;
    let source = args
        .next()
        .map_or(Ok(PROSE.to_owned()), std::fs::read_to_string)?;
    let tools = number_of(args.next())?;
    let tools: Vec<String> = (0..tools).map(|n| format!("echo_{n}")).collect();
    let steps = if source == PROSE {
        1
    } else {
        source.len().div_ceil(STEP)
    };
    let text = |n: usize| {
        source
            .chars()
            .cycle()
            .skip(n * STEP)
            .take(bytes as usize)
            .collect()
    };
    let texts: Vec<String> = (0..steps).map(text).collect();
    let parse = |text| Document::parse(object(|out| out.string("text", text)), Keys::Exact, &REQUEST);
    let args = texts
        .iter()
        .map(|text| parse(text))
        .collect::<Result<Vec<_>, _>>();
    let args = args.map_err(io::Error::other)?;
    let mut flow = Flow::new(None, Settings::default());
    let begun = on_cpu_us()?;
    let said = args.iter().zip(&texts).cycle().zip(tools.iter().cycle());
    for ((args, text), tool) in said.take(calls as usize) {
        let call = Call {
            server: "stub",
            tool,
            sink: None,
            args: Some(args.root()),
        };
        let brought = Brought {
            text,
            trust: Trust::Trusted,
            confidentiality: Confidentiality::Public,
            suspicion: Suspicion::None,
        };
        flow.uses(&call);
        flow.absorb(&call, &brought);
    }
    let taken = on_cpu_us()?;
    for args in args.iter().cycle().take(calls as usize) {
        black_box(flow.sources(Some(args.root())));
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

fn number_of(tools: Option<String>) -> io::Result<u32> {
    tools.map_or(Ok(1), |text| text.parse().map_err(io::Error::other))
}

/// CPU time of this thread so far.
fn on_cpu_us() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = stat.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    Ok(first.ok_or_else(|| io::Error::other("no number"))? / 1000.0)
}
