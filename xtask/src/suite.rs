//! `cargo xtask test`, `e2e`, `gen` and `demo`.

use std::{collections::BTreeSet, process::Command};

use crate::{
    peers,
    run::{self, cargo, complain, exists, root, target},
};

/// Installs what the tests need and runs all of them.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let peers = peers::install()?;
    // Tests start the programs themselves, so these have to be there.
    build()?;
    // Examples in documentation are tests, too, and nextest does not run them.
    run::run(cargo().args(["test", "--workspace", "--doc", "--quiet"]))?;
    let mut command = runner(&["--workspace"], args);
    peers.announce(&mut command);
    tested(&mut command)
}

/// Runs tests, and says what they could not test here: tests that end early for that count as passed.
fn tested(command: &mut Command) -> Result<(), String> {
    let file = target().join("untested.txt");
    let _ = std::fs::remove_file(&file);
    let done = run::run(command);
    let said = std::fs::read_to_string(&file).unwrap_or_default();
    let said: BTreeSet<&str> = said.lines().collect();
    for what in said {
        complain(&format!("NOT TESTED: {what}"));
    }
    done
}

/// The end-to-end tests alone.
pub(crate) fn end_to_end(args: &[String]) -> Result<(), String> {
    let peers = peers::install()?;
    build()?;
    let mut command = runner(&["--package", "e2e"], args);
    peers.announce(&mut command);
    tested(&mut command)
}

/// The walls of the box in a virtual machine.
pub(crate) fn kernel() -> Result<(), String> {
    for (program, package) in [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("busybox", "busybox-static"),
        ("cpio", "cpio"),
    ] {
        if !exists(program) {
            return Err(format!("`{program}` is missing: `apt-get install {package}`"));
        }
    }
    run::run(Command::new("sh").arg("xtask/kernel.sh").current_dir(root()))
}

/// Writes the generated documents anew: each is kept by a test that compares, and writes when told to.
pub(crate) fn generate() -> Result<(), String> {
    let mut command = runner(&["--workspace"], &["generated".to_owned()]);
    run::run(command.env("SALLYPORT_GENERATE", "1"))
}

/// Builds everything light and runs the demo, as a newcomer's first command does. The demo builds its peers
/// itself: together with the gateway they would have it built with other features, that is twice.
pub(crate) fn demo(args: &[String]) -> Result<(), String> {
    let mut command = cargo();
    command.args([
        "run",
        "--release",
        "--quiet",
        "--package",
        "gateway",
        "--",
        "demo",
    ]);
    run::run(command.args(args).current_dir(root()))
}

fn build() -> Result<(), String> {
    run::run(cargo().args(["build", "--workspace", "--bins", "--quiet"]))
}

/// nextest where it is installed, which runs each test in a process of its own; plain cargo otherwise.
fn runner(which: &[&str], args: &[String]) -> Command {
    let mut command = cargo();
    if exists("cargo-nextest") {
        command.args(["nextest", "run"]);
    } else {
        command.args(["test", "--all-targets"]);
    }
    command.args(which).args(args);
    command
}
