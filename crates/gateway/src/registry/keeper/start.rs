//! What a server starts: pinned before a person's approval counts, compared before every start.

use std::sync::{Arc, PoisonError};

use policy::registry::Pin;
use upstream::{Command, Reach, ServerSpec};
use wire::mcp::ServerName;

use super::{Keeper, KeeperError};
use crate::registry::supply::{Artefact, Checked, Depth};

impl Keeper {
    /// Pins what a server starts, as a person is about to approve it. Fetches and installs where that is wanted, so
    /// it takes a while; nothing of the server runs.
    pub(crate) async fn pin(&self, name: &str, depth: Depth) -> Result<Option<Arc<Artefact>>, KeeperError> {
        let server = self.server(name)?;
        let Some((launch, command)) = self.launch(&server.name) else {
            return Ok(None);
        };
        let made = self.shelf.make(&server.name, &command, &launch, depth).await;
        let artefact = made.map_err(|why| KeeperError::Unpinned(name.to_owned(), why))?;
        self.note_pinned(&server.name, &artefact, "pinned by a person");
        Ok(Some(artefact))
    }

    /// What is pinned of a server.
    pub(crate) fn artefact(&self, name: &ServerName) -> Option<Arc<Artefact>> {
        self.shelf.artefact(name)
    }

    /// Removes copies of packages that no server is started from any more.
    pub(crate) fn clear_copies(&self) {
        let earlier = self.earlier_artefacts();
        if let Err(error) = earlier
            .map_err(|error| error.to_string())
            .and_then(|earlier| self.shelf.clear(&earlier).map_err(|error| error.to_string()))
        {
            tracing::warn!(%error, "copies of packages that nobody needs stay where they are");
        }
    }

    /// Whether a server's process may be started: only if every byte of what would run is what was approved. What
    /// changed holds the whole server back, and says so in the ledger.
    pub(crate) fn before_start(&self, name: &ServerName) -> Result<(), String> {
        let Some((launch, command)) = self.launch(name) else {
            return Ok(());
        };
        match self.shelf.check(name, &launch, &command) {
            Checked::Same => Ok(()),
            Checked::First(artefact) => {
                self.note_pinned(name, &artefact, "pinned as found at the first start");
                let kept = self.shelf.pin(name, *artefact, None);
                kept.map_err(|error| error.to_string())?;
                let server = self.server(name.as_str()).map_err(|error| error.to_string())?;
                self.note_version(&server).map_err(|error| error.to_string())
            }
            Checked::Missing(why) => Err(why),
            Checked::Changed(what) => {
                let why = format!("what it starts is not what was approved: {what}");
                match self.quarantine(name.as_str(), None, &why) {
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(server = %name, %error, "it could not be held back for good")
                    }
                }
                Err(format!(
                    "{why}; if that is as it should be, `sallyport server approve {name}`"
                ))
            }
        }
    }

    /// What is given to the upstreams: where a copy is kept, that is started.
    pub(super) fn started(&self, spec: &ServerSpec) -> ServerSpec {
        let mut spec = spec.clone();
        if let Reach::Stdio(command) = &mut spec.reach {
            *command = self.shelf.started(&spec.name, command);
        }
        self.listened_to(&mut spec);
        spec
    }

    fn note_pinned(&self, name: &ServerName, artefact: &Artefact, why: &str) {
        let pin = Pin::of_bytes(&serde_json::to_vec(artefact).unwrap_or_default());
        self.journal.registry(name, None, "pinned", why, Some(pin), None);
    }

    /// The configured command of a server that is a process, and the pin of its launch.
    pub(super) fn launch(&self, name: &ServerName) -> Option<(String, Command)> {
        let specs = self.specs.read().unwrap_or_else(PoisonError::into_inner);
        let meant = specs.get(name)?;
        match &meant.spec.reach {
            Reach::Stdio(command) => Some((meant.launch.pin.to_string(), command.clone())),
            Reach::Http(_) | Reach::Rest(_) | Reach::Sse(_) | Reach::Unix(_) | Reach::WebSocket(_) => None,
        }
    }
}
