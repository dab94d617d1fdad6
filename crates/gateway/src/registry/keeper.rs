//! The keeper of the registry: the one place where it changes.
//!
//! Servers are seen, compared with what was approved, judged, and only then shown. Every change is in the
//! ledger and in the store before anybody is told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use inspect::Inspector;
use policy::registry::{
    Change, ChangeKind, Definition, Item, ItemKind, ItemState, Manifest, OnNew, Pin, Registry, Server,
    ServerState, TransitionError,
};
use thiserror::Error;
use tokio::sync::watch;
use upstream::{Catalogue, LinkError, Upstreams};
use wire::mcp::{Eras, ServerName};

use self::judge::compile;
use crate::{
    ambient::Ambient,
    config::{said::Approve, servers::MeantServer},
    evidence::journal::Journal,
    operate::halts::Halts,
    registry::{
        supply::{Refused, Shelf},
        view::{Schemas, View},
    },
    storage::store::{Exchanged, Store, StoreError},
};

/// The store's table.
const TABLE: &str = "servers";
/// For how long a server counts as one of sessions alone without being asked again.
const ASK_AGAIN_MS: i64 = 24 * 60 * 60 * 1000;
/// Between two looks at a server that keeps saying it changed.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Held through every change, from the look at what is to what everybody sees: of two changes at once,
    /// neither may take the other back.
    changing: Mutex<()>,
    servers: Mutex<BTreeMap<ServerName, Server>>,
    seen: Mutex<BTreeMap<ServerName, Arc<Catalogue>>>,
    compiled: Mutex<HashMap<Pin, Arc<Schemas>>>,
    /// Definitions that inspection had nothing against, or that a person approved all the same.
    judged: Mutex<HashSet<Pin>>,
    /// Definitions that came in with their server since the start, and that no person has looked at one by
    /// one: they are judged again beside every server that comes later.
    fresh: Mutex<HashSet<Pin>>,
    view: RwLock<Arc<View>>,
    changed: watch::Sender<u64>,
    /// Servers that are being looked at because they said they changed, and whether they said so again.
    looking: Mutex<HashMap<ServerName, bool>>,
    /// Servers that said they changed, and whether they were looked at since.
    heeded: Mutex<HashMap<ServerName, bool>>,
    /// Servers whose boxes write down what they ask for.
    learning: Mutex<HashSet<ServerName>>,
    /// Processes that crashed a short while ago.
    crashes: Mutex<BTreeMap<ServerName, Vec<crashes::Crash>>>,
    upstreams: Arc<Upstreams>,
    specs: RwLock<BTreeMap<ServerName, MeantServer>>,
    shelf: Shelf,
    inspector: Inspector,
    store: Store,
    journal: Journal,
    ambient: Ambient,
    halts: Halts,
}

/// Why the keeper cannot do something.
#[derive(Debug, Error)]
pub(crate) enum KeeperError {
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored cannot be used.
    #[error("server `{0}`: {1}")]
    Stored(String, policy::registry::StoredError),
    /// The step is not possible from this state.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// No such server.
    #[error("there is no server `{0}`; see `sallyport server list`")]
    Unknown(String),
    /// What it would start cannot be pinned.
    #[error("`{0}`: {1}")]
    Unpinned(String, Refused),
    /// There is no such version to go back to.
    #[error("`{0}`: {1}")]
    Version(String, String),
    /// It is stopped.
    #[error("{0} is stopped: {1}; see `sallyport stop --list`")]
    Halted(String, String),
    /// There is nothing to learn of it.
    #[error("`{0}` {1}")]
    Unlearnable(String, &'static str),
    /// The server cannot be reached.
    #[error("`{0}`: {1}")]
    Unreachable(String, LinkError),
}

impl Keeper {
    /// Takes over what is stored and what is configured. Nothing is started.
    pub(crate) fn new(
        upstreams: Arc<Upstreams>,
        inspector: Inspector,
        store: Store,
        shelf: Shelf,
        journal: Journal,
        ambient: Ambient,
        halts: Halts,
    ) -> Self {
        Self {
            changing: Mutex::default(),
            servers: Mutex::default(),
            seen: Mutex::default(),
            compiled: Mutex::default(),
            judged: Mutex::default(),
            fresh: Mutex::default(),
            view: RwLock::default(),
            changed: watch::channel(0).0,
            looking: Mutex::default(),
            heeded: Mutex::default(),
            learning: Mutex::default(),
            crashes: Mutex::default(),
            upstreams,
            specs: RwLock::default(),
            shelf,
            inspector,
            store,
            journal,
            ambient,
            halts,
        }
    }

    /// Takes over the configured servers: their stored states and pins, and what configuration says now.
    pub(crate) fn configure(&self, configured: &[MeantServer], approve: Approve) -> Result<(), KeeperError> {
        let _alone = self.alone();
        let stored: BTreeMap<String, Vec<u8>> = self.store.list(TABLE)?.into_iter().collect();
        for meant in configured {
            let name = &meant.spec.name;
            let (server, changes) = match stored.get(name.as_str()) {
                Some(text) => {
                    let mut server = Server::from_stored(text, meant.manifest.clone())
                        .map_err(|error| KeeperError::Stored(name.to_string(), error))?;
                    // What is held is judged again before it is restored.
                    let served = server
                        .items
                        .values()
                        .filter(|item| item.state == ItemState::Approved);
                    let served = served.filter_map(|item| item.approved.as_ref());
                    self.judged().extend(served.map(Definition::pin));
                    let change = server.configure(meant.launch.clone(), meant.manifest.clone());
                    (server, change.into_iter().collect::<Vec<_>>())
                }
                None => {
                    let mut server =
                        Server::proposed(name.clone(), meant.launch.clone(), meant.manifest.clone());
                    let change = match approve {
                        Approve::All => {
                            self.shelf.await_first(name)?;
                            Some(server.approve()?)
                        }
                        Approve::Ask => None,
                    };
                    (server, change.into_iter().collect())
                }
            };
            self.specs
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name.clone(), meant.clone());
            self.keep(server, &changes, "configuration")?;
        }
        self.remember_retired(&stored)?;
        self.publish();
        Ok(())
    }

    /// Servers that are gone for good stay known, also where configuration knows them no more.
    fn remember_retired(&self, stored: &BTreeMap<String, Vec<u8>>) -> Result<(), KeeperError> {
        for (name, text) in stored {
            let server = Server::from_stored(text, Manifest::unknown())
                .map_err(|error| KeeperError::Stored(name.clone(), error))?;
            if server.state == ServerState::Retired {
                self.lock().entry(server.name.clone()).or_insert(server);
            }
        }
        Ok(())
    }

    /// The registry as calls see it.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts up whenever the view changes.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Says that what callers may see has changed for another reason.
    pub(crate) fn announce(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// What configuration says of a server.
    pub(crate) fn meant(&self, name: &ServerName) -> Option<MeantServer> {
        let specs = self.specs.read().unwrap_or_else(PoisonError::into_inner);
        specs.get(name).cloned()
    }

    /// One server, whatever its state.
    pub(crate) fn server(&self, name: &str) -> Result<Server, KeeperError> {
        let known = ServerName::parse(name)
            .ok()
            .and_then(|name| self.lock().get(&name).cloned());
        known.ok_or_else(|| KeeperError::Unknown(name.to_owned()))
    }

    /// Looks at a server: what it offers is compared, judged and shown.
    pub(crate) async fn refresh(&self, name: &ServerName) -> Result<Vec<Change>, KeeperError> {
        let server = self.server(name.as_str())?;
        if !server.may_start() {
            return Ok(Vec::new());
        }
        let seen = tokio::select! {
            biased;
            halt = self.halts.server_reached(name) => {
                return Err(KeeperError::Halted(halt.target.to_string(), halt.why));
            }
            seen = self.upstreams.catalogue(name) => seen,
        };
        let catalogue = seen.map_err(|error| KeeperError::Unreachable(name.to_string(), error))?;
        self.take_in(name, Arc::new(catalogue), true)
    }

    /// A server says that what it offers changed: it is looked at, and clients hear of it after that. However
    /// often it says so, one look runs at a time, and one more follows.
    pub(crate) fn look_again(self: &Arc<Self>, name: &ServerName) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(again) = looking.get_mut(name) {
            *again = true;
            return;
        }
        looking.insert(name.clone(), false);
        drop(looking);
        let (keeper, name) = (Arc::clone(self), name.clone());
        tokio::spawn(async move {
            loop {
                match keeper.refresh(&name).await {
                    Ok(_) => keeper.pass_on(&name),
                    Err(error) => {
                        tracing::warn!(server = %name, %error, "its lists changed and cannot be looked at");
                    }
                }
                if !keeper.said_again(&name) {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
    }

    /// A server says that it changed: it is looked at, and then its word is passed on to whom it is shown, whether or
    /// not anything of what they are shown is new. It may know of a change that is none to us.
    pub(crate) fn heed(self: &Arc<Self>, name: &ServerName) {
        let mut heeded = self.heeded.lock().unwrap_or_else(PoisonError::into_inner);
        heeded.insert(name.clone(), false);
        drop(heeded);
        self.look_again(name);
    }

    fn pass_on(&self, name: &ServerName) {
        let mut heeded = self.heeded.lock().unwrap_or_else(PoisonError::into_inner);
        let said = heeded.get_mut(name).map(|looked| *looked = true).is_some();
        drop(heeded);
        if said {
            self.announce();
        }
    }

    /// Servers that said they changed and were looked at, each once.
    pub(crate) fn changed_by_their_word(&self) -> BTreeSet<String> {
        let mut heeded = self.heeded.lock().unwrap_or_else(PoisonError::into_inner);
        let told = heeded.extract_if(|_, looked| *looked);
        told.map(|(name, _)| name.to_string()).collect()
    }

    /// Whether a server that is being looked at said again that it changed; if not, the looking ends.
    fn said_again(&self, name: &ServerName) -> bool {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let again = looking.get_mut(name).is_some_and(std::mem::take);
        if !again {
            looking.remove(name);
        }
        again
    }

    /// Takes in what a server was seen to offer.
    pub(crate) fn take_in(
        &self,
        name: &ServerName,
        catalogue: Arc<Catalogue>,
        whole: bool,
    ) -> Result<Vec<Change>, KeeperError> {
        let _alone = self.alone();
        let mut server = self.server(name.as_str())?;
        // What is offered at the first look after a person approved the server is approved with it.
        let first = server.revision.is_none();
        let on_new = if first && whole {
            OnNew::Approve
        } else {
            OnNew::Propose
        };
        let asked = server.eras.is_some();
        let mut changes = server.observe(catalogue.offer(), on_new);
        if asked && server.eras.is_none() {
            self.upstreams.ask_eras_again(name);
        }
        changes.extend(self.judge(&mut server));
        self.beside(&server)?;
        if whole {
            server.revision = Some((catalogue.offered.revision, self.ambient.now_ms()));
            self.seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name.clone(), catalogue);
        }
        for change in &changes {
            // What was never approved changed nothing.
            if change.kind == ChangeKind::Quarantined && change.approved.is_some() {
                let what = change.item.as_ref().map_or("", |(_, name)| name.as_str());
                let what = format!("`{what}` is not what was approved");
                self.journal.tampering(name.as_str(), &what, None);
            }
        }
        self.keep(server, &changes, "observed")?;
        self.publish();
        Ok(changes)
    }

    /// A server was found to speak these eras. Kept, so that it is not asked at every start.
    pub(crate) fn speaks(&self, name: &ServerName, eras: Eras) -> Result<(), KeeperError> {
        let _alone = self.alone();
        let mut server = self.server(name.as_str())?;
        server.eras = Some((eras, self.ambient.now_ms()));
        self.store_server(&server)?;
        self.lock().insert(name.clone(), server);
        Ok(())
    }

    /// What need not be asked again. A server that was wrongly taken for one of sessions alone still serves, so
    /// nothing else would ever show the error.
    fn eras_of(&self, server: &Server) -> Option<Eras> {
        let (eras, asked_ms) = server.eras?;
        let is_stale = eras == Eras::Sessions && self.ambient.now_ms() - asked_ms > ASK_AGAIN_MS;
        (!is_stale).then_some(eras)
    }

    /// A person approves all that is offered without having looked at each: inspection judges it as at a first look, and what
    /// it objects to stays held.
    pub(crate) fn approve_offered(&self, name: &str) -> Result<Vec<Change>, KeeperError> {
        let _alone = self.alone();
        let mut server = self.server(name)?;
        let offered = server.items.iter().filter(|(_, item)| item.offered.is_some());
        let offered: Vec<_> = offered.map(|(key, _)| key.clone()).collect();
        let approved = offered
            .iter()
            .filter_map(|(kind, item)| server.approve_item(*kind, item).ok());
        let mut changes: Vec<_> = approved.collect();
        changes.extend(self.judge(&mut server));
        self.beside(&server)?;
        self.keep(server, &changes, "approved by a person")?;
        self.publish();
        Ok(changes)
    }

    /// A person approves a server, or one of its tools or prompts.
    pub(crate) fn approve(&self, name: &str, item: Option<&str>) -> Result<Vec<Change>, KeeperError> {
        let _alone = self.alone();
        let mut server = self.server(name)?;
        let changes = match item {
            None => vec![server.approve()?],
            Some(item) => {
                let change = server.approve_item(kind_of(&server, item)?, item)?;
                // The person has seen what inspection says, and decided.
                self.judged().extend(change.approved);
                let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
                change.approved.iter().for_each(|pin| {
                    fresh.remove(pin);
                });
                vec![change]
            }
        };
        self.keep(server, &changes, "approved by a person")?;
        self.publish();
        Ok(changes)
    }

    /// Holds a server, or one of its tools or prompts, back.
    pub(crate) fn quarantine(
        &self,
        name: &str,
        item: Option<&str>,
        why: &str,
    ) -> Result<Change, KeeperError> {
        let _alone = self.alone();
        let mut server = self.server(name)?;
        let change = match item {
            None => server.quarantine(why.to_owned())?,
            Some(item) => server.quarantine_item(kind_of(&server, item)?, item, why.to_owned())?,
        };
        self.keep(server, std::slice::from_ref(&change), why)?;
        self.publish();
        Ok(change)
    }

    /// Ends a server for good.
    pub(crate) fn retire(&self, name: &str) -> Result<(), KeeperError> {
        let _alone = self.alone();
        let mut server = self.server(name)?;
        server.retire();
        self.upstreams.remove(&server.name);
        self.journal
            .registry(&server.name, None, "retired", "retired by a person", None, None);
        self.store_server(&server)?;
        // Its entry stays, so that nobody takes its name; what it was given and made of does not.
        self.store.delete(versions::TABLE, server.name.as_str())?;
        self.shelf.forget(&server.name)?;
        self.lock().insert(server.name.clone(), server);
        self.publish();
        Ok(())
    }

    fn judged(&self) -> std::sync::MutexGuard<'_, HashSet<Pin>> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores and records a server's new state, and has it placed or taken out of service.
    fn keep(&self, server: Server, changes: &[Change], why: &str) -> Result<(), KeeperError> {
        for change in changes {
            let item = change.item.as_ref().map(|(_, name)| name.as_str());
            let reason = reason(&server, change).unwrap_or_else(|| why.to_owned());
            let (approved, offered) = (change.approved, change.offered);
            self.journal.registry(
                &server.name,
                item,
                change.kind.as_str(),
                &reason,
                approved,
                offered,
            );
        }
        self.store_server(&server)?;
        self.note_version(&server)?;
        self.place(&server);
        self.lock().insert(server.name.clone(), server);
        Ok(())
    }

    /// Has a server placed that may run, and any other taken out of service.
    fn place(&self, server: &Server) {
        if !server.may_start() || self.halts.server(&server.name).is_some() {
            return self.upstreams.remove(&server.name);
        }
        let specs = self.specs.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meant) = specs.get(&server.name) {
            self.upstreams
                .place(self.started(&meant.spec), self.eras_of(server));
        }
    }

    /// Something was stopped, or lifted: what may not be spoken to is out of service, and nobody sees it.
    pub(crate) fn heed_halts(&self) {
        let _alone = self.alone();
        let servers: Vec<Server> = self.lock().values().cloned().collect();
        servers.iter().for_each(|server| self.place(server));
        self.publish();
    }

    fn store_server(&self, server: &Server) -> Result<(), KeeperError> {
        let new = server.to_stored();
        // Of replicas that change it at once, one does: the other sees it first, and tries again.
        let old = self.lock().get(&server.name).map(Server::to_stored);
        let is_ours = |found: Option<&[u8]>| {
            self.store.server().is_none() || old.is_none() || found == old.as_deref() || found == Some(&new)
        };
        let name = server.name.as_str();
        match self.store.exchange(TABLE, name, is_ours, Some(&new))? {
            Exchanged::Done => Ok(()),
            Exchanged::Otherwise => {
                let why = format!("another replica changed the server `{name}`; try again");
                Err(StoreError::other(why).into())
            }
        }
    }

    /// Makes the changes visible, all at once.
    fn publish(&self) {
        let mut servers: Vec<Server> = self.lock().values().cloned().collect();
        // Held back while it is stopped, and as it was when that is lifted.
        for server in servers.iter_mut().filter(|server| server.may_start()) {
            if let Some(halt) = self.halts.server(&server.name) {
                let why = format!("{} is stopped: {}", halt.target, halt.why);
                server.state = ServerState::Quarantined { why };
            }
        }
        let registry = Registry::new(servers);
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        for pinned in registry.approved(ItemKind::Tool, None) {
            if !compiled.contains_key(&pinned.pin())
                && let Ok(schemas) = compile(pinned.definition())
            {
                compiled.insert(pinned.pin(), Arc::new(schemas));
            }
        }
        let live: std::collections::HashSet<Pin> = registry
            .approved(ItemKind::Tool, None)
            .map(policy::registry::Pinned::pin)
            .collect();
        compiled.retain(|pin, _| live.contains(pin));
        let catalogues = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let view = View::new(registry, catalogues, compiled.clone());
        drop(compiled);
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        self.changed.send_modify(|count| *count += 1);
    }

    fn alone(&self) -> std::sync::MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ServerName, Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kind_of(server: &Server, item: &str) -> Result<ItemKind, TransitionError> {
    [ItemKind::Tool, ItemKind::Prompt, ItemKind::Instructions]
        .into_iter()
        .find(|kind| server.items.contains_key(&(*kind, item.to_owned())))
        .ok_or_else(|| TransitionError::Unknown(item.to_owned()))
}

/// Why something is held back, in the registry's own words.
fn reason(server: &Server, change: &Change) -> Option<String> {
    match &change.item {
        Some(key) => match server.items.get(key).map(|item: &Item| &item.state) {
            Some(ItemState::Quarantined { why }) => Some(why.clone()),
            _ => None,
        },
        None => match &server.state {
            ServerState::Quarantined { why } => Some(why.clone()),
            ServerState::Approved | ServerState::Proposed | ServerState::Retired => None,
        },
    }
}

mod crashes;
mod judge;
mod learn;
mod replicas;
mod start;
#[cfg(test)]
mod tests;
pub(crate) mod versions;
