//! Calls of the ledger, gathered: what was done, by whom, for what, and what was said to it. The ledger keeps
//! digests of arguments and no arguments, so calls that differ in nothing else are one kind of call here.

use std::collections::{BTreeMap, BTreeSet};

use wire::json::{Document, Keys, Node, ObjectWriter};

use super::{Common, desk, ledger};
use crate::failure::Failure;

/// Kinds of calls asked about at a time.
const BATCH: usize = 200;

/// A kind of call.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Kind {
    pub(super) agent: Option<String>,
    pub(super) user: Option<String>,
    pub(super) action: String,
    pub(super) server: String,
    pub(super) tool: String,
    pub(super) purpose: Option<String>,
    /// The labels of the context, as the ledger has them.
    labels: Option<String>,
    /// What was found in the arguments, surely enough to count.
    findings: BTreeSet<String>,
    /// The results of earlier calls that arguments came from.
    sources: BTreeSet<String>,
    /// The ledger could not keep all of it.
    truncated: bool,
    /// The policy that decided.
    policy: Option<String>,
    /// Whether it was sent to the server, and not refused: in `observe` mode both hold of what would have been.
    pub(super) was_sent: bool,
    /// `permit`, `refuse` or `hold`; in `observe` mode what it would have been.
    pub(super) verdict: String,
    /// Why it was, or would have been, refused.
    pub(super) reason: Option<String>,
}

/// How often, and the last of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) call: String,
    /// When.
    pub(super) last: String,
}

/// Everything the ledger holds that the rules decided.
pub(super) fn gather(common: &Common) -> Result<BTreeMap<Kind, Times>, Failure> {
    gather_since(common, "")
}

/// The same from a time on, in RFC 3339 as the ledger exports it.
pub(super) fn gather_since(common: &Common, since: &str) -> Result<BTreeMap<Kind, Times>, Failure> {
    let reader = ledger::settled(common)?;
    let mut all: BTreeMap<Kind, Times> = BTreeMap::new();
    ledger::each(&reader, 0, None, |stored| {
        // As exported, so that one reading of the ledger serves all.
        let line = ledger::line(stored);
        let entry = Document::parse(line.into_bytes(), Keys::Exact, &wire::bounds::ANSWER);
        let Ok(entry) = entry else { return };
        let last = entry
            .root()
            .get("time")
            .and_then(Node::as_str)
            .unwrap_or_default()
            .into_owned();
        let Some((kind, call)) = decided(entry.root()).filter(|_| last.as_str() >= since) else {
            return;
        };
        let times = all.entry(kind).or_default();
        *times = Times {
            count: times.count + 1,
            call,
            last,
        };
    })?;
    Ok(all)
}

/// An entry of a call that got as far as the rules.
fn decided(entry: Node<'_>) -> Option<(Kind, String)> {
    let text = |node: Node<'_>, name: &str| Some(node.get(name)?.as_str()?.into_owned());
    let kind = text(entry, "kind")?;
    let by_rules = matches!(text(entry, "stage").as_deref(), Some("approve" | "authorize"));
    if !(kind == "intent" || kind == "refusal" && by_rules) {
        return None;
    }
    let principal = entry.get("principal");
    let who = |name: &str| principal.and_then(|principal| text(principal, name));
    let would = entry
        .get("detail")
        .and_then(|detail| text(detail, "would_refuse"));
    let verdict = match &would {
        None => text(entry, "decision")?,
        Some(why) if why.starts_with("people would be asked") => "hold".to_owned(),
        Some(_) => "refuse".to_owned(),
    };
    let labels = entry.get("labels").map(|labels| labels.written().to_owned());
    let found = Kind {
        was_sent: kind == "intent",
        agent: who("agent"),
        user: who("user"),
        action: text(entry, "action")?,
        server: text(entry, "server")?,
        tool: text(entry, "tool")?,
        purpose: text(entry, "purpose"),
        labels,
        findings: findings(entry),
        sources: elements(entry, "sources").collect(),
        truncated: entry.get("truncated").is_some(),
        policy: text(entry, "policy"),
        reason: would
            .or_else(|| text(entry, "reason"))
            .filter(|_| verdict != "permit"),
        verdict,
    };
    Some((found, text(entry, "call")?))
}

fn elements<'e>(entry: Node<'e>, name: &str) -> impl Iterator<Item = String> + use<'e> {
    let each = entry.get(name).into_iter().flat_map(Node::elements);
    each.filter_map(|one| Some(one.as_str()?.into_owned()))
}

/// Kinds of findings that are sure enough to count, as they were when the rules were asked.
fn findings(entry: Node<'_>) -> BTreeSet<String> {
    let each = entry.get("findings").into_iter().flat_map(Node::elements);
    each.filter(|finding| {
        let score = finding.get("score").and_then(Node::as_number);
        let score = score.and_then(|score| score.as_text().parse::<f32>().ok());
        score.is_none_or(|score| score >= inspect::SUSPECT_MIN.get())
    })
    .filter_map(|finding| Some(finding.get("kind")?.as_str()?.into_owned()))
    .collect()
}

/// What a candidate would say to kinds of calls: `permit`, `refuse`, `hold`, `depends` on arguments, `same`
/// as before, or `unknown` because somebody or something is not known any more.
pub(super) fn verdicts(
    common: &Common,
    kinds: &[&Kind],
    rules: &[(String, String)],
) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for batch in kinds.chunks(BATCH) {
        let answer = desk::ask(common, "policy.replay", |out| {
            write_rules(out, "rules", rules);
            out.array("calls", |list| {
                batch.iter().for_each(|kind| list.object(|out| kind.write(out)));
            });
        })?;
        let words = answer.root().get("verdicts").into_iter().flat_map(Node::elements);
        all.extend(words.filter_map(|word| Some(word.as_str()?.into_owned())));
    }
    if all.len() == kinds.len() {
        Ok(all)
    } else {
        Err(Failure::other(
            "the gateway answered about fewer calls than it was asked",
        ))
    }
}

/// Rules as operations take them.
pub(super) fn write_rules(out: &mut ObjectWriter<'_>, name: &str, rules: &[(String, String)]) {
    out.array(name, |list| {
        for (name, text) in rules {
            list.object(|out| {
                out.string("name", name);
                out.string("text", text);
            });
        }
    });
}

impl Kind {
    fn write(&self, out: &mut ObjectWriter<'_>) {
        for (name, text) in [
            ("agent", &self.agent),
            ("user", &self.user),
            ("purpose", &self.purpose),
            ("policy", &self.policy),
        ] {
            if let Some(text) = text {
                out.string(name, text);
            }
        }
        out.string("action", &self.action);
        out.string("server", &self.server);
        out.string("tool", &self.tool);
        for (name, words) in [("findings", &self.findings), ("sources", &self.sources)] {
            out.array(name, |list| words.iter().for_each(|word| list.string(word)));
        }
        out.boolean("truncated", self.truncated);
        if let Some(labels) = &self.labels {
            out.json("labels", labels.as_bytes());
        }
    }

    /// Who it was, for people.
    pub(super) fn who(&self) -> String {
        match (&self.agent, &self.user) {
            (Some(agent), Some(user)) => format!("{agent} for {user}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => "nobody".to_owned(),
        }
    }

    /// The full name of what was called.
    pub(super) fn target(&self) -> String {
        if self.action == "invoke" || self.action == "get" {
            format!("{}__{}", self.server, self.tool)
        } else {
            self.tool.clone()
        }
    }
}
