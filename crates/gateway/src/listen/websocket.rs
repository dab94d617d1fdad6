//! WebSocket: text frames, a message each, under the subprotocol `mcp` (RFC 6455; no standard transport of MCP).
//!
//! Whoever opens the connection is whoever speaks over it. Host and origin were checked at the gate, as for every
//! request: the browser's same-origin rules do not cover WebSockets.

use std::{sync::Arc, time::Duration};

use futures_util::{
    SinkExt, Stream, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use identity::signature::BodyDigests;
use pipeline::{Credential, Objection, refusal};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use wire::{bounds::REQUEST, framing::Line};

use super::{
    body::{self, Body},
    conversation::{Conversation, QUEUE_MESSAGES_MAX, Running, crowded},
    gate::one,
    head::{credential, is_signed},
    mcp::Visit,
};

/// The subprotocol, which a client has to offer.
const PROTOCOL: &str = "mcp";
/// How long a client may take to read a message.
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// How often a quiet connection is asked whether it is alive.
const ALIVE: Duration = Duration::from_secs(30);
/// How long nothing at all may come, not even the answer to one of three pings.
const SILENCE: Duration = Duration::from_secs(90);

/// Turns a request into a conversation.
pub(super) async fn answer(mut visit: Visit, mut request: Request<Incoming>) -> Response<Body> {
    let headers = request.headers();
    let key = match opening(request.method(), headers) {
        Ok(key) => key,
        Err(why) => {
            let objection = Objection::new(&refusal::REQUEST_INVALID, why).showing(why);
            let remedy = "open a WebSocket with the subprotocol `mcp`, or use `/mcp`";
            let mut response = visit.turned_away(objection.remedied(remedy)).await;
            *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
            let wanted = HeaderValue::from_static("websocket");
            response.headers_mut().insert(UPGRADE, wanted);
            return response;
        }
    };
    let Ok(place) = Arc::clone(&visit.house.places).try_acquire_owned() else {
        return visit.turned_away(crowded()).await;
    };
    visit.body = is_signed(headers).then(|| BodyDigests::of(b""));
    let shown = credential(headers, &visit);
    let (queue, queued) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let client = Conversation::new(Arc::clone(&visit.house), visit.connection("websocket"), queue);
    let caller = match client.greet(shown.clone()).await {
        Ok(caller) => caller,
        Err(refusal) => return visit.refused(refusal),
    };
    let shown = shown.standing(&caller.principal);
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let ended = async {
            tokio::select! {
                () = visit.house.engines.credential_ended(&caller.principal) => {}
                () = visit.peer.unwelcome() => {}
            }
        };
        converse(upgrading, client, queued, shown, ended).await;
        drop(place);
    });
    switched(&key)
}

/// The key of an opening handshake (RFC 6455 section 4.2.1), or what it lacks.
fn opening(method: &Method, headers: &HeaderMap) -> Result<String, &'static str> {
    let has = |name: &HeaderName, wanted: &str| {
        let values = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    if method != Method::GET || !has(&UPGRADE, "websocket") || !has(&CONNECTION, "upgrade") {
        return Err("this is a WebSocket endpoint");
    }
    if one(headers, &SEC_WEBSOCKET_VERSION) != Ok(Some("13")) {
        return Err("only version 13 of WebSocket is spoken");
    }
    if !has(&SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err("the subprotocol `mcp` has to be offered");
    }
    match one(headers, &SEC_WEBSOCKET_KEY) {
        Ok(Some(key)) => Ok(key.to_owned()),
        Ok(None) | Err(_) => Err("`Sec-WebSocket-Key` has to come once"),
    }
}

fn switched(key: &str) -> Response<Body> {
    let mut response = body::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

async fn converse(
    upgrading: OnUpgrade,
    client: Arc<Conversation>,
    mut queued: mpsc::Receiver<Vec<u8>>,
    shown: Credential,
    ended: impl Future<Output = ()>,
) {
    // The client went away instead.
    let Ok(upgraded) = upgrading.await else { return };
    let config = WebSocketConfig::default()
        .max_message_size(Some(REQUEST.text_bytes_max))
        .max_frame_size(Some(REQUEST.text_bytes_max));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (mut to_client, mut from_client) = socket.split();
    // Side by side: a call that waits for room among the answers must not keep these from being written.
    let why = tokio::select! {
        why = read(&mut from_client, &client, &shown) => why,
        () = write(&mut to_client, &mut queued) => None,
        // Messages would be refused one by one, and what the connection listens to would go on.
        () = ended => Some((CloseCode::Policy, "the credential of this connection has ended")),
    };
    if let Some((code, reason)) = why {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        within(to_client.send(Message::Close(Some(frame)))).await;
    }
    client.end();
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Reads until the client ends the connection, or does what ends it: then why.
async fn read(
    from_client: &mut SplitStream<Socket>,
    client: &Arc<Conversation>,
    shown: &Credential,
) -> Option<(CloseCode, &'static str)> {
    let mut running = Running::new();
    loop {
        let Some(heard) = heard(from_client, SILENCE).await else {
            return Some((CloseCode::Policy, "no ping was answered"));
        };
        match heard {
            Some(Ok(Message::Text(text))) => {
                let line = Line::Whole(text.as_bytes().to_vec());
                client.take(line, shown.clone(), &mut running).await;
            }
            Some(Ok(Message::Binary(_))) => return Some((CloseCode::Unsupported, "messages are text")),
            // What is there for the connection is answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) | None => return None,
            Some(Err(error)) => return fault(&error),
        }
    }
}

/// What comes next, or that the connection has ended; nothing where nothing comes for so long. A client that is there
/// answers pings without being asked what it has to say: one that does not would keep its place for ever.
async fn heard<T>(from_client: &mut (impl Stream<Item = T> + Unpin), silence: Duration) -> Option<Option<T>> {
    tokio::time::timeout(silence, from_client.next()).await.ok()
}

/// What a client is told that broke the rules of frames (RFC 6455 section 7.4.1); none where it is gone.
fn fault(error: &Error) -> Option<(CloseCode, &'static str)> {
    match error {
        Error::Capacity(_) => Some((CloseCode::Size, "a message is too large")),
        Error::Protocol(_) => Some((CloseCode::Protocol, "a frame is malformed")),
        Error::Utf8(_) => Some((CloseCode::Invalid, "a message is no text")),
        Error::AlreadyClosed
        | Error::AttackAttempt
        | Error::ConnectionClosed
        | Error::Http(_)
        | Error::HttpFormat(_)
        | Error::Io(_)
        | Error::Tls(_)
        | Error::Url(_)
        | Error::WriteBufferFull(_) => None,
    }
}

/// Writes until the client takes no more.
async fn write(to_client: &mut SplitSink<Socket, Message>, queued: &mut mpsc::Receiver<Vec<u8>>) {
    let mut alive = tokio::time::interval(ALIVE);
    loop {
        let message = tokio::select! {
            Some(message) = queued.recv() => match String::from_utf8(message) {
                Ok(text) => Message::text(text),
                // We write JSON, which is text.
                Err(_) => return,
            },
            _ = alive.tick() => Message::Ping(Vec::new().into()),
        };
        if !within(to_client.send(message)).await {
            return;
        }
    }
}

/// Whether the client took it in time.
async fn within<E>(sending: impl Future<Output = Result<(), E>>) -> bool {
    matches!(tokio::time::timeout(WRITE_WAIT, sending).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// Regression: a client that answered nothing, not even pings, kept its connection for ever.
    #[tokio::test]
    async fn who_answers_no_ping_is_not_waited_for() {
        let silence = Duration::from_millis(20);
        assert_eq!(heard(&mut stream::pending::<u8>(), silence).await, None);
        assert_eq!(heard(&mut stream::iter([1]), silence).await, Some(Some(1)));
        assert_eq!(heard(&mut stream::empty::<u8>(), silence).await, Some(None));
        assert!(SILENCE >= ALIVE * 3, "of three pings one may be answered late");
    }
}
