//! What is known of a message, for the record.
//!
//! INVARIANT (dossier): stages write, only the case reads. No decision may rest on it; a fact a later stage
//! needs is a proof.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use policy::{Context, Obligation, RuleId, Source};

use crate::{Resolution, Tls, ports::Caller};

/// Facts in the order in which they become known; `None` was never reached.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Who asks.
    pub caller: Option<Caller>,
    /// In which context.
    pub context: Option<Arc<Context>>,
    /// For which declared purpose.
    pub purpose: Option<Arc<str>>,
    /// What for.
    pub resolution: Option<Resolution>,
    /// What inspection found on the way in.
    pub findings: Option<Arc<inspect::Findings>>,
    /// The people it is about.
    pub subjects: BTreeSet<Concerned>,
    /// Where arguments came from.
    pub sources: Arc<[Source]>,
    /// Rules that decided, for or against.
    pub rules: Vec<RuleId>,
    /// What the permit demands.
    pub obligations: Vec<Obligation>,
    /// Whether policy said yes.
    pub permitted: bool,
    /// Why policy would have refused, where it only observes.
    pub would_refuse: Option<String>,
    /// The approval that was used up for it.
    pub approval: Option<String>,
    /// Digest of the policy in force.
    pub policy: Option<Arc<str>>,
    /// Whether the intent is durable.
    pub intent: Option<u64>,
    /// The TLS of the connection to the server over which it was answered, where there was one.
    pub upstream_tls: Option<Tls>,
    /// What a model's answer took.
    pub tokens: Option<wire::model::Tokens>,
    /// What inspection found on the way back.
    pub answer_findings: Option<Arc<inspect::Findings>>,
    /// What a judge said, a line each time it was asked.
    pub judged: Vec<String>,
    /// What was revealed to the far side, a line for each sort.
    pub revealed: Vec<String>,
    /// What was changed in the answer, a line for each sort.
    pub changed: Vec<String>,
}

/// A person a call is about, by an identifier. It is never recorded as it is, and never printed.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
pub struct Concerned(String);

impl Concerned {
    /// The person of this identifier.
    #[must_use]
    pub fn new(identifier: String) -> Self {
        Self(identifier)
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Concerned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Concerned(hidden)")
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Dossier(Mutex<Known>);

impl Dossier {
    /// Writes facts down.
    pub fn note(&self, write: impl FnOnce(&mut Known)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Looks at all that is known, for the case.
    pub fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes all that is known, for the case that ends: nothing is left to read.
    #[must_use]
    pub fn take(&self) -> Known {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
