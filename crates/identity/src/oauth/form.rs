//! `application/x-www-form-urlencoded` requests: every parameter at most once (RFC 6749 section 3.2).

use std::collections::BTreeMap;

use super::{OauthError, OauthFault};

/// The largest form read, in bytes.
const FORM_BYTES_MAX: usize = 64 * 1024;
/// The most parameters read.
const PARAMETERS_MAX: usize = 64;

/// A form's parameters. Empty ones count as absent, as RFC 6749 says.
#[derive(Debug)]
pub struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// When it is too large, not UTF-8, or says something twice. `resource` may come several times by RFC
    /// 8707; a token of ours is for one resource, so here it may not.
    pub fn parse(body: &[u8]) -> Result<Self, OauthError> {
        let refuse = |why: &str| OauthError::new(OauthFault::InvalidRequest, why);
        if body.len() > FORM_BYTES_MAX {
            return Err(refuse("the form is too large"));
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            if name.contains('\u{FFFD}') || value.contains('\u{FFFD}') {
                return Err(refuse("a parameter is not UTF-8"));
            }
            if parameters.len() >= PARAMETERS_MAX {
                return Err(refuse("there are too many parameters"));
            }
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(refuse("a parameter comes twice"));
            }
        }
        parameters.retain(|_, value| !value.is_empty());
        Ok(Self(parameters))
    }

    /// A parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
