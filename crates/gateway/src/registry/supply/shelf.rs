//! What is pinned of each server, and the copies of packages: kept in the sealed store, compared at each start.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use upstream::Command;
use wire::mcp::ServerName;

use super::{
    Artefact, Depth, Refused,
    digest::{self, Listing},
    found,
    provenance::Provenance,
    tools, variables,
};
use crate::storage::store::{Store, StoreError};

/// The store's tables: what is pinned, and the listings of copies.
const TABLE: &str = "artefacts";
const LISTINGS: &str = "artefact-listings";

/// What is known of what a server starts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Known {
    /// Approved without a person: the files are pinned as they are found at the first start.
    AtFirstStart,
    /// Pinned.
    Pinned(Box<Artefact>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shelf {
    store: Store,
    packages: PathBuf,
    /// A mirrored file of known vulnerabilities.
    osv: Option<PathBuf>,
    provenance: Provenance,
    known: Mutex<BTreeMap<ServerName, Known>>,
    /// Held while a copy is made, so that it is not taken for one that nobody needs.
    making: tokio::sync::Mutex<()>,
}

/// What came of looking at what would be started.
#[derive(Debug)]
pub(crate) enum Checked {
    /// It is what was approved.
    Same,
    /// It was seen for the first time.
    First(Box<Artefact>),
    /// It is something else: what differs.
    Changed(String),
    /// There is nothing to start.
    Missing(String),
}

impl Shelf {
    /// Takes over what is stored.
    pub(crate) fn open(
        store: Store,
        packages: PathBuf,
        osv: Option<PathBuf>,
        provenance: Provenance,
    ) -> Result<Self, StoreError> {
        let mut known = BTreeMap::new();
        for (name, text) in store.list(TABLE)? {
            // What cannot be read is not there, and the server does not start.
            if let (Ok(name), Ok(one)) = (ServerName::parse(&name), serde_json::from_slice(&text)) {
                known.insert(name, one);
            }
        }
        Ok(Self {
            store,
            osv,
            provenance,
            packages,
            known: Mutex::new(known),
            making: tokio::sync::Mutex::default(),
        })
    }

    /// Makes an artefact of what a command starts, and keeps it.
    pub(crate) async fn make(
        &self,
        server: &ServerName,
        command: &Command,
        launch: &str,
        depth: Depth,
    ) -> Result<Arc<Artefact>, Refused> {
        let _alone = self.making.lock().await;
        let (mut artefact, listing) =
            Artefact::pin(command, launch, depth, &self.packages, &self.provenance).await?;
        let osv = self.osv.as_deref().filter(|_| !artefact.lock.is_empty());
        artefact.review(osv)?;
        self.pin(server, artefact.clone(), listing.as_deref())
            .map_err(|error| Refused::other(error.to_string()))?;
        Ok(Arc::new(artefact))
    }

    /// What is pinned of a server.
    pub(crate) fn artefact(&self, server: &ServerName) -> Option<Arc<Artefact>> {
        match self.lock().get(server) {
            Some(Known::Pinned(artefact)) => Some(Arc::new(artefact.as_ref().clone())),
            Some(Known::AtFirstStart) | None => None,
        }
    }

    /// A server was approved without a person: it is pinned at its first start.
    pub(crate) fn await_first(&self, server: &ServerName) -> Result<(), StoreError> {
        self.put(server, Known::AtFirstStart)
    }

    /// Pins a server anew.
    pub(crate) fn pin(
        &self,
        server: &ServerName,
        artefact: Artefact,
        listing: Option<&str>,
    ) -> Result<(), StoreError> {
        if let Some(listing) = listing {
            self.store.put(LISTINGS, server.as_str(), listing.as_bytes())?;
        }
        self.put(server, Known::Pinned(Box::new(artefact)))
    }

    /// Pins again what was pinned before.
    pub(crate) fn restore(&self, server: &ServerName, artefact: Artefact) -> Result<(), StoreError> {
        // The listing is that of another copy; what differs can then be said less well, and is found all the same.
        self.store.delete(LISTINGS, server.as_str())?;
        self.pin(server, artefact, None)
    }

    /// A server is gone for good.
    pub(crate) fn forget(&self, server: &ServerName) -> Result<(), StoreError> {
        self.store.delete(LISTINGS, server.as_str())?;
        self.store.delete(TABLE, server.as_str())?;
        self.lock().remove(server);
        Ok(())
    }

    /// Removes copies that no server is started from, and that nobody can go back to.
    pub(crate) fn clear(&self, earlier: &[Artefact]) -> Result<(), Refused> {
        let Ok(_nothing_made) = self.making.try_lock() else {
            return Ok(());
        };
        let known = self.lock();
        let used: Vec<PathBuf> = known
            .values()
            .filter_map(|one| match one {
                Known::Pinned(artefact) => artefact.copy.as_ref().map(|copy| copy.path.clone()),
                Known::AtFirstStart => None,
            })
            .chain(
                earlier
                    .iter()
                    .filter_map(|one| Some(one.copy.as_ref()?.path.clone())),
            )
            .collect();
        let Ok(found) = std::fs::read_dir(&self.packages) else {
            return Ok(());
        };
        for entry in found.flatten() {
            if !used.contains(&entry.path()) {
                tools::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The command a server is started by.
    pub(crate) fn started(&self, server: &ServerName, configured: &Command) -> Command {
        match self.artefact(server) {
            Some(artefact) => artefact.started(configured),
            None => configured.clone(),
        }
    }

    /// Compares what would be started with what was approved. Reads every byte of it.
    pub(crate) fn check(&self, server: &ServerName, launch: &str, configured: &Command) -> Checked {
        let known = self.lock().get(server).cloned();
        let checked = match known {
            None => Ok(Checked::Changed(
                "it was approved before what it starts was pinned".to_owned(),
            )),
            Some(Known::AtFirstStart) => Artefact::as_found(configured, launch, &self.provenance)
                .map(|artefact| Checked::First(Box::new(artefact))),
            Some(Known::Pinned(artefact)) => self.compare(server, &artefact, launch, configured),
        };
        checked.unwrap_or_else(|refused| match refused {
            Refused::Missing(why) | Refused::Other(why) => Checked::Missing(why),
            Refused::Floating(_) => Checked::Changed(refused.to_string()),
        })
    }

    fn compare(
        &self,
        server: &ServerName,
        artefact: &Artefact,
        launch: &str,
        configured: &Command,
    ) -> Result<Checked, Refused> {
        if artefact.launch != launch {
            return Ok(Checked::Changed("it was pinned for another command".to_owned()));
        }
        if let Some(why) = variables_difference(&artefact.variables, &variables(configured)) {
            return Ok(Checked::Changed(why));
        }
        let Some(copy) = &artefact.copy else {
            let found = found::files(configured)?;
            return Ok(match found::difference(&artefact.files, &found) {
                Some(why) => Checked::Changed(why),
                None => Checked::Same,
            });
        };
        let mut found = Vec::new();
        for file in &artefact.files {
            found.push(found::PinnedFile::of(&file.role, &file.path)?);
        }
        if let Some(why) = found::difference(&artefact.files, &found) {
            return Ok(Checked::Changed(why));
        }
        let listing = Listing::of(&copy.path).map_err(|error| Refused::unreadable(&copy.path, &error))?;
        if listing.digest() == copy.digest {
            return Ok(Checked::Same);
        }
        let approved = self.store.get(LISTINGS, server.as_str()).ok().flatten();
        let approved = String::from_utf8(approved.unwrap_or_default()).unwrap_or_default();
        let what = digest::difference(&approved, &listing.text);
        Ok(Checked::Changed(format!("the copy of its package: {what}")))
    }

    fn put(&self, server: &ServerName, known: Known) -> Result<(), StoreError> {
        let text = serde_json::to_vec(&known).map_err(|error| StoreError::other(error.to_string()))?;
        self.store.put(TABLE, server.as_str(), &text)?;
        self.lock().insert(server.clone(), known);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ServerName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which variable was set to what, or not, is said; its value may be a secret and is not.
fn variables_difference(
    pinned: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
) -> Option<String> {
    let names = pinned.keys().chain(found.keys());
    let changed = names
        .into_iter()
        .find(|name| pinned.get(*name) != found.get(*name))?;
    Some(format!(
        "`{changed}`, which changes what is loaded, has another value"
    ))
}
