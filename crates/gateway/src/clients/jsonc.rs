//! JSON as people keep it: comments and trailing commas are read over, and everything knows where it stands,
//! so that an edit touches nothing but what it is about. Knows nothing of clients.
//!
//! Messages of the protocol never come here; those are read strictly, by `wire`.

use std::ops::Range;

use super::Trouble;

/// How deep values may be nested.
const DEPTH_MAX: usize = 200;

/// A value and where it stands, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Array(Vec<Node>),
    Object(Vec<Member>),
    /// A text, a number, `true`, `false`, `null`.
    Plain(serde_json::Value),
}

/// A name and its value.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where the name begins, with its quotation mark.
    pub(super) at: usize,
    pub(super) value: Node,
}

impl Node {
    /// The members, if it is an object.
    pub(super) fn members(&self) -> Option<&[Member]> {
        match &self.kind {
            Kind::Object(members) => Some(members),
            Kind::Array(_) | Kind::Plain(_) => None,
        }
    }

    /// A member; of several of the same name none, because readers differ in which one they take.
    pub(super) fn get(&self, name: &str) -> Result<Option<&Member>, Trouble> {
        let mut found = self
            .members()
            .unwrap_or_default()
            .iter()
            .filter(|member| member.name == name);
        let first = found.next();
        match found.next() {
            Some(second) => Err(Trouble::at(
                second.at,
                format!("`{name}` comes twice"),
                "keep one of them",
            )),
            None => Ok(first),
        }
    }

    /// The value without its places. A name that comes twice is refused at every depth.
    pub(super) fn value(&self) -> Result<serde_json::Value, Trouble> {
        Ok(match &self.kind {
            Kind::Plain(value) => value.clone(),
            Kind::Array(elements) => {
                serde_json::Value::Array(elements.iter().map(Self::value).collect::<Result<_, _>>()?)
            }
            Kind::Object(members) => {
                let mut map = serde_json::Map::new();
                for member in members {
                    self.get(&member.name)?;
                    map.insert(member.name.clone(), member.value.value()?);
                }
                serde_json::Value::Object(map)
            }
        })
    }
}

/// Reads a text. An empty one is an empty object, as editors take it.
pub(super) fn parse(text: &str) -> Result<Node, Trouble> {
    let mut reader = Reader::of(text);
    reader.whole()
}

/// The same text with blanks in the place of comments, for those who read JSON and no more. Lines and columns stay.
pub(super) fn without_comments(text: &str) -> Result<String, Trouble> {
    let mut reader = Reader::of(text);
    reader.whole()?;
    let mut blank = text.to_owned();
    // From the end, so that the places before stay right.
    for comment in reader.comments.into_iter().rev() {
        let blanks = text.get(comment.clone()).unwrap_or_default();
        let blanks: String = blanks
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        blank.replace_range(comment, &blanks);
    }
    Ok(blank)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    comments: Vec<Range<usize>>,
}

impl<'t> Reader<'t> {
    fn of(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            comments: Vec::new(),
        }
    }

    fn whole(&mut self) -> Result<Node, Trouble> {
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        self.skip()?;
        if self.peek().is_none() {
            return Ok(Node {
                span: self.at..self.at,
                kind: Kind::Object(Vec::new()),
            });
        }
        let node = self.value(0)?;
        self.skip()?;
        match self.peek() {
            None => Ok(node),
            Some(_) => Err(self.trouble(
                "there is something after the end",
                "remove what follows the last bracket",
            )),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn trouble(&self, what: &str, remedy: &str) -> Trouble {
        Trouble::at(self.at, what, remedy)
    }

    /// Skips blanks and comments.
    fn skip(&mut self) -> Result<(), Trouble> {
        loop {
            let rest = self.rest();
            if rest.starts_with([' ', '\t', '\n', '\r']) {
                self.at += 1;
            } else if rest.starts_with("//") {
                let end = self.at + rest.find('\n').unwrap_or(rest.len());
                self.comments.push(self.at..end);
                self.at = end;
            } else if rest.starts_with("/*") {
                let end = rest
                    .find("*/")
                    .ok_or_else(|| self.trouble("a comment has no end", "close it with `*/`"))?;
                let end = self.at + end + 2;
                self.comments.push(self.at..end);
                self.at = end;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Trouble> {
        if depth > DEPTH_MAX {
            return Err(self.trouble(
                "values are nested too deep",
                "this is not a client's configuration",
            ));
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Kind::Plain(serde_json::Value::String(self.string()?)),
            Some(_) => Kind::Plain(self.word()?),
            None => return Err(self.trouble("a value is missing: the file ends here", "complete the file")),
        };
        Ok(Node {
            span: start..self.at,
            kind,
        })
    }

    fn object(&mut self, depth: usize) -> Result<Kind, Trouble> {
        let open = self.at;
        self.at += 1;
        let mut members = Vec::new();
        loop {
            self.skip()?;
            let at = self.at;
            match self.peek() {
                Some(b'}') => break self.at += 1,
                Some(b'"') => {}
                Some(_) => {
                    return Err(self.trouble("a name in quotation marks is expected", "write it as \"name\""));
                }
                None => {
                    return Err(Trouble::at(
                        open,
                        "this `{` is never closed",
                        "add the missing `}`",
                    ));
                }
            }
            let name = self.string()?;
            self.skip()?;
            if self.peek() != Some(b':') {
                return Err(self.trouble(&format!("there is no `:` after \"{name}\""), "add it"));
            }
            self.at += 1;
            self.skip()?;
            let value = self.value(depth + 1)?;
            members.push(Member { name, at, value });
            self.comma(b'}', open)?;
        }
        Ok(Kind::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Kind, Trouble> {
        let open = self.at;
        self.at += 1;
        let mut elements = Vec::new();
        loop {
            self.skip()?;
            match self.peek() {
                Some(b']') => break self.at += 1,
                Some(_) => {}
                None => {
                    return Err(Trouble::at(
                        open,
                        "this `[` is never closed",
                        "add the missing `]`",
                    ));
                }
            }
            elements.push(self.value(depth + 1)?);
            self.comma(b']', open)?;
        }
        Ok(Kind::Array(elements))
    }

    /// A comma, or the end, which is left for the caller.
    fn comma(&mut self, end: u8, open: usize) -> Result<(), Trouble> {
        self.skip()?;
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(found) if found == end => {}
            Some(_) => {
                let what = format!("a `,` or `{}` is expected", char::from(end));
                return Err(self.trouble(&what, "add the comma that is missing before this"));
            }
            None => {
                let bracket = if end == b'}' { ('{', '}') } else { ('[', ']') };
                let what = format!("this `{}` is never closed", bracket.0);
                return Err(Trouble::at(
                    open,
                    what,
                    format!("add the missing `{}`", bracket.1),
                ));
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, Trouble> {
        let start = self.at;
        let mut escaped = false;
        let inside = self.rest().bytes().skip(1);
        let length = inside.take_while(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            !ends
        });
        let end = start + 1 + length.count() + 1;
        let unfit = |what: String| Trouble::at(start, what, "correct the text between the quotation marks");
        let quoted = self
            .text
            .get(start..end)
            .ok_or_else(|| unfit("a text has no end".to_owned()))?;
        let string = serde_json::from_str(quoted).map_err(|error| {
            let error = error.to_string();
            unfit(error.split(" at line").next().unwrap_or(&error).to_owned())
        })?;
        self.at = end;
        Ok(string)
    }

    fn word(&mut self) -> Result<serde_json::Value, Trouble> {
        let rest = self.rest();
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c)))
            .unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default();
        let shown: String = rest.chars().take(length.clamp(1, 20)).collect();
        let value = serde_json::from_str(word).map_err(|_| {
            self.trouble(
                &format!("`{}` is not a value", shown.escape_debug()),
                "put texts into quotation marks",
            )
        })?;
        self.at += length;
        Ok(value)
    }
}
