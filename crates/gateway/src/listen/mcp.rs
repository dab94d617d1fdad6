//! Streamable HTTP, both eras: one endpoint, one message per POST.

use std::{sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Method as HttpMethod, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use identity::signature::BodyDigests;
use pipeline::{
    Arrival, CallId, Capabilities, Credential, Endpoint, Objection, Refusal, Reply, Via,
    ports::{Boxed, Stranger},
    refusal,
};
use tokio::sync::{Notify, mpsc};
use wire::{
    bounds::{BATCH_MESSAGES_MAX, ID_BYTES_MAX, REQUEST},
    json::{JsonFault, Keys},
    jsonrpc::{self, Message, MessageError, Refused},
    mcp::{Direction, Era, Method, Revision},
};

use super::{
    House, batch,
    body::{self, Body},
    conversation::Connection,
    gate::one,
    head::{Peer, accepted, accepts, credential, guess, is_signed, mirrored, prefers_stream},
    oauth::give_nonce,
    revision::{belongs, declared},
    stream::{Beginning, OnClose, Told, events, keep, replay, while_read},
};
use crate::conversations::{
    exchange::{CallExchange, Withdrawal},
    present::{Asked, Said, outcome},
    replay::{Kept, Place, Rest},
    sessions::{Outlet, Session},
};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Messages of one call that may wait to be read by the client.
pub(super) const STREAM_MESSAGES_MAX: usize = 64;
/// After this long without an answer, the answer becomes a stream, so that nobody takes it for dead.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// One request at one MCP endpoint.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) house: Arc<House>,
    pub(super) endpoint: Endpoint,
    pub(super) peer: Peer,
    pub(super) method: HttpMethod,
    pub(super) path: Arc<str>,
    pub(super) query: Option<Arc<str>>,
    /// What its body was, where the request is signed and its body was read.
    pub(super) body: Option<BodyDigests>,
    /// What it has proven already, once for all that it brings.
    pub(super) proven: Option<Credential>,
    pub(super) call: CallId,
    pub(super) received_ms: i64,
}

/// A message and what its transport says about it.
pub(super) struct Parcel {
    message: Message,
    revision: Revision,
    session: Option<Arc<str>>,
    capabilities: Capabilities,
}

impl Parcel {
    /// What is to be answered.
    pub(super) fn asked(&self) -> Asked {
        let id = match &self.message {
            Message::Request(request) => Some(request.id().clone()),
            Message::Notification(_) | Message::Response(_) => None,
        };
        Asked {
            id,
            method: self.message.method(),
            revision: self.revision,
        }
    }
}

impl Visit {
    /// Answers a request.
    pub(super) async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        match *request.method() {
            HttpMethod::POST => self.post(request).await,
            // In boxes: they are rare, and would make every call's future as large as their own.
            HttpMethod::GET => Box::pin(self.listen(request)).await,
            HttpMethod::DELETE => Box::pin(self.end(request)).await,
            _ => body::only("GET, POST, DELETE"),
        }
    }

    async fn post(mut self, request: Request<Incoming>) -> Response<Body> {
        let (head, incoming) = request.into_parts();
        let bytes = match read(&head.headers, incoming).await {
            Ok(bytes) => bytes,
            Err(objection) => return Box::pin(self.turn_away(&nobody(&head.headers), objection)).await,
        };
        self.body = is_signed(&head.headers).then(|| BodyDigests::of(&bytes));
        if jsonrpc::is_array(&bytes) && self.has_batches(&head.headers) {
            return Box::pin(batch::answer(self, head.headers, bytes)).await;
        }
        let message = match Message::parse(bytes, Keys::Folded, &REQUEST) {
            Ok(message) => message,
            Err(refused) => {
                let (asked, objection) = unread(&head.headers, &refused);
                return Box::pin(self.turn_away(&asked, objection)).await;
            }
        };
        match self.unpack(&head.headers, message) {
            Ok(parcel) => self.carry(&head.headers, parcel).await,
            Err((asked, objection)) => Box::pin(self.turn_away(&asked, *objection)).await,
        }
    }

    /// Whether the session the message names is in the one revision that has batches.
    fn has_batches(&self, headers: &HeaderMap) -> bool {
        let named = one(headers, &SESSION).ok().flatten();
        let session = named.and_then(|id| self.house.engines.sessions.peek(id));
        session.is_some_and(|session| session.revision.has_batches())
    }

    /// Sends a message on its way and answers with whatever comes first: the answer, or something that
    /// belongs to it and makes the answer a stream. A client that names streams first gets one at once.
    async fn carry(self, headers: &HeaderMap, parcel: Parcel) -> Response<Body> {
        let (sender, mut messages) = mpsc::channel(STREAM_MESSAGES_MAX);
        let withdrawal = Withdrawal::new();
        let asked = parcel.asked();
        let era = parcel.revision.era();
        let session = self.session_of(&parcel).filter(|_| asked.id.is_some());
        let let_go = Arc::new(Notify::new());
        let carrying = self.set_out(headers, parcel, sender, withdrawal.clone(), &let_go);
        let mut carrying = match carrying {
            Ok(carrying) => carrying,
            Err(objection) => return Box::pin(self.turn_away(&asked, objection)).await,
        };
        // In the modern era closing the stream withdraws the request; in the legacy era it does not.
        let mut on_close = Closing::new((era == Era::Modern).then_some(withdrawal));
        let streams =
            session.is_some() && asked.method != Some(Method::Initialize) && prefers_stream(headers);
        let first = tokio::select! {
            biased;
            () = std::future::ready(()), if streams => None,
            Some(message) = messages.recv() => Some(message),
            said = &mut carrying => {
                on_close.disarm();
                return match messages.try_recv() {
                    Ok(message) => {
                        let last = Box::pin(async { said.message });
                        stream(session, Told { first: Some(message), messages, last }, let_go, None)
                    }
                    Err(_) => self.respond(said),
                };
            }
            () = let_go.notified(), if session.as_ref().is_some_and(|session| polls(session)) => {
                let_go.notify_one();
                None
            }
            () = tokio::time::sleep(QUIET), if asked.id.is_some() => None,
        };
        // Whoever reads the stream may be slow, and the call may not wait for that.
        let last = while_read(async move { carrying.await.message });
        stream(
            session,
            Told {
                first,
                messages,
                last,
            },
            let_go,
            on_close.into_on_close(),
        )
    }

    /// Carries a message of the modern era that the gateway makes of another request, in the name of who sent that.
    pub(super) async fn carry_own(&self, headers: &HeaderMap, message: Message) -> Result<Reply, Refusal> {
        let parcel = Parcel {
            message,
            revision: Revision::V2026_07_28,
            session: None,
            capabilities: Capabilities::default(),
        };
        let (stream, _) = mpsc::channel(1);
        let exchange = CallExchange::new(stream, Withdrawal::new(), None, Arc::new(Notify::new()));
        let arrival = self.arrival(headers, parcel, Arc::new(exchange), "http");
        self.house.pipeline.carry(arrival).await
    }

    /// The connection it came over, for what speaks over one.
    pub(super) fn connection(&self, transport: &'static str) -> Connection {
        Connection {
            endpoint: self.endpoint.clone(),
            transport,
            peer: Some(self.peer.written.as_ref().to_owned()),
            tls: self.peer.tls.clone(),
        }
    }

    fn session_of(&self, parcel: &Parcel) -> Option<Arc<Session>> {
        let id = parcel.session.as_ref()?;
        self.house.engines.sessions.peek(id)
    }

    /// Sets a message on its way: what belongs to it goes to `stream` meanwhile, and the future ends with
    /// what there is to say.
    pub(super) fn set_out(
        &self,
        headers: &HeaderMap,
        parcel: Parcel,
        stream: mpsc::Sender<Vec<u8>>,
        withdrawal: Withdrawal,
        let_go: &Arc<Notify>,
    ) -> Result<Boxed<'static, Said>, Objection> {
        let asked = parcel.asked();
        let running = self.begin(self.session_of(&parcel), &asked, &withdrawal)?;
        let exchange = CallExchange::new(stream, withdrawal, parcel.session.clone(), Arc::clone(let_go));
        let arrival = self.arrival(headers, parcel, Arc::new(exchange), "http");
        let call = self.call.to_string();
        let house = Arc::clone(&self.house);
        // In a box, since callers move it: it is large.
        Ok(Box::pin(async move {
            let _running = running;
            let result = house.pipeline.carry(arrival).await;
            outcome(&asked, result, &call)
        }))
    }

    /// Notes a request of a session as running, so that it can be withdrawn; the same id twice at a time is
    /// a replay.
    fn begin(
        &self,
        session: Option<Arc<Session>>,
        asked: &Asked,
        withdrawal: &Withdrawal,
    ) -> Result<Option<Running>, Objection> {
        let (Some(session), Some(id)) = (session, &asked.id) else {
            return Ok(None);
        };
        match session.begin(id, withdrawal.clone()) {
            Some(()) => Ok(Some(Running {
                session,
                id: id.clone(),
            })),
            None => Err(id_in_use()),
        }
    }

    fn arrival(
        &self,
        headers: &HeaderMap,
        parcel: Parcel,
        exchange: Arc<CallExchange>,
        transport: &'static str,
    ) -> Arrival {
        Arrival {
            call: self.call.clone(),
            direction: Direction::ToServer,
            revision: parcel.revision,
            endpoint: self.endpoint.clone(),
            message: parcel.message,
            credential: self.proven.clone().unwrap_or_else(|| credential(headers, self)),
            via: Via {
                transport,
                peer: Some(self.peer.written.as_ref().to_owned()),
                tls: self.peer.tls.clone(),
                mirrored: mirrored(headers),
            },
            session: parcel.session,
            capabilities: parcel.capabilities,
            exchange,
            received_ms: self.received_ms,
        }
    }

    /// Finds out how a message is to be read.
    pub(super) fn unpack(
        &self,
        headers: &HeaderMap,
        message: Message,
    ) -> Result<Parcel, (Asked, Box<Objection>)> {
        let asked = |revision| Asked {
            id: message.id().cloned(),
            method: message.method(),
            revision,
        };
        let refuse = |objection: Objection| (asked(guess(headers)), Box::new(objection));
        let session = one(headers, &SESSION)
            .map_err(|why| {
                let objection = Objection::new(&refusal::REQUEST_INVALID, why).showing(why);
                refuse(objection.remedied("send `Mcp-Session-Id` once, as it was given"))
            })?
            .map(Arc::from);
        let revision = self
            .revision(headers, &message, session.as_deref())
            .map_err(refuse)?;
        // In the modern era the header means nothing.
        let session = session.filter(|_| revision.era() == Era::Legacy);
        if let Some(method) = message.method()
            && !method.exists(revision, Direction::ToServer)
        {
            let why = format!("`{method}` does not exist in {revision}");
            return Err((
                asked(revision),
                Box::new(Objection::new(&refusal::METHOD_UNKNOWN, why.clone()).showing(why)),
            ));
        }
        let capabilities = match revision.era() {
            Era::Modern => declared(&message).map_or_else(Capabilities::default, Capabilities::declared),
            Era::Legacy => {
                let session = session
                    .as_ref()
                    .and_then(|id| self.house.engines.sessions.peek(id));
                session
                    .map(|session| session.capabilities.clone())
                    .unwrap_or_default()
            }
        };
        Ok(Parcel {
            message,
            revision,
            session,
            capabilities,
        })
    }

    /// Opens the stream of a session for what belongs to no call (legacy era).
    async fn listen(self, request: Request<Incoming>) -> Response<Body> {
        let headers = request.headers().clone();
        if !accepted(&headers, "text/event-stream") {
            let asked = nobody(&headers);
            let why = "a stream is opened with `Accept: text/event-stream`";
            return self
                .turn_away(&asked, Objection::new(&refusal::NOT_ACCEPTABLE, why))
                .await;
        }
        let again = Visit {
            call: self.house.engines.ambient.call(),
            ..self.clone()
        };
        let Some(session) = self.knock(&headers, "http-get").await else {
            // In the modern era there is no such stream; nor is there without a session.
            return body::only("POST");
        };
        match session {
            Err(response) => response,
            Ok(session) => {
                // A client that comes back names what it has; everyone else listens anew.
                match rest(&headers, &session) {
                    Ok(None) => {}
                    Ok(Some((stream, number, beginning))) => return replay(&stream, number, beginning),
                    Err(objection) => return again.turn_away(&nobody(&headers), objection).await,
                }
                let stream = session.streams.open();
                session.listen(Outlet::Kept(Arc::clone(&stream)));
                replay(&stream, 0, beginning(&session))
            }
        }
    }

    /// Ends a session (legacy era).
    async fn end(self, request: Request<Incoming>) -> Response<Body> {
        let headers = request.headers().clone();
        let house = Arc::clone(&self.house);
        match self.knock(&headers, "http-delete").await {
            None => body::only("POST"),
            Some(Err(response)) => response,
            Some(Ok(session)) => {
                house.engines.sessions.end(&session.id);
                house.engines.upstreams.end_session(&session.id);
                body::empty(StatusCode::NO_CONTENT)
            }
        }
    }

    /// Has the caller of a GET or DELETE prove itself and its session like any other: on the road, with a
    /// message that asks for nothing. None when no session is named.
    async fn knock(
        mut self,
        headers: &HeaderMap,
        transport: &'static str,
    ) -> Option<Result<Arc<Session>, Response<Body>>> {
        let id: Arc<str> = Arc::from(one(headers, &SESSION).ok()??);
        let text = br#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#.to_vec();
        let message = Message::parse(text, Keys::Folded, &REQUEST).ok()?;
        let session = self.house.engines.sessions.peek(&id);
        let revision = session
            .as_ref()
            .map_or(Revision::LATEST_LEGACY, |session| session.revision);
        let asked = Asked {
            id: None,
            method: Some(Method::Ping),
            revision,
        };
        let (sender, _messages) = mpsc::channel(1);
        let exchange = CallExchange::new(sender, Withdrawal::new(), Some(Arc::clone(&id)), Arc::default());
        let parcel = Parcel {
            message,
            revision,
            session: Some(id),
            capabilities: Capabilities::default(),
        };
        self.body = is_signed(headers).then(|| BodyDigests::of(b""));
        let arrival = self.arrival(headers, parcel, Arc::new(exchange), transport);
        let result = self.house.pipeline.carry(arrival).await;
        Some(match (result, session) {
            (Ok(_), Some(session)) => match belongs(headers, session.revision) {
                Ok(()) => Ok(session),
                Err(objection) => Err(self.turn_away(&asked, objection).await),
            },
            (Ok(_), None) => Err(body::empty(StatusCode::NOT_FOUND)),
            (Err(refused), _) => Err(self.respond(outcome(&asked, Err(refused), &self.call.0))),
        })
    }

    async fn turn_away(&self, asked: &Asked, objection: Objection) -> Response<Body> {
        self.respond(self.refuse(asked, objection).await)
    }

    /// Turns somebody away who has not said what for.
    pub(super) async fn turned_away(&self, objection: Objection) -> Response<Body> {
        self.turn_away(&nobody(&HeaderMap::new()), objection).await
    }

    /// Answers with a refusal that is recorded already.
    pub(super) fn refused(&self, refusal: Refusal) -> Response<Body> {
        self.respond(outcome(&nobody(&HeaderMap::new()), Err(refusal), &self.call.0))
    }

    /// Refuses a message before it has set out.
    pub(super) async fn refuse(&self, asked: &Asked, objection: Objection) -> Said {
        let stranger = Stranger {
            call: self.call.clone(),
            via: self.peer.via(),
            what: asked
                .method
                .map_or_else(String::new, |method| method.name().to_owned()),
            received_ms: self.received_ms,
        };
        let refusal: Refusal = self.house.pipeline.turn_away(stranger, objection).await;
        outcome(asked, Err(refusal), &self.call.0)
    }

    pub(super) fn respond(&self, said: Said) -> Response<Body> {
        let status = StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match said.message {
            Some(message) => body::json(status, message),
            None => body::empty(status),
        };
        let headers = response.headers_mut();
        if let Some(session) = said.session
            && let Ok(value) = HeaderValue::try_from(&*session)
        {
            headers.insert(SESSION, value);
        }
        if let Some(after_ms) = said.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(after_ms.div_ceil(1000)));
        }
        if let Some(cure) = said.challenge
            && let Ok(value) = HeaderValue::try_from(cure.challenge(self.metadata()).header())
        {
            headers.insert(WWW_AUTHENTICATE, value);
        }
        give_nonce(&self.house, headers);
        response
    }

    /// Where the metadata of this endpoint is (RFC 9728).
    fn metadata(&self) -> String {
        let path = match self.endpoint.name() {
            None => "/mcp".to_owned(),
            Some(name) => format!("/mcp/{name}"),
        };
        format!("{}/.well-known/oauth-protected-resource{path}", self.house.base)
    }
}

/// A request that is noted as running; dropping it says that it has ended.
struct Running {
    session: Arc<Session>,
    id: wire::jsonrpc::Id,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.session.done(&self.id);
    }
}

/// Withdraws a request when it is dropped before it is disarmed.
struct Closing(Option<Withdrawal>);

impl Closing {
    fn new(withdrawal: Option<Withdrawal>) -> Self {
        Self(withdrawal)
    }

    fn disarm(&mut self) {
        self.0 = None;
    }

    fn into_on_close(mut self) -> Option<OnClose> {
        let withdrawal = self.0.take()?;
        Some(Box::new(move || withdrawal.withdraw()))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(withdrawal) = self.0.take() {
            withdrawal.withdraw();
        }
    }
}

/// Why a request is not carried whose id another one has that has no answer yet.
pub(super) fn id_in_use() -> Objection {
    let why = "a request with this id is on its way already";
    let objection = Objection::new(&refusal::REQUEST_INVALID, why).showing(why);
    objection.remedied("give each request an id of its own")
}

pub(super) fn unreadable(error: &MessageError) -> Objection {
    let why = error.to_string();
    match error {
        // The code says it all.
        MessageError::Batch => Objection::new(&refusal::MESSAGE_BATCH, why),
        MessageError::BatchSize(_) => {
            let objection = Objection::new(&refusal::MESSAGE_INVALID, why.clone()).showing(why);
            objection.remedied(format!("send 1 to {BATCH_MESSAGES_MAX} messages in one array"))
        }
        MessageError::CaseVariant(..) => {
            let objection = Objection::new(&refusal::MESSAGE_INVALID, why.clone()).showing(why);
            objection.remedied("spell the names of members as the specification does")
        }
        MessageError::Envelope(what) => Objection::new(&refusal::MESSAGE_INVALID, why).showing(*what),
        MessageError::Id(what) => {
            let objection = Objection::new(&refusal::MESSAGE_INVALID, why).showing(*what);
            objection.remedied(format!(
                "use an integer, or a string of at most {ID_BYTES_MAX} bytes, as `id`"
            ))
        }
        MessageError::Json(error) => {
            let objection = Objection::new(&refusal::MESSAGE_MALFORMED, why.clone()).showing(why);
            match too_much(error.fault) {
                Some(remedy) => objection.remedied(remedy),
                None => objection,
            }
        }
        MessageError::UnknownMethod(_) => Objection::new(&refusal::METHOD_UNKNOWN, why.clone()).showing(why),
    }
}

/// The limit of a message that is strict JSON, and too much.
fn too_much(fault: JsonFault) -> Option<String> {
    let (what, most) = match fault {
        JsonFault::LongKey => ("bytes in a key", REQUEST.key_bytes_max),
        JsonFault::LongNumber => ("bytes in a number", REQUEST.number_bytes_max),
        JsonFault::TooDeep => ("levels of arrays and objects", REQUEST.depth_max),
        JsonFault::TooLong => ("bytes", REQUEST.text_bytes_max),
        JsonFault::TooMany => ("values", REQUEST.values_max),
        JsonFault::BadEscape
        | JsonFault::BadNumber
        | JsonFault::CaseVariantKey
        | JsonFault::ControlCharacter
        | JsonFault::DuplicateKey
        | JsonFault::EndsEarly
        | JsonFault::LoneSurrogate
        | JsonFault::NotFinite
        | JsonFault::NotUtf8
        | JsonFault::Trailing
        | JsonFault::Unexpected => return None,
    };
    Some(format!("send at most {most} {what}"))
}

/// Reads the body of a message.
async fn read(headers: &HeaderMap, incoming: Incoming) -> Result<Vec<u8>, Objection> {
    accepts(headers)?;
    body::read(incoming, REQUEST.text_bytes_max).await
}

/// What is to be answered where nothing could be read.
fn nobody(headers: &HeaderMap) -> Asked {
    Asked {
        id: None,
        method: None,
        revision: guess(headers),
    }
}

/// What is to be answered, and why nothing else, where the text is no message.
pub(super) fn unread(headers: &HeaderMap, refused: &Refused) -> (Asked, Objection) {
    let asked = Asked {
        id: refused.id.clone(),
        ..nobody(headers)
    };
    (asked, unreadable(&refused.error))
}

/// Whether a client comes back when its stream ends before the answer.
fn polls(session: &Session) -> bool {
    session.revision >= Revision::V2025_11_25
}

fn beginning(session: &Session) -> Beginning {
    if polls(session) {
        Beginning::Primed
    } else {
        Beginning::Plain
    }
}

/// The stream that a client comes back to, and after which event; none where it names no event.
fn rest(headers: &HeaderMap, session: &Session) -> Result<Option<(Arc<Kept>, u64, Beginning)>, Objection> {
    let unknown = |why: &str| {
        let objection = Objection::new(&refusal::REQUEST_INVALID, why).showing(why);
        objection.remedied("send the id of the last event you were sent in this session, or none")
    };
    let id = one(headers, &LAST_EVENT).map_err(|_| unknown("`Last-Event-ID` cannot be read"))?;
    // Who was sent no event yet may say so by an empty id.
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let place = Place::parse(id).ok_or_else(|| unknown("`Last-Event-ID` is no id of an event of ours"))?;
    match session.streams.after(place) {
        Rest::Whole(stream) => Ok(Some((stream, place.number, Beginning::Plain))),
        Rest::End(stream) => Ok(Some((stream, place.number, Beginning::Torn))),
        Rest::Gone => Err(Objection::new(
            &refusal::EVENTS_GONE,
            format!("after event `{place}`"),
        )),
        Rest::Never => Err(unknown("no event of this session has the id in `Last-Event-ID`")),
    }
}

/// Answers with a stream: one of the session, if there is one, else one that lives with its connection.
fn stream(
    session: Option<Arc<Session>>,
    told: Told,
    let_go: Arc<Notify>,
    on_close: Option<OnClose>,
) -> Response<Body> {
    match session {
        None => events(told, on_close),
        Some(session) => {
            let polls = polls(&session);
            let let_go = if polls { let_go } else { Arc::default() };
            replay(&keep(&session, told, let_go), 0, beginning(&session))
        }
    }
}
