//! `sallyport import`: the servers of MCP clients are taken over, and the clients get Sallyport in their
//! place. `--undo` is the way back.
//!
//! Everything is read and checked before the first byte is written. What is written last is the clients'
//! files: until then they work as before.

mod report;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::Args;
use report::Report;

use super::{
    Common,
    onboard::{self, Newcomers, Onboarded},
    say,
};
use crate::{
    ambient::Ambient,
    clients::{self, Addition, ClientFile, Home, Known, PLAIN, Plan, Planned, Record, System},
    config::{ConfigError, find, meant, reference::Lookup, said::Said},
    failure::Failure,
};

/// Take over the servers of MCP clients.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// Files to take servers from; every known client's unless given.
    files: Vec<PathBuf>,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Put Sallyport into the named files even where they are no known client's.
    #[arg(long)]
    rewrite: bool,
    /// Leave new servers proposed: nothing is started before `sallyport server approve`.
    #[arg(long)]
    no_approve: bool,
    /// Undo the last import: every changed file is again what it was.
    #[arg(long, conflicts_with_all = ["files", "dry_run", "rewrite", "no_approve"])]
    undo: bool,
    /// With --undo: also where a client's file was changed since.
    #[arg(long, requires = "undo")]
    force: bool,
    #[arg(skip)]
    init: bool,
}

/// The configuration that is extended.
struct Target {
    path: PathBuf,
    /// Its folder, which relative paths in it are relative to.
    base: PathBuf,
    text: Option<String>,
    said: Said,
    data: PathBuf,
    /// A new file that says where its data is, because it is not the user's own.
    says_data: bool,
}

/// What is written.
struct Changes<'c> {
    config: Option<String>,
    agents: &'c [&'static str],
    rewrites: Vec<Rewrite>,
}

/// A client's file and what it will be.
struct Rewrite {
    file: ClientFile,
    new: String,
}

impl Import {
    pub(super) fn of_init(dry_run: bool, yes: bool, no_approve: bool) -> Self {
        let (files, rewrite, undo, force) = (Vec::new(), false, false, false);
        Self {
            files,
            dry_run,
            yes,
            rewrite,
            no_approve,
            undo,
            force,
            init: true,
        }
    }

    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let target = Target::find(common, &env, self.undo)?;
        if self.undo {
            return self.undo(common, &target);
        }
        let home = home(&env)?;
        let mut files = self.read(&home)?;
        let lookup = Lookup::new(&env, &target.base);
        let known: Vec<_> = target
            .said
            .servers
            .iter()
            .filter_map(|(label, server)| Known::of(label, server, &lookup))
            .collect();
        let plan = clients::plan(&mut files, &known, &target.data, &lookup);
        let agents = self.agents(&files, &target.said);
        let config = target.extended(&plan, &agents, self.init)?;
        let rewrites = self.rewrites(&files, &target.path)?;
        let mut report = Report::new(
            &target.path,
            target.text.is_none(),
            &files,
            &plan,
            &agents,
            &rewrites,
        );
        report.changes_config = config.is_some();
        report.dry_run = self.dry_run;
        if !common.json {
            say(&report.planned());
        }
        if !self.dry_run && report.changes_anything() {
            self.confirm(common, &rewrites)?;
            let changes = Changes {
                config,
                agents: &agents,
                rewrites,
            };
            self.carry_out(&target, &plan, changes, &lookup, &mut report)?;
        }
        say(&if common.json { report.json() } else { report.done() });
        Ok(())
    }

    fn read(&self, home: &Home<'_>) -> Result<Vec<ClientFile>, Failure> {
        let places = if self.files.is_empty() {
            home.places()
        } else {
            let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
            self.files
                .iter()
                .map(|path| home.recognise(&absolute(path)))
                .collect()
        };
        let mut files = Vec::new();
        for (client, place) in &places {
            match clients::read(client, place, home)? {
                Some(file) => files.push(file),
                None if self.files.is_empty() => {}
                None => {
                    let path = place.path.display();
                    return Err(Failure::configuration(format!(
                        "there is no file {path}; correct the path"
                    )));
                }
            }
        }
        if files.is_empty() && !self.init {
            let looked: Vec<_> = places
                .iter()
                .map(|(_, place)| format!("\n  {}", place.path.display()))
                .collect();
            return Err(Failure::configuration(format!(
                "no client's configuration was found; name a file: `sallyport import FILE`. Looked for:{}",
                looked.concat()
            )));
        }
        Ok(files)
    }

    /// The agents clients will be, as far as they are new.
    fn agents(&self, files: &[ClientFile], said: &Said) -> Vec<&'static str> {
        let mut agents: Vec<&'static str> = Vec::new();
        for file in files.iter().filter(|file| file.has_servers()) {
            if !agents.contains(&file.client.id) {
                agents.push(file.client.id);
            }
        }
        if self.init && agents.is_empty() && said.agents.is_empty() {
            agents.push(PLAIN.id);
        }
        agents.retain(|name| said.agents.iter().all(|agent| agent.name != *name));
        agents
    }

    fn rewrites(&self, files: &[ClientFile], config: &Path) -> Result<Vec<Rewrite>, Failure> {
        let program = std::env::current_exe().and_then(std::fs::canonicalize);
        let program = program
            .map_err(|error| Failure::other(format!("where this program is cannot be found out: {error}")))?;
        let mut rewrites = Vec::new();
        for file in files
            .iter()
            .filter(|file| file.has_servers() && (file.is_known() || self.rewrite))
        {
            let config = config.display().to_string();
            let args = [
                "connect",
                "--serve",
                "--config",
                &config,
                "--agent",
                file.client.id,
            ]
            .map(str::to_owned);
            rewrites.push(Rewrite {
                new: file.rewritten(&program, &args)?,
                file: file.clone(),
            });
        }
        Ok(rewrites)
    }

    /// Asks before clients are changed. Where nobody can be asked, that must have been said before.
    fn confirm(&self, common: &Common, rewrites: &[Rewrite]) -> Result<(), Failure> {
        let terminal = std::io::stdin().is_terminal() && !common.json;
        if self.yes || (!terminal && rewrites.is_empty()) {
            return Ok(());
        }
        if !terminal {
            let why = "files of clients would be changed and nobody can be asked; run it again with --yes";
            return Err(Failure::configuration(format!(
                "{why}, or with --dry-run to see what would change"
            )));
        }
        say("Go on? The new servers are started once to see their tools. [y/N]");
        let mut answer = String::new();
        let _ = std::io::stdin().read_line(&mut answer);
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Failure::does_not_hold("nothing was changed"))
    }

    /// Writes: secrets, then the configuration, then the approvals, then the clients' files. What fails half
    /// way is taken back.
    fn carry_out(
        &self,
        target: &Target,
        plan: &Plan,
        changes: Changes<'_>,
        lookup: &Lookup<'_>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        plan.keeping.write()?;
        let secrets = plan.keeping.files.iter().map(|(path, _)| path.clone()).collect();
        let mut record = Record::begin(&target.data, Ambient::system().now_ms(), secrets);
        let written = self.write(target, plan, changes, lookup, report, &mut record);
        if written.is_err() {
            plan.keeping.remove();
            if !record.saved.is_empty() {
                clients::undo(&record, false)?;
            }
        }
        report.carried_out = written.is_ok();
        written
    }

    fn write(
        &self,
        target: &Target,
        plan: &Plan,
        changes: Changes<'_>,
        lookup: &Lookup<'_>,
        report: &mut Report,
        record: &mut Record,
    ) -> Result<(), Failure> {
        if let Some(config) = &changes.config {
            target.check(config, lookup)?;
            let (path, old) = (target.path.as_path(), target.text.as_deref());
            record.change(&clients::Change {
                client: None,
                path,
                old,
                new: config,
            })?;
        }
        if !self.no_approve {
            let agents = changes.agents.iter().map(|name| (*name).to_owned()).collect();
            report.onboarded = onboard(&target.path, &plan.servers, agents)?;
        }
        for Rewrite { file, new } in &changes.rewrites {
            let (path, old) = (file.path.as_path(), Some(file.text.as_str()));
            let copy = record.change(&clients::Change {
                client: Some(file.client.title),
                path,
                old,
                new,
            })?;
            report.copies.push((file.path.clone(), copy));
        }
        Ok(())
    }

    fn undo(&self, common: &Common, target: &Target) -> Result<(), Failure> {
        let Some(record) = clients::last(&target.data)? else {
            let data = target.data.display();
            return Err(Failure::configuration(format!(
                "there is no import to undo in {data}; name the configuration it wrote with --config"
            )));
        };
        let done = clients::undo(&record, self.force)?;
        say(&report::undone(&done, common.json));
        Ok(())
    }
}

/// Approves what is new and to be used.
fn onboard(config: &Path, servers: &[Planned], agents: Vec<String>) -> Result<Vec<Onboarded>, Failure> {
    let new = servers
        .iter()
        .filter(|server| !server.disabled)
        .filter_map(|server| {
            let fields = server.fields.as_ref()?;
            Some((server.name.to_string(), fields.iter().cloned().collect()))
        });
    let newcomers = Newcomers {
        servers: new.collect(),
        agents,
    };
    if newcomers.servers.is_empty() && newcomers.agents.is_empty() {
        return Ok(Vec::new());
    }
    let common = Common {
        config: Some(config.to_path_buf()),
        json: false,
    };
    onboard::onboard(&common, &newcomers)
}

fn home<'e>(env: &'e dyn Fn(&str) -> Option<String>) -> Result<Home<'e>, Failure> {
    let directory = env("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let directory = directory
        .ok_or_else(|| Failure::configuration("HOME is not set; export it, so that clients can be found"))?;
    let system = if cfg!(target_os = "macos") {
        System::MacOs
    } else {
        System::Linux
    };
    Ok(Home {
        directory,
        here: std::env::current_dir().unwrap_or_default(),
        system,
        env,
    })
}

impl Target {
    /// The named file, or the one in use, or a new one for the user. For undoing, one that cannot be read
    /// any more is no obstacle.
    fn find(common: &Common, env: &dyn Fn(&str) -> Option<String>, lenient: bool) -> Result<Self, Failure> {
        let own = env("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env("HOME")?).join(".config")));
        let own = own.unwrap_or_default().join("sallyport").join(find::FILE);
        let path = common
            .config
            .clone()
            .or_else(|| find::find(env))
            .unwrap_or_else(|| own.clone());
        let path = std::path::absolute(&path).unwrap_or(path);
        // Links are followed, so that the file is written where it lies.
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let text = path.exists().then(|| std::fs::read_to_string(&path));
        let text = text
            .transpose()
            .map_err(|error| Failure::configuration(format!("{}: {error}", path.display())));
        let text = if lenient { text.unwrap_or_default() } else { text? };
        let said = match &text {
            None => Said::default(),
            Some(text) => match find::parse(text) {
                Ok(said) => said,
                Err(_) if lenient => Said::default(),
                Err(why) => return Err(ConfigError::Unreadable { path, why }.into()),
            },
        };
        let lookup = Lookup::new(env, &base);
        // A file of its own has data of its own: one gateway at a time has a data directory.
        let apart = said.data.is_none() && text.is_none() && path != own;
        let default = find::default_data(env);
        let data = match &said.data {
            Some(data) => lookup.path(&data.display().to_string()),
            None if apart => default.join("configs").join(short_digest(&path)),
            None => default,
        };
        let data = std::path::absolute(&data).unwrap_or(data);
        Ok(Self {
            path,
            base,
            text,
            said,
            data,
            says_data: apart,
        })
    }

    /// The configuration with what is planned; none where that changes nothing.
    fn extended(&self, plan: &Plan, agents: &[&str], init: bool) -> Result<Option<String>, Failure> {
        let new = plan.servers.iter().filter_map(|server| {
            let titles: Vec<_> = server.clients.iter().map(|client| client.title).collect();
            Some((server.name.as_str(), titles.join(", "), server.fields.as_deref()?))
        });
        let servers: Vec<_> = new.collect();
        let begins = init && self.text.is_none();
        if servers.is_empty() && agents.is_empty() && !begins {
            return Ok(None);
        }
        let added = (servers.len(), agents.len());
        let addition = Addition {
            servers,
            agents: agents.to_vec(),
            policy: self.said.policy.is_none(),
            data: self.says_data.then(|| self.data.display().to_string()),
        };
        let by_hand = || {
            Failure::configuration(format!(
                "{} is written in a way that cannot be added to; write `mcpServers:` and `agents:` with \
                 their entries on lines below them, or name another file with --config. Nothing was changed",
                self.path.display()
            ))
        };
        let text = clients::extend(self.text.as_deref(), &addition).ok_or_else(by_hand)?;
        // What was there is there, what is new is there, and nothing else is.
        let said = find::parse(&text).map_err(|_| by_hand())?;
        let whole = said.servers.len() == self.said.servers.len() + added.0
            && said.agents.len() == self.said.agents.len() + added.1
            && self
                .said
                .servers
                .keys()
                .all(|name| said.servers.contains_key(name));
        if whole { Ok(Some(text)) } else { Err(by_hand()) }
    }

    /// Checks a configuration as the gateway will.
    fn check(&self, text: &str, lookup: &Lookup<'_>) -> Result<(), Failure> {
        let path = self.path.clone();
        let said = find::parse(text).map_err(|why| ConfigError::Unreadable {
            path: path.clone(),
            why,
        })?;
        let meant = meant::mean(said, lookup, &self.data);
        meant.map_err(|problems| ConfigError::Problems {
            path: Some(path),
            problems,
        })?;
        Ok(())
    }
}

/// A name for a path.
fn short_digest(path: &Path) -> String {
    let text = path.display().to_string();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    records::digest::hex(digest.as_ref()).chars().take(12).collect()
}
