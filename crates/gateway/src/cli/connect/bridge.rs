//! The bridge itself: lines from the host are posted to the server, answers and events come back as lines.
//!
//! A server that speaks the transport of 2024-11-05 (HTTP+SSE) says in its stream where to post; all else is the same.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes as Chunk, Incoming},
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
};
use wire::{
    bounds::{ANSWER, REQUEST},
    framing::{EventReader, Line, Lines},
    json::{Document, Edits, Keys, Kind, Node, object},
    jsonrpc::{self, Id, Message},
    mcp::{Target, code, encode_sentinel, meta, target},
};

use super::{
    super::output::remark, Proof, era::Modern, flags::Transport, login::Next, tools::Ignored,
    unread::refused_unread,
};
use crate::{
    failure::Failure,
    outside::{fetch::Fetch, oauth::discovery::origin},
};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// How ids of our own requests begin.
const OWN: &str = "sallyport-ping-";
/// How long the old transport may take to say where to post.
const ENDPOINT_WAIT: Duration = Duration::from_secs(30);
/// Most tries of one request: without a token, with one, with a nonce, with more scopes.
const TRIES: usize = 5;

/// What runs beside the reading of lines.
#[derive(Default)]
pub(super) struct Running {
    pub(super) calls: JoinSet<()>,
}

/// How things are done.
pub(super) struct Manner {
    pub(super) transport: Transport,
    /// Whether the server is asked first if it is of the modern era.
    pub(super) finds_era: bool,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) ignored: Ignored,
    /// The declared context, where it does not go with the token.
    pub(super) context: Option<Vec<u8>>,
    pub(super) head_patience: Option<Duration>,
    pub(super) body_patience: Option<Duration>,
    pub(super) ping: Option<Duration>,
    pub(super) is_loud: bool,
}

/// One bridge.
pub(super) struct Bridge {
    fetch: Fetch,
    url: Uri,
    manner: Manner,
    proof: Proof,
    queue: mpsc::Sender<Vec<u8>>,
    lines: Mutex<Option<mpsc::Receiver<Vec<u8>>>>,
    streams: Mutex<JoinSet<()>>,
    state: Mutex<State>,
    modern: OnceLock<Arc<Modern>>,
}

/// What the server said that later requests must say again.
#[derive(Clone, Debug, Default)]
struct State {
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
    /// Where the old transport has requests posted.
    endpoint: Option<Uri>,
}

/// What is sent, as often as it takes.
pub(super) struct Sending<'s> {
    pub(super) method: Method,
    pub(super) line: Bytes,
    pub(super) message: Option<&'s Message>,
    pub(super) accept: &'static str,
}

impl Bridge {
    pub(super) fn new(fetch: Fetch, url: Uri, proof: Proof, manner: Manner) -> Self {
        let (queue, lines) = mpsc::channel(256);
        Self {
            fetch,
            url,
            manner,
            proof,
            queue,
            lines: Mutex::new(Some(lines)),
            streams: Mutex::default(),
            state: Mutex::default(),
            modern: OnceLock::new(),
        }
    }

    /// The server is of the modern era.
    pub(super) fn be_modern(&self, modern: Arc<Modern>) {
        let _ = self.modern.set(modern);
    }

    /// Tells the host.
    pub(super) async fn say(&self, line: Vec<u8>) {
        let _ = self.queue.send(line).await;
    }

    /// Tells the host what it can do without, where nobody can wait for it.
    pub(super) fn mention(&self, line: Vec<u8>) {
        let _ = self.queue.try_send(line);
    }

    pub(super) fn is_ignored(&self, tool: &str) -> bool {
        self.manner.ignored.has(tool)
    }

    /// What is declared with each request, where it does not go with the token.
    pub(super) fn context(&self) -> Option<&[u8]> {
        let declares = matches!(&self.proof, Proof::Login(login) if login.declares());
        self.manner.context.as_deref().filter(|_| !declares)
    }

    /// Runs beside the lines of the host, until it is gone.
    pub(super) fn beside(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.streams().spawn(work)
    }

    /// Whether there is a proof of who the host is.
    pub(super) async fn is_known(&self) -> Result<(), Failure> {
        self.proof
            .headers("POST", &self.url.to_string())
            .await
            .map(|_| ())
    }

    pub(super) async fn run(self: Arc<Self>) -> Result<(), Failure> {
        let Some(mut outgoing) = self.lines.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let writing = tokio::spawn(async move {
            let mut stdout = tokio::io::stdout();
            while let Some(mut line) = outgoing.recv().await {
                line.push(b'\n');
                if stdout.write_all(&line).await.is_err() || stdout.flush().await.is_err() {
                    break;
                }
            }
        });
        if matches!(self.manner.transport, Transport::SseOnly | Transport::SseFirst) {
            self.clone().open_old().await?;
        }
        let mut stdin = tokio::io::stdin();
        let mut lines = Lines::new(REQUEST.text_bytes_max);
        let mut buffer = vec![0; 64 * 1024];
        let mut running = Running::default();
        while let Ok(read @ 1..) = stdin.read(&mut buffer).await {
            lines.push(buffer.get(..read).unwrap_or_default());
            while let Some(line) = lines.next_line() {
                match line {
                    Line::Whole(line) => self.clone().take(line, &mut running).await,
                    Line::TooLong => {
                        let text = format!("a message has at most {} bytes", REQUEST.text_bytes_max);
                        self.say(jsonrpc::error(None, code::INVALID_REQUEST, &text, None))
                            .await;
                    }
                }
                while running.calls.try_join_next().is_some() {}
            }
        }
        // The host is gone: answers that are on their way may still arrive, streams are not waited for.
        self.streams().abort_all();
        let _ = tokio::time::timeout(Duration::from_secs(5), async {
            while running.calls.join_next().await.is_some() {}
        })
        .await;
        running.calls.shutdown().await;
        self.end_session().await;
        // The queue ends with us; what is in it is still written.
        drop(self);
        let _ = tokio::time::timeout(Duration::from_secs(2), writing).await;
        Ok(())
    }

    /// Sends one line. The handshake is finished before the next line is sent; requests run side by side.
    async fn take(self: Arc<Self>, line: Vec<u8>, running: &mut Running) {
        let message = match Message::parse(line.clone(), Keys::Exact, &REQUEST) {
            Ok(message) => message,
            Err(refused) => {
                running
                    .calls
                    .spawn(async move { self.show_unread(line, &refused).await });
                return;
            }
        };
        if let Some(modern) = self.modern.get().cloned() {
            return self.take_modern(&modern, message, running).await;
        }
        let is_hello = message.method() == Some(wire::mcp::Method::Initialize);
        if self.manner.finds_era && is_hello && self.open_modern(&message).await {
            return;
        }
        let in_order = matches!(message, Message::Notification(_) | Message::Response(_))
            || message.method() == Some(wire::mcp::Method::Initialize);
        let initialized = message.method() == Some(wire::mcp::Method::NotificationsInitialized);
        let bridge = Arc::clone(&self);
        let work = async move { bridge.post(line, Some(&message)).await };
        if in_order {
            work.await;
        } else {
            running.calls.spawn(work);
        }
        if initialized {
            self.after_handshake();
        }
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn after_handshake(self: &Arc<Self>) {
        let mut streams = self.streams();
        if self.state().endpoint.is_none() {
            let bridge = Arc::clone(self);
            streams.spawn(async move { bridge.listen().await });
        }
        if let Some(pause) = self.manner.ping {
            let bridge = Arc::clone(self);
            streams.spawn(async move { bridge.ping(pause).await });
        }
    }

    async fn ping(self: Arc<Self>, pause: Duration) {
        for n in 0_u64.. {
            tokio::time::sleep(pause).await;
            let line = jsonrpc::request(&Id::String(format!("{OWN}{n}")), wire::mcp::Method::Ping, |_| {});
            if let Err(failure) = self.clone().exchange(line, None).await {
                self.complain(&failure.to_string());
            }
        }
    }

    async fn post(self: Arc<Self>, line: Vec<u8>, message: Option<&Message>) {
        if let Err(failure) = self.clone().exchange(line, message).await {
            self.complain(&failure.to_string());
            if let Some(id) = message
                .and_then(Message::id)
                .filter(|_| matches!(message, Some(Message::Request(_))))
            {
                let answer = jsonrpc::error(Some(id), code::INTERNAL_ERROR, &failure.to_string(), None);
                let _ = self.queue.send(answer).await;
            }
        }
    }

    async fn exchange(self: Arc<Self>, line: Vec<u8>, message: Option<&Message>) -> Result<(), Failure> {
        if let Some((id, name)) = message
            .and_then(called)
            .filter(|(_, name)| self.manner.ignored.has(name))
        {
            let text = format!("Tool \"{name}\" is not available");
            let _ = self
                .queue
                .send(jsonrpc::error(Some(&id), code::INTERNAL_ERROR, &text, None))
                .await;
            return Ok(());
        }
        let line = match (self.context(), message) {
            (Some(context), Some(message)) => declared(message, line, context),
            (Some(_), None) | (None, _) => line,
        };
        let sending = Sending {
            method: Method::POST,
            line: Bytes::from(line),
            message,
            accept: "application/json, text/event-stream",
        };
        let response = self.send(&sending).await?;
        let is_first = message.and_then(Message::method) == Some(wire::mcp::Method::Initialize);
        let is_absent = matches!(
            response.status(),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        );
        let may_fall_back = self.manner.transport == Transport::HttpFirst && self.state().endpoint.is_none();
        if is_first && is_absent && may_fall_back && self.clone().open_old().await.is_ok() {
            let response = self.send(&sending).await?;
            return self.read(response).await;
        }
        if let Some(session) = response.headers().get(SESSION) {
            self.state().session = Some(session.clone());
        }
        self.read(response).await
    }

    /// Sends a request with what proves our host, and again when the server wants another proof.
    pub(super) async fn send(&self, sending: &Sending<'_>) -> Result<Response<Incoming>, Failure> {
        let url = self
            .state()
            .endpoint
            .clone()
            .filter(|_| sending.method == Method::POST);
        let url = url.unwrap_or_else(|| self.url.clone());
        let text = url.to_string();
        let mut tries = 0;
        loop {
            let proof = self.proof.headers(sending.method.as_str(), &text).await?;
            let request = self.request(sending, &url, &proof)?;
            let answer = self.fetch.send(request);
            let response = match self.manner.head_patience {
                None => answer.await?,
                Some(patience) => tokio::time::timeout(patience, answer)
                    .await
                    .map_err(|_| Failure::unreachable(format!("no answer within {patience:?}")))??,
            };
            tries += 1;
            match &self.proof {
                Proof::Login(login) if tries < TRIES => {
                    let said = (response.status(), response.headers());
                    match login.answered(&text, &proof, said.0, said.1).await? {
                        Next::Again => {}
                        Next::Take => return Ok(response),
                    }
                }
                Proof::Login(_) | Proof::Desk(_) | Proof::None => return Ok(response),
            }
        }
    }

    /// Opens the stream of the old transport, and waits until it says where to post.
    async fn open_old(self: Arc<Self>) -> Result<(), Failure> {
        let response = self.send(&Sending::of_stream()).await?;
        let status = response.status();
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if !status.is_success() || !is_stream {
            return match self.manner.transport {
                // It will be asked in the other way.
                Transport::SseFirst => Ok(()),
                Transport::SseOnly | Transport::HttpFirst | Transport::HttpOnly => {
                    Err(Failure::unreachable(format!(
                        "{} answered {status} and opened no stream; try --transport http-only",
                        self.url
                    )))
                }
            };
        }
        let (told, endpoint) = oneshot::channel();
        let bridge = Arc::clone(&self);
        self.streams().spawn(async move {
            if let Err(failure) = bridge.read_events(response, Some(told)).await {
                bridge.complain(&failure.to_string());
            }
        });
        let endpoint = tokio::time::timeout(ENDPOINT_WAIT, endpoint).await;
        let endpoint = endpoint.ok().and_then(Result::ok);
        let silent = || Failure::unreachable("the server's stream does not say where to post");
        let endpoint = resolved(&self.url, &endpoint.ok_or_else(silent)?)?;
        self.state().endpoint = Some(endpoint);
        Ok(())
    }

    /// Passes on whatever comes back.
    pub(super) async fn read(&self, response: Response<Incoming>) -> Result<(), Failure> {
        let status = response.status();
        let content = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content = content.unwrap_or_default().to_owned();
        if content.starts_with("text/event-stream") {
            return self.read_events(response, None).await;
        }
        if content.starts_with("application/json") {
            let whole = Fetch::whole(response).await?;
            if !status.is_success()
                && let Some(why) = refused_unread(&whole)
            {
                // It names no request, and the host would wait for its answer for ever.
                return Err(Failure::unreachable(format!(
                    "{} answered {status}: {why}",
                    self.url
                )));
            }
            self.pass(whole).await;
            return Ok(());
        }
        if status.is_success() {
            return Ok(());
        }
        Err(Failure::unreachable(format!("{} answered {status}", self.url)))
    }

    async fn read_events(
        &self,
        response: Response<Incoming>,
        mut endpoint: Option<oneshot::Sender<String>>,
    ) -> Result<(), Failure> {
        let mut body = response.into_body();
        let mut reader = EventReader::new(ANSWER.text_bytes_max);
        while let Some(data) = self.next(&mut body).await? {
            let mut events = Vec::new();
            let pushed = reader.push(&data, |event| events.push(event));
            pushed.map_err(|error| Failure::unreachable(error.to_string()))?;
            for event in events.into_iter().filter(|event| !event.data.is_empty()) {
                match endpoint.take_if(|_| event.name == "endpoint") {
                    Some(told) => {
                        let _ = told.send(String::from_utf8_lossy(&event.data).into_owned());
                    }
                    None => self.pass(event.data).await,
                }
            }
        }
        Ok(())
    }

    /// The next piece of a body; none at its end.
    pub(super) async fn next(&self, body: &mut Incoming) -> Result<Option<Chunk>, Failure> {
        loop {
            let frame = match self.manner.body_patience {
                None => body.frame().await,
                Some(patience) => tokio::time::timeout(patience, body.frame())
                    .await
                    .map_err(|_| Failure::unreachable(format!("the stream paused for {patience:?}")))?,
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame =
                frame.map_err(|error| Failure::unreachable(format!("the stream broke off: {error}")))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// Gives the host a message: on one line, and the negotiated version remembered.
    pub(super) async fn pass(&self, message: Vec<u8>) {
        let Ok(document) = Document::parse(message, Keys::Exact, &ANSWER) else {
            return self.complain("the server sent something that is not JSON");
        };
        let root = document.root();
        let version = root
            .get("result")
            .and_then(|result| result.get("protocolVersion"))
            .and_then(Node::as_str);
        if let Some(version) = version.and_then(|version| HeaderValue::try_from(&*version).ok()) {
            self.state().version = Some(version);
        }
        // An answer to a notification has no place to go.
        if root.get("error").is_some() && root.get("id").is_none_or(Node::is_null) {
            return self.complain(document.text());
        }
        let answers_us = root.get("method").is_none()
            && root
                .get("id")
                .and_then(Node::as_str)
                .is_some_and(|id| id.starts_with(OWN));
        if !answers_us {
            let _ = self.queue.send(self.manner.ignored.without(&document)).await;
        }
    }

    /// The stream for what belongs to no call.
    async fn listen(&self) {
        if let Ok(response) = self.send(&Sending::of_stream()).await
            && response.status().is_success()
        {
            let _ = self.read_events(response, None).await;
        }
    }

    async fn end_session(&self) {
        let ending = Sending {
            method: Method::DELETE,
            accept: "application/json",
            ..Sending::of_stream()
        };
        if self.state().session.is_some() {
            let _ = tokio::time::timeout(Duration::from_secs(2), self.send(&ending)).await;
        }
    }

    fn request(
        &self,
        sending: &Sending<'_>,
        url: &Uri,
        proof: &[(HeaderName, HeaderValue)],
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let state = self.state().clone();
        let mut request = Request::new(Full::new(sending.line.clone()));
        *request.method_mut() = sending.method.clone();
        *request.uri_mut() = url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static(sending.accept));
        for (name, value) in self.manner.headers.iter().chain(proof) {
            headers.insert(name, value.clone());
        }
        for (name, value) in [(SESSION, state.session), (VERSION, state.version)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        if let Some(message) = sending.message {
            mirror(message, headers)?;
        }
        Ok(request)
    }

    /// Standard output belongs to the host.
    pub(super) fn complain(&self, text: &str) {
        if self.manner.is_loud {
            remark(text);
        }
    }
}

impl Sending<'_> {
    /// A stream is asked for.
    fn of_stream() -> Self {
        Self {
            method: Method::GET,
            line: Bytes::new(),
            message: None,
            accept: "text/event-stream",
        }
    }
}

/// The tool that a request calls.
pub(super) fn called(message: &Message) -> Option<(Id, String)> {
    let Message::Request(_) = message else { return None };
    match target(message) {
        Ok(Target::Tool { name, .. }) => Some((message.id()?.clone(), name.to_string())),
        Ok(_) | Err(_) => None,
    }
}

/// A request with the declared context in its `_meta`.
pub(super) fn declared(message: &Message, line: Vec<u8>, context: &[u8]) -> Vec<u8> {
    let Message::Request(_) = message else { return line };
    let Ok(document) = Document::parse(line.clone(), Keys::Exact, &REQUEST) else {
        return line;
    };
    let root = document.root();
    let params = root.get("params");
    if params.is_some_and(|params| params.kind() != Kind::Object) {
        return line;
    }
    let (given, none) = (params.and_then(|params| params.get("_meta")), Edits::default());
    object(|out| {
        out.members_except(root, &["params"], &none);
        out.object("params", |out| {
            if let Some(params) = params {
                out.members_except(params, &["_meta"], &none);
            }
            out.object("_meta", |out| {
                if let Some(given) = given.filter(|given| given.kind() == Kind::Object) {
                    out.members_except(given, &[meta::CONTEXT], &none);
                }
                out.json(meta::CONTEXT, context);
            });
        });
    })
}

/// Where the old transport has requests posted: at the same host, for the token is shown there.
fn resolved(url: &Uri, endpoint: &str) -> Result<Uri, Failure> {
    let own = origin(&url.to_string());
    let whole = if endpoint.starts_with('/') && !endpoint.starts_with("//") {
        format!("{own}{endpoint}")
    } else {
        endpoint.to_owned()
    };
    if origin(&whole) != own {
        return Err(Failure::unreachable(
            "the server's stream says to post to another host, which gets nothing",
        ));
    }
    whole
        .parse()
        .map_err(|_| Failure::unreachable("the server's stream does not say where to post"))
}

/// The headers that mirror the body, where the message is in a revision that has them.
fn mirror(message: &Message, headers: &mut hyper::HeaderMap) -> Result<(), Failure> {
    let value = |text: &str| {
        HeaderValue::try_from(text).map_err(|_| Failure::configuration("a name cannot be put into a header"))
    };
    let said = message
        .params()
        .and_then(meta::of)
        .and_then(|meta| meta.get(meta::PROTOCOL_VERSION));
    let (Some(version), Some(method)) = (said.and_then(Node::as_str), message.method()) else {
        return Ok(());
    };
    headers.insert(VERSION, value(&version)?);
    headers.insert("mcp-method", value(method.name())?);
    let name = match target(message) {
        Ok(Target::Tool { name, .. } | Target::Prompt { name, .. }) => Some(name),
        Ok(Target::Resource { uri }) => Some(uri),
        Ok(Target::Task { id }) => Some(id),
        Ok(Target::Completion { .. } | Target::Model { .. } | Target::None) | Err(_) => None,
    };
    if let Some(name) = name {
        headers.insert("mcp-name", value(&encode_sentinel(&name))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_transport_posts_to_its_own_host() {
        let url: Uri = "https://a.example/sse".parse().expect("a URL");
        let at = |endpoint: &str| resolved(&url, endpoint).map(|uri| uri.to_string());
        assert_eq!(
            at("/messages?s=1").expect("a path"),
            "https://a.example/messages?s=1"
        );
        assert_eq!(at("https://a.example/m").expect("whole"), "https://a.example/m");
        for other in [
            "https://b.example/m",
            "//b.example/m",
            "http://a.example/m",
            "https://a.example:444/m",
            "",
        ] {
            at(other).expect_err(other);
        }
    }

    #[test]
    fn context_goes_with_requests_and_leaves_the_rest() {
        let line = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"x":1}}}"#;
        let message = Message::parse(line.to_vec(), Keys::Exact, &REQUEST).expect("a message");
        let with = declared(&message, line.to_vec(), br#"{"purpose":"p"}"#);
        let with = String::from_utf8(with).expect("text");
        assert!(
            with.contains(r#""_meta":{"x":1,"io.sallyport/context":{"purpose":"p"}}"#)
                && with.contains(r#""name":"a""#),
            "{with}"
        );
    }
}
