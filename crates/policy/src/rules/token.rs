//! Words, quoted texts and signs of a rule's source, so that statements can be told apart and an error can
//! name its place. It must not know what a rule means; that is the parser's affair.

/// What a token is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TokenKind {
    /// `"..."`, the quotes included; one that is never closed ends with the source.
    Quoted,
    /// Any other single character.
    Sign(char),
    /// Letters, digits and `_`.
    Word,
}

/// A piece of a source, and where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// First byte.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
}

impl Token {
    /// The token as written.
    pub(super) fn text(self, source: &str) -> &str {
        source.get(self.start..self.end).unwrap_or_default()
    }
}

/// The tokens of a source; white space and `//` comments are left out.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = source.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        if c.is_whitespace() {
            continue;
        }
        if c == '/' && rest.next_if(|(_, next)| *next == '/').is_some() {
            while rest.next_if(|(_, next)| *next != '\n').is_some() {}
            continue;
        }
        let kind = if c == '"' {
            let mut escaped = false;
            for (_, next) in rest.by_ref() {
                match next {
                    '"' if !escaped => break,
                    '\\' => escaped = !escaped,
                    _ => escaped = false,
                }
            }
            TokenKind::Quoted
        } else if is_word(c) {
            while rest.next_if(|(_, next)| is_word(*next)).is_some() {}
            TokenKind::Word
        } else {
            TokenKind::Sign(c)
        };
        let end = rest.peek().map_or(source.len(), |(next, _)| *next);
        found.push(Token { kind, start, end });
    }
    found
}

/// The tokens statement by statement, each with its closing `;` if it has one.
pub(super) fn statements(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    tokens.split_inclusive(|token| token.kind == TokenKind::Sign(';'))
}

/// The deepest nesting of brackets.
pub(super) fn depth(tokens: &[Token]) -> usize {
    let mut deepest = 0;
    let mut open = 0_usize;
    for token in tokens {
        match token.kind {
            TokenKind::Sign('(' | '[' | '{') => open += 1,
            TokenKind::Sign(')' | ']' | '}') => open = open.saturating_sub(1),
            TokenKind::Quoted | TokenKind::Sign(_) | TokenKind::Word => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
