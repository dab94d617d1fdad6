//! Resource identifiers: what a token is for (RFC 8707, RFC 9728).

use std::fmt;

use thiserror::Error;

/// The canonical URI of a protected resource: scheme and host in lower case, no fragment, no query, no
/// trailing slash.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResourceId(String);

/// Why a text is no resource identifier.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a resource is an absolute http or https URI without user, query and fragment")]
pub struct ResourceError;

impl ResourceId {
    /// Reads an identifier. Only the spelling of scheme, host and a trailing slash is made canonical;
    /// everything else must already be.
    ///
    /// # Errors
    /// When the text is not an absolute URI of the form above.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let (scheme, rest) = text.split_once("://").ok_or(ResourceError)?;
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let printable = text.bytes().all(|b| (0x21..0x7F).contains(&b));
        let plain = !text.contains(['?', '#', '\\', '@']) && !path.contains("//") && !path.contains("/.");
        if !matches!(scheme.as_str(), "http" | "https") || authority.is_empty() || !printable || !plain {
            return Err(ResourceError);
        }
        let path = path.trim_end_matches('/');
        Ok(Self(format!(
            "{scheme}://{}{path}",
            authority.to_ascii_lowercase()
        )))
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is something below the other.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        let below = self.0.strip_prefix(&other.0);
        below.is_some_and(|path| path.starts_with('/'))
    }

    /// The identifier of something below this one.
    #[must_use]
    pub fn join(&self, path: &str) -> Self {
        Self(format!("{}/{}", self.0, path.trim_matches('/')))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
