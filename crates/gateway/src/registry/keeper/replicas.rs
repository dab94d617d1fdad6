//! The registry where replicas share it: each takes over what the others stored.

use policy::registry::{Definition, Server};
use wire::mcp::ServerName;

use super::{Keeper, KeeperError, TABLE};

impl Keeper {
    /// Takes over what other replicas approved, saw and held back.
    pub(crate) fn take_over(&self) -> Result<(), KeeperError> {
        let _alone = self.alone();
        let mut changed = false;
        for (key, text) in self.store.list(TABLE)? {
            let known = ServerName::parse(&key).ok();
            let known = known.and_then(|name| self.lock().get(&name).cloned());
            // Servers that were added by command elsewhere come with the next start.
            let Some(known) = known.filter(|known| known.to_stored() != text) else {
                continue;
            };
            let Some(meant) = self.meant(&known.name) else {
                continue;
            };
            let stored = Server::from_stored(&text, meant.manifest.clone());
            let mut server = stored.map_err(|error| KeeperError::Stored(key, error))?;
            let approved = server.items.values().filter_map(|item| item.approved.as_ref());
            self.judged().extend(approved.map(Definition::pin));
            let _ = server.configure(meant.launch, meant.manifest);
            self.place(&server);
            self.lock().insert(server.name.clone(), server);
            changed = true;
        }
        if changed {
            self.publish();
        }
        Ok(())
    }
}
