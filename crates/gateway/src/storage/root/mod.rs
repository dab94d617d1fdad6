//! The root key: wherever it is, it opens the key ring and seals it, and does nothing else.
//!
//! It must not know what is in a ring.

mod pkcs11;
mod transit;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use records::{
    ambient::Random,
    disk::RealDisk,
    keys::{Kept, Root, Secret, SecretSource, create_key_file, new_key},
};

use crate::{
    config::{
        find,
        reference::Lookup,
        root::{self, MeantRoot},
    },
    failure::Failure,
    storage::keyring,
};

/// The environment variable of the root key.
const ROOT_KEY: &str = "SALLYPORT_ROOT_KEY";

/// Where the root key is, and what was heard of it.
#[derive(Clone, Debug)]
pub(crate) enum RootKey {
    /// In the environment, or else in this file.
    Usual(PathBuf),
    /// In one place that was named.
    Source(SecretSource),
    /// In the keyring.
    Keyring(String),
    /// Somebody keeps it.
    Kept(Kept),
}

/// What is done where there is no root key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Absent {
    Make,
    Refuse,
}

impl RootKey {
    /// What configuration means, in a data directory whose usual root key is this file.
    pub(crate) fn of(meant: &MeantRoot, usual: &Path) -> Self {
        match meant {
            MeantRoot::Usual => Self::Usual(usual.to_owned()),
            MeantRoot::Env(name) => Self::Source(SecretSource::Env(name.clone())),
            MeantRoot::File(path) => Self::Source(SecretSource::File(path.clone())),
            MeantRoot::Keyring(name) => Self::Keyring(name.clone()),
            MeantRoot::Pkcs11(token) => Self::Kept(Kept::by(Arc::new(pkcs11::Token(token.clone())))),
            MeantRoot::Vault(vault) => Self::Kept(Kept::by(Arc::new(transit::Transit(vault.clone())))),
        }
    }

    /// What messages and the ledger call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Usual(file) => source(file).to_string(),
            Self::Source(source) => source.to_string(),
            Self::Keyring(name) => format!("{}{name}", keyring::PREFIX),
            Self::Kept(kept) => kept.name(),
        }
    }

    /// Whether a key is where it usually is, as far as can be told without asking anybody.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Usual(file) => matches!(source(file), SecretSource::File(_)) && !file.exists(),
            Self::Source(_) | Self::Keyring(_) | Self::Kept(_) => false,
        }
    }

    /// What opens a ring. Whoever keeps it is asked when a ring is opened, and not yet.
    pub(crate) fn root(&self, absent: Absent) -> Result<Root, Failure> {
        match self {
            Self::Usual(file) => read(&source(file), absent).map(Root::Key),
            Self::Source(source) => read(source, absent).map(Root::Key),
            Self::Keyring(name) => from_keyring(name, absent).map(Root::Key),
            Self::Kept(kept) => Ok(Root::Kept(kept.clone())),
        }
    }
}

/// What a configuration file says of it; without one, where it usually is.
pub(crate) fn meant_in(config: Option<&Path>) -> Result<MeantRoot, Failure> {
    let Some(config) = config else {
        return Ok(MeantRoot::Usual);
    };
    let said = find::read(config)?;
    let base = config.parent().unwrap_or(Path::new("."));
    let lookup = Lookup::new(&|name| std::env::var(name).ok(), base);
    root::mean(&said.root_key, &lookup)
        .map_err(|problem| Failure::configuration(format!("{}: {problem}", config.display())))
}

fn source(file: &Path) -> SecretSource {
    match std::env::var_os(ROOT_KEY) {
        Some(_) => SecretSource::Env(ROOT_KEY.to_owned()),
        None => SecretSource::File(file.to_owned()),
    }
}

fn read(source: &SecretSource, absent: Absent) -> Result<Secret, Failure> {
    if let (SecretSource::File(path), Absent::Make) = (source, absent)
        && !path.exists()
    {
        create_key_file(&RealDisk, path, &Random::system()).map_err(unusable)?;
    }
    let environment = |name: &str| std::env::var(name).ok();
    source.read_key(&RealDisk, &environment).map_err(unusable)
}

fn from_keyring(name: &str, absent: Absent) -> Result<Secret, Failure> {
    let found = match keyring::read(name).map_err(unusable)? {
        Some(found) => Some(found),
        None if absent == Absent::Make => {
            let key = new_key(&Random::system()).map_err(unusable)?;
            keyring::create(name, key.expose()).map_err(unusable)?;
            keyring::read(name).map_err(unusable)?
        }
        None => None,
    };
    let found = found.ok_or_else(|| unusable(keyring::missing(name)))?;
    let source = SecretSource::Named(format!("{}{name}", keyring::PREFIX));
    let written = Secret::new(found.as_bytes().to_vec());
    source.key(&written).map_err(unusable)
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::configuration(format!("root key: {error}"))
}
