//! All servers, and the links to them: opened when needed, kept apart by principal, closed when idle.

mod station;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use pipeline::{
    Answer, Capabilities, Objection, Passed, Ready, Resolution,
    decide::{Approved, Resolved},
    forward::Recorded,
    ports::{Caller, Exchange},
    refusal,
};
use station::{Key, Station};
use wire::{
    jsonrpc::Message,
    mcp::{Era, Eras, LogLevel, Method, ServerName, Target, target},
};

use crate::{
    Backchannel, Catalogue, Credentials, Isolation, LinkError, Outgoing, Proof, Protection, Reach,
    ServerSpec, Watcher,
    encode::{self, Encoded},
    eras::Asker,
    http::{Client, Door},
    link::{Head, Link, Wire},
    listing::List,
    sandbox::Room,
    tasks::Making,
    watch::Watches,
};

/// See the module. This is what the production engine behind `pipeline::ports::Upstream` uses.
pub struct Upstreams {
    stations: RwLock<HashMap<ServerName, Arc<Station>>>,
    backchannel: Arc<dyn Backchannel>,
    credentials: Arc<dyn Credentials>,
    client: Client,
    room: Room,
}

/// How a server is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Health {
    /// Open links.
    pub links: usize,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure.
    pub last_error: Option<String>,
    /// The end of what it wrote to its error stream, where it is a process.
    pub stderr: String,
}

impl Upstreams {
    /// No servers yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        backchannel: Arc<dyn Backchannel>,
        credentials: Arc<dyn Credentials>,
        room: Room,
    ) -> Result<Self, LinkError> {
        Ok(Self {
            stations: RwLock::default(),
            backchannel,
            credentials,
            client: Client::new(&Protection::default())?,
            room,
        })
    }

    /// Takes a server in, or anew when its specification changed, with what is known of its eras. Starts nothing.
    pub fn place(&self, spec: ServerSpec, eras: Option<Eras>) {
        let mut stations = self.stations.write().unwrap_or_else(PoisonError::into_inner);
        if stations
            .get(&spec.name)
            .is_some_and(|station| station.spec == spec)
        {
            return;
        }
        let name = spec.name.clone();
        let station = Station::new(spec, eras);
        if let Some(old) = stations.insert(name, Arc::new(station)) {
            old.close("its configuration changed");
        }
    }

    /// What is around the boxes of servers.
    #[must_use]
    pub const fn room(&self) -> &Room {
        &self.room
    }

    /// Takes a server out and ends its links.
    pub fn remove(&self, name: &ServerName) {
        let removed = self
            .stations
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        if let Some(station) = removed {
            station.close("it was taken out of service");
        }
    }

    /// What a server offers, over the gateway's own link.
    ///
    /// # Errors
    /// When it cannot be reached or does not say.
    pub async fn catalogue(&self, name: &ServerName) -> Result<Catalogue, LinkError> {
        Catalogue::fetch(&*self.own_link(name).await?).await
    }

    /// The gateway's own link to a server.
    pub(crate) async fn own_link(&self, name: &ServerName) -> Result<Arc<Link>, LinkError> {
        let station = self.station(name)?;
        // A process that runs anyway need not be joined by another to find out more.
        let wanted = match &station.spec.reach {
            Reach::Http(_) | Reach::Rest(_) => Era::Modern,
            Reach::Sse(_) | Reach::Stdio(_) | Reach::Unix(_) | Reach::WebSocket(_) => Era::Legacy,
        };
        let key = |era| Key {
            owner: None,
            session: None,
            capabilities: None,
            era,
        };
        self.open(&station, wanted, key, (None, &Capabilities::default()))
            .await
    }

    /// A server is another one now, and may speak other eras.
    pub fn ask_eras_again(&self, name: &ServerName) {
        if let Ok(station) = self.station(name) {
            station.eras.forget();
        }
    }

    /// How a server is doing.
    #[must_use]
    pub fn health(&self, name: &ServerName) -> Option<Health> {
        let station = self.station(name).ok()?;
        let links: Vec<_> = station.open_links();
        let trouble = station.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = links.iter().find_map(|link| match &link.wire {
            Wire::Pipe(pipe) => Some(pipe.stderr()),
            Wire::Http(_) | Wire::Rest(_) => None,
        });
        Some(Health {
            links: links.len(),
            failures: trouble.failures,
            last_error: trouble.last_error.clone(),
            stderr: stderr.unwrap_or_else(|| trouble.stderr.clone()),
        })
    }

    /// Closes links that have been idle, forgets closed ones, and has servers watch again what they no longer do
    /// because a process died or a stream was cut off. Call it every few seconds.
    pub fn sweep(self: &Arc<Self>) {
        for station in self.all() {
            for (key, seat) in station.sweep() {
                let (all, station) = (Arc::clone(self), Arc::clone(&station));
                tokio::spawn(async move { station.revive(&key, &seat, &all).await });
            }
        }
    }

    /// Ends the links that belong to a session, and what it watches over others.
    pub fn end_session(&self, session: &str) {
        for station in self.all() {
            station.drop_links(
                |key| key.session.as_deref() == Some(session),
                "its session has ended",
            );
        }
        self.end_watches(session);
    }

    /// Ends one of the things a watcher watches.
    pub fn end_watch(&self, watcher: &str, uri: &str) {
        self.unwatch(|watches| {
            let was_last = watches.remove(uri, watcher);
            was_last.then(|| uri.to_owned()).into_iter().collect()
        });
    }

    /// Ends all that a watcher watches.
    pub fn end_watches(&self, watcher: &str) {
        self.unwatch(|watches| watches.release(watcher));
    }

    /// Takes watchers from what they watch, over every link; servers are told of what nobody watches any more.
    fn unwatch(&self, taken: impl Fn(&Watches) -> Vec<String>) {
        for station in self.all() {
            station.each_link(|link| {
                let left = taken(&link.inbox.watches);
                if !left.is_empty() && link.closed().is_none() {
                    let link = Arc::clone(link);
                    tokio::spawn(async move { link.unwatch(left).await });
                }
            });
        }
    }

    /// Ends every link, and waits until the processes are gone or had their time.
    pub async fn shut_down(&self) {
        let stations = self.all();
        self.stations
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        for station in &stations {
            station.close("the gateway stops");
        }
        // Children have two seconds after their input closed and two after SIGTERM.
        for _ in 0..50 {
            if stations.iter().all(|station| station.open_links().is_empty()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn all(&self) -> Vec<Arc<Station>> {
        self.stations
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    fn station(&self, name: &ServerName) -> Result<Arc<Station>, LinkError> {
        let stations = self.stations.read().unwrap_or_else(PoisonError::into_inner);
        let station = stations.get(name).cloned();
        station.ok_or_else(|| LinkError::Unreachable(format!("`{name}` is not in service")))
    }

    /// The link for a call: the principal's own, unless the operator says the server keeps nothing.
    async fn link_for(
        &self,
        call: &Ready<Resolved>,
        resolution: &Resolution,
    ) -> Result<Arc<Link>, LinkError> {
        let name = resolution.server_name().ok_or(LinkError::Absent("a server"))?;
        let station = self.station(name)?;
        let arrival = call.arrival();
        let principal = call.principal().key();
        let key = |era| station.key(arrival, principal.clone(), era);
        // What nearly every call finds, without what it takes to open one.
        if let Some(era) = station.eras.settled(arrival.revision.era())
            && let Some(link) = station.standing(&key(era))
        {
            return Ok(link);
        }
        let caller = match station.spec.isolation {
            Isolation::Principal => Some(call.caller()),
            Isolation::Shared => None,
        };
        let party = (caller, &arrival.capabilities);
        // In a box: it is rare, and would make every call's future as large as its own.
        Box::pin(self.open(&station, arrival.revision.era(), key, party)).await
    }

    /// The link for a key, in the wanted era if the server speaks it.
    async fn open(
        &self,
        station: &Station,
        wanted: Era,
        key: impl Fn(Era) -> Key,
        (caller, capabilities): (Option<&Caller>, &Capabilities),
    ) -> Result<Arc<Link>, LinkError> {
        let door = self.door(station, caller)?;
        let ask = Asker {
            spec: &station.spec,
            door: &door,
            room: &self.room,
            backchannel: &self.backchannel,
        };
        // A server that is left alone for a while is not asked for its era either; links that stand go on.
        let may_ask = station.may_try().is_ok();
        let era = station.eras.speak(wanted, may_ask.then_some(ask)).await;
        let open = |era| station.link(key(era), capabilities, &door, self);
        match open(era).await {
            Err(error) if may_ask => match station.eras.other(era, &error, ask).await {
                Some(other) => {
                    station.succeeded();
                    open(other).await
                }
                None => Err(error),
            },
            link => link,
        }
    }
}

impl Upstreams {
    /// The way to a server for a caller, or for the gateway itself.
    fn door(&self, station: &Station, caller: Option<&Caller>) -> Result<Door, LinkError> {
        let proof = station
            .spec
            .reach
            .http()
            .map_or(Proof::None, |target| target.proof);
        let credentials = match proof {
            Proof::Asked => Some(Arc::clone(&self.credentials)),
            Proof::None => None,
        };
        let client = station.client(&self.client)?.clone();
        Ok(Door::new(
            client,
            station.spec.name.clone(),
            caller.cloned(),
            credentials,
        ))
    }
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.all().iter().map(|station| &station.spec.name))
            .finish()
    }
}

impl Upstreams {
    /// Asks the server whether the tool or prompt is still the pinned one.
    ///
    /// # Errors
    /// When it changed, or the server cannot say.
    pub async fn confirm(&self, call: &Passed<Approved>) -> Result<(), Objection> {
        let Resolution::Item { item, .. } = call.resolution() else {
            return Ok(());
        };
        let link = self.link_for(call, call.resolution()).await?;
        let list = match target(&call.arrival().message) {
            Ok(Target::Prompt { .. }) => List::Prompts,
            Ok(_) | Err(_) => List::Tools,
        };
        let items = link.items(list).await?;
        if items.pin(item.name()) == Some(item.pin()) {
            return Ok(());
        }
        let catalogue = Catalogue::with(link.offered.clone(), list, &items);
        self.backchannel.listed(item.server(), Arc::new(catalogue));
        let why = format!(
            "`{}` of `{}` is not what was approved as {}",
            item.name(),
            item.server(),
            item.pin()
        );
        Err(Objection::new(&refusal::TARGET_CHANGED, why))
    }

    /// Begins or ends a subscription to a resource. Changes are told to the watcher and nobody else.
    ///
    /// # Errors
    /// When the server cannot be reached, or has no subscriptions.
    pub async fn subscribe(
        &self,
        call: &Passed<Recorded>,
        method: Method,
        watcher: Watcher,
    ) -> Result<Answer, Objection> {
        let link = self.link_for(call, call.resolution()).await?;
        link.heed(call, method, watcher).await
    }

    /// Makes a recorded call ready to be sent. Note the type: nothing less than a recorded call is. What the
    /// server says while it runs goes to `exchange`; `log_level` is what a session wants of its log.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn prepare(
        &self,
        call: &Passed<Recorded>,
        exchange: Arc<dyn Exchange>,
        log_level: Option<LogLevel>,
    ) -> Result<Outgoing, Objection> {
        let link = self.link_for(call, call.resolution()).await?;
        let message = &call.arrival().message;
        let Some(method) = message.method() else {
            return Err(LinkError::Absent("answers to nothing").into());
        };
        let making = Making::of(call, method, &link);
        Ok(Outgoing {
            method,
            client: call.arrival().revision.era(),
            making,
            head: Head {
                method: method.name(),
                name: encode::mirrored_name(call),
                params: encode::mirrored_params(call),
                dossier: Some(Arc::clone(call.dossier())),
            },
            encoded: Encoded::of(
                call,
                (method, making),
                (link.revision, &link.extensions),
                log_level,
            ),
            exchange,
            token: encode::progress_token(call.arrival()).map(Arc::from),
            wants_answer: matches!(message, Message::Request(_)),
            backchannel: Arc::clone(&self.backchannel),
            link,
        })
    }
}
