//! Messages of D-Bus as bytes: those few types that the Secret Service speaks, little-endian.
//!
//! Everything read is bounded by the message it is in, which is bounded itself.

use zeroize::Zeroizing;

/// What begins every message and says how long it is.
pub(super) const HEAD_BYTES: usize = 16;
/// The longest message read, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
/// Fields of a header.
const FIELD_PATH: u8 = 1;
const FIELD_INTERFACE: u8 = 2;
const FIELD_MEMBER: u8 = 3;
const FIELD_ERROR: u8 = 4;
const FIELD_REPLY: u8 = 5;
const FIELD_DESTINATION: u8 = 6;
const FIELD_SIGNATURE: u8 = 8;

/// What a call is given, with the types of it.
pub(super) struct Body {
    types: &'static str,
    bytes: Zeroizing<Vec<u8>>,
}

impl Body {
    pub(super) fn new(types: &'static str) -> Self {
        Self {
            types,
            bytes: Zeroizing::default(),
        }
    }

    /// `s` or `o`.
    pub(super) fn text(&mut self, text: &str) {
        put_text(&mut self.bytes, text);
    }

    /// `v` that is an `s`.
    pub(super) fn variant_text(&mut self, text: &str) {
        put_signature(&mut self.bytes, "s");
        put_text(&mut self.bytes, text);
    }

    /// `b` that is false.
    pub(super) fn no(&mut self) {
        put_number(&mut self.bytes, 0);
    }

    /// `a{ss}`.
    pub(super) fn dictionary(&mut self, pairs: &[(&str, &str)]) {
        put_array(&mut self.bytes, 8, |bytes| {
            for (key, value) in pairs {
                align(bytes, 8);
                put_text(bytes, key);
                put_text(bytes, value);
            }
        });
    }

    /// `a{sv}` of a new entry: what people see, and what it is found by.
    pub(super) fn item(&mut self, label: &str, attributes: &[(&str, &str)]) {
        put_array(&mut self.bytes, 8, |bytes| {
            align(bytes, 8);
            put_text(bytes, "org.freedesktop.Secret.Item.Label");
            put_signature(bytes, "s");
            put_text(bytes, label);
            align(bytes, 8);
            put_text(bytes, "org.freedesktop.Secret.Item.Attributes");
            put_signature(bytes, "a{ss}");
            put_array(bytes, 8, |bytes| {
                for (key, value) in attributes {
                    align(bytes, 8);
                    put_text(bytes, key);
                    put_text(bytes, value);
                }
            });
        });
    }

    /// `(oayays)`: a secret of this session, with no parameters.
    pub(super) fn secret(&mut self, session: &str, secret: &[u8]) {
        align(&mut self.bytes, 8);
        put_text(&mut self.bytes, session);
        put_array(&mut self.bytes, 1, |_| {});
        put_array(&mut self.bytes, 1, |bytes| bytes.extend_from_slice(secret));
        put_text(&mut self.bytes, "text/plain");
    }

    /// The whole message of a call.
    pub(super) fn call(self, serial: u32, names: [&str; 4]) -> Zeroizing<Vec<u8>> {
        let [destination, path, interface, member] = names;
        let mut bytes = Zeroizing::new(vec![b'l', CALL, 0, 1]);
        put_number(&mut bytes, length(self.bytes.len()));
        put_number(&mut bytes, serial);
        put_array(&mut bytes, 8, |bytes| {
            for (field, types, text) in [
                (FIELD_PATH, "o", path),
                (FIELD_INTERFACE, "s", interface),
                (FIELD_MEMBER, "s", member),
                (FIELD_DESTINATION, "s", destination),
            ] {
                align(bytes, 8);
                bytes.push(field);
                put_signature(bytes, types);
                put_text(bytes, text);
            }
            align(bytes, 8);
            bytes.push(FIELD_SIGNATURE);
            put_signature(bytes, "g");
            put_signature(bytes, self.types);
        });
        align(&mut bytes, 8);
        bytes.extend_from_slice(&self.bytes);
        bytes
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_number(bytes: &mut Vec<u8>, number: u32) {
    align(bytes, 4);
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, length(text.len()));
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
}

fn put_signature(bytes: &mut Vec<u8>, types: &str) {
    bytes.push(u8::try_from(types.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(types.as_bytes());
    bytes.push(0);
}

/// An array of things that stand at multiples of `to`. The gap before the first does not count.
fn put_array(bytes: &mut Vec<u8>, to: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    put_number(bytes, 0);
    let at = bytes.len();
    align(bytes, to);
    let first = bytes.len();
    fill(bytes);
    let count = length(bytes.len() - first).to_le_bytes();
    if let Some(place) = bytes.get_mut(at - count.len()..at) {
        place.copy_from_slice(&count);
    }
}

/// What came.
pub(super) enum Message {
    Return { to: u32, answer: Answer },
    Error { to: u32, name: String },
    Other,
}

/// What a call is answered.
pub(super) struct Answer {
    whole: Zeroizing<Vec<u8>>,
    body: usize,
}

impl Answer {
    pub(super) fn read(&self) -> Read<'_> {
        let bytes = self.whole.get(self.body..).unwrap_or_default();
        Read { bytes, at: 0 }
    }
}

impl Message {
    /// How many bytes follow the first ones.
    pub(super) fn rest(head: &[u8; HEAD_BYTES]) -> Option<usize> {
        let mut read = Read { bytes: head, at: 0 };
        let [order, ..] = head;
        (*order == b'l').then_some(())?;
        read.skip(4)?;
        let body = read.number()?;
        read.number()?;
        let fields = read.number()?;
        let fields = usize::try_from(fields).ok()?.checked_next_multiple_of(8)?;
        fields.checked_add(usize::try_from(body).ok()?)
    }

    pub(super) fn parse(whole: Zeroizing<Vec<u8>>) -> Option<Self> {
        let kind = *whole.get(1)?;
        let (mut to, mut name) = (None, None);
        let mut read = Read {
            bytes: &whole,
            at: 12,
        };
        let end = usize::try_from(read.number()?).ok()?.checked_add(HEAD_BYTES)?;
        while read.at < end {
            read.align(8)?;
            let field = read.byte()?;
            match (field, read.signature()?) {
                (FIELD_REPLY, b"u") => to = Some(read.number()?),
                (FIELD_ERROR, b"s") => name = Some(read.text()?),
                (_, b"u") => drop(read.number()?),
                (_, b"s" | b"o") => drop(read.text()?),
                (_, b"g") => drop(read.signature()?),
                _ => return None,
            }
        }
        read.align(8)?;
        let body = read.at;
        match (kind, to, name) {
            (RETURN, Some(to), _) => Some(Self::Return {
                to,
                answer: Answer { whole, body },
            }),
            (ERROR, Some(to), Some(name)) => Some(Self::Error { to, name }),
            _ => Some(Self::Other),
        }
    }
}

/// Reads a body from its start. None where the bytes are not what was asked for.
pub(super) struct Read<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Read<'a> {
    fn skip(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn align(&mut self, to: usize) -> Option<()> {
        let gap = self.at.checked_next_multiple_of(to)?.checked_sub(self.at)?;
        self.skip(gap).map(|_| ())
    }

    fn byte(&mut self) -> Option<u8> {
        self.skip(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4)?;
        self.skip(4)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    fn signature(&mut self) -> Option<&'a [u8]> {
        let count = usize::from(self.byte()?);
        let types = self.skip(count)?;
        self.byte()?;
        Some(types)
    }

    /// `s` or `o`.
    pub(super) fn text(&mut self) -> Option<String> {
        let count = usize::try_from(self.number()?).ok()?;
        let text = str::from_utf8(self.skip(count)?).ok()?.to_owned();
        self.byte()?;
        Some(text)
    }

    /// `v` that is an `s`, whatever it says.
    pub(super) fn skip_variant_text(&mut self) -> Option<()> {
        (self.signature()? == b"s").then_some(())?;
        self.text().map(|_| ())
    }

    /// `ao`.
    pub(super) fn texts(&mut self) -> Option<Vec<String>> {
        let count = usize::try_from(self.number()?).ok()?;
        let end = self.at.checked_add(count)?;
        let mut texts = Vec::new();
        while self.at < end {
            texts.push(self.text()?);
        }
        Some(texts)
    }

    /// `ay`.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.skip(count)
    }

    /// Where a structure begins.
    pub(super) fn structure(&mut self) -> Option<()> {
        self.align(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `dbus-monitor --binary` shows a reply of GNOME Keyring: to call 3, with an empty and a filled array.
    fn answer(body: &[u8]) -> Option<Message> {
        let mut whole = vec![b'l', RETURN, 1, 1];
        put_number(&mut whole, length(body.len()));
        put_number(&mut whole, 77);
        put_array(&mut whole, 8, |bytes| {
            bytes.push(FIELD_REPLY);
            put_signature(bytes, "u");
            put_number(bytes, 3);
            align(bytes, 8);
            bytes.push(FIELD_SIGNATURE);
            put_signature(bytes, "g");
            put_signature(bytes, "aoao");
        });
        align(&mut whole, 8);
        whole.extend_from_slice(body);
        let head: [u8; HEAD_BYTES] = *whole.first_chunk()?;
        assert_eq!(Message::rest(&head), Some(whole.len() - HEAD_BYTES));
        Message::parse(Zeroizing::new(whole))
    }

    #[test]
    fn an_answer_is_read_and_nothing_beyond_it() {
        let mut body = Vec::new();
        put_array(&mut body, 4, |bytes| put_text(bytes, "/a/b"));
        put_array(&mut body, 4, |_| {});
        let Some(Message::Return { to: 3, answer }) = answer(&body) else {
            panic!("no answer");
        };
        let mut read = answer.read();
        assert_eq!(read.texts(), Some(vec!["/a/b".to_owned()]));
        assert_eq!(read.texts(), Some(Vec::new()));
        assert_eq!(read.texts(), None);
    }

    #[test]
    fn lengths_that_lie_and_bytes_that_are_cut_are_no_answer() {
        for bytes in [
            &[255, 255, 255, 255, 1][..],
            &[8, 0, 0, 0, 255, 255, 255, 127, 0, 0, 0, 0],
            &[1],
        ] {
            let mut read = Read { bytes, at: 0 };
            assert_eq!(read.texts(), None, "{bytes:?}");
        }
        let call = Body::new("").call(1, ["a.b", "/", "a.b", "C"]);
        for end in HEAD_BYTES..call.len() {
            let _ = Message::parse(Zeroizing::new(call.get(..end).unwrap_or_default().to_vec()));
        }
    }
}
