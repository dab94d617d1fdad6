//! `sallyport incident ...`: what was noticed, and what is done about it.

use clap::{Args, Subcommand};
use wire::json::{Document, Node};

use super::{Common, desk, say};
use crate::{failure::Failure, visible::visible};

/// Incidents: what agents and servers did that is worth a look.
#[derive(Debug, Subcommand)]
pub(crate) enum Incident {
    /// Stop what set it off, as `sallyport stop` does.
    Contain(Contain),
    /// List them, the newest first.
    List,
    /// Say that it was dealt with. What is stopped stays so until it is lifted.
    Resolve(Resolve),
    /// Show one, with the calls that set it off.
    Show(Show),
}

/// Stop what set it off.
#[derive(Args, Debug)]
pub(crate) struct Contain {
    /// The incident.
    id: String,
    /// Stop this agent instead.
    #[arg(long, value_name = "NAME", group = "target")]
    agent: Option<String>,
    /// Stop this context instead.
    #[arg(long, value_name = "ID", group = "target")]
    context: Option<String>,
    /// Stop this server instead.
    #[arg(long, value_name = "NAME", group = "target")]
    server: Option<String>,
    /// Stop this user instead.
    #[arg(long, value_name = "NAME", group = "target")]
    user: Option<String>,
    /// Who says so.
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
}

/// Say that it was dealt with.
#[derive(Args, Debug)]
pub(crate) struct Resolve {
    /// The incident.
    id: String,
    /// What it was, and what was done.
    #[arg(long)]
    why: String,
    /// Who says so.
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
}

/// Show one.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The incident.
    id: String,
}

impl Incident {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let answer = match self {
            Self::List => {
                let head = ["INCIDENT", "STATE", "KIND", "WHO", "COUNT", "LAST", "WHAT"];
                return desk::list(
                    common,
                    ("incident.list", "incidents"),
                    "nothing was noticed",
                    &head,
                    row,
                );
            }
            Self::Contain(contain) => desk::ask(common, "incident.contain", |args| {
                args.string("id", &contain.id);
                for (what, name) in [
                    ("agent", &contain.agent),
                    ("context", &contain.context),
                    ("server", &contain.server),
                    ("user", &contain.user),
                ] {
                    if let Some(name) = name {
                        args.string("what", what);
                        args.string("name", name);
                    }
                }
                if let Some(name) = &contain.as_user {
                    args.string("as", name);
                }
            })?,
            Self::Resolve(resolve) => desk::ask(common, "incident.resolve", |args| {
                args.string("id", &resolve.id);
                args.string("why", &resolve.why);
                if let Some(name) = &resolve.as_user {
                    args.string("as", name);
                }
            })?,
            Self::Show(show) => desk::ask(common, "incident.show", |args| args.string("id", &show.id))?,
        };
        say(&if common.json {
            answer.text().to_owned()
        } else {
            whole(&answer)
        });
        Ok(())
    }
}

fn row(one: Node<'_>) -> Vec<String> {
    let who = ["agent", "user", "server"]
        .into_iter()
        .find(|name| one.get(name).is_some());
    vec![
        text(one, "id"),
        text(one, "state"),
        text(one, "kind"),
        who.map(|name| text(one, name)).unwrap_or_default(),
        text(one, "count"),
        text(one, "last"),
        text(one, "what"),
    ]
}

fn whole(answer: &Document) -> String {
    let root = answer.root();
    let lines = root.members().map(|(name, value)| {
        let name = name.as_str().unwrap_or_default();
        let words: Vec<String> = value.elements().map(said).collect();
        let value = if words.is_empty() {
            said(value)
        } else {
            words.join("\n             ")
        };
        format!("{name:<12} {value}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn text(one: Node<'_>, name: &str) -> String {
    one.get(name).map(said).unwrap_or_default()
}

fn said(value: Node<'_>) -> String {
    match value.as_str() {
        Some(text) => visible(&text),
        None => value.written().to_owned(),
    }
}
