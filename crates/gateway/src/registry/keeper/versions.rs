//! What was approved of servers before, and the way back.
//!
//! A version is kept whenever what is approved of a server becomes something that it was not before: what it starts,
//! down to the bytes, and its definitions. Going back to one makes that the approved state, and holds back whatever
//! the server would start or offers now that is something else.

use policy::registry::{Pin, Version};
use records::ledger::entry::rfc3339;
use serde::{Deserialize, Serialize};
use wire::json::ArrayWriter;

use super::{Change, Keeper, KeeperError, Server};
use crate::{
    registry::supply::{Artefact, Checked},
    storage::store::StoreError,
};

/// The store's table: the versions of each server, the newest last.
pub(super) const TABLE: &str = "server-versions";
/// Versions kept of a server; the oldest goes.
const KEPT_MAX: usize = 10;

/// One version.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Kept {
    pub(crate) n: u32,
    since_ms: i64,
    /// What it starts, for people.
    launch: String,
    /// As [`Version::to_stored`] writes it.
    version: String,
    /// What is pinned of a process.
    artefact: Option<Artefact>,
}

impl Kept {
    fn version(&self, name: &str) -> Result<Version, KeeperError> {
        Version::from_stored(self.version.as_bytes())
            .map_err(|error| KeeperError::Stored(name.to_owned(), error))
    }

    /// Whether it is what the other one is.
    fn is(&self, other: &Self) -> bool {
        self.version == other.version && self.artefact == other.artefact
    }

    /// For people.
    pub(crate) fn write(&self, in_force: Option<u32>, list: &mut ArrayWriter<'_>) {
        list.object(|out| {
            out.integer("version", u64::from(self.n));
            out.string("since", &rfc3339(u64::try_from(self.since_ms).unwrap_or(0)));
            out.string("launch", &self.launch);
            out.string("digest", &Pin::of_bytes(self.version.as_bytes()).to_string());
            out.boolean("in_force", in_force == Some(self.n));
        });
    }
}

impl Keeper {
    /// The versions of a server, the oldest first, and the number of the one in force.
    pub(crate) fn versions(&self, server: &Server) -> Result<(Vec<Kept>, Option<u32>), KeeperError> {
        let kept = self.kept(server.name.as_str())?;
        let now = self.version_now(server, 0);
        let in_force = now.and_then(|now| kept.iter().find(|one| one.is(&now)).map(|one| one.n));
        Ok((kept, in_force))
    }

    /// A person goes back to an earlier version: to the one before, unless another is named.
    pub(crate) fn roll_back(&self, name: &str, to: Option<u32>) -> Result<(u32, Vec<Change>), KeeperError> {
        let _alone = self.alone();
        let mut server = self.server(name)?;
        let kept = self.target(&server, to)?;
        let mut changes = server.roll_back(&kept.version(name)?)?;
        if let Some(artefact) = &kept.artefact {
            self.shelf.restore(&server.name, artefact.clone())?;
        }
        if let Some((launch, command)) = self.launch(&server.name).filter(|_| server.may_start()) {
            let why = match self.shelf.check(&server.name, &launch, &command) {
                Checked::Same => None,
                Checked::Changed(why) | Checked::Missing(why) => Some(why),
                Checked::First(_) => Some("what that version started was never pinned".to_owned()),
            };
            if let Some(why) = why {
                changes.push(server.quarantine(format!("what it starts is not version {}: {why}", kept.n))?);
            }
        }
        // What runs now may be another version of it.
        self.upstreams.remove(&server.name);
        let why = format!("a person went back to version {}", kept.n);
        self.keep(server, &changes, &why)?;
        self.publish();
        Ok((kept.n, changes))
    }

    /// What is approved now is kept, unless it is already.
    pub(super) fn note_version(&self, server: &Server) -> Result<(), KeeperError> {
        let name = server.name.as_str();
        let mut kept = self.kept(name)?;
        let next = kept.last().map_or(1, |last| last.n.saturating_add(1));
        let Some(now) = self.version_now(server, next) else {
            return Ok(());
        };
        if kept.iter().any(|one| one.is(&now)) {
            return Ok(());
        }
        kept.push(now);
        let kept = kept.split_off(kept.len().saturating_sub(KEPT_MAX));
        let text = serde_json::to_vec(&kept).map_err(|error| StoreError::other(error.to_string()))?;
        Ok(self.store.put(TABLE, name, &text)?)
    }

    /// What earlier versions start.
    pub(super) fn earlier_artefacts(&self) -> Result<Vec<Artefact>, KeeperError> {
        let mut artefacts = Vec::new();
        for (name, _) in self.store.list(TABLE)? {
            artefacts.extend(self.kept(&name)?.into_iter().filter_map(|one| one.artefact));
        }
        Ok(artefacts)
    }

    /// None while nothing is approved that serves, or what a process starts is not pinned yet.
    fn version_now(&self, server: &Server, n: u32) -> Option<Kept> {
        let version = server.version()?;
        let artefact = self.shelf.artefact(&server.name);
        if artefact.is_none() && self.launch(&server.name).is_some() {
            return None;
        }
        Some(Kept {
            n,
            since_ms: self.ambient.now_ms(),
            launch: server.launch.shown.clone(),
            version: String::from_utf8(version.to_stored()).ok()?,
            artefact: artefact.map(|artefact| artefact.as_ref().clone()),
        })
    }

    fn target(&self, server: &Server, to: Option<u32>) -> Result<Kept, KeeperError> {
        let (kept, in_force) = self.versions(server)?;
        let found = match (to, in_force) {
            (Some(n), _) => kept.iter().find(|one| one.n == n),
            (None, Some(now)) => kept.iter().rev().find(|one| one.n < now),
            (None, None) => kept.last(),
        };
        found.cloned().ok_or_else(|| {
            let why = match to {
                Some(n) => {
                    format!("version {n} was never approved, or is not kept any more; see `server show`")
                }
                None => "there is no earlier version that was approved".to_owned(),
            };
            KeeperError::Version(server.name.to_string(), why)
        })
    }

    fn kept(&self, name: &str) -> Result<Vec<Kept>, KeeperError> {
        let Some(text) = self.store.get(TABLE, name)? else {
            return Ok(Vec::new());
        };
        let read = serde_json::from_slice(&text);
        Ok(read.map_err(|error| StoreError::other(format!("the versions of `{name}`: {error}")))?)
    }
}
