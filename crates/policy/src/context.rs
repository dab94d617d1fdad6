//! A context: the conversation or task that labels stick to. It only ever gets more restricted.

use std::sync::{Mutex, PoisonError};

use crate::{
    facts::Source,
    flow::{Brought, Call, Flow, Settings},
    label::Labels,
};
use wire::json::Node;

/// One context. Shared by every call in it; survives reconnects and refreshed tokens.
#[derive(Debug)]
pub struct Context {
    id: String,
    labels: Mutex<Labels>,
    flow: Mutex<Flow>,
}

impl Context {
    /// A context with nothing read yet, for a task if one was declared.
    #[must_use]
    pub fn new(id: String, task: Option<&str>) -> Self {
        Self {
            id,
            labels: Mutex::new(Labels::none()),
            flow: Mutex::new(Flow::new(task, Settings::default())),
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

    /// Which earlier results the arguments of a call were taken from.
    #[must_use]
    pub fn sources(&self, args: Option<Node<'_>>) -> Vec<Source> {
        self.flow
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sources(args)
    }

    /// Remembers what a call brought, so that later arguments can be traced to it.
    pub fn remember(&self, call: &Call<'_>, brought: &Brought<'_>) {
        self.flow
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .absorb(call, brought);
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
