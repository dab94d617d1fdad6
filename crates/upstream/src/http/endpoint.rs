//! One server's endpoint, with its session in the legacy era.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use pipeline::ports::Exchange;
use tokio::task::JoinHandle;
use wire::{
    bounds::ANSWER,
    framing::EventReader,
    mcp::{Era, Revision, encode_sentinel},
};

use super::{Client, client::chain};
use crate::{HttpTarget, LinkError, inbox::Inbox, link::Head};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// See the module.
#[derive(Debug)]
pub(crate) struct Endpoint {
    client: Client,
    target: HttpTarget,
    revision: OnceLock<Revision>,
    session: OnceLock<HeaderValue>,
    over: Mutex<Option<String>>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Endpoint {
    pub(crate) fn new(client: Client, target: HttpTarget) -> Arc<Self> {
        Arc::new(Self {
            client,
            target,
            revision: OnceLock::new(),
            session: OnceLock::new(),
            over: Mutex::default(),
            listening: Mutex::default(),
        })
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
                    let _ = endpoint.client.send(request).await;
                }
            });
        }
    }

    fn end(&self, why: &str) -> bool {
        if let Some(task) = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            task.abort();
        }
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
    ) -> Result<(), LinkError> {
        let response = self.client.send(self.request(Method::POST, &head, body)?).await?;
        self.remember_session(&response);
        let status = response.status();
        match kind(&response) {
            _ if status == StatusCode::ACCEPTED || status == StatusCode::NO_CONTENT => Ok(()),
            Content::Events if status.is_success() => read_events(response, inbox, exchange).await,
            // An error answer may come with an error status: the body says what happened.
            Content::Json => {
                let expired = status == StatusCode::NOT_FOUND && self.session.get().is_some();
                let body = read_whole(response).await?;
                if expired {
                    return Err(self.expired());
                }
                inbox.take(body, exchange).await;
                Ok(())
            }
            Content::Events | Content::Other => Err(self.refused(status)),
        }
    }

    /// Opens the stream on which the server may speak of its own accord (legacy era); where it has none,
    /// nothing happens.
    pub(crate) fn listen(self: &Arc<Self>, inbox: Arc<Inbox>) {
        let endpoint = Arc::clone(self);
        let task = tokio::spawn(async move {
            let Ok(mut request) = endpoint.request(Method::GET, &Head::default(), Vec::new()) else {
                return;
            };
            request
                .headers_mut()
                .insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            if let Ok(response) = endpoint.client.send(request).await
                && response.status().is_success()
                && matches!(kind(&response), Content::Events)
            {
                let _ = read_events(response, &inbox, None).await;
            }
        });
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    fn request(&self, method: Method, head: &Head, body: Vec<u8>) -> Result<Request<Full<Bytes>>, LinkError> {
        let unusable = |what: &str| LinkError::Unreachable(format!("{what} cannot be put into a header"));
        let mut headers = HeaderMap::new();
        for (name, value) in &self.target.headers {
            let name = HeaderName::try_from(name).map_err(|_| unusable("a configured header name"))?;
            let mut value =
                HeaderValue::try_from(value).map_err(|_| unusable("a configured header value"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
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

    fn remember_session(&self, response: &Response<Incoming>) {
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

fn kind(response: &Response<Incoming>) -> Content {
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

async fn read_whole(response: Response<Incoming>) -> Result<Vec<u8>, LinkError> {
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
    response: Response<Incoming>,
    inbox: &Arc<Inbox>,
    exchange: Option<&Arc<dyn Exchange>>,
) -> Result<(), LinkError> {
    let mut body = response.into_body();
    let mut reader = EventReader::new(ANSWER.text_bytes_max);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| LinkError::Closed(chain(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let mut events = Vec::new();
        reader
            .push(&data, |event| events.push(event))
            .map_err(|error| LinkError::Garbled(error.to_string()))?;
        for event in events {
            let message = event.name.is_empty() || event.name == "message";
            // An event without data primes the stream or says when to come back; there is nothing to read.
            if message && !event.data.is_empty() {
                inbox.take(event.data, exchange).await;
            }
        }
    }
    Ok(())
}
