//! The index of attacks: every test and file it names exists.

use std::collections::BTreeSet;

use crate::run::root;

const INDEX: &str = "crates/pipeline/src/attacks.rs";

pub(super) fn check(wrong: &mut Vec<String>) -> Result<(), String> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let index = read(&root().join(INDEX))?;
    let mut functions = BTreeSet::new();
    for file in super::files::all()? {
        let text = read(&file)?;
        let named = text
            .lines()
            .filter_map(|line| line.trim_start().split_once("fn "));
        functions.extend(named.filter_map(|(_, rest)| Some(rest.split_once('(')?.0.to_owned())));
    }
    let quoted = |mark: &str| {
        let parts = index.split(mark).skip(1);
        parts
            .filter_map(|rest| Some(rest.split_once('`')?.0.to_owned()))
            .collect::<Vec<_>>()
    };
    for test in quoted("test `") {
        if !functions.contains(&test) {
            wrong.push(format!("{INDEX}: there is no test `{test}`"));
        }
    }
    for file in quoted("`tests/fail/") {
        if !root().join("crates/pipeline/tests/fail").join(&file).is_file() {
            wrong.push(format!("{INDEX}: there is no file `tests/fail/{file}`"));
        }
    }
    Ok(())
}
