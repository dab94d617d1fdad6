//! Tables of cases: described calls, each with what the rules are expected to say. A case that is misspelt is an
//! error, never one that passes: a table that tests nothing is worse than none.

use std::collections::BTreeSet;

use policy::{Action, Decision, FINDING_KINDS, Facts, Source, rules::RuleSet};
use wire::{
    json::{Kind, Node, object},
    mcp::split_federated,
};

use super::{
    Args, count,
    policy::subject_of,
    weigh::{asks, known, labels_of, rules, said, source_of},
};
use crate::{failure::Failure, listen::House};

/// What a case may say.
const MEMBERS: [&str; 13] = [
    "action", "agent", "args", "expect", "findings", "labels", "name", "purpose", "rule", "scopes",
    "sources", "tool", "user",
];

/// What became of a case.
struct Told {
    name: String,
    /// What is not as expected.
    wrong: Option<String>,
    /// Something to know about it all the same.
    note: Option<String>,
}

/// Decides a table of cases.
pub(super) fn test(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let rules = rules(house, args, "rules")?;
    let cases = args.node("cases").into_iter().flat_map(Node::elements);
    let mut told = Vec::new();
    for (n, case) in cases.enumerate() {
        let name = said(case, "name").unwrap_or_else(|| format!("case {}", n + 1));
        let one = tested(house, &rules, case, &name);
        told.push(one.map_err(|why| Failure::configuration(format!("`{name}`: {why}")))?);
    }
    let failed = told.iter().filter(|one| one.wrong.is_some()).count();
    Ok(object(|out| {
        out.boolean("ok", failed == 0);
        out.integer("cases", count(told.len()));
        out.integer("failed", count(failed));
        out.array("results", |list| {
            for one in &told {
                list.object(|out| {
                    out.string("name", &one.name);
                    out.boolean("ok", one.wrong.is_none());
                    for (name, text) in [("wrong", &one.wrong), ("note", &one.note)] {
                        if let Some(text) = text {
                            out.string(name, text);
                        }
                    }
                });
            }
        });
    }))
}

fn tested(house: &House, rules: &RuleSet, case: Node<'_>, name: &str) -> Result<Told, String> {
    for (member, _) in case.members() {
        let member = member.as_str().unwrap_or_default();
        if !MEMBERS.contains(&&*member) {
            return Err(format!(
                "there is no `{member}`; there are {}",
                MEMBERS.join(", ")
            ));
        }
    }
    let text = |name: &str| text_of(case, name);
    let expected = text("expect")?.ok_or("`expect` is missing: permit, refuse or hold")?;
    if !["permit", "refuse", "hold"].contains(&expected.as_str()) {
        return Err("`expect` is none of permit, refuse and hold".to_owned());
    }
    let subject = subject_of(house, text("agent")?.as_deref(), text("user")?.as_deref(), false)
        .map_err(|failure| failure.to_string())?;
    let tool = text("tool")?.ok_or("`tool` is missing; write server__tool")?;
    let (server, item) = split_federated(&tool).ok_or("`tool` is not a full name: server__tool")?;
    let action = match text("action")? {
        None => Action::Invoke,
        Some(word) => Action::parse(&word).ok_or_else(|| format!("there is no action `{word}`"))?,
    };
    let resource = known(house, server.as_str(), item, action)
        .ok_or_else(|| format!("there is no server `{server}`; see `sallyport server list`"))?;
    let labels = labels_of(case.get("labels"))?;
    let args = case.get("args").unwrap_or(house.engines.empty.root());
    if args.kind() != Kind::Object {
        return Err("`args` is an object".to_owned());
    }
    let findings = findings_of(case)?;
    let sources = sources_of(house, case)?;
    let purpose = text("purpose")?;
    let scopes: BTreeSet<String> = words_of(case, "scopes")?
        .into_iter()
        .chain([identity::token::SCOPE.to_owned()])
        .collect();
    let facts = Facts {
        args: Some(args),
        purpose: purpose.as_deref(),
        task: None,
        labels: &labels,
        findings,
        sources: &sources,
        scopes: &scopes,
        tls: None,
        now_ms: house.engines.ambient.now_ms(),
    };
    let decision = rules.decide(&subject, action, &resource, &facts);
    let wrong = differs(&decision, &expected, text("rule")?.as_deref());
    let offered = house.engines.keeper.server(server.as_str()).is_ok_and(|known| {
        let mut items = known.items.keys();
        items.any(|(_, offered)| offered == item)
    });
    let note = (!offered).then(|| format!("`{tool}` was never seen; nothing is known of what it does"));
    Ok(Told {
        name: name.to_owned(),
        wrong,
        note,
    })
}

/// A text, if there is one; anything else is an error.
fn text_of(case: Node<'_>, name: &str) -> Result<Option<String>, String> {
    let Some(value) = case.get(name) else {
        return Ok(None);
    };
    let text = value.as_str().ok_or_else(|| format!("`{name}` is a text"))?;
    Ok(Some(text.into_owned()))
}

/// A list of texts; anything else is an error.
fn words_of(case: Node<'_>, name: &str) -> Result<Vec<String>, String> {
    let Some(value) = case.get(name) else {
        return Ok(Vec::new());
    };
    let words: Option<Vec<String>> = value
        .elements()
        .map(|one| Some(one.as_str()?.into_owned()))
        .collect();
    words
        .filter(|_| value.kind() == Kind::Array)
        .ok_or_else(|| format!("`{name}` is a list of texts"))
}

fn findings_of(case: Node<'_>) -> Result<BTreeSet<&'static str>, String> {
    let known = |kind: String| {
        let mut kinds = FINDING_KINDS.into_iter();
        kinds
            .find(|known| *known == kind)
            .ok_or_else(|| format!("there is no kind of finding `{kind}`"))
    };
    words_of(case, "findings")?.into_iter().map(known).collect()
}

fn sources_of(house: &House, case: Node<'_>) -> Result<Vec<Source>, String> {
    let known = |full: &String| {
        let (server, tool) = split_federated(full)
            .ok_or_else(|| format!("the source `{full}` is not a tool's full name: server__tool"))?;
        Ok(source_of(house, (server.as_str(), tool)))
    };
    words_of(case, "sources")?.iter().map(known).collect()
}

/// What is not as expected, if anything.
fn differs(decision: &Decision, expected: &str, rule: Option<&str>) -> Option<String> {
    let (is, spoke) = match decision {
        Decision::Permit(permit) if asks(permit) => ("hold", permit.rules().to_vec()),
        Decision::Permit(permit) => ("permit", permit.rules().to_vec()),
        Decision::Refuse(denial) => {
            let failed = denial.errors.iter().map(|(rule, _)| rule.clone());
            ("refuse", denial.rules.iter().cloned().chain(failed).collect())
        }
    };
    let spoke: Vec<String> = spoke.iter().map(ToString::to_string).collect();
    let by = match spoke.as_slice() {
        [] => "no rule".to_owned(),
        rules => rules.join(", "),
    };
    if is != expected {
        return Some(format!("expected {expected}, is {is} by {by}"));
    }
    rule.filter(|rule| !spoke.iter().any(|spoke| spoke == rule))
        .map(|rule| format!("{is}, but by {by} and not by {rule}"))
}
