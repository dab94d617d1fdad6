//! Unbroken stretches of a text: what may be encoded, or a credential.

use std::ops::Range;

use crate::bitmap::{BLOCK, Bitmap, Stretch};

/// Shortest stretch that is kept.
const RUN_MIN: usize = 12;

/// What a stretch is made of. From the hyphen to the colon lie dot, stroke and digits.
const PARTS: [Stretch; 8] = [
    (b'A', b'Z'),
    (b'a', b'z'),
    (b'-', b':'),
    (b'_', b'_'),
    (b'+', b'+'),
    (b'~', b'~'),
    (b'=', b'='),
    (b'%', b'%'),
];

/// All stretches of a text.
///
/// Of most blocks it is seen at once that no stretch in them is long enough.
pub(super) fn runs(text: &str) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    // Where the stretch began that goes on over the end of what was looked at last.
    let mut open = None;
    let blocks = Bitmap::of(text.as_bytes(), PARTS);
    for (mut parts, base) in blocks.blocks().zip((0..).step_by(BLOCK)) {
        if let Some(start) = open.take() {
            let more = parts.trailing_ones();
            let end = base + at(more);
            if end == base + BLOCK {
                open = Some(start);
                continue;
            }
            if end - start >= RUN_MIN {
                runs.push(start..end);
            }
            parts &= !0 << more;
        }
        let mut long = beginnings_of_twelve(parts);
        while long != 0 {
            let start = long.trailing_zeros();
            let end = start + (parts >> start).trailing_ones();
            if end == u64::BITS {
                break;
            }
            runs.push(base + at(start)..base + at(end));
            long &= !0 << end;
        }
        let last = at(parts.leading_ones());
        open = (last > 0).then_some(base + BLOCK - last);
    }
    let end = text.len();
    runs.extend(
        open.filter(|start| end - start >= RUN_MIN)
            .map(|start| start..end),
    );
    runs
}

fn at(bit: u32) -> usize {
    usize::try_from(bit).unwrap_or(BLOCK)
}

/// Where so many bits begin that follow each other: of two, of four, of eight, and of four more.
fn beginnings_of_twelve(bits: u64) -> u64 {
    const { assert!(RUN_MIN == 12) }
    let two = bits & bits >> 1;
    let four = two & two >> 2;
    four & four >> 4 & four >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is quick says the same as what is plain, wherever a stretch begins and however long it is.
    #[test]
    fn stretches_are_found_wherever_they_stand() {
        for (before, length) in (0..140).flat_map(|before| (1..140).map(move |length| (before, length))) {
            let stretch: String = "aZ09_-+/.~=:%".chars().cycle().take(length).collect();
            let spaces = " ".repeat(before);
            let text = format!("{spaces}{stretch} {stretch}\u{e9}{stretch}");
            let found: Vec<&str> = runs(&text).into_iter().filter_map(|run| text.get(run)).collect();
            let times = if length >= RUN_MIN { 3 } else { 0 };
            assert_eq!(found, vec![stretch.as_str(); times], "{before} {length}");
        }
    }
}
