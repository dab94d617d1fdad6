//! Servers over WebSocket (RFC 6455): text frames, a message each, under the subprotocol `mcp`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, Uri,
    header::{
        CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};
use wire::bounds::ANSWER;

use super::{
    Door,
    client::{chain, configured},
    lane::Answered,
};
use crate::{HttpTarget, LinkError, inbox::Inbox, stdio::Pipe};

/// The subprotocol.
const PROTOCOL: &str = "mcp";
/// How long a server may take to take a message.
const WRITE_WAIT: Duration = Duration::from_secs(30);

/// Opens the connection.
pub(crate) async fn open(door: Door, target: HttpTarget, inbox: Arc<Inbox>) -> Result<Pipe, LinkError> {
    let key = generate_key();
    let response = door.send(opening(&target, &key)?).await?;
    check(&response, &key)?;
    let tls = response.extensions().get().cloned();
    let upgraded = hyper::upgrade::on(response)
        .await
        .map_err(|error| LinkError::Closed(chain(&error)))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(ANSWER.text_bytes_max))
        .max_frame_size(Some(ANSWER.text_bytes_max));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
    let (to_server, from_server) = socket.split();
    let reading = Arc::clone(&inbox);
    Ok(Pipe::over(inbox, move |queued| async move {
        tokio::select! {
            why = write(to_server, queued) => why,
            why = read(from_server, reading) => why,
        }
    })
    .secured(tls))
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The opening handshake (RFC 6455 section 4.1).
fn opening(target: &HttpTarget, key: &str) -> Result<Request<Full<Bytes>>, LinkError> {
    let mut headers = configured(target)?;
    let mut put = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    put(CONNECTION, "Upgrade");
    put(UPGRADE, "websocket");
    put(SEC_WEBSOCKET_VERSION, "13");
    put(SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    let key = HeaderValue::try_from(key).map_err(|_| LinkError::Unreachable("no key was made".into()))?;
    headers.insert(SEC_WEBSOCKET_KEY, key);
    let mut request = Request::new(Full::default());
    *request.uri_mut() = over_http(&target.url)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// A WebSocket begins as a request over HTTP.
fn over_http(url: &Uri) -> Result<Uri, LinkError> {
    let scheme = if url.scheme_str() == Some("wss") {
        "https"
    } else {
        "http"
    };
    let mut parts = url.clone().into_parts();
    parts.scheme = scheme.parse().ok();
    Uri::from_parts(parts).map_err(|error| LinkError::Unreachable(format!("{url} is no URL: {error}")))
}

fn check(response: &Response<Answered>, key: &str) -> Result<(), LinkError> {
    let says = |name: HeaderName| header(response.headers(), &name);
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let why = format!("it answered {status} and no WebSocket; check that it speaks it at this path");
        return Err(LinkError::Unreachable(why));
    }
    if says(SEC_WEBSOCKET_ACCEPT) != Some(&derive_accept_key(key.as_bytes())) {
        return Err(LinkError::Garbled("its handshake answers another one".into()));
    }
    if says(SEC_WEBSOCKET_PROTOCOL) != Some(PROTOCOL) {
        return Err(LinkError::Garbled(
            "it does not speak the subprotocol `mcp`".into(),
        ));
    }
    Ok(())
}

fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

async fn write(mut to_server: SplitSink<Socket, Message>, mut queued: mpsc::Receiver<Vec<u8>>) -> String {
    while let Some(message) = queued.recv().await {
        let Ok(text) = String::from_utf8(message) else {
            return "we wrote what is no text".to_owned();
        };
        match tokio::time::timeout(WRITE_WAIT, to_server.send(Message::text(text))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return format!("its connection broke: {}", chain(&error)),
            Err(_) => return "it does not take messages".to_owned(),
        }
    }
    "no longer needed".to_owned()
}

async fn read(mut from_server: SplitStream<Socket>, inbox: Arc<Inbox>) -> String {
    loop {
        match from_server.next().await {
            Some(Ok(Message::Text(text))) => inbox.take(text.as_bytes().to_vec(), None).await,
            Some(Ok(Message::Binary(_))) => inbox.noise("a frame that is no text".to_owned()),
            // What is there for the connection is answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) | None => return "it ended the connection".to_owned(),
            Some(Err(error)) => return format!("its connection broke: {}", chain(&error)),
        }
    }
}
