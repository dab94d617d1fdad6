//! Servers over HTTP+SSE (2024-11-05): one stream for all that comes, one address for all that goes.
//!
//! The server names the address on its stream. It has to be of the stream's own origin: a server must not
//! make us send what we were asked to send to it to somebody else.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, Uri,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use tokio::sync::mpsc;
use wire::{
    bounds::ANSWER,
    framing::{Event, EventReader},
};

use super::{
    Door,
    client::{chain, configured},
    lane::Answered,
};
use crate::{HttpTarget, LinkError, inbox::Inbox, stdio::Pipe};

/// How long a server may take to name the address.
const ADDRESS_WAIT: Duration = Duration::from_secs(30);
/// How long a server may take to take a message.
const POST_WAIT: Duration = Duration::from_secs(30);

/// Opens the stream and waits for the address.
pub(crate) async fn open(door: Door, target: HttpTarget, inbox: Arc<Inbox>) -> Result<Pipe, LinkError> {
    let headers = configured(&target)?;
    let mut get = request(Method::GET, target.url.clone(), &headers, Vec::new());
    get.headers_mut()
        .insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    let response = door.send(get).await?;
    let tls = response.extensions().get().cloned();
    let events = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if !response.status().is_success() || !events {
        let status = response.status();
        let why = format!("it answered {status} without a stream; check that it speaks HTTP+SSE");
        return Err(LinkError::Unreachable(why));
    }
    let mut stream = Stream::new(response);
    let named = tokio::time::timeout(ADDRESS_WAIT, stream.next());
    let named = named.await.map_err(|_| LinkError::Timeout(ADDRESS_WAIT))??;
    let named = named.filter(|event| event.name == "endpoint");
    let named =
        named.ok_or_else(|| LinkError::Garbled("its stream does not begin with `endpoint`".into()))?;
    let address = address(&target.url, &String::from_utf8_lossy(&named.data))?;
    let reading = Arc::clone(&inbox);
    Ok(Pipe::over(inbox, move |queued| async move {
        tokio::select! {
            why = write(door, address, headers, queued) => why,
            why = read(stream, reading) => why,
        }
    })
    .secured(tls))
}

/// Where messages go: what the stream says, within its own origin.
fn address(stream: &Uri, named: &str) -> Result<Uri, LinkError> {
    let garbled = |why: &str| LinkError::Garbled(format!("the address for messages {why}"));
    let named = named.trim();
    let (Some(scheme), Some(authority)) = (stream.scheme_str(), stream.authority()) else {
        return Err(garbled("has nothing to be of"));
    };
    let origin = format!("{scheme}://{authority}");
    let whole = if named.contains("://") {
        named.to_owned()
    } else if named.starts_with('/') && !named.starts_with("//") {
        format!("{origin}{named}")
    } else {
        let folder = stream.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{origin}{folder}/{named}")
    };
    let address: Uri = whole.parse().map_err(|_| garbled("is no URI"))?;
    let same = address.scheme_str() == Some(scheme)
        && address
            .authority()
            .is_some_and(|named| named.as_str().eq_ignore_ascii_case(authority.as_str()));
    if same {
        Ok(address)
    } else {
        Err(garbled("is of another origin"))
    }
}

async fn write(door: Door, address: Uri, headers: HeaderMap, mut queued: mpsc::Receiver<Vec<u8>>) -> String {
    while let Some(body) = queued.recv().await {
        let mut post = request(Method::POST, address.clone(), &headers, body);
        post.headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match tokio::time::timeout(POST_WAIT, door.send(post)).await {
            Ok(Ok(response)) if response.status().is_success() => {}
            Ok(Ok(response)) => return format!("it answered {} to a message", response.status()),
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "it does not take messages".to_owned(),
        }
    }
    "no longer needed".to_owned()
}

async fn read(mut stream: Stream, inbox: Arc<Inbox>) -> String {
    loop {
        match stream.next().await {
            Ok(Some(event)) if matches!(event.name.as_str(), "" | "message") => {
                if !event.data.is_empty() {
                    inbox.take(event.data, None).await;
                }
            }
            // Another event says nothing to us, and an address is named once.
            Ok(Some(_)) => {}
            Ok(None) => return "it ended its stream".to_owned(),
            Err(error) => return error.to_string(),
        }
    }
}

/// A stream of events.
struct Stream {
    body: Answered,
    reader: EventReader,
    waiting: std::collections::VecDeque<Event>,
}

impl Stream {
    fn new(response: Response<Answered>) -> Self {
        Self {
            body: response.into_body(),
            reader: EventReader::new(ANSWER.text_bytes_max),
            waiting: std::collections::VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Event>, LinkError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| LinkError::Closed(chain(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            let waiting = &mut self.waiting;
            self.reader
                .push(&data, |event| waiting.push_back(event))
                .map_err(|error| LinkError::Garbled(error.to_string()))?;
        }
    }
}

fn request(method: Method, uri: Uri, headers: &HeaderMap, body: Vec<u8>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers.clone();
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_origin_of_the_stream_and_nowhere_else() {
        let stream: Uri = "http://127.0.0.1:7000/a/sse".parse().expect("a URI");
        for (named, goes) in [
            ("/messages?id=1", "http://127.0.0.1:7000/messages?id=1"),
            ("messages", "http://127.0.0.1:7000/a/messages"),
            ("http://127.0.0.1:7000/m", "http://127.0.0.1:7000/m"),
        ] {
            assert_eq!(address(&stream, named).expect(named).to_string(), goes);
        }
        for named in [
            "http://127.0.0.1:7001/m",
            "https://127.0.0.1:7000/m",
            "http://127.0.0.1:7000@evil.example/m",
            "http://evil.example/m",
            "//evil.example/m",
            "",
        ] {
            let found = address(&stream, named).map(|uri| uri.authority().map(ToString::to_string));
            assert!(
                found.is_err() || found == Ok(Some("127.0.0.1:7000".to_owned())),
                "{named}: {found:?}"
            );
        }
    }
}
