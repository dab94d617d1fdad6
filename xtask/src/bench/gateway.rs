//! A gateway of the bench's own, and what its process costs.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::run::{self, cargo, output, target};

const SECRET: &str = "bench-0f3a9c5d7e1b2468ace0";
/// Ticks of `/proc/*/stat` per second on Linux.
const TICKS: f64 = 100.0;

/// What is run: the gateway, and what calls it and is called.
pub(crate) struct Programs {
    pub(crate) sallyport: PathBuf,
    pub(crate) tools: PathBuf,
}

/// A process that ends with the bench.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway of the bench's own, with every guard on.
pub(crate) struct Gateway {
    /// Ends it.
    running: Running,
    pub(crate) url: String,
    pub(crate) token: String,
    /// Its place in /proc.
    pub(crate) process: PathBuf,
}

impl Gateway {
    /// Starts one with its configuration in `dir` and its state below `data`.
    pub(crate) fn start(
        programs: &Programs,
        dir: &Path,
        data: &Path,
        upstream: &str,
    ) -> Result<Self, String> {
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
            running,
            url,
            token: token.trim().to_owned(),
            process,
        })
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        let pid = self.running.0.id().to_string();
        run::run(Command::new("kill").args(["-TERM", &pid]))?;
        let ended = self.running.0.wait().map_err(|error| error.to_string())?;
        if ended.success() {
            Ok(())
        } else {
            Err(format!("the gateway ended with {ended}"))
        }
    }
}

/// Starts the server that is called. Gives where it listens.
pub(crate) fn start_stub(tools: &Path) -> Result<(Running, String), String> {
    let mut stub = Command::new(tools.join("e2e-stub"));
    let (running, upstream) = start(stub.arg("http").env("STUB_SMALL", "1"))?;
    Ok((running, upstream.trim().to_owned()))
}

/// Builds what calls the gateway and is called, and says where it is.
pub(crate) fn build_tools() -> Result<PathBuf, String> {
    build("release", "e2e")?;
    Ok(target().join("release"))
}

/// Builds the programs of a package.
pub(crate) fn build(profile: &str, package: &str) -> Result<(), String> {
    run::run(cargo().args(["build", "--quiet", "--profile", profile, "--package", package]))
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
pub(crate) fn start(command: &mut Command) -> Result<(Running, String), String> {
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

/// User and system time (proc_pid_stat(5), fields 14 and 15).
pub(crate) fn cpu_seconds(process: &Path) -> Result<f64, String> {
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

pub(crate) fn resident_mb(process: &Path) -> u64 {
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
