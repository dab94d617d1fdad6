//! A conversation: one client on a connection that carries messages both ways, each answer when it is ready.
//! Pipes, sockets, WebSockets and HTTP+SSE differ in their frames alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pipeline::{
    Arrival, Capabilities, Credential, Endpoint, Objection, Refusal, Tls, Via,
    ports::{Caller, Exchange, Stranger},
    refusal,
};
use tokio::{sync::mpsc, task::JoinSet};
use wire::{
    bounds::REQUEST,
    framing::Line,
    json::{Keys, Node},
    jsonrpc::{self, Id, Message, Refused},
    mcp::{Direction, Era, Method, Revision},
};

use super::{House, batch, revision};
use crate::{
    conversations::{
        exchange::{CallExchange, Withdrawal},
        present::{Asked, outcome},
        sessions::{Outlet, Session},
    },
    engines::settle,
};

/// Messages that may wait to be written.
pub(super) const QUEUE_MESSAGES_MAX: usize = 256;
/// Requests that may be on their way at a time.
const REQUESTS_MAX: usize = 256;

/// Most conversations at a time that are no HTTP request any more: WebSockets, and clients at the Unix socket.
pub(crate) const CONVERSATIONS_MAX: usize = 4_096;

/// Why one more is turned away.
pub(super) fn crowded() -> Objection {
    let why = "there are too many connections";
    Objection::new(&refusal::OVER_LIMIT, why).showing(why)
}

/// What a connection says of all that comes over it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) endpoint: Endpoint,
    /// `stdio`, `unix`, `websocket`, `sse`, or `http-batch` for the greeting of one.
    pub(super) transport: &'static str,
    pub(super) peer: Option<String>,
    /// The TLS connection, where there is one.
    pub(super) tls: Option<Tls>,
}

/// The client on the other end.
pub(super) struct Conversation {
    house: Arc<House>,
    connection: Connection,
    queue: mpsc::Sender<Vec<u8>>,
    session: Arc<Mutex<Option<Arc<Session>>>>,
    /// Requests on their way that belong to no session, so that the client can withdraw them.
    alone: Arc<Mutex<Alone>>,
}

/// Requests that belong to no session: what each asks for, and how it is withdrawn.
type Alone = HashMap<Id, (Option<Method>, Withdrawal)>;

/// Messages of one conversation that are on their way.
pub(super) type Running = JoinSet<()>;

impl Conversation {
    /// A conversation of which the messages to the client go to `queue`.
    pub(super) fn new(house: Arc<House>, connection: Connection, queue: mpsc::Sender<Vec<u8>>) -> Arc<Self> {
        Arc::new(Self {
            house,
            connection,
            queue,
            session: Arc::default(),
            alone: Arc::default(),
        })
    }

    /// The same conversation, as it is for a message that came over another connection than the first.
    pub(super) fn over(&self, peer: String, tls: Option<Tls>) -> Arc<Self> {
        Arc::new(Self {
            house: Arc::clone(&self.house),
            connection: Connection {
                peer: Some(peer),
                tls,
                ..self.connection.clone()
            },
            queue: self.queue.clone(),
            session: Arc::clone(&self.session),
            alone: Arc::clone(&self.alone),
        })
    }

    /// Has whoever is there prove itself like any other: on the road, with a message that asks for nothing.
    /// Gives who it is.
    pub(super) async fn greet(&self, credential: Credential) -> Result<Caller, Refusal> {
        let ping = br#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#.to_vec();
        let lost = || Refusal::at_the_end(Objection::new(&refusal::INTERNAL, "the greeting cannot be read"));
        let message = Message::parse(ping, Keys::Folded, &REQUEST).map_err(|_| lost())?;
        let exchange = CallExchange::new(self.queue.clone(), Withdrawal::new(), None, Arc::default());
        let exchange = Arc::new(exchange);
        let arrival = self.arrival(
            message,
            Revision::LATEST_LEGACY,
            credential,
            None,
            Arc::clone(&exchange),
        );
        self.house.pipeline.carry(arrival).await?;
        exchange.caller().ok_or_else(lost)
    }

    /// Takes one message. A handshake is finished before the next one is looked at; requests run side by side.
    pub(super) async fn take(self: &Arc<Self>, line: Line, credential: Credential, running: &mut Running) {
        while running.len() >= REQUESTS_MAX {
            running.join_next().await;
        }
        while running.try_join_next().is_some() {}
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong => {
                let objection = Objection::new(&refusal::MESSAGE_TOO_LARGE, "a line over the limit");
                return self.say(self.turn_away(&self.asked(None), objection).await).await;
            }
        };
        let client = Arc::clone(self);
        if jsonrpc::is_array(&bytes) && self.revision_so_far().has_batches() {
            running.spawn(async move { client.take_batch(bytes, credential).await });
            return;
        }
        let message = match Message::parse(bytes, Keys::Folded, &REQUEST) {
            Ok(message) => message,
            Err(refused) => return self.say(self.unread(&refused).await).await,
        };
        let handshake = message.method() == Some(Method::Initialize);
        let work = async move {
            let answer = client.carry(message, credential).await;
            client.say(answer).await;
        };
        if handshake {
            work.await;
        } else {
            running.spawn(work);
        }
    }

    /// Several messages in one (2025-03-26): each is carried as if it had come alone, and what there is to answer is
    /// answered together.
    async fn take_batch(self: Arc<Self>, bytes: Vec<u8>, credential: Credential) {
        let elements = match jsonrpc::batch(bytes, Keys::Folded, &REQUEST) {
            Ok(elements) => elements,
            Err(refused) => return self.say(self.unread(&refused).await).await,
        };
        let mut running = JoinSet::new();
        for (place, element) in elements.into_iter().enumerate() {
            let (client, credential) = (Arc::clone(&self), credential.clone());
            running.spawn(async move { (place, client.take_element(element, credential).await) });
        }
        let mut answers = BTreeMap::new();
        while let Some(ended) = running.join_next().await {
            // An element that broke has been recorded as abandoned; the others go on.
            if let Ok((place, Some(answer))) = ended {
                answers.insert(place, answer);
            }
        }
        let answers: Vec<_> = answers.into_values().collect();
        self.say(batch::joined(&answers)).await;
    }

    async fn take_element(
        &self,
        element: Result<Message, Refused>,
        credential: Credential,
    ) -> Option<Vec<u8>> {
        match element {
            Ok(message) if message.method() == Some(Method::Initialize) => {
                let asked = Asked {
                    method: message.method(),
                    ..self.asked(message.id().cloned())
                };
                let said = self.turn_away(&asked, batch::initialize()).await;
                said.filter(|_| asked.id.is_some())
            }
            Ok(message) => self.carry(message, credential).await,
            Err(refused) => self.unread(&refused).await,
        }
    }

    /// Carries a message; gives what there is to answer.
    async fn carry(&self, message: Message, credential: Credential) -> Option<Vec<u8>> {
        let id = match &message {
            Message::Request(request) => Some(request.id().clone()),
            Message::Notification(_) | Message::Response(_) => None,
        };
        let asked = |revision| Asked {
            id,
            method: message.method(),
            revision,
        };
        let revision = match self.readable(&message) {
            Ok(revision) => revision,
            Err((revision, objection)) => {
                let asked = asked(revision);
                let said = self.turn_away(&asked, *objection).await;
                return said.filter(|_| asked.id.is_some());
            }
        };
        let asked = asked(revision);
        let session = self.session();
        let withdrawal = Withdrawal::new();
        let session_id = session.as_ref().map(|session| Arc::clone(&session.id));
        let exchange = CallExchange::new(
            self.queue.clone(),
            withdrawal.clone(),
            session_id.clone(),
            Arc::default(),
        );
        let begun = match (&session, &asked.id) {
            (_, None) => Some(()),
            (Some(session), Some(id)) => session.begin(id, withdrawal),
            (None, Some(id)) => self.begin_alone(id, asked.method, withdrawal),
        };
        if begun.is_none() {
            return self.turn_away(&asked, super::mcp::id_in_use()).await;
        }
        let cancelled = (asked.method == Some(Method::NotificationsCancelled))
            .then(|| message.params()?.get("requestId").and_then(Id::read))
            .flatten();
        let arrival = self.arrival(
            message,
            revision,
            credential,
            session.as_deref(),
            Arc::new(exchange),
        );
        let call = arrival.call.clone();
        let result = self.house.pipeline.carry(arrival).await;
        if let (Some(id), Ok(_)) = (cancelled, &result) {
            self.withdraw_alone(|other, _| *other == id);
        }
        let said = outcome(&asked, result, &call.0);
        match (&session, &asked.id) {
            (_, None) => {}
            (Some(session), Some(id)) => session.done(id),
            (None, Some(id)) => drop(self.alone().remove(id)),
        }
        if let Some(session) = said
            .session
            .as_ref()
            .and_then(|id| self.house.engines.sessions.peek(id))
        {
            session.listen(Outlet::Queue(self.queue.clone()));
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        }
        // Notifications and answers are not answered, whatever became of them.
        said.message.filter(|_| asked.id.is_some())
    }

    /// Says something to the client.
    async fn say(&self, message: Option<Vec<u8>>) {
        if let Some(message) = message {
            // The client closed its end: nobody is left to tell.
            let _ = self.queue.send(message).await;
        }
    }

    /// What is to be answered where little is known of the message.
    fn asked(&self, id: Option<Id>) -> Asked {
        Asked {
            id,
            method: None,
            revision: self.revision_so_far(),
        }
    }

    async fn unread(&self, refused: &Refused) -> Option<Vec<u8>> {
        let objection = super::mcp::unreadable(&refused.error);
        self.turn_away(&self.asked(refused.id.clone()), objection).await
    }

    fn arrival(
        &self,
        message: Message,
        revision: Revision,
        credential: Credential,
        session: Option<&Session>,
        exchange: Arc<CallExchange>,
    ) -> Arrival {
        let ambient = &self.house.engines.ambient;
        Arrival {
            call: ambient.call(),
            direction: Direction::ToServer,
            revision,
            endpoint: self.connection.endpoint.clone(),
            capabilities: capabilities(&message, revision, session),
            message,
            credential,
            via: self.via(),
            session: session.map(|session| Arc::clone(&session.id)),
            exchange,
            received_ms: ambient.now_ms(),
        }
    }

    fn via(&self) -> Via {
        Via {
            transport: self.connection.transport,
            peer: self.connection.peer.clone(),
            tls: self.connection.tls.clone(),
            ..Via::default()
        }
    }

    /// Notes a request that belongs to no session. None if one runs under this id.
    fn begin_alone(&self, id: &Id, method: Option<Method>, withdrawal: Withdrawal) -> Option<()> {
        let mut alone = self.alone();
        if alone.contains_key(id) {
            return None;
        }
        alone.insert(id.clone(), (method, withdrawal));
        Some(())
    }

    fn withdraw_alone(&self, which: impl Fn(&Id, Option<Method>) -> bool) {
        for (id, (method, withdrawal)) in self.alone().iter() {
            if which(id, *method) {
                withdrawal.withdraw();
            }
        }
    }

    fn alone(&self) -> MutexGuard<'_, Alone> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client says nothing more: what only listens would wait for ever.
    pub(super) fn stop_listening(&self) {
        self.withdraw_alone(|_, method| method == Some(Method::SubscriptionsListen));
    }

    /// Ends what the connection held: its session is nobody's without it, and its requests have nobody to answer.
    pub(super) fn end(&self) {
        self.withdraw_alone(|_, _| true);
        if let Some(session) = self.session() {
            self.house.engines.sessions.end(&session.id);
            self.house.engines.upstreams.end_session(&session.id);
        }
    }

    /// The revision a message is in, in which its method exists; or in which it is told that it does not.
    fn readable(&self, message: &Message) -> Result<Revision, (Revision, Box<Objection>)> {
        let revision = self
            .revision(message)
            .map_err(|objection| (Revision::V2026_07_28, Box::new(objection)))?;
        match message.method() {
            Some(method) if !method.exists(revision, Direction::ToServer) => {
                let why = format!("`{method}` does not exist in {revision}");
                let objection = Objection::new(&refusal::METHOD_UNKNOWN, why.clone()).showing(why);
                Err((revision, Box::new(objection)))
            }
            Some(_) | None => Ok(revision),
        }
    }

    /// Modern requests say their revision themselves; everything else is in the session's.
    fn revision(&self, message: &Message) -> Result<Revision, Objection> {
        if let Some(said) = revision::alone(message) {
            return said;
        }
        Ok(match message.method() {
            Some(Method::Initialize) => {
                let params = message.params();
                let asked = params
                    .and_then(|params| params.get("protocolVersion"))
                    .and_then(Node::as_str);
                settle(asked.as_deref())
            }
            Some(_) | None => self.revision_so_far(),
        })
    }

    fn revision_so_far(&self) -> Revision {
        self.session()
            .map_or(Revision::LATEST_LEGACY, |session| session.revision)
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Records that a message is not carried; gives what there is to answer.
    async fn turn_away(&self, asked: &Asked, objection: Objection) -> Option<Vec<u8>> {
        let ambient = &self.house.engines.ambient;
        let call = ambient.call();
        let stranger = Stranger {
            call: call.clone(),
            via: self.via(),
            what: asked
                .method
                .map_or_else(String::new, |method| method.name().to_owned()),
            received_ms: ambient.now_ms(),
        };
        let refusal = self.house.pipeline.turn_away(stranger, objection).await;
        outcome(asked, Err(refusal), &call.0).message
    }
}

fn capabilities(message: &Message, revision: Revision, session: Option<&Session>) -> Capabilities {
    match revision.era() {
        Era::Legacy => session
            .map(|session| session.capabilities.clone())
            .unwrap_or_default(),
        Era::Modern => revision::declared(message).map_or_else(Capabilities::default, Capabilities::declared),
    }
}
