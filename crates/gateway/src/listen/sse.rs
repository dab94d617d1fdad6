//! HTTP+SSE (2024-11-05): one stream for all that goes to the client, one address for all that comes from it.
//!
//! The address names the stream, and is no credential: every message proves its caller, and it has to be whoever
//! opened the stream.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use identity::{CredentialId, Principal, signature::BodyDigests};
use pipeline::{Credential, Objection, refusal};
use tokio::sync::{Notify, mpsc};
use wire::{bounds::REQUEST, framing::Line};

use super::{
    House,
    body::{self, Body},
    conversation::{Conversation, QUEUE_MESSAGES_MAX, Running},
    head::{accepted, credential, is_signed, says_json},
    mcp::Visit,
    stream,
};

/// Where messages go.
const MESSAGES: &str = "/messages";

/// The streams that are open.
#[derive(Default)]
pub(crate) struct EventStreams(Mutex<HashMap<String, Arc<Channel>>>);

/// One stream, and what came for it.
struct Channel {
    client: Arc<Conversation>,
    /// What whoever opened it showed, with the certificate of that connection, and the principal that was.
    shown: Credential,
    certificate: Option<Arc<str>>,
    owner: String,
    /// Whom what was shown last proves: the stream ends with that.
    principal: Mutex<Arc<Principal>>,
    renewed: Notify,
    running: tokio::sync::Mutex<Running>,
}

impl Channel {
    fn principal(&self) -> Arc<Principal> {
        Arc::clone(&self.principal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its owner showed something newer.
    fn renew(&self, principal: &Arc<Principal>) {
        *self.principal.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(principal);
        self.renewed.notify_one();
    }

    /// Returns once what its owner showed last has run out or was revoked.
    async fn ends(self: Arc<Self>, house: Arc<House>) {
        loop {
            let principal = self.principal();
            tokio::select! {
                () = house.engines.credential_ended(&principal) => return,
                () = self.renewed.notified() => {}
            }
        }
    }
}

impl std::fmt::Debug for EventStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventStreams")
    }
}

impl EventStreams {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Channel>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a stream.
pub(super) async fn open(mut visit: Visit, request: Request<Incoming>) -> Response<Body> {
    if request.method() != Method::GET {
        return body::only("GET");
    }
    let headers = request.headers();
    if !accepted(headers, "text/event-stream") {
        let why = "a stream is opened with `Accept: text/event-stream`";
        return visit
            .turned_away(Objection::new(&refusal::NOT_ACCEPTABLE, why))
            .await;
    }
    visit.body = is_signed(headers).then(|| BodyDigests::of(b""));
    let (queue, queued) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let connection = visit.connection("sse");
    let client = Conversation::new(Arc::clone(&visit.house), connection, queue);
    let shown = credential(headers, &visit);
    let principal = match client.greet(shown.clone()).await {
        Ok(caller) => caller.principal,
        Err(refusal) => return visit.refused(refusal),
    };
    let name = visit.house.engines.ambient.secret();
    let channel = Channel {
        client,
        shown,
        certificate: visit.peer.tls.as_ref().and_then(|tls| tls.certificate.clone()),
        owner: principal.key(),
        principal: Mutex::new(principal),
        renewed: Notify::new(),
        running: tokio::sync::Mutex::default(),
    };
    let channel = Arc::new(channel);
    let ends = Arc::clone(&channel).ends(Arc::clone(&visit.house));
    visit.house.event_streams.lock().insert(name.clone(), channel);
    let address = format!("{MESSAGES}?session_id={name}");
    let closing = Closing {
        house: Arc::clone(&visit.house),
        name,
    };
    stream::channel(&address, queued, ends, Box::new(move || drop(closing)))
}

/// Ends a stream's conversation when the stream ends.
struct Closing {
    house: Arc<House>,
    name: String,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let closed = self.house.event_streams.lock().remove(&self.name);
        if let Some(channel) = closed {
            channel.client.end();
        }
    }
}

/// Takes a message for a stream. What there is to say about it is said on the stream.
pub(super) async fn take(mut visit: Visit, request: Request<Incoming>) -> Response<Body> {
    if request.method() != Method::POST {
        return body::only("POST");
    }
    if let Err(objection) = says_json(request.headers()) {
        return visit.turned_away(objection).await;
    }
    let query = request.uri().query().unwrap_or_default();
    let name = query.split('&').find_map(|pair| pair.strip_prefix("session_id="));
    let channel = name.and_then(|name| visit.house.event_streams.lock().get(name).cloned());
    let Some(channel) = channel else {
        return visit.turned_away(unknown()).await;
    };
    let (head, incoming) = request.into_parts();
    let mut incoming = Some(incoming);
    let mut bytes = None;
    // Who signs signs the body as well, so it is read first.
    if is_signed(&head.headers)
        && let Some(body) = incoming.take()
    {
        match body::read(body, REQUEST.text_bytes_max).await {
            Ok(read) => {
                visit.body = Some(BodyDigests::of(&read));
                bytes = Some(read);
            }
            Err(objection) => return visit.turned_away(objection).await,
        }
    }
    let mut shown = credential(&head.headers, &visit);
    // The message came over a connection of its own: a token bound to a certificate is judged by that one.
    let client = channel
        .client
        .over(visit.peer.written.as_ref().to_owned(), visit.peer.tls.clone());
    let certificate = visit.peer.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
    // Whoever shows something else, a newer token or a stranger's, first proves to be the owner: not even a refusal
    // of somebody else's message may be read on this stream.
    let is_same = match &shown {
        // What proves it may be the connection, and this is another one.
        Credential::Bearer(_) => channel.certificate.as_ref() == certificate && same(&channel.shown, &shown),
        // Its proof is spent once, for all that the message brings.
        Credential::Possessed(_) => false,
        Credential::Signed(_)
        | Credential::Link(_)
        | Credential::Local(_)
        | Credential::Standing(..)
        | Credential::Workload(_)
        | Credential::None => same(&channel.shown, &shown),
    };
    if !is_same {
        match client.greet(shown.clone()).await {
            Err(refusal) => return visit.refused(refusal),
            Ok(caller) if caller.principal.key() != channel.owner => {
                return visit.turned_away(unknown()).await;
            }
            Ok(caller) => {
                channel.renew(&caller.principal);
                shown = shown.standing(&caller.principal);
            }
        }
    }
    let bytes = match (bytes, incoming) {
        (Some(bytes), _) => bytes,
        (None, Some(body)) => match body::read(body, REQUEST.text_bytes_max).await {
            Ok(bytes) => bytes,
            Err(objection) => return visit.turned_away(objection).await,
        },
        (None, None) => Vec::new(),
    };
    let mut running = channel.running.lock().await;
    client.take(Line::Whole(bytes), shown, &mut running).await;
    body::empty(StatusCode::ACCEPTED)
}

/// Whether two messages showed the same.
fn same(one: &Credential, other: &Credential) -> bool {
    let id = |secret: &identity::Secret| CredentialId::of(secret.expose().as_bytes());
    match (one, other) {
        (Credential::Bearer(one), Credential::Bearer(other)) => id(one) == id(other),
        (Credential::Local(one), Credential::Local(other)) => one == other,
        (Credential::Workload(one), Credential::Workload(other)) => one == other,
        _ => false,
    }
}

fn unknown() -> Objection {
    let why = "the stream does not exist, has ended, or is somebody else's";
    Objection::new(&refusal::SESSION_UNKNOWN, why)
}
