//! `sallyport policy ...`: what the rules say.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, Subcommand};
use policy::{
    Party, PartyKind,
    rules::{Diagnostic, People},
};
use wire::json::{Node, ObjectWriter, object};

use super::{
    Common, bundle, desk, output::remark, past::write_rules, place::without_secrets, replay::Replay, say,
    weigh,
};
use crate::{assemble, config::Meant, failure::Failure, known::people::party_of, visible::visible};

/// Policy: what is permitted, and why.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Read the rules and say what is wrong with them.
    Check(Check),
    Diff(weigh::Diff),
    /// Say why a call would be permitted or refused, rule by rule.
    Explain(Explain),
    Matrix(weigh::Matrix),
    Replay(Replay),
    /// Show the rules in Cedar, each below the line of the short form it was made of.
    Show,
    Sign(bundle::Sign),
    Suggest(weigh::Suggest),
    Test(weigh::Test),
    Verify(bundle::Verify),
}

/// Read the rules.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Files of rules to check instead of those of the configuration.
    files: Vec<PathBuf>,
}

/// Why.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// Who asks: an agent.
    #[arg(long)]
    agent: Option<String>,
    /// Who asks, or for whom the agent does: a user.
    #[arg(long)]
    user: Option<String>,
    /// The tool, by its full name: server__tool.
    #[arg(long)]
    tool: Option<String>,
    /// A resource's URI, together with --server.
    #[arg(long, requires = "server")]
    resource: Option<String>,
    /// The server of the resource.
    #[arg(long)]
    server: Option<String>,
    /// The arguments, as JSON.
    #[arg(long, value_name = "JSON")]
    args: Option<String>,
    /// The declared purpose.
    #[arg(long)]
    purpose: Option<String>,
    /// The action; what is usually done with the target unless given.
    #[arg(long)]
    action: Option<String>,
}

impl Policy {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.run(common),
            Self::Diff(diff) => diff.run(common),
            Self::Explain(explain) => explain.run(common),
            Self::Matrix(matrix) => matrix.run(common),
            Self::Replay(replay) => replay.run(common),
            Self::Show => show(common),
            Self::Sign(sign) => sign.run(common),
            Self::Suggest(suggest) => suggest.run(common),
            Self::Test(test) => test.run(common),
            Self::Verify(verify) => verify.run(common),
        }
    }
}

/// All rules, as they are read.
fn show(common: &Common) -> Result<(), Failure> {
    let sources = weigh::texts(&without_secrets(common)?)?;
    if common.json {
        let answer = object(|out| write_rules(out, "rules", &sources));
        say(&String::from_utf8_lossy(&answer));
        return Ok(());
    }
    for (name, text) in &sources {
        say(&format!("// {}\n{}\n", visible(name), text.trim_end()));
    }
    Ok(())
}

impl Check {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let mut meant = without_secrets(common)?;
        if !self.files.is_empty() {
            meant.rules.clear();
            for file in &self.files {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| Failure::configuration(format!("{}: {error}", file.display())))?;
                meant.rules.push((file.display().to_string(), text));
            }
        }
        let wrong = |why: String| Failure::does_not_hold(why);
        let rules = assemble::rules(&meant).map_err(|failure| wrong(failure.to_string()))?;
        let mut people = people(&meant);
        // What tools there are, only a data directory knows.
        if meant.data.exists() {
            let sources = weigh::texts(&meant)?;
            let answer = desk::ask(common, "policy.check", |out| write_rules(out, "rules", &sources))?;
            if let Some(why) = answer.root().get("unfit").and_then(Node::as_str) {
                return Err(wrong(why.into_owned()));
            }
            let added = desk::ask(common, "agent.list", |_| {})?;
            let added = added.root().get("agents").into_iter().flat_map(Node::elements);
            added.for_each(|agent| people.party(&party(agent)));
        }
        let strangers = rules.strangers(&people);
        for stranger in &strangers {
            remark(format_args!("warning: {stranger}"));
        }
        let count = rules.rules().count();
        if common.json {
            let answer = object(|out| {
                out.boolean("ok", true);
                out.integer("rules", u64::try_from(count).unwrap_or(0));
                out.string("digest", rules.digest());
                out.array("warnings", |list| {
                    for stranger in &strangers {
                        list.object(|out| write_warning(out, stranger));
                    }
                });
            });
            say(&String::from_utf8_lossy(&answer));
        } else {
            say(&format!("{count} rules, {}", rules.digest()));
        }
        Ok(())
    }
}

/// Whom the configuration knows. Whom it lets others vouch for, it does not.
fn people(meant: &Meant) -> People {
    let mut people = People::default();
    meant
        .parties
        .iter()
        .for_each(|party| people.party(&party_of(party)));
    meant.purposes.iter().for_each(|purpose| people.purpose(purpose));
    if !meant.issuers.is_empty() {
        people.others_vouch();
    }
    people
}

/// An agent of the gateway's list: one that was added by command is not in the configuration.
fn party(agent: Node<'_>) -> Party {
    let text = |name: &str| agent.get(name).and_then(Node::as_str).unwrap_or_default();
    let roles = agent.get("roles").into_iter().flat_map(Node::elements);
    let kind = if text("kind") == PartyKind::Service.as_str() {
        PartyKind::Service
    } else {
        PartyKind::Agent
    };
    Party {
        kind,
        name: text("name").into_owned(),
        roles: roles
            .filter_map(Node::as_str)
            .map(|role| role.into_owned())
            .collect(),
        groups: Vec::new(),
        tenant: None,
        attributes: BTreeMap::new(),
    }
}

fn write_warning(out: &mut ObjectWriter<'_>, stranger: &Diagnostic) {
    out.string("source", &stranger.source);
    out.integer("line", u64::try_from(stranger.line).unwrap_or(0));
    out.string("what", &stranger.message);
    out.string("remedy", &stranger.remedy);
}

impl Explain {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let answer = desk::ask(common, "policy.explain", |out| {
            for (name, text) in [
                ("agent", &self.agent),
                ("user", &self.user),
                ("tool", &self.tool),
                ("resource", &self.resource),
                ("server", &self.server),
                ("args", &self.args),
                ("purpose", &self.purpose),
                ("action", &self.action),
            ] {
                if let Some(text) = text {
                    out.string(name, text);
                }
            }
        })?;
        if common.json {
            say(answer.text());
            return Ok(());
        }
        let root = answer.root();
        let text = |node: Node<'_>, name: &str| {
            node.get(name)
                .and_then(Node::as_str)
                .unwrap_or_default()
                .into_owned()
        };
        let reason = text(root, "reason");
        let reason = if reason.is_empty() {
            reason
        } else {
            format!(": {reason}")
        };
        say(&format!("{}{reason}", text(root, "decision")));
        for rule in root.get("rules").into_iter().flat_map(Node::elements) {
            say(&format!("  {}", text(rule, "says")));
        }
        Ok(())
    }
}
