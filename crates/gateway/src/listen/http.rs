//! The HTTP listener: connections, limits before anything is read, and the way from a path to its door.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderValue, RETRY_AFTER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use pipeline::{Endpoint, Objection, ports::Stranger};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use wire::mcp::{Revision, ServerName};

use super::{
    House, api, authorize, authorize_elsewhere,
    body::{self, Body},
    connect, console, decide, device, enroll, gate,
    head::Peer,
    heads::Heads,
    mcp::Visit,
    models, oauth, passkeys, people_grants, registry, sse, tiles, tokens, websocket, witness,
};
use crate::{
    config::events::SaidMetrics,
    conversations::present::{Asked, outcome},
    evidence::metrics,
    tls::{Acceptor, Failed, Welcome},
};

/// Most connections at a time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 4_096;
/// How long a client may take to send its headers.
const HEADER_WAIT: Duration = Duration::from_secs(10);
/// How large all headers of a request may be together, in bytes.
pub(super) const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 100;
/// How long running calls may take to end when the gateway stops.
const DRAIN_WAIT: Duration = Duration::from_secs(10);

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    /// What connections go through first, where there is TLS.
    pub(crate) tls: Option<Arc<Acceptor>>,
}

impl Listening {
    /// Binds an address.
    pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            tls: None,
        })
    }
}

/// Serves until told to stop, then lets running calls end.
pub(crate) async fn serve(house: Arc<House>, listening: Listening, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listening.listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others will be closed soon.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Latency of small answers matters more than packets.
        let _ = stream.set_nodelay(true);
        let house = Arc::clone(&house);
        let (acceptor, stop) = (listening.tls.clone(), stop.clone());
        tokio::spawn(async move {
            match acceptor {
                None => {
                    let peer = Peer::new(address, None, None);
                    converse(house, peer, stream, std::future::pending(), stop).await;
                }
                Some(acceptor) => converse_in_tls(house, address, stream, &acceptor, stop).await,
            }
            drop(place);
        });
    }
    drop(listening);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN_WAIT, places.acquire_many(all)).await;
}

/// Serves a connection over TLS for as long as its client may come.
async fn converse_in_tls(
    house: Arc<House>,
    address: SocketAddr,
    stream: TcpStream,
    acceptor: &Arc<Acceptor>,
    stop: watch::Receiver<bool>,
) {
    let changed = acceptor.changed();
    match acceptor.accept(stream).await {
        Ok(accepted) => {
            let tls = Some(accepted.tls);
            let welcome = Welcome::of(Arc::clone(acceptor), accepted.presented, changed);
            let peer = Peer::new(address, tls, Some(welcome.clone()));
            let unwelcome = async {
                let why = welcome.ends().await;
                refused(&house, address, why);
            };
            converse(Arc::clone(&house), peer, accepted.stream, unwelcome, stop).await;
        }
        Err(Failed::Refused(why)) => refused(&house, address, why),
        Err(Failed::Gone) => {}
    }
}

fn refused(house: &House, address: SocketAddr, why: String) {
    tracing::debug!(%address, why, "a TLS connection was refused");
    let detail = [("why", why), ("peer", address.to_string())];
    house
        .engines
        .journal
        .stranger("tls-refused", address.ip(), &detail);
}

/// Serves a connection until its client ends it, or it becomes unwelcome.
async fn converse<S>(
    house: Arc<House>,
    peer: Peer,
    stream: S,
    unwelcome: impl Future<Output = ()> + Send,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (house, peer) = (Arc::clone(&house), peer.clone());
        // In a box, since hyper moves it: it is large.
        Box::pin(async move { Ok::<_, Infallible>(to_come_again(answer(&house, peer, request).await)) })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_buf_size(HEADERS_BYTES_MAX)
        // What is in the buffer in one piece is not held to its size.
        .max_header_size(HEADERS_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(false)
        .serve_connection(TokioIo::new(Heads::new(stream)), service)
        // For WebSockets.
        .with_upgrades();
    let mut connection = pin!(connection);
    // A connection that breaks is its client's affair.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = unwelcome => {}
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Resolves when the gateway is told to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever tells is gone, too: that also means to stop.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whoever is told that something is away is told when to come again, whichever door it was.
fn to_come_again(mut response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        let header = response.headers_mut().entry(RETRY_AFTER);
        header.or_insert(HeaderValue::from_static("1"));
    }
    response
}

/// From a path to its door.
async fn answer(house: &Arc<House>, peer: Peer, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    // Health says nothing about anybody and must work when nothing else does.
    if path == "/healthz" && is_get(request.method()) {
        return body::with_type(StatusCode::OK, "text/plain", b"ok\n".to_vec());
    }
    let headers = request.headers();
    let passes = gate::check(request.uri(), headers, &house.hosts, &house.origins);
    if let Err(objection) = passes.and_then(|()| gate::plain(headers)) {
        return Box::pin(turned_away(house, peer, &path, objection)).await;
    }
    if path == "/mcp" {
        let query = request.uri().query().map(Arc::from);
        let line = (Endpoint::All, request.method().clone(), query);
        let visit = visit(house, peer, &path, line);
        return visit.answer(request).await;
    }
    // In a box: one door is that of nearly every call, and all others would make its future as large as theirs.
    Box::pin(elsewhere(house, peer, path, request)).await
}

/// Whether something is only looked at. What answers `HEAD` is what answers `GET`; the library sends no body then.
fn is_get(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The other doors.
async fn elsewhere(
    house: &Arc<House>,
    peer: Peer,
    path: String,
    request: Request<Incoming>,
) -> Response<Body> {
    let get = is_get(request.method());
    if let Some(id) = path.strip_prefix("/approvals/") {
        return decide::answer(house, &peer, id, request).await;
    }
    if let Some(rest) = path.strip_prefix("/oauth/upstream/") {
        return connect::answer(house, &peer, rest, request).await;
    }
    if let Some(rest) = path.strip_prefix("/oauth/login/") {
        return authorize_elsewhere::answer(house, &peer, rest, &request).await;
    }
    if let Some(rest) = path.strip_prefix("/api/v1") {
        return api::answer(house, rest, request).await;
    }
    if let Some(rest) = path.strip_prefix("/console") {
        return console::answer(house, &peer, rest, request).await;
    }
    if let Some(rest) = path.strip_prefix("/witness/") {
        return witness::answer(house, rest, request).await;
    }
    let method = request.method().clone();
    let query = request.uri().query().map(Arc::from);
    let line = |endpoint| (endpoint, method.clone(), query.clone());
    let visit = |endpoint| visit(house, peer.clone(), &path, line(endpoint));
    match path.as_str() {
        "/sse" => sse::open(visit(Endpoint::All), request).await,
        "/messages" => sse::take(visit(Endpoint::All), request).await,
        "/ws" => websocket::answer(visit(Endpoint::All), request).await,
        path if models::has(path) => models::answer(visit(Endpoint::All), request).await,
        "/v0/servers" => registry::servers(visit(Endpoint::All), request).await,
        "/oauth/token" if request.method() == Method::POST => oauth::token(house, &peer, request).await,
        "/oauth/token" => body::only("POST"),
        "/oauth/authorize" | authorize::DEVICE => authorize::answer(house, &peer, request).await,
        "/oauth/device_authorization" => device::begin(house, &peer, request).await,
        passkeys::SCRIPT if get => passkeys::script(),
        "/oauth/grants" => people_grants::answer(house, &peer, request).await,
        "/oauth/introspect" => tokens::introspect(house, &peer, request).await,
        "/oauth/register" => tokens::register(house, &peer, request).await,
        "/agents/enroll" => enroll::enroll(house, &peer, request).await,
        "/agents/rotate" => enroll::rotate(house, &peer, request).await,
        "/oauth/revoke" => tokens::revoke(house, &peer, request).await,
        "/readyz" if get => ready(house),
        "/metrics" if get => counted(house, &peer),
        "/.well-known/jwks.json" if get => oauth::keys(house),
        _ => match (path.strip_prefix("/mcp/"), get) {
            (Some(name), _) => match ServerName::parse(name) {
                Ok(name) => visit(named(house, name)).answer(request).await,
                Err(_) => body::empty(StatusCode::NOT_FOUND),
            },
            (None, true) => published(house, &path).await,
            (None, false) => body::empty(StatusCode::NOT_FOUND),
        },
    }
}

/// A group's endpoint or a server's. Who proves nothing is not told which there are.
fn named(house: &House, name: ServerName) -> Endpoint {
    match house.groups.get(&name) {
        Some(group) => Endpoint::Group(Arc::clone(group)),
        None => Endpoint::Server(name),
    }
}

/// What anybody may read.
async fn published(house: &Arc<House>, path: &str) -> Response<Body> {
    let well_known = path.strip_prefix("/.well-known/").unwrap_or_default();
    // Clients append the resource's path, or do not; the answer is the same.
    if well_known.starts_with("oauth-authorization-server") || well_known.starts_with("openid-configuration")
    {
        return oauth::server_metadata(house);
    }
    if let Some(resource) = well_known.strip_prefix("oauth-protected-resource") {
        return oauth::resource_metadata(house, resource);
    }
    match path.strip_prefix("/ledger/") {
        Some(tile) => tiles::serve(house, tile).await,
        None => body::empty(StatusCode::NOT_FOUND),
    }
}

fn visit(house: &Arc<House>, peer: Peer, path: &str, line: (Endpoint, Method, Option<Arc<str>>)) -> Visit {
    let (endpoint, method, query) = line;
    let ambient = &house.engines.ambient;
    Visit {
        house: Arc::clone(house),
        endpoint,
        peer,
        method,
        path: Arc::from(path),
        query,
        body: None,
        proven: None,
        call: ambient.call(),
        received_ms: ambient.now_ms(),
    }
}

async fn turned_away(house: &Arc<House>, peer: Peer, path: &str, objection: Objection) -> Response<Body> {
    let ambient = &house.engines.ambient;
    let stranger = Stranger {
        call: ambient.call(),
        via: peer.via(),
        what: path.chars().take(100).collect(),
        received_ms: ambient.now_ms(),
    };
    let call = stranger.call.clone();
    let refusal = house.pipeline.turn_away(stranger, objection).await;
    let status = StatusCode::from_u16(refusal.code().http).unwrap_or(StatusCode::FORBIDDEN);
    let asked = Asked {
        id: None,
        method: None,
        revision: Revision::LATEST_LEGACY,
    };
    let said = outcome(&asked, Err(refusal), &call.0);
    body::json(status, said.message.unwrap_or_default())
}

/// What is counted, for whoever may read it.
fn counted(house: &House, peer: &Peer) -> Response<Body> {
    let may = match house.metrics {
        SaidMetrics::Anywhere => true,
        SaidMetrics::Here => peer.address.ip().to_canonical().is_loopback(),
        SaidMetrics::Off => false,
    };
    if may {
        body::with_type(
            StatusCode::OK,
            metrics::MEDIA_TYPE,
            metrics::text(house).into_bytes(),
        )
    } else {
        body::empty(StatusCode::NOT_FOUND)
    }
}

/// Ready when the ledger can write, and the tables can be reached.
fn ready(house: &House) -> Response<Body> {
    let trouble = house.engines.journal.ledger().status().trouble;
    let away = || {
        house
            .store
            .is_away()
            .then(|| "the database cannot be reached".to_owned())
    };
    match trouble.map(|trouble| trouble.to_string()).or_else(away) {
        None => body::with_type(StatusCode::OK, "text/plain", b"ready\n".to_vec()),
        Some(trouble) => {
            let text = format!("{trouble}\n").into_bytes();
            body::with_type(StatusCode::SERVICE_UNAVAILABLE, "text/plain", text)
        }
    }
}
