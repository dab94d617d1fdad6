//! Names of servers, and names of tools behind one endpoint: `server__tool`.

use std::{fmt, sync::Arc};

use thiserror::Error;

use crate::bounds::NAME_BYTES_MAX;

/// What stands between a server's name and a tool's.
const SEPARATOR: &str = "__";

/// The name of a server: 1 to 64 of `A-Z a-z 0-9 _ -`, no `__`, no `_` at either end.
///
/// So `server__tool` splits in one way only, and is a tool name in every revision and for every model API. Each call has it
/// in many places, so clones share it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerName(Arc<str>);

/// Why a text is not a server name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a server name has 1 to 64 letters from a to z, digits, `-` and single inner `_`")]
pub struct NameError;

impl ServerName {
    /// Reads a name.
    ///
    /// # Errors
    /// When the text is not of the form above.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let fits = (1..=64).contains(&text.len()) && text.chars().all(good);
        let splits = text.contains(SEPARATOR) || text.starts_with('_') || text.ends_with('_');
        if fits && !splits {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NameError)
        }
    }

    /// The nearest name to a label people chose, such as `GitHub (work)`: `GitHub-work`.
    ///
    /// # Errors
    /// When less than half of the label's letters and digits are left: nobody would know `ünï` by `n`.
    pub fn from_label(label: &str) -> Result<Self, NameError> {
        let said = label.chars().filter(|c| c.is_alphanumeric()).count();
        let left = label.chars().filter(char::is_ascii_alphanumeric).count();
        if left * 2 < said {
            return Err(NameError);
        }
        let mut name = String::new();
        for c in label.chars() {
            let c = if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            };
            let doubled = (c == '-' || c == '_') && name.ends_with(['-', '_']);
            if !doubled && name.len() < 64 {
                name.push(c);
            }
        }
        Self::parse(name.trim_matches(['-', '_']))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name under which a server's tool or prompt is offered next to those of other servers.
#[must_use]
pub fn federated(server: &ServerName, name: &str) -> String {
    format!("{server}{SEPARATOR}{name}")
}

/// Splits a federated name; none if it is not one.
#[must_use]
pub fn split_federated(name: &str) -> Option<(ServerName, &str)> {
    let (server, tool) = name.split_once(SEPARATOR)?;
    let fits = !tool.is_empty() && tool.len() <= NAME_BYTES_MAX;
    fits.then(|| ServerName::parse(server).ok())
        .flatten()
        .map(|server| (server, tool))
}
