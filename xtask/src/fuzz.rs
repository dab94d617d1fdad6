//! `cargo xtask fuzz`: libFuzzer over every parser, on the stable toolchain.
//!
//! The coverage instrumentation libFuzzer needs is a pass of the compiler; our crates forbid `unsafe`, so
//! the address sanitizer that nightly adds would have nothing to find in them.

use std::{path::PathBuf, process::Command};

use crate::run::{self, cargo, root, say, target};

/// How long each target runs when none is named, in seconds.
const SECONDS: u32 = 60;

const FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Clink-dead-code -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing";

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut names = Vec::new();
    let mut seconds = SECONDS;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let given = args.next().and_then(|text| text.parse().ok());
            seconds = given.ok_or("`--seconds` needs a number")?;
        } else {
            names.push(arg.clone());
        }
    }
    let known = targets()?;
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "there is no fuzz target `{name}`; there are {}",
            known.join(", ")
        ));
    }
    let chosen = if names.is_empty() { known } else { names };
    let built = build()?;
    // One process per core and target at a time; each has its own corpus.
    for pair in chosen.chunks(2) {
        let mut children = Vec::new();
        for name in pair {
            children.push((name, start(&built, name, seconds)?));
        }
        for (name, mut child) in children {
            let status = child.wait().map_err(|error| format!("{name}: {error}"))?;
            if !status.success() {
                return Err(format!(
                    "fuzz target `{name}` found something; see fuzz/artifacts/{name}"
                ));
            }
            say(&format!("fuzz {name}: {seconds} s without a crash"));
        }
    }
    Ok(())
}

fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn build() -> Result<PathBuf, String> {
    let directory = target().join("fuzz");
    // With a target named, build scripts are not instrumented.
    run::run(
        cargo()
            .args([
                "build",
                "--release",
                "--quiet",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--target",
            ])
            .arg("x86_64-unknown-linux-gnu")
            .env("CARGO_TARGET_DIR", &directory)
            .env("RUSTFLAGS", FLAGS),
    )?;
    Ok(directory.join("x86_64-unknown-linux-gnu/release"))
}

fn start(built: &std::path::Path, name: &str, seconds: u32) -> Result<std::process::Child, String> {
    let corpus = root().join("fuzz/corpus").join(name);
    let found = target().join("fuzz/corpus").join(name);
    let artifacts = root().join("fuzz/artifacts").join(name);
    for folder in [&corpus, &found, &artifacts] {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut command = Command::new(built.join(name));
    command
        .arg(&found)
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([
            "-rss_limit_mb=2048",
            "-timeout=20",
            "-print_final_stats=0",
            "-verbosity=0",
            "-max_len=65536",
        ]);
    command.spawn().map_err(|error| format!("{name}: {error}"))
}
