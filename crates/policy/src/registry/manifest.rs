//! What the operator says of a server: how far to trust it, what its data is like, what its tools can do.

use std::collections::BTreeSet;

use crate::{
    label::Labels,
    resource::{Sink, Trust},
    rules::ArgumentType,
};

/// The operator's word on a server. It comes from configuration and is never widened by what the server
/// says of itself (Docker MCP Gateway CVE-2026-55887).
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Whether its content counts as trusted.
    pub trust: Trust,
    /// What its data is like.
    pub labels: Labels,
    /// Whose it is, where tenants share the gateway; everybody's where nobody is named.
    pub tenant: Option<String>,
    /// What its tools can do, by name pattern.
    pub tools: Vec<(Glob, ToolManifest)>,
    /// Extensions of the protocol that it and its clients may use, besides those the gateway can read.
    pub extensions: BTreeSet<String>,
}

/// The operator's word on tools.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolManifest {
    /// What calling it can do.
    pub sink: Option<Sink>,
    /// What its results are like, where that differs from the server's labels.
    pub labels: Option<Labels>,
    /// Where the arguments name the person its results are about (a JSON pointer): whose key seals the
    /// pseudonyms made of them.
    pub subject: Option<String>,
    /// What a call counts against limits on cost; one unless said.
    pub cost: Option<u64>,
    /// What arguments are beyond what the schema says, each found by its names from the outside in.
    pub arguments: Vec<(Vec<String>, ArgumentType)>,
}

impl Manifest {
    /// What is said of nothing in particular: untrusted, public, no tool known.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            trust: Trust::Untrusted,
            labels: Labels::none(),
            tenant: None,
            tools: Vec::new(),
            extensions: BTreeSet::new(),
        }
    }

    /// What is said of one tool: the pattern with the most letters of its own wins.
    #[must_use]
    pub fn tool(&self, name: &str) -> ToolManifest {
        self.tools
            .iter()
            .filter(|(glob, _)| glob.matches(name))
            .max_by_key(|(glob, _)| glob.letters())
            .map(|(_, manifest)| manifest.clone())
            .unwrap_or_default()
    }
}

/// A name pattern: `*` stands for any run of characters, everything else for itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Glob(String);

impl Glob {
    /// A pattern.
    #[must_use]
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether a name matches. Linear in the name for each star: the last star is the only one retried.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_str(), name);
        let mut retry: Option<(&str, &str)> = None;
        loop {
            if let Some(after) = pattern.strip_prefix('*') {
                retry = Some((after, rest));
                pattern = after;
                continue;
            }
            let mut wanted = pattern.chars();
            let mut found = rest.chars();
            match (wanted.next(), found.next()) {
                (None, None) => return true,
                (Some(w), Some(f)) if w == f => {
                    pattern = wanted.as_str();
                    rest = found.as_str();
                    continue;
                }
                _ => {}
            }
            // Let the last star eat one character more.
            let Some((after, from)) = retry else { return false };
            let mut eaten = from.chars();
            if eaten.next().is_none() {
                return false;
            }
            retry = Some((after, eaten.as_str()));
            (pattern, rest) = (after, eaten.as_str());
        }
    }

    fn letters(&self) -> usize {
        self.0.chars().filter(|c| *c != '*').count()
    }
}
