//! What a server says when it refuses a request (RFC 9110 section 11.6.1, RFC 6750, RFC 9728).

use hyper::{HeaderMap, header::WWW_AUTHENTICATE};

/// The longest parameter taken.
const PARAMETER_BYTES_MAX: usize = 4096;
/// Most parameters of a header.
const PARAMETERS_MAX: usize = 64;

/// A challenge, as far as it matters here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Challenge {
    /// Where the resource's metadata is.
    pub(crate) metadata: Option<String>,
    /// The scopes that are wanted.
    pub(crate) scope: Option<String>,
    /// What is wrong with the credential.
    pub(crate) error: Option<String>,
    /// Tokens bound to a key are taken.
    pub(crate) takes_dpop: bool,
}

impl Challenge {
    /// The Bearer and DPoP challenges of an answer, taken together.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut challenge = Self::default();
        for value in headers.get_all(WWW_AUTHENTICATE) {
            if let Ok(text) = value.to_str() {
                challenge.read(text);
            }
        }
        challenge
    }

    pub(crate) fn is_error(&self, error: &str) -> bool {
        self.error.as_deref() == Some(error)
    }

    /// The scopes, one by one.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope.as_deref().unwrap_or_default().split_ascii_whitespace()
    }

    fn read(&mut self, text: &str) {
        let mut is_ours = false;
        for part in parts(text) {
            let (name, value) = match part {
                Part::Scheme(scheme) => {
                    let is_dpop = scheme.eq_ignore_ascii_case("dpop");
                    self.takes_dpop |= is_dpop;
                    is_ours = is_dpop || scheme.eq_ignore_ascii_case("bearer");
                    continue;
                }
                Part::Parameter(name, value) => (name.to_ascii_lowercase(), value),
            };
            let place = match name.as_str() {
                "resource_metadata" => &mut self.metadata,
                "scope" => &mut self.scope,
                "error" => &mut self.error,
                _ => continue,
            };
            if is_ours && value.len() <= PARAMETER_BYTES_MAX {
                place.get_or_insert(value);
            }
        }
    }
}

enum Part<'t> {
    Scheme(&'t str),
    Parameter(&'t str, String),
}

/// Schemes and parameters in the order they come. What is neither ends the reading.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while parts.len() < PARAMETERS_MAX {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        let after = after.trim_start_matches([' ', '\t']);
        let Some(value) = after.strip_prefix('=') else {
            parts.push(Part::Scheme(word));
            rest = after;
            continue;
        };
        let Some((value, left)) = value_of(value.trim_start_matches([' ', '\t'])) else {
            break;
        };
        parts.push(Part::Parameter(word, value));
        rest = left;
    }
    parts
}

/// A token or a quoted text, and what follows.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !is_token(c)).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Challenge {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, text.parse().expect("a value"));
        }
        Challenge::of(&headers)
    }

    #[test]
    fn challenges_are_read_as_they_are_written() {
        let url = "https://a.example/.well-known/oauth-protected-resource";
        let quoted =
            format!("Bearer error=\"insufficient_scope\", scope=\"a b\", resource_metadata=\"{url}\"");
        let bare = format!("bearer Resource_Metadata={url},scope=\"a b\" , error=insufficient_scope");
        for texts in [
            vec![quoted.as_str()],
            vec![bare.as_str()],
            vec!["Basic realm=\"x, scope=y\"", quoted.as_str()],
            vec![&quoted, "Bearer scope=\"c\""],
        ] {
            let challenge = of(&texts);
            assert_eq!(challenge.metadata.as_deref(), Some(url), "{texts:?}");
            assert_eq!(challenge.scopes().collect::<Vec<_>>(), ["a", "b"], "{texts:?}");
            assert!(challenge.is_error("insufficient_scope"), "{texts:?}");
        }
        assert!(of(&["DPoP algs=\"ES256\"", "Bearer"]).takes_dpop);
        assert!(!of(&["Bearer realm=\"DPoP\""]).takes_dpop);
        let escaped = of(&["Bearer realm=\"a\\\"b, scope=c\", scope=\"d\""]);
        assert_eq!(escaped.scope.as_deref(), Some("d"));
    }

    #[test]
    fn what_is_of_another_scheme_or_cannot_be_read_says_nothing() {
        for text in [
            "Basic resource_metadata=\"https://a.example\", scope=\"b\"",
            "Bearer resource_metadata=\"https://a.example",
            "Bearer",
            "",
            "=x",
            "Bearer =\"x\"",
        ] {
            assert_eq!(of(&[text]), Challenge::default(), "{text}");
        }
    }
}
