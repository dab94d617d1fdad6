//! `cargo xtask bench`: calls through the gateway, with every guard on, against the same calls without it.
//!
//! Load generator, gateway and upstream share the machine, so throughput counts only as a ratio within one
//! run; CPU time per call is the figure that holds.

mod durability;
pub(crate) mod gateway;
mod plain;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use self::gateway::{Gateway, Programs, build, build_tools, cpu_seconds, resident_mb, start_stub};
use crate::run::{self, cargo, output, say, target};

const PAYLOADS: [usize; 3] = [200, 10_000, 1_000_000];
const CONNECTIONS: [usize; 4] = [1, 8, 32, 128];

/// What is measured.
#[derive(Clone, Copy, Eq, PartialEq)]
enum What {
    /// Calls through the gateway and past it.
    Calls,
    /// Calls through a gateway whose disk keeps what is synced, and through one where nothing is kept.
    Durability,
    /// The ledger alone.
    Ledger,
}

/// Whether each call of a run has a text of its own. What was inspected before is not inspected again.
#[derive(Clone, Copy)]
enum Texts {
    New,
    Same,
}

/// What one run of the load generator showed.
struct Shown {
    calls: f64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
}

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let (what, args) = match args {
        [what, rest @ ..] if what == "ledger" => (What::Ledger, rest),
        [what, rest @ ..] if what == "durability" => (What::Durability, rest),
        rest => (What::Calls, rest),
    };
    let (mut seconds, mut profile, mut program) = ("3", "release", None);
    let usage = "usage: cargo xtask bench [ledger | durability] [--seconds N] [--profile release | dist | --program FILE]";
    let (pairs, rest) = args.as_chunks::<2>();
    for [flag, value] in pairs {
        match flag.as_str() {
            "--profile" => profile = value,
            "--program" => program = Some(PathBuf::from(value)),
            "--seconds" => seconds = value,
            _ => return Err(usage.to_owned()),
        }
    }
    if !rest.is_empty() {
        return Err(usage.to_owned());
    }
    if what == What::Ledger {
        return ledger(seconds);
    }
    let sallyport = match program {
        Some(program) => program,
        None => {
            build(profile, "gateway")?;
            target().join(profile).join("sallyport")
        }
    };
    let programs = Programs {
        sallyport,
        tools: build_tools()?,
    };
    let scratch = std::env::temp_dir().join(format!("sallyport-bench-{}", std::process::id()));
    let result = match what {
        What::Durability => durability::measure(&programs, &scratch, seconds),
        What::Calls | What::Ledger => measure(&programs, &scratch, seconds),
    };
    let _ = std::fs::remove_dir_all(&scratch);
    result
}

/// Appends to the ledger alone, next to those to databases.
fn ledger(seconds: &str) -> Result<(), String> {
    let example = [
        "--release",
        "--quiet",
        "--package",
        "records",
        "--example",
        "ledger_throughput",
    ];
    run::run(cargo().arg("run").args(example).args(["--", seconds]))
}

fn measure(programs: &Programs, scratch: &Path, seconds: &str) -> Result<(), String> {
    let (_stub, upstream) = start_stub(&programs.tools)?;
    let gateway = Gateway::start(programs, scratch, scratch, &upstream)?;
    let Gateway {
        url, token, process, ..
    } = &gateway;
    let plain = plain::Plain::start(scratch, &upstream)?;
    say(&format!("idle: {} MB resident\n", resident_mb(process)));
    say(
        "| bytes | connections | direct calls/s | through calls/s | ratio | p50 µs direct / through | p99 µs direct / through | CPU µs/call | the same text again | nginx, plain | resident MB |",
    );
    say("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for bytes in PAYLOADS {
        for connections in CONNECTIONS {
            let load = |url: &str, tool: &str, token: Option<&str>, texts| {
                let mut command = Command::new(programs.tools.join("e2e-load"));
                command
                    .args([url, tool, &bytes.to_string(), &connections.to_string(), seconds])
                    .args(token);
                match texts {
                    Texts::New => command.env_remove("LOAD_SAME"),
                    Texts::Same => command.env("LOAD_SAME", "1"),
                };
                shown(&output(&mut command)?)
            };
            let direct = load(&upstream, "echo", None, Texts::New)?;
            let cost = |process: &Path, url: &str, tool: &str, token, texts| {
                let before = cpu_seconds(process)?;
                let shown = load(url, tool, token, texts)?;
                let cpu = (cpu_seconds(process)? - before) / shown.calls * 1e6;
                Ok::<_, String>((shown, cpu))
            };
            let (through, cpu) = cost(process, url, "stub__echo", Some(token), Texts::New)?;
            let (_, again) = cost(process, url, "stub__echo", Some(token), Texts::Same)?;
            let beside = match &plain {
                Some(plain) => format!(
                    "{:.0}",
                    cost(&plain.process, &plain.url, "echo", None, Texts::New)?.1
                ),
                None => "not installed".to_owned(),
            };
            let (fast, slow) = (direct.calls / direct.seconds, through.calls / through.seconds);
            say(&format!(
                "| {bytes} | {connections} | {fast:.0} | {slow:.0} | {:.2} | {:.0} / {:.0} | {:.0} / {:.0} | {cpu:.0} | {again:.0} | {beside} | {} |",
                slow / fast,
                direct.p50_us,
                through.p50_us,
                direct.p99_us,
                through.p99_us,
                resident_mb(process),
            ));
        }
    }
    Ok(())
}

fn shown(line: &str) -> Result<Shown, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
    let number = |name: &str| value.get(name).and_then(Value::as_f64).unwrap_or_default();
    if number("failures") > 0.0 || number("calls") == 0.0 {
        return Err(format!("calls failed: {line}"));
    }
    Ok(Shown {
        calls: number("calls"),
        seconds: number("seconds"),
        p50_us: number("p50_us"),
        p99_us: number("p99_us"),
    })
}
