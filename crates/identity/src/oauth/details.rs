//! The declaration of context: `authorization_details` of type `sallyport_context` (RFC 9396).

use thiserror::Error;
use wire::json::{ArrayWriter, Kind, Node};

use crate::principal::DeclaredContext;

/// The one type of authorization details we know.
pub const DETAILS_TYPE: &str = "sallyport_context";

/// The longest text in a declaration, in bytes, and the most classes.
const TEXT_BYTES_MAX: usize = 256;
const CLASSES_MAX: usize = 16;

/// Why a declaration is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DetailsError {
    /// A member is of the wrong type, too long, or has control characters.
    #[error("`{0}` is malformed")]
    Malformed(&'static str),
    /// More than one context.
    #[error("a token has one context, not several")]
    Several,
    /// A member or type nobody defined; RFC 9396 section 5 has it refused.
    #[error("an unknown member or type")]
    Unknown,
}

/// Reads `authorization_details`: an array with at most one `sallyport_context`.
///
/// # Errors
/// See [`DetailsError`].
pub fn read_details(details: Node<'_>) -> Result<Option<DeclaredContext>, DetailsError> {
    if details.kind() != Kind::Array {
        return Err(DetailsError::Malformed("authorization_details"));
    }
    let mut found = None;
    for detail in details.elements() {
        if !detail.get("type").is_some_and(|kind| kind.is_str(DETAILS_TYPE)) {
            return Err(DetailsError::Unknown);
        }
        if found.replace(read_context(detail)?).is_some() {
            return Err(DetailsError::Several);
        }
    }
    Ok(found)
}

/// Reads one declaration; the same members in a token request and in `_meta["io.sallyport/context"]`.
///
/// # Errors
/// See [`DetailsError`].
pub fn read_context(context: Node<'_>) -> Result<DeclaredContext, DetailsError> {
    if context.kind() != Kind::Object {
        return Err(DetailsError::Malformed("context"));
    }
    let mut declared = DeclaredContext::default();
    for (key, value) in context.members() {
        match key.as_str().unwrap_or_default().as_ref() {
            "type" => {}
            "purpose" => declared.purpose = Some(text(value, "purpose")?),
            "entity" => declared.entity = Some(text(value, "entity")?),
            "trust" => declared.trust = Some(text(value, "trust")?),
            "task" => declared.task = Some(text(value, "task")?),
            "classes" | "data_classes" => declared.classes = classes(value)?,
            _ => return Err(DetailsError::Unknown),
        }
    }
    Ok(declared)
}

fn text(node: Node<'_>, name: &'static str) -> Result<String, DetailsError> {
    let text = node.as_str().ok_or(DetailsError::Malformed(name))?;
    let good = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    if good {
        Ok(text.into_owned())
    } else {
        Err(DetailsError::Malformed(name))
    }
}

fn classes(node: Node<'_>) -> Result<Vec<String>, DetailsError> {
    if node.kind() != Kind::Array || node.elements().count() > CLASSES_MAX {
        return Err(DetailsError::Malformed("classes"));
    }
    node.elements().map(|class| text(class, "classes")).collect()
}

/// Writes a declaration as an element of `authorization_details`.
pub fn write_details(declared: &DeclaredContext, details: &mut ArrayWriter<'_>) {
    details.object(|out| {
        out.string("type", DETAILS_TYPE);
        let texts = [
            ("purpose", &declared.purpose),
            ("entity", &declared.entity),
            ("trust", &declared.trust),
            ("task", &declared.task),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                out.string(name, text);
            }
        }
        if !declared.classes.is_empty() {
            out.array("classes", |classes| {
                declared.classes.iter().for_each(|class| classes.string(class))
            });
        }
    });
}
