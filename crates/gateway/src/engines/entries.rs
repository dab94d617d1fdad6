//! Entries of lists that nobody approved: resources and templates, as their servers name them now. They are read and
//! changed like answers.

use std::sync::Arc;

use inspect::{FINDINGS_MAX, Findings, Scope, Surface};
use pipeline::{Entry, Passed, release::Screened};
use policy::{Obligation, rules::strictest};
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Node, object},
    mcp::meta,
};

use super::{
    Engines,
    disguise::Whose,
    flow,
    rewrite::{Content, Orders, edited, tenant},
    said::Said,
};
use crate::storage::store::StoreError;

/// What is left of an entry where only some parts of answers may come back: what it takes to read it.
const BARE: [&str; 5] = ["mimeType", "name", "size", "uri", "uriTemplate"];

/// What names an entry: what is read, or made out of it, says it back.
pub(super) const NAMING: [&str; 2] = ["uri", "uriTemplate"];

/// What the ledger says of entries that are not listed, before how many they are.
const WITHHOLD: &str = "withhold entry ";

impl Engines {
    /// An entry as its reader may see it; none where no rule permits its release, where what is demanded cannot be met,
    /// or where what names it would be changed, so that nobody could read it.
    pub(super) fn entry_released(
        &self,
        call: &Passed<Screened>,
        entry: &Entry,
        demanded: &dyn Fn(&Findings) -> Option<Vec<Obligation>>,
    ) -> Option<Arc<[u8]>> {
        let released = self.entry_changed(call, entry, demanded);
        if released.is_none() {
            call.dossier().note(|known| {
                let so_far = known.changed.iter().position(|line| line.starts_with(WITHHOLD));
                let line = so_far.map(|at| known.changed.remove(at));
                let count = line.and_then(|line| line.strip_prefix(WITHHOLD)?.parse::<usize>().ok());
                known
                    .changed
                    .push(format!("{WITHHOLD}{}", count.unwrap_or(0) + 1));
            });
        }
        released
    }

    fn entry_changed(
        &self,
        call: &Passed<Screened>,
        entry: &Entry,
        demanded: &dyn Fn(&Findings) -> Option<Vec<Obligation>>,
    ) -> Option<Arc<[u8]>> {
        let document = Document::parse(entry.shown.to_vec(), Keys::Exact, &ANSWER).ok()?;
        let said = document.root();
        let server = entry.resource.facts().map(|facts| facts.server.as_str());
        let whose = call.principal().holder();
        let scope = Scope {
            surface: Surface::Result,
            whose: Some(&whose),
            server,
            tool: None,
        };
        let findings = self.inspector.inspect_node(said, scope);
        let demanded = demanded(&findings)?;
        // What holds for calls to the server holds for what it says by the way.
        let term = self
            .terms
            .of(&whose, server.unwrap_or_default(), self.ambient.steady_ms());
        let obligations = strictest(demanded.iter().chain(&term.obligations));
        let orders = Orders::of(&obligations);
        let content = Content {
            said,
            findings: &findings,
            // What its server was told is in it as the caller knows it (`Engines::as_known`).
            told: None,
            whose: Whose {
                tenant: tenant(call),
                subject: None,
            },
            unkept: StoreError::objection_or,
        };
        let mut report = Said::default();
        let (texts, _) = self.replaced(&content, &orders, &mut report).ok()?;
        let names_it = |name: &&str| {
            said.get(name)
                .is_some_and(|node| texts.contains_key(&node.place()))
        };
        if NAMING.iter().any(names_it) {
            return None;
        }
        let mut edits = edited(said, &texts);
        let ours = meta::of(said).into_iter().flat_map(Node::members);
        let ours = ours.filter(|(key, _)| key.as_str().is_some_and(|key| meta::is_ours(&key)));
        ours.for_each(|(_, value)| edits.remove(value));
        if orders.chooses() {
            let kept = |key: Node<'_>| BARE.iter().any(|name| key.is_str(name));
            let others = said.members().filter(|(key, _)| !kept(*key));
            others.for_each(|(_, value)| edits.remove(value));
        }
        found(call, &report, &findings);
        if edits.is_empty() {
            return Some(Arc::clone(&entry.shown));
        }
        Some(Arc::from(object(|out| out.members_except(said, &[], &edits))))
    }
}

/// Notes what was found in an entry.
fn found(call: &Passed<Screened>, report: &Said, findings: &Findings) {
    if findings.is_empty() {
        return;
    }
    let lines = report.lines();
    call.dossier().note(|known| {
        known.changed.extend(lines);
        // A list may have as many findings as an answer, and more only where they are worse: each entry would be
        // another copy of all.
        let before = known.answer_findings.take().unwrap_or_default();
        let is_worse = flow::suspicion(findings) > flow::suspicion(&before);
        known.answer_findings = Some(match is_worse || before.len() < FINDINGS_MAX {
            true => Arc::new((*before).clone().and(findings.clone())),
            false => before,
        });
    });
}
