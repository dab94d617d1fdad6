//! Answers as event streams: what belongs to a call first, its answer last.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval},
};
use wire::framing::{Event, write_event};

/// How often a quiet stream shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);

/// The future whose result is the last event; none if there is to be no last event.
pub(super) type Last = Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>>;

/// Something to be told when the client closes the stream before its end.
pub(super) type OnClose = Box<dyn FnOnce() + Send>;

/// The body of an event stream.
pub(super) struct EventBody {
    first: Option<Bytes>,
    messages: mpsc::Receiver<Vec<u8>>,
    last: Option<Last>,
    ended: Option<Vec<u8>>,
    alive: Interval,
    on_close: Option<OnClose>,
}

impl EventBody {
    /// A stream of messages that ends with the result of `last`.
    pub(super) fn new(
        first: Option<Vec<u8>>,
        messages: mpsc::Receiver<Vec<u8>>,
        last: Last,
        on_close: Option<OnClose>,
    ) -> Self {
        let mut alive = interval(ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        alive.reset();
        Self {
            first: first.map(event),
            messages,
            last: Some(last),
            ended: None,
            alive,
            on_close,
        }
    }
}

impl Body for EventBody {
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
        // Messages were sent before the answer was, so they are written before it.
        if let Poll::Ready(Some(message)) = this.messages.poll_recv(cx) {
            return Poll::Ready(Some(Ok(Frame::data(event(message)))));
        }
        if let Some(last) = &mut this.last
            && let Poll::Ready(ended) = last.as_mut().poll(cx)
        {
            this.last = None;
            this.ended = ended;
            this.on_close = None;
            if let Poll::Ready(Some(message)) = this.messages.poll_recv(cx) {
                return Poll::Ready(Some(Ok(Frame::data(event(message)))));
            }
        }
        if this.last.is_none() {
            let ended = this.ended.take();
            return Poll::Ready(ended.map(|message| Ok(Frame::data(event(message)))));
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
