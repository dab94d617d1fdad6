//! One server's endpoint, with its session in the legacy era.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue},
};
use pipeline::ports::Exchange;
use tokio::{sync::oneshot, task::JoinHandle};
use wire::{
    bounds::ANSWER,
    framing::{Event, EventReader},
    mcp::{Era, Revision, encode_sentinel},
};

use super::{
    Door,
    client::{chain, configured},
    lane::Answered,
};
use crate::{HttpTarget, LinkError, inbox::Inbox, link::Head};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// When to come back to a stream whose server does not say when; and the bounds of what it may say.
const COME_BACK: Duration = Duration::from_secs(1);
const COME_BACK_MIN: Duration = Duration::from_millis(50);
const COME_BACK_MAX: Duration = Duration::from_secs(30);

/// How long to wait for a stream to open. Some servers say nothing before they have something to say.
const OPENING: Duration = Duration::from_millis(250);

/// How a stream of events ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The last event that had an id: where to go on.
    last: Option<HeaderValue>,
    retry: Option<Duration>,
}

impl Ended {
    /// Whether there is a place to come back to.
    pub(crate) fn can_be_resumed(&self) -> bool {
        self.last.is_some()
    }

    fn note(&mut self, event: &Event) {
        if let Some(id) = &event.id {
            // An id that cannot be sent back cannot be come back to.
            self.last = HeaderValue::try_from(id).ok();
        }
        if let Some(retry) = event.retry_ms {
            self.retry = Some(Duration::from_millis(retry).clamp(COME_BACK_MIN, COME_BACK_MAX));
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Endpoint {
    door: Door,
    target: HttpTarget,
    revision: OnceLock<Revision>,
    session: OnceLock<HeaderValue>,
    /// The status of the last answer to a message.
    status: AtomicU16,
    over: Mutex<Option<String>>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Endpoint {
    pub(crate) fn new(door: Door, target: HttpTarget) -> Arc<Self> {
        Arc::new(Self {
            door,
            target,
            revision: OnceLock::new(),
            session: OnceLock::new(),
            status: AtomicU16::new(0),
            over: Mutex::default(),
            listening: Mutex::default(),
        })
    }

    /// Whether the last answer came from something before the server, or says that it cannot answer now: that is no
    /// evidence of what it speaks. So is no answer at all.
    pub(crate) fn says_nothing(&self) -> bool {
        matches!(
            self.status.load(Ordering::Relaxed),
            0 | 401 | 403 | 408 | 429 | 500..
        )
    }

    /// The revision agreed on.
    pub(crate) fn agree(&self, revision: Revision) {
        let _ = self.revision.set(revision);
    }

    /// Why it is over, if it is.
    pub(crate) fn closed(&self) -> Option<String> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the session: the server is told, if there is one.
    pub(crate) fn close(self: &Arc<Self>, why: &str) {
        if !self.end(why) {
            return;
        }
        if self.session.get().is_some() && tokio::runtime::Handle::try_current().is_ok() {
            let endpoint = Arc::clone(self);
            tokio::spawn(async move {
                // Politeness only: a server may refuse DELETE.
                if let Ok(request) = endpoint.request(Method::DELETE, &Head::default(), Vec::new()) {
                    let _ = endpoint.door.send(request).await;
                }
            });
        }
    }

    fn end(&self, why: &str) -> bool {
        let task = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        task.inspect(JoinHandle::abort);
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let first = over.is_none();
        over.get_or_insert_with(|| why.to_owned());
        first
    }

    /// Posts a message and reads whatever comes back to its end; answers reach those who wait through the
    /// inbox.
    pub(crate) async fn post(
        &self,
        inbox: &Arc<Inbox>,
        head: Head,
        body: Vec<u8>,
        exchange: Option<&Arc<dyn Exchange>>,
    ) -> Result<Ended, LinkError> {
        let response = self.door.send(self.request(Method::POST, &head, body)?).await?;
        head.came_over(response.extensions().get());
        self.remember_session(&response);
        let status = response.status();
        self.status.store(status.as_u16(), Ordering::Relaxed);
        match kind(&response) {
            // Whatever the body says, it is not the answer of a server that took the request.
            _ if status == StatusCode::UNAUTHORIZED => Err(self.refused(status)),
            _ if status == StatusCode::ACCEPTED || status == StatusCode::NO_CONTENT => Ok(Ended::default()),
            Content::Events if status.is_success() => {
                read_events(response, Ended::default(), inbox, exchange).await
            }
            // An error answer may come with an error status: the body says what happened.
            Content::Json => {
                let expired = status == StatusCode::NOT_FOUND && self.session.get().is_some();
                let body = read_whole(response).await?;
                if expired {
                    return Err(self.expired());
                }
                inbox.take(body, exchange).await;
                Ok(Ended::default())
            }
            Content::Events | Content::Other => Err(self.refused(status)),
        }
    }

    /// Comes back to a stream that ended too early (2025-03-26 and later, `Last-Event-ID`).
    pub(crate) async fn resume(
        &self,
        inbox: &Arc<Inbox>,
        ended: Ended,
        exchange: Option<&Arc<dyn Exchange>>,
    ) -> Result<Ended, LinkError> {
        let response = self.come_back(&ended).await?;
        read_events(response, ended, inbox, exchange).await
    }

    async fn come_back(&self, ended: &Ended) -> Result<Response<Answered>, LinkError> {
        tokio::time::sleep(ended.retry.unwrap_or(COME_BACK)).await;
        let mut request = self.request(Method::GET, &Head::default(), Vec::new())?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(last) = &ended.last {
            headers.insert(LAST_EVENT, last.clone());
        }
        let response = self.door.send(request).await?;
        match kind(&response) {
            Content::Events if response.status().is_success() => Ok(response),
            Content::Events | Content::Json | Content::Other => Err(self.refused(response.status())),
        }
    }

    /// Opens the stream on which the server may speak of its own accord (legacy era), and comes back to it
    /// when it ends; where a server has none, nothing happens.
    ///
    /// Returns when the server has it, or after a while: servers lose what they say before anybody listens.
    pub(crate) async fn listen(self: &Arc<Self>, inbox: Arc<Inbox>) {
        let endpoint = Arc::clone(self);
        let (opening, opened) = oneshot::channel::<()>();
        self.keep_listening(async move {
            let mut opening = Some(opening);
            let mut ended = Ended {
                last: None,
                retry: Some(Duration::ZERO),
            };
            // A server that cannot be come back to says so with an error; the calls go on without.
            loop {
                let response = endpoint.come_back(&ended).await;
                drop(opening.take());
                let Ok(response) = response else { return };
                let Ok(next) = read_events(response, ended, &inbox, None).await else {
                    return;
                };
                ended = Ended {
                    retry: Some(next.retry.unwrap_or(COME_BACK)),
                    ..next
                };
            }
        });
        let _ = tokio::time::timeout(OPENING, opened).await;
    }

    /// Opens a subscription of the gateway's own (modern era), and opens it anew when it ends.
    pub(crate) fn subscribe(self: &Arc<Self>, inbox: Arc<Inbox>, body: Vec<u8>) {
        let endpoint = Arc::clone(self);
        self.keep_listening(async move {
            let head = Head::of("subscriptions/listen");
            while endpoint
                .post(&inbox, head.clone(), body.clone(), None)
                .await
                .is_ok()
            {
                tokio::time::sleep(COME_BACK).await;
            }
        });
    }

    /// Opens a subscription to resources, and opens it anew for as long as it is wanted.
    pub(crate) fn watch(
        self: &Arc<Self>,
        inbox: Arc<Inbox>,
        mut head: Head,
        body: Vec<u8>,
    ) -> JoinHandle<()> {
        let endpoint = Arc::clone(self);
        tokio::spawn(async move {
            let mut wait = COME_BACK;
            loop {
                let ended = endpoint.post(&inbox, head.clone(), body.clone(), None).await;
                // The call that began it is over.
                head.dossier = None;
                wait = if ended.is_ok() {
                    COME_BACK
                } else {
                    (wait * 2).min(COME_BACK_MAX)
                };
                tokio::time::sleep(wait).await;
            }
        })
    }

    fn keep_listening(&self, listening: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(listening);
        let mut held = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = held.replace(task) {
            before.abort();
        }
    }

    fn request(&self, method: Method, head: &Head, body: Vec<u8>) -> Result<Request<Full<Bytes>>, LinkError> {
        let unusable = |what: &str| LinkError::Unreachable(format!("{what} cannot be put into a header"));
        let mut headers = configured(&self.target)?;
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(revision) = self.revision.get() {
            headers.insert(VERSION, HeaderValue::from_static(revision.as_str()));
            if revision.era() == Era::Modern {
                headers.insert(METHOD, HeaderValue::from_static(head.method));
                if let Some(name) = &head.name {
                    let name = encode_sentinel(name);
                    headers.insert(
                        NAME,
                        HeaderValue::try_from(&*name).map_err(|_| unusable("a name"))?,
                    );
                }
                for (name, value) in &head.params {
                    let name = HeaderName::try_from(name).map_err(|_| unusable("a parameter's name"))?;
                    let value = HeaderValue::try_from(value).map_err(|_| unusable("an argument"))?;
                    headers.insert(name, value);
                }
            }
        }
        if let Some(session) = self.session.get() {
            headers.insert(SESSION, session.clone());
        }
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = self.target.url.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn remember_session(&self, response: &Response<Answered>) {
        let modern = self
            .revision
            .get()
            .is_some_and(|revision| revision.era() == Era::Modern);
        if let Some(session) = response.headers().get(SESSION).filter(|_| !modern) {
            let visible = session.as_bytes().iter().all(|b| (0x21..0x7F).contains(b));
            if visible && session.len() <= 1024 {
                let _ = self.session.set(session.clone());
            }
        }
    }

    fn expired(&self) -> LinkError {
        self.end("its session has ended");
        LinkError::Closed("its session has ended".into())
    }

    fn refused(&self, status: StatusCode) -> LinkError {
        match status {
            StatusCode::NOT_FOUND if self.session.get().is_some() => self.expired(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => LinkError::Unreachable(format!(
                "it answered {status}; configure a credential for it (`headers` or `auth`)"
            )),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => LinkError::Unreachable(format!(
                "it answered {status}; check the path of `url`, and that it speaks Streamable HTTP"
            )),
            _ if status.is_redirection() => LinkError::Unreachable(format!(
                "it answered {status}; redirects are not followed, write the final address in `url`"
            )),
            _ => LinkError::Unreachable(format!("it answered {status}")),
        }
    }
}

enum Content {
    Events,
    Json,
    Other,
}

fn kind(response: &Response<Answered>) -> Content {
    let content = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Content::Json
    } else if essence.eq_ignore_ascii_case("text/event-stream") {
        Content::Events
    } else {
        Content::Other
    }
}

async fn read_whole(response: Response<Answered>) -> Result<Vec<u8>, LinkError> {
    let mut body = response.into_body();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| LinkError::Closed(chain(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > ANSWER.text_bytes_max {
            return Err(LinkError::Garbled("an answer longer than the limit".into()));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

async fn read_events(
    response: Response<Answered>,
    mut ended: Ended,
    inbox: &Arc<Inbox>,
    exchange: Option<&Arc<dyn Exchange>>,
) -> Result<Ended, LinkError> {
    let mut body = response.into_body();
    let mut reader = EventReader::new(ANSWER.text_bytes_max);
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            // What broke can be come back to like what ended.
            Err(_) if ended.can_be_resumed() => break,
            Err(error) => return Err(LinkError::Closed(chain(&error))),
        };
        let Ok(data) = frame.into_data() else { continue };
        let mut events = Vec::new();
        reader
            .push(&data, |event| events.push(event))
            .map_err(|error| LinkError::Garbled(error.to_string()))?;
        for event in events {
            ended.note(&event);
            let message = event.name.is_empty() || event.name == "message";
            // An event without data primes the stream or says when to come back; there is nothing to read.
            if message && !event.data.is_empty() {
                inbox.take(event.data, exchange).await;
            }
        }
    }
    Ok(ended)
}
