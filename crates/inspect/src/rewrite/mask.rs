//! Putting a mark in the place of what was found, or stars over it.

use std::ops::Range;

/// The text with a mark in the place of each span; spans that overlap get the mark of the first.
#[must_use]
pub fn redact<'f>(text: &str, spans: impl IntoIterator<Item = (Range<usize>, &'f str)>) -> String {
    let mut spans: Vec<_> = spans.into_iter().collect();
    spans.sort_by_key(|(span, _)| (span.start, span.end));
    let mut redacted = String::with_capacity(text.len());
    let mut at = 0;
    for (span, name) in spans {
        if span.end <= at {
            continue;
        }
        if span.start >= at {
            redacted.push_str(text.get(at..span.start).unwrap_or_default());
            redacted.push_str("[redacted: ");
            redacted.push_str(name);
            redacted.push(']');
        }
        at = span.end;
    }
    redacted.push_str(text.get(at..).unwrap_or_default());
    redacted
}

/// Characters of a masked value that stay.
const SHOWN: usize = 4;

/// The value with `*` for its letters and digits but the last four, or all where that would show most of it.
#[must_use]
pub fn mask(value: &str) -> String {
    let count = value.chars().filter(|c| c.is_alphanumeric()).count();
    let mut hide = if count >= 3 * SHOWN { count - SHOWN } else { count };
    value
        .chars()
        .map(|c| {
            if c.is_alphanumeric() && hide > 0 {
                hide -= 1;
                return '*';
            }
            c
        })
        .collect()
}
