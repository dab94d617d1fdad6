//! What was sent on a session's streams, kept within bounds, so that its client can come back for the rest
//! (`Last-Event-ID`, since 2025-03-26).
//!
//! An event's id names its stream and its place in it, and means nothing outside of its session: who may
//! read is decided on the road, where the session has to be the caller's own. It knows no HTTP.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Most streams of a session that can be come back to.
const STREAMS_MAX: usize = 32;
/// Most bytes kept of a session. The last event of each stream is kept whatever its length.
const BYTES_MAX: usize = 1024 * 1024;

/// The place of an event: its stream, and its number in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) stream: u64,
    pub(crate) number: u64,
}

impl Place {
    /// Reads an event id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (stream, number) = text.split_once('-')?;
        Some(Self {
            stream: stream.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.stream, self.number)
    }
}

/// The streams of one session, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    kept: Mutex<(u64, VecDeque<Arc<Kept>>)>,
}

impl Streams {
    /// A new stream. The oldest are forgotten when there are too many, or too much is kept.
    pub(crate) fn open(&self) -> Arc<Kept> {
        let mut held = lock(&self.kept);
        let (next, streams) = &mut *held;
        *next += 1;
        let stream = Arc::new(Kept::new(*next));
        let bytes = |streams: &VecDeque<Arc<Kept>>| -> usize {
            streams.iter().map(|stream| lock(&stream.state).bytes).sum()
        };
        while streams.len() >= STREAMS_MAX || bytes(streams) > BYTES_MAX {
            let ended = streams.iter().position(|stream| lock(&stream.state).over);
            if streams.remove(ended.unwrap_or(0)).is_none() {
                break;
            }
        }
        streams.push_back(Arc::clone(&stream));
        stream
    }

    /// The stream of that number.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Kept>> {
        let held = lock(&self.kept);
        held.1.iter().find(|stream| stream.id == id).cloned()
    }

    /// Forgets everything; whoever reads has read the last.
    pub(crate) fn purge(&self) {
        for stream in lock(&self.kept).1.drain(..) {
            let mut state = lock(&stream.state);
            state.events.clear();
            state.bytes = 0;
            state.over = true;
            drop(state);
            stream.changed.send_replace(());
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: u64,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<(u64, Vec<u8>)>,
    last: u64,
    bytes: usize,
    /// Nothing follows.
    over: bool,
    /// Who reads: a message goes out on one connection, so a new reader ends the one before.
    reader: u64,
    connected: bool,
    /// The reader that leaves when it has read what there is.
    leaves: u64,
}

impl Kept {
    fn new(id: u64) -> Self {
        Self {
            id,
            state: Mutex::default(),
            changed: watch::channel(()).0,
        }
    }

    /// Adds a message.
    pub(crate) fn push(&self, message: Vec<u8>) {
        let mut state = lock(&self.state);
        state.last += 1;
        state.bytes += message.len();
        let last = state.last;
        state.events.push_back((last, message));
        while state.bytes > BYTES_MAX && state.events.len() > 1 {
            if let Some((_, gone)) = state.events.pop_front() {
                state.bytes -= gone.len();
            }
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Says that nothing follows.
    pub(crate) fn end(&self) {
        lock(&self.state).over = true;
        self.changed.send_replace(());
    }

    /// Has the reader leave when it has read what there is; it will come back.
    pub(crate) fn let_go(&self) {
        let mut state = lock(&self.state);
        state.leaves = state.reader;
        drop(state);
        self.changed.send_replace(());
    }

    /// Whether somebody reads.
    pub(crate) fn is_read(&self) -> bool {
        lock(&self.state).connected
    }

    /// Reads what comes after an event.
    pub(crate) fn read(self: &Arc<Self>, after: u64) -> Reader {
        let changed = self.changed.subscribe();
        let mut state = lock(&self.state);
        state.reader += 1;
        state.connected = true;
        let number = state.reader;
        drop(state);
        self.changed.send_replace(());
        Reader {
            kept: Arc::clone(self),
            changed,
            number,
            after,
        }
    }
}

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct Reader {
    kept: Arc<Kept>,
    changed: watch::Receiver<()>,
    number: u64,
    after: u64,
}

impl Reader {
    /// The next message with its place; none when nothing follows, or another reads now.
    pub(crate) async fn next(&mut self) -> Option<(Place, Vec<u8>)> {
        loop {
            self.changed.mark_unchanged();
            {
                let state = lock(&self.kept.state);
                if state.reader != self.number {
                    return None;
                }
                let next = state.events.iter().find(|(number, _)| *number > self.after);
                if let Some((number, message)) = next {
                    self.after = *number;
                    let place = Place {
                        stream: self.kept.id,
                        number: *number,
                    };
                    return Some((place, message.clone()));
                }
                if state.over || state.leaves == self.number {
                    return None;
                }
            }
            self.changed.changed().await.ok()?;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.kept.state);
        if state.reader == self.number {
            state.connected = false;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_comes_back_gets_the_rest_and_the_one_before_ends() {
        let streams = Streams::default();
        let stream = streams.open();
        stream.push(b"one".to_vec());
        let mut first = stream.read(0);
        let (place, message) = first.next().await.expect("a message");
        assert_eq!(
            (place.to_string().as_str(), message.as_slice()),
            ("1-1", &b"one"[..])
        );
        stream.push(b"two".to_vec());
        let place = Place::parse("1-1").expect("a place");
        let found = streams.find(place.stream).expect("the stream");
        let mut second = found.read(place.number);
        assert_eq!(first.next().await, None);
        drop(first);
        assert!(stream.is_read());
        assert_eq!(second.next().await.expect("a message").1, b"two");
        stream.push(b"three".to_vec());
        stream.let_go();
        assert_eq!(second.next().await.expect("what there is").1, b"three");
        assert_eq!(second.next().await, None);
        let mut third = stream.read(3);
        stream.push(b"four".to_vec());
        stream.end();
        assert_eq!(third.next().await.expect("a message").1, b"four");
        assert_eq!(third.next().await, None);
    }

    #[tokio::test]
    async fn streams_are_kept_within_bounds_and_purged() {
        let streams = Streams::default();
        let first = streams.open();
        first.push(vec![0; BYTES_MAX]);
        first.push(vec![1; BYTES_MAX]);
        let mut reader = first.read(0);
        let (place, message) = reader.next().await.expect("the last is kept");
        assert_eq!((place.number, message.first()), (2, Some(&1)));
        for _ in 0..STREAMS_MAX {
            streams.open();
        }
        assert!(streams.find(first.id).is_none());
        let last = streams.open();
        last.push(b"secret".to_vec());
        let mut reader = last.read(0);
        streams.purge();
        assert_eq!(reader.next().await, None);
        assert!(streams.find(last.id).is_none());
    }

    #[test]
    fn an_event_id_of_somebody_elses_making_is_no_place() {
        for text in [
            "",
            "1",
            "-",
            "a-1",
            "1-",
            "1-1-1",
            "-1-1",
            "99999999999999999999-1",
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
