//! Our own pipes: one client, one message a line. For `wrap` and for hosts that speak nothing else.

use std::sync::Arc;

use identity::LocalPeer;
use pipeline::{Arrival, Capabilities, Credential, Endpoint, Objection, Via, ports::Stranger, refusal};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
};
use wire::{
    bounds::REQUEST,
    framing::{Line, Lines},
    json::{Keys, Kind, Node},
    jsonrpc::{Id, Message},
    mcp::{Direction, Era, Method, Revision, meta},
};

use super::House;
use crate::{
    engines::settle,
    exchange::{CallExchange, Withdrawal},
    present::{Asked, outcome},
    sessions::{Outlet, Session},
};

/// Messages that may wait to be written.
const QUEUE_MESSAGES_MAX: usize = 256;
/// Requests that may be on their way at a time.
const REQUESTS_MAX: usize = 256;

/// Serves one client over a pair of pipes until it closes its end.
pub(crate) async fn serve_pipes(
    house: Arc<House>,
    endpoint: Endpoint,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin + Send + 'static,
) {
    let (queue, mut queued) = mpsc::channel::<Vec<u8>>(QUEUE_MESSAGES_MAX);
    let writing = tokio::spawn(async move {
        while let Some(mut message) = queued.recv().await {
            message.push(b'\n');
            if output.write_all(&message).await.is_err() || output.flush().await.is_err() {
                break;
            }
        }
    });
    let client = Arc::new(Client {
        house,
        endpoint,
        queue,
        session: std::sync::Mutex::default(),
    });
    let mut lines = Lines::new(REQUEST.text_bytes_max);
    let mut buffer = vec![0; 64 * 1024];
    let mut running = JoinSet::new();
    while let Ok(read @ 1..) = input.read(&mut buffer).await {
        lines.push(buffer.get(..read).unwrap_or_default());
        while let Some(line) = lines.next_line() {
            while running.len() >= REQUESTS_MAX {
                running.join_next().await;
            }
            client.take(line, &mut running).await;
            while running.try_join_next().is_some() {}
        }
    }
    while running.join_next().await.is_some() {}
    drop(client);
    let _ = writing.await;
}

/// The client on the other end.
struct Client {
    house: Arc<House>,
    endpoint: Endpoint,
    queue: mpsc::Sender<Vec<u8>>,
    session: std::sync::Mutex<Option<Arc<Session>>>,
}

impl Client {
    /// Takes one line. A handshake is finished before the next line is looked at; requests run side by side.
    async fn take(self: &Arc<Self>, line: Line, running: &mut JoinSet<()>) {
        let asked = |id: Option<Id>| Asked {
            id,
            method: None,
            revision: self.revision_so_far(),
        };
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong => {
                let objection = Objection::new(&refusal::MESSAGE_TOO_LARGE, "a line over the limit");
                return self.turn_away(&asked(None), objection).await;
            }
        };
        let message = match Message::parse(bytes, Keys::Folded, &REQUEST) {
            Ok(message) => message,
            Err(refused) => {
                let objection = super::mcp::unreadable(&refused.error);
                return self.turn_away(&asked(refused.id.clone()), objection).await;
            }
        };
        let handshake = message.method() == Some(Method::Initialize);
        let client = Arc::clone(self);
        let work = async move { client.carry(message).await };
        if handshake {
            work.await;
        } else {
            running.spawn(work);
        }
    }

    async fn carry(&self, message: Message) {
        let revision = self.revision(&message);
        let id = match &message {
            Message::Request(request) => Some(request.id().clone()),
            Message::Notification(_) | Message::Response(_) => None,
        };
        let asked = Asked {
            id,
            method: message.method(),
            revision,
        };
        if let Some(method) = message.method()
            && !method.exists(revision, Direction::ToServer)
        {
            let why = format!("`{method}` does not exist in {revision}");
            let objection = Objection::new(&refusal::METHOD_UNKNOWN, why.clone()).showing(why);
            return self.turn_away(&asked, objection).await;
        }
        let session = self.session();
        let withdrawal = Withdrawal::new();
        let session_id = session.as_ref().map(|session| Arc::clone(&session.id));
        let exchange = CallExchange::new(
            self.queue.clone(),
            withdrawal.clone(),
            session_id.clone(),
            Arc::default(),
        );
        if let (Some(session), Some(id)) = (&session, &asked.id) {
            session.begin(id, withdrawal);
        }
        let ambient = &self.house.engines.ambient;
        let call = ambient.call();
        let arrival = Arrival {
            call: call.clone(),
            direction: Direction::ToServer,
            revision,
            endpoint: self.endpoint.clone(),
            capabilities: capabilities(&message, revision, session.as_deref()),
            message,
            credential: Credential::Local(LocalPeer::Pipe),
            via: Via {
                transport: "stdio",
                ..Via::default()
            },
            session: session_id,
            exchange: Arc::new(exchange),
            received_ms: ambient.now_ms(),
        };
        let result = self.house.pipeline.carry(arrival).await;
        let said = outcome(&asked, result, &call.0);
        if let (Some(session), Some(id)) = (&session, &asked.id) {
            session.done(id);
        }
        if let Some(session) = said
            .session
            .as_ref()
            .and_then(|id| self.house.engines.sessions.peek(id))
        {
            session.listen(Outlet::Queue(self.queue.clone()));
            *self
                .session
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(session);
        }
        if let Some(message) = said.message {
            // The client closed its end: nobody is left to tell.
            let _ = self.queue.send(message).await;
        }
    }

    /// Modern requests say their revision themselves; everything else is in the session's.
    fn revision(&self, message: &Message) -> Revision {
        let params = message.params();
        let said = params
            .and_then(meta::of)
            .and_then(|meta| meta.get(meta::PROTOCOL_VERSION));
        if let Some(revision) = said
            .and_then(Node::as_str)
            .and_then(|text| Revision::parse(&text))
        {
            return revision;
        }
        match message.method() {
            Some(Method::Initialize) => {
                let asked = params
                    .and_then(|params| params.get("protocolVersion"))
                    .and_then(Node::as_str);
                settle(asked.as_deref())
            }
            Some(Method::ServerDiscover) => Revision::V2026_07_28,
            Some(_) | None => self.revision_so_far(),
        }
    }

    fn revision_so_far(&self) -> Revision {
        self.session()
            .map_or(Revision::LATEST_LEGACY, |session| session.revision)
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    async fn turn_away(&self, asked: &Asked, objection: Objection) {
        let ambient = &self.house.engines.ambient;
        let call = ambient.call();
        let stranger = Stranger {
            call: call.clone(),
            via: Via {
                transport: "stdio",
                ..Via::default()
            },
            what: asked
                .method
                .map_or_else(String::new, |method| method.name().to_owned()),
            received_ms: ambient.now_ms(),
        };
        let refusal = self.house.pipeline.turn_away(stranger, objection).await;
        if let Some(message) = outcome(asked, Err(refusal), &call.0).message {
            let _ = self.queue.send(message).await;
        }
    }
}

fn capabilities(message: &Message, revision: Revision, session: Option<&Session>) -> Capabilities {
    match revision.era() {
        Era::Legacy => session
            .map(|session| session.capabilities.clone())
            .unwrap_or_default(),
        Era::Modern => {
            let meta = message.params().and_then(meta::of);
            let declared = meta.and_then(|meta| meta.get(meta::CLIENT_CAPABILITIES));
            declared
                .filter(|d| d.kind() == Kind::Object)
                .map_or_else(Capabilities::default, Capabilities::declared)
        }
    }
}
