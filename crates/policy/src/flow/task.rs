//! What the user asked for, in the user's own words.

use std::collections::BTreeSet;

use super::{
    deed::{self, Act},
    memory::mentions,
    value::{Shape, Value},
    words::{names, share, squash, stems, topics, touches, whole},
};

/// A task. Without one nothing is asked for and nothing is named.
#[derive(Clone, Debug)]
pub(super) struct Task {
    text: String,
    stems: BTreeSet<String>,
    topics: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Task {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_lowercase(),
            stems: stems(text),
            topics: topics(text),
            names: names(text, deed::is_verb),
        }
    }

    /// Whether it is not known what the user asked for.
    pub(super) fn is_silent(&self) -> bool {
        self.topics.is_empty()
    }

    /// Whether the value stands in the task as a whole.
    pub(super) fn says(&self, value: &str) -> bool {
        whole(&self.text, value).next().is_some()
    }

    /// Whether these letters and digits stand in the task, spaced in whatever way.
    pub(super) fn says_spaced(&self, number: &str) -> bool {
        squash(&self.text).contains(number)
    }

    /// Whether the deed is asked for.
    pub(super) fn asks_for(&self, act: &Act) -> bool {
        act.asked_by(&self.stems, &self.topics)
    }

    /// Whether a text shares a topic with the task.
    pub(super) fn is_about(&self, text: &str) -> bool {
        !self.topics.is_empty() && touches(text, &self.topics)
    }

    /// Whether a set of topics meets the task's.
    pub(super) fn meets(&self, topics: &BTreeSet<String>) -> bool {
        share(topics, &self.topics)
    }

    /// Whether a text mentions somebody whom the task names.
    pub(super) fn knows(&self, text: &str) -> bool {
        mentions(text, &self.names)
    }

    /// Whether the value is a document the task means: one it names, or one whose name is made of its words.
    pub(super) fn means_document(&self, value: &Value) -> bool {
        let file = value.text.rsplit('/').next().unwrap_or_default();
        let Some((stem, extension)) = file.rsplit_once('.') else {
            return false;
        };
        let document = matches!(value.shape, Shape::Path | Shape::Identifier | Shape::Name);
        if !document || stem.is_empty() || extension.is_empty() || extension.len() > 5 {
            return false;
        }
        let about = topics(stem);
        self.says(&value.text) || !about.is_empty() && about.is_subset(&self.topics)
    }
}
