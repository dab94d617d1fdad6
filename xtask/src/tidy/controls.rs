//! The control map of the reports: each control's mechanism is shown by a test that carries its tag.

use std::collections::BTreeSet;

use crate::run::root;

/// Where the map is. A tag is the first argument of `control!`.
const MAP: &str = "crates/gateway/src/cli/report/controls.rs";

pub(super) fn check(wrong: &mut Vec<String>) -> Result<(), String> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let map = root().join(MAP);
    let text = read(&map)?;
    // However the list is broken into lines.
    let uses = text.split("control!(").skip(1);
    let tags: BTreeSet<&str> = uses
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split_once('"'))
        .map(|(tag, _)| tag)
        .collect();
    if tags.is_empty() {
        wrong.push(format!("{MAP}: no tag of a control was found"));
    }
    let mut shown = BTreeSet::new();
    for file in super::files::all()?.into_iter().filter(|file| *file != map) {
        let text = read(&file)?;
        let lines = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("// CONTROL: "));
        shown.extend(lines.flat_map(str::split_whitespace).map(str::to_owned));
    }
    for tag in &tags {
        if !shown.contains(*tag) {
            wrong.push(format!("{MAP}: no test is marked `CONTROL: {tag}`"));
        }
    }
    for tag in shown.iter().filter(|tag| !tags.contains(tag.as_str())) {
        wrong.push(format!(
            "{MAP}: there is no control `{tag}`, and a test is marked with it"
        ));
    }
    Ok(())
}
