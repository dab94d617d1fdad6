//! Places of programs: where they are installed, what package a script is of, what runs it.

use std::path::{Component, Path, PathBuf};

use super::view::SYSTEM;

/// Files that show where a package begins.
const PACKAGE: [&str; 8] = [
    "Cargo.toml",
    "Gemfile",
    "deno.json",
    "go.mod",
    "package.json",
    "pyproject.toml",
    "requirements.txt",
    "setup.py",
];

/// Whether it is of the system that every box shows.
pub(super) fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
        || path.starts_with("/dev")
        || path.starts_with("/proc")
}

pub(super) fn name_of(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Without `.` and `..`, by letters alone.
pub(super) fn flat(path: &Path) -> PathBuf {
    let mut flat = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                flat.pop();
            }
            Component::Normal(_) | Component::Prefix(_) | Component::RootDir => flat.push(part),
        }
    }
    flat
}

pub(super) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let runs = |found: std::fs::Metadata| found.is_file() && found.permissions().mode() & 0o111 != 0;
    path.metadata().is_ok_and(runs)
}

/// The directory a program's files are in: all of `node_modules`, what is above `bin`, or the program's own. Shims of
/// version managers (pyenv, asdf, mise) lead to what is beside them.
pub(super) fn installed_in(path: &Path) -> PathBuf {
    if let Some(modules) = modules_of(path) {
        return modules;
    }
    let own = path.parent().unwrap_or(path);
    let is_bin = own
        .file_name()
        .is_some_and(|name| name == "bin" || name == "sbin" || name == "shims");
    match own.parent() {
        Some(above) if is_bin => above.to_path_buf(),
        Some(_) | None => own.to_path_buf(),
    }
}

/// The outermost `node_modules` on the way.
fn modules_of(path: &Path) -> Option<PathBuf> {
    let mut above: Vec<_> = path.ancestors().collect();
    above.reverse();
    above
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name == "node_modules"))
        .map(Path::to_path_buf)
}

/// The directory of a script's package, or its own.
pub(super) fn package_of(script: &Path) -> PathBuf {
    if let Some(modules) = modules_of(script) {
        return modules;
    }
    let own = script.parent().unwrap_or(script);
    let is_package = |path: &&Path| PACKAGE.iter().any(|file| path.join(file).is_file());
    own.ancestors().find(is_package).unwrap_or(own).to_path_buf()
}

/// What a script's first line says runs it.
pub(super) fn interpreter(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut start = Vec::new();
    std::fs::File::open(path)
        .ok()?
        .take(256)
        .read_to_end(&mut start)
        .ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_whitespace();
    let first = words.next()?;
    if name_of(first) != "env" {
        return Some(first.to_owned());
    }
    words
        .find(|word| !word.starts_with('-') && !word.contains('='))
        .map(str::to_owned)
}
