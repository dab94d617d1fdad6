//! `sallyport backup ...`: a consistent copy of the data directory, and back: without those who were erased since.

mod erasures;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use records::{
    ambient::Clock,
    backup::{self, Manifest},
    keys::LogKeys,
    ledger::entry::rfc3339,
};
use wire::json::object;

use erasures::Erased;

use super::{Common, desk, ledger::check, place::Place, say};
use crate::{
    ambient::Ambient,
    config::root::MeantRoot,
    failure::Failure,
    storage::{
        keychain::Keychain,
        root::RootKey,
        vault::{Layout, Vault, keys_of},
    },
};

/// Back-ups of the data directory: all but the root key.
#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    /// Copy the data directory into a new one, while the gateway runs.
    Create(Create),
    /// Put a back-up where there is no data directory.
    Restore(Restore),
}

/// Copy the data directory.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The new directory.
    to: PathBuf,
}

/// Put a back-up in place.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The back-up.
    from: PathBuf,
    /// The root key that opens it, where neither SALLYPORT_ROOT_KEY nor `root_key` does. It is copied, too.
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
    /// A newer copy of the ledger, such as the one that was lost or what was published of it: whoever was erased since
    /// the back-up is erased again.
    #[arg(long, value_name = "DIR", conflicts_with = "nobody_erased")]
    ledger: Option<PathBuf>,
    /// Nobody was erased since the back-up was made.
    #[arg(long)]
    nobody_erased: bool,
}

impl Backup {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        match self {
            Self::Create(create) => {
                let to = std::path::absolute(&create.to).unwrap_or(create.to);
                let answer = desk::ask(common, "backup.create", |out| {
                    out.string("to", &to.display().to_string());
                })?;
                let words = format!("backed up to {}; the root key is not in it", to.display());
                say(if common.json { answer.text() } else { &words });
                Ok(())
            }
            Self::Restore(restore) => restore.run(common),
        }
    }
}

impl Restore {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let place = Place::of(common)?;
        let (data, root) = (place.data(), place.root()?);
        // The tables come back into the directory, whatever `state` says.
        let layout = match &self.root_key {
            // It is copied to where it usually is, and opens what comes back, wherever the next one will be.
            Some(_) => Layout::new(data),
            None => Layout::new(data).with_root_key(&root),
        };
        let root_key = match &self.root_key {
            Some(path) => RootKey::of(&MeantRoot::Usual, path),
            None => RootKey::of(&root, Path::new("")),
        };
        if self.root_key.is_none() && root_key.is_absent() {
            return Err(Failure::configuration(
                "the root key is not in a back-up; name the file it was kept in with `--root-key FILE`",
            ));
        }
        let (manifest, keys) = checked(&self.from, root_key)?;
        let made = rfc3339(manifest.made_ms);
        let erased = self.erased(&manifest, &keys, &made)?;
        backup::restore(&self.from, &manifest, data).map_err(unusable)?;
        if let Some(root_key) = &self.root_key {
            std::fs::copy(root_key, layout.root_key()).map_err(unusable)?;
        }
        let report = check(
            &layout.ledger(),
            &keys_of(&layout)?,
            &[],
            records::verify::Witnesses::default(),
        )?;
        if !report.holds() {
            let problems = report.to_string();
            return Err(Failure::does_not_hold(format!(
                "the restored ledger does not hold:\n{problems}"
            )));
        }
        let restored = layout.restored();
        super::block_on(async {
            let vault = Vault::try_open(&restored, &Ambient::system())?;
            let vault =
                vault.ok_or_else(|| Failure::configuration("another process has the data directory"))?;
            let done = erasures::replay(&vault, &erased, &Ambient::system()).await;
            vault.close().await;
            done
        })
        .map_err(|error| {
            Failure::other(format!(
                "who was erased after the back-up may be back in {}: delete that directory, and restore again: {}",
                data.display(),
                error
            ))
        })?;
        if common.json {
            let line = object(|out| {
                out.string("made", &made);
                out.integer("entries", manifest.size);
                out.integer("erased_again", u64::try_from(erased.len()).unwrap_or(u64::MAX));
            });
            say(&String::from_utf8_lossy(&line));
        } else {
            say(&format!(
                "restored {} entries and the tables of {made}; {} erasures of after that were done again. What was \
                 revoked after that counts again: revoke it again",
                manifest.size,
                erased.len()
            ));
        }
        Ok(())
    }
}

impl Restore {
    /// Who was erased since the back-up was made. Nothing is restored where that is not known.
    fn erased(&self, manifest: &Manifest, keys: &LogKeys, made: &str) -> Result<Vec<Erased>, Failure> {
        match &self.ledger {
            Some(newer) => erasures::since(manifest, &self.from, newer, keys),
            None if self.nobody_erased => Ok(Vec::new()),
            None => Err(Failure::configuration(format!(
                "whoever was erased after {made} would be back: name a newer copy of the ledger with `--ledger DIR` \
                 (the one that was lost, or what was published of it), and they are erased again; or say \
                 `--nobody-erased` if nobody was"
            ))),
        }
    }
}

/// Checks a back-up with the keys in it, which the root key opens.
fn checked(from: &Path, root_key: RootKey) -> Result<(Manifest, LogKeys), Failure> {
    let (ring, origin) = (from.join("keys"), from.join("origin"));
    if !ring.exists() {
        return Err(Failure::configuration(format!(
            "there is no back-up in {}",
            from.display()
        )));
    }
    let keychain = Keychain::new(ring, root_key, origin, Clock::new(|| 0));
    let keys = keychain.open()?.log_keys(&keychain.origin()?).map_err(unusable)?;
    let manifest = backup::check(from, &keys.known());
    let manifest = manifest.map_err(|error| Failure::does_not_hold(error.to_string()))?;
    Ok((manifest, keys))
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::configuration(error.to_string())
}
