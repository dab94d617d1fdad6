//! `like` patterns: text with `*` for anything. Matching takes no more than a walk per piece.

/// The pieces between the stars; a pattern without a star has one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pattern {
    first: String,
    /// Pieces after a star, in order. The last of them ends the text.
    rest: Vec<String>,
}

/// A character of a pattern, or a star.
pub(super) enum Piece {
    Char(char),
    Star,
}

impl FromIterator<Piece> for Pattern {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        let mut first = String::new();
        let mut rest: Vec<String> = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Char(c) => rest.last_mut().unwrap_or(&mut first).push(c),
                Piece::Star => rest.push(String::new()),
            }
        }
        Self { first, rest }
    }
}

impl Pattern {
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((last, middle)) = self.rest.split_last() else {
            return text == self.first;
        };
        let Some(mut text) = text.strip_prefix(self.first.as_str()) else {
            return false;
        };
        for piece in middle {
            let Some((_, after)) = text.split_once(piece.as_str()) else {
                return false;
            };
            text = after;
        }
        text.ends_with(last.as_str())
    }
}
