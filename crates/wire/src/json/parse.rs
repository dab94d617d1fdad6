//! The strict reader: one pass, no recursion, nothing believed.

use std::{borrow::Cow, collections::HashMap};

use thiserror::Error;

use super::{
    document::{Kind, Slot},
    fold::fold,
};
use crate::bounds::JsonBounds;

/// Which keys of one object count as the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keys {
    /// Keys that are equal after decoding. For data that only passes through.
    Exact,
    /// Keys that a parser ignoring case would take for equal. For whatever we decide on.
    Folded,
}

/// Why a text was refused, and where.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{fault} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub fault: JsonFault,
    /// Offset of the byte where it was noticed.
    pub at: usize,
}

/// What can be wrong with a text.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum JsonFault {
    /// An escape JSON does not have.
    #[error("an escape that JSON does not have")]
    BadEscape,
    /// A number JSON does not have, such as `01`, `+1`, `.5` or `NaN`.
    #[error("a number that JSON does not have")]
    BadNumber,
    /// Two keys that differ only in case.
    #[error("two keys of one object differ only in case")]
    CaseVariantKey,
    /// A raw control character inside a string.
    #[error("a control character inside a string")]
    ControlCharacter,
    /// Two equal keys in one object.
    #[error("two equal keys in one object")]
    DuplicateKey,
    /// The text ended inside a value.
    #[error("the text ends too early")]
    EndsEarly,
    /// A key longer than the limit.
    #[error("a key is too long")]
    LongKey,
    /// A number longer than the limit.
    #[error("a number is too long")]
    LongNumber,
    /// Half of a surrogate pair, which no Unicode text can hold.
    #[error("half of a surrogate pair")]
    LoneSurrogate,
    /// A number too large for any double, which parsers turn into infinity or an error.
    #[error("a number that is not finite")]
    NotFinite,
    /// Bytes that are not UTF-8, or a byte-order mark.
    #[error("bytes that are not UTF-8")]
    NotUtf8,
    /// Nesting deeper than the limit.
    #[error("nesting is too deep")]
    TooDeep,
    /// A text longer than the limit.
    #[error("the text is too long")]
    TooLong,
    /// More values than the limit.
    #[error("there are too many values")]
    TooMany,
    /// Something after the outermost value.
    #[error("something follows the value")]
    Trailing,
    /// A byte that cannot stand here.
    #[error("an unexpected byte")]
    Unexpected,
}

/// Checks length and encoding.
pub(super) fn utf8(bytes: Vec<u8>, bounds: &JsonBounds) -> Result<String, JsonError> {
    if bytes.len() > bounds.text_bytes_max || u32::try_from(bytes.len()).is_err() {
        return Err(JsonError {
            fault: JsonFault::TooLong,
            at: bounds.text_bytes_max,
        });
    }
    String::from_utf8(bytes).map_err(|e| JsonError {
        fault: JsonFault::NotUtf8,
        at: e.utf8_error().valid_up_to(),
    })
}

/// Finds every value of the text.
pub(super) fn index(text: &str, keys: Keys, bounds: &JsonBounds) -> Result<Vec<Slot>, JsonError> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        slots: Vec::with_capacity((text.len() / 12).clamp(4, 4096)),
        open: Vec::new(),
        keys,
        bounds,
    };
    match reader.run() {
        Ok(()) => Ok(reader.slots),
        Err(fault) => Err(JsonError {
            fault,
            at: reader.at.min(text.len()),
        }),
    }
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    slots: Vec<Slot>,
    /// Places of the containers that are open, innermost last.
    open: Vec<u32>,
    keys: Keys,
    bounds: &'t JsonBounds,
}

/// What may stand next.
enum Next {
    After,
    FirstElement,
    FirstKey,
    Key,
    Value,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), JsonFault> {
        let mut next = Next::Value;
        loop {
            self.skip_space();
            next = match next {
                Next::Value => self.value()?,
                Next::FirstElement if self.peek() == Some(b']') => self.close(Kind::Array)?,
                Next::FirstElement => self.value()?,
                Next::FirstKey if self.peek() == Some(b'}') => self.close(Kind::Object)?,
                Next::FirstKey | Next::Key => self.key()?,
                Next::After => match self.after()? {
                    Some(next) => next,
                    None => return Ok(()),
                },
            };
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Next, JsonFault> {
        match self.peek().ok_or(JsonFault::EndsEarly)? {
            b'{' => {
                self.open(Kind::Object)?;
                return Ok(Next::FirstKey);
            }
            b'[' => {
                self.open(Kind::Array)?;
                return Ok(Next::FirstElement);
            }
            b'"' => {
                self.string()?;
            }
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.word("true", Kind::Bool)?,
            b'f' => self.word("false", Kind::Bool)?,
            b'n' => self.word("null", Kind::Null)?,
            _ => return Err(JsonFault::Unexpected),
        }
        Ok(Next::After)
    }

    fn after(&mut self) -> Result<Option<Next>, JsonFault> {
        let Some(container) = self.open.last().and_then(|at| self.slots.get(*at as usize)) else {
            return if self.at == self.bytes.len() {
                Ok(None)
            } else {
                Err(JsonFault::Trailing)
            };
        };
        let kind = container.kind;
        match (self.peek().ok_or(JsonFault::EndsEarly)?, kind) {
            (b',', Kind::Object) => {
                self.at += 1;
                Ok(Some(Next::Key))
            }
            (b',', _) => {
                self.at += 1;
                Ok(Some(Next::Value))
            }
            (b'}', Kind::Object) | (b']', Kind::Array) => self.close(kind).map(Some),
            _ => Err(JsonFault::Unexpected),
        }
    }

    fn key(&mut self) -> Result<Next, JsonFault> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(JsonFault::Unexpected),
            None => return Err(JsonFault::EndsEarly),
        }
        if self.string()? > self.bounds.key_bytes_max {
            return Err(JsonFault::LongKey);
        }
        self.skip_space();
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(Next::Value)
            }
            Some(_) => Err(JsonFault::Unexpected),
            None => Err(JsonFault::EndsEarly),
        }
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize, escaped: bool) -> Result<(), JsonFault> {
        if self.slots.len() >= self.bounds.values_max {
            return Err(JsonFault::TooMany);
        }
        let next = offset(self.slots.len() + 1);
        self.slots.push(Slot {
            start: offset(start),
            end: offset(end),
            next,
            kind,
            escaped,
        });
        Ok(())
    }

    fn open(&mut self, kind: Kind) -> Result<(), JsonFault> {
        if self.open.len() >= self.bounds.depth_max {
            return Err(JsonFault::TooDeep);
        }
        self.open.push(offset(self.slots.len()));
        self.push(kind, self.at, self.at, false)?;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, kind: Kind) -> Result<Next, JsonFault> {
        self.at += 1;
        let Some(place) = self.open.pop() else {
            return Err(JsonFault::Unexpected);
        };
        let (end, next) = (offset(self.at), offset(self.slots.len()));
        if let Some(slot) = self.slots.get_mut(place as usize) {
            slot.end = end;
            slot.next = next;
        }
        if kind == Kind::Object {
            self.distinct_keys(place, next)?;
        }
        Ok(Next::After)
    }

    /// Reads a string and returns its length as written.
    fn string(&mut self) -> Result<usize, JsonFault> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_run(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek().ok_or(JsonFault::EndsEarly)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(JsonFault::ControlCharacter),
            }
        }
        let end = self.at;
        self.at += 1;
        self.push(Kind::String, start, end, escaped)?;
        Ok(end - start)
    }

    fn escape(&mut self) -> Result<(), JsonFault> {
        self.at += 1;
        match self.peek().ok_or(JsonFault::EndsEarly)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let unit = self.hex4()?;
                if (0xDC00..0xE000).contains(&unit) {
                    return Err(JsonFault::LoneSurrogate);
                }
                if (0xD800..0xDC00).contains(&unit) {
                    if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
                        return Err(JsonFault::LoneSurrogate);
                    }
                    self.at += 1;
                    let low = self.hex4()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(JsonFault::LoneSurrogate);
                    }
                }
            }
            _ => return Err(JsonFault::BadEscape),
        }
        Ok(())
    }

    /// Reads `uXXXX` with the position on the `u`.
    fn hex4(&mut self) -> Result<u32, JsonFault> {
        let digits = self
            .bytes
            .get(self.at + 1..self.at + 5)
            .ok_or(JsonFault::EndsEarly)?;
        let unit = hex4(digits).ok_or(JsonFault::BadEscape)?;
        self.at += 5;
        Ok(unit)
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<(), JsonFault> {
        let end = self.at + word.len();
        match self.bytes.get(self.at..end) {
            Some(found) if found == word.as_bytes() => {
                self.push(kind, self.at, end, false)?;
                self.at = end;
                Ok(())
            }
            Some(_) => Err(JsonFault::Unexpected),
            None => Err(JsonFault::EndsEarly),
        }
    }

    fn number(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.bytes.get(self.at - whole) == Some(&b'0')) {
            return Err(JsonFault::BadNumber);
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(JsonFault::BadNumber);
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(JsonFault::BadNumber);
            }
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        if written.len() > self.bounds.number_bytes_max {
            return Err(JsonFault::LongNumber);
        }
        // Up to 300 digits without an exponent cannot overflow; most numbers stop here.
        let plain = written.len() < 300 && !written.contains(['e', 'E']);
        if !plain && !written.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(JsonFault::NotFinite);
        }
        self.push(Kind::Number, start, self.at, false)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }

    /// Refuses an object whose keys are not distinct.
    fn distinct_keys(&self, object: u32, end: u32) -> Result<(), JsonFault> {
        const FEW: usize = 16;
        let mut few = [object; FEW];
        let mut count = 0_usize;
        let mut at = object + 1;
        while at < end {
            match few.get_mut(count) {
                Some(place) => *place = at,
                None => return self.distinct_many(object, end),
            }
            count += 1;
            at = self.slots.get(at as usize + 1).map_or(end, |value| value.next);
        }
        let few = few.get(..count).unwrap_or_default();
        for (n, a) in few.iter().enumerate() {
            for b in few.get(n + 1..).unwrap_or_default() {
                self.distinct(*a, *b)?;
            }
        }
        Ok(())
    }

    fn distinct(&self, a: u32, b: u32) -> Result<(), JsonFault> {
        let (a, b) = (self.key_text(a), self.key_text(b));
        if a == b {
            return Err(JsonFault::DuplicateKey);
        }
        if self.keys == Keys::Folded {
            let same = if a.is_ascii() && b.is_ascii() {
                a.len() == b.len() && a.eq_ignore_ascii_case(&b)
            } else {
                fold(&a) == fold(&b)
            };
            if same {
                return Err(JsonFault::CaseVariantKey);
            }
        }
        Ok(())
    }

    fn distinct_many(&self, object: u32, end: u32) -> Result<(), JsonFault> {
        // The standard map is keyed at random, so chosen keys cannot make this slow.
        let mut seen: HashMap<Cow<'_, str>, Cow<'_, str>> = HashMap::new();
        let mut at = object + 1;
        while at < end {
            let key = self.key_text(at);
            let as_compared = match self.keys {
                Keys::Exact => key.clone(),
                Keys::Folded => Cow::Owned(fold(&key).into_owned()),
            };
            if let Some(earlier) = seen.insert(as_compared, key.clone()) {
                return Err(if earlier == key {
                    JsonFault::DuplicateKey
                } else {
                    JsonFault::CaseVariantKey
                });
            }
            at = self.slots.get(at as usize + 1).map_or(end, |value| value.next);
        }
        Ok(())
    }

    fn key_text(&self, place: u32) -> Cow<'_, str> {
        let Some(slot) = self.slots.get(place as usize) else {
            return Cow::Borrowed("");
        };
        let written = self
            .text
            .get(slot.start as usize..slot.end as usize)
            .unwrap_or_default();
        if slot.escaped {
            decode(written)
        } else {
            Cow::Borrowed(written)
        }
    }
}

/// How many bytes from the start are ordinary string content: no quote, backslash or control.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let (eights, rest) = bytes.as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        if let Some(plain) = plain_of_eight(*eight) {
            return at * 8 + plain;
        }
    }
    match bytes.last_chunk::<8>() {
        // Eight again, of which the first are known to be plain.
        Some(last) if !rest.is_empty() => {
            plain_of_eight(*last).map_or(bytes.len(), |plain| bytes.len() - 8 + plain)
        }
        _ => rest
            .iter()
            .position(|b| matches!(b, b'"' | b'\\' | 0..=0x1F))
            .map_or(bytes.len(), |plain| eights.len() * 8 + plain),
    }
}

/// How many of eight bytes come before the first that is not ordinary; none if all are.
fn plain_of_eight(eight: [u8; 8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The usual trick: a byte of `x` is zero exactly where the high bit of this is first set.
    let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGHS;
    let word = u64::from_le_bytes(eight);
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    let found = quote | backslash | control;
    (found != 0).then_some(found.trailing_zeros() as usize / 8)
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// Decodes the escapes of a string the reader has accepted.
pub(super) fn decode(written: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((plain, tail)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let (character, used) = decode_unit(tail);
                out.push(character);
                rest = tail.get(used..).unwrap_or_default();
                continue;
            }
            Some(same) => out.push(same),
            None => break,
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Decodes `uXXXX` or `uXXXX\uXXXX` and says how many bytes it took.
fn decode_unit(tail: &str) -> (char, usize) {
    let unit = |at: usize| tail.as_bytes().get(at..at + 4).and_then(hex4).unwrap_or(0xFFFD);
    let high = unit(1);
    if (0xD800..0xDC00).contains(&high) {
        let low = unit(7);
        let point = 0x1_0000 + ((high - 0xD800) << 10) + (low.wrapping_sub(0xDC00) & 0x3FF);
        return (char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER), 11);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5)
}

fn offset(at: usize) -> u32 {
    // Texts longer than u32 are refused before the reader starts, so this never saturates.
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::plain_run;

    /// What is quick says the same as what is plain: every byte, at every place, in texts of every small length.
    #[test]
    fn a_run_of_ordinary_bytes_ends_at_the_first_that_is_none() {
        let plainly = |bytes: &[u8]| {
            let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
            bytes.iter().position(ends).unwrap_or(bytes.len())
        };
        for length in 0..=26_usize {
            for first in 0..=length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'!'; length];
                    text.iter_mut().skip(first).take(1).for_each(|at| *at = byte);
                    // A second one behind it, which must not count before the first.
                    text.iter_mut().skip(first + 3).take(1).for_each(|at| *at = 0x80);
                    text.iter_mut().skip(first + 4).take(1).for_each(|at| *at = b'"');
                    assert_eq!(plain_run(&text), plainly(&text), "{text:?}");
                }
            }
        }
    }
}
