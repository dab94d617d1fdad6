//! Arguments mirrored in headers (2026-07-28, streamable HTTP, custom headers): which they are, and what
//! each header must say.
//!
//! A tool's schema marks a parameter with `x-mcp-header`; whoever calls the tool over HTTP repeats its value
//! in `Mcp-Param-{name}`, for guards on the way that read headers only. As with every mirrored header,
//! nothing is decided on it here: it must say what the body says, or the call is refused.

use std::borrow::Cow;

use super::{Mismatch, decode_sentinel, encode_sentinel};
use crate::json::{Kind, Node};

/// What headers of mirrored arguments begin with, in lower case.
pub const PARAM_HEADER_PREFIX: &str = "mcp-param-";
/// Marks a parameter in a tool's schema.
const KEY: &str = "x-mcp-header";
/// Integers beyond this are not the same to every parser, so they are not mirrored.
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// A parameter whose value is mirrored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MirroredParam {
    /// Where the value is: the names of properties, from the arguments down.
    path: Vec<String>,
    /// The header, in lower case.
    header: String,
}

/// The parameters a tool's input schema marks.
///
/// # Errors
/// When a mark is not where or what the specification allows; such a tool may not be offered over HTTP.
pub fn mirrored_params(schema: Node<'_>) -> Result<Vec<MirroredParam>, &'static str> {
    // Asked for each call, and few schemas have a mark. Behind an escape it could hide.
    let written = schema.written();
    if !written.contains(KEY) && !written.contains('\\') {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    walk(schema, Some(&mut Vec::new()), &mut found)?;
    let mut names: Vec<_> = found.iter().map(|param: &MirroredParam| &param.header).collect();
    names.sort();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err("two parameters are mirrored in one header");
    }
    Ok(found)
}

fn walk(
    schema: Node<'_>,
    mut path: Option<&mut Vec<String>>,
    found: &mut Vec<MirroredParam>,
) -> Result<(), &'static str> {
    if schema.kind() == Kind::Array {
        return schema
            .elements()
            .try_for_each(|element| walk(element, None, found));
    }
    if let Some(mark) = schema.get(KEY) {
        match path.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => found.push(marked(schema, mark, path)?),
            None => return Err("`x-mcp-header` stands where only a chain of `properties` may lead"),
        }
    }
    for (key, value) in schema.members() {
        match key.as_str().unwrap_or_default().as_ref() {
            // Data, not schemas.
            KEY | "const" | "default" | "enum" | "examples" => {}
            "properties" => {
                for (name, property) in value.members() {
                    match path.as_deref_mut() {
                        None => walk(property, None, found)?,
                        Some(path) => {
                            path.push(name.as_str().unwrap_or_default().into_owned());
                            walk(property, Some(path), found)?;
                            path.pop();
                        }
                    }
                }
            }
            // Here the keys are names, whatever they look like.
            "$defs" | "definitions" | "dependentSchemas" | "patternProperties" => value
                .members()
                .try_for_each(|(_, schema)| walk(schema, None, found))?,
            _ => walk(value, None, found)?,
        }
    }
    Ok(())
}

fn marked(schema: Node<'_>, mark: Node<'_>, path: &[String]) -> Result<MirroredParam, &'static str> {
    let name = mark.as_str().ok_or("`x-mcp-header` must be a string")?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 128 || !name.bytes().all(is_token) {
        return Err("`x-mcp-header` is not a name a header can have");
    }
    let primitive = schema
        .get("type")
        .is_some_and(|kind| ["boolean", "integer", "string"].iter().any(|p| kind.is_str(p)));
    if !primitive {
        return Err("`x-mcp-header` marks a parameter that is no string, integer or boolean");
    }
    Ok(MirroredParam {
        path: path.to_vec(),
        header: format!("{PARAM_HEADER_PREFIX}{}", name.to_ascii_lowercase()),
    })
}

impl MirroredParam {
    /// The header, in lower case.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The argument that is mirrored; none where it is absent or null.
    #[must_use]
    pub fn argument<'a>(&self, arguments: Option<Node<'a>>) -> Option<Node<'a>> {
        let mut value = arguments?;
        for name in &self.path {
            value = value.get(name)?;
        }
        (!value.is_null()).then_some(value)
    }

    /// What the header is to say for an argument; none for what no header can say.
    #[must_use]
    pub fn value(argument: Node<'_>) -> Option<String> {
        said(argument).map(|said| encode_sentinel(&said).into_owned())
    }

    /// Checks the header a call came with against its arguments.
    ///
    /// # Errors
    /// When the header is missing, malformed, at odds with the argument, or there without one.
    pub fn agree(&self, header: Option<&str>, arguments: Option<Node<'_>>) -> Result<(), Mismatch> {
        const NAME: &str = "Mcp-Param-*";
        let expected = self.argument(arguments).and_then(said);
        let (expected, header) = match (expected, header) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(Mismatch::Differs(NAME)),
            (Some(_), None) => return Err(Mismatch::Missing(NAME)),
            (Some(expected), Some(header)) => (expected, header),
        };
        match decode_sentinel(header) {
            None => Err(Mismatch::Malformed(NAME)),
            Some(header) if header == expected => Ok(()),
            Some(_) => Err(Mismatch::Differs(NAME)),
        }
    }
}

fn said(argument: Node<'_>) -> Option<Cow<'_, str>> {
    match argument.kind() {
        Kind::String => argument.as_str(),
        Kind::Bool => argument
            .as_bool()
            .map(|b| Cow::Borrowed(if b { "true" } else { "false" })),
        Kind::Number => {
            let number = argument.as_number()?.as_i64()?;
            (-INTEGER_MAX..=INTEGER_MAX)
                .contains(&number)
                .then(|| Cow::Owned(number.to_string()))
        }
        Kind::Array | Kind::Null | Kind::Object => None,
    }
}
