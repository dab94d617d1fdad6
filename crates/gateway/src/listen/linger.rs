//! The end of a connection whose client is still sending.
//!
//! Who is refused by the head of a request alone is answered before its body has come. Were the connection closed then, a
//! reset would answer what still comes, and a reset takes from a client what it has not read yet: the refusal (RFC
//! 9112, section 9.6). So the sending half is closed first, and the rest of the body is read and dropped, within bounds.
//! This module knows nothing of requests.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

/// How long a client may take to send what nobody reads.
const WAIT: Duration = Duration::from_secs(2);

/// How much of it is taken.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is left of the patience with one client.
#[derive(Debug)]
pub(super) struct Linger {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl Linger {
    pub(super) fn begin() -> Self {
        Self {
            until: Box::pin(sleep(WAIT)),
            left: BYTES_MAX,
        }
    }

    /// Reads on, and says how many bytes that were; none where the client ended or the patience did.
    pub(super) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        buffer: &mut [u8],
    ) -> Poll<Option<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        if self.left == 0 || self.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let read = ready!(Pin::new(stream).poll_read(cx, &mut buffer));
        let count = buffer.filled().len();
        self.left = self.left.saturating_sub(count);
        Poll::Ready((read.is_ok() && count > 0).then_some(count))
    }
}
