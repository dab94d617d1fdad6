//! `WWW-Authenticate`: how to get past a refusal that a token can cure (RFC 6750, RFC 9728 section 5.1).

/// A challenge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    /// `Bearer` or `DPoP`.
    pub scheme: &'static str,
    /// Where the resource's metadata is.
    pub resource_metadata: String,
    /// The scopes this very request needs.
    pub scope: String,
    /// `invalid_token`, `insufficient_scope` or `insufficient_user_authentication`; none when no token was presented.
    pub error: Option<&'static str>,
    /// For developers; the same for every cause of the same error.
    pub description: Option<&'static str>,
    /// How the person has to log in (RFC 9470): the level, and how many seconds ago at most.
    pub login: Option<(String, Option<u32>)>,
}

impl Challenge {
    /// The header's value.
    #[must_use]
    pub fn header(&self) -> String {
        let mut header = format!("{} ", self.scheme);
        let mut parameter = |name: &str, value: &str| {
            if !header.ends_with(' ') {
                header.push_str(", ");
            }
            // Values are ours; the filter keeps a quote or a line end from ever ending them early.
            let safe: String = value
                .chars()
                .filter(|c| (' '..='~').contains(c) && !matches!(c, '"' | '\\'))
                .collect();
            header.push_str(&format!("{name}=\"{safe}\""));
        };
        if let Some(error) = self.error {
            parameter("error", error);
        }
        if let Some(description) = self.description {
            parameter("error_description", description);
        }
        if let Some((level, max_age_s)) = &self.login {
            parameter("acr_values", level);
            if let Some(max_age_s) = max_age_s {
                parameter("max_age", &max_age_s.to_string());
            }
        }
        parameter("resource_metadata", &self.resource_metadata);
        parameter("scope", &self.scope);
        header
    }
}
