//! Bundles in the format MCPB: a ZIP archive with a server and a `manifest.json` that says how it is started, and
//! perhaps a signature behind it. Unpacked once, when a person approves, after whose it is was found out; only what
//! cannot reach out of its folder.

use std::{
    collections::BTreeMap,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

use serde_json::Value;
use upstream::Command;

use super::{
    Artefact, Copied, Locked, Refused,
    digest::{self, Listing},
    found,
    meaning::{self, Ecosystem, Meaning},
    provenance::Provenance,
    tools,
    zip::{Archive, Unread},
};

/// What stands around a signature.
const BEGIN: &[u8] = b"MCPB_SIG_V1";
const END: &[u8] = b"MCPB_SIG_END";
/// How large a bundle, its manifest, a file of it, and all its files together may be.
const BUNDLE_BYTES_MAX: u64 = 512 * 1024 * 1024;
const MANIFEST_BYTES_MAX: usize = 1024 * 1024;
const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;
const BYTES_MAX: usize = 1024 * 1024 * 1024;

impl From<Unread> for Refused {
    fn from(unread: Unread) -> Self {
        Self::other(format!("the bundle {}", unread.0))
    }
}

/// A bundle in memory.
struct Bundle<'a> {
    archive: Archive<'a>,
    /// What is signed.
    content: &'a [u8],
    signature: Option<&'a [u8]>,
    manifest: Value,
    name: String,
    version: String,
}

/// Unpacks a bundle and pins it. Nothing of it runs.
pub(super) async fn keep(
    bundle: &Path,
    command: &Command,
    packages: &Path,
    provenance: &Provenance,
) -> Result<(Artefact, String), Refused> {
    let file = found::within(command).join(bundle);
    let bad = |error: std::io::Error| Refused::unreadable(&file, &error);
    if std::fs::metadata(&file).map_err(bad)?.len() > BUNDLE_BYTES_MAX {
        return Err(Refused::other(format!(
            "`{}` is larger than a bundle may be",
            file.display()
        )));
    }
    let bytes = std::fs::read(&file).map_err(bad)?;
    let read = Bundle::read(&bytes)?;
    let own = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let publisher = provenance.of_bundle(&read.name, own, read.content, read.signature)?;
    tools::make(packages)?;
    let place = tools::fresh(packages, "mcpb")?;
    let kept = unpacked(&read, command, &place).await;
    if kept.is_err() {
        tools::remove(&place)?;
    }
    let (mut artefact, listing) = kept?;
    if publisher.is_none() {
        artefact.warnings.push(match read.signature {
            Some(_) => {
                "it is signed, and by whom was not checked: no publisher is configured for it".to_owned()
            }
            None => "it is not signed".to_owned(),
        });
    }
    artefact.publisher = publisher;
    Ok((artefact, listing))
}

impl<'a> Bundle<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let (content, signature) = split(bytes);
        let archive = Archive::read(content)?;
        let manifest = archive
            .entries()
            .iter()
            .find(|entry| entry.name == "manifest.json");
        let manifest = manifest.ok_or_else(|| Refused::other("the bundle has no `manifest.json`"))?;
        let manifest: Value = serde_json::from_slice(&archive.bytes(manifest, MANIFEST_BYTES_MAX)?)
            .map_err(|error| Refused::other(format!("the bundle's manifest.json: {error}")))?;
        let word = |member: &str| {
            let said = manifest.get(member).and_then(Value::as_str).unwrap_or_default();
            let plain = |c: char| c.is_ascii_alphanumeric() || "@/._-+ ".contains(c);
            let good = !said.is_empty() && said.len() <= 128 && said.chars().all(plain);
            good.then(|| said.to_owned())
                .ok_or_else(|| Refused::other(format!("the bundle's manifest.json has no usable `{member}`")))
        };
        Ok(Self {
            name: word("name")?,
            version: word("version")?,
            archive,
            content,
            signature,
            manifest,
        })
    }
}

async fn unpacked(
    bundle: &Bundle<'_>,
    command: &Command,
    place: &Path,
) -> Result<(Artefact, String), Refused> {
    unpack(&bundle.archive, place)?;
    let (program, args, env) = start(&bundle.manifest, command, place)?;
    let started = Command {
        program,
        args,
        directory: Some(place.to_path_buf()),
        ..command.clone()
    };
    // What it starts must be in it, or on this machine: nothing that fetches at each start.
    if let Meaning::Package(_) | Meaning::Bundle(_) | Meaning::Floating(_) | Meaning::Image(_) =
        meaning::of(&started)
    {
        return Err(Refused::other(format!(
            "the bundle starts `{}`, which fetches what it runs; configure that command itself",
            started.program
        )));
    }
    let files = found::files(&started)?;
    let program = files
        .first()
        .map_or(started.program, |file| file.path.display().to_string());
    let listing = Listing::kept(place).await?;
    let artefact = Artefact {
        ecosystem: Ecosystem::Mcpb,
        version: Some(bundle.version.clone()),
        publisher: None,
        launch: String::new(),
        files,
        copy: Some(Copied {
            path: place.to_path_buf(),
            digest: listing.digest(),
            files: listing.files,
            bytes: listing.bytes,
            program,
            args: started.args,
            consumed: command.args.len(),
            env,
        }),
        variables: BTreeMap::new(),
        lock: vec![Locked {
            name: bundle.name.clone(),
            version: bundle.version.clone(),
            integrity: vec![digest::of_bytes(bundle.content)],
            scripts: false,
            licence: bundle
                .manifest
                .get("license")
                .and_then(Value::as_str)
                .map(str::to_owned),
        }],
        name: bundle.name.clone(),
        open: vec!["shared libraries of the interpreter, and what the server fetches by itself".to_owned()],
        warnings: Vec::new(),
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

/// Writes the files of an archive below a folder: no links, nothing outside, and not too much.
fn unpack(archive: &Archive<'_>, place: &Path) -> Result<(), Refused> {
    let mut left = BYTES_MAX;
    for entry in archive.entries() {
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
        let bytes = archive.bytes(entry, FILE_BYTES_MAX.min(left))?;
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

/// How the manifest has it started, on Linux.
fn start(manifest: &Value, command: &Command, place: &Path) -> Result<Start, Refused> {
    let config = manifest.pointer("/server/mcp_config");
    let config =
        config.ok_or_else(|| Refused::other("the bundle's manifest does not say how it is started"))?;
    let own = config.pointer("/platform_overrides/linux");
    let said = |member: &str| own.and_then(|own| own.get(member)).or_else(|| config.get(member));
    let filling = Filling::new(manifest, command, place)?;
    let program = filling.one(said("command").and_then(Value::as_str).unwrap_or_default())?;
    let mut args = Vec::new();
    for arg in said("args").and_then(Value::as_array).into_iter().flatten() {
        args.extend(filling.all(arg.as_str().unwrap_or_default())?);
    }
    let mut env = Vec::new();
    for (name, value) in said("env").and_then(Value::as_object).into_iter().flatten() {
        // A name with `=` in it would be read as another one's value.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let steers = super::steers(name) && name != "PYTHONPATH" && name != "NODE_ENV";
        if steers || name.is_empty() || !name.chars().all(plain) {
            return Err(Refused::other(format!(
                "the bundle wants to set `{}`, which changes what is run, or is no name",
                name.escape_debug()
            )));
        }
        env.push((name.clone(), filling.one(value.as_str().unwrap_or_default())?));
    }
    // Python would write beside its modules.
    env.push(("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()));
    Ok((program, args, env))
}

/// What stands for `${...}` in a manifest. What only the user knows is given as `name=value` arguments, several of one
/// name for a list.
struct Filling<'a> {
    place: String,
    given: BTreeMap<&'a str, Vec<String>>,
}

impl<'a> Filling<'a> {
    fn new(manifest: &'a Value, command: &'a Command, place: &Path) -> Result<Self, Refused> {
        let mut given: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for arg in &command.args {
            let (name, value) = arg.split_once('=').ok_or_else(|| {
                Refused::other(format!("`{arg}` is not NAME=VALUE of the bundle's `user_config`"))
            })?;
            given.entry(name).or_default().push(value.to_owned());
        }
        let known = manifest.get("user_config").and_then(Value::as_object);
        if let Some(name) = given
            .keys()
            .find(|name| known.is_none_or(|known| !known.contains_key(**name)))
        {
            return Err(Refused::other(format!(
                "the bundle has no `{name}` in its `user_config`"
            )));
        }
        for (name, option) in known.into_iter().flatten() {
            let default = match option.get("default") {
                Some(Value::Array(values)) => values.clone(),
                Some(value) => vec![value.clone()],
                None => continue,
            };
            let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            given
                .entry(name)
                .or_insert_with(|| default.into_iter().map(text).collect());
        }
        Ok(Self {
            place: place.display().to_string(),
            given,
        })
    }

    /// An argument, or several where it is a list and nothing else.
    fn all(&self, text: &str) -> Result<Vec<String>, Refused> {
        let name = text
            .strip_prefix("${user_config.")
            .and_then(|rest| rest.strip_suffix('}'));
        match name.and_then(|name| self.given.get(name)) {
            Some(values) if values.iter().all(|value| !value.contains("${")) => Ok(values.clone()),
            _ => Ok(vec![self.one(text)?]),
        }
    }

    /// One text. What is filled in is not looked at again.
    fn one(&self, text: &str) -> Result<String, Refused> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| {
                Refused::other(format!("the bundle's `{text}` has a `${{` that does not end"))
            })?;
            filled.push_str(before);
            match (
                name,
                name.strip_prefix("user_config.")
                    .and_then(|name| self.given.get(name)),
            ) {
                ("__dirname", _) => filled.push_str(&self.place),
                ("/" | "pathSeparator", _) => filled.push('/'),
                (_, Some(values)) if matches!(values.as_slice(), [one] if !one.contains("${")) => {
                    filled.push_str(&values.concat());
                }
                _ => {
                    let short = name.strip_prefix("user_config.").unwrap_or(name);
                    return Err(Refused::other(format!(
                        "the bundle needs one value of `{short}`: give it as `{short}=VALUE` in `args`"
                    )));
                }
            }
            rest = after;
        }
        Ok(filled + rest)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::{Bundle, Command, inside, split, start};

    fn command(args: &[&str]) -> Command {
        Command {
            program: "x.mcpb".to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: Vec::new(),
            vault: Vec::new(),
            directory: None,
            sandbox: upstream::Sandbox::default(),
        }
    }

    #[test]
    fn nothing_is_written_outside() {
        for name in [
            "../x",
            "/etc/x",
            "a/../../x",
            "a\\..\\x",
            "C:x",
            "",
            "a/./../x",
            "./x",
        ] {
            assert!(inside(name).is_none(), "{name}");
        }
        assert!(inside("server/index.js").is_some());
        assert!(inside("server/").is_some());
    }

    #[test]
    fn a_signature_is_found_behind_the_archive_and_only_whole() {
        let signed = [
            &b"zip"[..],
            b"MCPB_SIG_V1",
            &3_u32.to_le_bytes(),
            b"sig",
            b"MCPB_SIG_END",
        ]
        .concat();
        assert_eq!(split(&signed), (&b"zip"[..], Some(&b"sig"[..])));
        let long = [
            &b"zip"[..],
            b"MCPB_SIG_V1",
            &4_u32.to_le_bytes(),
            b"sig",
            b"MCPB_SIG_END",
        ]
        .concat();
        assert_eq!(split(&long).1, None);
        assert_eq!(split(b"zip").1, None);
        assert_eq!(split(b"MCPB_SIG_END").1, None);
        assert!(Bundle::read(&signed).is_err());
    }

    #[test]
    fn a_manifest_is_filled_once_and_with_what_was_given() {
        let manifest = json!({
            "user_config": {"dirs": {"multiple": true}, "key": {}, "deep": {"default": 3}, "home": {"default": "${HOME}"}},
            "server": {"mcp_config": {"command": "${__dirname}${/}run",
                "args": ["--d", "${user_config.dirs}", "--deep=${user_config.deep}", "$${user_config.key}"],
                "env": {"KEY": "${user_config.key}"}, "platform_overrides": {"win32": {"command": "evil.exe"}}}},
        });
        let filled =
            |args: &[&str]| start(&manifest, &command(args), Path::new("/p")).map_err(|why| why.to_string());
        let (program, args, env) = filled(&["dirs=/a", "dirs=/b", "key={__dirname}"]).unwrap();
        assert_eq!(program, "/p/run");
        assert_eq!(args, ["--d", "/a", "/b", "--deep=3", "${__dirname}"]);
        assert_eq!(env.first().unwrap().1, "{__dirname}");
        assert!(filled(&["dirs=/a"]).unwrap_err().contains("`key=VALUE`"));
        assert!(filled(&["key=1"]).unwrap_err().contains("`dirs=VALUE`"));
        assert!(filled(&["key=${HOME}", "dirs=x"]).is_err());
        assert!(filled(&["kee=1"]).unwrap_err().contains("no `kee`"));
        assert!(filled(&["key"]).unwrap_err().contains("NAME=VALUE"));
        let steering =
            json!({"server": {"mcp_config": {"command": "node", "env": {"NODE_OPTIONS": "-r ./x"}}}});
        assert!(start(&steering, &command(&[]), Path::new("/p")).is_err());
        let hidden =
            json!({"server": {"mcp_config": {"command": "node", "env": {"NODE_OPTIONS=-r ./x": ""}}}});
        assert!(start(&hidden, &command(&[]), Path::new("/p")).is_err());
        let open = json!({"server": {"mcp_config": {"command": "${node"}}});
        assert!(start(&open, &command(&[]), Path::new("/p")).is_err());
    }
}
