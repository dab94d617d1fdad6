//! Which rules a call breaks.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Call, Cause, Flow, Origin, Rule, Strictness, Suspicion,
    deed::{Act, Deed, Reach},
    memory::Found,
    value::{Shape, Value},
};
use crate::label::{Confidentiality, Integrity};

/// Fewest letters of a value that is traced to a flagged result: shorter ones stand in every text.
const TRACED_MIN: usize = 3;
/// Most arguments that are told for one rule: the first, and a call may break it with a million.
const TOLD_MAX: usize = 16;

/// What speaks against a call, as it is found.
#[derive(Debug, Default)]
pub(super) struct Causes {
    told: Vec<Cause>,
    /// How often each rule is broken, told or not.
    counts: BTreeMap<Rule, usize>,
}

impl Causes {
    fn add(&mut self, call: &Call<'_>, rule: Rule, value: Option<&Value>, sources: Vec<Origin>) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count <= TOLD_MAX {
            self.told.push(Cause {
                rule,
                tool: call.tool.to_owned(),
                argument: value.map(Value::pointer).unwrap_or_default(),
                sources,
            });
        }
    }

    /// What is told at a strictness, and how much is not told besides.
    pub(super) fn at(mut self, strictness: Strictness) -> (Vec<Cause>, usize) {
        let holds = |rule: Rule| rule.holds_from() <= strictness;
        self.told.retain(|cause| holds(cause.rule));
        let found: usize = self
            .counts
            .iter()
            .filter(|(rule, _)| holds(**rule))
            .map(|(_, count)| count)
            .sum();
        let more = found - self.told.len();
        (self.told, more)
    }
}

impl Flow {
    /// Everything that speaks against a call, whatever the strictness. The arguments told are the first of `values`.
    pub(super) fn causes(&self, call: &Call<'_>, act: &Act, values: &[Value]) -> Causes {
        let mut causes = Causes::default();
        if act.reach == Reach::Read {
            return causes;
        }
        for value in values {
            if let Some(sources) = self.flagged(value) {
                causes.add(call, Rule::FlaggedValue, Some(value), sources);
            }
        }
        if act.reach == Reach::Confirm {
            for value in values.iter().filter(|value| self.unconfirmed && value.is_code()) {
                let sources = self.traced(value, |found| !found.trusted);
                if !sources.is_empty() {
                    causes.add(call, Rule::CodePassedOn, Some(value), sources);
                }
            }
            return causes;
        }
        if let Some(rule) = self.not_asked(act, values) {
            causes.add(call, rule, None, Vec::new());
        }
        let mut strayed = false;
        for value in directing(act, values) {
            if let Some((rule, sources)) = self.assess(value, act) {
                strayed |= matches!(rule, Rule::ForeignDestination | Rule::UnknownDestination);
                causes.add(call, rule, Some(value), sources);
            }
        }
        let untrusted = self.labels.integrity == Integrity::Untrusted;
        if untrusted {
            causes.add(call, Rule::Tainted, None, Vec::new());
            self.outflow(call, act, values, strayed, &mut causes);
        }
        causes
    }

    /// The lethal trifecta and the relay: untrusted content was read, and data may leave.
    fn outflow(&self, call: &Call<'_>, act: &Act, values: &[Value], strayed: bool, causes: &mut Causes) {
        if !matches!(act.reach, Reach::Egress | Reach::Visit) {
            return;
        }
        // Where the task itself names the destination, the user sends the data, not the content.
        let directed = values
            .iter()
            .any(|value| value.directs() && self.task.says(destination(value)));
        if directed && !strayed {
            return;
        }
        if self.labels.confidentiality >= Confidentiality::Restricted {
            let carried = values.iter().find_map(|value| {
                let sources = self.traced(value, |found| !found.trusted);
                (!sources.is_empty()).then_some((value, sources))
            });
            if let Some((value, sources)) = carried {
                causes.add(call, Rule::LethalTrifecta, Some(value), sources);
            }
        }
        for value in values {
            let sources = self.traced(value, |found| {
                found.confidential && found.origin.server != call.server
            });
            if !sources.is_empty() {
                causes.add(call, Rule::Relay, Some(value), sources);
            }
        }
    }

    /// Whether the task lacks a request for such a deed.
    fn not_asked(&self, act: &Act, values: &[Value]) -> Option<Rule> {
        // Where the address decides, following it is judged by the address alone.
        if addressed(act, values) || self.task.asks_for(act) {
            return None;
        }
        let own = !values.is_empty() && values.iter().all(|value| self.written.contains(&value.text));
        match act.reach {
            Reach::Destructive if own => None,
            Reach::Destructive | Reach::Egress => Some(Rule::NotAsked),
            Reach::Write if act.deeds.contains(&Deed::Credential) => Some(Rule::NotAsked),
            Reach::Write if !act.is_additive() => Some(Rule::ChangeNotAsked),
            Reach::Write | Reach::Visit | Reach::Read | Reach::Confirm => None,
        }
    }

    /// Whether a value directs the call without the task's leave, and where it was read.
    fn assess(&self, value: &Value, act: &Act) -> Option<(Rule, Vec<Origin>)> {
        if self.task.says(&value.text) {
            return None;
        }
        if value.sensitive() {
            return Some((Rule::SensitivePlace, origins(&self.memory.find(&value.text))));
        }
        let message = act.deeds.contains(&Deed::Message) && matches!(value.shape, Shape::Name | Shape::Text);
        if let Some(sources) = message.then(|| self.foreign_link(&value.text)).flatten() {
            return Some((Rule::ForeignLink, sources));
        }
        match value.shape {
            Shape::Address => self.assess_address(value),
            Shape::Date | Shape::Number | Shape::Path | Shape::Text => None,
            Shape::Email | Shape::Identifier | Shape::Name => self.assess_named(value, act),
        }
    }

    fn assess_address(&self, value: &Value) -> Option<(Rule, Vec<Origin>)> {
        let host = value.host();
        if self.task.says(host) || self.hosts.contains(host) {
            return None;
        }
        let found = self.memory.find(host);
        if found.is_empty() {
            return Some((Rule::UnknownDestination, Vec::new()));
        }
        // A link of somebody the task names, or about them, is one the user can have meant.
        let vouched = found
            .iter()
            .any(|found| found.result.trusted || self.by_known(found));
        if vouched || self.task.knows(&value.text) {
            return None;
        }
        Some((Rule::ForeignDestination, origins(&found)))
    }

    /// An address inside a message that some result asked to be passed on.
    fn foreign_link(&self, text: &str) -> Option<Vec<Origin>> {
        text.split_whitespace().find_map(|word| {
            let link = Value::of_text(word);
            if link.shape != Shape::Address {
                return None;
            }
            self.assess_address(&link)
                .filter(|(rule, _)| *rule == Rule::ForeignDestination)
                .map(|(_, from)| from)
        })
    }

    fn assess_named(&self, value: &Value, act: &Act) -> Option<(Rule, Vec<Origin>)> {
        let found = self.memory.find(&value.text);
        // The user sent the agent to that document; who can write into it can add a destination, but then
        // there are two of them.
        let meant = |found: &Found<'_>| {
            let plain = || self.task.meets(&found.surroundings()) && found.result.singles_out(&value.text);
            found.result.meant && (!value.directs() || plain())
        };
        if found.iter().any(|found| found.result.trusted || meant(found)) {
            return None;
        }
        if value.directs() {
            return self.assess_destination(value, act, &found);
        }
        if found.is_empty() || self.task.is_about(&value.text) {
            return None;
        }
        let rule = if value.shape == Shape::Identifier {
            // What somebody else asked for is somebody else's, however like the task's the record looks.
            let meant = |found: &Found<'_>| {
                let like_the_tasks = || found.result.answers_task || self.task.meets(&found.about());
                !found.result.answers_stranger && like_the_tasks()
            };
            if found.iter().any(|found| found.is_field() && meant(found)) {
                return None;
            }
            Rule::ForeignThing
        } else if value.titles() {
            Rule::ForeignTitle
        } else {
            return None;
        };
        Some((rule, origins(&found)))
    }

    fn assess_destination(
        &self,
        value: &Value,
        act: &Act,
        found: &[Found<'_>],
    ) -> Option<(Rule, Vec<Origin>)> {
        // An account says nothing about whose it is; a mailbox or user name may.
        let local = value.text.split('@').next().unwrap_or_default();
        if !act.deeds.contains(&Deed::Pay) && self.task.knows(local) {
            return None;
        }
        if !act.deeds.contains(&Deed::Pay) && found.iter().any(|found| self.is_listed(value, found)) {
            return None;
        }
        if !found.is_empty() {
            return Some((Rule::ForeignDestination, origins(found)));
        }
        let made_up = value.shape != Shape::Name || act.deeds.contains(&Deed::Pay);
        made_up.then(|| (Rule::UnknownDestination, Vec::new()))
    }

    /// Whether a place stands in a list the task asks about: the channels, the participants of a meeting. A
    /// mailbox reaches outside, so there the list itself must be what the task names; and whoever wrote a
    /// record is not on a list for it.
    fn is_listed(&self, value: &Value, found: &Found<'_>) -> bool {
        if !found.is_field() || found.is_author() || found.result.hostile {
            return false;
        }
        if value.shape == Shape::Email {
            return found.key().is_some_and(|key| self.task.is_about(key));
        }
        found.result.answers_task || self.task.meets(&found.about())
    }

    /// Whether a question has words that the task lacks, and that stand in the running text of an untrusted result.
    pub(super) fn is_put_by_stranger(&self, value: &Value) -> bool {
        if !value.is_words()
            || value.text.len() < TRACED_MIN
            || self.own.contains(&value.text)
            || self.task.is_silent()
        {
            return false;
        }
        let found = self.memory.find(&value.text);
        let is_strangers = |found: &Found<'_>| !found.result.trusted && !found.is_field();
        found.iter().any(is_strangers)
            && !found.iter().any(|found| found.result.trusted)
            && !self.task.says(&value.text)
    }

    /// Whether the record a value stands in is by somebody the task names.
    fn by_known(&self, found: &Found<'_>) -> bool {
        found.author().is_some_and(|author| self.task.knows(author))
    }

    /// The flagged results a value stands in.
    fn flagged(&self, value: &Value) -> Option<Vec<Origin>> {
        if self.suspicion < Suspicion::Marked || value.text.len() < TRACED_MIN || self.task.says(&value.text)
        {
            return None;
        }
        let flagged = self.traced(value, |found| found.hostile);
        (!flagged.is_empty()).then_some(flagged)
    }

    /// The results a value was taken from, as a whole or in fragments, as far as they are of a kind.
    fn traced(&self, value: &Value, of: impl Fn(&super::Remembered) -> bool) -> Vec<Origin> {
        if value.text.len() < TRACED_MIN || self.task.says(destination(value)) {
            return Vec::new();
        }
        let mut sources: BTreeSet<Origin> = BTreeSet::new();
        // A word or two stands in every other text; it tells something only where it directs.
        if value.shape != Shape::Text
            && (value.shape != Shape::Name || value.directs() || self.suspicion > Suspicion::None)
        {
            let found = self.memory.find(&value.text);
            sources.extend(
                found
                    .iter()
                    .filter(|found| of(found.result))
                    .map(|found| found.result.origin.clone()),
            );
        }
        let copied = self.memory.fragments(&value.text);
        sources.extend(
            copied
                .into_iter()
                .filter(|result| of(result))
                .map(|result| result.origin.clone()),
        );
        sources.into_iter().collect()
    }
}

/// What of a value says where it goes.
fn destination(value: &Value) -> &str {
    if value.shape == Shape::Address {
        value.host()
    } else {
        &value.text
    }
}

/// Whether it is the address that decides about a call.
fn addressed(act: &Act, values: &[Value]) -> bool {
    let follows = act
        .deeds
        .iter()
        .all(|deed| matches!(deed, Deed::Visit | Deed::File));
    follows
        && matches!(act.reach, Reach::Visit | Reach::Egress)
        && values.iter().any(|value| value.shape == Shape::Address)
}

/// The values that say what a call does to whom. What is put into a form goes where the form goes.
fn directing<'v>(act: &Act, values: &'v [Value]) -> impl Iterator<Item = &'v Value> {
    let addressed = addressed(act, values);
    values
        .iter()
        .filter(move |value| !addressed || value.shape == Shape::Address || value.sensitive())
}

fn origins(found: &[Found<'_>]) -> Vec<Origin> {
    let set: BTreeSet<Origin> = found.iter().map(|found| found.result.origin.clone()).collect();
    set.into_iter().collect()
}
