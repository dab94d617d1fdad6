//! The profile of a server: what its command line needs, what the operator grants, and nothing else.
//!
//! What the command line names was approved with it: the program with the directory it is installed in, its
//! interpreter and its package for reading and executing; files and directories among its arguments and variables for
//! reading and writing; the working directory for reading. Nothing of this reaches beyond a directory of its own: what
//! would be too wide (a home, `/var`) is left out, for the operator to grant in parts.

use std::path::{Path, PathBuf};

use wire::mcp::ServerName;

use super::{
    EGRESS_PORT,
    places::{flat, installed_in, interpreter, is_program, is_system, name_of, package_of},
    profile::{Access, Grant, Profile},
    wishes::{Refused, Room, SYSTEM_PLACES, Wishes, granted},
};
use crate::{Command, stdio::environment};

/// Programs that run a file named among their arguments.
const INTERPRETERS: [&str; 14] = [
    "bash", "bun", "deno", "java", "lua", "node", "nodejs", "perl", "php", "pypy3", "python", "python3",
    "ruby", "sh",
];
/// Programs that fetch what they run, and where from.
const FETCHERS: [(&str, &[&str]); 8] = [
    ("npx", &["registry.npmjs.org"]),
    ("npm", &["registry.npmjs.org"]),
    ("pnpm", &["registry.npmjs.org"]),
    ("bunx", &["registry.npmjs.org"]),
    ("yarn", &["registry.yarnpkg.com", "registry.npmjs.org"]),
    ("uvx", &["pypi.org", "files.pythonhosted.org"]),
    ("uv", &["pypi.org", "files.pythonhosted.org"]),
    ("pipx", &["pypi.org", "files.pythonhosted.org"]),
];
/// Programs that ask a daemon with all rights to start the server somewhere else.
const ASKERS: [&str; 4] = ["docker", "nerdctl", "podman", "systemd-run"];
/// Directories that hold the things of many programs, besides homes and whatever is directly below `/`.
const WIDE: [&str; 8] = [
    "/etc/sallyport",
    "/usr/local",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/opt",
    "/var/run",
    "/var/tmp",
];
/// The same in a home.
const WIDE_AT_HOME: [&str; 14] = [
    ".aws",
    ".cache",
    ".config",
    ".config/sallyport",
    ".docker",
    ".gnupg",
    ".kube",
    ".local",
    ".local/bin",
    ".local/share",
    ".local/state",
    ".mozilla",
    ".ssh",
    "bin",
];
/// Files that a program keeps other files beside: journals, locks.
const DATABASES: [&str; 4] = ["db", "duckdb", "sqlite", "sqlite3"];
/// Links followed from a program to its file.
const LINKS_MAX: usize = 16;

/// The hosts a program fetches from what it runs, where it is one that does.
#[must_use]
pub fn fetches_from(program: &str) -> &'static [&'static str] {
    let name = name_of(program);
    FETCHERS
        .iter()
        .find(|(fetcher, _)| *fetcher == name)
        .map_or(&[], |(_, hosts)| hosts)
}

/// Makes the profile. Looks at the file system as it is now.
///
/// # Errors
/// When the server could not run in a box, or would have what no server may have.
pub fn plan(name: &ServerName, command: &Command, wishes: &Wishes, room: &Room) -> Result<Profile, Refused> {
    wishes.check(room)?;
    let env = environment::of(&command.env, std::env::vars());
    let variable = |wanted: &str| {
        env.iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    let home = variable("HOME").filter(|home| home.len() > 1 && home.starts_with('/'));
    let home = home.unwrap_or_else(|| "/home/box".to_owned());
    let directory = command.directory.clone().unwrap_or_else(|| PathBuf::from("/"));
    let mut planning = Planning {
        grants: Vec::new(),
        home: PathBuf::from(&home),
        search: variable("PATH").unwrap_or_default(),
        hidden: room
            .hidden
            .iter()
            .map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()))
            .collect(),
        directory,
    };
    let program = planning.program(&command.program)?;
    planning.arguments(command)?;
    planning.variables(&command.env)?;
    for path in &wishes.read {
        planning.grant(&granted(path, room)?, path, Access::READ);
    }
    for path in &wishes.execute {
        planning.grant(&granted(path, room)?, path, Access::CODE);
    }
    for path in &wishes.write {
        planning.grant(&granted(path, room)?, path, Access::WRITE);
    }
    let directory = planning.working_directory(&home);
    planning.is_steered()?;
    if wishes.keep && !room.kept.as_os_str().is_empty() {
        let kept = kept_home(&room.kept.join(name.as_str()))?;
        let home = planning.home.clone();
        planning.grants.push((kept, home, Access::OWN));
    }
    // One that is learnt may say where it wants to.
    let has_broker = !room.egress.as_os_str().is_empty();
    let has_network = has_broker && (wishes.learn || !wishes.network.is_empty());
    let asked = room.asked(name).filter(|_| has_broker && wishes.learn);
    let hidden = planning
        .hidden
        .iter()
        .map(|path| text(path))
        .collect::<Result<_, _>>()?;
    Ok(Profile {
        program: text(&program)?,
        args: command.args.clone(),
        env: inside(
            usual(env, &home, wishes),
            &home,
            has_network.then_some(wishes.network.as_slice()),
        ),
        directory,
        home,
        hidden,
        egress: has_network
            .then(|| text(&room.egress.join(name.as_str())))
            .transpose()?,
        asked: asked.map(|asked| text(&asked)).transpose()?,
        network: wishes.network.clone(),
        caps: wishes.caps,
        without: wishes.without.iter().copied().collect(),
        grants: ordered(planning.grants)?,
    })
}

/// A home that outlives its server. The helper cannot make it: it would have to know where.
fn kept_home(path: &Path) -> Result<PathBuf, Refused> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| path.canonicalize())
        .map_err(|error| {
            let remedy = "make its parent writable for the gateway";
            Refused::new(
                format!("no directory {} for its home: {error}", path.display()),
                remedy,
            )
        })
}

/// With what the server is known to need.
fn usual(mut env: Vec<(String, String)>, home: &str, wishes: &Wishes) -> Vec<(String, String)> {
    for (name, value) in wishes.variables {
        if env.iter().all(|(other, _)| other != name) {
            let value = match value.strip_prefix("~/") {
                Some(place) => format!("{home}/{place}"),
                None => (*value).to_owned(),
            };
            env.push(((*name).to_owned(), value));
        }
    }
    env
}

/// The environment inside: names of places that are there.
fn inside(mut env: Vec<(String, String)>, home: &str, network: Option<&[String]>) -> Vec<(String, String)> {
    let mut set = |name: &str, value: String| {
        env.retain(|(other, _)| other != name);
        env.push((name.to_owned(), value));
    };
    set("HOME", home.to_owned());
    for name in ["TMPDIR", "TMP", "TEMP"] {
        set(name, "/tmp".to_owned());
    }
    for name in ["USER", "LOGNAME"] {
        set(name, "box".to_owned());
    }
    if let Some(network) = network {
        let proxy = format!("http://127.0.0.1:{EGRESS_PORT}");
        // SOCKS is served, too, but not named here: httpx ends a program that has no library for it.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            set(name, proxy.clone());
            set(&name.to_ascii_lowercase(), proxy.clone());
        }
        // Its own loopback, unless it is granted something on the machine's.
        let here = |host: &String| host.starts_with("localhost") || host.starts_with("127.");
        let own = if network.iter().any(here) {
            ""
        } else {
            "localhost,127.0.0.1"
        };
        for name in ["NO_PROXY", "no_proxy"] {
            set(name, own.to_owned());
        }
        set("NODE_USE_ENV_PROXY", "1".to_owned());
    }
    env
}

/// Whether a place holds the things of many programs.
pub(super) fn is_wide(path: &Path, home: &Path) -> bool {
    path.components().count() <= 2
        || home.starts_with(path)
        || WIDE.iter().any(|wide| path == Path::new(wide))
        || WIDE_AT_HOME.iter().any(|wide| path == home.join(wide))
}

struct Planning {
    grants: Vec<(PathBuf, PathBuf, Access)>,
    home: PathBuf,
    search: String,
    hidden: Vec<PathBuf>,
    directory: PathBuf,
}

impl Planning {
    /// Grants a real place at the path it was written as, and at its real one.
    fn grant(&mut self, real: &Path, written: &Path, access: Access) {
        if is_system(real) {
            return;
        }
        for target in [real, written] {
            match self.grants.iter_mut().find(|(_, other, _)| other == target) {
                Some((_, _, had)) => *had = had.and(access),
                None => self
                    .grants
                    .push((real.to_path_buf(), target.to_path_buf(), access)),
            }
        }
    }

    /// Grants what nobody granted by name, if it is not too wide and not the gateway's.
    fn grant_own(&mut self, written: &Path, access: Access) -> bool {
        let Ok(real) = written.canonicalize() else {
            return false;
        };
        let is_hidden = self.hidden.iter().any(|hidden| real.starts_with(hidden));
        // A socket or a device among the arguments is a way to somebody else: those are granted by name.
        let is_plain = real.is_file() || real.is_dir();
        if is_hidden || !is_plain || is_wide(&real, &self.home) {
            return false;
        }
        // The system's files are nobody's to write.
        let of_system = SYSTEM_PLACES.iter().any(|place| real.starts_with(place));
        let access = Access {
            write: access.write && !of_system,
            ..access
        };
        self.grant(&real, written, access);
        true
    }

    /// Whoever may write to a directory can make links in it. One that leads out of it would grant at the next start
    /// what the server chose.
    fn is_steered(&self) -> Result<(), Refused> {
        for (real, written, _) in self.grants.iter().filter(|(real, written, _)| real != written) {
            let steered = self.grants.iter().any(|(source, target, access)| {
                access.write && written != target && written.starts_with(target) && !real.starts_with(source)
            });
            if steered {
                return Err(Refused::new(
                    format!(
                        "{} is or goes by a link to {}, and the server can change that link",
                        written.display(),
                        real.display()
                    ),
                    "write where it leads to",
                ));
            }
        }
        Ok(())
    }

    /// Where the program is, with all it is made of granted.
    fn program(&mut self, program: &str) -> Result<PathBuf, Refused> {
        let name = name_of(program);
        if ASKERS.contains(&name) {
            return Err(Refused::new(
                format!("`{name}` has a daemon start the server, which no sandbox here could hold"),
                "say `sandbox: off` for this server, and let its own arguments confine it; or run its program itself",
            ));
        }
        let found = if program.contains('/') {
            let path = PathBuf::from(program);
            if !path.is_absolute() {
                return Err(Refused::new(
                    format!("the command `{program}` is relative"),
                    "write its full path, or a name that is found in PATH",
                ));
            }
            path.exists().then_some(path)
        } else {
            self.found(program)
        };
        let found = found.ok_or_else(|| {
            Refused::new(
                format!("`{program}` was not found"),
                "install it, or write its full path in `command`",
            )
        })?;
        self.code(&found, 0);
        Ok(found)
    }

    fn found(&self, name: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.search)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(name))
            .find(|path| is_program(path))
    }

    /// Grants a program: each directory on the way of its links, and its interpreter.
    fn code(&mut self, program: &Path, depth: usize) {
        let mut path = program.to_path_buf();
        for _ in 0..LINKS_MAX {
            let root = installed_in(&path);
            if !self.grant_own(&root, Access::CODE) {
                self.grant_own(&path, Access::CODE);
            }
            self.virtual_environment(&root);
            let Ok(to) = std::fs::read_link(&path) else { break };
            path = flat(&path.parent().unwrap_or(Path::new("/")).join(to));
        }
        if depth < 4
            && let Some(interpreter) = interpreter(&path)
        {
            let found = if interpreter.contains('/') {
                Some(PathBuf::from(interpreter))
            } else {
                self.found(&interpreter)
            };
            if let Some(found) = found {
                self.code(&found, depth + 1);
            }
        }
    }

    /// Python's virtual environments say where the Python they were made with is (PEP 405).
    fn virtual_environment(&mut self, root: &Path) {
        let text = std::fs::read_to_string(root.join("pyvenv.cfg")).unwrap_or_default();
        for line in text.lines() {
            if let Some((key, value)) = line.split_once('=')
                && key.trim() == "home"
            {
                let home = Path::new(value.trim());
                self.grant_own(home.parent().unwrap_or(home), Access::CODE);
            }
        }
    }

    fn arguments(&mut self, command: &Command) -> Result<(), Refused> {
        let name = name_of(&command.program);
        let is_python = name.starts_with("python3.");
        let mut wants_script = is_python || INTERPRETERS.contains(&name);
        for arg in &command.args {
            let value = match arg.split_once('=') {
                Some((option, value)) if option.starts_with('-') => value,
                Some(_) | None => arg,
            };
            let is_path = value.starts_with('/')
                || value.starts_with("./")
                || value.starts_with("../")
                || is_database(Path::new(value));
            let path = flat(&self.directory.join(value));
            if wants_script && !arg.starts_with('-') {
                wants_script = false;
                if path.is_file() {
                    self.grant_own(&package_of(&path), Access::CODE);
                    self.code(&path, 1);
                }
            } else if is_path || value == "." {
                self.named(&path)?;
            }
            // A shell's script, or a command line in one word: its programs, by their full paths.
            let words = arg.split(|c: char| c.is_whitespace() || "'\"`();|&<>".contains(c));
            for word in words.filter(|word| word.starts_with('/') && *word != value) {
                let path = flat(Path::new(word));
                if is_program(&path) {
                    self.code(&path, 1);
                }
            }
        }
        Ok(())
    }

    fn variables(&mut self, env: &[(String, String)]) -> Result<(), Refused> {
        for (name, value) in env {
            if name == "HOME" || name == "PATH" || name == "TMPDIR" {
                continue;
            }
            let is_list = name.ends_with("PATH") && value.contains(':')
                || matches!(name.as_str(), "PYTHONPATH" | "NODE_PATH");
            if is_list {
                for path in std::env::split_paths(value).filter(|path| path.is_absolute()) {
                    self.grant_own(&path, Access::CODE);
                }
            } else if value.starts_with('/') {
                self.named(&flat(Path::new(value)))?;
            }
        }
        Ok(())
    }

    /// What an argument or a variable names: a directory with what is in it, a file, or a place for a new file.
    fn named(&mut self, path: &Path) -> Result<(), Refused> {
        let is_database = is_database(path);
        let is_new = !path.exists();
        let above = path.parent().unwrap_or(path).to_path_buf();
        if is_program(path) {
            self.code(path, 1);
            return Ok(());
        }
        if !is_new && !is_database || path.is_dir() {
            self.grant_own(path, Access::WRITE);
            return Ok(());
        }
        if self.grant_own(&above, Access::WRITE) || !is_new && self.grant_own(path, Access::WRITE) {
            return Ok(());
        }
        // It would be written, and gone with the box.
        let would_be = above
            .canonicalize()
            .is_ok_and(|above| above.starts_with(&self.home));
        if is_new && would_be {
            return Err(Refused::new(
                format!(
                    "{} is not there, and to make it the server would have to have all of {}",
                    path.display(),
                    above.display()
                ),
                "create it, or name a file in a directory of its own",
            ));
        }
        Ok(())
    }

    /// The working directory, which may be read; the home where that would be too wide.
    fn working_directory(&mut self, home: &str) -> String {
        let directory = flat(&self.directory);
        let covered = |(_, target, _): &(PathBuf, PathBuf, Access)| directory.starts_with(target);
        let is_there = self.grants.iter().any(covered)
            || is_system(&directory)
            || directory == Path::new("/")
            || directory == Path::new("/tmp")
            || self.grant_own(&directory, Access::READ);
        match directory.to_str() {
            Some(directory) if is_there => directory.to_owned(),
            Some(_) | None => home.to_owned(),
        }
    }
}

/// Whether a program will keep other files beside it.
fn is_database(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| DATABASES.contains(&extension))
}

/// Parents before what is in them, without what another already shows.
fn ordered(mut grants: Vec<(PathBuf, PathBuf, Access)>) -> Result<Vec<Grant>, Refused> {
    grants.sort_by_key(|(_, target, _)| target.components().count());
    let mut kept: Vec<(PathBuf, PathBuf, Access)> = Vec::new();
    for (source, target, access) in grants {
        // The nearest directory above that is granted, too.
        let above = kept.iter().rev().find(|(_, other, _)| target.starts_with(other));
        let shown = above.is_some_and(|(from, at, had)| {
            let Ok(rest) = target.strip_prefix(at) else {
                return false;
            };
            let below = from.join(rest);
            if below == source {
                return *had == access || access == Access::READ;
            }
            // A link on the way leads to the real place, which is granted by its own name. A kept home has nothing of
            // what is in the real one.
            below.canonicalize().is_ok_and(|real| real == source)
        });
        if !shown {
            kept.push((source, target, access));
        }
    }
    kept.into_iter()
        .map(|(source, target, access)| {
            Ok(Grant {
                source: text(&source)?,
                target: text(&target)?,
                access,
            })
        })
        .collect()
}

fn text(path: &Path) -> Result<String, Refused> {
    let shown = path.to_str().map(str::to_owned);
    shown.ok_or_else(|| {
        Refused::new(
            format!("the path {} is not UTF-8", path.display()),
            "rename it, or say `sandbox: off` for this server",
        )
    })
}

#[cfg(test)]
mod tests;
