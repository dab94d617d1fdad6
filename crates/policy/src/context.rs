//! A context: the conversation or task that labels stick to. It only ever gets more restricted; only a person
//! takes a label off, and whoever calls [`Context::declassify`] has recorded who and why.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    facts::Source,
    flow::{Brought, Call, Damaged, Flow, Settings},
    label::Labels,
};
use wire::json::Node;

/// One context. Shared by every call in it; survives reconnects, refreshed tokens and restarts.
#[derive(Debug)]
pub struct Context {
    id: String,
    labels: Mutex<Held>,
    flow: Mutex<Remembering>,
}

/// What was read, and what the store knows of it.
#[derive(Debug)]
struct Held {
    now: Labels,
    stored: Labels,
}

/// What is remembered, and whether it changed since it was last kept.
#[derive(Debug)]
struct Remembering {
    flow: Flow,
    unkept: bool,
    heard: Heard,
}

/// What was overheard lately, by its hash under keys nobody knows: lists come again and again, and are the same.
#[derive(Debug, Default)]
struct Heard {
    keys: RandomState,
    marks: VecDeque<u64>,
}

/// Most hashes of what was overheard.
const HEARD_MAX: usize = 64;

impl Context {
    /// A context with nothing read yet, for a task if one was declared.
    #[must_use]
    pub fn new(id: String, task: Option<&str>) -> Self {
        Self::with(id, Labels::none(), Flow::new(task, Settings::default()))
    }

    /// A context as it was kept: its labels, and what [`Context::unkept`] gave last.
    ///
    /// # Errors
    /// When that is damaged.
    pub fn kept(
        id: String,
        task: Option<&str>,
        labels: Labels,
        memory: Option<&[u8]>,
    ) -> Result<Self, Damaged> {
        let settings = Settings::default();
        let flow = match memory {
            Some(memory) => Flow::from_stored(memory, task, settings)?,
            None => Flow::new(task, settings),
        };
        Ok(Self::with(id, labels, flow))
    }

    fn with(id: String, labels: Labels, flow: Flow) -> Self {
        Self {
            id,
            labels: Mutex::new(Held {
                stored: labels.clone(),
                now: labels,
            }),
            flow: Mutex::new(Remembering {
                flow,
                unkept: false,
                heard: Heard::default(),
            }),
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
        self.held().now.clone()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which earlier results the arguments of a call were taken from.
    #[must_use]
    pub fn sources(&self, args: Option<Node<'_>>) -> Vec<Source> {
        self.flow
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flow
            .sources(args)
    }

    /// Remembers what a call brought, so that later arguments can be traced to it. See [`Context::uses`], which comes first.
    pub fn remember(&self, call: &Call<'_>, brought: &Brought<'_>) {
        let mut remembering = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        remembering.flow.absorb(call, brought);
        remembering.unkept = true;
    }

    /// Remembers which values of a call are the agent's own, before the server can say them again.
    pub fn uses(&self, call: &Call<'_>) {
        let mut remembering = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        remembering.flow.uses(call);
    }

    /// Remembers what a server said outside of answers, under a name for it. What was said before is not read again.
    pub fn overhear(&self, server: &str, what: &str, brought: &Brought<'_>) {
        let mut remembering = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        let Remembering { flow, unkept, heard } = &mut *remembering;
        let how = (brought.trust, brought.suspicion, brought.confidentiality);
        let mark = heard.keys.hash_one((server, what, brought.text, how));
        if heard.marks.contains(&mark) {
            return;
        }
        if heard.marks.len() == HEARD_MAX {
            heard.marks.pop_front();
        }
        heard.marks.push_back(mark);
        flow.overhear(server, what, brought);
        *unkept = true;
    }

    /// What is remembered, for the store, if it changed since this was last asked.
    #[must_use]
    pub fn unkept(&self) -> Option<Vec<u8>> {
        let mut remembering = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = std::mem::take(&mut remembering.unkept);
        changed.then(|| remembering.flow.to_stored())
    }

    /// What was to be stored could not be: it is given again.
    pub fn not_kept(&self) {
        let mut remembering = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        remembering.unkept = true;
    }

    /// Takes in what a result brought. Until it is stored ([`Self::unstored`]), nobody may see what brought it: a restart, or
    /// another replica, would know nothing of it.
    pub fn absorb(&self, labels: &Labels) {
        let mut held = self.held();
        held.now = held.now.clone().join(labels);
    }

    /// The labels there are now, if they are not stored as they are, whoever raised them.
    #[must_use]
    pub fn unstored(&self) -> Option<Labels> {
        let held = self.held();
        (held.now != held.stored).then(|| held.now.clone())
    }

    /// These are in the store: written from here, or by another replica.
    pub fn stored(&self, labels: &Labels) {
        let mut held = self.held();
        held.now = held.now.clone().join(labels);
        held.stored = held.stored.clone().join(labels);
    }

    /// A person takes labels off. What was read stays known as what it is: a value from an untrusted result
    /// has an untrusted source before and after.
    pub fn declassify(&self, to: Labels) {
        *self.held() = Held {
            stored: to.clone(),
            now: to,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Integrity;

    #[test]
    fn labels_are_to_be_stored_until_they_are() {
        let untrusted = Labels {
            integrity: Integrity::Untrusted,
            ..Labels::none()
        };
        let context = Context::new("c".to_owned(), None);
        assert_eq!(context.unstored(), None);
        context.absorb(&untrusted);
        // What could not be stored once is to be stored still, whoever asks next.
        for _ in 0..2 {
            assert_eq!(context.unstored(), Some(untrusted.clone()));
            context.absorb(&untrusted);
        }
        context.stored(&untrusted);
        assert_eq!(context.unstored(), None);
        context.absorb(&untrusted);
        assert_eq!(context.unstored(), None);
        let elsewhere = Context::new("c".to_owned(), None);
        elsewhere.stored(&untrusted);
        assert_eq!((elsewhere.labels(), elsewhere.unstored()), (untrusted, None));
    }

    #[test]
    fn what_could_not_be_stored_is_given_again() {
        let context = Context::new("c".to_owned(), None);
        assert_eq!(context.unkept(), None);
        context.not_kept();
        assert!(context.unkept().is_some());
        assert_eq!(context.unkept(), None);
    }
}
