//! `sallyport agent ...` and `sallyport token`: who may ask.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use identity::token::LIFETIME_MS_MAX;
use wire::json::{Node, ObjectWriter};

use super::{
    Common, desk,
    enroll::{Enroll, Rekey},
    enrolments::{self, Approve, Deny, Hold},
    output::remark,
    say, table,
};
use crate::failure::Failure;

/// Agents: who may ask, and with what secret.
#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Add an agent. Its secret is shown this once.
    Add(Add),
    /// List agents.
    List,
    /// End an agent at once: its tokens are worth nothing any more.
    Revoke(Name),
    /// Give an agent another secret, or other keys.
    Rotate(Rotate),
    /// On the agent's side: make a key, ask a gateway to be let in, and wait for a person there.
    Enroll(Enroll),
    /// On the agent's side: change the key, by the one it has.
    Rekey(Rekey),
    /// List programs that ask to become agents.
    Requests,
    /// Let a program in that asked.
    Approve(Approve),
    /// Turn a program away that asked.
    Deny(Deny),
    /// Have an agent wait: nothing it does goes on, at once and over restarts.
    Suspend(Hold),
    /// Let a suspended agent go on.
    Resume(Hold),
}

/// Add an agent.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Its name, and its client id.
    name: String,
    #[command(flatten)]
    granted: Granted,
    /// A file with its public keys, as a JSON Web Key Set. It then signs for its tokens and has no secret.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

/// What an agent is, and may do.
#[derive(Args, Debug)]
pub(super) struct Granted {
    /// A role.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A purpose it may declare.
    #[arg(long = "purpose", value_name = "PURPOSE")]
    purposes: Vec<String>,
    /// A user it may act for.
    #[arg(long = "for", value_name = "USER")]
    acts_for: Vec<String>,
    /// Its model, such as vendor/model-1.
    #[arg(long)]
    model: Option<String>,
    /// The version of its model.
    #[arg(long, value_name = "VERSION", requires = "model")]
    model_version: Option<String>,
    /// A program without a model.
    #[arg(long)]
    service: bool,
    /// What it has to prove with each request: signature, dpop or mtls.
    #[arg(long, value_name = "WAY")]
    proof: Option<String>,
}

impl Granted {
    /// As arguments of the operation.
    pub(super) fn write(&self, args: &mut ObjectWriter<'_>) {
        for (name, list) in [
            ("roles", &self.roles),
            ("purposes", &self.purposes),
            ("for", &self.acts_for),
        ] {
            args.array(name, |out| list.iter().for_each(|text| out.string(text)));
        }
        for (name, text) in [
            ("model", &self.model),
            ("version", &self.model_version),
            ("proof", &self.proof),
        ] {
            if let Some(text) = text {
                args.string(name, text);
            }
        }
        if self.service {
            args.string("kind", "service");
        }
    }
}

/// Give an agent another credential.
#[derive(Args, Debug)]
pub(crate) struct Rotate {
    /// Its name.
    name: String,
    /// A file with its public keys, instead of a secret.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

/// The text of a file of keys.
fn keys(path: Option<&Path>) -> Result<Option<String>, Failure> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|error| Failure::configuration(format!("{}: {error}", path.display())))
    };
    path.map(read).transpose()
}

/// An agent.
#[derive(Args, Debug)]
pub(crate) struct Name {
    /// Its name.
    name: String,
}

/// Mint a short-lived token for scripts.
#[derive(Args, Debug)]
pub(crate) struct Token {
    /// The agent.
    #[arg(long)]
    agent: String,
    /// The purpose to declare.
    #[arg(long)]
    purpose: Option<String>,
    /// The task to declare: tokens of one task share what they have read.
    #[arg(long)]
    task: Option<String>,
    /// For whom or what it acts, to declare: as with a task.
    #[arg(long)]
    entity: Option<String>,
    /// The user it acts for.
    #[arg(long = "for", value_name = "USER")]
    acts_for: Option<String>,
    /// For the endpoint of one server or group instead of /mcp.
    #[arg(long)]
    server: Option<String>,
    /// How long it is good, in seconds; at most 600.
    #[arg(long, allow_negative_numbers = true)]
    seconds: Option<i64>,
}

impl Agent {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let answer = match self {
            Self::Add(add) => {
                let keys = keys(add.keys.as_deref())?;
                desk::ask(common, "agent.add", |args| {
                    if let Some(keys) = &keys {
                        args.string("keys", keys);
                    }
                    args.string("name", &add.name);
                    add.granted.write(args);
                })?
            }
            Self::Enroll(enroll) => return enroll.run(common),
            Self::Rekey(rekey) => return rekey.run(common),
            Self::Requests => return enrolments::list(common),
            Self::Approve(approve) => approve.ask(common)?,
            Self::Deny(deny) => deny.ask(common)?,
            Self::Suspend(hold) => hold.ask(common, "halt.put")?,
            Self::Resume(hold) => hold.ask(common, "halt.lift")?,
            Self::List => desk::ask(common, "agent.list", |_| {})?,
            Self::Revoke(name) => desk::ask(common, "agent.revoke", |args| args.string("name", &name.name))?,
            Self::Rotate(rotate) => {
                let keys = keys(rotate.keys.as_deref())?;
                desk::ask(common, "agent.rotate", |args| {
                    args.string("name", &rotate.name);
                    if let Some(keys) = &keys {
                        args.string("keys", keys);
                    }
                })?
            }
        };
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
        let list = |node: Node<'_>, name: &str| {
            let texts = node
                .get(name)
                .into_iter()
                .flat_map(Node::elements)
                .filter_map(Node::as_str);
            texts
                .map(std::borrow::Cow::into_owned)
                .collect::<Vec<_>>()
                .join(",")
        };
        if let Some(agents) = root.get("agents") {
            let rows = agents.elements().map(|agent| {
                vec![
                    text(agent, "name"),
                    text(agent, "kind"),
                    list(agent, "roles"),
                    list(agent, "purposes"),
                    list(agent, "for"),
                    text(agent, "model"),
                ]
            });
            say(&table(
                &["AGENT", "KIND", "ROLES", "PURPOSES", "FOR", "MODEL"],
                rows.collect(),
            ));
        } else if root.get("secret").is_some() {
            say(&format!(
                "client_id     {}\nclient_secret {}",
                text(root, "name"),
                text(root, "secret")
            ));
            say("the secret is shown this once; keep it where only the agent can read it");
        } else if root.get("name").is_some() {
            say(&format!(
                "client_id     {}\nit signs for its tokens with its key",
                text(root, "name")
            ));
        } else {
            say("done");
        }
        Ok(())
    }
}

impl Token {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let most = LIFETIME_MS_MAX / 1000;
        match self.seconds {
            Some(0) => {
                let why = format!("a token of 0 seconds is of no use; say 1 to {most}");
                return Err(Failure::configuration(why));
            }
            Some(seconds) if seconds > most => {
                remark(format!("the token is good for {most} seconds, the most there is"))
            }
            Some(_) | None => {}
        }
        let answer = desk::ask(common, "token", |args| {
            args.string("agent", &self.agent);
            for (name, text) in [
                ("purpose", &self.purpose),
                ("task", &self.task),
                ("entity", &self.entity),
                ("for", &self.acts_for),
                ("server", &self.server),
            ] {
                if let Some(text) = text {
                    args.string(name, text);
                }
            }
            if let Some(seconds) = self.seconds {
                args.string("seconds", &seconds.to_string());
            }
        })?;
        if let Some(unfit) = answer.root().get("unfit").and_then(Node::as_str) {
            remark(unfit);
        }
        if common.json {
            say(answer.text());
        } else {
            let token = answer
                .root()
                .get("access_token")
                .and_then(Node::as_str)
                .unwrap_or_default();
            say(&token);
        }
        Ok(())
    }
}
