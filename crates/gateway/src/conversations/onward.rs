//! Work that is done by whoever waits for it, and goes on by itself when they leave.
//!
//! Nearly everybody waits to the end. A task of its own would cost each call its making and two changes of thread, so
//! there is one only from the moment nobody waits any more.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use pipeline::ports::Boxed;
use tokio::runtime::Handle;

/// See the module. Whoever waits must not be slower than the work may be.
pub(crate) struct Onward<T: Send + 'static>(Option<Boxed<'static, T>>);

/// The work panicked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost;

impl<T: Send + 'static> Onward<T> {
    pub(crate) fn new(work: Boxed<'static, T>) -> Self {
        Self(Some(work))
    }

    /// Goes on by itself from now on, whoever waits or leaves.
    pub(crate) fn let_go(&mut self)
    where
        T: Send,
    {
        if let Some(work) = self.0.take() {
            let running = tokio::spawn(work);
            self.0 = Some(Box::pin(async move {
                match running.await {
                    Ok(done) => done,
                    // As the work itself did.
                    Err(error) => std::panic::resume_unwind(Box::new(error)),
                }
            }));
        }
    }
}

impl<T: Send + 'static> Future for Onward<T> {
    type Output = Result<T, Lost>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else {
            return Poll::Ready(Err(Lost));
        };
        // As for a task: a panic is the end of this work and of nothing else.
        let done = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(_) => Err(Lost),
        };
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for Onward<T> {
    fn drop(&mut self) {
        // Without a runtime the process ends, and its ledger will say so of every call that is open.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            drop(runtime.spawn(work));
        }
    }
}

impl<T: Send + 'static> std::fmt::Debug for Onward<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.0.is_some() { "under way" } else { "done" };
        write!(f, "Onward({state})")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    fn steps(done: oneshot::Sender<()>, step: oneshot::Receiver<()>) -> Boxed<'static, u8> {
        Box::pin(async move {
            let _ = step.await;
            let _ = done.send(());
            7
        })
    }

    #[tokio::test]
    async fn work_that_is_left_in_the_middle_is_done_to_its_end() {
        for let_go in [false, true] {
            let ((done, is_done), (go, step)) = (oneshot::channel(), oneshot::channel());
            let mut work = Onward::new(steps(done, step));
            if let_go {
                work.let_go();
            }
            let first = tokio::time::timeout(Duration::from_millis(1), &mut work).await;
            assert!(first.is_err());
            drop(work);
            assert!(go.send(()).is_ok());
            assert!(is_done.await.is_ok(), "let go: {let_go}");
        }
    }

    #[tokio::test]
    async fn whoever_waits_has_what_was_done_and_a_panic_is_told() {
        let ((done, _is_done), (go, step)) = (oneshot::channel(), oneshot::channel());
        assert!(go.send(()).is_ok());
        assert!(matches!(Onward::new(steps(done, step)).await, Ok(7)));
        for let_go in [false, true] {
            let mut work: Onward<u8> = Onward::new(Box::pin(async { panic!("of this work alone") }));
            if let_go {
                work.let_go();
            }
            assert!(matches!(work.await, Err(Lost)), "let go: {let_go}");
        }
    }
}
