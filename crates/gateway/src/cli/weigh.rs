//! `sallyport policy test | matrix | diff | suggest` and `replay --ledger`: what rules come to, before they
//! are in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::Args;
use wire::json::{Node, object};

use super::{
    Common, desk,
    past::{self, Kind, write_rules},
    place::without_secrets,
    say, table,
};
use crate::{assemble, config::Meant, failure::Failure, visible::visible};

/// Run tables of cases.
#[derive(Args, Debug)]
pub(crate) struct Test {
    /// Files of cases, in YAML or JSON: a list of `name`, `agent`, `user`, `tool`, `args`, `purpose`, `labels`,
    /// `findings`, `sources`, `scopes`, `action`, and `expect`: permit, refuse or hold; `rule` that says so.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Files of rules instead of those of the configuration; packs stay.
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
}

/// Say who may do what.
#[derive(Args, Debug)]
pub(crate) struct Matrix {
    /// Files of rules instead of those of the configuration; packs stay.
    files: Vec<PathBuf>,
    /// Compare with a table that was printed before; it is an error if they differ.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

/// Say what a change of rules newly grants.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// Files of rules as they would be; packs stay.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Files of rules as they were; those of the configuration unless given.
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
}

/// Propose rules that permit what was done and nothing else.
#[derive(Args, Debug)]
pub(crate) struct Suggest {
    /// Only what this agent did.
    #[arg(long)]
    agent: Option<String>,
}

/// The rules of the configuration, or those of files in the place of its own.
pub(super) fn rules(common: &Common, files: &[PathBuf]) -> Result<Vec<(String, String)>, Failure> {
    let mut meant = without_secrets(common)?;
    if !files.is_empty() {
        meant.rules = read(files)?;
    }
    texts(&meant)
}

/// The rules of packs and the operator's own, each with its name.
pub(super) fn texts(meant: &Meant) -> Result<Vec<(String, String)>, Failure> {
    let sources = assemble::rule_sources(meant)?;
    Ok(sources.into_iter().map(|one| (one.name, one.text)).collect())
}

fn read(files: &[PathBuf]) -> Result<Vec<(String, String)>, Failure> {
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::configuration(format!("{}: {error}", file.display())))?;
        Ok((file.display().to_string(), text))
    };
    files.iter().map(read).collect()
}

impl Test {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let mut cases: Vec<serde_json::Value> = Vec::new();
        for (name, text) in read(&self.files)? {
            let read: Result<Vec<serde_json::Value>, _> = serde_saphyr::from_str(&text);
            cases.extend(read.map_err(|error| Failure::configuration(format!("{name}: {error}")))?);
        }
        if cases.is_empty() {
            return Err(Failure::does_not_hold("there are no cases"));
        }
        let rules = rules(common, &self.rules)?;
        let answer = desk::ask(common, "policy.test", |out| {
            write_rules(out, "rules", &rules);
            out.array("cases", |list| {
                cases
                    .iter()
                    .for_each(|case| list.json(case.to_string().as_bytes()));
            });
        })?;
        let root = answer.root();
        if common.json {
            say(answer.text());
        } else {
            for one in root.get("results").into_iter().flat_map(Node::elements) {
                match one.get("wrong").is_some() {
                    false => say(&format!("ok    {}", text(one, "name"))),
                    true => say(&format!("WRONG {}: {}", text(one, "name"), text(one, "wrong"))),
                }
                if one.get("note").is_some() {
                    say(&format!("      {}", text(one, "note")));
                }
            }
        }
        match root.get("ok").and_then(Node::as_bool) {
            Some(true) => Ok(()),
            Some(false) | None => Err(Failure::does_not_hold("not every case is decided as expected")),
        }
    }
}

impl Matrix {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let rules = rules(common, &self.files)?;
        let answer = desk::ask(common, "policy.matrix", |out| write_rules(out, "rules", &rules))?;
        let shown = drawn(answer.root());
        let Some(check) = &self.check else {
            say(if common.json { answer.text() } else { &shown });
            return Ok(());
        };
        let known = std::fs::read_to_string(check)
            .map_err(|error| Failure::configuration(format!("{}: {error}", check.display())))?;
        let (was, is): (BTreeSet<&str>, BTreeSet<&str>) =
            (known.trim_end().lines().collect(), shown.lines().collect());
        if was == is {
            return Ok(());
        }
        was.difference(&is).for_each(|line| say(&format!("- {line}")));
        is.difference(&was).for_each(|line| say(&format!("+ {line}")));
        Err(Failure::does_not_hold(format!(
            "who may do what is not what {} says; print it anew and review the difference",
            check.display()
        )))
    }
}

/// One line per principal, target and purpose, aligned by nothing that other lines could change.
fn drawn(root: Node<'_>) -> String {
    let rows = root.get("rows").into_iter().flat_map(Node::elements);
    let mut lines: Vec<String> = rows
        .map(|row| {
            let purpose = text(row, "purpose");
            let purpose = if purpose.is_empty() { "-" } else { &purpose };
            format!(
                "{} | {} {} | {purpose} | {}",
                who(row),
                text(row, "action"),
                text(row, "target"),
                text(row, "verdict")
            )
        })
        .collect();
    lines.sort();
    lines.insert(
        0,
        "who | may | for | verdict: no, ask, if (it depends on arguments), yes".to_owned(),
    );
    lines.join("\n")
}

impl Diff {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let (from, to) = (rules(common, &self.from)?, rules(common, &self.files)?);
        let answer = desk::ask(common, "policy.diff", |out| {
            write_rules(out, "from", &from);
            write_rules(out, "to", &to);
        })?;
        let root = answer.root();
        let list = |name: &str| root.get(name).into_iter().flat_map(Node::elements);
        if common.json {
            say(answer.text());
        } else {
            let rows: Vec<Vec<String>> = list("grants")
                .map(|one| {
                    let purpose = text(one, "purpose");
                    vec![
                        who(one),
                        text(one, "target"),
                        purpose,
                        text(one, "how"),
                        text(one, "what"),
                    ]
                })
                .collect();
            if rows.is_empty() {
                say("nothing is newly granted, as far as was shown");
            } else {
                say(&table(&["WHO", "MAY NOW", "FOR", "SHOWN", "WHAT"], rows));
            }
            for one in list("not_excluded") {
                say(&format!("not excluded: {} {}", who(one), text(one, "target")));
            }
            say(&format!("method: {}", text(root, "method")));
        }
        if list("grants").next().is_some() {
            return Err(Failure::does_not_hold("the change grants something new"));
        }
        Ok(())
    }
}

/// The ledger's calls under other rules.
pub(super) fn replay(common: &Common, files: &[PathBuf]) -> Result<(), Failure> {
    let past = past::gather(common)?;
    let kinds: Vec<&Kind> = past.keys().collect();
    let verdicts = past::verdicts(common, &kinds, &rules(common, files)?)?;
    let mut rows = Vec::new();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for ((kind, times), verdict) in past.iter().zip(&verdicts) {
        let is = if verdict == "same" { &kind.verdict } else { verdict };
        let changed = *is != kind.verdict;
        *counts
            .entry(if changed { "changed" } else { "same" })
            .or_default() += times.count;
        if common.json {
            let line = object(|out| {
                for (name, text) in [
                    ("agent", &kind.agent),
                    ("user", &kind.user),
                    ("purpose", &kind.purpose),
                ] {
                    if let Some(text) = text {
                        out.string(name, text);
                    }
                }
                out.string("action", &kind.action);
                out.string("target", &kind.target());
                out.string("was", &kind.verdict);
                out.string("is", is);
                out.boolean("changed", changed);
                out.integer("calls", times.count);
                out.string("last", &times.call);
            });
            say(&String::from_utf8_lossy(&line));
        } else if changed {
            let purpose = kind.purpose.clone().unwrap_or_default();
            rows.push(vec![
                times.count.to_string(),
                kind.who(),
                visible(&kind.target()),
                purpose,
                format!("{} -> {is}", kind.verdict),
                times.call.clone(),
            ]);
        }
    }
    if !common.json {
        if !rows.is_empty() {
            say(&table(&["CALLS", "WHO", "WHAT", "FOR", "VERDICT", "LAST"], rows));
        }
        let of = |word: &str| counts.get(word).copied().unwrap_or(0);
        say(&format!(
            "{} calls as before, {} otherwise",
            of("same"),
            of("changed")
        ));
    }
    Ok(())
}

impl Suggest {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let past = past::gather(common)?;
        // What was refused was not done, however often somebody tried.
        let mine = |kind: &Kind| kind.was_sent && (self.agent.is_none() || self.agent == kind.agent);
        // What a rule forbade, or people were to be asked about, is not least privilege: it is left out.
        let wanted = |kind: &Kind| {
            let unasked = kind
                .reason
                .as_deref()
                .is_some_and(|why| why.ends_with("no rule permits it"));
            matches!(kind.action.as_str(), "invoke" | "get" | "read") && (kind.verdict == "permit" || unasked)
        };
        let mut grants: BTreeMap<(Who, String, String), Done> = BTreeMap::new();
        for (kind, times) in past.iter().filter(|(kind, _)| mine(kind) && wanted(kind)) {
            let key = (Who::of(kind), kind.action.clone(), kind.target());
            let grant = grants.entry(key).or_default();
            grant.purposes.insert(kind.purpose.clone());
            grant.count += times.count;
        }
        let mut text = String::from(
            "// Proposed by `sallyport policy suggest` from what was done. Review before use.\n\
             // The ledger has no arguments: what a rule of yours demands of them is not in these.\n",
        );
        for (n, ((who, action, target), done)) in grants.iter().enumerate() {
            text.push_str(&rule(n, who, action, target, done));
        }
        let kinds: Vec<&Kind> = past.keys().filter(|kind| mine(kind)).collect();
        let mut meant = without_secrets(common)?;
        meant.rules = vec![("suggested".to_owned(), text.clone())];
        let rules = texts(&meant)?;
        let verdicts = past::verdicts(common, &kinds, &rules)?;
        let refused: Vec<(&Kind, &str)> = kinds
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| *verdict != "permit")
            .map(|(kind, verdict)| (*kind, verdict.as_str()))
            .collect();
        if common.json {
            let line = object(|out| {
                out.string("rules", &text);
                out.integer("grants", u64::try_from(grants.len()).unwrap_or(u64::MAX));
                out.array("would_refuse", |list| {
                    for (kind, verdict) in &refused {
                        list.object(|out| {
                            out.string("who", &kind.who());
                            out.string("target", &kind.target());
                            out.string("was", &kind.verdict);
                            out.string("is", verdict);
                        });
                    }
                });
            });
            say(&String::from_utf8_lossy(&line));
            return Ok(());
        }
        text.push_str("\n// Of what was done, these rules with the packs would not simply permit:\n");
        for (kind, verdict) in &refused {
            let why = kind.reason.as_deref().unwrap_or("-");
            let line = format!(
                "{} {}: was {}, would be {verdict} ({why})",
                kind.who(),
                kind.target(),
                kind.verdict
            );
            text.push_str(&format!("//   {}\n", visible(&line)));
        }
        if refused.is_empty() {
            text.push_str("//   nothing\n");
        }
        say(text.trim_end());
        Ok(())
    }
}

/// Who a suggested rule is for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Who {
    agent: Option<String>,
    user: Option<String>,
}

impl Who {
    fn of(kind: &Kind) -> Self {
        Self {
            agent: kind.agent.clone(),
            user: kind.user.clone(),
        }
    }
}

/// How often a thing was done, and for what.
#[derive(Debug, Default)]
struct Done {
    purposes: BTreeSet<Option<String>>,
    count: u64,
}

fn rule(n: usize, who: &Who, action: &str, target: &str, done: &Done) -> String {
    let Done { purposes, count } = done;
    let kind = match action {
        "get" => "Prompt",
        "read" => "Resource",
        _ => "Tool",
    };
    let mut conditions = Vec::new();
    let principal = match (&who.user, &who.agent) {
        (Some(user), Some(agent)) => {
            conditions.push(format!(
                "context has agent && context.agent == Agent::{}",
                quoted(agent)
            ));
            format!("User::{}", quoted(user))
        }
        (Some(user), None) => format!("User::{}", quoted(user)),
        (None, agent) => format!("Agent::{}", quoted(agent.as_deref().unwrap_or_default())),
    };
    if !purposes.contains(&None) {
        let each: Vec<String> = purposes.iter().flatten().map(|purpose| quoted(purpose)).collect();
        conditions.push(format!(
            "context has purpose && [{}].contains(context.purpose)",
            each.join(", ")
        ));
    }
    let when = if conditions.is_empty() {
        String::new()
    } else {
        format!("\nwhen {{ {} }}", conditions.join(" && "))
    };
    format!(
        "\n// Done {count} times.\n@id(\"suggested.{}\")\npermit(principal == {principal}, action == \
         Action::\"{action}\", resource == {kind}::{}){when};\n",
        n + 1,
        quoted(target)
    )
}

/// A text as a Cedar literal. Names come from servers and agents, so nothing in them may end it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_graphic() || c == ' ' => out.push(c),
            c => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

fn who(row: Node<'_>) -> String {
    match (row.get("agent").is_some(), row.get("user").is_some()) {
        (true, true) => format!("{} for {}", text(row, "agent"), text(row, "user")),
        (true, false) => text(row, "agent"),
        (false, _) => text(row, "user"),
    }
}

fn text(node: Node<'_>, name: &str) -> String {
    let found = node.get(name).and_then(Node::as_str);
    visible(&found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use policy::rules::{RuleSet, RuleSource};

    use super::{Done, Who, rule};

    #[test]
    fn names_that_servers_chose_cannot_end_a_text_or_begin_a_rule() {
        for name in [
            "bank__a\", b); permit(principal, action, resource); //",
            "bank__a\\",
            "bank__a\n@id(\"x\") permit(principal, action, resource);",
            "bank__\u{2028}*/ permit",
        ] {
            let who = Who {
                agent: Some(name.to_owned()),
                user: Some(name.to_owned()),
            };
            let done = Done {
                purposes: BTreeSet::from([Some(name.to_owned())]),
                count: 3,
            };
            let text = rule(0, &who, "invoke", name, &done);
            let name = "suggested".to_owned();
            let set = RuleSet::parse(&[RuleSource {
                name,
                text: text.clone(),
            }]);
            let set = set.unwrap_or_else(|errors| panic!("{text}: {errors}"));
            assert_eq!(set.rules().count(), 1, "{text}");
        }
    }
}
