//! Unbroken stretches of a text: what may be encoded, or a credential.

use std::ops::Range;

/// Shortest stretch that is kept.
const RUN_MIN: usize = 12;

/// What a stretch is made of.
const fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'.' | b'~' | b'=' | b':' | b'%')
}

const SORTS: [u32; 256] = {
    let mut parts = [0; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a table for every byte, made when compiled"
        )]
        {
            parts[byte as usize] = is_part(byte) as u32;
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    parts
};

/// Every byte is part of a stretch.
const ALL: u32 = (1 << RUN_MIN) - 1;

/// 1 for what belongs to a stretch.
fn part(byte: u8) -> u32 {
    SORTS.get(usize::from(byte)).copied().unwrap_or(0)
}

/// All stretches of a text.
///
/// Of so many bytes as make the shortest one, the last that belongs to none is where the next may begin: most bytes
/// before it are not looked at twice, and nothing is decided byte by byte.
pub(super) fn runs(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut runs = Vec::new();
    let mut start = 0;
    while let Some(window) = bytes.get(start..).and_then(|rest| rest.first_chunk::<RUN_MIN>()) {
        let parts = window.iter().fold(0, |parts, byte| parts << 1 | part(*byte));
        if parts != ALL {
            start += RUN_MIN - usize::try_from(parts.trailing_ones()).unwrap_or(0);
            continue;
        }
        let rest = bytes.get(start + RUN_MIN..).unwrap_or_default();
        let end = start
            + RUN_MIN
            + rest
                .iter()
                .position(|byte| part(*byte) == 0)
                .unwrap_or(rest.len());
        runs.push(start..end);
        start = end + 1;
    }
    runs
}
