//! `cargo xtask dist`: what is shipped, laid out by what calls do.
//!
//! The gateway is built with counters, called for a while, and built again by what was counted: which branches are taken,
//! which functions belong together and which are for the start alone ("profile-guided optimisation",
//! <https://doc.rust-lang.org/rustc/profile-guided-optimization.html>). What it is asked for here is not what the bench
//! asks: texts are our own pages, which no figure is taken with.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    bench::gateway::{Gateway, Programs, build_tools, start_stub},
    run::{self, cargo, exists, output, root, say, target},
};

/// What the gateway is called with: bytes of a call, connections.
const CALLS: [(usize, usize); 5] = [(200, 8), (200, 128), (2_000, 32), (20_000, 16), (500_000, 4)];
/// How long with each of them and each page, in seconds.
const SECONDS: &str = "1.5";

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    if !args.is_empty() {
        return Err("usage: cargo xtask dist".to_owned());
    }
    let merger = merger()?;
    let work = target().join("guided");
    let counts = work.join("counts");
    let _ = fs::remove_dir_all(&counts);
    fs::create_dir_all(&counts).map_err(|error| format!("{}: {error}", counts.display()))?;

    let counting = build(&work.join("counting"), &flag("profile-generate", &counts))?;
    train(&counting)?;
    let profile = work.join("profile");
    run::run(
        Command::new(merger)
            .arg("merge")
            .arg("-o")
            .arg(&profile)
            .arg(&counts),
    )?;
    // Cargo sees the flag, not what the file holds: what was built by other counts goes.
    let made = work.join("made");
    let _ = fs::remove_dir_all(&made);
    let made = build(&made, &flag("profile-use", &profile))?;
    for name in ["sallyport", "sallyport-verify"] {
        let (from, to) = (made.join(name), work.join(name));
        fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
        say(&to.display().to_string());
    }
    Ok(())
}

/// Which program merges counts: that of the LLVM our compiler was built with, of rustup or of Debian.
fn merger() -> Result<PathBuf, String> {
    let rustc = |args: &[&str]| output(Command::new("rustc").args(args).current_dir(root()));
    let version = rustc(&["-vV"])?;
    let value = |name: &str| {
        version
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
            .trim()
    };
    let (host, llvm) = (value("host:"), value("LLVM version:"));
    let major = llvm.split('.').next().unwrap_or_default();
    let of_rustup = Path::new(rustc(&["--print", "sysroot"])?.trim())
        .join("lib/rustlib")
        .join(host)
        .join("bin/llvm-profdata");
    let of_debian = format!("llvm-profdata-{major}");
    if of_rustup.is_file() {
        Ok(of_rustup)
    } else if exists(&of_debian) {
        Ok(of_debian.into())
    } else {
        Err(format!(
            "`{of_debian}` is needed to merge what was counted: `rustup component add llvm-tools`, or \
             `apt-get install llvm-{major}`"
        ))
    }
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(format!("-C{name}="));
    flag.push(path);
    flag
}

/// Builds the shipped programs with a flag of the compiler's. Gives where they are.
fn build(place: &Path, flag: &OsString) -> Result<PathBuf, String> {
    // With a target named, the flag is not for what runs while we build.
    let host = output(
        Command::new("rustc")
            .arg("--print")
            .arg("host-tuple")
            .current_dir(root()),
    )?;
    let mut build = cargo();
    build
        .args([
            "build",
            "--quiet",
            "--profile",
            "dist",
            "--package",
            "gateway",
            "--package",
            "records",
            "--bins",
        ])
        .args(["--target", host.trim(), "--target-dir"])
        .arg(place)
        .env("CARGO_ENCODED_RUSTFLAGS", flag);
    run::run(&mut build)?;
    Ok(place.join(host.trim()).join("dist"))
}

/// Calls the gateway that counts, and stops it, so that it writes down what it counted.
fn train(counting: &Path) -> Result<(), String> {
    let programs = Programs {
        sallyport: counting.join("sallyport"),
        tools: build_tools()?,
    };
    let scratch = std::env::temp_dir().join(format!("sallyport-dist-{}", std::process::id()));
    let trained = call(&programs, &scratch);
    let _ = fs::remove_dir_all(&scratch);
    trained
}

fn call(programs: &Programs, scratch: &Path) -> Result<(), String> {
    let (_stub, upstream) = start_stub(&programs.tools)?;
    let gateway = Gateway::start(programs, scratch, scratch, &upstream)?;
    for page in ["docs/limits.md", "docs/tls.md", "docs/transports.md"] {
        for (bytes, connections) in CALLS {
            let mut load = Command::new(programs.tools.join("e2e-load"));
            load.args([
                &gateway.url,
                "stub__echo",
                &bytes.to_string(),
                &connections.to_string(),
                SECONDS,
            ])
            .arg(&gateway.token)
            .env("LOAD_TEXT", root().join(page));
            say(output(&mut load)?.trim());
        }
    }
    gateway.stop()
}
