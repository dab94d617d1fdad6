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
        let mut told = Told::default();
        let mut values = Value::all(args);
        values.sort_by_cached_key(Value::depth);
        for value in values {
            let mut lenders: Vec<&Remembered> = Vec::new();
            for lender in self.lenders(&value, |result| told.asks(result)) {
                if !lenders.iter().any(|known| is_alike(known, lender)) {
                    lenders.push(lender);
                }
            }
            told.add(&value, &lenders);
        }
        told.sources()
    }

    /// The results a value, or what it is made of, was taken from.
    fn lenders(&self, value: &Value, asked: impl Fn(&Remembered) -> bool) -> Vec<&Remembered> {
        let mut lenders = Vec::new();
        if self.own.contains(&value.text) {
            return lenders;
        }
        match value.shape {
            // A day, a sum or a count stands in every other text.
            Shape::Date | Shape::Number => {}
            Shape::Address | Shape::Email | Shape::Identifier | Shape::Path => {
                self.seek(&value.text, asked, &mut lenders)
            }
            Shape::Name if value.directs() => self.seek(&value.text, asked, &mut lenders),
            Shape::Name | Shape::Text => {
                // Each once: a list may repeat one word all along.
                let words: BTreeSet<&str> = may_be_worth_tracing(&value.text).collect();
                for word in words.into_iter().map(Value::of_text).filter(worth_tracing) {
                    self.seek(&word.text, &asked, &mut lenders);
                }
                if has_topic(&value.text) {
                    let copied = self.memory.copied(&value.text).into_iter();
                    lenders.extend(copied.filter(|result| asked(result)));
                }
            }
        }
        lenders
    }

    fn seek<'f>(
        &'f self,
        text: &str,
        asked: impl Fn(&Remembered) -> bool,
        lenders: &mut Vec<&'f Remembered>,
    ) {
        if !self.task.says(text) && !self.own.contains(text) {
            lenders.extend(self.memory.holding(text, asked));
        }
    }

    /// Remembers the values of a call that no result held, nor lent a part: they are the agent's own, or its
    /// user's.
    pub(super) fn own(&mut self, values: &[Value]) {
        for value in values {
            let room = self.own.len() < super::WRITTEN_MAX && value.text.len() <= OWN_BYTES_MAX;
            let lent = || {
                !self.memory.holding(&value.text, |_| true).is_empty()
                    || !self.lenders(value, |_| true).is_empty()
            };
            if room && !self.own.contains(&value.text) && !lent() {
                self.own.insert(value.text.clone());
            }
        }
    }
}

/// What rules are told of the arguments so far.
#[derive(Default)]
struct Told<'f> {
    sources: Vec<Source>,
    /// Arguments that trusted results lent, and that others did.
    trusted: usize,
    untrusted: usize,
    /// Results that lent to arguments beyond those.
    untold: Vec<&'f Remembered>,
}

impl<'f> Told<'f> {
    /// Whether anything new would be told, had this result lent one more argument.
    fn asks(&self, result: &Remembered) -> bool {
        let arguments = if result.trusted {
            self.trusted
        } else {
            self.untrusted
        };
        arguments < SOURCES_MAX || !self.untold.iter().any(|known| is_alike(known, result))
    }

    /// Tells all of an argument's sources of one sort, or which results they are.
    fn add(&mut self, value: &Value, lenders: &[&'f Remembered]) {
        let (trusted, untrusted): (Vec<_>, Vec<_>) =
            lenders.iter().copied().partition(|lender| lender.trusted);
        for (of_sort, arguments) in [(trusted, &mut self.trusted), (untrusted, &mut self.untrusted)] {
            if *arguments < SOURCES_MAX {
                *arguments += usize::from(!of_sort.is_empty());
                let pointed = of_sort
                    .iter()
                    .map(|lender| source(lender, Some(value.whole_pointer())));
                self.sources.extend(pointed);
                continue;
            }
            for lender in of_sort {
                if !self.untold.iter().any(|known| is_alike(known, lender)) {
                    self.untold.push(lender);
                }
            }
        }
    }

    fn sources(mut self) -> Vec<Source> {
        self.sources
            .extend(self.untold.into_iter().map(|lender| source(lender, None)));
        self.sources
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
