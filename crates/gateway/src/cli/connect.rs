//! `sallyport connect URL`: a bridge for hosts that only speak stdio.
//!
//! Lines from the host are posted to the URL, answers and events come back as lines. It proves itself with
//! a client's id and secret where the server asks for a token, and takes the flags of `mcp-remote`.
//!
//! `connect --serve` bridges to the gateway of this machine's own configuration and starts it if it does not
//! run. Whoever may open that gateway's control socket gets a token for one of its agents there.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
    time::Instant,
};
use wire::{
    bounds::{ANSWER, REQUEST},
    framing::{EventReader, Line, Lines},
    json::{Document, Keys, Node},
    jsonrpc::{self, Message},
    mcp::{Target, code, encode_sentinel, meta, target},
};

use policy::PartyKind;

use super::{
    Common,
    attach::{self, Attached},
    serve,
    token::Credentials,
};
use crate::{admin::control, config::Meant, failure::Failure, fetch::Fetch, vault::Layout};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Tokens last ten minutes.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(8 * 60);
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Bridge stdio to a gateway or any MCP server over HTTP.
#[derive(Args, Debug)]
pub(crate) struct Connect {
    /// The URL, such as http://127.0.0.1:8420/mcp.
    #[arg(required_unless_present = "serve")]
    url: Option<String>,
    /// Bridge to the gateway of the configuration; start it if it does not run. It ends with its last host.
    #[arg(long, conflicts_with = "url")]
    serve: bool,
    /// With --serve: the agent the host is; the only configured one unless given.
    #[arg(long, value_name = "NAME", requires = "serve")]
    agent: Option<String>,
    /// A header to send along, `Name: value`; `${VARIABLE}` is replaced.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// Allow http:// to hosts other than this machine.
    #[arg(long)]
    allow_http: bool,
    /// The client id; SALLYPORT_CLIENT_ID unless given. The secret is read from SALLYPORT_CLIENT_SECRET.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The purpose to declare.
    #[arg(long)]
    purpose: Option<String>,
    /// The resource to ask a token for; the URL unless given.
    #[arg(long)]
    resource: Option<String>,
    /// How to reach the server; only Streamable HTTP is supported, so this must be `http-only` or `http-first`.
    #[arg(long, value_name = "STRATEGY", default_value = "http-first")]
    transport: String,
    /// Say more on standard error.
    #[arg(long)]
    debug: bool,
    /// Say nothing on standard error.
    #[arg(long)]
    silent: bool,
}

impl Connect {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Failure::other(error.to_string()))?;
        let result = runtime.block_on(async {
            if self.serve {
                return self.run_attached(common).await;
            }
            let url = self.url.clone().unwrap_or_default();
            let resource = self.resource.clone().unwrap_or_else(|| url.clone());
            let proof = Credentials::from_environment(self.client_id.clone(), resource, self.purpose.clone());
            Arc::new(self.bridge(&url, proof.map_or(Proof::None, Proof::Client))?)
                .run()
                .await
        });
        runtime.shutdown_background();
        result
    }

    /// Bridges to the gateway of the configuration for as long as both live.
    async fn run_attached(self, common: &Common) -> Result<(), Failure> {
        let config = serve::config_path(common).ok_or_else(|| {
            Failure::configuration(
                "there is no configuration; run `sallyport init`, or name one with --config",
            )
        })?;
        let meant = serve::load(common)?;
        let agent = self.agent(&meant)?;
        let mut attached: Attached = attach::attach(&config, &meant.data).await?;
        let url = format!("{}/mcp", attached.base);
        let proof = match agent {
            Some(agent) => Proof::Desk(Desk {
                socket: Layout::new(&meant.data).control(),
                agent,
                purpose: self.purpose.clone(),
                minted: Mutex::default(),
            }),
            None => Proof::None,
        };
        let bridge = Arc::new(self.bridge(&url, proof)?);
        // Said at once if the agent is not known there, not at the first call.
        bridge.renew().await?;
        tokio::select! {
            result = bridge.run() => result,
            () = attached.ended() => Err(Failure::unreachable("the gateway has ended; restart this host's servers")),
        }
    }

    /// Who the host is. Nobody in particular where configuration has a user for callers of this machine.
    fn agent(&self, meant: &Meant) -> Result<Option<String>, Failure> {
        if self.agent.is_some() || meant.anonymous.is_some() {
            return Ok(self.agent.clone());
        }
        let agents: Vec<_> = meant
            .parties
            .iter()
            .filter(|party| party.kind != PartyKind::User)
            .collect();
        match agents.as_slice() {
            [only] => Ok(Some(only.name.clone())),
            [] => Err(Failure::configuration(
                "no agent is configured; add one under `agents` with the role `owner`, or run `sallyport import`",
            )),
            several => {
                let names: Vec<_> = several.iter().map(|agent| agent.name.as_str()).collect();
                let names = names.join(", ");
                Err(Failure::configuration(format!(
                    "say which agent this host is with --agent; there are {names}"
                )))
            }
        }
    }

    fn bridge(self, url: &str, proof: Proof) -> Result<Bridge, Failure> {
        let url: Uri = url
            .parse()
            .map_err(|_| Failure::configuration(format!("`{url}` is not a URL; write http://host/mcp")))?;
        let local = matches!(url.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
        match url.scheme_str() {
            Some("https") => {}
            Some("http") if local || self.allow_http => {}
            Some("http") => {
                return Err(Failure::configuration(
                    "the URL is not encrypted; use https://, or --allow-http if you know the network",
                ));
            }
            _ => {
                return Err(Failure::configuration(
                    "the URL must begin with http:// or https://",
                ));
            }
        }
        if !matches!(self.transport.as_str(), "http-first" | "http-only") {
            return Err(Failure::configuration(
                "only Streamable HTTP is supported; use --transport http-only",
            ));
        }
        let headers = self
            .header
            .iter()
            .map(|text| header(text))
            .collect::<Result<Vec<_>, _>>()?;
        let (queue, lines) = mpsc::channel(256);
        Ok(Bridge {
            fetch: Fetch::new()?,
            url,
            headers,
            proof,
            queue,
            lines: Mutex::new(Some(lines)),
            state: Mutex::default(),
            loud: self.debug && !self.silent,
        })
    }
}

/// How the bridge proves who its host is.
#[derive(Debug)]
enum Proof {
    /// With a client's id and secret, where the server asks.
    Client(Credentials),
    /// With tokens from the control socket.
    Desk(Desk),
    /// Not at all.
    None,
}

/// Tokens from a gateway of this machine.
#[derive(Debug)]
struct Desk {
    socket: PathBuf,
    agent: String,
    purpose: Option<String>,
    minted: Mutex<Option<Instant>>,
}

impl Desk {
    fn is_stale(&self) -> bool {
        let minted = *self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        minted.is_none_or(|minted| minted.elapsed() > TOKEN_AGE_MAX)
    }

    async fn token(&self) -> Result<String, Failure> {
        let args = wire::json::object(|out| {
            out.string("agent", &self.agent);
            if let Some(purpose) = &self.purpose {
                out.string("purpose", purpose);
            }
        });
        let answer = control::ask(&self.socket, "token", &args).await?;
        let answer = answer.ok_or_else(|| Failure::unreachable("the gateway has ended"))?;
        *self.minted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let token = answer
            .root()
            .get("access_token")
            .and_then(Node::as_str)
            .unwrap_or_default();
        Ok(token.into_owned())
    }
}

/// What runs beside the reading of lines.
#[derive(Default)]
struct Running {
    calls: JoinSet<()>,
    streams: JoinSet<()>,
}

/// One bridge.
struct Bridge {
    fetch: Fetch,
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    proof: Proof,
    queue: mpsc::Sender<Vec<u8>>,
    lines: Mutex<Option<mpsc::Receiver<Vec<u8>>>>,
    state: Mutex<State>,
    loud: bool,
}

/// What the server said that later requests must say again.
#[derive(Clone, Debug, Default)]
struct State {
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
    token: Option<HeaderValue>,
}

impl Bridge {
    async fn run(self: Arc<Self>) -> Result<(), Failure> {
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
        let mut stdin = tokio::io::stdin();
        let mut lines = Lines::new(REQUEST.text_bytes_max);
        let mut buffer = vec![0; 64 * 1024];
        let mut running = Running::default();
        while let Ok(read @ 1..) = stdin.read(&mut buffer).await {
            lines.push(buffer.get(..read).unwrap_or_default());
            while let Some(line) = lines.next_line() {
                if let Line::Whole(line) = line {
                    self.clone().take(line, &mut running).await;
                }
                while running.calls.try_join_next().is_some() {}
            }
        }
        // The host is gone: answers that are on their way may still arrive, streams are not waited for.
        running.streams.shutdown().await;
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
        let Ok(message) = Message::parse(line.clone(), Keys::Exact, &REQUEST) else {
            // Let the server say what is wrong with it.
            running.calls.spawn(async move { self.post(line, None).await });
            return;
        };
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
            running.streams.spawn(async move { self.listen().await });
        }
    }

    async fn post(&self, line: Vec<u8>, message: Option<&Message>) {
        if let Err(failure) = self.exchange(line, message).await {
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

    async fn exchange(&self, line: Vec<u8>, message: Option<&Message>) -> Result<(), Failure> {
        self.renew().await?;
        let mut response = self
            .fetch
            .send(self.request(Method::POST, line.clone(), message)?)
            .await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Proof::Client(credentials) = &self.proof
        {
            let challenge = response
                .headers()
                .get(WWW_AUTHENTICATE)
                .and_then(|value| value.to_str().ok());
            let challenge = challenge.map(str::to_owned);
            let token = credentials.token(&self.fetch, challenge.as_deref()).await?;
            self.bear(&token)?;
            response = self
                .fetch
                .send(self.request(Method::POST, line, message)?)
                .await?;
        }
        if let Some(session) = response.headers().get(SESSION) {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).session = Some(session.clone());
        }
        self.read(response).await
    }

    /// A new token from the control socket, before the one we have runs out.
    async fn renew(&self) -> Result<(), Failure> {
        match &self.proof {
            Proof::Desk(desk) if desk.is_stale() => self.bear(&desk.token().await?),
            Proof::Client(_) | Proof::Desk(_) | Proof::None => Ok(()),
        }
    }

    fn bear(&self, token: &str) -> Result<(), Failure> {
        let value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Failure::unreachable("the token cannot be put into a header"))?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).token = Some(value);
        Ok(())
    }

    /// Passes on whatever comes back.
    async fn read(&self, response: Response<Incoming>) -> Result<(), Failure> {
        let status = response.status();
        let content = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content = content.unwrap_or_default().to_owned();
        if content.starts_with("text/event-stream") {
            return self.read_events(response).await;
        }
        if content.starts_with("application/json") {
            let whole = Fetch::whole(response).await?;
            self.pass(whole).await;
            return Ok(());
        }
        if status.is_success() {
            return Ok(());
        }
        Err(Failure::unreachable(format!("{} answered {status}", self.url)))
    }

    async fn read_events(&self, response: Response<Incoming>) -> Result<(), Failure> {
        let mut body = response.into_body();
        let mut reader = EventReader::new(ANSWER.text_bytes_max);
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Failure::unreachable(format!("the stream broke off: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            let mut events = Vec::new();
            let pushed = reader.push(&data, |event| events.push(event));
            pushed.map_err(|error| Failure::unreachable(error.to_string()))?;
            for event in events.into_iter().filter(|event| !event.data.is_empty()) {
                self.pass(event.data).await;
            }
        }
        Ok(())
    }

    /// Gives the host a message: on one line, and the negotiated version remembered.
    async fn pass(&self, message: Vec<u8>) {
        let Ok(document) = Document::parse(message, Keys::Exact, &ANSWER) else {
            return self.complain("the server sent something that is not JSON");
        };
        let root = document.root();
        let version = root
            .get("result")
            .and_then(|result| result.get("protocolVersion"))
            .and_then(Node::as_str);
        if let Some(version) = version.and_then(|version| HeaderValue::try_from(&*version).ok()) {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).version = Some(version);
        }
        // An answer to a notification has no place to go.
        if root.get("error").is_some() && root.get("id").is_none_or(Node::is_null) {
            return self.complain(document.text());
        }
        let mut writer = wire::json::Writer::with_capacity(document.text().len());
        writer.node(root);
        let _ = self.queue.send(writer.into_bytes()).await;
    }

    /// The stream for what belongs to no call.
    async fn listen(&self) {
        let Ok(mut request) = self.request(Method::GET, Vec::new(), None) else {
            return;
        };
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Ok(response) = self.fetch.send(request).await
            && response.status().is_success()
        {
            let _ = self.read_events(response).await;
        }
    }

    async fn end_session(&self) {
        let has_session = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .session
            .is_some();
        if has_session && let Ok(request) = self.request(Method::DELETE, Vec::new(), None) {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(2), self.fetch.send(request)).await;
        }
    }

    fn request(
        &self,
        method: Method,
        body: Vec<u8>,
        message: Option<&Message>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        for (name, value) in [
            (SESSION, state.session),
            (VERSION, state.version),
            (AUTHORIZATION, state.token),
        ] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        if let Some(message) = message {
            mirror(message, headers)?;
        }
        Ok(request)
    }

    #[expect(clippy::print_stderr, reason = "standard output belongs to the host")]
    fn complain(&self, text: &str) {
        if self.loud {
            eprintln!("sallyport: {text}");
        }
    }
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
        Ok(Target::Completion { .. } | Target::None) | Err(_) => None,
    };
    if let Some(name) = name {
        headers.insert("mcp-name", value(&encode_sentinel(&name))?);
    }
    Ok(())
}

/// `Name: value`, with `${VARIABLE}` replaced.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = || Failure::configuration(format!("`{text}` is not a header; write `Name: value`"));
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let mut out = String::new();
    let mut rest = value.trim();
    while let Some((before, tail)) = rest.split_once("${") {
        let (variable, after) = tail.split_once('}').ok_or_else(wrong)?;
        out.push_str(before);
        let found = std::env::var(variable);
        out.push_str(
            &found.map_err(|_| Failure::configuration(format!("the variable `{variable}` is not set")))?,
        );
        rest = after;
    }
    out.push_str(rest);
    let mut value = HeaderValue::try_from(out).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((HeaderName::try_from(name.trim()).map_err(|_| wrong())?, value))
}
