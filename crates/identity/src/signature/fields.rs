//! Structured fields (RFC 8941) as far as signatures use them: dictionaries of byte sequences and of inner lists of
//! texts. Stricter than the RFC, which lets the last of two equal keys win: here, two are an error.

use base64::{Engine, engine::general_purpose::STANDARD};

/// The longest field read, in bytes.
const FIELD_BYTES_MAX: usize = 8 * 1024;
/// The most members of a dictionary, items of a list, or parameters of an item.
const MEMBERS_MAX: usize = 32;

/// A value without parameters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Bare {
    Boolean(bool),
    Bytes(Vec<u8>),
    Integer(i64),
    Text(String),
    Token(String),
}

/// Parameters, in their order; no two have the same name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Params(pub(super) Vec<(String, Bare)>);

impl Params {
    pub(super) fn get(&self, name: &str) -> Option<&Bare> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }
}

/// A member of a dictionary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Member {
    Item(Bare, Params),
    List(Vec<(Bare, Params)>, Params),
}

/// Reads a dictionary; none if it is malformed, or has a key twice.
pub(super) fn dictionary(text: &str) -> Option<Vec<(String, Member)>> {
    if text.len() > FIELD_BYTES_MAX {
        return None;
    }
    let mut rest = Rest(text.trim_matches(' '));
    let mut members = Vec::new();
    loop {
        let key = rest.key()?;
        let member = if rest.take('=') {
            rest.member()?
        } else {
            Member::Item(Bare::Boolean(true), rest.params()?)
        };
        put(&mut members, key, member)?;
        rest.spaces();
        if rest.0.is_empty() {
            return Some(members);
        }
        if !rest.take(',') {
            return None;
        }
        rest.spaces();
    }
}

/// Appends under a name that is new.
fn put<T>(list: &mut Vec<(String, T)>, key: String, value: T) -> Option<()> {
    if list.len() >= MEMBERS_MAX || list.iter().any(|(known, _)| *known == key) {
        return None;
    }
    list.push((key, value));
    Some(())
}

/// What has not been read.
struct Rest<'t>(&'t str);

impl Rest<'_> {
    fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let next = chars.next();
        self.0 = chars.as_str();
        next
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn while_is(&mut self, is: impl Fn(char) -> bool) -> String {
        let end = self.0.find(|c| !is(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken.to_owned()
    }

    fn key(&mut self) -> Option<String> {
        self.peek().filter(|c| c.is_ascii_lowercase() || *c == '*')?;
        Some(self.while_is(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c)))
    }

    fn member(&mut self) -> Option<Member> {
        if !self.take('(') {
            return Some(Member::Item(self.bare()?, self.params()?));
        }
        let mut items = Vec::new();
        loop {
            self.0 = self.0.trim_start_matches(' ');
            if self.take(')') {
                return Some(Member::List(items, self.params()?));
            }
            if items.len() >= MEMBERS_MAX {
                return None;
            }
            items.push((self.bare()?, self.params()?));
            self.peek().filter(|c| matches!(c, ' ' | ')'))?;
        }
    }

    fn params(&mut self) -> Option<Params> {
        let mut params = Vec::new();
        while self.take(';') {
            self.0 = self.0.trim_start_matches(' ');
            let key = self.key()?;
            let value = if self.take('=') {
                self.bare()?
            } else {
                Bare::Boolean(true)
            };
            put(&mut params, key, value)?;
        }
        Some(Params(params))
    }

    fn bare(&mut self) -> Option<Bare> {
        match self.peek()? {
            '"' => self.text(),
            ':' => {
                self.next();
                let coded = self.while_is(|c| c != ':');
                self.take(':').then_some(())?;
                STANDARD.decode(coded).ok().map(Bare::Bytes)
            }
            '?' => {
                self.next();
                match self.next()? {
                    '0' => Some(Bare::Boolean(false)),
                    '1' => Some(Bare::Boolean(true)),
                    _ => None,
                }
            }
            '-' | '0'..='9' => {
                let sign = if self.take('-') { "-" } else { "" };
                let digits = self.while_is(|c| c.is_ascii_digit());
                // A decimal is none of what is known here.
                if digits.is_empty() || digits.len() > 15 || self.peek() == Some('.') {
                    return None;
                }
                format!("{sign}{digits}").parse().ok().map(Bare::Integer)
            }
            c if c.is_ascii_alphabetic() || c == '*' => {
                Some(Bare::Token(self.while_is(|c| {
                    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c)
                })))
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Bare> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(Bare::Text(text)),
                '\\' => text.push(self.next().filter(|c| matches!(c, '"' | '\\'))?),
                c @ ' '..='~' => text.push(c),
                _ => return None,
            }
        }
    }
}

/// Writes an inner list as a signer has to (RFC 8941 section 4.1).
pub(super) fn write_list(items: &[(Bare, Params)], params: &Params) -> String {
    let items: Vec<String> = items.iter().map(|(item, own)| write_item(item, own)).collect();
    format!("({}){}", items.join(" "), write_params(params))
}

/// Writes an item with its parameters.
pub(super) fn write_item(item: &Bare, params: &Params) -> String {
    format!("{}{}", write_bare(item), write_params(params))
}

fn write_params(params: &Params) -> String {
    let written = params.0.iter().map(|(name, value)| match value {
        Bare::Boolean(true) => format!(";{name}"),
        Bare::Boolean(false) | Bare::Bytes(_) | Bare::Integer(_) | Bare::Text(_) | Bare::Token(_) => {
            format!(";{name}={}", write_bare(value))
        }
    });
    written.collect()
}

fn write_bare(bare: &Bare) -> String {
    match bare {
        Bare::Boolean(yes) => format!("?{}", u8::from(*yes)),
        Bare::Bytes(bytes) => format!(":{}:", STANDARD.encode(bytes)),
        Bare::Integer(number) => number.to_string(),
        Bare::Text(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        Bare::Token(token) => token.clone(),
    }
}
