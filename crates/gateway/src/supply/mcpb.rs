//! Bundles in the format MCPB: a ZIP archive with a server and a `manifest.json` that says how it is started, and
//! perhaps a signature behind it. Unpacked once, when a person approves; only what cannot reach out of its folder.

use std::{
    io::{Cursor, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

use serde_json::Value;
use upstream::Command;

use super::{
    Artefact, Copied, Locked, Refused,
    digest::Listing,
    found,
    meaning::Ecosystem,
    provenance::{Provenance, bundle_digest},
    tools,
    zip::Archive,
};

/// What stands around a signature.
const BEGIN: &[u8] = b"MCPB_SIG_V1";
const END: &[u8] = b"MCPB_SIG_END";
/// How large a bundle, a file of it, and all its files together may be, and how many they may be.
const BUNDLE_BYTES_MAX: u64 = 512 * 1024 * 1024;
const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;
const BYTES_MAX: usize = 1024 * 1024 * 1024;
const FILES_MAX: usize = 50_000;

/// Unpacks a bundle and pins it. Nothing of it runs.
pub(super) async fn keep(
    bundle: &Path,
    command: &Command,
    packages: &Path,
    provenance: &Provenance,
) -> Result<(Artefact, String), Refused> {
    tools::make(packages)?;
    let place = tools::fresh(packages, "mcpb")?;
    let kept = unpacked(bundle, command, &place, provenance).await;
    if kept.is_err() {
        tools::remove(&place)?;
    }
    kept
}

async fn unpacked(
    bundle: &Path,
    command: &Command,
    place: &Path,
    provenance: &Provenance,
) -> Result<(Artefact, String), Refused> {
    let bad = |error: std::io::Error| Refused::unreadable(bundle, &error);
    if std::fs::metadata(bundle).map_err(bad)?.len() > BUNDLE_BYTES_MAX {
        return Err(Refused::other(format!("`{}` is larger than a bundle may be", bundle.display())));
    }
    let bytes = std::fs::read(bundle).map_err(bad)?;
    let (content, signature) = split(&bytes);
    unpack(content, place)?;
    let manifest = std::fs::read(place.join("manifest.json")).map_err(bad)?;
    let manifest: Value = serde_json::from_slice(&manifest)
        .map_err(|error| Refused::other(format!("`{}`: manifest.json: {error}", bundle.display())))?;
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, version) = (text("/name"), text("/version"));
    let mut warnings = Vec::new();
    let publisher = provenance.of_bundle(&name, content, signature)?;
    match &publisher {
        Some(_) => {}
        None if signature.is_some() => {
            warnings.push("it is signed, and by whom was not checked: no publisher is configured for it".to_owned());
        }
        None => warnings.push("it is not signed".to_owned()),
    }
    let (program, args, env) = start(&manifest, command, place)?;
    let started = Command {
        program: program.clone(),
        args: args.clone(),
        directory: Some(place.to_path_buf()),
        env: command.env.clone(),
        sandbox: command.sandbox.clone(),
    };
    let files = found::files(&started)?;
    let program = files.first().map_or(program, |file| file.path.display().to_string());
    let listing = Listing::kept(place).await?;
    let artefact = Artefact {
        ecosystem: Ecosystem::Mcpb,
        version: Some(version.clone()),
        publisher,
        launch: String::new(),
        files,
        copy: Some(Copied {
            path: place.to_path_buf(),
            digest: listing.digest(),
            files: listing.files,
            bytes: listing.bytes,
            program,
            args,
            consumed: command.args.len(),
            env,
        }),
        variables: std::collections::BTreeMap::new(),
        lock: vec![Locked {
            name: name.clone(),
            version,
            integrity: vec![bundle_digest(content)],
            scripts: false,
            licence: manifest.get("license").and_then(Value::as_str).map(str::to_owned),
        }],
        name,
        open: vec!["shared libraries of the interpreter, and what the server fetches by itself".to_owned()],
        warnings,
    };
    Ok((artefact, listing.text))
}

/// The archive and the signature behind it: `MCPB_SIG_V1`, the length in four bytes, the signature, `MCPB_SIG_END`.
fn split(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let found = || {
        let before = bytes.strip_suffix(END)?;
        let at = before.windows(BEGIN.len()).rposition(|window| window == BEGIN)?;
        let (content, block) = before.split_at_checked(at)?;
        let (length, signature) = block.get(BEGIN.len()..)?.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        (signature.len() == length).then_some((content, Some(signature)))
    };
    found().unwrap_or((bytes, None))
}

/// Writes the files of an archive below a folder: no links, nothing outside, not too many and not too much.
fn unpack(content: &[u8], place: &Path) -> Result<(), Refused> {
    let mut archive = Archive::of(Cursor::new(content), "the bundle")?;
    let entries = archive.entries().to_vec();
    if entries.len() > FILES_MAX {
        return Err(Refused::other(format!("the bundle has more than {FILES_MAX} files")));
    }
    let mut left = BYTES_MAX;
    for entry in entries {
        let bad = |what: &str| Refused::other(format!("the bundle's `{}` {what}", entry.name.escape_debug()));
        let path = inside(&entry.name).ok_or_else(|| bad("would be written outside of its folder"))?;
        let kind = entry.mode & 0o170_000;
        if kind != 0 && kind != 0o100_000 && kind != 0o040_000 {
            return Err(bad("is a link or a device"));
        }
        let at = place.join(&path);
        if entry.name.ends_with('/') {
            tools::make(&at)?;
            continue;
        }
        let bytes = archive.read(&entry, FILE_BYTES_MAX.min(left))?;
        left -= bytes.len();
        if let Some(folder) = at.parent() {
            tools::make(folder)?;
        }
        let mode = if entry.mode & 0o111 == 0 { 0o600 } else { 0o700 };
        // Never over something that is there, and never through a link.
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&at)
            .and_then(|mut file| file.write_all(&bytes));
        written.map_err(|error| bad(&format!("cannot be written: {error}")))?;
    }
    Ok(())
}

/// A path that stays below its folder on every system.
fn inside(name: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains(['\\', ':', '\0']) {
        return None;
    }
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| path.to_path_buf())
}

type Start = (String, Vec<String>, Vec<(String, String)>);

/// How the manifest has it started. What only the user knows is given as `name=value` arguments.
fn start(manifest: &Value, command: &Command, place: &Path) -> Result<Start, Refused> {
    let config = manifest.pointer("/server/mcp_config");
    let config = config.ok_or_else(|| Refused::other("the bundle's manifest does not say how it is started"))?;
    let mut given = std::collections::BTreeMap::new();
    for arg in &command.args {
        let (name, value) = arg
            .split_once('=')
            .ok_or_else(|| Refused::other(format!("`{arg}` is not NAME=VALUE of the bundle's `user_config`")))?;
        given.insert(name, value);
    }
    let fill = |text: &str| -> Result<String, Refused> {
        let mut filled = text.replace("${__dirname}", &place.display().to_string()).replace("${/}", "/");
        while let Some((before, rest)) = filled.split_once("${") {
            let (name, after) = rest.split_once('}').unwrap_or((rest, ""));
            let default = || manifest.pointer(&format!("/user_config/{}/default", name.trim_start_matches("user_config.")));
            let own = name.strip_prefix("user_config.").and_then(|name| {
                let written = given.get(name).map(|value| (*value).to_owned());
                written.or_else(|| default()?.as_str().map(str::to_owned))
            });
            let own = own.ok_or_else(|| Refused::other(format!("the bundle needs `{name}`: give it as `NAME=VALUE` in `args`")))?;
            // What is filled in is not looked at again.
            if own.contains("${") {
                return Err(Refused::other(format!("the value of `{name}` has `${{` in it")));
            }
            filled = format!("{before}{own}{after}");
        }
        Ok(filled)
    };
    let program = config.get("command").and_then(Value::as_str).unwrap_or_default();
    let program = fill(program)?;
    let args = config.get("args").and_then(Value::as_array).into_iter().flatten();
    let args = args
        .map(|arg| fill(arg.as_str().unwrap_or_default()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut env = Vec::new();
    for (name, value) in config.get("env").and_then(Value::as_object).into_iter().flatten() {
        let own = value.as_str().unwrap_or_default();
        if super::steers(name) && name != "PYTHONPATH" && name != "NODE_ENV" {
            return Err(Refused::other(format!("the bundle wants to set `{name}`, which changes what is run")));
        }
        env.push((name.clone(), fill(own)?));
    }
    // Python would write beside its modules.
    env.push(("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()));
    Ok((program, args, env))
}

#[cfg(test)]
mod tests {
    use super::{inside, split};

    #[test]
    fn nothing_is_written_outside() {
        for name in ["../x", "/etc/x", "a/../../x", "a\\..\\x", "C:x", "", "a/./../x", "./x"] {
            assert!(inside(name).is_none(), "{name}");
        }
        assert!(inside("server/index.js").is_some());
        assert!(inside("server/").is_some());
    }

    #[test]
    fn a_signature_is_found_behind_the_archive_and_only_whole() {
        let signed = [&b"zip"[..], b"MCPB_SIG_V1", &3_u32.to_le_bytes(), b"sig", b"MCPB_SIG_END"].concat();
        assert_eq!(split(&signed), (&b"zip"[..], Some(&b"sig"[..])));
        let long = [&b"zip"[..], b"MCPB_SIG_V1", &4_u32.to_le_bytes(), b"sig", b"MCPB_SIG_END"].concat();
        assert_eq!(split(&long).1, None);
        assert_eq!(split(b"zip").1, None);
        assert_eq!(split(b"MCPB_SIG_END").1, None);
    }
}
