//! `cargo xtask bench`: calls through the gateway, with every guard on, against the same calls without it.
//!
//! Load generator, gateway and upstream share the machine, so throughput counts only as a ratio within one
//! run; CPU time per call is the figure that holds.

mod durability;
mod plain;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::run::{self, cargo, output, say, target};

const SECRET: &str = "bench-0f3a9c5d7e1b2468ace0";
const PAYLOADS: [usize; 3] = [200, 10_000, 1_000_000];
const CONNECTIONS: [usize; 4] = [1, 8, 32, 128];
/// Ticks of `/proc/*/stat` per second on Linux.
const TICKS: f64 = 100.0;

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

/// What one run of the load generator showed.
struct Shown {
    calls: f64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
}

/// What is run: the gateway, and what calls it and is called.
struct Programs {
    sallyport: PathBuf,
    tools: PathBuf,
}

/// A process that ends with the bench.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let (what, args) = match args {
        [what, rest @ ..] if what == "ledger" => (What::Ledger, rest),
        [what, rest @ ..] if what == "durability" => (What::Durability, rest),
        rest => (What::Calls, rest),
    };
    let (mut seconds, mut profile) = ("3", "release");
    let usage = "usage: cargo xtask bench [ledger | durability] [--seconds N] [--profile release | dist]";
    let (pairs, rest) = args.as_chunks::<2>();
    for [flag, value] in pairs {
        match flag.as_str() {
            "--profile" => profile = value,
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
    let build = |profile: &str, package: &str| {
        let mut build = cargo();
        build.args(["build", "--quiet", "--profile", profile, "--package", package]);
        run::run(&mut build)
    };
    build(profile, "gateway")?;
    build("release", "e2e")?;
    let programs = Programs {
        sallyport: target().join(profile).join("sallyport"),
        tools: target().join("release"),
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
    let (_stub, upstream) = start(
        Command::new(programs.tools.join("e2e-stub"))
            .arg("http")
            .env("STUB_SMALL", "1"),
    )?;
    let upstream = upstream.trim().to_owned();
    let gateway = Gateway::start(programs, scratch, scratch, &upstream)?;
    let Gateway {
        url, token, process, ..
    } = &gateway;
    let plain = plain::Plain::start(scratch, &upstream)?;
    say(&format!("idle: {} MB resident\n", resident_mb(process)));
    say(
        "| bytes | connections | direct calls/s | through calls/s | ratio | p50 µs direct / through | p99 µs direct / through | CPU µs/call | nginx, plain | resident MB |",
    );
    say("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for bytes in PAYLOADS {
        for connections in CONNECTIONS {
            let load = |url: &str, tool: &str, token: Option<&str>| {
                let mut command = Command::new(programs.tools.join("e2e-load"));
                command
                    .args([url, tool, &bytes.to_string(), &connections.to_string(), seconds])
                    .args(token);
                shown(&output(&mut command)?)
            };
            let direct = load(&upstream, "echo", None)?;
            let cost = |process: &Path, url: &str, tool: &str, token| {
                let before = cpu_seconds(process)?;
                let shown = load(url, tool, token)?;
                let cpu = (cpu_seconds(process)? - before) / shown.calls * 1e6;
                Ok::<_, String>((shown, cpu))
            };
            let (through, cpu) = cost(process, url, "stub__echo", Some(token))?;
            let beside = match &plain {
                Some(plain) => format!("{:.0}", cost(&plain.process, &plain.url, "echo", None)?.1),
                None => "not installed".to_owned(),
            };
            let (fast, slow) = (direct.calls / direct.seconds, through.calls / through.seconds);
            say(&format!(
                "| {bytes} | {connections} | {fast:.0} | {slow:.0} | {:.2} | {:.0} / {:.0} | {:.0} / {:.0} | {cpu:.0} | {beside} | {} |",
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

/// A gateway of the bench's own, with every guard on.
struct Gateway {
    /// Ends it.
    _running: Running,
    url: String,
    token: String,
    /// Its place in /proc.
    process: PathBuf,
}

impl Gateway {
    /// Starts one with its configuration in `dir` and its state below `data`.
    fn start(programs: &Programs, dir: &Path, data: &Path, upstream: &str) -> Result<Self, String> {
        let config = configure(dir, data, upstream)?;
        let sallyport = |args: &[&str]| {
            let mut command = Command::new(&programs.sallyport);
            command
                .args(args)
                .arg("--config")
                .arg(&config)
                .env("BENCH_SECRET", SECRET);
            command
        };
        let (running, ready) = start(&mut sallyport(&["serve", "--ready-json"]))?;
        let ready: Value =
            serde_json::from_str(&ready).map_err(|_| "the gateway did not get ready".to_owned())?;
        let url = ready
            .pointer("/endpoints/mcp")
            .and_then(Value::as_str)
            .ok_or("no endpoint")?
            .to_owned();
        let token = output(&mut sallyport(&[
            "token",
            "--agent",
            "tester",
            "--seconds",
            "900",
        ]))?;
        let process = PathBuf::from(format!("/proc/{}", running.0.id()));
        Ok(Self {
            _running: running,
            url,
            token: token.trim().to_owned(),
            process,
        })
    }
}

/// Writes a configuration, and says where it is.
fn configure(dir: &Path, data: &Path, upstream: &str) -> Result<PathBuf, String> {
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let state = data.join("state");
    let yaml = format!(
        r#"
listen: "127.0.0.1:0"
data: {}
mcpServers: {{ stub: {{ url: "{upstream}", trust: trusted }} }}
approve: all
agents: [ {{ name: tester, secret: "env:BENCH_SECRET", roles: [tester] }} ]
policy: {{ packs: [baseline], rules: [ "permit(principal in Role::\"tester\", action, resource);" ] }}
limits: {{ default: {{ rate: 100000000/min, burst: 10000000, concurrency: 1024 }} }}
"#,
        state.display()
    );
    let config = dir.join("sallyport.yaml");
    std::fs::write(&config, yaml).map_err(|error| error.to_string())?;
    Ok(config)
}

/// Starts a program and gives the first line it prints.
fn start(command: &mut Command) -> Result<(Running, String), String> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    reader.read_line(&mut line).map_err(|error| error.to_string())?;
    // Whatever else it prints is read, so that it never blocks.
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    Ok((Running(child), line))
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

/// User and system time (proc_pid_stat(5), fields 14 and 15).
fn cpu_seconds(process: &Path) -> Result<f64, String> {
    let stat = std::fs::read_to_string(process.join("stat"))
        .map_err(|error| format!("what is measured is gone: {error}"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |n: usize| {
        fields
            .get(n)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or_default()
    };
    Ok((ticks(11) + ticks(12)) / TICKS)
}

fn resident_mb(process: &Path) -> u64 {
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .unwrap_or_default()
        / 1024
}
