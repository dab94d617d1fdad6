//! Sessions of the legacy era: a name for a conversation, bound to whoever opened it.
//!
//! A session id is never a credential. Every message proves its caller anew, and a session answers to
//! nobody but its owner; to others it does not exist.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use identity::Principal;
use pipeline::{Capabilities, Endpoint, Tls, ports::Caller};
use tokio::sync::{mpsc, oneshot};
use wire::{
    jsonrpc::{Id, Response},
    mcp::{LogLevel, Revision, ServerName},
};

use crate::conversations::{
    exchange::Withdrawal,
    replay::{Kept, Streams},
};

/// Idle sessions end after this long.
const IDLE_MS_MAX: i64 = 60 * 60 * 1000;
/// Every session ends after this long.
const AGE_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// Most sessions at a time, and of one principal.
const SESSIONS_MAX: usize = 20_000;
const SESSIONS_OF_ONE_MAX: usize = 10_000;
/// Most questions to one client that wait for an answer.
const ASKS_MAX: usize = 64;

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: Mutex<HashMap<Arc<str>, Arc<Session>>>,
    /// Sessions that have ended by themselves, until the next sweep ends what belongs to them.
    gone: Mutex<Vec<Arc<Session>>>,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Arc<str>,
    /// Whoever sent the last message: the owner, by the newest proof.
    caller: Mutex<Caller>,
    pub(crate) endpoint: Endpoint,
    pub(crate) revision: Revision,
    pub(crate) capabilities: Capabilities,
    /// What its first message was protected by.
    pub(crate) tls: Option<Tls>,
    owner: String,
    opened_ms: i64,
    used_ms: AtomicI64,
    next_ask: AtomicI64,
    asks: Mutex<HashMap<Id, oneshot::Sender<Response>>>,
    running: Mutex<HashMap<Id, Withdrawal>>,
    /// The least level of log messages the client asked for.
    log_level: Mutex<Option<LogLevel>>,
    /// What was sent on its streams, where the transport can come back to them.
    pub(crate) streams: Streams,
    /// The client's stream for what belongs to no call, if it opened one.
    outlet: Mutex<Option<Outlet>>,
}

/// Where a session's client hears what belongs to no call.
#[derive(Clone, Debug)]
pub(crate) enum Outlet {
    /// A stream that can be come back to.
    Kept(Arc<Kept>),
    /// The one connection it has.
    Queue(mpsc::Sender<Vec<u8>>),
}

/// What a session is opened with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) id: Arc<str>,
    pub(crate) caller: Caller,
    pub(crate) endpoint: Endpoint,
    pub(crate) revision: Revision,
    pub(crate) capabilities: Capabilities,
    pub(crate) tls: Option<Tls>,
    pub(crate) now_ms: i64,
}

impl Sessions {
    /// Opens a session. When there are too many, the one unused longest ends.
    pub(crate) fn open(&self, opening: Opening) -> Arc<Session> {
        let session = Arc::new(Session {
            streams: Streams::of(&opening.id),
            id: opening.id,
            owner: opening.caller.principal.key(),
            caller: Mutex::new(opening.caller),
            endpoint: opening.endpoint,
            revision: opening.revision,
            capabilities: opening.capabilities,
            tls: opening.tls,
            opened_ms: opening.now_ms,
            used_ms: AtomicI64::new(opening.now_ms),
            next_ask: AtomicI64::new(0),
            asks: Mutex::default(),
            running: Mutex::default(),
            log_level: Mutex::default(),
            outlet: Mutex::default(),
        });
        let mut sessions = self.lock();
        let own = || sessions.values().filter(|held| held.owner == session.owner);
        let crowded = sessions.len() >= SESSIONS_MAX || own().count() >= SESSIONS_OF_ONE_MAX;
        if crowded {
            let oldest = own()
                .min_by_key(|held| held.used_ms.load(Ordering::Relaxed))
                .or_else(|| {
                    sessions
                        .values()
                        .min_by_key(|held| held.used_ms.load(Ordering::Relaxed))
                });
            if let Some(id) = oldest.map(|held| Arc::clone(&held.id)) {
                self.gone(sessions.remove(&id));
            }
        }
        sessions.insert(Arc::clone(&session.id), Arc::clone(&session));
        session
    }

    /// The session of that name, whoever asks. For reading what it was opened with; nothing else.
    pub(crate) fn peek(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().get(id).cloned()
    }

    /// The session of that name, if it is this caller's and has not ended.
    pub(crate) fn of(&self, id: &str, owner: &str, now_ms: i64) -> Option<Arc<Session>> {
        let mut sessions = self.lock();
        let session = sessions.get(id)?;
        if session.is_over(now_ms) {
            self.gone(sessions.remove(id));
            return None;
        }
        if session.owner != owner {
            return None;
        }
        session.used_ms.store(now_ms, Ordering::Relaxed);
        Some(Arc::clone(session))
    }

    /// Ends a session.
    pub(crate) fn end(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().remove(id).inspect(|session| session.purge())
    }

    /// Ends sessions that are over, and gives them back so that what belongs to them can end, too.
    pub(crate) fn sweep(&self, now_ms: i64) -> Vec<Arc<Session>> {
        let mut sessions = self.lock();
        let over: Vec<_> = sessions
            .values()
            .filter(|session| session.is_over(now_ms))
            .cloned()
            .collect();
        for session in &over {
            sessions.remove(&session.id);
            session.purge();
        }
        drop(sessions);
        let mut ended = std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner));
        ended.extend(over);
        ended
    }

    fn gone(&self, session: Option<Arc<Session>>) {
        let Some(session) = session else { return };
        session.purge();
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.push(session);
    }

    /// Ends every session of such callers.
    pub(crate) fn end_of(&self, is_theirs: impl Fn(&Principal) -> bool) -> Vec<Arc<Session>> {
        let mut sessions = self.lock();
        let ended: Vec<_> = sessions
            .values()
            .filter(|s| is_theirs(&s.caller().principal))
            .cloned()
            .collect();
        for session in &ended {
            sessions.remove(&session.id);
            session.purge();
        }
        ended
    }

    /// All sessions.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    /// The session of this owner that leads to this server, was used last and listens; this one or none, where one is named:
    /// what is said to a session is for no other, which may be of another task.
    pub(crate) fn listening(
        &self,
        (owner, id): (&str, Option<&str>),
        server: &ServerName,
    ) -> Option<Arc<Session>> {
        let sessions = self.lock();
        let is_named = |session: &Session| id.is_none_or(|id| *session.id == *id);
        let listening = sessions.values().filter(|session| {
            session.owner == owner
                && is_named(session)
                && session.endpoint.leads_to(server)
                && session.listens()
        });
        listening
            .max_by_key(|session| session.used_ms.load(Ordering::Relaxed))
            .cloned()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Arc<Session>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Its owner, by the newest proof: credentials end sooner than sessions.
    pub(crate) fn caller(&self) -> Caller {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The owner proved itself anew.
    pub(crate) fn renew(&self, caller: &Caller) {
        *self.caller.lock().unwrap_or_else(PoisonError::into_inner) = caller.clone();
    }

    fn is_over(&self, now_ms: i64) -> bool {
        let used_ms = self.used_ms.load(Ordering::Relaxed);
        now_ms - used_ms > IDLE_MS_MAX || now_ms - self.opened_ms > AGE_MS_MAX
    }

    fn listens(&self) -> bool {
        match &*self.outlet.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Outlet::Kept(stream)) => stream.is_read(),
            Some(Outlet::Queue(queue)) => !queue.is_closed(),
            None => false,
        }
    }

    /// The client listens here for what belongs to no call; where it listened before, it does no more.
    pub(crate) fn listen(&self, outlet: Outlet) {
        let mut held = self.outlet.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Outlet::Kept(before)) = held.replace(outlet) {
            before.end();
        }
    }

    /// Tells the client something that belongs to no call. A client that never listened does not hear it.
    pub(crate) fn tell(&self, message: Vec<u8>) {
        match &*self.outlet.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Outlet::Kept(stream)) => stream.push(message),
            // A client that does not read loses notices, not our memory.
            Some(Outlet::Queue(queue)) => drop(queue.try_send(message)),
            None => {}
        }
    }

    /// Nobody may read on, and nothing is kept.
    fn purge(&self) {
        self.streams.purge();
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A question to the client: the id to ask under, and its answer. None when too many wait already.
    pub(crate) fn ask(&self) -> Option<(Id, oneshot::Receiver<Response>)> {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        if asks.len() >= ASKS_MAX {
            return None;
        }
        let id = Id::Integer(self.next_ask.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        asks.insert(id.clone(), answer);
        Some((id, answered))
    }

    /// Gives a question up.
    pub(crate) fn forget(&self, id: &Id) {
        self.asks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }

    /// The place where the answer to a question is awaited.
    pub(crate) fn asked(&self, id: &Id) -> Option<oneshot::Sender<Response>> {
        self.asks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id)
    }

    /// Notes a request on its way, so that the client can withdraw it. None if it runs already under this
    /// id: a replayed request.
    pub(crate) fn begin(&self, id: &Id, withdrawal: Withdrawal) -> Option<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains_key(id) {
            return None;
        }
        running.insert(id.clone(), withdrawal);
        Some(())
    }

    /// A request has ended.
    pub(crate) fn done(&self, id: &Id) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }

    /// The client wants log messages from this level on.
    pub(crate) fn set_log_level(&self, level: LogLevel) {
        *self.log_level.lock().unwrap_or_else(PoisonError::into_inner) = Some(level);
    }

    /// The least level of log messages the client asked for, if it asked.
    pub(crate) fn log_level(&self) -> Option<LogLevel> {
        *self.log_level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Withdraws a request; nothing happens if none runs under this id.
    pub(crate) fn withdraw(&self, id: &Id) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(withdrawal) = running.get(id) {
            withdrawal.withdraw();
        }
    }
}
