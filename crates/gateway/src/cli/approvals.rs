//! `sallyport approvals ...`: what waits for people, and what they say.

use clap::{Args, Subcommand};
use wire::json::{Document, Kind, Node, ObjectWriter};

use super::{Common, desk, say};
use crate::{failure::Failure, visible::visible};

/// Human approval: calls that wait for somebody to agree.
#[derive(Debug, Subcommand)]
pub(crate) enum Approvals {
    /// Agree: the call passes once when it is made again.
    Approve(Approve),
    /// Say no.
    Deny(Deny),
    /// List what waits.
    List,
    /// Show what would happen.
    Show(Show),
}

/// Agree.
#[derive(Args, Debug)]
pub(crate) struct Approve {
    #[command(flatten)]
    who: Who,
    /// Agree to similar calls, too: an argument that may differ and its bound, such as `amount=0..100`,
    /// `to=bob|carol` or `file=/out/report-*`. All other arguments stay the same.
    #[arg(long = "let", value_name = "ARGUMENT=BOUND")]
    bounds: Vec<String>,
    /// To how many similar calls.
    #[arg(long, requires = "bounds", default_value = "10")]
    uses: u32,
    /// For how many seconds.
    #[arg(
        long = "for",
        value_name = "SECONDS",
        requires = "bounds",
        default_value = "3600"
    )]
    seconds: u32,
}

/// Who decides what.
#[derive(Args, Debug)]
pub(crate) struct Who {
    /// The approval.
    id: String,
    /// Who decides: a user.
    #[arg(long = "as", value_name = "USER")]
    as_user: String,
}

/// Say no.
#[derive(Args, Debug)]
pub(crate) struct Deny {
    #[command(flatten)]
    who: Who,
    /// Why, for the record.
    #[arg(long)]
    why: Option<String>,
}

/// Show.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The approval.
    id: String,
}

impl Approvals {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        match self {
            Self::Approve(approve) => {
                let answer = desk::ask(common, "approvals.approve", |args| {
                    approve.who.write(args);
                    args.array("let", |list| {
                        approve.bounds.iter().for_each(|one| list.string(one))
                    });
                    args.string("uses", &approve.uses.to_string());
                    args.string("seconds", &approve.seconds.to_string());
                })?;
                shown(common, &answer, &summary(answer.root()));
            }
            Self::Deny(deny) => {
                let answer = desk::ask(common, "approvals.deny", |args| {
                    deny.who.write(args);
                    if let Some(why) = &deny.why {
                        args.string("why", why);
                    }
                })?;
                shown(common, &answer, &summary(answer.root()));
            }
            Self::List => list(common)?,
            Self::Show(show) => {
                let answer = desk::ask(common, "approvals.show", |args| args.string("id", &show.id))?;
                shown(common, &answer, &whole(answer.root()));
            }
        }
        Ok(())
    }
}

impl Who {
    fn write(&self, args: &mut ObjectWriter<'_>) {
        args.string("id", &self.id);
        args.string("as", &self.as_user);
    }
}

fn shown(common: &Common, answer: &Document, words: &str) {
    say(if common.json { answer.text() } else { words });
}

fn list(common: &Common) -> Result<(), Failure> {
    let head = ["APPROVAL", "STATE", "GIVEN", "ASKED BY", "TOOL", "EXPIRES"];
    desk::list(
        common,
        ("approvals.list", "approvals"),
        "nothing waits",
        &head,
        |one| {
            vec![
                text(one, "id"),
                text(one, "state"),
                format!("{} of {}", number(one, "given"), number(one, "needed")),
                requester(one),
                text(one, "tool"),
                text(one, "expires"),
            ]
        },
    )
}

fn summary(one: Node<'_>) -> String {
    let state = match text(one, "state").as_str() {
        "granted" => "the call passes once when it is made again".to_owned(),
        "standing" => "similar calls pass until that is used up".to_owned(),
        "denied" => "the call is refused".to_owned(),
        _ => "more people must agree".to_owned(),
    };
    let (given, needed) = (number(one, "given"), number(one, "needed"));
    format!("{}: {given} of {needed} agreed; {state}", text(one, "id"))
}

/// What would happen, for somebody who has to decide. Every text in it is somebody else's.
fn whole(one: Node<'_>) -> String {
    let mut lines = vec![
        format!("approval   {} ({})", text(one, "id"), text(one, "state")),
        format!("asked by   {}", requester(one)),
        format!("would do   {} {}", text(one, "action"), text(one, "tool")),
    ];
    match one.get("args").filter(|args| args.kind() == Kind::Object) {
        Some(args) => {
            for (key, value) in args.members() {
                let key = key.as_str().unwrap_or_default();
                let value = match value.as_str() {
                    Some(text) => text.into_owned(),
                    None => value.written().to_owned(),
                };
                lines.push(format!("  with     {} = {}", visible(&key), visible(&value)));
            }
        }
        None => lines.push(format!(
            "  with     {}",
            visible(one.get("args").map_or("nothing", Node::written))
        )),
    }
    for (key, value) in one.get("beside").into_iter().flat_map(Node::members) {
        let key = key.as_str().unwrap_or_default();
        lines.push(format!(
            "  beside   {} = {}",
            visible(&key),
            visible(value.written())
        ));
    }
    for source in one.get("sources").into_iter().flat_map(Node::elements) {
        let trusted = source.get("trusted").and_then(Node::as_bool) == Some(true);
        let word = if trusted { "trusted" } else { "UNTRUSTED" };
        let (argument, server) = (text(source, "argument"), text(source, "server"));
        lines.push(format!(
            "  source   {argument} comes from {server} {} ({word})",
            text(source, "tool")
        ));
    }
    if one.get("purpose").is_some() {
        lines.push(format!("purpose    {}", text(one, "purpose")));
    }
    lines.push(format!("labels     {}", words(one, "labels")));
    for reason in one.get("reasons").into_iter().flat_map(Node::elements) {
        lines.push(format!(
            "because    {}",
            visible(&reason.as_str().unwrap_or_default())
        ));
    }
    let who: Vec<String> = one
        .get("by")
        .into_iter()
        .flat_map(Node::elements)
        .map(|demand| format!("{} of {}", number(demand, "needed"), text(demand, "who")))
        .collect();
    lines.push(format!("needs      {}", who.join(" and ")));
    lines.extend(one.get("similar").into_iter().flat_map(similar));
    lines.push(format!("agreed     {}", words(one, "agreed")));
    if one.get("denied_by").is_some() {
        lines.push(format!("denied by  {}", text(one, "denied_by")));
    }
    lines.push(format!("expires    {}", text(one, "expires")));
    lines.push(format!("reference  {}", text(one, "call")));
    lines.join("\n")
}

/// What similar calls a yes would cover.
fn similar(similar: Node<'_>) -> Vec<String> {
    let bounds = similar.get("bounds").into_iter().flat_map(Node::members);
    let line = |(name, bound): (Node<'_>, Node<'_>)| {
        let (name, bound) = (
            name.as_str().unwrap_or_default(),
            bound.as_str().unwrap_or_default(),
        );
        format!("similar    {} within {}", visible(&name), visible(&bound))
    };
    let mut lines: Vec<String> = bounds.map(line).collect();
    let (uses, seconds) = (number(similar, "uses"), number(similar, "seconds"));
    lines.push(format!("           {uses} uses, {seconds} seconds"));
    lines
}

fn requester(one: Node<'_>) -> String {
    let part = |name: &str| {
        let found = one.get("requester").and_then(|who| who.get(name));
        found.and_then(Node::as_str).map(|text| visible(&text))
    };
    match (part("agent"), part("user")) {
        (Some(agent), Some(user)) => format!("{agent} for {user}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "nobody".to_owned(),
    }
}

fn text(node: Node<'_>, name: &str) -> String {
    visible(&node.get(name).and_then(Node::as_str).unwrap_or_default())
}

fn number(node: Node<'_>, name: &str) -> String {
    node.get(name)
        .map_or_else(|| "0".to_owned(), |n| n.written().to_owned())
}

fn words(node: Node<'_>, name: &str) -> String {
    let list = node.get(name).into_iter().flat_map(Node::elements);
    let words: Vec<String> = list.filter_map(|word| Some(visible(&word.as_str()?))).collect();
    if words.is_empty() {
        "nobody yet".to_owned()
    } else {
        words.join(", ")
    }
}
