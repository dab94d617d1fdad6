//! The index of attacks and the checklist of bad input: every test and file they name exists.

use std::collections::BTreeSet;

use crate::run::root;

/// Where tests are named, as: test `name`.
const INDEXES: [&str; 3] = [
    "crates/pipeline/src/attacks.rs",
    "docs/checklist.md",
    "docs/families.md",
];

pub(super) fn check(wrong: &mut Vec<String>) -> Result<(), String> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut functions = BTreeSet::new();
    for file in super::files::all()? {
        let text = read(&file)?;
        let named = text
            .lines()
            .filter_map(|line| line.trim_start().split_once("fn "));
        functions.extend(named.filter_map(|(_, rest)| Some(rest.split_once('(')?.0.to_owned())));
    }
    for index in INDEXES {
        let text = read(&root().join(index))?;
        let quoted = |mark: &str| {
            let parts = text.split(mark).skip(1);
            parts
                .filter_map(|rest| Some(rest.split_once('`')?.0.to_owned()))
                .collect::<Vec<_>>()
        };
        for test in quoted("test `") {
            // With or without the modules it is in.
            let name = test.rsplit("::").next().unwrap_or_default();
            if !functions.contains(name) {
                wrong.push(format!("{index}: there is no test `{test}`"));
            }
        }
        for file in quoted("`tests/fail/") {
            if !root().join("crates/pipeline/tests/fail").join(&file).is_file() {
                wrong.push(format!("{index}: there is no file `tests/fail/{file}`"));
            }
        }
    }
    Ok(())
}
