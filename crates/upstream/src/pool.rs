//! All servers, and the links to them: opened when needed, kept apart by principal, closed when idle.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use pipeline::{
    Answer, Arrival, Capabilities, Objection, Passed, Ready, Resolution,
    decide::{Approved, Resolved},
    forward::Recorded,
    ports::{Caller, Exchange},
    refusal,
};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use wire::{
    json::canonical,
    jsonrpc::Message,
    mcp::{Era, Eras, LogLevel, Method, ServerName, Target, target},
};

use crate::{
    Backchannel, Catalogue, Credentials, Isolation, LinkError, Outgoing, Proof, Protection, Reach,
    ServerSpec, Watcher,
    dial::dial,
    encode::{self, Encoded},
    eras::{Asker, Known},
    handshake,
    http::{Client, Door},
    inbox::Inbox,
    link::{Head, Link, Wire},
    listing::List,
    sandbox::Room,
    tasks::Making,
};

/// Most links to one server. Beyond it, the link that was idle longest is closed.
const LINKS_MAX: usize = 256;
/// The same where a link is no process.
const LINKS_MAX_HTTP: usize = 4_096;
/// The longest wait before a server that keeps failing is tried again.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

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

#[derive(Debug)]
struct Station {
    spec: ServerSpec,
    /// Where its TLS must be special.
    client: Option<Result<Client, LinkError>>,
    links: Mutex<HashMap<Key, Arc<Seat>>>,
    trouble: Mutex<Trouble>,
    eras: Known,
}

/// Whose link it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    owner: Option<Arc<str>>,
    session: Option<Arc<str>>,
    capabilities: Option<Vec<u8>>,
    era: Era,
}

/// The place of one link: one caller opens it, the others wait for it.
#[derive(Debug, Default)]
struct Seat {
    link: AsyncMutex<Option<Arc<Link>>>,
    shown: Mutex<Option<Arc<Link>>>,
}

#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    not_before: Option<Instant>,
    last_error: Option<String>,
    stderr: String,
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
        let station = Station {
            client: special(&spec.reach),
            spec,
            links: Mutex::default(),
            trouble: Mutex::default(),
            eras: Known::new(eras),
        };
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
        let station = self.station(name)?;
        // A process that runs anyway need not be joined by another to find out more.
        let wanted = match &station.spec.reach {
            Reach::Http(_) => Era::Modern,
            Reach::Sse(_) | Reach::Stdio(_) | Reach::Unix(_) | Reach::WebSocket(_) => Era::Legacy,
        };
        let key = |era| Key {
            owner: None,
            session: None,
            capabilities: None,
            era,
        };
        let link = self
            .open(&station, wanted, key, (None, &Capabilities::default()))
            .await?;
        Catalogue::fetch(&link).await
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
            Wire::Http(_) => None,
        });
        Some(Health {
            links: links.len(),
            failures: trouble.failures,
            last_error: trouble.last_error.clone(),
            stderr: stderr.unwrap_or_else(|| trouble.stderr.clone()),
        })
    }

    /// Closes links that have been idle, and forgets closed ones. Call it every few seconds.
    pub fn sweep(&self) {
        for station in self.all() {
            station.sweep();
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
        for link in self.all().iter().flat_map(|station| station.open_links()) {
            if !link.inbox.watches.is_empty() {
                let (watcher, uri) = (watcher.to_owned(), uri.to_owned());
                tokio::spawn(async move { link.release_one(&watcher, &uri).await });
            }
        }
    }

    /// Ends all that a watcher watches.
    pub fn end_watches(&self, watcher: &str) {
        for link in self.all().iter().flat_map(|station| station.open_links()) {
            if !link.inbox.watches.is_empty() {
                let watcher = watcher.to_owned();
                tokio::spawn(async move { link.release(&watcher).await });
            }
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
        let caller = match station.spec.isolation {
            Isolation::Principal => Some(call.caller()),
            Isolation::Shared => None,
        };
        let party = (caller, &arrival.capabilities);
        self.open(&station, arrival.revision.era(), key, party).await
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
        let proof = match &station.spec.reach {
            Reach::Http(target) | Reach::Sse(target) | Reach::WebSocket(target) => target.proof,
            Reach::Stdio(_) | Reach::Unix(_) => Proof::None,
        };
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

impl Station {
    fn key(&self, arrival: &Arrival, principal: String, era: Era) -> Key {
        let owner = match self.spec.isolation {
            Isolation::Principal => Some(Arc::from(principal)),
            Isolation::Shared => Some(Arc::from("shared")),
        };
        let capabilities = arrival
            .capabilities
            .document()
            .map(|document| canonical(document.root()));
        match (&self.spec.reach, era) {
            // In the modern era every request stands alone.
            (_, Era::Modern) => Key {
                owner,
                session: None,
                capabilities: None,
                era,
            },
            // An upstream session costs one request, so each session here has its own there.
            (Reach::Http(_), Era::Legacy) => Key {
                owner,
                session: arrival.session.clone(),
                capabilities,
                era,
            },
            (Reach::Sse(_) | Reach::Stdio(_) | Reach::Unix(_) | Reach::WebSocket(_), Era::Legacy) => Key {
                owner,
                session: None,
                capabilities,
                era,
            },
        }
    }

    /// The HTTP client for this server.
    fn client<'c>(&'c self, shared: &'c Client) -> Result<&'c Client, LinkError> {
        match &self.client {
            None => Ok(shared),
            Some(own) => own.as_ref().map_err(Clone::clone),
        }
    }

    /// The link for a key, opened if there is none.
    async fn link(
        &self,
        key: Key,
        capabilities: &Capabilities,
        door: &Door,
        all: &Upstreams,
    ) -> Result<Arc<Link>, LinkError> {
        let seat = self.seat(&key)?;
        let mut held = seat.link.lock().await;
        if let Some(link) = held.as_ref().filter(|link| link.closed().is_none()) {
            return Ok(Arc::clone(link));
        }
        if let Some(gone) = held.take() {
            self.remember_end(&gone);
        }
        self.may_try()?;
        // In a box: opening is rare, and would make every call's future as large as its own.
        match Box::pin(self.open(&key, capabilities, door, all)).await {
            Ok(link) => {
                let link = Arc::new(link);
                *held = Some(Arc::clone(&link));
                *seat.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&link));
                self.succeeded();
                Ok(link)
            }
            Err(error) => {
                // Whom a server does not let in says nothing to those whom it does; nor does a process that was
                // started with what is the caller's own.
                let has_own = matches!(&self.spec.reach, Reach::Stdio(command) if !command.vault.is_empty());
                let is_theirs = error.is_of_the_caller() || (has_own && key.owner.is_some());
                if !is_theirs {
                    self.failed(&error);
                }
                Err(error)
            }
        }
    }

    async fn open(
        &self,
        key: &Key,
        capabilities: &Capabilities,
        door: &Door,
        all: &Upstreams,
    ) -> Result<Link, LinkError> {
        let inbox = Arc::new(Inbox::new(
            self.spec.name.clone(),
            key.owner.clone(),
            Arc::clone(&all.backchannel),
        ));
        let timeouts = self.spec.timeouts;
        let wire = dial(&self.spec, door, &all.room, &inbox).await?;
        let offered = match key.era {
            Era::Legacy => {
                let declared = (capabilities, &self.spec.extensions);
                handshake::initialize(&wire, &inbox, declared, timeouts.start).await
            }
            Era::Modern => handshake::discover(&wire, &inbox, timeouts.start).await,
        };
        let offered = match offered {
            Ok(offered) => offered,
            Err(error) => return Err(self.with_stderr(&wire, error)),
        };
        // Principals' links hear nothing that belongs to no call, so the gateway's own is enough.
        let subscribes = key.era == Era::Modern && key.owner.is_none();
        let subscription = || handshake::subscription(inbox.pending.reserve(), &offered);
        match &wire {
            Wire::Http(endpoint) if key.era == Era::Legacy => endpoint.listen(Arc::clone(&inbox)).await,
            Wire::Http(endpoint) if subscribes => endpoint.subscribe(Arc::clone(&inbox), subscription()),
            Wire::Pipe(pipe) if subscribes => pipe.send(subscription()).await?,
            Wire::Http(_) | Wire::Pipe(_) => {}
        }
        Ok(Link::new(inbox, wire, offered, &self.spec))
    }

    /// A process that dies in its handshake usually says why on its error stream.
    fn with_stderr(&self, wire: &Wire, error: LinkError) -> LinkError {
        let Wire::Pipe(pipe) = wire else { return error };
        let stderr = pipe.stderr();
        pipe.close("the handshake failed");
        let last = stderr
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        let last: String = last.chars().take(200).flat_map(char::escape_debug).collect();
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).stderr = stderr;
        let said = if last.is_empty() {
            String::new()
        } else {
            format!("; it said: {last}")
        };
        LinkError::Unreachable(format!("{error}{said}"))
    }

    fn seat(&self, key: &Key) -> Result<Arc<Seat>, LinkError> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let most = match &self.spec.reach {
            Reach::Http(_) => LINKS_MAX_HTTP,
            Reach::Sse(_) | Reach::Stdio(_) | Reach::Unix(_) | Reach::WebSocket(_) => LINKS_MAX,
        };
        if !links.contains_key(key) && links.len() >= most {
            let idlest = links
                .iter()
                .filter_map(|(key, seat)| Some((seat.open()?.idle()?, key.clone())))
                .max_by_key(|(idle, _)| *idle);
            // What is used or watches something is not taken from anybody.
            let Some((_, key)) = idlest else {
                let why = format!("{most} connections to it are in use");
                return Err(LinkError::Unreachable(why));
            };
            if let Some(link) = links.remove(&key).and_then(|seat| seat.open()) {
                link.close("others needed its place");
            }
        }
        Ok(Arc::clone(links.entry(key.clone()).or_default()))
    }

    /// A server that keeps failing is left alone for a while; callers learn at once that it is down.
    fn may_try(&self) -> Result<(), LinkError> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble.not_before.filter(|at| *at > Instant::now()) {
            None => Ok(()),
            Some(_) => {
                let last = trouble.last_error.as_deref().unwrap_or("it failed");
                let times = trouble.failures;
                Err(LinkError::Unreachable(format!(
                    "{last} ({times} times in a row; it is left alone for a while)"
                )))
            }
        }
    }

    fn succeeded(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        (trouble.failures, trouble.not_before) = (0, None);
    }

    fn failed(&self, error: &LinkError) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.failures = trouble.failures.saturating_add(1);
        let wait = Duration::from_millis(250) * 2_u32.saturating_pow(trouble.failures.min(10));
        trouble.not_before = Some(Instant::now() + wait.min(BACK_OFF_MAX));
        trouble.last_error = Some(error.to_string());
    }

    fn remember_end(&self, link: &Link) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.last_error = link.closed();
        if let Wire::Pipe(pipe) = &link.wire {
            trouble.stderr = pipe.stderr();
        }
    }

    fn open_links(&self) -> Vec<Arc<Link>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.values().filter_map(|seat| seat.open()).collect()
    }

    fn sweep(&self) {
        let idle_max = self.spec.timeouts.idle;
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|key, seat| {
            let Ok(held) = seat.link.try_lock() else {
                return true;
            };
            match held.as_ref() {
                None => Arc::strong_count(seat) > 1,
                Some(link) if link.closed().is_some() => false,
                // The gateway's own link stays: it hears of changes.
                Some(link) if key.owner.is_some() && link.idle().is_some_and(|idle| idle > idle_max) => {
                    link.close("idle");
                    false
                }
                Some(_) => true,
            }
        });
    }

    fn drop_links(&self, which: impl Fn(&Key) -> bool, why: &str) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|key, seat| {
            let goes = which(key);
            if let Some(link) = seat.open().filter(|_| goes) {
                link.close(why);
            }
            !goes
        });
    }

    fn close(&self, why: &str) {
        self.open_links().iter().for_each(|link| link.close(why));
    }
}

impl Seat {
    /// The link, if there is one that is open.
    fn open(&self) -> Option<Arc<Link>> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref().filter(|link| link.closed().is_none()).cloned()
    }
}

/// A client for a server whose TLS must be special.
fn special(reach: &Reach) -> Option<Result<Client, LinkError>> {
    let (Reach::Http(target) | Reach::Sse(target) | Reach::WebSocket(target)) = reach else {
        return None;
    };
    (target.protection != Protection::default()).then(|| Client::new(&target.protection))
}
