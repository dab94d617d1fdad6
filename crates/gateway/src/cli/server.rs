//! `sallyport server ...`: the life cycle of servers.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use wire::json::{Document, Node, object};

use super::{
    Common, desk,
    place::Place,
    say,
    server_json::{self, Offered},
    table,
};
use crate::{failure::Failure, operate::admin::control, visible::visible};

/// Servers: what is known, what is approved, what changed.
#[derive(Debug, Subcommand)]
pub(crate) enum Server {
    /// Add a server. It is proposed: nothing is started before it is approved.
    Add(Add),
    /// Approve a server as it is configured now, or one of its tools or prompts as it is offered now.
    Approve(Approve),
    /// Print the link with which a user lets the gateway use a server in their name.
    Connect(Who),
    /// Show what a server offers that is not what was approved.
    Diff(Name),
    /// Learn what a server asks for, and propose the least box.
    Learn(Learn),
    /// List servers.
    List,
    /// Write the box a server runs in as another sandbox wants it.
    Profile(Profile),
    /// Hold a server, or one of its tools or prompts, back.
    Quarantine(Quarantine),
    /// Let what was held back serve again, as it is now.
    Release(Release),
    /// End a server for good; its name is not used again.
    Retire(Name),
    /// Go back to what was approved of a server before; what it starts or offers now that is something else is held
    /// back.
    Rollback(Rollback),
    /// Print the bill of materials of what a server starts.
    Sbom(Sbom),
    /// Show a server.
    Show(Name),
}

/// Add a server.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Its name.
    name: String,
    /// The URL of a server over HTTP.
    #[arg(long, conflicts_with = "command")]
    url: Option<String>,
    /// What the MCP registry says of it: a `server.json`. The command's further arguments go after `--`.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    from: Option<PathBuf>,
    /// Environment variables, NAME=VALUE; values may be env:NAME or file:PATH.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Take its content as your own word.
    #[arg(long)]
    trusted: bool,
    /// The command and its arguments, after `--`.
    #[arg(last = true)]
    command: Vec<String>,
}

/// A server.
#[derive(Args, Debug)]
pub(crate) struct Name {
    /// Its name.
    name: String,
}

/// A server, and the person who connects it.
#[derive(Args, Debug)]
pub(crate) struct Who {
    /// Its name.
    name: String,
    /// The user in whose name it will be reached.
    #[arg(long, value_name = "NAME")]
    user: String,
}

impl Who {
    /// The link is good while the gateway runs that made it.
    fn connect(&self, common: &Common) -> Result<Document, Failure> {
        let place = Place::of(common)?;
        let args = object(|args| {
            args.string("name", &self.name);
            args.string("user", &self.user);
        });
        let socket = place.control();
        let answer = super::block_on(control::ask(&socket, "server.connect", &args))?;
        answer.ok_or_else(|| {
            Failure::unreachable("no gateway runs with this configuration; start it with `sallyport serve`")
        })
    }
}

/// Learn what a server asks for, and propose the least box.
///
/// From now on its box writes down what it asks for. Use it as it will be used; then `--done` prints a proposal. Nothing
/// is granted meanwhile, and nothing by the proposal itself.
#[derive(Args, Debug)]
pub(crate) struct Learn {
    /// Its name.
    name: String,
    /// Enough was seen: print the proposal.
    #[arg(long)]
    done: bool,
}

impl Learn {
    fn run(&self, common: &Common) -> Result<(), Failure> {
        let place = Place::of(common)?;
        let args = object(|args| {
            args.string("name", &self.name);
            if self.done {
                args.string("done", "yes");
            }
        });
        let socket = place.control();
        let answer = super::block_on(control::ask(&socket, "server.learn", &args))?.ok_or_else(|| {
            Failure::unreachable("no gateway runs with this configuration; start it with `sallyport serve`")
        })?;
        if common.json {
            say(answer.text());
            return Ok(());
        }
        let name = &self.name;
        let text = |key: &str| {
            answer
                .root()
                .get(key)
                .and_then(Node::as_str)
                .unwrap_or_default()
                .into_owned()
        };
        if !self.done {
            say(&format!(
                "learning  {name}: use it as it will be used; then `sallyport server learn {name} --done`"
            ));
            return Ok(());
        }
        let mut lines = vec![format!("proposed  {}", visible(&text("words")))];
        for one in answer.root().get("withheld").into_iter().flat_map(Node::elements) {
            lines.push(format!(
                "withheld  {}",
                visible(&one.as_str().unwrap_or_default())
            ));
        }
        lines.push(text("proposal"));
        lines.push(format!(
            "Put it under `{name}` in the configuration if it is what it should be; its other keys stay. Then \
             `sallyport server approve {name}`."
        ));
        say(&lines.join("\n"));
        Ok(())
    }
}

/// Write a box for another sandbox.
#[derive(Args, Debug)]
pub(crate) struct Profile {
    /// Its name.
    name: String,
    /// `bubblewrap`, `docker`, `kubernetes`, `podman`, `runsc` or `sandbox-exec`.
    #[arg(long = "as", value_name = "SANDBOX")]
    target: String,
}

/// A server, or one of its tools or prompts.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// Its name.
    name: String,
    /// A tool or prompt of it.
    #[arg(long, value_name = "TOOL")]
    tool: Option<String>,
}

/// Approve a server, or one of its tools or prompts.
///
/// What the server starts is pinned first: packages of npm and PyPI are fetched once, with everything they need, and
/// kept; they are started from that copy.
#[derive(Args, Debug)]
pub(crate) struct Approve {
    #[command(flatten)]
    what: Named,
    /// Pin only the files the command starts with, as they are: no package is fetched and kept.
    #[arg(long, conflicts_with = "tool")]
    as_found: bool,
    /// Who says so, where more than one operator has to.
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
}

/// Let what was held back serve again, as it is now.
#[derive(Args, Debug)]
pub(crate) struct Release {
    #[command(flatten)]
    what: Named,
    /// Who says so, where more than one operator has to.
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
}

/// Go back to what was approved before.
#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// The server's name.
    name: String,
    /// The version, as `server show` numbers them; the one before unless said.
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// Who says so, where more than one operator has to.
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
}

/// Print the bill of materials of what a server starts, in CycloneDX 1.6.
#[derive(Args, Debug)]
pub(crate) struct Sbom {
    /// The server's name.
    name: String,
    /// The format.
    #[arg(long, value_enum, default_value_t = Bill::Cyclonedx)]
    format: Bill,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Bill {
    /// CycloneDX 1.6, JSON.
    Cyclonedx,
}

/// Hold something back.
#[derive(Args, Debug)]
pub(crate) struct Quarantine {
    #[command(flatten)]
    what: Named,
    /// Why, for the record.
    #[arg(long, default_value = "a person said so")]
    why: String,
}

impl Server {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let answer = match self {
            Self::Add(add) => add.run(common)?,
            Self::Approve(approve) => approve.run(common)?,
            Self::Release(release) => release.run(common)?,
            Self::Rollback(back) => desk::ask(common, "server.rollback", |args| {
                args.string("name", &back.name);
                if let Some(to) = back.to {
                    args.string("to", &to.to_string());
                }
                if let Some(name) = &back.as_user {
                    args.string("as", name);
                }
            })?,
            Self::Connect(who) => who.connect(common)?,
            Self::Diff(name) => desk::ask(common, "server.diff", |args| args.string("name", &name.name))?,
            Self::Learn(learn) => return learn.run(common),
            Self::List => desk::ask(common, "server.list", |_| {})?,
            Self::Profile(profile) => desk::ask(common, "server.profile", |args| {
                args.string("name", &profile.name);
                args.string("as", &profile.target);
            })?,
            Self::Quarantine(held) => ask(common, "server.quarantine", &held.what, Some(&held.why))?,
            Self::Retire(name) => desk::ask(common, "server.retire", |args| args.string("name", &name.name))?,
            Self::Sbom(sbom) => {
                let Bill::Cyclonedx = sbom.format;
                let answer = desk::ask(common, "server.sbom", |args| args.string("name", &sbom.name))?;
                say(answer.text());
                return Ok(());
            }
            Self::Show(name) => desk::ask(common, "server.show", |args| args.string("name", &name.name))?,
        };
        if common.json {
            say(answer.text());
        } else {
            say(&shown(&answer));
        }
        Ok(())
    }
}

fn ask(common: &Common, operation: &str, what: &Named, why: Option<&str>) -> Result<Document, Failure> {
    desk::ask(common, operation, |args| {
        args.string("name", &what.name);
        if let Some(tool) = &what.tool {
            args.string("item", tool);
        }
        if let Some(why) = why {
            args.string("why", why);
        }
    })
}

impl Release {
    fn run(self, common: &Common) -> Result<Document, Failure> {
        desk::ask(common, "server.approve", |args| {
            args.string("name", &self.what.name);
            if let Some(tool) = &self.what.tool {
                args.string("item", tool);
            }
            args.string("held", "only");
            if let Some(name) = &self.as_user {
                args.string("as", name);
            }
        })
    }
}

impl Approve {
    fn run(self, common: &Common) -> Result<Document, Failure> {
        desk::ask(common, "server.approve", |args| {
            args.string("name", &self.what.name);
            if let Some(tool) = &self.what.tool {
                args.string("item", tool);
            }
            if self.as_found {
                args.string("pin", "as-found");
            }
            if let Some(name) = &self.as_user {
                args.string("as", name);
            }
        })
    }
}

impl Add {
    fn run(self, common: &Common) -> Result<Document, Failure> {
        let mut env = BTreeMap::new();
        for pair in &self.env {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::configuration(format!("`{pair}` is not NAME=VALUE")))?;
            env.insert(name.to_owned(), value.to_owned());
        }
        let (command, url, env) = match &self.from {
            None => (self.command, self.url, env),
            Some(file) => {
                let bad = |why: String| Failure::configuration(format!("{}: {why}", file.display()));
                let text = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
                match server_json::read(text, &env, &self.command).map_err(bad)? {
                    Offered::Command(command, env) => (command, None, env),
                    Offered::Url(url) => (Vec::new(), Some(url), env),
                }
            }
        };
        let here = std::env::current_dir().unwrap_or_default().display().to_string();
        let server = object(|out| {
            match (command.split_first(), &url) {
                (Some((program, args)), _) => {
                    out.string("command", program);
                    out.array("args", |list| args.iter().for_each(|arg| list.string(arg)));
                    out.string("cwd", &here);
                }
                (None, Some(url)) => out.string("url", url),
                (None, None) => {}
            }
            out.object("env", |out| {
                env.iter().for_each(|(name, value)| out.string(name, value))
            });
            if self.trusted {
                out.string("trust", "trusted");
            }
        });
        desk::ask(common, "server.add", |args| {
            args.string("name", &self.name);
            args.json("server", &server);
        })
    }
}

/// The answer for people.
pub(super) fn shown(answer: &Document) -> String {
    let root = answer.root();
    let text = |node: Node<'_>, name: &str| {
        node.get(name)
            .and_then(Node::as_str)
            .unwrap_or_default()
            .into_owned()
    };
    let number = |node: Node<'_>, name: &str| {
        node.get("tools")
            .and_then(|tools| tools.get(name))
            .map_or_else(String::new, |n| n.written().to_owned())
    };
    if let Some(servers) = root.get("servers") {
        let rows = servers.elements().map(|server| {
            vec![
                text(server, "name"),
                text(server, "state"),
                number(server, "approved"),
                number(server, "quarantined"),
                number(server, "proposed"),
                text(server, "launch"),
            ]
        });
        return table(
            &["SERVER", "STATE", "TOOLS", "HELD", "NEW", "STARTS"],
            rows.collect(),
        );
    }
    if let Some(profile) = root.get("profile").and_then(Node::as_str) {
        return profile.trim_end().to_owned();
    }
    if let Some(waits) = waiting(root) {
        return waits;
    }
    let mut lines = Vec::new();
    if root.get("written").is_some() {
        let (written, name) = (visible(&text(root, "written")), text(root, "name"));
        lines.push(format!(
            "`{written}` is called `{name}` here: in rules, in `{name}__TOOL` and at `/mcp/{name}`"
        ));
    }
    for name in [
        "name", "url", "state", "why", "launch", "trust", "revision", "eras", "sandbox", "limits",
    ] {
        if root.get(name).is_some() {
            lines.push(format!("{name:<9} {}", text(root, name)));
        }
    }
    lines.extend(root.get("artefact").map(pinned).unwrap_or_default());
    for version in root.get("versions").into_iter().flat_map(Node::elements) {
        let in_force = version.get("in_force").and_then(Node::as_bool) == Some(true);
        let mark = if in_force { " in force" } else { "" };
        let n = version.get("version").map_or("", Node::written);
        lines.push(format!(
            "version   {n} {} {}{mark}",
            text(version, "since"),
            text(version, "launch")
        ));
    }
    lines.extend(items(root));
    if lines.is_empty() {
        "done".to_owned()
    } else {
        lines.join("\n")
    }
}

/// What a server offers, and what changed of it.
fn items(root: Node<'_>) -> Vec<String> {
    let text = |node: Node<'_>, name: &str| {
        let text = node.get(name).and_then(Node::as_str);
        text.unwrap_or_default().into_owned()
    };
    let mut lines = Vec::new();
    for list in ["items", "changes"] {
        for item in root.get(list).into_iter().flat_map(Node::elements) {
            let what = if item.get("state").is_some() {
                text(item, "state")
            } else {
                text(item, "change")
            };
            let why = text(item, "why");
            let why = if why.is_empty() { why } else { format!(": {why}") };
            lines.push(format!(
                "{what:<12} {} {}{why}",
                text(item, "kind"),
                text(item, "name")
            ));
            for side in ["approved_definition", "offered_definition"] {
                if let Some(definition) = item.get(side).filter(|definition| !definition.is_null()) {
                    lines.push(format!("    {side}: {}", definition.written()));
                }
            }
        }
    }
    lines
}

/// What more operators have to say, for people.
pub(super) fn waiting(answer: Node<'_>) -> Option<String> {
    let what = answer.get("waits").and_then(Node::as_str)?;
    let agreed = answer.get("agreed").into_iter().flat_map(Node::elements);
    let agreed: Vec<_> = agreed
        .filter_map(Node::as_str)
        .map(|name| visible(&name))
        .collect();
    let needed = answer.get("needed").map_or("", Node::written);
    Some(format!(
        "nothing is done yet: {} of {needed} operators agreed ({}); another one says\n  sallyport {} --as USER",
        agreed.len(),
        agreed.join(", "),
        visible(&what)
    ))
}

/// What is pinned, for people.
fn pinned(artefact: Node<'_>) -> Vec<String> {
    let text = |node: Node<'_>, name: &str| {
        let found = node.get(name).and_then(Node::as_str);
        visible(&found.unwrap_or_default())
    };
    let list = |name: &str| artefact.get(name).into_iter().flat_map(Node::elements);
    let version = match text(artefact, "version") {
        none if none.is_empty() => none,
        version => format!(" {version}"),
    };
    let mut lines = vec![format!(
        "pinned    {} {}{version}",
        text(artefact, "ecosystem"),
        text(artefact, "name")
    )];
    if artefact.get("publisher").is_some() {
        lines.push(format!("made by   {}", text(artefact, "publisher")));
    }
    for file in list("files") {
        let (role, path) = (text(file, "role"), text(file, "path"));
        lines.push(format!("          {role} {path} {}", text(file, "digest")));
    }
    if let Some(copy) = artefact.get("copy") {
        let packages = artefact.get("packages").map_or("", Node::written);
        lines.push(format!(
            "          {packages} packages in {} {}",
            text(copy, "path"),
            text(copy, "digest")
        ));
    }
    for (name, head) in [("warnings", "warning"), ("not_pinned", "open")] {
        let said = list(name).filter_map(Node::as_str);
        lines.extend(said.map(|said| format!("{head:<9} {}", visible(&said))));
    }
    lines
}
