//! What encoded stretches of a view say in clear: base64, hexadecimal, and escapes of URLs, HTML and code.

use std::{borrow::Cow, ops::Range};

use memchr::{memchr, memchr3_iter, memrchr};

use super::{Map, Reading, View};

/// Characters of an encoded stretch that can say something.
const RUN_MIN: usize = 20;
/// Escapes in a line that make it worth reading again.
const ESCAPES_MIN: usize = 3;
/// Bytes of a line; what is longer is read in parts.
const LINE_MAX: usize = 4096;
/// A wrapped stretch goes on after a line at least this long.
const WRAPPED_MIN: usize = 56;
/// And with so many characters more.
const NEXT_MIN: usize = 16;

/// The views of what is encoded in a view, at most two.
pub(crate) fn decoded<'t>(view: &View<'_>) -> Vec<View<'t>> {
    let mut views = Vec::new();
    views.extend(runs(view));
    views.extend(escapes(view));
    views
}

/// Text put together from parts, each standing for a stretch of the view before it.
pub(super) struct Parts {
    text: String,
    map: Map,
}

impl Parts {
    pub(super) fn new() -> Self {
        Self {
            text: String::new(),
            map: Map::default(),
        }
    }

    /// Adds a part that stands for a range of the view as a whole.
    pub(super) fn add(&mut self, text: &str, view: &View<'_>, range: Range<usize>) {
        self.text.push_str(text);
        self.text.push('\n');
        self.map.push_whole(text.len() + 1, view.written(range));
    }

    pub(super) fn view<'t>(self, reading: Reading) -> Option<View<'t>> {
        (!self.text.is_empty()).then(|| View::new(Cow::Owned(self.text), self.map, reading))
    }
}

fn runs<'t>(view: &View<'_>) -> Option<View<'t>> {
    let bytes = view.text().as_bytes();
    let mut parts = Parts::new();
    let mut at = 0;
    // A stretch that goes on over the end of a line has a longer line before it.
    for run in view.runs().iter().filter(|run| run.len() >= RUN_MIN) {
        at = at.max(run.start);
        while at < run.end {
            let end = run_end(bytes, at);
            if end - at >= RUN_MIN
                && let Some(text) = bytes.get(at..end).and_then(clear)
            {
                parts.add(&text, view, at..end);
            }
            at = end + 1;
        }
    }
    parts.view(Reading::Decoded)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

fn run_end(bytes: &[u8], start: usize) -> usize {
    let (mut end, mut line) = (start, start);
    while let Some(&byte) = bytes.get(end) {
        let goes_on = byte == b'\n'
            && end - line >= WRAPPED_MIN
            && bytes
                .get(end + 1..end + 1 + NEXT_MIN)
                .is_some_and(|next| next.iter().all(|b| is_base64(*b)));
        if goes_on {
            line = end + 1;
        } else if !is_base64(byte) {
            break;
        }
        end += 1;
    }
    end + bytes
        .get(end..)
        .unwrap_or_default()
        .iter()
        .take(2)
        .take_while(|b| **b == b'=')
        .count()
}

/// Characters by which content is told to be text or not; whole groups of base64.
const BEGINNING: usize = 4096;

/// Whether encoded content is read, because it is text.
pub(crate) fn is_read(encoded: &str) -> bool {
    let beginning = encoded.as_bytes().get(..BEGINNING).unwrap_or(encoded.as_bytes());
    clear(beginning).is_some()
}

/// The text that an encoded stretch carries, if it carries text.
fn clear(run: &[u8]) -> Option<String> {
    let hex = run.len().is_multiple_of(2) && run.iter().all(u8::is_ascii_hexdigit);
    if hex && let Some(text) = text_of(&from_hex(run)) {
        return Some(text);
    }
    // Words of one case are words, and so are names in several words.
    let upper = run.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    let lower = run.iter().filter(|byte| byte.is_ascii_lowercase()).count();
    if upper * 8 < run.len() || lower * 8 < run.len() {
        return None;
    }
    text_of(&from_base64(run))
}

fn from_hex(run: &[u8]) -> Vec<u8> {
    run.chunks_exact(2)
        .filter_map(|pair| number(pair, 16))
        .filter_map(|n| u8::try_from(n).ok())
        .collect()
}

fn from_base64(run: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(run.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in run {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            let [.., low] = (bits >> count).to_be_bytes();
            out.push(low);
        }
    }
    out
}

/// Bytes as text, if that is what they are: what is readable in full but for the end.
fn text_of(bytes: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?,
    };
    if text.len() * 10 < bytes.len() * 9 || text.len() < 8 {
        return None;
    }
    let readable = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '\n' | '.' | ',' | ':'))
        .count();
    let bad = text
        .chars()
        .filter(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        .count();
    (bad == 0 && readable * 5 >= text.chars().count() * 4).then(|| text.to_owned())
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// The lines with several escapes, unescaped.
fn escapes<'t>(view: &View<'_>) -> Option<View<'t>> {
    let bytes = view.text().as_bytes();
    let marks = |from: usize| memchr3_iter(b'%', b'&', b'\\', bytes.get(from..).unwrap_or_default());
    if marks(0).take(ESCAPES_MIN).count() < ESCAPES_MIN {
        return None;
    }
    let mut parts = Parts::new();
    let mut start = 0;
    // From line to line that has one.
    while let Some(mark) = marks(start).next() {
        let before = bytes.get(start..start + mark).unwrap_or_default();
        let from = start + memrchr(b'\n', before).map_or(0, |at| at + 1);
        let after = bytes.get(start + mark..).unwrap_or_default();
        let end = memchr(b'\n', after).map_or(bytes.len(), |at| start + mark + at + 1);
        escaped(view, from..end, &mut parts);
        start = end;
    }
    parts.view(Reading::Unescaped)
}

/// What of a line has several escapes, unescaped.
fn escaped(view: &View<'_>, place: Range<usize>, parts: &mut Parts) {
    let line = view.text().get(place.clone()).unwrap_or_default();
    let mut from = 0;
    while from < line.len() {
        let to = super::floor(line, from + LINE_MAX).max(from + 1).min(line.len());
        let part = line.get(from..to).unwrap_or_default();
        let marks = memchr3_iter(b'%', b'&', b'\\', part.as_bytes());
        if marks.take(ESCAPES_MIN).count() >= ESCAPES_MIN
            && let Some(clear) = unescape(part)
        {
            parts.add(clear.trim_end(), view, place.start + from..place.start + to);
        }
        from = to;
    }
}

fn is_mark(byte: u8) -> bool {
    matches!(byte, b'%' | b'&' | b'\\')
}

/// The text with escapes replaced, if there were several.
fn unescape(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut count = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let escape = if is_mark(byte) { escape(rest) } else { None };
        if let Some((length, escaped)) = escape {
            match escaped {
                Escaped::Byte(byte) => out.push(byte),
                Escaped::Char(c) => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
            count += 1;
            at += length;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    (count >= ESCAPES_MIN).then(|| String::from_utf8_lossy(&out).into_owned())
}

enum Escaped {
    Byte(u8),
    Char(char),
}

/// The escape that a text begins with: its length, and what it stands for.
fn escape(rest: &[u8]) -> Option<(usize, Escaped)> {
    let hex = |from: usize, to: usize| number(rest.get(from..to)?, 16);
    match rest {
        [b'%', ..] => Some((3, Escaped::Byte(u8::try_from(hex(1, 3)?).ok()?))),
        [b'\\', b'x', ..] => Some((4, Escaped::Char(char::from_u32(hex(2, 4)?)?))),
        [b'\\', b'u', ..] => Some((6, Escaped::Char(char::from_u32(hex(2, 6)?)?))),
        [b'&', ..] => {
            let end = rest.iter().take(12).position(|b| *b == b';')?;
            let name = rest.get(1..end)?;
            let c = match name {
                [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
                [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
                b"amp" => '&',
                b"apos" => '\'',
                b"colon" => ':',
                b"comma" => ',',
                b"excl" => '!',
                b"gt" => '>',
                b"lt" => '<',
                b"nbsp" => ' ',
                b"period" => '.',
                b"quot" => '"',
                _ => return None,
            };
            Some((end + 1, Escaped::Char(c)))
        }
        _ => None,
    }
}
