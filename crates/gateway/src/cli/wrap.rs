//! `sallyport wrap -- CMD ARGS`: one stdio server, guarded in place, without a daemon.
//!
//! The host starts this instead of the server. What the server offers is approved at the first start of
//! this very command and pinned from then on.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use pipeline::Endpoint;
use policy::registry::{ChangeKind, ServerState};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::watch,
};
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, object},
    mcp::ServerName,
};

use super::{
    Common, doctor,
    output::{remark, say},
    serve::{asked_to_stop, start_logging},
    server::shown,
    wrapped,
};
use crate::{
    ambient::Ambient,
    assemble,
    config::{
        ConfigError, meant,
        reference::Lookup,
        rules::SaidPolicy,
        said::{Approve, Said, SaidBox, SaidHosts, SaidSandbox, SaidServer, SaidUser},
    },
    conversations::contexts,
    failure::Failure,
    listen::{self, House},
    operate::admin,
    registry::supply,
    visible::visible,
};

/// How long the first list may wait for the server.
const START_GRACE: Duration = Duration::from_secs(30);

/// How long the host's first request is waited for where there is no server.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// And how long it may be, in bytes.
const FIRST_BYTES_MAX: u64 = 1 << 20;

/// Guard one stdio server in place.
#[derive(Args, Debug)]
pub(crate) struct Wrap {
    /// The name of the server; taken from the command unless given.
    #[arg(long)]
    name: Option<String>,
    /// Where ledger, keys and pins are kept; below the user's data directory unless given.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Environment variables the server gets, NAME or NAME=VALUE; values may be env:NAME or file:PATH.
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// What it may read besides what its command names.
    #[arg(long, value_name = "PATH")]
    read: Vec<String>,
    /// What it may read and write besides.
    #[arg(long, value_name = "PATH")]
    write: Vec<String>,
    /// Hosts it may reach. None unless given.
    #[arg(long, value_name = "HOST")]
    network: Vec<String>,
    /// `off`: give it every right of yours.
    #[arg(long, value_name = "off", conflicts_with_all = ["read", "write", "network"])]
    sandbox: Option<String>,
    /// Show what this command starts and offers now that was not approved, and end.
    #[arg(long)]
    diff: bool,
    /// Approve what this command starts and offers now, and end.
    #[arg(long, conflicts_with = "diff")]
    approve: bool,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Wrap {
    /// Serves the host over our own pipes until it closes them.
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        start_logging();
        let (name, said) = self.said()?;
        self.is_program()?;
        let env = |name: &str| std::env::var(name).ok();
        let base = std::env::current_dir().unwrap_or_default();
        let lookup = Lookup::new(&env, &base);
        let data = self
            .data
            .clone()
            .unwrap_or_else(|| wrapped::usual(&env, name.as_str()));
        let mut meant = meant::mean(said, &lookup, &data)
            .map_err(|problems| ConfigError::Problems { path: None, problems })?;
        let ambient = Ambient::system();
        let vault = wrapped::vacant(&data, &ambient)?;
        wrapped::mark(&data, name.as_str())?;
        meant.data = data;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Failure::other(error.to_string()))?;
        let served = runtime.block_on(async {
            let house = assemble::assemble(&meant, meant.door.listen, ambient, &vault)?;
            assemble::begin(&house, &meant)?;
            if self.diff || self.approve {
                let answer = self.review(&house, &name).await;
                house.engines.upstreams.shut_down().await;
                drop(house);
                vault.close().await;
                return answer.map(|answers| {
                    let one = |answer: &Document| match common.json {
                        true => answer.text().to_owned(),
                        false => shown(answer),
                    };
                    answers.iter().for_each(|answer| say(&one(answer)));
                });
            }
            if let Some(why) = held(&house, &name) {
                let (program, again) = (std::env::current_exe().unwrap_or_default(), self.again(&name));
                remark(format!(
                    "`{name}` is held back: {why}. See what changed:\n  {0} wrap --diff {again}\nIf that is \
                     meant:\n  {0} wrap --approve {again}\nIf it is another server, give it a name of its own with --name.",
                    quoted(&program.display().to_string()),
                ));
            }
            let (stop, stopped) = watch::channel(false);
            tokio::spawn(wrapped::follow(Arc::clone(&house), stopped.clone()));
            // One server: the host waits for it as it would without us.
            let failed = assemble::open(&house, stopped, START_GRACE).await;
            // What was stopped meanwhile is refused as stopped.
            let is_stopped = house.engines.halts.server(&name).is_some();
            let failed = failed.into_iter().next().filter(|_| !is_stopped);
            let served = match failed {
                Some((_, why)) => {
                    tokio::select! {
                        () = refuse() => {}
                        () = asked_to_stop() => {}
                    }
                    Err(Failure::unreachable(format!("`{name}` cannot be used: {why}")))
                }
                None => {
                    let pipes = listen::serve_pipes(
                        Arc::clone(&house),
                        Endpoint::Server(name),
                        tokio::io::stdin(),
                        tokio::io::stdout(),
                    );
                    tokio::select! {
                        () = pipes => {}
                        () = asked_to_stop() => {}
                    }
                    Ok(())
                }
            };
            stop.send_replace(true);
            house.engines.upstreams.shut_down().await;
            contexts::keep(&house.engines.contexts, &house.engines.deposits);
            if let Err(error) = house.engines.incidents.keep_pasts() {
                tracing::error!(%error, "the past of an agent cannot be stored");
            }
            drop(house);
            vault.close().await;
            served
        });
        // Reading standard input cannot be interrupted; nothing waits for it.
        runtime.shutdown_background();
        served
    }

    /// A command that is no program is a mistake of whoever wrote it, and known before anything is begun.
    fn is_program(&self) -> Result<(), Failure> {
        let program = self.command.first().map(String::as_str).unwrap_or_default();
        // Where the server gets another path than ours, who knows what is in it.
        let looks_elsewhere = self.env.iter().any(|pair| pair.starts_with("PATH="));
        if !program.contains('/') && looks_elsewhere || doctor::program(program).is_some() {
            return Ok(());
        }
        Err(Failure::configuration(format!(
            "`{program}` is no program that can be started; write its whole path, or one that is in PATH"
        )))
    }

    /// What configuration would say.
    fn said(&self) -> Result<(ServerName, Said), Failure> {
        let Some((program, args)) = self.command.split_first() else {
            return Err(Failure::configuration("there is no command after `--`"));
        };
        let label = self.name.clone().unwrap_or_else(|| label(&self.command));
        let name =
            ServerName::from_label(&label).map_err(|error| Failure::configuration(error.to_string()))?;
        let mut env = BTreeMap::new();
        for pair in &self.env {
            let (name, value) = pair.split_once('=').map_or_else(
                || (pair.clone(), format!("env:{pair}")),
                |(name, value)| (name.to_owned(), value.to_owned()),
            );
            env.insert(name, value);
        }
        let mut server = SaidServer::default();
        server.command = Some(program.clone());
        server.args = args.to_vec();
        server.env = env;
        server.sandbox = self.sandbox();
        let owner = SaidUser {
            name: wrapped::OWNER.to_owned(),
            roles: vec!["owner".to_owned()],
            ..SaidUser::default()
        };
        let said = Said {
            servers: BTreeMap::from([(name.to_string(), server)]),
            approve: Some(Approve::All),
            anonymous: Some(owner.name.clone()),
            users: vec![owner],
            policy: Some(SaidPolicy {
                packs: Some(vec!["developer-workstation".to_owned()]),
                ..SaidPolicy::default()
            }),
            ..Said::default()
        };
        Ok((name, said))
    }
}

impl Wrap {
    /// What is said of its box; nothing where nothing was, so that it is pinned as before.
    fn sandbox(&self) -> Option<SaidSandbox> {
        if let Some(word) = &self.sandbox {
            return Some(SaidSandbox::Word(word.clone()));
        }
        if self.read.is_empty() && self.write.is_empty() && self.network.is_empty() {
            return None;
        }
        Some(SaidSandbox::Granted(Box::new(SaidBox {
            read: self.read.clone(),
            write: self.write.clone(),
            network: (!self.network.is_empty()).then(|| SaidHosts::Listed(self.network.clone())),
            ..SaidBox::default()
        })))
    }
}

/// Tells the host that there is no server: its first request is answered with an error. Whoever asks nothing is not
/// waited for.
async fn refuse() {
    let answering = async {
        let asked = BufReader::new(tokio::io::stdin().take(FIRST_BYTES_MAX));
        let mut lines = asked.lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(message) = Document::parse(line.into_bytes(), Keys::Exact, &ANSWER) else {
                continue;
            };
            let Some(id) = message.root().get("id") else {
                continue;
            };
            let mut answer = object(|out| {
                out.string("jsonrpc", "2.0");
                out.json("id", id.written().as_bytes());
                out.object("error", |error| {
                    error.integer("code", -32603);
                    error.string(
                        "message",
                        "the server cannot be used: it ended, or does not speak MCP",
                    );
                });
            });
            answer.push(b'\n');
            let mut out = tokio::io::stdout();
            let _ = out.write_all(&answer).await;
            let _ = out.flush().await;
            return;
        }
    };
    let _ = tokio::time::timeout(FIRST_WAIT, answering).await;
}

impl Wrap {
    /// What changed of what was approved; with `--approve` what is left after it was approved.
    async fn review(&self, house: &Arc<House>, name: &ServerName) -> Result<Vec<Document>, Failure> {
        let about = |more: &[(&str, &str)]| {
            let text = object(|out| {
                out.string("name", name.as_str());
                more.iter().for_each(|(key, value)| out.string(key, value));
            });
            Document::parse(text, Keys::Exact, &ANSWER).map_err(|error| Failure::other(error.to_string()))
        };
        let ask = async |operation: &str, args: &Document| {
            let answer = admin::run(house, operation, args.root()).await?;
            Document::parse(answer, Keys::Exact, &ANSWER).map_err(|error| Failure::other(error.to_string()))
        };
        if self.approve {
            ask("server.approve", &about(&[("pin", "as-found")])?).await?;
            // What another command offers is not what was approved under this name, tool by tool. Nobody has looked at it.
            let approved = house.engines.keeper.approve_offered(name.as_str());
            let changes = approved.map_err(|error| Failure::other(error.to_string()))?;
            for held in changes
                .iter()
                .filter(|change| change.kind == ChangeKind::Quarantined)
            {
                let what = held.item.as_ref().map_or("", |(_, item)| item.as_str());
                remark(format!(
                    "`{}` stays held back: inspection objects to it",
                    visible(what)
                ));
            }
            return Ok(vec![ask("server.show", &about(&[])?).await?]);
        }
        let (shown, changed) = (
            ask("server.show", &about(&[])?).await?,
            ask("server.diff", &about(&[])?).await?,
        );
        Ok(vec![shown, changed])
    }

    /// The options and the command that mean the same server, for a shell.
    fn again(&self, name: &ServerName) -> String {
        let mut words = vec!["--name".to_owned(), name.to_string()];
        let mut option = |flag: &str, value: &str| words.extend([flag.to_owned(), quoted(value)]);
        if let Some(data) = &self.data {
            option("--data", &data.display().to_string());
        }
        for pair in &self.env {
            // A value may be a secret, and its name is pinned. One that changes what is loaded is pinned, too, and no secret.
            match pair.split_once('=') {
                Some((name, _)) if !supply::steers(name) => option("--env", name),
                Some(_) | None => option("--env", pair),
            }
        }
        self.read.iter().for_each(|path| option("--read", path));
        self.write.iter().for_each(|path| option("--write", path));
        self.network.iter().for_each(|host| option("--network", host));
        if let Some(word) = &self.sandbox {
            option("--sandbox", word);
        }
        words.push("--".to_owned());
        words.extend(self.command.iter().map(|word| quoted(word)));
        words.join(" ")
    }
}

/// Why nothing of the server is served; none if it is.
fn held(house: &House, name: &ServerName) -> Option<String> {
    let server = house.engines.keeper.server(name.as_str()).ok()?;
    match server.state {
        ServerState::Quarantined { why } => Some(visible(&why)),
        ServerState::Approved | ServerState::Proposed | ServerState::Retired => None,
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A name for a command: the package, where it looks like one, or else the program.
fn label(command: &[String]) -> String {
    let file = |text: &str| {
        text.rsplit('/')
            .find(|part| !part.is_empty())
            .unwrap_or(text)
            .to_owned()
    };
    let runner = command.first().map(|program| file(program)).unwrap_or_default();
    let runners = [
        "npx", "uvx", "uv", "node", "python", "python3", "bunx", "deno", "docker", "pipx",
    ];
    let package = command
        .iter()
        .skip(1)
        .find(|arg| !arg.starts_with('-') && !matches!(arg.as_str(), "run" | "exec" | "tool"));
    match package {
        Some(package) if runners.contains(&runner.as_str()) => file(package),
        Some(_) | None => runner,
    }
}
