//! A browser on this machine: it is sent to the authorization server, and comes back to a port of ours (RFC 8252).

use std::{
    convert::Infallible,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION,
        REFERRER_POLICY,
    },
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use identity::oauth::Form;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

use crate::failure::Failure;

/// Ports that are derived from the server's URL, and how many are tried.
const PORTS: std::ops::Range<u32> = 3335..49151;
const TRIES: u32 = 8;
/// The largest head of a browser's request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long a connection of a browser may stand, and how long the last page is waited for.
const VISIT: Duration = Duration::from_secs(120);
const GOODBYE: Duration = Duration::from_secs(2);

/// Where the browser comes back to.
#[derive(Clone, Debug)]
pub(super) struct Back {
    pub(super) host: String,
    /// The port, where somebody chose one.
    pub(super) port: Option<u16>,
    pub(super) path: String,
    /// Where it goes on to when all is well.
    pub(super) done: Option<String>,
}

/// The port while it listens.
pub(super) struct Listening {
    listeners: Vec<TcpListener>,
    /// The redirect URI.
    pub(super) url: String,
    back: Back,
}

/// What came back, and who waits to hear how it went.
pub(super) struct Answer {
    pub(super) form: Form,
    told: oneshot::Sender<Result<(), String>>,
    served: oneshot::Receiver<()>,
}

impl Answer {
    /// Tells the person.
    pub(super) async fn tell(self, outcome: Result<(), String>) {
        let _ = self.told.send(outcome);
        let _ = tokio::time::timeout(GOODBYE, self.served).await;
    }
}

impl Back {
    /// Listens, on this machine alone.
    pub(super) async fn listen(&self, number: u32) -> Result<Listening, Failure> {
        let span = PORTS.end - PORTS.start;
        let ports: Vec<u16> = match self.port {
            Some(port) => vec![port],
            None => (0..TRIES)
                .map(|n| PORTS.start + (number.wrapping_add(n)) % span)
                .filter_map(|port| u16::try_from(port).ok())
                .collect(),
        };
        let first = if self.host == "[::1]" { "::1" } else { "127.0.0.1" };
        let mut why = String::new();
        for port in ports {
            match TcpListener::bind((first, port)).await {
                Err(error) => why = format!("port {port}: {error}"),
                Ok(listener) => {
                    let port = listener.local_addr().map_or(port, |address| address.port());
                    let mut listeners = vec![listener];
                    // A browser may take `localhost` for either.
                    if self.host == "localhost" {
                        listeners.extend(TcpListener::bind(("::1", port)).await.ok());
                    }
                    return Ok(Listening {
                        listeners,
                        url: format!("http://{}:{port}{}", self.host, self.path),
                        back: self.clone(),
                    });
                }
            }
        }
        Err(Failure::unreachable(format!(
            "the browser cannot come back, {why}; name another port after the URL"
        )))
    }
}

impl Listening {
    /// Waits for the answer with this `state`. Others are turned away, and end nothing.
    pub(super) async fn answer(&self, state: &str) -> Result<Answer, Failure> {
        let (found, mut answers) = mpsc::channel::<Answer>(1);
        let visit = |stream: TcpStream| {
            let visit = Visit {
                back: self.back.clone(),
                state: state.to_owned(),
                found: found.clone(),
            };
            tokio::spawn(visit.serve(stream))
        };
        loop {
            let (first, second) = (self.listeners.first(), self.listeners.get(1));
            tokio::select! {
                Some(answer) = answers.recv() => return Ok(answer),
                Some(stream) = next(first) => drop(visit(stream)),
                Some(stream) = next(second) => drop(visit(stream)),
                else => return Err(Failure::other("nobody listens any more")),
            }
        }
    }
}

/// The next connection; nothing, for ever, where nobody listens.
async fn next(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => match listener.accept().await {
            Ok((stream, _)) => Some(stream),
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// One connection of a browser.
#[derive(Clone)]
struct Visit {
    back: Back,
    state: String,
    found: mpsc::Sender<Answer>,
}

impl Visit {
    async fn serve(self, stream: TcpStream) {
        let (over, served) = oneshot::channel();
        let served = Arc::new(Mutex::new(Some(served)));
        let service = service_fn(move |request| {
            let (visit, served) = (self.clone(), Arc::clone(&served));
            async move { Ok::<_, Infallible>(visit.page(&request, &served).await) }
        });
        let connection = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let _ = tokio::time::timeout(VISIT, connection).await;
        let _ = over.send(());
    }

    async fn page(
        &self,
        request: &Request<Incoming>,
        served: &Mutex<Option<oneshot::Receiver<()>>>,
    ) -> Response<Full<Bytes>> {
        if request.method() != Method::GET || request.uri().path() != self.back.path {
            return page(StatusCode::NOT_FOUND, "There is nothing here.");
        }
        let query = request.uri().query().unwrap_or_default();
        let form = Form::parse(query.as_bytes()).ok();
        let ours = form.filter(|form| form.get("state") == Some(&self.state));
        let served = served.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(form), Some(served)) = (ours, served) else {
            let text = "This is not the answer that is waited for. Go back, and begin again.";
            return page(StatusCode::BAD_REQUEST, text);
        };
        let (told, outcome) = oneshot::channel();
        let answer = Answer { form, told, served };
        if self.found.send(answer).await.is_err() {
            return page(StatusCode::GONE, "Nobody waits for this any more.");
        }
        match (outcome.await, &self.back.done) {
            (Ok(Ok(())), Some(done)) => {
                let mut response = page(StatusCode::SEE_OTHER, "");
                if let Ok(done) = HeaderValue::try_from(done) {
                    response.headers_mut().insert(LOCATION, done);
                }
                response
            }
            (Ok(Ok(())), None) => page(StatusCode::OK, "You are logged in. You can close this page."),
            (Ok(Err(_)) | Err(_), _) => {
                let text = "This did not work. What is wrong is said where `sallyport connect` runs.";
                page(StatusCode::BAD_REQUEST, text)
            }
        }
    }
}

/// A page without anything of anybody else's.
fn page(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let html = format!("<!doctype html><meta charset=utf-8><title>Sallyport</title><p>{text}</p>\n");
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONNECTION, "close"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether there is a screen a browser could be on.
pub(super) fn has_screen() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(is_set)
}

/// Opens a browser, if there is one. The URL is an argument of its own; no shell sees it.
pub(super) fn open(url: &str) {
    let said = std::env::var("BROWSER").unwrap_or_default();
    let usual = if cfg!(target_os = "macos") {
        vec!["open"]
    } else {
        vec!["xdg-open", "x-www-browser", "sensible-browser"]
    };
    let named = said.split(':').filter(|name| !name.is_empty());
    for program in named.chain(usual) {
        let child = tokio::process::Command::new(program)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Ok(mut child) = child {
            tokio::spawn(async move { child.wait().await });
            return;
        }
    }
}
