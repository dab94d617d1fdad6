//! What is read of a payload: its texts, in pieces that a model can be asked about.
//!
//! It must not know models or protocols.

use std::borrow::Cow;

use wire::json::Node;

/// Short texts are read together up to so many bytes: what is cut over neighbouring values is seen whole.
const TOGETHER_BYTES_MAX: usize = 1000;
/// A word of ASCII up to so many bytes, such as `text` or `image/png`, says nothing alone.
const WORD_BYTES_MAX: usize = 32;
/// From so many bytes on, what has no blank and only the signs of base64 is data and no text.
const DATA_BYTES_MIN: usize = 256;

/// The texts of a payload in reading order, names of members included.
pub(crate) fn pieces(payload: Node<'_>) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    // Names of members are among what is walked over.
    for text in payload.walk().filter_map(text) {
        match pieces.last_mut() {
            Some(piece) if piece.len().saturating_add(text.len()) < TOGETHER_BYTES_MAX => {
                piece.push('\n');
                piece.push_str(&text);
            }
            _ => pieces.push(text.into_owned()),
        }
    }
    pieces
}

fn text(node: Node<'_>) -> Option<Cow<'_, str>> {
    let text = node.as_str()?;
    let is_word = |b: u8| b.is_ascii_graphic();
    let is_data = |b: u8| b.is_ascii_alphanumeric() || b"+/-_=".contains(&b);
    let says_nothing = text.len() <= WORD_BYTES_MAX && text.bytes().all(is_word)
        || text.len() >= DATA_BYTES_MIN && text.bytes().all(is_data);
    Some(text).filter(|_| !says_nothing)
}

/// A text in windows of at most so many bytes, each beginning a little before the last one's end.
pub(crate) fn windows(text: &str, bytes_max: usize) -> Vec<&str> {
    let mut windows = Vec::new();
    let mut start = 0;
    loop {
        let rest = text.get(start..).unwrap_or_default();
        if rest.len() <= bytes_max {
            windows.push(rest);
            return windows;
        }
        // No window is empty, even where one sign is longer than all of it.
        let end = rest
            .floor_char_boundary(bytes_max)
            .max(rest.ceil_char_boundary(1));
        let window = rest.get(..end).unwrap_or_default();
        windows.push(window);
        let back = window.ceil_char_boundary(end - end / 8);
        let next = window.get(back..).and_then(|tail| tail.find(char::is_whitespace));
        start += next.map_or(back, |blank| back + blank).max(1);
        start = text.ceil_char_boundary(start);
    }
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::ANSWER,
        json::{Document, Keys},
    };

    use super::*;

    #[test]
    fn what_is_no_text_is_not_read_and_what_is_short_is_read_together() {
        let data = "QUJD".repeat(100);
        let long = "a b ".repeat(400);
        // In the order that is read, which `serde_json` keeps or not, as other crates ask of it.
        let payload = format!(
            r#"{{"a name that speaks": true, "content": [
            {{"type": "text", "text": "good morning"}}, {{"type": "text", "text": "to all of you"}},
            {{"type": "image", "data": "{data}"}}, {{"type": "text", "text": "{long}"}}]}}"#
        );
        let document = Document::parse(payload.into_bytes(), Keys::Exact, &ANSWER).unwrap();
        let found = pieces(document.root());
        assert_eq!(
            found,
            ["a name that speaks\ngood morning\nto all of you", long.as_str()]
        );
    }

    #[test]
    fn windows_cover_a_text_and_overlap() {
        for text in [
            "",
            "a",
            &"word ".repeat(100),
            &"\u{1F600}".repeat(50),
            &"x".repeat(333),
            "ä ö ü",
        ] {
            for bytes_max in [1, 3, 7, 64, 1000] {
                let windows = windows(text, bytes_max);
                let mut end = 0;
                for window in &windows {
                    let start = window.as_ptr() as usize - text.as_ptr() as usize;
                    assert!(start <= end, "a gap in {text:?} at {start} of {bytes_max}");
                    assert!(window.len() <= bytes_max.max(4));
                    end = start + window.len();
                }
                assert_eq!(end, text.len(), "{text:?} {bytes_max}");
            }
        }
    }
}
