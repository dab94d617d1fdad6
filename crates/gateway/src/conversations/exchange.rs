//! The client's side of a message while it is on its way.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pipeline::{
    CallId,
    ports::{Boxed, Caller, Exchange},
};
use tokio::sync::{Notify, mpsc};
use wire::jsonrpc::Id;

use crate::conversations::sessions::Session;

/// How long a client may take to read a message that belongs to its call.
const DELIVERY_WAIT: Duration = Duration::from_secs(10);
/// The same for what it is told on a stream of subscriptions: others wait behind it.
const NOTICE_WAIT: Duration = Duration::from_millis(100);
/// Most notices kept until such a stream is acknowledged.
const EARLY_MAX: usize = 64;
/// Most bytes of them together. Notices say that something changed, and a server may say it at any length.
const EARLY_BYTES_MAX: usize = 1024 * 1024;

/// A way to withdraw a message.
#[derive(Clone, Debug)]
pub(crate) struct Withdrawal(Arc<Sign>);

/// Each message has one and hardly any is withdrawn, so it has no lists of its own as a channel to watch has.
#[derive(Debug, Default)]
struct Sign {
    withdrawn: AtomicBool,
    told: Notify,
}

impl Withdrawal {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Withdraws the message.
    pub(crate) fn withdraw(&self) {
        self.0.withdrawn.store(true, Ordering::SeqCst);
        self.0.told.notify_waiters();
    }

    async fn withdrawn(&self) {
        // Made before the look, it hears of a withdrawal that comes after it.
        let told = self.0.told.notified();
        if !self.0.withdrawn.load(Ordering::SeqCst) {
            told.await;
        }
    }
}

/// The exchange of one message: its own stream, and the session it is part of.
#[derive(Debug)]
pub(crate) struct CallExchange {
    stream: mpsc::Sender<Vec<u8>>,
    withdrawal: Withdrawal,
    session: Option<Arc<str>>,
    caller: OnceLock<Caller>,
    /// Told when the server would rather be come back to than be waited for.
    let_go: Arc<Notify>,
}

impl CallExchange {
    pub(crate) fn new(
        stream: mpsc::Sender<Vec<u8>>,
        withdrawal: Withdrawal,
        session: Option<Arc<str>>,
        let_go: Arc<Notify>,
    ) -> Self {
        Self {
            stream,
            withdrawal,
            session,
            caller: OnceLock::new(),
            let_go,
        }
    }
}

impl Exchange for CallExchange {
    fn admitted(&self, caller: &Caller) {
        let _ = self.caller.set(caller.clone());
    }

    fn caller(&self) -> Option<Caller> {
        self.caller.get().cloned()
    }

    fn session(&self) -> Option<Arc<str>> {
        self.session.clone()
    }

    fn deliver(&self, message: Vec<u8>) -> Boxed<'_, ()> {
        Box::pin(async {
            // A client that does not read holds its own call up for a while, and then misses the message.
            let _ = tokio::time::timeout(DELIVERY_WAIT, self.stream.send(message)).await;
        })
    }

    fn withdrawn(&self) -> Boxed<'_, ()> {
        Box::pin(self.withdrawal.withdrawn())
    }

    fn let_go(&self) {
        self.let_go.notify_one();
    }
}

/// The exchange of what belongs to no call: the session's own stream.
#[derive(Debug)]
pub(crate) struct SessionExchange(pub(crate) Arc<Session>);

impl Exchange for SessionExchange {
    fn admitted(&self, _: &Caller) {}

    fn caller(&self) -> Option<Caller> {
        Some(self.0.caller())
    }

    fn session(&self) -> Option<Arc<str>> {
        Some(Arc::clone(&self.0.id))
    }

    fn deliver(&self, message: Vec<u8>) -> Boxed<'_, ()> {
        self.0.tell(message);
        Box::pin(std::future::ready(()))
    }

    fn withdrawn(&self) -> Boxed<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// The exchange of an open `subscriptions/listen`: what is subscribed to comes after the acknowledgement, and a
/// client that does not read loses notices.
#[derive(Debug)]
pub(crate) struct ListenExchange {
    stream: Arc<dyn Exchange>,
    caller: Caller,
    call: CallId,
    id: Id,
    /// What came before the acknowledgement; none after it.
    early: Mutex<Option<Early>>,
}

/// Notices that wait; those for which there is no room are lost.
#[derive(Debug, Default)]
struct Early {
    notices: Vec<Vec<u8>>,
    bytes: usize,
}

impl Early {
    fn keep(&mut self, notice: Vec<u8>) {
        let bytes = self.bytes.saturating_add(notice.len());
        if self.notices.len() < EARLY_MAX && bytes <= EARLY_BYTES_MAX {
            self.bytes = bytes;
            self.notices.push(notice);
        }
    }
}

impl ListenExchange {
    /// On the stream of a call, to which the client gave this id.
    pub(crate) fn new(stream: Arc<dyn Exchange>, caller: Caller, call: CallId, id: Id) -> Self {
        Self {
            stream,
            caller,
            call,
            id,
            early: Mutex::new(Some(Early::default())),
        }
    }

    /// Opens the stream with its acknowledgement.
    pub(crate) async fn open(&self, acknowledgement: Vec<u8>) {
        self.stream.deliver(acknowledgement).await;
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).take();
        for notice in early.map(|early| early.notices).into_iter().flatten() {
            self.stream.deliver(notice).await;
        }
    }
}

impl Exchange for ListenExchange {
    fn admitted(&self, _: &Caller) {}

    fn caller(&self) -> Option<Caller> {
        Some(self.caller.clone())
    }

    fn session(&self) -> Option<Arc<str>> {
        None
    }

    fn deliver(&self, message: Vec<u8>) -> Boxed<'_, ()> {
        {
            let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(early) = early.as_mut() {
                early.keep(message);
                return Box::pin(std::future::ready(()));
            }
        }
        Box::pin(async {
            let _ = tokio::time::timeout(NOTICE_WAIT, self.stream.deliver(message)).await;
        })
    }

    fn withdrawn(&self) -> Boxed<'_, ()> {
        self.stream.withdrawn()
    }

    fn subscription(&self) -> Option<(&CallId, &Id)> {
        Some((&self.call, &self.id))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::{EARLY_BYTES_MAX, EARLY_MAX, Early, Withdrawal};

    #[test]
    fn what_comes_early_is_bounded_in_number_and_in_bytes() {
        let mut early = Early::default();
        (0..2 * EARLY_MAX).for_each(|_| early.keep(vec![0; 10]));
        assert_eq!((early.notices.len(), early.bytes), (EARLY_MAX, 10 * EARLY_MAX));
        let mut early = Early::default();
        (0..8).for_each(|_| early.keep(vec![0; EARLY_BYTES_MAX / 4]));
        assert_eq!((early.notices.len(), early.bytes), (4, EARLY_BYTES_MAX));
    }

    #[tokio::test]
    async fn a_withdrawal_is_heard_of_whenever_it_comes() {
        let withdrawal = Withdrawal::new();
        let mut early = pin!(withdrawal.withdrawn());
        let mut unheard = Context::from_waker(Waker::noop());
        assert_eq!(early.as_mut().poll(&mut unheard), Poll::Pending);
        withdrawal.clone().withdraw();
        early.await;
        // Whoever comes later, and everybody else.
        withdrawal.withdrawn().await;
        withdrawal.withdrawn().await;
    }
}
