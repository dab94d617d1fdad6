//! Where the arguments of a call came from: facts for rules, which decide what follows.

use std::collections::BTreeSet;

use wire::json::Node;

use super::{
    Flow,
    memory::{Remembered, may_be_worth_tracing, worth_tracing},
    value::{Shape, Value},
    words::has_topic,
};
use crate::facts::Source;

/// Most arguments told of one call that trusted results lent, and that others did.
const SOURCES_MAX: usize = 64;
/// Longest text that is remembered as the agent's own.
const OWN_BYTES_MAX: usize = 1024;

impl Flow {
    /// The results the arguments were taken from. A value that the task says, or that the agent used before any
    /// result held it, comes from no result, whoever repeats it.
    ///
    /// Where there are more than can be told, those of the arguments nearest the root are, which rules name: a long list
    /// keeps none of them out. Of the others it is told which results they came from, so that no number of arguments from
    /// trusted results hides one from another, and a rule that asks which arguments they are has no answer.
    #[must_use]
    pub fn sources(&self, args: Option<Node<'_>>) -> Vec<Source> {
        let mut sources = Vec::new();
        let mut untold: Vec<&Remembered> = Vec::new();
        let (mut trusted, mut untrusted) = (0, 0);
        let mut values = Value::all(args);
        values.sort_by_cached_key(Value::depth);
        for value in values {
            let mut lenders: Vec<&Remembered> = Vec::new();
            for lender in self.lenders(&value) {
                if !lenders.iter().any(|known| is_alike(known, lender)) {
                    lenders.push(lender);
                }
            }
            for lender in lenders {
                let told = if lender.trusted {
                    &mut trusted
                } else {
                    &mut untrusted
                };
                if *told < SOURCES_MAX {
                    *told += 1;
                    sources.push(source(lender, Some(value.whole_pointer())));
                } else if !untold.iter().any(|known| is_alike(known, lender)) {
                    untold.push(lender);
                }
            }
        }
        sources.extend(untold.into_iter().map(|lender| source(lender, None)));
        sources
    }

    /// The results a value, or what it is made of, was taken from.
    fn lenders(&self, value: &Value) -> Vec<&Remembered> {
        let mut lenders = Vec::new();
        if self.own.contains(&value.text) {
            return lenders;
        }
        match value.shape {
            // A day, a sum or a count stands in every other text.
            Shape::Date | Shape::Number => {}
            Shape::Address | Shape::Email | Shape::Identifier | Shape::Path => {
                self.seek(&value.text, &mut lenders)
            }
            Shape::Name if value.directs() => self.seek(&value.text, &mut lenders),
            Shape::Name | Shape::Text => {
                // Each once: a list may repeat one word all along.
                let words: BTreeSet<&str> = may_be_worth_tracing(&value.text).collect();
                for word in words.into_iter().map(Value::of_text).filter(worth_tracing) {
                    self.seek(&word.text, &mut lenders);
                }
                if has_topic(&value.text) {
                    lenders.extend(self.memory.copied(&value.text));
                }
            }
        }
        lenders
    }

    fn seek<'f>(&'f self, text: &str, lenders: &mut Vec<&'f Remembered>) {
        if !self.task.says(text) && !self.own.contains(text) {
            lenders.extend(self.memory.holding(text));
        }
    }

    /// Remembers the values of a call that no result held, nor lent a part: they are the agent's own, or its
    /// user's.
    pub(super) fn own(&mut self, values: &[Value]) {
        for value in values {
            let room = self.own.len() < super::WRITTEN_MAX && value.text.len() <= OWN_BYTES_MAX;
            let lent = || !self.memory.holding(&value.text).is_empty() || !self.lenders(value).is_empty();
            if room && !self.own.contains(&value.text) && !lent() {
                self.own.insert(value.text.clone());
            }
        }
    }
}

/// Whether rules are told the same of two results.
fn is_alike(one: &Remembered, other: &Remembered) -> bool {
    let same_tool = one.origin.server == other.origin.server && one.origin.tool == other.origin.tool;
    same_tool && one.trusted == other.trusted
}

fn source(lender: &Remembered, argument: Option<String>) -> Source {
    Source {
        argument,
        server: lender.origin.server.clone(),
        tool: lender.origin.tool.clone(),
        trusted: lender.trusted,
    }
}
