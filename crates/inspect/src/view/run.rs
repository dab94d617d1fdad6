//! Unbroken stretches of a text: what may be encoded, or a credential.

use std::ops::Range;

/// Shortest stretch that is kept.
const RUN_MIN: usize = 12;

/// What a stretch is made of.
const fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'.' | b'~' | b'=' | b':' | b'%')
}

const PARTS: [bool; 256] = {
    let mut parts = [false; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "a table for every byte, made when compiled")]
        {
            parts[byte as usize] = is_part(byte);
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    parts
};

/// All stretches of a text.
pub(super) fn runs(text: &str) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !PARTS.get(usize::from(byte)).copied().unwrap_or(false) {
            if at - start >= RUN_MIN {
                runs.push(start..at);
            }
            start = at + 1;
        }
    }
    if text.len() - start.min(text.len()) >= RUN_MIN {
        runs.push(start..text.len());
    }
    runs
}
