//! What the operator says of a server's box, and what the gateway says of the house around it.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use thiserror::Error;

/// Whether a server's process is boxed.
#[derive(Clone, Debug, PartialEq)]
pub enum Sandbox {
    /// It is, with what its command line needs and what the operator grants besides. The default.
    On(Box<Wishes>),
    /// It runs with all the rights of the gateway's user, because the operator said so.
    Off,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::On(Box::default())
    }
}

/// What the operator grants besides what the command line needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// What it may read.
    pub read: Vec<PathBuf>,
    /// What it may read and execute.
    pub execute: Vec<PathBuf>,
    /// What it may read and write.
    pub write: Vec<PathBuf>,
    /// The hosts it may reach, for people and other sandboxes; the broker decides. Empty: no network at all.
    pub network: Vec<String>,
    /// How much of the machine it may use.
    pub caps: Caps,
    /// Whether its home directory outlives it.
    pub keep: bool,
    /// Variables it gets where its command sets none; `~/` is its home.
    pub variables: &'static [(&'static str, &'static str)],
    /// Walls it does without because the kernel lacks them.
    pub without: BTreeSet<Wall>,
    /// Whether what it asks for is written down.
    pub learn: bool,
}

/// How much of the machine a server may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Caps {
    /// Bytes of memory, all its processes together.
    pub memory_bytes: u64,
    /// Hundredths of a processor; enforced where there are control groups.
    pub cpu_percent: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Open descriptors of each process.
    pub open_files: u32,
    /// Bytes of the largest file it may write.
    pub file_bytes: u64,
    /// Bytes of its private temporary directory, and as many of its home.
    pub tmp_bytes: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            memory_bytes: 2 << 30,
            cpu_percent: 200,
            pids: 512,
            open_files: 4096,
            file_bytes: 1 << 30,
            tmp_bytes: 256 << 20,
        }
    }
}

/// A wall that a kernel may lack and the operator may do without. There is no doing without the others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Wall {
    /// Landlock's rules, over the same names as the view of the file system.
    Landlock,
    /// The list of system calls.
    Seccomp,
}

impl Wall {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }

    /// The wall of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Landlock, Self::Seccomp]
            .into_iter()
            .find(|wall| wall.as_str() == word)
    }
}

/// What is around the boxes: the gateway's own places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Room {
    /// What no box may see, whatever is granted around it: the data directory, sockets, the configuration.
    pub hidden: Vec<PathBuf>,
    /// Where homes are that outlive their servers, one directory a server.
    pub kept: PathBuf,
    /// Where the broker's sockets are, one a server.
    pub egress: PathBuf,
}

impl Room {
    /// Where is written down what a server asks for while it is learnt; nowhere where there is no room for it.
    #[must_use]
    pub fn asked(&self, name: &wire::mcp::ServerName) -> Option<PathBuf> {
        // No name of a server has a dot: it is no other's socket.
        (!self.egress.as_os_str().is_empty()).then(|| self.egress.join(format!("{name}.asked")))
    }
}

/// Why there is no box, and what to do.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{what}; {remedy}")]
pub struct Refused {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Refused {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// Where nothing may be granted for writing, besides what is below a home.
pub(super) const SYSTEM_PLACES: [&str; 12] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
];

impl Wishes {
    /// Looks at what is granted. What is fine today may be a link tomorrow, so this is asked again at each start.
    ///
    /// # Errors
    /// When something is granted that no server may have.
    pub fn check(&self, room: &Room) -> Result<(), Refused> {
        for path in self.read.iter().chain(&self.execute) {
            granted(path, room)?;
        }
        for path in &self.write {
            let real = granted(path, room)?;
            if let Some(system) = SYSTEM_PLACES.iter().find(|system| real.starts_with(system)) {
                return Err(Refused::new(
                    format!(
                        "`write` names {}, which is of the system ({system})",
                        path.display()
                    ),
                    "grant a directory of the server's own",
                ));
            }
            if Some(real) == std::env::var_os("HOME").map(PathBuf::from) {
                return Err(Refused::new(
                    "`write` names the whole home directory, and whoever writes there owns every login",
                    "name the folders the server works on",
                ));
            }
        }
        Ok(())
    }
}

/// The real place of what is granted.
pub(super) fn granted(path: &Path, room: &Room) -> Result<PathBuf, Refused> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(Refused::new(
            format!("the granted path {shown} is relative"),
            "write it in full, or beginning with `~/`",
        ));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Refused::new(
            format!("the granted path {shown} has `..` in it"),
            "write where it leads to",
        ));
    }
    let real = path.canonicalize().map_err(|error| {
        Refused::new(
            format!("the granted path {shown} cannot be used: {error}"),
            "create it, or correct the path",
        )
    })?;
    let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    if is_link
        && path
            .parent()
            .and_then(|above| above.canonicalize().ok())
            .is_none_or(|above| !real.starts_with(above))
    {
        return Err(Refused::new(
            format!(
                "the granted path {shown} is a link that leads to {}",
                real.display()
            ),
            "whoever can change the link would choose what is granted: write where it leads to",
        ));
    }
    if real.parent().is_none() {
        return Err(Refused::new(
            "`/` is granted, which is everything",
            "name the directories the server works on",
        ));
    }
    for hidden in &room.hidden {
        let hidden = hidden.canonicalize().unwrap_or_else(|_| hidden.clone());
        if real.starts_with(&hidden) {
            return Err(Refused::new(
                format!(
                    "the granted path {shown} is the gateway's own: its keys, ledger, sockets or configuration"
                ),
                "grant something else; no server may have that",
            ));
        }
    }
    Ok(real)
}
