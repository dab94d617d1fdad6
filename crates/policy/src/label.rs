//! What is known of data: where it may come from and who may see it. Labels only ever tighten.

use std::collections::BTreeSet;

/// Whether data may carry somebody else's instructions.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Integrity {
    /// Only sources the operator trusts have had a hand in it.
    Trusted,
    /// Anyone may have written it. The default of whatever is not known.
    #[default]
    Untrusted,
}

/// Who may see data. Ordered: the higher, the fewer.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Confidentiality {
    /// Anyone.
    #[default]
    Public,
    /// The organisation.
    Internal,
    /// Those who need it.
    Confidential,
    /// Those who are named.
    Restricted,
}

/// Kinds of data with rules of their own: `phi`, `pii`, `credential`, and what an operator adds.
pub type Categories = BTreeSet<String>;

/// The labels of a piece of data or of a context.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Labels {
    /// Who may have had a hand in it.
    pub integrity: Integrity,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    /// What kinds of data it holds.
    pub categories: Categories,
}

impl Labels {
    /// The labels of nothing: trusted, public, no category. Joining it changes nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            integrity: Integrity::Trusted,
            confidentiality: Confidentiality::Public,
            categories: Categories::new(),
        }
    }

    /// The labels of both together: the worse integrity, the higher confidentiality, all categories.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        self.integrity = self.integrity.max(other.integrity);
        self.confidentiality = self.confidentiality.max(other.confidentiality);
        self.categories.extend(other.categories.iter().cloned());
        self
    }
}

impl Integrity {
    /// Both, the better first.
    pub const ALL: [Self; 2] = [Self::Trusted, Self::Untrusted];

    /// The word rules and records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Untrusted => "untrusted",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|integrity| integrity.as_str() == word)
    }
}

impl Confidentiality {
    /// All levels, lowest first.
    pub const ALL: [Self; 4] = [Self::Public, Self::Internal, Self::Confidential, Self::Restricted];

    /// The word rules and records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }

    /// The level as a number, 0 to 3, so that rules can compare.
    #[must_use]
    pub fn level(self) -> i64 {
        self as i64
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}
