//! `sallyport wrap -- CMD ARGS`: one stdio server, guarded in place, without a daemon.
//!
//! The host starts this instead of the server. What the server offers is approved at the first start of
//! this very command and pinned from then on.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use pipeline::Endpoint;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::watch,
};
use wire::{
    json::{Document, Keys, object},
    mcp::ServerName,
};

use super::{
    Common, doctor,
    serve::{asked_to_stop, start_logging},
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
    listen,
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
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Wrap {
    /// Serves the host over our own pipes until it closes them.
    pub(crate) fn run(self, _common: &Common) -> Result<(), Failure> {
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
            let Ok(message) = Document::parse(line.into_bytes(), Keys::Exact, &wire::bounds::ANSWER) else {
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
