//! Whether a value looks like what a machine made up.

/// Bits that a character carries, from how often each stands in the text.
pub(super) fn entropy(text: &str) -> f32 {
    let mut counts = [0_u16; 128];
    let mut all = 0.0_f32;
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte & 0x7f)) {
            *count = count.saturating_add(1);
            all += 1.0;
        }
    }
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| -(f32::from(*count) / all) * (f32::from(*count) / all).log2())
        .sum()
}

/// Whether a value stands for one: `your_token_here`, `xxxxxxxx`, `<key>`, `${KEY}`, `EXAMPLE`.
pub(super) fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words = [
        "example",
        "your",
        "xxxxx",
        "placeholder",
        "changeme",
        "dummy",
        "redacted",
        "insert",
        "lorem",
    ];
    words.iter().any(|word| lower.contains(word)) || entropy(text) < 1.8
}

/// Whether letters and digits change places as often as in a random text, not as in a name.
pub(crate) fn is_random(text: &str) -> bool {
    let (mut digits, mut letters, mut changes, mut cases) = (0, 0, 0, 0);
    let mut before = None;
    let mut upper_before = None;
    for byte in text.bytes().filter(u8::is_ascii_alphanumeric) {
        let digit = byte.is_ascii_digit();
        digits += usize::from(digit);
        letters += usize::from(!digit);
        changes += usize::from(before.is_some_and(|before| before != digit));
        before = Some(digit);
        if !digit {
            let upper = byte.is_ascii_uppercase();
            cases += usize::from(upper_before.is_some_and(|before| before != upper));
            upper_before = Some(upper);
        }
    }
    let length = digits + letters;
    length >= 10
        && letters > 0
        && digits >= 2
        && (changes * 7 >= length || cases * 4 >= length)
        && entropy(text) > 2.6
}

/// Whether all digits are hexadecimal, in one case.
pub(super) fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        || text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
}

/// Whether a text has the shape of a UUID.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(n, b)| {
            if matches!(n, 8 | 13 | 18 | 23) {
                b == b'-'
            } else {
                b.is_ascii_hexdigit()
            }
        })
}
