//! What a server's command really starts: found out and pinned when a person approves, compared at each start.
//!
//! A package is installed once, with a lock of everything it needs, into the data directory, and is started from
//! there; nothing is fetched at a start. Of everything else the files as found are pinned. This module starts
//! installers and reads files; what is approved and what becomes of a server is the keeper's to say.

mod calendar;
mod digest;
mod found;
mod mcpb;
mod meaning;
mod npm;
mod osv;
pub(crate) mod provenance;
mod pypi;
pub(crate) mod review;
pub(crate) mod sbom;
mod shelf;
mod signed;
mod tools;
mod version;
mod zip;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use upstream::Command;

pub(crate) use found::PinnedFile;
pub(crate) use meaning::Ecosystem;
use meaning::Meaning;
use provenance::Provenance;
pub(crate) use shelf::{Checked, Shelf};

/// Variables that change what is loaded: their values are pinned. A star stands for whatever follows.
pub(crate) const STEERING: [&str; 16] = [
    "BASH_*",
    "CLASSPATH",
    "DYLD_*",
    "ENV",
    "HOME",
    "JAVA_TOOL_OPTIONS",
    "LD_*",
    "NODE_*",
    "NPM_CONFIG_*",
    "PATH",
    "PERL5*",
    "PIP_*",
    "PYTHON*",
    "RUBYLIB",
    "RUBYOPT",
    "UV_*",
];

/// Whether a variable changes what is loaded.
pub(crate) fn steers(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    STEERING.iter().any(|steering| match steering.strip_suffix('*') {
        Some(begins) => upper.starts_with(begins),
        None => upper == *steering,
    })
}

/// How much is pinned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Depth {
    /// The files the command starts with, as they are: quick, and without network.
    AsFound,
    /// Everything that can be: packages are fetched, locked and kept.
    Whole,
}

/// The package a command would have a runner fetch, and what is wrong with its name.
pub(crate) fn doubtful(command: &Command) -> Option<String> {
    match meaning::of(command) {
        Meaning::Package(request) => review::resembles(request.ecosystem, &request.name),
        Meaning::Bundle(_)
        | Meaning::Floating(_)
        | Meaning::Image(_)
        | Meaning::Module(_)
        | Meaning::Program
        | Meaning::Script(_) => None,
    }
}

/// The package or program that a command names, as it is written. Nothing was looked at.
pub(crate) fn named(command: &Command) -> Option<String> {
    let file = |path: &str| Some(Path::new(path).file_name()?.to_str()?.to_owned());
    match meaning::of(command) {
        Meaning::Package(request) => Some(request.name),
        Meaning::Module(module) => Some(module.replace('_', "-")),
        Meaning::Script(at) => {
            let script = command.args.get(at)?;
            let Some((_, inside)) = script.rsplit_once("/node_modules/") else {
                return file(script);
            };
            let parts = if inside.starts_with('@') { 2 } else { 1 };
            Some(inside.split('/').take(parts).collect::<Vec<_>>().join("/"))
        }
        Meaning::Program => file(&command.program),
        Meaning::Bundle(_) | Meaning::Floating(_) | Meaning::Image(_) => None,
    }
}

/// What an approved server starts. Kept in the sealed store beside its registry record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Artefact {
    /// Where it comes from.
    pub(crate) ecosystem: Ecosystem,
    /// Its name there: of the package, or of the program.
    pub(crate) name: String,
    /// Who made it, as far as that was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) publisher: Option<String>,
    /// Its exact version, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// The launch it was made of, as the registry pins it.
    pub(crate) launch: String,
    /// Programs, interpreters and scripts.
    pub(crate) files: Vec<PinnedFile>,
    /// The copy it is started from, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copy: Option<Copied>,
    /// Digests of the values of variables that change what is loaded.
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    /// Everything it consists of, with its digests: itself first.
    #[serde(default)]
    pub(crate) lock: Vec<Locked>,
    /// What is not pinned, for people.
    #[serde(default)]
    pub(crate) open: Vec<String>,
    /// What a person should know before approving.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
}

/// A verified copy in the data directory, and how it is started.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Copied {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The digest of its listing.
    pub(crate) digest: String,
    /// How many files.
    pub(crate) files: usize,
    /// How many bytes.
    pub(crate) bytes: u64,
    /// The program to start.
    pub(crate) program: String,
    /// The arguments that stand in the place of the runner's own.
    pub(crate) args: Vec<String>,
    /// How many of the configured arguments were the runner's.
    pub(crate) consumed: usize,
    /// Variables it is given besides the configured ones.
    pub(crate) env: Vec<(String, String)>,
}

/// One package of a lock.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Locked {
    /// Its name.
    pub(crate) name: String,
    /// Its exact version.
    pub(crate) version: String,
    /// Its digests, as the lock has them: `sha512-...` (base64) or `sha256:...` (hexadecimal).
    pub(crate) integrity: Vec<String>,
    /// Whether it has scripts that would run when it is installed. They are not run.
    #[serde(default)]
    pub(crate) scripts: bool,
    /// What its publisher says of its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) licence: Option<String>,
}

/// Why something is not pinned, or not started.
#[derive(Clone, Debug, Error)]
pub(crate) enum Refused {
    /// Nothing there that could be pinned: something to install.
    #[error("{0}")]
    Missing(String),
    /// It may be something else tomorrow.
    #[error("it cannot be pinned: {0}")]
    Floating(String),
    /// Something went wrong.
    #[error("{0}")]
    Other(String),
}

impl Refused {
    fn missing(program: &str) -> Self {
        Self::Missing(format!(
            "`{program}` was not found; install it, or write its full path in `command`"
        ))
    }

    fn unreadable(path: &Path, error: &io::Error) -> Self {
        let what = format!("`{}` cannot be read: {error}", path.display());
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing(what)
        } else {
            Self::Other(what)
        }
    }

    fn other(what: impl Into<String>) -> Self {
        Self::Other(what.into())
    }
}

impl Artefact {
    /// What a command starts, pinned as deeply as wanted. A listing comes with it where a copy was made.
    pub(crate) async fn pin(
        command: &Command,
        launch: &str,
        depth: Depth,
        packages: &Path,
        provenance: &Provenance,
    ) -> Result<(Self, Option<String>), Refused> {
        let meaning = meaning::of(command);
        match (&meaning, depth) {
            (Meaning::Floating(why), Depth::Whole) => Err(Refused::Floating(why.clone())),
            (Meaning::Package(request), Depth::Whole) => {
                let kept = if request.ecosystem == Ecosystem::Npm {
                    npm::keep(request, command, packages).await?
                } else {
                    pypi::keep(request, command, packages).await?
                };
                let (mut artefact, listing) = kept;
                let proven = match artefact.lock.first() {
                    Some(main) => provenance.of_package(main),
                    None => Ok(None),
                };
                match proven {
                    Ok(publisher) => artefact.publisher = publisher,
                    Err(refused) => {
                        if let Some(copy) = &artefact.copy {
                            tools::remove(&copy.path)?;
                        }
                        return Err(refused);
                    }
                }
                Ok((artefact.of(command, launch), Some(listing)))
            }
            (Meaning::Bundle(bundle), Depth::Whole) => {
                let (artefact, listing) = mcpb::keep(bundle, command, packages, provenance).await?;
                Ok((artefact.of(command, launch), Some(listing)))
            }
            _ => Ok((Self::as_found(command, launch, provenance)?, None)),
        }
    }

    fn of(mut self, command: &Command, launch: &str) -> Self {
        self.launch = launch.to_owned();
        self.variables = variables(command);
        self
    }

    /// The files a command starts with. No network, nothing is started.
    pub(crate) fn as_found(
        command: &Command,
        launch: &str,
        provenance: &Provenance,
    ) -> Result<Self, Refused> {
        let meaning = meaning::of(command);
        provenance.may_be_unproven(&meaning)?;
        if let Meaning::Bundle(_) = meaning {
            let what = "a bundle is unpacked when a person approves: `sallyport server approve` without `--as-found`";
            return Err(Refused::other(what));
        }
        let base = |path: &str| {
            let name = Path::new(path).file_name().and_then(|name| name.to_str());
            name.unwrap_or(path).to_owned()
        };
        let mut artefact = Self {
            ecosystem: Ecosystem::File,
            name: base(&command.program),
            version: None,
            publisher: None,
            launch: launch.to_owned(),
            files: found::files(command)?,
            copy: None,
            variables: variables(command),
            lock: Vec::new(),
            open: Vec::new(),
            warnings: Vec::new(),
        };
        let loads = "what it loads besides its own file: other files, packages, shared libraries";
        match meaning {
            Meaning::Package(request) => {
                artefact.ecosystem = request.ecosystem;
                artefact.name = request.name;
                artefact.open.push(format!(
                    "the package: the runner may fetch another `{}` at each start; `sallyport server approve` without \
                     `--as-found` keeps a copy",
                    request.wanted.join(" ")
                ));
            }
            Meaning::Floating(why) => artefact.open.push(format!("what the runner fetches: {why}")),
            Meaning::Image(image) => {
                artefact.ecosystem = Ecosystem::Oci;
                let (name, digest) = image.split_once('@').unwrap_or((&image, ""));
                artefact.version = Some(digest.to_owned());
                artefact.name = name.to_owned();
                artefact.lock.push(Locked {
                    name: artefact.name.clone(),
                    version: digest.to_owned(),
                    integrity: vec![digest.to_owned()],
                    scripts: false,
                    licence: None,
                });
            }
            Meaning::Module(module) => {
                artefact.name.clone_from(&module);
                artefact.open.push(format!(
                    "the module `{module}` and what it loads; `uvx PACKAGE==VERSION` is kept whole"
                ));
            }
            Meaning::Script(at) => {
                if let Some(script) = command.args.get(at) {
                    artefact.name = base(script);
                }
                artefact.open.push(loads.to_owned());
            }
            Meaning::Bundle(_) | Meaning::Program => artefact.open.push(loads.to_owned()),
        }
        Ok(artefact)
    }

    /// What a person should know before approving it, with what `osv` has against it.
    pub(crate) fn review(&mut self, osv: Option<&Path>) -> Result<(), Refused> {
        self.warnings.extend(review::of(self));
        if let Some(osv) = osv {
            self.warnings.extend(osv::known(osv, self.ecosystem, &self.lock)?);
        }
        Ok(())
    }

    /// The command that is really started.
    pub(crate) fn started(&self, configured: &Command) -> Command {
        let Some(copy) = &self.copy else {
            return configured.clone();
        };
        let own = configured.args.iter().skip(copy.consumed);
        let mut env = configured.env.clone();
        env.retain(|(name, _)| copy.env.iter().all(|(set, _)| set != name));
        env.extend(copy.env.iter().cloned());
        Command {
            program: copy.program.clone(),
            args: copy.args.iter().chain(own).cloned().collect(),
            env,
            ..configured.clone()
        }
    }
}

fn variables(command: &Command) -> BTreeMap<String, String> {
    let steering = command.env.iter().filter(|(name, _)| steers(name));
    steering
        .map(|(name, value)| (name.clone(), digest::of_bytes(value.as_bytes())))
        .collect()
}

#[cfg(test)]
mod tests;
