//! A context: the conversation or task that labels stick to. It only ever gets more restricted.

use std::sync::{Mutex, PoisonError};

use crate::label::Labels;

/// One context. Shared by every call in it; survives reconnects and refreshed tokens.
#[derive(Debug)]
pub struct Context {
    id: String,
    labels: Mutex<Labels>,
}

impl Context {
    /// A context with nothing read yet.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self {
            id,
            labels: Mutex::new(Labels::none()),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it has read so far.
    #[must_use]
    pub fn labels(&self) -> Labels {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in what a result brought. Says whether that changed anything.
    pub fn absorb(&self, labels: &Labels) -> Absorbed {
        let mut held = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = held.clone().join(labels);
        if *held == joined {
            return Absorbed::Nothing;
        }
        *held = joined;
        Absorbed::Tightened
    }
}

/// Whether a context changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Absorbed {
    /// It had read data of that kind before.
    Nothing,
    /// It is more restricted than before.
    Tightened,
}
