//! Requests as they come in, read strictly before the HTTP library reads them (RFC 9112).
//!
//! Two readers of one connection must not see different requests: who stands before the gateway may end a line where the
//! library does not, or count a body by its length where the library counts chunks. The library takes a bare line feed
//! for the end of a line (section 2.2 lets it), chunks before a length (section 6.3 lets it), any coding that ends in chunks, a
//! host twice or not at all, and trailers. Here none of it passes: the byte that would be read in two ways becomes NUL, and
//! nothing is read after it: the library refuses a head (400), and the connection ends. This module finds where heads begin
//! and end, and knows nothing else of what they mean.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{http::HEADERS_BYTES_MAX, linger::Linger};

/// A connection whose requests are read strictly.
#[derive(Debug)]
pub(super) struct Heads<S> {
    stream: S,
    reader: Reader,
    /// The sending half is closed, and the client is in the middle of a request.
    linger: Option<Linger>,
}

impl<S> Heads<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            reader: Reader::default(),
            linger: None,
        }
    }
}

/// Where in a connection it is.
#[derive(Debug, Default)]
struct Reader {
    at: At,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    head: Head,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum At {
    /// In a head, or before one.
    #[default]
    Head,
    /// In a body or a chunk, before its last so many bytes.
    Bytes { left: u64, chunked: bool },
    /// In the line that says how long a chunk is.
    ChunkSize,
    /// Behind the last chunk.
    Trailers,
    /// Behind a request to speak another protocol.
    Upgrade,
    /// Something else is spoken.
    Elsewhere,
    /// Something came that can be read in two ways.
    Ambiguous,
}

/// What a head says of its body.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    has_lines: bool,
    /// Whether it has to name its host: in HTTP/1.1 (RFC 9112, section 3.2).
    needs_host: bool,
    has_host: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

/// A line that can be read in two ways.
struct TwoWays;

impl Reader {
    /// Whether more of a body is to come.
    fn is_in_body(&self) -> bool {
        matches!(self.at, At::Bytes { .. } | At::ChunkSize | At::Trailers)
    }

    /// Reads bytes, and spoils what could be read in two ways.
    fn read(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let taken = match self.at {
                At::Head | At::ChunkSize | At::Trailers => self.read_line(bytes),
                At::Bytes { left, chunked } => {
                    let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
                    let left = left - here;
                    self.at = match (left, chunked) {
                        (0, true) => At::ChunkSize,
                        (0, false) => At::Head,
                        (left, chunked) => At::Bytes { left, chunked },
                    };
                    usize::try_from(here).unwrap_or(bytes.len())
                }
                At::Upgrade => {
                    // No frame of a WebSocket begins so; a request that comes although, does.
                    let begins = bytes.first().copied().unwrap_or_default();
                    let is_request = begins.is_ascii_graphic() || matches!(begins, b'\r' | b'\n');
                    self.at = if is_request { At::Head } else { At::Elsewhere };
                    0
                }
                At::Elsewhere => return,
                At::Ambiguous => {
                    bytes.fill(0);
                    return;
                }
            };
            let Some((_, rest)) = bytes.split_at_mut_checked(taken) else {
                return;
            };
            bytes = rest;
        }
    }

    /// Reads up to the end of a line, or of the bytes; says how many that were.
    fn read_line(&mut self, bytes: &mut [u8]) -> usize {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            // What the library will not take, nobody reads.
            if self.line.len() + bytes.len() > HEADERS_BYTES_MAX {
                self.at = At::Ambiguous;
                bytes.fill(0);
            } else {
                self.line.extend_from_slice(bytes);
            }
            return bytes.len();
        };
        let here = bytes.get(..end).unwrap_or_default();
        let ended = if self.line.is_empty() {
            self.heed(here)
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(here);
            let ended = self.heed(&line);
            line.clear();
            self.line = line;
            ended
        };
        if ended.is_err() {
            self.at = At::Ambiguous;
            if let Some(byte) = bytes.get_mut(end) {
                *byte = 0;
            }
        }
        end + 1
    }

    /// Takes a line, up to its line feed.
    fn heed(&mut self, line: &[u8]) -> Result<(), TwoWays> {
        let line = line.strip_suffix(b"\r").ok_or(TwoWays)?;
        match self.at {
            At::ChunkSize => {
                let digits = line
                    .split(|byte| *byte == b';')
                    .next()
                    .unwrap_or_default()
                    .trim_ascii();
                let size = std::str::from_utf8(digits).ok();
                let size = size.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                let size = size.ok_or(TwoWays)?;
                self.at = match size.checked_add(2).ok_or(TwoWays)? {
                    2 => At::Trailers,
                    left => At::Bytes { left, chunked: true },
                };
                Ok(())
            }
            At::Trailers => {
                // Nobody here heeds trailers. Who does, or takes them for headers, reads another request.
                if !line.is_empty() {
                    return Err(TwoWays);
                }
                self.at = At::Head;
                Ok(())
            }
            At::Head | At::Ambiguous | At::Bytes { .. } | At::Elsewhere | At::Upgrade => self.heed_head(line),
        }
    }

    fn heed_head(&mut self, line: &[u8]) -> Result<(), TwoWays> {
        if !line.is_empty() {
            // The first line holds a colon at most in its target: no name of a header is before it.
            return self.head.heed(line);
        }
        let head = std::mem::take(&mut self.head);
        self.at = match head {
            Head {
                needs_host: true,
                has_host: false,
                ..
            } => return Err(TwoWays),
            Head {
                chunked: true,
                length: Some(_),
                ..
            } => return Err(TwoWays),
            Head { chunked: true, .. } => At::ChunkSize,
            Head {
                length: Some(left @ 1..),
                ..
            } => At::Bytes { left, chunked: false },
            Head { upgrade: true, .. } => At::Upgrade,
            Head { .. } => At::Head,
        };
        Ok(())
    }
}

impl Head {
    fn heed(&mut self, line: &[u8]) -> Result<(), TwoWays> {
        if !std::mem::replace(&mut self.has_lines, true) {
            self.needs_host = line.ends_with(b" HTTP/1.1");
            return Ok(());
        }
        let Some((name, value)) = name_of(line) else {
            return Ok(());
        };
        if name.eq_ignore_ascii_case(b"content-length") {
            let said = std::str::from_utf8(value.trim_ascii()).ok();
            let said = said.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
            let said = said.and_then(|digits| digits.parse().ok()).ok_or(TwoWays)?;
            if self.length.replace(said).is_some() {
                return Err(TwoWays);
            }
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Codings before the chunks would have to be undone, and a second header is another reader's first.
            let is_chunks = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !is_chunks || std::mem::replace(&mut self.chunked, true) {
                return Err(TwoWays);
            }
        }
        if name.eq_ignore_ascii_case(b"host") && std::mem::replace(&mut self.has_host, true) {
            return Err(TwoWays);
        }
        if name.eq_ignore_ascii_case(b"connection")
            && !value.split(|byte| *byte == b',').all(is_of_connection)
        {
            return Err(TwoWays);
        }
        self.upgrade |= name.eq_ignore_ascii_case(b"upgrade");
        Ok(())
    }
}

/// The name and the value of a header; none if there is no colon.
fn name_of(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    Some((name, value.strip_prefix(b":")?))
}

/// Whether a header may be named as one of the connection alone, or is no header. Any other would be gone behind a proxy,
/// and here is heeded: a credential, or what mirrors the body.
fn is_of_connection(option: &[u8]) -> bool {
    const OPTIONS: [&[u8]; 7] = [
        b"",
        b"close",
        b"keep-alive",
        b"upgrade",
        b"te",
        b"http2-settings",
        b"proxy-connection",
    ];
    let option = option.trim_ascii();
    OPTIONS.iter().any(|known| option.eq_ignore_ascii_case(known))
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // What was spoilt is there to be refused. Where the library waits for more, there is none.
        if this.reader.at == At::Ambiguous {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        if let Some(new) = buffer.filled_mut().get_mut(before..) {
            this.reader.read(new);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let mut buffer = [0; 4096];
        while this.reader.is_in_body() {
            let linger = this.linger.get_or_insert_with(Linger::begin);
            let read = ready!(linger.poll(cx, &mut this.stream, &mut buffer));
            match read.and_then(|count| buffer.get_mut(..count)) {
                Some(bytes) => this.reader.read(bytes),
                None => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na\nbGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding:\tChunked \r\n\r\nA;x=y\r\n\n\n\n\n\n\n\n\n\n\n\r\n00\r\n\r\n",
        b"GET /ws HTTP/1.0\r\nConnection: keep-alive, Upgrade,\r\nUpgrade: websocket\r\n\r\n\x81\x80\n\n\n",
    ];

    /// With what is read in two ways at the end.
    const TWO_WAYS: &[&[u8]] = &[
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"\n",
        b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n",
        b"GET / HTTP/1.1\r\nConnection: close, Authorization\r\n",
        b"GET / HTTP/1.1\r\nConnection: mcp-name\r\n",
        b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n\nGET / HTTP/1.1\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +1\r\n",
        b"GET / HTTP/1.0\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\n",
        b"GET / HTTP/1.0\r\nUpgrade: x\r\n\r\n\r\nGET / HTTP/1.1\n",
    ];

    /// What the library gets, if the bytes come in two parts.
    fn read(text: &[u8], cut: usize) -> Vec<u8> {
        let mut text = text.to_vec();
        let mut reader = Reader::default();
        let (before, after) = text.split_at_mut(cut);
        reader.read(before);
        reader.read(after);
        text
    }

    #[test]
    fn what_can_be_read_in_one_way_passes_unchanged() {
        for text in PLAIN {
            for cut in 0..text.len() {
                assert_eq!(read(text, cut), *text, "{:?}", String::from_utf8_lossy(text));
            }
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_spoilt_and_so_is_all_after_it() {
        for text in TWO_WAYS {
            let (_, before) = text.split_last().expect("a line");
            let text = [*text, b"GET / HTTP/1.1\r\n\r\n"].concat();
            let expected = [before, &[0; 19]].concat();
            for cut in 0..text.len() {
                assert_eq!(read(&text, cut), expected, "{:?}", String::from_utf8_lossy(&text));
            }
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut reader = Reader::default();
        let mut line = [b'a'; 4096];
        for _ in 0..1024 {
            reader.read(&mut line);
        }
        assert!(reader.line.len() <= HEADERS_BYTES_MAX);
        assert_eq!(reader.at, At::Ambiguous);
    }
}
