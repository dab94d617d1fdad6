//! Packages of PyPI: resolved once, locked by the digest of each wheel, installed into an environment of their own.
//! Only wheels: a source distribution would have to run to be installed.

use std::path::{Path, PathBuf};

use serde_json::Value;
use upstream::Command;

use super::{
    Artefact, Copied, Locked, Refused,
    digest::Listing,
    found::{self, PinnedFile},
    meaning::{Ecosystem, Request},
    tools,
};

/// Installs what is wanted and pins it. Nothing of the package runs.
pub(super) async fn keep(
    request: &Request,
    command: &Command,
    packages: &Path,
) -> Result<(Artefact, String), Refused> {
    let python = found::locate("python3", command).map_err(|_| {
        Refused::Missing(
            "`python3` was not found; install it with pip and venv, or approve with `--as-found`".to_owned(),
        )
    })?;
    tools::make(packages)?;
    let place = tools::fresh(packages, "pypi")?;
    let kept = install(request, &python, &place).await;
    if kept.is_err() {
        tools::remove(&place)?;
    }
    kept
}

/// How pip is begun: it asks nothing, and does not look for itself.
const QUIET: [&str; 4] = ["-m", "pip", "--disable-pip-version-check", "--no-input"];

/// What pip would install, with the digest of each file.
async fn resolve(request: &Request, python: &Path, place: &Path) -> Result<Vec<Locked>, Refused> {
    let mut args = QUIET.to_vec();
    args.extend([
        "install",
        "--quiet",
        "--dry-run",
        "--ignore-installed",
        "--only-binary",
        ":all:",
        "--report",
        "-",
        "--",
    ]);
    args.extend(request.wanted.iter().map(String::as_str));
    let report = tools::run(python, &args, place, None).await?;
    let report: Value =
        serde_json::from_slice(&report).map_err(|error| Refused::other(format!("pip's report: {error}")))?;
    lock(&report, &request.name)
}

async fn install(request: &Request, python: &Path, place: &Path) -> Result<(Artefact, String), Refused> {
    let lock = resolve(request, python, place).await?;
    let version = lock.first().map(|main| main.version.clone()).unwrap_or_default();

    let here = place.display().to_string();
    tools::run(python, &["-m", "venv", "--without-pip", &here], place, None).await?;
    let own = place.join("bin/python");
    let own_text = own.display().to_string();
    let mut args = QUIET.to_vec();
    args.extend(["--python", &own_text]);
    args.extend([
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "-r",
        "/dev/stdin",
    ]);
    tools::run(python, &args, place, Some(requirements(&lock))).await?;

    let script = script(place, request)?;
    let listing = Listing::kept(place).await?;
    let bin = place.join("bin");
    if let Some(out) = listing.outside.iter().find(|out| out.parent() != Some(&bin)) {
        return Err(Refused::other(format!(
            "`{}` links out of the package",
            out.display()
        )));
    }
    let artefact = Artefact {
        ecosystem: Ecosystem::Pypi,
        name: request.name.clone(),
        version: Some(version),
        publisher: None,
        launch: String::new(),
        // Through the link: where the environment's own `python` leads is pinned by what is there.
        files: vec![PinnedFile::of("interpreter", &own)?],
        copy: Some(Copied {
            path: place.to_path_buf(),
            digest: listing.digest(),
            files: listing.files,
            bytes: listing.bytes,
            program: own_text,
            args: vec![script.display().to_string()],
            consumed: request.consumed,
            // It would write beside its modules, and the copy would not be what was approved.
            env: vec![("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned())],
        }),
        variables: std::collections::BTreeMap::new(),
        lock,
        open: vec![
            "Python's own library, shared libraries, and what the server fetches by itself".to_owned(),
        ],
        warnings: Vec::new(),
    };
    Ok((artefact, listing.text))
}

/// A name as PyPI compares it (PEP 503).
pub(super) fn normal(name: &str) -> String {
    let mut normal = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}

/// The packages of pip's installation report, the wanted one first.
fn lock(report: &Value, main: &str) -> Result<Vec<Locked>, Refused> {
    let mut locked = Vec::new();
    for package in report
        .get("install")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |pointer: &str| package.pointer(pointer).and_then(Value::as_str);
        let name = text("/metadata/name").unwrap_or_default();
        let digest = text("/download_info/archive_info/hashes/sha256")
            .or_else(|| text("/download_info/archive_info/hash")?.strip_prefix("sha256="))
            .filter(|hex| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()));
        let digest =
            digest.ok_or_else(|| Refused::other(format!("the index gives no digest for `{name}`")))?;
        locked.push(Locked {
            name: normal(name),
            version: text("/metadata/version").unwrap_or_default().to_owned(),
            integrity: vec![format!("sha256:{digest}")],
            scripts: false,
            licence: text("/metadata/license_expression")
                .or_else(|| text("/metadata/license").filter(|text| text.len() <= 64))
                .map(str::to_owned),
        });
    }
    let main = normal(main);
    if !locked.iter().any(|one| one.name == main) {
        return Err(Refused::other(format!("pip's report says nothing of `{main}`")));
    }
    locked.sort_by(|a, b| (a.name != main, &a.name).cmp(&(b.name != main, &b.name)));
    Ok(locked)
}

fn requirements(lock: &[Locked]) -> String {
    let mut text = String::new();
    for one in lock {
        text.push_str(&format!("{}=={}", one.name, one.version));
        for digest in &one.integrity {
            text.push_str(" --hash=");
            text.push_str(digest);
        }
        text.push('\n');
    }
    text
}

/// The program: named like the package unless said.
fn script(place: &Path, request: &Request) -> Result<PathBuf, Refused> {
    let wanted = request.program.as_deref().unwrap_or(&request.name);
    let plain = !wanted.contains('/') && !wanted.starts_with('.');
    let path = place.join("bin").join(wanted);
    if plain && path.is_file() {
        return Ok(path);
    }
    let lower = place.join("bin").join(normal(wanted));
    if plain && lower.is_file() {
        return Ok(lower);
    }
    Err(Refused::other(format!(
        "`{}` has no program `{wanted}`; name one with `uvx --from PACKAGE PROGRAM`",
        request.name
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{lock, normal, requirements};

    #[test]
    fn only_what_has_a_digest_is_locked() {
        let digest = "a".repeat(64);
        let one = |name: &str, hashes: serde_json::Value| json!({"metadata": {"name": name, "version": "1.0"}, "download_info": {"archive_info": {"hashes": hashes}}});
        let report = json!({"install": [one("Dep_One", json!({"sha256": digest})), one("Main", json!({"sha256": digest}))]});
        let locked = lock(&report, "main").unwrap();
        assert_eq!(
            requirements(&locked),
            format!("main==1.0 --hash=sha256:{digest}\ndep-one==1.0 --hash=sha256:{digest}\n")
        );
        let weak = json!({"install": [one("main", json!({"md5": "aa"}))]});
        assert!(lock(&weak, "main").is_err());
        assert!(lock(&json!({"install": []}), "main").is_err());
        assert_eq!(normal("A.b__C"), "a-b-c");
    }
}
