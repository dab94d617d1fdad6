//! Rules, written in Cedar, compiled to a form that decides in microseconds.
//!
//! Cedar's own crate reads the rules and checks them against a schema, and is the oracle our tests compare
//! with. Deciding is ours for three reasons: Cedar asks every rule about every call, where we ask only those
//! that can concern it; a list needs to know whether *some* call could be permitted, which is evaluation
//! with three values; and a rule that fails must refuse, where Cedar leaves it out.
//!
//! This module must not know where rules come from, how a principal was proven, or what a tool does.

mod annotation;
mod argument;
mod compile;
mod contradict;
mod datum;
mod decide;
mod decimal;
mod diagnostic;
mod entity;
mod evaluate;
mod explain;
mod expr;
mod file_path;
mod foresee;
mod gates;
mod kept;
mod known;
mod listable;
mod memory;
mod moment;
mod network;
mod obligation;
mod parse;
mod pattern;
mod possible;
mod remember;
mod rule;
pub mod short;
mod slices;
mod sql;
mod strangers;
mod token;
mod uri;
mod value;
mod view;
mod vocabulary;
mod world;

use std::fmt::{self, Write};

use aws_lc_rs::digest;
use wire::{bounds, json};

pub use argument::{ArgumentType, Field};
pub use decimal::Decimal;
pub use diagnostic::{Diagnostic, RuleErrors};
pub use explain::{Account, Explanation, Finding};
pub use foresee::{Concerned, Coverage, Foresight};
pub use kept::Lists;
pub use known::Known;
pub use obligation::strictest;
pub use possible::Discovery;
pub use rule::{Effect, RuleText};
pub use sql::Dialect;
pub use strangers::People;
pub use value::Value;
pub use world::Unseen;

use parse::Parsed;
use remember::Numbered;
use rule::Rule;
use slices::Slices;

use crate::permit::RuleId;

/// A text of rules and what to call it in messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleSource {
    /// A file, or a place in the configuration such as `policy.rules[2]`.
    pub name: String,
    /// Cedar.
    pub text: String,
}

/// Rules that decide. Immutable: a change is a new set.
///
/// INVARIANT (rule set): every rule in it was read without a fault, so evaluation meets no unknown name.
pub struct RuleSet {
    rules: Vec<Rule>,
    slices: Slices,
    /// Whether any rule forbids discovery by name.
    hides: bool,
    /// Whether any condition could see what time it is.
    reads_time: bool,
    /// Which things each rule looks at before a call that it or others look at, too.
    contested: Vec<Vec<u32>>,
    numbered: Numbered,
    digest: String,
}

impl RuleSet {
    /// Reads the rules of all sources.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, with its place and what to do about it.
    pub fn parse(sources: &[RuleSource]) -> Result<Self, RuleErrors> {
        parse::with_room(|| Self::read(sources))
    }

    fn read(sources: &[RuleSource]) -> Result<Self, RuleErrors> {
        let parsed = parse::parse(sources)?;
        let digest = digest_of(&parsed);
        let mut rules: Vec<Rule> = parsed.into_iter().map(|parsed| parsed.rule).collect();
        let numbered = remember::number(&mut rules);
        Ok(Self {
            slices: Slices::of(&rules),
            hides: rules.iter().any(Rule::hides),
            reads_time: kept::reads_time(&rules),
            contested: contradict::contested(&rules),
            rules,
            numbered,
            digest,
        })
    }

    /// `sha256:` and the digest of the rules' meaning: their names, their Cedar as canonical JSON
    /// (RFC 8785), whatever their order, layout and comments.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The rules, in the order of their sources.
    pub fn rules(&self) -> impl Iterator<Item = (&RuleId, Effect, &RuleText)> {
        self.rules.iter().map(|rule| (&rule.id, rule.effect, &rule.text))
    }

    /// The `@reason` of a rule.
    #[must_use]
    pub fn reason(&self, id: &RuleId) -> Option<&str> {
        let rule = self.rules.iter().find(|rule| rule.id == *id)?;
        rule.reason.as_deref()
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSet")
            .field("digest", &self.digest)
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

/// Canonical JSON of every rule under its name, sorted by name, one per line.
fn digest_of(parsed: &[Parsed]) -> String {
    let mut lines: Vec<Vec<u8>> = parsed.iter().map(canonical).collect();
    lines.sort();
    let mut context = digest::Context::new(&digest::SHA256);
    for line in lines {
        context.update(&line);
        context.update(b"\n");
    }
    let mut text = String::from("sha256:");
    for byte in context.finish().as_ref() {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The rule's name and its Cedar JSON. A rule that has none could not have been read; its text stands in.
fn canonical(parsed: &Parsed) -> Vec<u8> {
    let policy = cedar_policy::Policy::from_pst(parsed.policy.clone()).ok();
    let json = policy
        .and_then(|policy| policy.to_json().ok())
        .map(|json| json.to_string());
    let document = json
        .and_then(|json| json::Document::parse(json.into_bytes(), json::Keys::Exact, &bounds::REQUEST).ok());
    let mut line = parsed.rule.id.0.as_bytes().to_vec();
    line.push(b' ');
    match document {
        Some(document) => line.extend(json::canonical(document.root())),
        None => line.extend_from_slice(parsed.rule.text.cedar.as_bytes()),
    }
    line
}

#[cfg(test)]
pub(crate) mod tests;
