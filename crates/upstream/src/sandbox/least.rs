//! From what a server asked for while it was learnt: the least that has to be granted besides what its command line
//! names. A proposal for a person; what should be nobody's is told and not proposed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use wire::mcp::ServerName;

use super::{
    asked::Touch,
    places::is_program,
    plan::{is_wide, plan},
    profile::{Access, Profile},
    wishes::{Refused, Room, SYSTEM_PLACES, Sandbox, Wishes, granted},
};
use crate::Command;

/// As many files of one directory are proposed as the directory.
const FILES_OF_ONE: usize = 4;
/// Most of what is told and not proposed.
const WITHHELD_MAX: usize = 20;
/// Below a home, what others' secrets are in.
const SECRETS: [&str; 12] = [
    ".aws",
    ".azure",
    ".config/gcloud",
    ".config/gh",
    ".docker",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".ssh",
];

/// What would have to be granted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Least {
    /// For reading.
    pub read: Vec<PathBuf>,
    /// For reading and executing.
    pub execute: Vec<PathBuf>,
    /// For reading and writing.
    pub write: Vec<PathBuf>,
    /// What it asked for and is not proposed: why.
    pub withheld: Vec<String>,
}

impl Least {
    /// Finds it: `asked` is what a learning box wrote down.
    ///
    /// # Errors
    /// When the server could not run in a box at all.
    pub fn of(name: &ServerName, command: &Command, room: &Room, asked: &str) -> Result<Self, Refused> {
        // As it would be if nothing were granted by name.
        let bare = match &command.sandbox {
            Sandbox::On(wishes) => Wishes {
                read: Vec::new(),
                execute: Vec::new(),
                write: Vec::new(),
                ..wishes.as_ref().clone()
            },
            Sandbox::Off => Wishes::default(),
        };
        let base = plan(name, command, &bare, room)?;
        let mut finding = Finding {
            base: &base,
            room,
            wanted: BTreeMap::new(),
            withheld: BTreeSet::new(),
        };
        for line in asked.lines() {
            if let Some((touch, path)) = line.split_once(' ')
                && let Some(touch) = Touch::parse(touch)
            {
                finding.take(touch, Path::new(path));
            }
        }
        Ok(finding.done())
    }
}

struct Finding<'a> {
    base: &'a Profile,
    room: &'a Room,
    wanted: BTreeMap<PathBuf, Touch>,
    withheld: BTreeSet<String>,
}

impl Finding<'_> {
    fn take(&mut self, touch: Touch, path: &Path) {
        let everybodys = SYSTEM_PLACES.iter().any(|place| path.starts_with(place)) || path.parent().is_none();
        if everybodys || self.shows(path, touch) {
            return;
        }
        // What is not there to be read is not missed; what would be made needs the place it would be made in.
        let there = match touch {
            Touch::Look | Touch::Read | Touch::Execute => path.symlink_metadata().is_ok().then_some(path),
            Touch::Write => path.ancestors().find(|above| above.symlink_metadata().is_ok()),
        };
        // Its temporary directory is its own.
        let Some(there) = there.filter(|there| *there != Path::new("/tmp")) else {
            return;
        };
        let leads = |target: &str| Path::new(target).starts_with(there);
        if touch == Touch::Look && there.is_dir() && self.base.grants.iter().any(|grant| leads(&grant.target))
        {
            return;
        }
        if touch == Touch::Execute && !is_program(there) {
            return;
        }
        let home = Path::new(&self.base.home);
        // Where it is written, and where it leads: the server may have made a link to what it would like to have.
        let leads_to = there.canonicalize().ok();
        let both = || std::iter::once(there).chain(leads_to.as_deref());
        let real_home = home.canonicalize().unwrap_or_else(|_| home.to_path_buf());
        let homes = [home, &real_home];
        let is_secret = |path: &Path| {
            SECRETS
                .iter()
                .any(|secret| homes.iter().any(|home| path.starts_with(home.join(secret))))
        };
        if both().any(is_secret) {
            self.withhold(there, "others' secrets are there");
        } else if both().any(|path| homes.iter().any(|home| is_wide(path, home))) {
            // Its own home is private: a look around there, or a cache, is no wish.
            if touch != Touch::Look && there != home && !there.starts_with(home) {
                self.withhold(there, "it holds the things of many programs");
            } else if touch == Touch::Write && !hidden_below(path, home) {
                self.withhold(
                    path,
                    "to make it, the server would have to have what is around it",
                );
            }
        } else {
            match granted(there, self.room) {
                Ok(real) => {
                    let had = self.wanted.entry(real).or_insert(touch);
                    *had = (*had).max(touch);
                }
                Err(refused) => self.withhold(there, &refused.what),
            }
        }
    }

    /// Whether the box has it without any grant.
    fn shows(&self, path: &Path, touch: Touch) -> bool {
        let grants = self.base.grants.iter();
        let nearest = grants
            .filter(|grant| path.starts_with(&grant.target))
            .max_by_key(|grant| grant.target.len());
        let suffices = |access: Access| match touch {
            Touch::Look | Touch::Read => true,
            Touch::Execute => access.execute,
            Touch::Write => access.write,
        };
        nearest.is_some_and(|grant| suffices(grant.access))
    }

    fn withhold(&mut self, path: &Path, why: &str) {
        if self.withheld.len() < WITHHELD_MAX {
            self.withheld.insert(format!("{}: {why}", path.display()));
        }
    }

    fn done(mut self) -> Least {
        // Directories that were only looked at on the way to something in them.
        let paths: Vec<PathBuf> = self.wanted.keys().cloned().collect();
        self.wanted.retain(|path, touch| {
            let is_way = paths.iter().any(|other| other != path && other.starts_with(path));
            *touch != Touch::Look || !path.is_dir() || !is_way
        });
        self.gather();
        let mut least = Least::default();
        for (path, touch) in &self.wanted {
            // What is above it is granted, and no less.
            let above = path
                .ancestors()
                .skip(1)
                .filter_map(|above| self.wanted.get(above));
            if above.clone().any(|had| had == touch || *touch <= Touch::Read) {
                continue;
            }
            match touch {
                Touch::Look | Touch::Read => least.read.push(path.clone()),
                Touch::Execute => least.execute.push(path.clone()),
                Touch::Write => least.write.push(path.clone()),
            }
        }
        least.withheld = self.withheld.into_iter().collect();
        least
    }

    /// Many files of one directory are the directory.
    fn gather(&mut self) {
        let home = PathBuf::from(&self.base.home);
        let mut by_directory: BTreeMap<(PathBuf, Touch), usize> = BTreeMap::new();
        for (path, touch) in &self.wanted {
            let touch = if *touch == Touch::Look {
                Touch::Read
            } else {
                *touch
            };
            if let Some(above) = path
                .parent()
                .filter(|above| path.is_file() && !is_wide(above, &home))
            {
                *by_directory.entry((above.to_path_buf(), touch)).or_default() += 1;
            }
        }
        for ((above, touch), files) in by_directory {
            let is_hidden = granted(&above, self.room).is_err();
            if files >= FILES_OF_ONE && touch != Touch::Execute && !is_hidden {
                let had = self.wanted.entry(above).or_insert(touch);
                *had = (*had).max(touch);
            }
        }
    }
}

/// Whether it is of a program's own hidden places in a home, which a private home gives it.
fn hidden_below(path: &Path, home: &Path) -> bool {
    let first = path
        .strip_prefix(home)
        .ok()
        .and_then(|rest| rest.components().next());
    first.is_some_and(|first| first.as_os_str().as_encoded_bytes().starts_with(b"."))
}
