//! Files: how long they and their functions are, and that each says what it is.

use std::path::{Path, PathBuf};

use crate::run::root;

/// Lines of a file, tests apart.
const LINES_MAX: usize = 700;
/// Columns of a line.
const COLUMNS_MAX: usize = 110;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

pub(super) fn check(wrong: &mut Vec<String>) -> Result<(), String> {
    for file in all()? {
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
        check_file(&name, &text, wrong);
    }
    Ok(())
}

/// Every file of Rust, in order.
pub(super) fn all() -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for folder in ["crates", "examples", "tests", "xtask", "fuzz"] {
        collect(&root().join(folder), &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn check_file(name: &str, text: &str, wrong: &mut Vec<String>) {
    let is_test = name.contains("/tests") || name.starts_with("tests/");
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > LINES_MAX && !is_test {
        wrong.push(format!(
            "{name}: {} lines; divide it where the sense divides",
            lines.len()
        ));
    }
    let says_what_it_is = lines
        .iter()
        .find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    let is_leaf = name.contains("/tests/") || name.ends_with("tests.rs") || name.starts_with("fuzz/");
    if !is_leaf && !says_what_it_is.is_some_and(|line| line.starts_with("//!")) {
        wrong.push(format!(
            "{name}: begin it with `//!`: what it is, what it must not know"
        ));
    }
    for (n, line) in lines.iter().enumerate() {
        // A text that cannot be broken is better long than broken.
        let unbreakable = line.contains('"') || line.contains("http") || line.trim_start().starts_with("//");
        if line.chars().count() > COLUMNS_MAX && !(unbreakable || is_test) {
            wrong.push(format!("{name}:{}: longer than {COLUMNS_MAX} columns", n + 1));
        }
    }
    if !is_test {
        check_functions(name, &lines, wrong);
    }
}

/// Functions are told by `fn` at the start of a line and the closing brace at the same depth, as rustfmt
/// writes them.
fn check_functions(name: &str, lines: &[&str], wrong: &mut Vec<String>) {
    let mut open: Option<(usize, usize, String)> = None;
    for (n, line) in lines.iter().enumerate() {
        let depth = line.len() - line.trim_start().len();
        let trimmed = line.trim_start();
        if let Some((start, at, function)) = &open {
            if depth == *at && trimmed.starts_with(')') && trimmed.ends_with(';') {
                // A trait's method without a body.
                open = None;
            } else if depth == *at && trimmed.starts_with('}') {
                let length = n - start + 1;
                if length > FUNCTION_LINES_MAX {
                    wrong.push(format!("{name}:{}: `{function}` has {length} lines", start + 1));
                }
                open = None;
            }
            continue;
        }
        let declares = trimmed
            .split('(')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .any(|word| word == "fn");
        if declares && !trimmed.starts_with("//") && !trimmed.ends_with(';') && !trimmed.ends_with('}') {
            let function = trimmed.split("fn ").nth(1).unwrap_or_default();
            let function = function.split(['(', '<']).next().unwrap_or_default().to_owned();
            open = Some((n, depth, function));
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry
            .map_err(|error| format!("{}: {error}", folder.display()))?
            .path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
