//! Packages of npm: installed once, without their scripts, with a lock that has the digest of each.

use std::path::{Path, PathBuf};

use serde_json::Value;
use upstream::Command;

use super::{
    Artefact, Copied, Locked, Refused,
    calendar::days,
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
    let npm = found::locate("npm", command).map_err(|_| {
        Refused::Missing("`npm` was not found; install Node.js, or approve with `--as-found`".to_owned())
    })?;
    tools::make(packages)?;
    let place = tools::fresh(packages, "npm")?;
    let kept = install(request, command, &npm, &place).await;
    if kept.is_err() {
        tools::remove(&place)?;
    }
    kept
}

async fn install(
    request: &Request,
    command: &Command,
    npm: &Path,
    place: &Path,
) -> Result<(Artefact, String), Refused> {
    let prefix = place.display().to_string();
    let mut args = vec![
        "install",
        "--prefix",
        &prefix,
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--omit=dev",
        "--save-exact",
        "--package-lock=true",
        "--loglevel=error",
        "--",
    ];
    args.extend(request.wanted.iter().map(String::as_str));
    tools::run(npm, &args, place, None).await?;
    let lock = lock(&read(&place.join("package-lock.json"))?, &request.name)?;
    let published = published(npm, &request.name, place).await;
    let own = place.join("node_modules").join(&request.name);
    let (version, bin) = program(&read(&own.join("package.json"))?, request)?;
    let script = contained(place, &own.join(&bin))?;
    let (program, options, files) = runner(&script, command)?;
    let listing = Listing::kept(place).await?;
    if let Some(out) = listing.outside.first() {
        return Err(Refused::other(format!(
            "`{}` links out of the package",
            out.display()
        )));
    }
    let mut args = options;
    if program != script {
        args.push(script.display().to_string());
    }
    let artefact = Artefact {
        ecosystem: Ecosystem::Npm,
        name: request.name.clone(),
        warnings: published
            .as_ref()
            .and_then(|times| young(times, &version))
            .into_iter()
            .collect(),
        version: Some(version),
        publisher: None,
        launch: String::new(),
        files,
        copy: Some(Copied {
            path: place.to_path_buf(),
            digest: listing.digest(),
            files: listing.files,
            bytes: listing.bytes,
            program: program.display().to_string(),
            args,
            consumed: request.consumed,
            env: Vec::new(),
        }),
        variables: std::collections::BTreeMap::new(),
        lock,
        open: vec!["shared libraries of the interpreter, and what the server fetches by itself".to_owned()],
    };
    Ok((artefact, listing.text))
}

/// When the versions of a package were published, if the registry says.
async fn published(npm: &Path, name: &str, place: &Path) -> Option<Value> {
    let times = tools::run(npm, &["view", name, "time", "--json"], place, None)
        .await
        .ok()?;
    serde_json::from_slice(&times).ok()
}

/// What to say of a version that nobody had time to look at, or of a package that is new itself.
fn young(times: &Value, version: &str) -> Option<String> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    let today = i64::try_from(now.as_secs() / 86_400).ok()?;
    let age = |of: &str| Some(today - days(times.get(of)?.as_str()?)?);
    let (version_age, package_age) = (age(version)?, age("created")?);
    if package_age < 30 {
        Some(format!(
            "the package is new: it was first published {package_age} days ago"
        ))
    } else {
        (version_age < 7)
            .then(|| format!("version {version} is new: it was published {version_age} days ago"))
    }
}

fn read(path: &Path) -> Result<Value, Refused> {
    let text = std::fs::read(path).map_err(|error| Refused::unreadable(path, &error))?;
    serde_json::from_slice(&text).map_err(|error| Refused::other(format!("`{}`: {error}", path.display())))
}

/// The packages of a lock (version 2 and 3). A package without a digest is refused, unless it came inside another.
fn lock(file: &Value, main: &str) -> Result<Vec<Locked>, Refused> {
    let packages = file.get("packages").and_then(Value::as_object);
    let packages = packages.ok_or_else(|| Refused::other("npm left no lock of its packages"))?;
    let mut locked = Vec::new();
    for (place, package) in packages.iter().filter(|(place, _)| !place.is_empty()) {
        let text = |name: &str| package.get(name).and_then(Value::as_str);
        let is = |name: &str| package.get(name).and_then(Value::as_bool) == Some(true);
        let name = place.rsplit("node_modules/").next().unwrap_or(place).to_owned();
        let integrity: Vec<String> = text("integrity")
            .into_iter()
            .flat_map(str::split_whitespace)
            .map(str::to_owned)
            .collect();
        if is("link") || integrity.is_empty() && !is("inBundle") {
            return Err(Refused::other(format!(
                "the registry gives no digest for `{name}`"
            )));
        }
        locked.push(Locked {
            name,
            version: text("version").unwrap_or_default().to_owned(),
            integrity,
            scripts: is("hasInstallScript"),
            licence: text("license").map(str::to_owned),
        });
    }
    locked.sort_by(|a, b| (a.name != main, &a.name, &a.version).cmp(&(b.name != main, &b.name, &b.version)));
    // The same package in two places.
    locked.dedup();
    Ok(locked)
}

/// The version of the package and the file its program is.
fn program(manifest: &Value, request: &Request) -> Result<(String, String), Refused> {
    let version = manifest
        .get("version")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let own = request.name.rsplit('/').next().unwrap_or_default();
    let bin = match (manifest.get("bin"), &request.program) {
        (Some(Value::String(path)), wanted) if wanted.as_deref().is_none_or(|wanted| wanted == own) => {
            Some(path)
        }
        (Some(Value::Object(bins)), Some(wanted)) => bins.get(wanted).and_then(value_text),
        (Some(Value::Object(bins)), None) if bins.len() == 1 => bins.values().next().and_then(value_text),
        (Some(Value::Object(bins)), None) => bins.get(own).and_then(value_text),
        _ => None,
    };
    let bin = bin.ok_or_else(|| {
        let wanted = request.program.as_deref().unwrap_or(own);
        Refused::other(format!(
            "`{}` has no program `{wanted}`; name one with `npx -y -p PACKAGE PROGRAM`",
            request.name
        ))
    })?;
    Ok((version.to_owned(), bin.clone()))
}

fn value_text(value: &Value) -> Option<&String> {
    if let Value::String(text) = value {
        Some(text)
    } else {
        None
    }
}

/// The file itself, if it is in the copy.
fn contained(place: &Path, file: &Path) -> Result<PathBuf, Refused> {
    let real = file
        .canonicalize()
        .map_err(|error| Refused::unreadable(file, &error))?;
    let root = place
        .canonicalize()
        .map_err(|error| Refused::unreadable(place, &error))?;
    if real.starts_with(&root) {
        Ok(real)
    } else {
        Err(Refused::other(format!(
            "`{}` is not in the package",
            file.display()
        )))
    }
}

/// What runs the program of a package: Node with the options its first line has, or nothing else.
fn runner(script: &Path, command: &Command) -> Result<(PathBuf, Vec<String>, Vec<PinnedFile>), Refused> {
    let is_js = script
        .extension()
        .is_some_and(|end| end == "js" || end == "mjs" || end == "cjs");
    let (program, options) = match found::interpreter(script)? {
        Some((program, options)) => (program, options),
        None if is_js => ("node".to_owned(), Vec::new()),
        None => {
            let files = vec![PinnedFile::of("program", script)?];
            return Ok((script.to_path_buf(), Vec::new(), files));
        }
    };
    let found = found::locate(&program, command)?;
    let files = found::chain("interpreter", &found, command)?;
    Ok((found, options, files))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Ecosystem, Request, lock, program, young};

    fn request(wanted: Option<&str>) -> Request {
        Request {
            ecosystem: Ecosystem::Npm,
            name: "@acme/files".to_owned(),
            wanted: vec!["@acme/files".to_owned()],
            program: wanted.map(str::to_owned),
            consumed: 1,
        }
    }

    #[test]
    fn a_lock_without_a_digest_is_refused() {
        let whole = json!({"packages": {
            "": {},
            "node_modules/a": {"version": "1.0.0", "integrity": "sha512-AAAA", "hasInstallScript": true},
            "node_modules/a/node_modules/b": {"version": "2.0.0", "inBundle": true},
            "node_modules/@acme/files": {"version": "3.0.0", "integrity": "sha512-BBBB", "license": "MIT"},
        }});
        let locked = lock(&whole, "@acme/files").unwrap();
        let names: Vec<_> = locked
            .iter()
            .map(|one| (one.name.as_str(), one.scripts))
            .collect();
        assert_eq!(names, [("@acme/files", false), ("a", true), ("b", false)]);
        for bad in [
            json!({"packages": {"node_modules/a": {"version": "1.0.0"}}}),
            json!({"packages": {"node_modules/a": {"link": true, "integrity": "sha512-AAAA"}}}),
            json!({"lockfileVersion": 1, "dependencies": {}}),
        ] {
            assert!(lock(&bad, "a").is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_young_is_said() {
        let old = json!({"created": "2020-01-01T00:00:00Z", "1.0.0": "2020-01-02T00:00:00Z", "2.0.0": "9999-01-01T00:00:00Z"});
        assert_eq!(young(&old, "1.0.0"), None);
        assert!(young(&old, "2.0.0").unwrap().contains("version 2.0.0 is new"));
        assert!(
            young(&json!({"created": "9999-01-01", "1.0.0": "9999-01-01"}), "1.0.0")
                .unwrap()
                .contains("the package is new")
        );
        assert_eq!(young(&json!({}), "1.0.0"), None);
    }

    #[test]
    fn the_program_is_named_or_the_only_one() {
        let bin = |bin: serde_json::Value, wanted| {
            program(&json!({"version": "1.0.0", "bin": bin}), &request(wanted)).map(|(_, bin)| bin)
        };
        assert_eq!(bin(json!("x.js"), None).unwrap(), "x.js");
        assert_eq!(bin(json!({"other": "x.js"}), None).unwrap(), "x.js");
        assert_eq!(
            bin(json!({"files": "y.js", "other": "x.js"}), None).unwrap(),
            "y.js"
        );
        assert_eq!(
            bin(json!({"files": "y.js", "other": "x.js"}), Some("other")).unwrap(),
            "x.js"
        );
        assert!(bin(json!({"a": "y.js", "b": "x.js"}), None).is_err());
        assert!(bin(json!("x.js"), Some("other")).is_err());
        assert!(program(&json!({"version": "1.0.0"}), &request(None)).is_err());
    }
}
