//! The files a command starts with, as they are on this machine now: the program, the interpreters of scripts, and the
//! script an interpreter is given.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use upstream::Command;

use super::{
    Refused, digest,
    meaning::{self, Meaning},
};

/// How many interpreters may stand behind each other.
const CHAIN_MAX: usize = 4;

/// A file, pinned.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct PinnedFile {
    /// What it is to the server: `program`, `interpreter`, `script`.
    pub(crate) role: String,
    /// Where it is found.
    pub(crate) path: PathBuf,
    /// How long it is.
    pub(crate) size: u64,
    /// Its digest.
    pub(crate) digest: String,
}

impl PinnedFile {
    pub(super) fn of(role: &str, path: &Path) -> Result<Self, Refused> {
        let (size, digest) = digest::of_file(path).map_err(|error| Refused::unreadable(path, &error))?;
        Ok(Self {
            role: role.to_owned(),
            path: path.to_path_buf(),
            size,
            digest,
        })
    }
}

/// The files of a command. A program that is not there is not a change but something to install.
pub(super) fn files(command: &Command) -> Result<Vec<PinnedFile>, Refused> {
    let program = locate(&command.program, command)?;
    let mut files = chain("program", &program, command)?;
    if let Meaning::Script(at) = meaning::of(command)
        && let Some(script) = command.args.get(at)
    {
        let path = within(command).join(script);
        // A word that is no file is for the interpreter to make sense of.
        if path.is_file() {
            files.push(PinnedFile::of("script", &path)?);
        }
    }
    Ok(files)
}

/// A file and the interpreters it is run by.
pub(super) fn chain(role: &str, path: &Path, command: &Command) -> Result<Vec<PinnedFile>, Refused> {
    let mut files = vec![PinnedFile::of(role, path)?];
    let mut next = interpreter(path)?;
    while let Some((program, _)) = next {
        if files.len() > CHAIN_MAX {
            return Err(Refused::other(format!(
                "`{}`: more than {CHAIN_MAX} interpreters behind each other",
                path.display()
            )));
        }
        let found = locate(&program, command)?;
        files.push(PinnedFile::of("interpreter", &found)?);
        next = interpreter(&found)?;
    }
    Ok(files)
}

/// What a script is run by, and with which options; none for what is no script.
pub(super) fn interpreter(path: &Path) -> Result<Option<(String, Vec<String>)>, Refused> {
    let mut head = [0; 256];
    let mut file = File::open(path).map_err(|error| Refused::unreadable(path, &error))?;
    let read = file
        .read(&mut head)
        .map_err(|error| Refused::unreadable(path, &error))?;
    let Some(rest) = head.get(..read).and_then(|head| head.strip_prefix(b"#!")) else {
        return Ok(None);
    };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace().map(str::to_owned).peekable();
    let Some(first) = words.next() else {
        return Ok(None);
    };
    if !first.ends_with("/env") {
        return Ok(Some((first, words.collect())));
    }
    let _ = words.next_if(|word| word == "-S");
    Ok(words.next().map(|program| (program, words.collect())))
}

/// Where a program is, as the system will look for it.
pub(super) fn locate(program: &str, command: &Command) -> Result<PathBuf, Refused> {
    let runs = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let path = within(command).join(program);
        return if runs(&path) {
            Ok(path)
        } else if path.is_file() {
            Err(Refused::Missing(format!(
                "`{program}` may not be executed; check its permissions (`chmod +x`)"
            )))
        } else {
            Err(Refused::missing(program))
        };
    }
    let configured = command.env.iter().find(|(name, _)| name == "PATH");
    let paths = match configured {
        Some((_, value)) => value.clone().into(),
        None => std::env::var_os("PATH").unwrap_or_default(),
    };
    let found = std::env::split_paths(&paths)
        .map(|directory| within(command).join(directory).join(program))
        .find(|path| runs(path));
    found.ok_or_else(|| Refused::missing(program))
}

/// Where relative paths of a command begin.
pub(super) fn within(command: &Command) -> PathBuf {
    let here = || std::env::current_dir().unwrap_or_default();
    match &command.directory {
        Some(directory) if directory.is_absolute() => directory.clone(),
        Some(directory) => here().join(directory),
        None => here(),
    }
}

/// What differs between what was pinned and what is there.
pub(super) fn difference(pinned: &[PinnedFile], found: &[PinnedFile]) -> Option<String> {
    let mut said = Vec::new();
    for n in 0..pinned.len().max(found.len()) {
        match (pinned.get(n), found.get(n)) {
            (Some(was), Some(is)) if was.path != is.path => said.push(format!(
                "the {} was `{}` and is `{}`",
                was.role,
                was.path.display(),
                is.path.display()
            )),
            (Some(was), Some(is)) if was.digest != is.digest => said.push(format!(
                "the {} `{}` was {} bytes {} and is {} bytes {}",
                was.role,
                was.path.display(),
                was.size,
                was.digest,
                is.size,
                is.digest
            )),
            (Some(_), Some(_)) | (None, None) => {}
            (Some(was), None) => {
                said.push(format!(
                    "the {} `{}` is not used any more",
                    was.role,
                    was.path.display()
                ));
            }
            (None, Some(is)) => said.push(format!("the {} `{}` is new", is.role, is.path.display())),
        }
    }
    (!said.is_empty()).then(|| said.join("; "))
}
