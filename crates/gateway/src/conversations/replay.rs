//! What was sent on a session's streams, kept within bounds, so that its client can come back for the rest
//! (`Last-Event-ID`, since 2025-03-26).
//!
//! An event's id names its stream and its place in it, and means nothing outside of its session: who may
//! read is decided on the road, where the session has to be the caller's own. It knows no HTTP.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use records::digest::sha256;
use tokio::sync::watch;

/// Most streams of a session that can be come back to.
const STREAMS_MAX: usize = 32;
/// Most bytes kept of a session. The last event of each stream is kept whatever its length.
const BYTES_MAX: usize = 1024 * 1024;

/// The place of an event: what its session is known by, its stream, and its number in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) session: u32,
    pub(crate) stream: u64,
    pub(crate) number: u64,
}

impl Place {
    /// Reads an event id, as it was written and no other way.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (session, rest) = text.split_once('-')?;
        let (stream, number) = rest.split_once('-')?;
        let place = Self {
            session: u32::from_str_radix(session, 16).ok()?,
            stream: stream.parse().ok()?,
            number: number.parse().ok()?,
        };
        (place.to_string() == text).then_some(place)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{}-{}", self.session, self.stream, self.number)
    }
}

/// What there is of a stream after an event.
#[derive(Debug)]
pub(crate) enum Rest {
    /// All of it.
    Whole(Arc<Kept>),
    /// The end of it: what came before that is not kept any more.
    End(Arc<Kept>),
    /// Nothing is kept any more.
    Gone,
    /// No such event was sent.
    Never,
}

/// The streams of one session, oldest first.
#[derive(Debug)]
pub(crate) struct Streams {
    session: u32,
    kept: Mutex<(u64, VecDeque<Arc<Kept>>)>,
}

impl Streams {
    /// Of the session of that id: a digest of it tells its events from those of others.
    pub(crate) fn of(session: &str) -> Self {
        let [a, b, c, d, ..] = sha256(&[session.as_bytes()]);
        Self {
            session: u32::from_be_bytes([a, b, c, d]),
            kept: Mutex::default(),
        }
    }

    /// A new stream. The oldest are forgotten when there are too many, or too much is kept.
    pub(crate) fn open(&self) -> Arc<Kept> {
        let mut held = lock(&self.kept);
        let (next, streams) = &mut *held;
        *next += 1;
        let stream = Arc::new(Kept::new(self.session, *next));
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

    /// What there is after an event.
    pub(crate) fn after(&self, place: Place) -> Rest {
        let held = lock(&self.kept);
        let (last, streams) = &*held;
        if place.session != self.session || place.stream == 0 || place.stream > *last {
            return Rest::Never;
        }
        let Some(stream) = streams.iter().find(|stream| stream.id == place.stream) else {
            return Rest::Gone;
        };
        let state = lock(&stream.state);
        if place.number > state.last {
            return Rest::Never;
        }
        match state.events.front() {
            Some((first, _)) if *first > place.number + 1 => Rest::End(Arc::clone(stream)),
            Some(_) | None => Rest::Whole(Arc::clone(stream)),
        }
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
    session: u32,
    id: u64,
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
    fn new(session: u32, id: u64) -> Self {
        Self {
            session,
            id,
            state: Mutex::default(),
            changed: watch::channel(()).0,
        }
    }

    /// The place of the event of that number.
    pub(crate) fn place(&self, number: u64) -> Place {
        Place {
            session: self.session,
            stream: self.id,
            number,
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
                    return Some((self.kept.place(*number), message.clone()));
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

    fn whole(streams: &Streams, place: &str) -> Arc<Kept> {
        let Rest::Whole(stream) = streams.after(Place::parse(place).expect("a place")) else {
            panic!("{place}");
        };
        stream
    }

    #[tokio::test]
    async fn a_reader_that_comes_back_gets_the_rest_and_the_one_before_ends() {
        let streams = Streams::of("mine");
        let stream = streams.open();
        stream.push(b"one".to_vec());
        let mut first = stream.read(0);
        let (place, message) = first.next().await.expect("a message");
        assert_eq!(
            (place.stream, place.number, message.as_slice()),
            (1, 1, &b"one"[..])
        );
        stream.push(b"two".to_vec());
        let found = whole(&streams, &place.to_string());
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
        let streams = Streams::of("mine");
        let first = streams.open();
        first.push(vec![0; BYTES_MAX]);
        first.push(vec![1; BYTES_MAX]);
        let mut reader = first.read(0);
        let (place, message) = reader.next().await.expect("the last is kept");
        assert_eq!((place.number, message.first()), (2, Some(&1)));
        for _ in 0..STREAMS_MAX {
            streams.open();
        }
        assert!(matches!(streams.after(first.place(2)), Rest::Gone));
        let last = streams.open();
        last.push(b"secret".to_vec());
        let mut reader = last.read(0);
        streams.purge();
        assert_eq!(reader.next().await, None);
        assert!(matches!(streams.after(last.place(0)), Rest::Gone));
    }

    /// Regression: whoever came back for what is not kept any more got the rest, or another stream, as if nothing were
    /// missing; and so did whoever named an event that nobody was sent.
    #[test]
    fn what_is_lost_and_what_never_was_is_told_from_the_rest() {
        let (streams, others) = (Streams::of("mine"), Streams::of("theirs"));
        let (stream, other) = (streams.open(), others.open());
        stream.push(b"one".to_vec());
        other.push(b"one".to_vec());
        for number in 0..=1 {
            assert!(matches!(streams.after(stream.place(number)), Rest::Whole(_)));
        }
        assert!(matches!(streams.after(stream.place(2)), Rest::Never));
        assert!(matches!(streams.after(other.place(1)), Rest::Never));
        for stream in [0, 2] {
            let place = Place {
                stream,
                ..other.place(0)
            };
            assert!(matches!(others.after(place), Rest::Never), "{stream}");
        }
        stream.push(vec![2; BYTES_MAX]);
        stream.push(vec![3; BYTES_MAX]);
        assert!(matches!(streams.after(stream.place(1)), Rest::End(_)));
        assert!(matches!(streams.after(stream.place(2)), Rest::Whole(_)));
    }

    #[test]
    fn an_event_id_of_somebody_elses_making_is_no_place() {
        let id = "0000002a-7-1";
        assert_eq!(
            Place::parse(id).map(|place| place.to_string()).as_deref(),
            Some(id)
        );
        for text in [
            "",
            "1",
            "-",
            "../../",
            "1-1",
            "2a-7-1",
            "0000002A-7-1",
            "0000002a-07-1",
            "0000002a-7-+1",
            "0000002a-7-",
            "0000002a-7-1-1",
            "0000002a--7-1",
            "0000002a-99999999999999999999-1",
            &format!("0000002a-7-{}1", "0".repeat(9_000)),
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
