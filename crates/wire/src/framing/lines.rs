//! stdio and byte streams: one message per line.

use std::io::{self, BufRead};

/// Cuts a byte stream into lines of a bounded length.
#[derive(Debug)]
pub struct Lines {
    pub(super) held: Vec<u8>,
    /// How much of `held` is known to have no line end.
    seen: usize,
    bytes_max: usize,
    /// Inside a line that is too long, until its end.
    skipping: bool,
}

/// One line.
#[derive(Debug, Eq, PartialEq)]
pub enum Line {
    /// A line without its end.
    Whole(Vec<u8>),
    /// A line longer than the limit. It was dropped; the next line is read as usual.
    TooLong,
}

impl Lines {
    /// A cutter that accepts lines up to this length.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            held: Vec::new(),
            seen: 0,
            bytes_max,
            skipping: false,
        }
    }

    /// Takes what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next complete line, if there is one. Empty lines are passed over.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let found = self.held.get(self.seen..)?.iter().position(|b| *b == b'\n');
            let Some(end) = found.map(|n| n + self.seen) else {
                return self.wait();
            };
            let mut line = self.held.split_off(end + 1);
            std::mem::swap(&mut line, &mut self.held);
            self.seen = 0;
            line.truncate(end);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if std::mem::take(&mut self.skipping) {
                return Some(Line::TooLong);
            }
            if line.len() > self.bytes_max {
                return Some(Line::TooLong);
            }
            if !line.is_empty() {
                return Some(Line::Whole(line));
            }
        }
    }

    /// What is left when no more will come: a last line that nobody ended.
    #[must_use]
    pub fn last_line(mut self) -> Option<Line> {
        if self.held.is_empty() && !self.skipping {
            return None;
        }
        self.push(b"\n");
        self.next_line()
    }

    /// No line end yet: remember how far we looked, and hold no more than the limit.
    fn wait(&mut self) -> Option<Line> {
        self.seen = self.held.len();
        // The last byte may be the first half of the line's end.
        let ending = usize::from(self.held.last() == Some(&b'\r'));
        if self.seen > self.bytes_max + ending {
            self.held = Vec::new();
            self.seen = 0;
            self.skipping = true;
        }
        None
    }
}

/// Gives each line of a blocking stream to `each`, to the stream's end; what is nothing but blanks is passed over.
///
/// # Errors
/// When the stream cannot be read, and what `each` says.
pub fn each_line(
    mut stream: impl BufRead,
    bytes_max: usize,
    mut each: impl FnMut(Line) -> io::Result<()>,
) -> io::Result<()> {
    let is_blank =
        |line: &Line| matches!(line, Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace));
    let mut lines = Lines::new(bytes_max);
    loop {
        let read = match stream.fill_buf() {
            Ok(bytes) => {
                lines.push(bytes);
                bytes.len()
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if read == 0 {
            break;
        }
        stream.consume(read);
        while let Some(line) = lines.next_line() {
            if !is_blank(&line) {
                each(line)?;
            }
        }
    }
    lines
        .last_line()
        .filter(|line| !is_blank(line))
        .map_or(Ok(()), each)
}
