//! `sallyport review`: what agents may do and what they do, and people who certify it or take it away.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use records::ledger::entry::rfc3339;
use wire::json::{Document, Node, object};

use super::{Common, desk, past, say, table};
use crate::{ambient::Ambient, failure::Failure, visible::visible};

/// Access review: what agents may do, and whether they ever did.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Review {
    #[command(subcommand)]
    step: Option<Step>,
    #[command(flatten)]
    look: Look,
}

/// What is looked at.
#[derive(Args, Debug)]
pub(crate) struct Look {
    /// Only this agent.
    #[arg(long)]
    agent: Option<String>,
    /// What counts as used: in the last so many days.
    #[arg(long, default_value_t = 90)]
    days: u32,
    /// Only what was not used.
    #[arg(long)]
    unused: bool,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Say that what an agent may do is right.
    Certify(Certify),
    /// Take away what an agent may do with tools, whatever rules say.
    Revoke(Change),
    /// Give back what was taken away.
    Restore(Change),
}

/// Certify.
#[derive(Args, Debug)]
struct Certify {
    /// The agent.
    agent: String,
    /// Who says so: a user.
    #[arg(long = "as", value_name = "USER")]
    as_user: String,
}

/// Take away, or give back.
#[derive(Args, Debug)]
struct Change {
    /// The agent.
    agent: String,
    /// The tools: `server__tool`.
    #[arg(required = true)]
    tools: Vec<String>,
    /// Who says so: a user.
    #[arg(long = "as", value_name = "USER")]
    as_user: String,
}

/// How often something was used, and when last.
type Used = BTreeMap<(String, String), past::Times>;

impl Review {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let (answer, done) = match self.step {
            None => return self.look.run(common),
            Some(Step::Certify(certify)) => {
                let answer = desk::ask(common, "review.certify", |args| {
                    args.string("agent", &certify.agent);
                    args.string("as", &certify.as_user);
                })?;
                (answer, format!("what `{}` may do is certified", certify.agent))
            }
            Some(Step::Revoke(change)) => {
                let done = format!("taken away from `{}`", change.agent);
                (change.ask(common, "review.revoke")?, done)
            }
            Some(Step::Restore(change)) => {
                let done = format!("given back to `{}`", change.agent);
                (change.ask(common, "review.restore")?, done)
            }
        };
        say(if common.json { answer.text() } else { &done });
        Ok(())
    }
}

impl Change {
    fn ask(&self, common: &Common, operation: &str) -> Result<Document, Failure> {
        desk::ask(common, operation, |args| {
            args.string("agent", &self.agent);
            args.string("as", &self.as_user);
            args.array("targets", |list| {
                self.tools.iter().for_each(|tool| list.string(tool))
            });
        })
    }
}

impl Look {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let days_ms = i64::from(self.days).saturating_mul(24 * 60 * 60 * 1000);
        let since = Ambient::system().now_ms().saturating_sub(days_ms);
        let used = used(common, &rfc3339(u64::try_from(since).unwrap_or(0)))?;
        let answer = desk::ask(common, "review.show", |args| {
            if let Some(agent) = &self.agent {
                args.string("agent", agent);
            }
        })?;
        let mut rows = Vec::new();
        for agent in answer.root().get("agents").into_iter().flat_map(Node::elements) {
            let name = text(agent, "agent");
            if !common.json {
                rows.extend(head(agent, &name));
            }
            for grant in agent.get("grants").into_iter().flat_map(Node::elements) {
                let (target, verdict, sink) =
                    (text(grant, "target"), text(grant, "verdict"), text(grant, "sink"));
                let times = used.get(&(name.clone(), target.clone()));
                if self.unused && times.is_some() {
                    continue;
                }
                let note = note(times.is_some(), &sink);
                if common.json {
                    let line = object(|out| {
                        out.string("agent", &name);
                        out.string("target", &target);
                        out.string("verdict", &verdict);
                        out.string("sink", &sink);
                        out.integer("used", times.map_or(0, |times| times.count));
                        if let Some(times) = times {
                            out.string("last", &times.last);
                        }
                        out.string("note", note);
                        out.node("overdue", agent.get("overdue").unwrap_or(agent));
                    });
                    say(&String::from_utf8_lossy(&line));
                    continue;
                }
                let (count, last) = times.map_or((0, ""), |times| (times.count, times.last.as_str()));
                let cells = [
                    name.clone(),
                    target,
                    verdict,
                    sink,
                    count.to_string(),
                    last.to_owned(),
                    note.to_owned(),
                ];
                rows.push(cells.to_vec());
            }
        }
        if !common.json {
            say(&table(
                &["AGENT", "MAY USE", "MAY", "SINK", "USED", "LAST", ""],
                rows,
            ));
        }
        Ok(())
    }
}

/// When somebody looked last.
fn head(agent: Node<'_>, name: &str) -> Option<Vec<String>> {
    let overdue = agent.get("overdue").and_then(Node::as_bool) == Some(true);
    let certified = text(agent, "certified");
    let says = match (certified.is_empty(), overdue) {
        (true, true) => "never reviewed: OVERDUE".to_owned(),
        (true, false) => return None,
        (false, overdue) => {
            let late = if overdue { ": OVERDUE" } else { "" };
            format!("reviewed {certified} by {}{late}", text(agent, "by"))
        }
    };
    Some(vec![name.to_owned(), says])
}

/// What a reviewer should look at.
fn note(used: bool, sink: &str) -> &'static str {
    let risky = matches!(sink, "destructive" | "egress" | "unknown" | "write");
    match (used, risky) {
        (false, true) => "UNUSED, RISKY",
        (false, false) => "UNUSED",
        (true, true) => "risky",
        (true, false) => "",
    }
}

fn used(common: &Common, since: &str) -> Result<Used, Failure> {
    let mut used = Used::new();
    for (kind, times) in past::gather_since(common, since)? {
        let Some(agent) = kind.agent else { continue };
        if kind.verdict == "refuse" {
            continue;
        }
        let target = format!("{}__{}", kind.server, kind.tool);
        let all = used.entry((agent, target)).or_default();
        all.count += times.count;
        all.last = times.last.max(std::mem::take(&mut all.last));
    }
    Ok(used)
}

fn text(node: Node<'_>, name: &str) -> String {
    visible(&node.get(name).and_then(Node::as_str).unwrap_or_default())
}
