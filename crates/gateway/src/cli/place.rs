//! Where the gateway of a configuration keeps its state: all that commands need which ask it something, or look at what
//! it left. Secrets of agents, people and servers are in the gateway's environment, and need not be in the operator's.
//!
//! The kill switch has to work while somebody edits the file: what cannot be read as a whole is read in parts, and what
//! was taken is said.

use std::path::{Path, PathBuf};

use records::digest::hex;

use super::{Common, complain, serve::config_path};
use crate::{
    ambient::Ambient,
    config::{
        ConfigError, Meant, Problem,
        find::{self, Parts},
        meant,
        reference::Lookup,
        root,
        said::{Said, SaidRegistry, SaidUser, ToolsSaid},
        state, witness,
    },
    failure::Failure,
    storage::vault::Layout,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Place {
    /// The file; none where nothing is configured.
    path: Option<PathBuf>,
    /// What paths in it are relative to.
    base: PathBuf,
    /// What it says, all of it unless there is a reason why not.
    parts: Parts,
    why: Option<String>,
    /// The data directory.
    data: PathBuf,
    /// It was named on the command line, and need not be this configuration's.
    named: bool,
}

impl Place {
    /// Where the configuration says. A file that cannot be read as a whole will do as far as it says that.
    pub(super) fn of(common: &Common) -> Result<Self, Failure> {
        let (path, parts, why) = read(common)?;
        match (why, &parts.said.data) {
            (Some(why), None) => Err(Failure::configuration(why)),
            (why, _) => Ok(Self::at(path, parts, why, None)),
        }
    }

    /// The same for the kill switch, which goes on wherever it can.
    pub(super) fn to_stop(common: &Common, named: Option<&Path>) -> Result<Self, Failure> {
        let (path, parts, why) = match (read(common), named) {
            (Ok(read), _) => read,
            (Err(why), Some(_)) => (config_path(common), Parts::nothing(), Some(why.to_string())),
            (Err(why), None) => return Err(why),
        };
        let place = Self::at(path, parts, why, named);
        if named.is_none() || place.is_configured() {
            return Ok(place);
        }
        // What a file says of another gateway's state is not of this one.
        let parts = Parts::nothing();
        Ok(Self { parts, ..place })
    }

    /// Whether the data directory is the one that the file says, or would have by saying nothing.
    fn is_configured(&self) -> bool {
        let env = |name: &str| std::env::var(name).ok();
        let said = self.parts.said.data.as_ref();
        let said = said.map(|data| Lookup::new(&env, &self.base).path(&data.display().to_string()));
        let said = said.unwrap_or_else(|| find::default_data(&env));
        std::path::absolute(&said).unwrap_or(said) == self.data
    }

    /// Says on standard error what was taken of a file that cannot be read as a whole.
    fn at(path: Option<PathBuf>, parts: Parts, why: Option<String>, named: Option<&Path>) -> Self {
        let env = |name: &str| std::env::var(name).ok();
        let base = path.as_deref().and_then(Path::parent);
        let base = base.unwrap_or_else(|| Path::new(".")).to_path_buf();
        let base = std::path::absolute(&base).unwrap_or(base);
        let said = parts.said.data.as_ref();
        let said = said.map(|data| Lookup::new(&env, &base).path(&data.display().to_string()));
        let usual = said.is_none() && named.is_none();
        let data = named.map(|named| std::path::absolute(named).unwrap_or_else(|_| named.to_path_buf()));
        let data = data.or(said).unwrap_or_else(|| find::default_data(&env));
        let place = Self {
            path,
            base,
            parts,
            why,
            data,
            named: named.is_some(),
        };
        if let Some(why) = &place.why {
            let shown = place.data.display();
            let taken = match usual {
                true => format!(
                    "nothing in it says where the gateway keeps its state, so the usual place is taken, {shown}; \
                     `--data DIR` names another"
                ),
                false => format!("the data directory is {shown}"),
            };
            complain(&Failure::other(format!("{why}\n  {taken}")));
        }
        place
    }

    /// The data directory.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Whether any tool of the configuration says where its arguments name a person.
    pub(super) fn names_persons(&self) -> bool {
        let mut servers = self.parts.said.servers.values();
        servers.any(|server| match &server.tools {
            ToolsSaid::Patterns(tools) => tools.values().any(|tool| tool.subject.is_some()),
            ToolsSaid::Names(_) => false,
        })
    }

    /// The socket of the gateway that runs there.
    pub(super) fn control(&self) -> PathBuf {
        self.files().control()
    }

    /// The files there, and what opens them.
    pub(super) fn layout(&self) -> Result<Layout, Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let lookup = Lookup::new(&env, &self.base);
        self.state_is_known()?;
        let state = state::mean(self.parts.said.state.as_deref(), &lookup);
        let state = state.map_err(|problem| self.problems(vec![problem]))?;
        Ok(Layout::at(&self.data, state, self.root()?))
    }

    /// Where the root key is. Where that cannot be read it is where it usually is, or opens nothing.
    pub(super) fn root(&self) -> Result<root::MeantRoot, Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let root = root::mean(&self.parts.said.root_key, &Lookup::new(&env, &self.base));
        root.map_err(|problem| self.problems(vec![problem]))
    }

    /// The files there, for those who open none that is sealed.
    pub(super) fn files(&self) -> Layout {
        Layout::new(&self.data)
    }

    /// Who witnesses the ledger.
    pub(super) fn witness(&self) -> Result<witness::MeantWitness, Failure> {
        if self.parts.has_lost("witness") {
            return Err(self.unread("who witnesses the ledger stands there"));
        }
        witness::mean(&self.parts.said.witness).map_err(|problem| self.problems(vec![problem]))
    }

    /// All that is configured but secrets: for commands that decide, show and count, and reach no server. Servers that
    /// cannot be meant without theirs are left out, and named.
    pub(super) fn without_secrets(&self) -> Result<Meant, Failure> {
        if let Some(why) = &self.why {
            return Err(Failure::configuration(why.clone()));
        }
        let env = |name: &str| std::env::var(name).ok();
        // Nobody may guess what stands for secrets, though nothing listens to anybody.
        let withheld = hex(&Ambient::system().bytes::<32>());
        let mut said = self.parts.said.clone();
        said.users = said.users.into_iter().map(nameable).collect();
        loop {
            let lookup = Lookup::new(&env, &self.base).withholding(&withheld);
            let problems = match meant::mean(said.clone(), &lookup, &self.data) {
                Ok(meant) => return Ok(meant),
                Err(problems) => problems,
            };
            let before = said.servers.len();
            said.servers
                .retain(|name, _| !problems.iter().any(|problem| is_about(problem, name)));
            if said.servers.len() == before {
                return Err(self.problems(problems));
            }
            let left_out = problems.iter().map(|problem| format!("\n  {problem}"));
            let left_out = left_out.collect::<String>();
            complain(&Failure::other(format!(
                "left out for want of a secret:{left_out}"
            )));
            let there: Vec<String> = said.servers.keys().cloned().collect();
            for members in said.groups.values_mut() {
                members.retain(|name| there.contains(name));
            }
            said.groups.retain(|_, members| !members.is_empty());
        }
    }

    /// Nothing but what the kill switch needs in a data directory where no gateway runs.
    pub(super) fn to_halt(&self) -> Result<Meant, Failure> {
        self.state_is_known()?;
        let env = |name: &str| std::env::var(name).ok();
        let said = self.parts.said.clone();
        let said = Said {
            data: Some(self.data.clone()),
            state: said.state,
            root_key: said.root_key,
            records: said.records,
            registry: SaidRegistry {
                approve: said.registry.approve,
                operators: said.registry.operators,
                ..SaidRegistry::default()
            },
            users: said.users.into_iter().map(nameable).collect(),
            ..Said::default()
        };
        let meant = meant::mean(said, &Lookup::new(&env, &self.base), &self.data);
        meant.map_err(|problems| self.problems(problems))
    }

    /// Whether somebody named the data directory, who then knows better than the configuration.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// Lifting a stop may want several operators. Where no fit file of this very directory says so, nobody lifts anything
    /// past a gateway.
    pub(super) fn knows_operators(&self) -> Result<(), Failure> {
        if self.named || self.why.is_some() {
            return Err(self.unread("who has to agree that something goes on stands there"));
        }
        Ok(())
    }

    /// Tables elsewhere may be named in what could not be read. Those of this directory are in a file.
    fn state_is_known(&self) -> Result<(), Failure> {
        if (self.named || self.why.is_some()) && !self.files().has_tables() {
            return Err(self.unread(&format!(
                "no gateway runs at {} and none has left its tables there",
                self.data.display()
            )));
        }
        Ok(())
    }

    fn unread(&self, what: &str) -> Failure {
        let unfit = "the data directory was named, and no configuration vouches for it";
        let why = self.why.as_deref().unwrap_or(unfit);
        Failure::configuration(format!(
            "{why}\n  {what}; say it with the gateway's own configuration, mended, or do it while the gateway runs"
        ))
    }

    fn problems(&self, problems: Vec<Problem>) -> Failure {
        let path = self.path.clone();
        ConfigError::Problems { path, problems }.into()
    }
}

/// What is configured but secrets.
pub(super) fn without_secrets(common: &Common) -> Result<Meant, Failure> {
    Place::of(common)?.without_secrets()
}

/// A person by name, who proves nothing.
fn nameable(user: SaidUser) -> SaidUser {
    SaidUser {
        secret: None,
        password: None,
        totp: None,
        ..user
    }
}

fn is_about(problem: &Problem, server: &str) -> bool {
    let rest = problem
        .at
        .strip_prefix("mcpServers.")
        .and_then(|rest| rest.strip_prefix(server));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The file, what could be read of it, and why not the whole.
fn read(common: &Common) -> Result<(Option<PathBuf>, Parts, Option<String>), Failure> {
    let Some(path) = config_path(common) else {
        return Ok((None, Parts::whole(Said::default()), None));
    };
    match find::read(&path) {
        Ok(said) => Ok((Some(path), Parts::whole(said), None)),
        Err(why) => {
            let parts = find::read_parts(&path)?;
            Ok((Some(path), parts, Some(why.to_string())))
        }
    }
}
