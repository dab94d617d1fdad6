//! One server: its links, one seat for each whose link it is, and its trouble: back-off, the last error, what it wrote.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use pipeline::{Arrival, Capabilities};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use wire::{
    json::canonical,
    mcp::{Era, Eras},
};

use super::Upstreams;
use crate::{
    Isolation, LinkError, Protection, Reach, ServerSpec,
    dial::dial,
    eras::Known,
    handshake,
    http::{Client, Door},
    inbox::Inbox,
    link::{Link, Wire},
};

/// Most links to one server. Beyond it, the link that was idle longest is closed.
const LINKS_MAX: usize = 256;
/// The same where a link is no process.
const LINKS_MAX_HTTP: usize = 4_096;
/// The longest wait before a server that keeps failing is tried again.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// How often it is tried to have a server watch again: some minutes.
const TRIES_MAX: u32 = 60;

/// How much of the last line of an error stream is said: a remedy is whole.
const STDERR_CHARS_SAID: usize = 400;

/// See the module.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) spec: ServerSpec,
    /// Where its TLS must be special.
    pub(super) client: Option<Result<Client, LinkError>>,
    pub(super) links: Mutex<HashMap<Key, Arc<Seat>>>,
    pub(super) trouble: Mutex<Trouble>,
    pub(super) eras: Known,
}

/// Whose link it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    pub(super) owner: Option<Arc<str>>,
    pub(super) session: Option<Arc<str>>,
    pub(super) capabilities: Option<Vec<u8>>,
    pub(super) era: Era,
}

/// The place of one link: one caller opens it, the others wait for it.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) link: AsyncMutex<Option<Arc<Link>>>,
    pub(super) shown: Mutex<Option<Arc<Link>>>,
    /// Who opened it, for when it is opened anew without being asked to.
    party: Mutex<Option<(Capabilities, Door)>>,
    /// How often it was tried in vain to have watched again what was watched.
    tries: AtomicU32,
}

/// What went wrong last.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) failures: u32,
    pub(super) not_before: Option<Instant>,
    pub(super) last_error: Option<String>,
    pub(super) stderr: String,
}

impl Station {
    pub(super) fn new(spec: ServerSpec, eras: Option<Eras>) -> Self {
        Self {
            client: special(&spec.reach),
            eras: match &spec.reach {
                Reach::Rest(_) => Known::fixed(),
                Reach::Http(_) | Reach::Sse(_) | Reach::Stdio(_) | Reach::Unix(_) | Reach::WebSocket(_) => {
                    Known::new(eras)
                }
            },
            spec,
            links: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    pub(super) fn key(&self, arrival: &Arrival, principal: String, era: Era) -> Key {
        let owner = match self.spec.isolation {
            Isolation::Principal => Some(Arc::from(principal)),
            Isolation::Shared => Some(Arc::from("shared")),
        };
        let capabilities = || {
            let declared = arrival.capabilities.document();
            declared.map(|document| canonical(document.root()))
        };
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
                capabilities: capabilities(),
                era,
            },
            (
                Reach::Rest(_) | Reach::Sse(_) | Reach::Stdio(_) | Reach::Unix(_) | Reach::WebSocket(_),
                Era::Legacy,
            ) => Key {
                owner,
                session: None,
                capabilities: capabilities(),
                era,
            },
        }
    }

    /// The link of a key, where it stands.
    pub(super) fn standing(&self, key: &Key) -> Option<Arc<Link>> {
        lock(&self.links).get(key)?.open()
    }

    /// The HTTP client for this server.
    pub(super) fn client<'c>(&'c self, shared: &'c Client) -> Result<&'c Client, LinkError> {
        match &self.client {
            None => Ok(shared),
            Some(own) => own.as_ref().map_err(Clone::clone),
        }
    }

    /// The link for a key, opened if there is none.
    pub(super) async fn link(
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
                *lock(&seat.party) = Some((capabilities.clone(), door.clone()));
                if seat.show(&link) {
                    let link = Arc::clone(&link);
                    // Where it fails, the next sweep finds it.
                    tokio::spawn(async move { link.watch_again().await });
                }
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
            (key.owner.clone(), key.session.clone()),
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
            // A service says nothing of its own accord.
            Wire::Http(_) | Wire::Pipe(_) | Wire::Rest(_) => {}
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
        let last: String = last
            .chars()
            .take(STDERR_CHARS_SAID)
            .flat_map(char::escape_debug)
            .collect();
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
            Reach::Http(_) | Reach::Rest(_) => LINKS_MAX_HTTP,
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
    pub(super) fn may_try(&self) -> Result<(), LinkError> {
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

    pub(super) fn succeeded(&self) {
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

    pub(super) fn open_links(&self) -> Vec<Arc<Link>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.values().filter_map(|seat| seat.open()).collect()
    }

    /// Does something with every link there is, closed ones that were not replaced yet among them. No other link takes
    /// the place of one meanwhile.
    pub(super) fn each_link(&self, mut what: impl FnMut(&Arc<Link>)) {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        for seat in links.values() {
            lock(&seat.shown).iter().for_each(&mut what);
        }
    }

    /// Closes idle links and forgets closed ones. Gives those over which something is watched and no longer heard of.
    pub(super) fn sweep(&self) -> Vec<(Key, Arc<Seat>)> {
        let idle_max = self.spec.timeouts.idle;
        let mut unheard = Vec::new();
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|key, seat| {
            let Ok(held) = seat.link.try_lock() else {
                return true;
            };
            match held.as_ref() {
                None => Arc::strong_count(seat) > 1 || seat.is_watched(),
                Some(link) if link.closed().is_some() => seat.is_watched(),
                // The gateway's own link stays: it hears of changes.
                Some(link) if key.owner.is_some() && link.idle().is_some_and(|idle| idle > idle_max) => {
                    link.close("idle");
                    false
                }
                Some(_) => true,
            }
        });
        for (key, seat) in links.iter() {
            if seat.is_unheard() {
                unheard.push((key.clone(), Arc::clone(seat)));
            } else {
                seat.tries.store(0, Ordering::Relaxed);
            }
        }
        unheard
    }

    /// Opens a link anew, or its stream, over which something was watched, unless the server is left alone for now.
    pub(super) async fn revive(&self, key: &Key, seat: &Seat, all: &Upstreams) {
        let party = lock(&seat.party).clone();
        let Some((capabilities, door)) = party else { return };
        // Whoever was taken out of service meanwhile is not started.
        let in_service = || {
            all.station(&self.spec.name)
                .is_ok_and(|now| std::ptr::eq(&*now, self))
        };
        if self.may_try().is_err() || !in_service() {
            return;
        }
        if seat.tries.fetch_add(1, Ordering::Relaxed) >= TRIES_MAX {
            return seat.give_up();
        }
        // Where it fails, the next sweep finds it, and `trouble` what was the matter.
        if let Ok(link) = self.link(key.clone(), &capabilities, &door, all).await {
            if !in_service() {
                return link.close("it was taken out of service");
            }
            let _ = link.watch_again().await;
        }
    }

    pub(super) fn drop_links(&self, which: impl Fn(&Key) -> bool, why: &str) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|key, seat| {
            let goes = which(key);
            if let Some(link) = seat.open().filter(|_| goes) {
                link.close(why);
            }
            !goes
        });
    }

    pub(super) fn close(&self, why: &str) {
        self.open_links().iter().for_each(|link| link.close(why));
    }
}

impl Seat {
    /// The link, if there is one that is open.
    pub(super) fn open(&self) -> Option<Arc<Link>> {
        lock(&self.shown)
            .as_ref()
            .filter(|link| link.closed().is_none())
            .cloned()
    }

    /// Shows a link in the place of the one before. Says whether something was watched over that.
    fn show(&self, link: &Arc<Link>) -> bool {
        let mut shown = lock(&self.shown);
        let before = shown.replace(Arc::clone(link));
        if let Some(before) = before {
            link.inbox.watches.take_over(&before.inbox.watches);
        }
        !link.inbox.watches.is_empty()
    }

    fn is_watched(&self) -> bool {
        let shown = lock(&self.shown);
        shown.as_ref().is_some_and(|link| !link.inbox.watches.is_empty())
    }

    /// Whether something is watched that nothing is heard of.
    fn is_unheard(&self) -> bool {
        let shown = lock(&self.shown);
        shown.as_ref().is_some_and(|link| {
            let watches = &link.inbox.watches;
            !watches.is_empty() && (link.closed().is_some() || watches.are_untold())
        })
    }

    fn give_up(&self) {
        if let Some(link) = &*lock(&self.shown) {
            link.inbox.watches.forget(None);
            link.inbox
                .noise("it cannot be had to watch again; whoever wants to know subscribes anew".to_owned());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client for a server whose TLS must be special.
fn special(reach: &Reach) -> Option<Result<Client, LinkError>> {
    let target = reach.http()?;
    (target.protection != Protection::default()).then(|| Client::new(&target.protection))
}
