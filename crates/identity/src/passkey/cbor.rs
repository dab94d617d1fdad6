//! As much of CBOR (RFC 8949) as authenticators speak: definite lengths, shortest forms, few levels. Whatever else is
//! there is refused.

/// How deep what is skipped may be nested.
const DEPTH_MAX: u8 = 4;

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

/// The major types that are known.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

impl<'b> Reader<'b> {
    /// As many bytes.
    pub(super) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Bytes of a fixed number.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn head(&mut self) -> Option<(u8, u64)> {
        let [first] = self.array()?;
        let (value, least) = match first & 0x1F {
            small @ 0..24 => (u64::from(small), 0),
            24 => (u64::from(u8::from_be_bytes(self.array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.array()?), 1 << 32),
            _ => return None,
        };
        (value >= least).then_some((first >> 5, value))
    }

    fn sized(&mut self, kind: u8) -> Option<usize> {
        let (found, length) = self.head()?;
        (found == kind).then_some(usize::try_from(length).ok()?)
    }

    /// A whole number.
    pub(super) fn integer(&mut self) -> Option<i64> {
        let (kind, value) = self.head()?;
        let value = i64::try_from(value).ok()?;
        match kind {
            UNSIGNED => Some(value),
            NEGATIVE => Some(-1 - value),
            _ => None,
        }
    }

    /// A string of bytes.
    pub(super) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.sized(BYTES)?;
        self.take(length)
    }

    /// Text.
    pub(super) fn text(&mut self) -> Option<&'b str> {
        let length = self.sized(TEXT)?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// How many pairs a map has.
    pub(super) fn map(&mut self) -> Option<usize> {
        self.sized(MAP)
    }

    /// Passes over whatever comes next.
    pub(super) fn skip(&mut self) -> Option<()> {
        self.skip_at(0)
    }

    fn skip_at(&mut self, depth: u8) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        let (kind, value) = self.head()?;
        let items = match kind {
            UNSIGNED | NEGATIVE => 0,
            BYTES | TEXT => {
                self.take(usize::try_from(value).ok()?)?;
                0
            }
            ARRAY => value,
            MAP => value.checked_mul(2)?,
            _ => return None,
        };
        // Each item is a byte at least, so a count that lies ends with the bytes.
        (0..items).try_for_each(|_| self.skip_at(depth + 1))
    }
}
