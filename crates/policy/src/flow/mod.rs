//! Data-flow control: from what a context has read, and what its task says, to whether a call does what was
//! asked or what some result talked the agent into. Deterministic; works with every detector off.
//!
//! The idea: reading is free. What leaves, destroys or changes must be something the task asks for, and where
//! it goes must be named by the task, or be a field of a record the task is about. What a result says in
//! running text never directs anything. `docs/flow-control.md` has the model and its figures.
//!
//! This module must not know clocks, files, how a text was scanned, or who asks.

mod assess;
mod deed;
mod deposit;
mod lenders;
mod marks;
mod memory;
mod order;
mod parts;
mod place;
mod rule;
mod sketch;
mod stored;
mod task;
#[cfg(test)]
mod tests;
mod trace;
mod value;
mod whither;
mod words;

use std::collections::BTreeSet;

use wire::json::Node;

pub use deposit::Deposits;
pub use memory::Origin;
pub use rule::{Cause, Outcome, Rule, Strictness};
pub use stored::Damaged;

use deed::{Act, Reach};
use memory::{Memory, Remembered};
use task::Task;
use value::{Shape, Value};

use crate::{
    label::{Confidentiality, Integrity, Labels},
    resource::{Sink, Trust},
};

/// How much is put to a person.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// As long as nothing suspicious was read.
    pub strictness: Strictness,
    /// Once a detector suspects instructions in a result.
    pub once_suspicious: Strictness,
}

/// A call about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// The server it goes to.
    pub server: &'c str,
    /// The tool's own name.
    pub tool: &'c str,
    /// What the operator says the tool can do, if anything.
    pub sink: Option<Sink>,
    /// The arguments.
    pub args: Option<Node<'c>>,
}

/// What detectors think of a result.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Suspicion {
    /// Nothing was found, or nobody looked.
    #[default]
    None,
    /// There may be instructions in it: more is put to a person from now on.
    Slight,
    /// There are instructions in it: nothing it says may direct a call.
    Marked,
}

/// What a call brought.
#[derive(Clone, Copy, Debug)]
pub struct Brought<'r> {
    /// All text of the result.
    pub text: &'r str,
    /// Whether the operator trusts the source.
    pub trust: Trust,
    /// Who may see it.
    pub confidentiality: Confidentiality,
    /// Whether a detector found instructions in it.
    pub suspicion: Suspicion,
}

/// What is to be done with a call, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judgement {
    /// Permit, ask a person, or refuse.
    pub outcome: Outcome,
    /// What speaks against the call under the strictness in force; empty exactly when it is permitted. Of one rule that
    /// many arguments break, those nearest the root.
    pub causes: Vec<Cause>,
    /// How many arguments break those rules besides.
    pub more: usize,
}

/// What one context has read and done. Labels only ever tighten; memory is bounded.
#[derive(Clone, Debug)]
pub struct Flow {
    settings: Settings,
    task: Task,
    memory: Memory,
    labels: Labels,
    suspicion: Suspicion,
    /// Hosts that permitted calls went to.
    hosts: BTreeSet<String>,
    /// Values that permitted calls wrote: what the context made, it may unmake.
    written: BTreeSet<String>,
    /// Values that calls used before any result held them.
    own: BTreeSet<String>,
    /// A call was made that takes away for good, and nothing confirmed it since.
    unconfirmed: bool,
    steps: u32,
}

/// Most values remembered as written by the context.
const WRITTEN_MAX: usize = 4096;

impl Default for Settings {
    fn default() -> Self {
        Self {
            strictness: Strictness::Lenient,
            once_suspicious: Strictness::Strict,
        }
    }
}

impl Flow {
    /// A context in which nothing was read yet. `task` is what the user asked for, in the user's words: the
    /// prompt where it is known, the declared task otherwise.
    #[must_use]
    pub fn new(task: Option<&str>, settings: Settings) -> Self {
        Self {
            settings,
            task: Task::new(task.unwrap_or_default()),
            memory: Memory::default(),
            labels: Labels::none(),
            suspicion: Suspicion::None,
            hosts: BTreeSet::new(),
            written: BTreeSet::new(),
            own: BTreeSet::new(),
            unconfirmed: false,
            steps: 0,
        }
    }

    /// The labels of what was read so far.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Judges a call. Nothing changes: tell [`Flow::made`] when the call is made.
    #[must_use]
    pub fn judge(&self, call: &Call<'_>) -> Judgement {
        let (act, mut values) = read(call);
        values.sort_by_cached_key(Value::depth);
        let strictness = match self.suspicion {
            Suspicion::None => self.settings.strictness,
            Suspicion::Slight | Suspicion::Marked => self.settings.once_suspicious,
        };
        let (causes, more) = self.causes(call, &act, &values).at(strictness);
        let outcome = causes.iter().map(|cause| cause.rule.outcome(act.reach)).max();
        Judgement {
            outcome: outcome.unwrap_or(Outcome::Permit),
            causes,
            more,
        }
    }

    /// A call was permitted: what it made, and where it went, belongs to the context from now on.
    pub fn made(&mut self, call: &Call<'_>) {
        let (act, values) = read(call);
        if act.reach == Reach::Read {
            return;
        }
        self.unconfirmed = act.is_for_good() || self.unconfirmed && act.reach != Reach::Confirm;
        let room = WRITTEN_MAX.saturating_sub(self.written.len() + self.hosts.len());
        for value in values.into_iter().take(room) {
            if value.shape == Shape::Address {
                self.hosts.insert(value.host().to_owned());
            }
            self.written.insert(value.text);
        }
    }

    /// Takes in what a call brought. That it is made was told before: see [`Flow::uses`].
    pub fn absorb(&mut self, call: &Call<'_>, brought: &Brought<'_>) {
        self.steps = self.steps.saturating_add(1);
        let (act, values) = read(call);
        let opens_doors = values.iter().any(Value::sensitive);
        let confidentiality = match opens_doors {
            true => Confidentiality::Restricted,
            false => brought.confidentiality,
        };
        let clean = brought.suspicion == Suspicion::None;
        let mut result = self.read_in((call.server, call.tool), brought, confidentiality);
        if act.reach == Reach::Read && clean {
            result.meant = values.iter().any(|value| self.task.means_document(value));
            let mut asked = values.iter().filter(|value| value.is_words());
            result.answers_task = asked.any(|value| self.task.is_about(&value.text));
        }
        if act.reach == Reach::Read {
            result.answers_stranger =
                !result.answers_task && values.iter().any(|value| self.is_put_by_stranger(value));
        }
        self.memory.add(result);
    }

    /// A call is about to be made: what it uses that nobody said before is the agent's own, though the server says it again
    /// before it answers.
    pub fn uses(&mut self, call: &Call<'_>) {
        self.own(&Value::all(call.args));
    }

    /// Takes in what a server said outside of answers: by the way, in a question, in a list. `what` names which.
    pub fn overhear(&mut self, server: &str, what: &str, brought: &Brought<'_>) {
        let said = self.read_in((server, what), brought, brought.confidentiality);
        self.memory.add_to(said);
    }

    /// What is to be remembered of what was brought; the labels are raised.
    fn read_in(
        &mut self,
        (server, tool): (&str, &str),
        brought: &Brought<'_>,
        confidentiality: Confidentiality,
    ) -> Remembered {
        let integrity = match brought.trust {
            Trust::Trusted if brought.suspicion == Suspicion::None => Integrity::Trusted,
            Trust::Trusted | Trust::Untrusted => Integrity::Untrusted,
        };
        let labels = Labels {
            integrity,
            confidentiality,
            ..Labels::none()
        };
        self.labels = self.labels.clone().join(&labels);
        self.suspicion = self.suspicion.max(brought.suspicion);
        let origin = Origin {
            server: server.into(),
            tool: tool.into(),
            step: self.steps,
        };
        let mut result = Remembered::new(origin, brought.text);
        result.trusted = integrity == Integrity::Trusted;
        result.hostile = brought.suspicion == Suspicion::Marked;
        result.confidential = confidentiality >= Confidentiality::Confidential;
        result
    }
}

/// What a call does and the values it does it with.
fn read(call: &Call<'_>) -> (Act, Vec<Value>) {
    let values = Value::all(call.args);
    let addressed = values.iter().any(|value| value.shape == Shape::Address);
    (Act::of(call.tool, call.sink, addressed), values)
}
