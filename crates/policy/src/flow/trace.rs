//! Where the arguments of a call came from: facts for rules, which decide what follows.

use std::collections::{BTreeSet, HashSet};

use wire::json::Node;

use super::{
    Flow,
    lenders::{Asked, Sorts},
    memory::{Remembered, may_be_worth_tracing, worth_tracing},
    parts::{Part, address, parts},
    value::{Shape, Value, Word},
    whither::whither,
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
        let mut values = Value::all(args);
        values.retain(|value| self.is_traced(value));
        if values.is_empty() {
            return Vec::new();
        }
        values.sort_by_cached_key(Value::depth);
        let sorts = Sorts::of(&self.memory);
        let mut told = Told::default();
        for value in values {
            let mut asked = sorts.ask(|sort, result| told.asks(sort, result));
            self.ask(&value, &mut asked);
            told.add(&value, &sorts, &asked.lent());
        }
        told.sources(&sorts)
    }

    /// Whether it may matter which results a value was taken from.
    fn is_traced(&self, value: &Value) -> bool {
        // A day, a sum or a count stands in every other text.
        (value.is_words() || value.is_account()) && !self.own.contains(&value.text)
    }

    /// Asks from which results a value, or what it is made of, was taken.
    fn ask(&self, value: &Value, asked: &mut Asked<'_, '_>) {
        match value.shape {
            Shape::Date => {}
            Shape::Number if !value.is_account() => {}
            Shape::Address | Shape::Email | Shape::Identifier | Shape::Number | Shape::Path => {
                self.seek(&value.text, asked);
            }
            Shape::Name | Shape::Text => {
                let is_whom = value.shape == Shape::Name && value.directs();
                if is_whom {
                    self.seek(&value.text, asked);
                }
                // Each once: a list may repeat one word all along.
                let mut sought = HashSet::new();
                for word in may_be_worth_tracing(&value.text) {
                    if asked.is_over() {
                        return;
                    }
                    let word = Word::of(word);
                    if (worth_tracing(&word) || word.is_deep_path()) && sought.insert(word.text) {
                        self.seek(word.text, asked);
                    }
                }
                if !is_whom && has_topic(&value.text) {
                    asked.copied(&value.text);
                }
            }
        }
        if asked.is_over() {
            return;
        }
        let is_bare = value.shape == Shape::Address && !value.text.contains("://");
        let bare = is_bare.then(|| address(&value.text)).flatten();
        for part in parts(&value.text).into_iter().chain(bare) {
            if asked.is_over() {
                return;
            }
            self.ask_part(value, &part, asked);
        }
        self.ask_whither(value, asked);
    }

    /// Asks about what a value is made of: `Ann <ann@x.org>` comes from where `ann@x.org` does.
    fn ask_part(&self, value: &Value, part: &Part, asked: &mut Asked<'_, '_>) {
        match part {
            Part::Mailbox(text) | Part::Account(text) => {
                self.seek(text, asked);
            }
            Part::Address { under, host } => {
                // Whoever named the nearest above it named it; it may only have been made longer.
                for above in under {
                    if self.is_known(above) || asked.holding(above) {
                        return;
                    }
                }
                let direct =
                    || Some(value.host()).filter(|host| value.shape == Shape::Address && host.contains('.'));
                if let Some(host) = host.as_deref().or_else(direct)
                    && !self.is_known(host)
                {
                    asked.holding_alone(host);
                }
            }
        }
    }

    /// Whether the task says a value, or the agent said it first.
    pub(super) fn is_known(&self, text: &str) -> bool {
        self.task.says(text) || self.own.contains(text)
    }

    pub(super) fn seek(&self, text: &str, asked: &mut Asked<'_, '_>) {
        if !self.is_known(text) {
            asked.holding(text);
        }
    }

    /// Remembers the values of a call that no result held, nor lent a part: they are the agent's own, or its
    /// user's.
    pub(super) fn own(&mut self, values: &[Value]) {
        for value in values {
            let room = self.own.len() < super::WRITTEN_MAX && value.text.len() <= OWN_BYTES_MAX;
            if room && !self.own.contains(&value.text) && !self.is_lent(value) {
                // Whom it wrote to is its own in every spelling; whom it mentioned, only in the same words.
                if value.directs() {
                    let made_of = parts(&value.text).into_iter();
                    self.own.extend(made_of.flat_map(Part::into_texts));
                    self.own.extend(whither(&value.text));
                }
                self.own.insert(value.text.clone());
            }
        }
    }

    /// Whether a value, or what it is made of, was taken from any result.
    fn is_lent(&self, value: &Value) -> bool {
        let sorts = Sorts::one(&self.memory);
        let mut asked = sorts.ask(|_, _| true);
        asked.holding(&value.text);
        self.ask(value, &mut asked);
        !asked.lent().is_empty()
    }
}

/// What rules are told of the arguments so far.
#[derive(Default)]
struct Told {
    sources: Vec<Source>,
    /// Arguments that trusted results lent, and that others did.
    trusted: usize,
    untrusted: usize,
    /// Sorts of results that lent to arguments beyond those.
    untold: BTreeSet<usize>,
}

impl Told {
    /// Whether anything new would be told, had this sort of results lent one more argument.
    fn asks(&self, sort: usize, result: &Remembered) -> bool {
        let arguments = if result.trusted {
            self.trusted
        } else {
            self.untrusted
        };
        arguments < SOURCES_MAX || !self.untold.contains(&sort)
    }

    /// Tells all of an argument's sources that are trusted, and all that are not, or which they are.
    fn add(&mut self, value: &Value, sorts: &Sorts<'_>, lent: &BTreeSet<usize>) {
        for is_trusted in [true, false] {
            let lenders = lent.iter().filter_map(|sort| Some((*sort, sorts.oldest(*sort)?)));
            let lenders: Vec<_> = lenders
                .filter(|(_, result)| result.trusted == is_trusted)
                .collect();
            let arguments = if is_trusted {
                &mut self.trusted
            } else {
                &mut self.untrusted
            };
            if *arguments < SOURCES_MAX {
                *arguments += usize::from(!lenders.is_empty());
                let pointed = lenders
                    .iter()
                    .map(|(_, result)| source(result, Some(value.whole_pointer())));
                self.sources.extend(pointed);
            } else {
                self.untold.extend(lenders.iter().map(|(sort, _)| *sort));
            }
        }
    }

    fn sources(mut self, sorts: &Sorts<'_>) -> Vec<Source> {
        let untold = self.untold.iter().filter_map(|sort| sorts.oldest(*sort));
        self.sources.extend(untold.map(|result| source(result, None)));
        self.sources
    }
}

fn source(lender: &Remembered, argument: Option<String>) -> Source {
    Source {
        argument,
        server: lender.origin.server.clone(),
        tool: lender.origin.tool.clone(),
        trusted: lender.trusted,
    }
}
