//! Server-sent events (WHATWG HTML, section 9.2): an incremental reader with bounds, and a writer.

use thiserror::Error;

use crate::bounds::SSE_FIELD_BYTES_MAX;

/// One event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Event {
    /// `event:`; empty means `message`.
    pub name: String,
    /// `id:`, if the event has one.
    pub id: Option<String>,
    /// `retry:` in milliseconds, if the event has one.
    pub retry_ms: Option<u64>,
    /// The `data:` lines, joined by line feeds.
    pub data: Vec<u8>,
}

/// Why a stream was given up.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum EventError {
    /// An event or a line longer than the limit.
    #[error("an event is too long")]
    TooLong,
    /// A field that is not UTF-8.
    #[error("a field is not UTF-8")]
    NotUtf8,
}

/// Reads events from bytes as they arrive.
#[derive(Debug)]
pub struct EventReader {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed next is part of the same line end.
    after_return: bool,
    at_start: bool,
    bytes_max: usize,
}

impl EventReader {
    /// A reader that accepts events with up to this much data.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            after_return: false,
            at_start: true,
            bytes_max,
        }
    }

    /// Takes what has arrived and gives each event it completes to `each`.
    ///
    /// # Errors
    /// When a bound is passed or a field is unreadable; the stream is of no use after that.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Event)) -> Result<(), EventError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_return) && rest.first() == Some(&b'\n') {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let (head, tail) = rest.split_at(end.unwrap_or(rest.len()));
            // A line is a field name, a colon, a space and a value, so a little longer than its data.
            if self.line.len() + head.len() > self.bytes_max + 64 {
                return Err(EventError::TooLong);
            }
            self.line.extend_from_slice(head);
            let Some(terminator) = tail.first() else {
                return Ok(());
            };
            self.after_return = *terminator == b'\r';
            rest = tail.get(1..).unwrap_or_default();
            if let Some(event) = self.end_of_line()? {
                each(event);
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<Option<Event>, EventError> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.at_start) && line.starts_with(b"\xEF\xBB\xBF") {
            line.drain(..3);
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let colon = line.iter().position(|b| *b == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => self.data(value)?,
            b"event" => self.event.name = field(value)?,
            b"id" if !value.contains(&0) => self.event.id = Some(field(value)?),
            b"retry" => self.event.retry_ms = field(value)?.parse().ok(),
            _ => {} // A comment, or a field nobody defined.
        }
        Ok(None)
    }

    fn data(&mut self, value: &[u8]) -> Result<(), EventError> {
        if std::mem::replace(&mut self.has_data, true) {
            self.event.data.push(b'\n');
        }
        if self.event.data.len() + value.len() > self.bytes_max {
            return Err(EventError::TooLong);
        }
        self.event.data.extend_from_slice(value);
        Ok(())
    }

    /// An event counts when it has data, or an id or retry of its own: MCP 2025-11-25 primes a stream with
    /// an id and empty data, and a server may send `retry` alone before it closes.
    fn dispatch(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        let has_data = std::mem::take(&mut self.has_data);
        (has_data || event.id.is_some() || event.retry_ms.is_some()).then_some(event)
    }
}

fn field(value: &[u8]) -> Result<String, EventError> {
    if value.len() > SSE_FIELD_BYTES_MAX {
        return Err(EventError::TooLong);
    }
    std::str::from_utf8(value)
        .map(str::to_owned)
        .map_err(|_| EventError::NotUtf8)
}

/// Writes an event. Line ends in the data become several `data:` lines, so data can never start a field,
/// and line ends in the name or id, which have no spelling, are left out.
#[must_use]
pub fn write_event(event: &Event) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.data.len() + 64);
    let mut line = |name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        out.extend(value.iter().filter(|b| !matches!(b, b'\n' | b'\r' | 0)));
        out.push(b'\n');
    };
    if !event.name.is_empty() {
        line("event: ", event.name.as_bytes());
    }
    if let Some(id) = &event.id {
        line("id: ", id.as_bytes());
    }
    if let Some(retry) = event.retry_ms {
        line("retry: ", retry.to_string().as_bytes());
    }
    for data in event.data.split(|b| matches!(b, b'\n' | b'\r')) {
        line("data: ", data);
    }
    out.push(b'\n');
    out
}
