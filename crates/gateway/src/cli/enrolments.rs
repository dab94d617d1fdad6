//! `sallyport agent requests|approve|deny|suspend|resume`: who asks to become an agent, and who has to wait.

use clap::Args;
use wire::json::{Document, Node};

use super::{Common, agent::Granted, desk};
use crate::{failure::Failure, visible::visible};

/// Let a program in that asked.
#[derive(Args, Debug)]
pub(crate) struct Approve {
    /// The thumbprint of its key, or how that begins. Compare it with what the agent's owner tells you.
    // One of 64 begins like an option.
    #[arg(allow_hyphen_values = true)]
    key: String,
    /// Another name than the one it asked for.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    granted: Granted,
}

/// Turn a program away that asked.
#[derive(Args, Debug)]
pub(crate) struct Deny {
    /// The thumbprint of its key, or how that begins.
    #[arg(allow_hyphen_values = true)]
    key: String,
}

/// Have an agent wait, or go on.
#[derive(Args, Debug)]
pub(crate) struct Hold {
    /// Its name.
    name: String,
    /// Why, for the record.
    #[arg(long)]
    why: Option<String>,
}

impl Approve {
    pub(super) fn ask(&self, common: &Common) -> Result<Document, Failure> {
        desk::ask(common, "agent.approve", |args| {
            args.string("key", &self.key);
            if let Some(name) = &self.name {
                args.string("name", name);
            }
            self.granted.write(args);
        })
    }
}

impl Deny {
    pub(super) fn ask(&self, common: &Common) -> Result<Document, Failure> {
        desk::ask(common, "agent.deny", |args| args.string("key", &self.key))
    }
}

impl Hold {
    /// The kill switch does it.
    pub(super) fn ask(&self, common: &Common, operation: &str) -> Result<Document, Failure> {
        desk::ask(common, operation, |args| {
            args.string("what", "agent");
            args.string("name", &self.name);
            if let Some(why) = &self.why {
                args.string("why", why);
            }
        })
    }
}

/// Who asks.
pub(super) fn list(common: &Common) -> Result<(), Failure> {
    let text = |one: Node<'_>, name: &str| visible(&one.get(name).and_then(Node::as_str).unwrap_or_default());
    desk::list(
        common,
        ("agent.requests", "requests"),
        "nobody asks to become an agent",
        &["KEY", "NAME", "MODEL", "FROM", "STATE"],
        |one| {
            ["key", "name", "model", "peer", "state"]
                .map(|name| text(one, name))
                .to_vec()
        },
    )
}
