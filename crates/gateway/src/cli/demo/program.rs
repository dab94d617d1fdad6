//! Where the hospital's program is: beside this one, or built from the checkout this one was built from.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use super::super::output::remark;
use crate::failure::Failure;

const PROGRAM: &str = "sallyport-hospital";
/// Where its sources are in a checkout.
const SOURCES: &str = "examples/hospital";

/// Finds the program, building it where that is needed and possible.
pub(super) fn hospital() -> Result<PathBuf, Failure> {
    let own = own()?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let program = folder.join(PROGRAM);
    let Some(checkout) = checkout(&own) else {
        return if program.is_file() {
            Ok(program)
        } else {
            Err(missing(folder))
        };
    };
    if !is_current(&program, &checkout.join(SOURCES).join("src")) {
        build(&checkout, folder)?;
    }
    if program.is_file() {
        Ok(program)
    } else {
        Err(missing(folder))
    }
}

/// This program.
pub(super) fn own() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::other(format!("this program cannot find itself: {error}")))
}

fn missing(folder: &Path) -> Failure {
    Failure::configuration(format!(
        "the demo needs `{PROGRAM}` in {}; install it there, or run `cargo run --release -- demo` in a \
         checkout",
        folder.display()
    ))
}

/// The checkout: the first folder above this program or the current directory that has the sources.
fn checkout(own: &Path) -> Option<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let mut above = own.ancestors().chain(here.ancestors());
    above
        .find(|folder| folder.join(SOURCES).join("Cargo.toml").is_file())
        .map(Path::to_path_buf)
}

/// Whether the program is there and newer than its sources.
fn is_current(program: &Path, sources: &Path) -> bool {
    let built = std::fs::metadata(program).and_then(|metadata| metadata.modified());
    built.is_ok_and(|built| newest(sources).is_none_or(|changed| changed <= built))
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            if entry.file_type().ok()?.is_dir() {
                return newest(&entry.path());
            }
            entry.metadata().ok()?.modified().ok()
        })
        .max()
}

/// Builds it in the same profile and the same target folder as this program.
fn build(checkout: &Path, folder: &Path) -> Result<(), Failure> {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(name) => name,
    };
    remark("building the hospital: cargo build --package hospital (once, and after changes)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--package", "hospital", "--profile", profile])
        .current_dir(checkout);
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    let built = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    match built {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::configuration(
            "the hospital cannot be built; what cargo says stands above",
        )),
        Err(error) => Err(Failure::configuration(format!(
            "cargo cannot be started: {error}; install Rust"
        ))),
    }
}
