//! Answers as event streams: what belongs to a call first, its answer last.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Response,
    body::Frame,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};
use wire::{
    framing::{Event, write_event},
    jsonrpc,
    mcp::Method,
};

use super::body::Body;
use crate::conversations::{replay::Kept, sessions::Session};

/// How often a quiet stream shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);

/// When a client that was let go may come back.
const COME_BACK_MS: u64 = 500;
/// Events that may wait to be written to one connection.
const EVENTS_MAX: usize = 16;

/// The future whose result is the last event; none if there is to be no last event.
pub(super) type Last = Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>>;

/// Does the work of a call at its own pace, for as long as its stream is open.
pub(super) fn while_read(last: impl Future<Output = Option<Vec<u8>>> + Send + 'static) -> Last {
    struct Running(JoinHandle<Option<Vec<u8>>>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut running = Running(tokio::spawn(last));
    Box::pin(async move { (&mut running.0).await.unwrap_or_default() })
}

/// Something to be told when the client closes the stream before its end.
pub(super) type OnClose = Box<dyn FnOnce() + Send>;

/// What a stream is made of: what belongs to a call, and its answer.
pub(super) struct Told {
    /// What is there already.
    pub(super) first: Option<Vec<u8>>,
    /// What belongs to the call.
    pub(super) messages: mpsc::Receiver<Vec<u8>>,
    /// The answer.
    pub(super) last: Last,
}

/// Answers with a stream that lives as long as its connection.
pub(super) fn events(told: Told, on_close: Option<OnClose>) -> Response<Body> {
    let mut alive = interval(ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    alive.reset();
    respond(EventBody {
        first: told.first.map(event),
        source: Source::Call {
            messages: told.messages,
            last: Some(told.last),
            ended: None,
        },
        alive,
        on_close,
    })
}

/// Answers with the one stream of HTTP+SSE (2024-11-05): first where messages go, then all there is to say, until it is
/// to end.
pub(super) fn channel(
    address: &str,
    messages: mpsc::Receiver<Vec<u8>>,
    ends: impl Future<Output = ()> + Send + 'static,
    on_close: OnClose,
) -> Response<Body> {
    let mut alive = interval(ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    alive.reset();
    let endpoint = Event {
        name: "endpoint".to_owned(),
        data: address.as_bytes().to_vec(),
        ..Event::default()
    };
    respond(EventBody {
        first: Some(Bytes::from(write_event(&endpoint))),
        source: Source::Call {
            messages,
            last: Some(Box::pin(async {
                ends.await;
                None
            })),
            ended: None,
        },
        alive,
        on_close: Some(on_close),
    })
}

/// Keeps what a call has to say on a stream of its session, whoever reads it. `let_go` ends the connection
/// before the answer.
pub(super) fn keep(session: &Session, mut told: Told, let_go: Arc<Notify>) -> Arc<Kept> {
    let stream = session.streams.open();
    let kept = Arc::clone(&stream);
    tokio::spawn(async move {
        told.first
            .take()
            .into_iter()
            .for_each(|message| kept.push(message));
        let answer = loop {
            tokio::select! {
                biased;
                Some(message) = told.messages.recv() => kept.push(message),
                answer = &mut told.last => break answer,
                () = let_go.notified() => kept.let_go(),
            }
        };
        while let Ok(message) = told.messages.try_recv() {
            kept.push(message);
        }
        answer.into_iter().for_each(|answer| kept.push(answer));
        kept.end();
    });
    stream
}

/// How a kept stream begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beginning {
    /// With what there is.
    Plain,
    /// With an event without data that says where and when to come back (since 2025-11-25).
    Primed,
    /// With a message that says that some are missing.
    Torn,
}

/// Answers with a kept stream, from after an event on.
pub(super) fn replay(stream: &Arc<Kept>, after: u64, beginning: Beginning) -> Response<Body> {
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let place = stream.place(after);
    let mut reader = stream.read(after);
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                next = reader.next() => next,
                () = sender.closed() => return,
            };
            let Some((place, data)) = next else { return };
            let event = Event {
                name: "message".to_owned(),
                id: Some(place.to_string()),
                data,
                ..Event::default()
            };
            if sender.send(Bytes::from(write_event(&event))).await.is_err() {
                return;
            }
        }
    });
    let first = match beginning {
        Beginning::Plain => None,
        Beginning::Primed => Some(Bytes::from(write_event(&Event {
            id: Some(place.to_string()),
            retry_ms: Some(COME_BACK_MS),
            ..Event::default()
        }))),
        // Without an id: whoever comes back once more is where it was.
        Beginning::Torn => Some(event(torn())),
    };
    let mut alive = interval(ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    alive.reset();
    respond(EventBody {
        first,
        source: Source::Kept(events),
        alive,
        on_close: None,
    })
}

/// What every client has a place for that a server says by the way: its log.
fn torn() -> Vec<u8> {
    jsonrpc::notification(Method::NotificationsMessage, |out| {
        out.string("level", "warning");
        out.string("logger", "sallyport");
        let why = "messages after `Last-Event-ID` are not kept any more; the last that are follow";
        out.string("data", why);
    })
}

/// Answers with a stream of what is written already, which shows that it is alive until it ends.
pub(super) fn written(events: mpsc::Receiver<Bytes>) -> Response<Body> {
    let mut alive = interval(ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    respond(EventBody {
        first: None,
        source: Source::Kept(events),
        alive,
        on_close: None,
    })
}

fn respond(body: EventBody) -> Response<Body> {
    let body: Body = body.map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The body of an event stream.
struct EventBody {
    first: Option<Bytes>,
    source: Source,
    alive: Interval,
    on_close: Option<OnClose>,
}

/// Where events come from.
enum Source {
    Call {
        messages: mpsc::Receiver<Vec<u8>>,
        last: Option<Last>,
        ended: Option<Vec<u8>>,
    },
    Kept(mpsc::Receiver<Bytes>),
}

impl Source {
    /// The next event; none when there are no more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let (messages, last, ended) = match self {
            Self::Kept(events) => return events.poll_recv(cx),
            Self::Call {
                messages,
                last,
                ended,
            } => (messages, last, ended),
        };
        // Messages were sent before the answer was, so they are written before it.
        if let Poll::Ready(Some(message)) = messages.poll_recv(cx) {
            return Poll::Ready(Some(event(message)));
        }
        if let Some(running) = last
            && let Poll::Ready(answer) = running.as_mut().poll(cx)
        {
            (*last, *ended) = (None, answer);
            if let Poll::Ready(Some(message)) = messages.poll_recv(cx) {
                return Poll::Ready(Some(event(message)));
            }
        }
        match last {
            Some(_) => Poll::Pending,
            None => Poll::Ready(ended.take().map(event)),
        }
    }

    fn is_answered(&self) -> bool {
        matches!(self, Self::Call { last: None, .. })
    }
}

impl hyper::body::Body for EventBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let next = this.source.poll(cx);
        if this.source.is_answered() {
            this.on_close = None;
        }
        if let Poll::Ready(event) = next {
            return Poll::Ready(event.map(|event| Ok(Frame::data(event))));
        }
        if this.alive.poll_tick(cx).is_ready() {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b": alive\n\n")))));
        }
        Poll::Pending
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        if let Some(on_close) = self.on_close.take() {
            on_close();
        }
    }
}

fn event(message: Vec<u8>) -> Bytes {
    Bytes::from(write_event(&Event {
        name: "message".to_owned(),
        data: message,
        ..Event::default()
    }))
}
