//! What the types forbid must stay forbidden: each abuse in `tests/fail` is tried on a copy of this crate,
//! and the compiler must refuse it with the error named in its first line.
//!
//! `*.edit` changes a file of the crate (from inside, as a hurried maintainer would); `*.rs` uses the crate
//! from outside. A control without any change must compile, so that no abuse fails for another reason.

#![cfg(test)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn every_abuse_is_a_compile_error() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut abuses: Vec<PathBuf> = fs::read_dir(here.join("tests/fail"))
        .expect("tests/fail")
        .map(|entry| entry.expect("entry").path())
        .collect();
    abuses.sort();
    assert!(abuses.len() >= 10, "the list of abuses only grows");

    let lab = Lab::new(here);
    lab.reset();
    assert_eq!(lab.check(), "", "the control must compile");
    for abuse in abuses {
        let name = abuse.file_name().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&abuse).expect(&name);
        let (first, rest) = text.split_once('\n').expect(&name);
        let expected = first
            .strip_prefix("//~ ")
            .expect("the first line names the error");
        lab.reset();
        if name.ends_with(".edit") {
            lab.edit(rest);
        } else {
            fs::write(lab.dir.join("examples/abuse.rs"), rest).expect("write");
        }
        let errors = lab.check();
        assert!(
            errors.contains(&format!("error[{expected}]")),
            "{name}: expected {expected}, got:\n{errors}"
        );
    }
}

/// A copy of the crate that may be spoiled.
struct Lab {
    crate_dir: PathBuf,
    dir: PathBuf,
    target: PathBuf,
}

impl Lab {
    fn new(crate_dir: &Path) -> Self {
        let temporary = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        // The workspace's own target folder: what others have checked already need not be checked again.
        let target = temporary.parent().expect("target").to_path_buf();
        Self {
            crate_dir: crate_dir.to_path_buf(),
            dir: temporary.join("abuses"),
            target,
        }
    }

    fn reset(&self) {
        let _ = fs::remove_dir_all(self.dir.join("src"));
        copy(&self.crate_dir.join("src"), &self.dir.join("src"));
        fs::create_dir_all(self.dir.join("examples")).expect("examples");
        fs::write(self.dir.join("examples/abuse.rs"), "fn main() {}\n").expect("write");
        let crates = self.crate_dir.parent().expect("crates").display().to_string();
        let dependency = |name: &str| format!("{name} = {{ path = \"{crates}/{name}\" }}\n");
        let manifest = format!(
            "[package]\nname = \"pipeline\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{}",
            ["identity", "inspect", "policy", "wire"].map(dependency).concat()
        );
        fs::write(self.dir.join("Cargo.toml"), manifest).expect("write");
        let lock = self.crate_dir.join("../../Cargo.lock");
        fs::copy(lock, self.dir.join("Cargo.lock")).expect("the workspace's lock file");
    }

    /// `@ file`, then `- line` to take out and `+ line` to put there, or at the end of the file where no
    /// line was taken out. Lines are compared without their indentation.
    fn edit(&self, script: &str) {
        let mut open: Option<(PathBuf, String)> = None;
        for line in script.lines() {
            if let Some(name) = line.strip_prefix("@ ") {
                close(open.take());
                let file = self.dir.join("src").join(name);
                let text = fs::read_to_string(&file).expect(name);
                open = Some((file, text));
                continue;
            }
            let (_, text) = open.as_mut().expect("an edit names its file first");
            if let Some(old) = line.strip_prefix("- ") {
                let found = text.lines().find(|l| l.trim() == old.trim()).map(str::to_owned);
                let found = found.unwrap_or_else(|| panic!("the edit is out of date: no line `{old}`"));
                *text = text.replacen(&found, HERE, 1);
            } else if let Some(new) = line.strip_prefix("+ ") {
                if !text.contains(HERE) {
                    text.push_str(HERE);
                }
                *text = text.replacen(HERE, &format!("{new}\n{HERE}"), 1);
            }
        }
        close(open);
    }

    /// What the compiler says against it; nothing if it says nothing.
    fn check(&self) -> String {
        let output = Command::new(env!("CARGO"))
            .args(["check", "--offline", "--quiet", "--lib", "--examples"])
            .current_dir(&self.dir)
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("RUSTFLAGS")
            .output()
            .expect("cargo runs");
        if output.status.success() {
            String::new()
        } else {
            String::from_utf8_lossy(&output.stderr).into_owned()
        }
    }
}

/// Where the next line of an edit goes.
const HERE: &str = "/*here*/";

fn close(open: Option<(PathBuf, String)>) {
    if let Some((file, text)) = open {
        fs::write(file, text.replace(HERE, "")).expect("write");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("create");
    for entry in fs::read_dir(from).expect("read") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy");
        }
    }
}
