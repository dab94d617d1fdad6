//! `sallyport stop`: the kill switch.

use std::path::{Path, PathBuf};

use clap::Args;
use wire::json::{Document, Keys, Node, object};

use super::{
    Common, complain, desk,
    output::remark,
    place::Place,
    say,
    wrapped::{self, Change},
};
use crate::{failure::Failure, operate::halts::Target, visible::visible};

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
    /// Only what `sallyport wrap --data DIR` guards. Otherwise `--all`, `--server`, `--context` and `--user owner` mean
    /// servers that are wrapped where their state usually is, too; no agents and no other users are known there.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["agent", "user", "server", "context"])]
    wrapped: Option<PathBuf>,
    /// The gateway's data directory. Otherwise the configuration says where it is.
    #[arg(long, value_name = "DIR", conflicts_with = "wrapped")]
    data: Option<PathBuf>,
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
            return self.say_all(common);
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
        let (what, name) = named.map_or(("all", None), |(what, name)| (what, Some(name.clone())));
        let target = Target::parse(what, name).unwrap_or(Target::All);
        let wrapped = wrapped::meant(self.wrapped.as_deref(), &target)?;
        if self.wrapped.is_some() {
            return self.change_each(common, &wrapped, &target);
        }
        let only_wrapped = matches!(target, Target::Server(_) | Target::User(_)) && !wrapped.is_empty();
        let ask = || match self.ask(common, named) {
            // The gateway need not know who or what is only wrapped. That it did nothing is said all the same.
            Err(failure) if only_wrapped && failure.is_configuration() => {
                complain(&failure);
                Ok(true)
            }
            asked => asked,
        };
        if self.lift {
            // What several operators have to agree to goes on nowhere before they have.
            return if ask()? {
                self.change_each(common, &wrapped, &target)
            } else {
                Ok(())
            };
        }
        self.say_unreached(common, &target);
        // What is stopped is stopped first where nobody has to be asked.
        match (self.change_each(common, &wrapped, &target), ask()) {
            (Err(one), Err(other)) => {
                complain(&one);
                Err(other)
            }
            (changed, asked) => changed.and(asked.map(drop)),
        }
    }

    /// Says which servers go on: what was started by hosts for somebody is nothing that a name known here would stop.
    fn say_unreached(&self, common: &Common, target: &Target) {
        for place in wrapped::unreached(target) {
            let shown = visible(&place.display().to_string());
            let why = format!(
                "what is wrapped in {shown} goes on: there is no {target} there, only the user `{}`; \
                 `sallyport stop --all --wrapped {shown}` stops it",
                wrapped::OWNER
            );
            if common.json {
                let text = object(|out| {
                    out.string("wrapped", &shown);
                    out.boolean("stopped", false);
                    out.string("why", &why);
                });
                say(&String::from_utf8_lossy(&text));
            } else {
                complain(&Failure::other(why));
            }
        }
    }

    /// Does it at each place, whatever comes of it at the others.
    fn change_each(&self, common: &Common, places: &[PathBuf], target: &Target) -> Result<(), Failure> {
        let mut done = true;
        for place in places {
            if let Err(failure) = self.change_wrapped(common, place, target) {
                let shown = visible(&place.display().to_string());
                complain(&Failure::other(format!("{shown}: {failure}")));
                done = false;
            }
        }
        if done {
            Ok(())
        } else {
            Err(Failure::other("not all that is wrapped could be reached"))
        }
    }

    /// Says whether it is done; it is not where others have to agree first.
    fn ask(&self, common: &Common, named: Option<(&str, &String)>) -> Result<bool, Failure> {
        let operation = if self.lift { "halt.lift" } else { "halt.put" };
        // To stop the wrong gateway is a pity; to let it go on is a danger.
        let place = match (self.lift, &self.data) {
            (true, None) => Place::of(common)?,
            (_, data) => Place::to_stop(common, data.as_deref())?,
        };
        let answer = desk::ask_at(&place, common, operation, |args| {
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
        let waits = super::server::waiting(root);
        let is_done = waits.is_none();
        if common.json {
            say(answer.text());
        } else if let Some(waits) = waits {
            say(&waits);
        } else if self.lift {
            say(&format!("`{}` may go on", text(root, "lifted")));
        } else {
            say(&format!("`{}` is stopped", text(root, "stopped")));
            if root.get("known").and_then(Node::as_bool) == Some(false) {
                remark(
                    "nothing was read in that context so far; `sallyport context list` has those that are known",
                );
            }
        }
        Ok(is_done)
    }

    fn change_wrapped(&self, common: &Common, place: &Path, target: &Target) -> Result<(), Failure> {
        let (why, by) = (self.why.as_deref(), self.as_user.as_deref());
        let change = if self.lift {
            Change::Lift {
                target: self.wrapped.is_none().then_some(target),
                why,
                by,
            }
        } else {
            let why = why.unwrap_or("a person said so");
            Change::Stop { target, why, by }
        };
        let changed = super::block_on(wrapped::change(place, change))?;
        let shown = visible(&place.display().to_string());
        if common.json {
            let done = if self.lift { "lifted" } else { "stopped" };
            let text = object(|out| {
                out.string("wrapped", &shown);
                out.boolean(done, changed);
            });
            say(&String::from_utf8_lossy(&text));
            return Ok(());
        }
        // A user and a context are there besides others.
        let what = match target {
            Target::Context(_) | Target::User(_) => format!("`{target}` in what is wrapped in {shown}"),
            Target::Agent(_) | Target::All | Target::Server(_) => format!("what is wrapped in {shown}"),
        };
        if self.lift && changed {
            say(&format!("{what} may go on"));
        } else if !self.lift {
            say(&format!("{what} is stopped"));
        }
        Ok(())
    }

    /// What is stopped: wherever servers are wrapped, then at the gateway.
    fn say_all(&self, common: &Common) -> Result<(), Failure> {
        let mut rows = Vec::new();
        for place in wrapped::meant(self.wrapped.as_deref(), &Target::All)? {
            match super::block_on(wrapped::listed(&place)) {
                Ok(listed) => rows.extend(listed),
                // What is stopped elsewhere is said all the same.
                Err(failure) => complain(&failure),
            }
        }
        if self.wrapped.is_none() {
            let place = Place::to_stop(common, self.data.as_deref())?;
            let answer = desk::ask_at(&place, common, "halt.list", |_| {})?;
            let stopped = answer.root().get("stopped").into_iter().flat_map(Node::elements);
            for one in stopped {
                rows.push(copy(one)?);
            }
        }
        if common.json {
            rows.iter().for_each(|row| say(row.text()));
        } else if rows.is_empty() {
            say("nothing is stopped");
        } else {
            let head = ["STOPPED", "WRAPPED", "SINCE", "BY", "WHY"];
            let cells = |row: &Document| {
                ["stopped", "wrapped", "since", "by", "why"]
                    .map(|name| text(row.root(), name))
                    .to_vec()
            };
            say(&super::table(&head, rows.iter().map(cells).collect()));
        }
        Ok(())
    }
}

/// The same as a text of its own.
fn copy(node: Node<'_>) -> Result<Document, Failure> {
    let parsed = Document::parse(
        node.written().as_bytes().to_vec(),
        Keys::Exact,
        &wire::bounds::ANSWER,
    );
    parsed.map_err(|error| Failure::other(error.to_string()))
}

fn text(node: Node<'_>, name: &str) -> String {
    visible(&node.get(name).and_then(Node::as_str).unwrap_or_default())
}
