//! Unbroken stretches of a text: what may be encoded, or a credential.

use std::ops::Range;

/// Shortest stretch that is kept.
const RUN_MIN: usize = 12;

/// What a stretch is made of.
const fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'.' | b'~' | b'=' | b':' | b'%')
}

/// What begins an escape.
const fn is_mark(byte: u8) -> bool {
    matches!(byte, b'%' | b'&' | b'\\')
}

const PART: u8 = 1;
const MARK: u8 = 2;

const SORTS: [u8; 256] = {
    let mut parts = [0; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a table for every byte, made when compiled"
        )]
        {
            parts[byte as usize] =
                if is_part(byte) { PART } else { 0 } | if is_mark(byte) { MARK } else { 0 };
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    parts
};

/// All stretches of a text, and how many escapes may stand in it.
pub(super) fn runs(text: &str) -> (Vec<Range<usize>>, usize) {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut marks = 0;
    for (at, byte) in text.bytes().enumerate() {
        let sort = SORTS.get(usize::from(byte)).copied().unwrap_or(0);
        marks += usize::from(sort & MARK != 0);
        if sort & PART == 0 {
            if at - start >= RUN_MIN {
                runs.push(start..at);
            }
            start = at + 1;
        }
    }
    if text.len() - start.min(text.len()) >= RUN_MIN {
        runs.push(start..text.len());
    }
    (runs, marks)
}
