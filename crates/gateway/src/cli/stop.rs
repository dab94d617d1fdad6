//! `sallyport stop`: the kill switch.

use clap::Args;
use wire::json::Node;

use super::{Common, desk, say};
use crate::{failure::Failure, visible::visible};

/// Stop everything, an agent, a user, a server or a context, at once and over restarts, until it is lifted.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("target").required(true)))]
pub(crate) struct Stop {
    /// Everything.
    #[arg(long, group = "target")]
    all: bool,
    /// What an agent or a service does.
    #[arg(long, group = "target", value_name = "NAME")]
    agent: Option<String>,
    /// What a user does, and what is done for them.
    #[arg(long, group = "target", value_name = "NAME")]
    user: Option<String>,
    /// What goes to a server.
    #[arg(long, group = "target", value_name = "NAME")]
    server: Option<String>,
    /// What goes on in a context, by the name the ledger has for it.
    #[arg(long, group = "target", value_name = "ID")]
    context: Option<String>,
    /// Say what is stopped.
    #[arg(long, group = "target")]
    list: bool,
    /// Let it go on.
    #[arg(long, conflicts_with = "list")]
    lift: bool,
    /// Why, for the record.
    #[arg(long)]
    why: Option<String>,
    /// Who says so, for the record.
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
}

impl Stop {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        if self.list {
            let head = ["STOPPED", "SINCE", "BY", "WHY"];
            return desk::list(
                common,
                ("halt.list", "stopped"),
                "nothing is stopped",
                &head,
                |one| {
                    ["stopped", "since", "by", "why"]
                        .map(|name| text(one, name))
                        .to_vec()
                },
            );
        }
        let named = [
            ("agent", &self.agent),
            ("user", &self.user),
            ("server", &self.server),
            ("context", &self.context),
        ];
        let named = named
            .into_iter()
            .find_map(|(what, name)| Some((what, name.as_ref()?)));
        let operation = if self.lift { "halt.lift" } else { "halt.put" };
        let answer = desk::ask(common, operation, |args| {
            args.string("what", named.map_or("all", |(what, _)| what));
            if let Some((_, name)) = named {
                args.string("name", name);
            }
            if let Some(why) = &self.why {
                args.string("why", why);
            }
            if let Some(name) = &self.as_user {
                args.string("as", name);
            }
        })?;
        let root = answer.root();
        if common.json {
            say(answer.text());
        } else if let Some(waits) = super::server::waiting(root) {
            say(&waits);
        } else if self.lift {
            say(&format!("`{}` may go on", text(root, "lifted")));
        } else {
            say(&format!("`{}` is stopped", text(root, "stopped")));
        }
        Ok(())
    }
}

fn text(node: Node<'_>, name: &str) -> String {
    visible(&node.get(name).and_then(Node::as_str).unwrap_or_default())
}
