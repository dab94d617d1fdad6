//! `sallyport context ...`: what conversations have read, and taking labels off.

use clap::{Args, Subcommand};
use wire::json::Node;

use super::{Common, desk, say};
use crate::{failure::Failure, visible::visible};

/// Contexts: what conversations and tasks have read.
#[derive(Debug, Subcommand)]
pub(crate) enum Context {
    /// Take labels off, as a person who answers for it. It is recorded.
    Declassify(Declassify),
    /// List contexts that have read something, with their labels.
    List,
}

/// What to take off; what is not named stays.
#[derive(Args, Debug)]
pub(crate) struct Declassify {
    /// The context.
    id: String,
    /// Who decides: a user with the role `declassifier` or `owner`.
    #[arg(long = "as", value_name = "USER")]
    as_user: String,
    /// Why, for the record.
    #[arg(long)]
    why: String,
    /// Count what was read as trusted. Where values came from stays known.
    #[arg(long)]
    trusted: bool,
    /// Lower the confidentiality: public, internal or confidential.
    #[arg(long, value_name = "LEVEL")]
    confidentiality: Option<String>,
    /// Take this category off; may be repeated.
    #[arg(long = "category", value_name = "CATEGORY")]
    categories: Vec<String>,
}

impl Context {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        match self {
            Self::Declassify(declassify) => {
                let answer = desk::ask(common, "context.declassify", |args| {
                    args.string("id", &declassify.id);
                    args.string("as", &declassify.as_user);
                    args.string("why", &declassify.why);
                    if declassify.trusted {
                        args.string("integrity", "trusted");
                    }
                    if let Some(level) = &declassify.confidentiality {
                        args.string("confidentiality", level);
                    }
                    args.array("categories", |list| {
                        declassify
                            .categories
                            .iter()
                            .for_each(|category| list.string(category));
                    });
                })?;
                let labels = labels(answer.root());
                let words = format!("{} now is {labels}", declassify.id);
                say(if common.json { answer.text() } else { &words });
                Ok(())
            }
            Self::List => list(common),
        }
    }
}

fn list(common: &Common) -> Result<(), Failure> {
    let nothing = "no context has read anything that has a label";
    let head = ["CONTEXT", "WHO", "LABELS"];
    desk::list(common, ("context.list", "contexts"), nothing, &head, |one| {
        let who = ["agent", "user"].map(|name| text(one, name));
        let who: Vec<_> = who.into_iter().filter(|name| !name.is_empty()).collect();
        vec![text(one, "id"), who.join(" for "), labels(one)]
    })
}

fn labels(one: Node<'_>) -> String {
    let mut words = vec![text(one, "integrity"), text(one, "confidentiality")];
    let categories = one.get("categories").into_iter().flat_map(Node::elements);
    words.extend(categories.filter_map(|word| Some(visible(&word.as_str()?))));
    words.join(" ")
}

fn text(node: Node<'_>, name: &str) -> String {
    visible(&node.get(name).and_then(Node::as_str).unwrap_or_default())
}
