//! Which crate may know which: the table of ARCHITECTURE.md against what cargo says.

use crate::run::{cargo, output, root};

/// The crates and what each may depend on, inside. ARCHITECTURE.md says why.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("wire", &[]),
    ("classifier", &["wire"]),
    ("identity", &["wire"]),
    ("inspect", &["wire"]),
    ("policy", &["wire"]),
    ("records", &["wire"]),
    ("pipeline", &["identity", "inspect", "policy", "wire"]),
    ("upstream", &["pipeline", "wire"]),
    (
        "gateway",
        &[
            "identity", "inspect", "pipeline", "policy", "records", "upstream", "wire",
        ],
    ),
];

/// What a crate must not know, outside, and why.
const FORBIDDEN: [(&str, &[&str], &str); 5] = [
    (
        "wire",
        &["tokio", "hyper", "aws-lc-rs"],
        "it turns bytes into messages, whoever sends them",
    ),
    (
        "identity",
        &["tokio", "hyper", "rusqlite"],
        "fetching keys is a port",
    ),
    (
        "inspect",
        &["tokio", "hyper", "rusqlite", "aws-lc-rs"],
        "it does no I/O",
    ),
    (
        "policy",
        &["tokio", "hyper", "rusqlite"],
        "a decision is a pure function",
    ),
    (
        "pipeline",
        &["tokio", "hyper", "rusqlite", "rustls"],
        "it is the order and nothing else",
    ),
];

/// What nobody may bring in.
const BANNED: [(&str, &str); 7] = [
    ("native-tls", "one TLS stack"),
    ("openssl-sys", "one TLS stack"),
    ("reqwest", "redirects and resolution must be ours to control"),
    ("ring", "one provider of cryptography"),
    ("rsa", "RUSTSEC-2023-0071"),
    ("serde_yaml", "unmaintained"),
    ("rmcp", "the shipped binary speaks its own wire"),
];

pub(super) fn check(wrong: &mut Vec<String>) -> Result<(), String> {
    let text = output(cargo().args(["metadata", "--format-version", "1", "--locked", "--offline"]))
        .or_else(|_| output(cargo().args(["metadata", "--format-version", "1"])))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let ours = |name: &str| ALLOWED.iter().find(|(of, _)| *of == name);
    for package in metadata
        .get("packages")
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = package
            .get("name")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        let Some((_, allowed)) = ours(name).filter(|_| is_inside(package)) else {
            continue;
        };
        for dependency in normal_dependencies(package) {
            if ours(dependency).is_some() && !allowed.contains(&dependency) {
                wrong.push(format!(
                    "`{name}` must not depend on `{dependency}` (ARCHITECTURE.md, allowed edges)"
                ));
            }
            for (of, forbidden, why) in FORBIDDEN {
                if of == name && forbidden.contains(&dependency) {
                    wrong.push(format!("`{name}` must not know `{dependency}`: {why}"));
                }
            }
        }
    }
    check_banned(wrong)?;
    check_said(wrong)
}

fn is_inside(package: &serde_json::Value) -> bool {
    package.get("source").is_none_or(serde_json::Value::is_null)
}

fn normal_dependencies(package: &serde_json::Value) -> impl Iterator<Item = &str> {
    let all = package
        .get("dependencies")
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten();
    all.filter(|dependency| dependency.get("kind").is_none_or(serde_json::Value::is_null))
        .filter_map(|dependency| dependency.get("name").and_then(serde_json::Value::as_str))
}

/// What is linked into the shipped binaries.
fn check_banned(wrong: &mut Vec<String>) -> Result<(), String> {
    let tree = output(cargo().args([
        "tree",
        "--package",
        "gateway",
        "--package",
        "records",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            wrong.push(format!("`{name}` is linked into a shipped binary: {why}"));
        }
    }
    Ok(())
}

/// ARCHITECTURE.md has the same table, for people.
fn check_said(wrong: &mut Vec<String>) -> Result<(), String> {
    let path = root().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    for (name, allowed) in ALLOWED {
        let said = if allowed.is_empty() {
            "nothing".to_owned()
        } else {
            allowed.join(", ")
        };
        let row = format!("| `{name}` | {said} |");
        if !text.contains(&row) {
            wrong.push(format!("ARCHITECTURE.md lacks the row `{row}`"));
        }
    }
    Ok(())
}
