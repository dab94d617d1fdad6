//! MCP clients and their configuration files: where they are, what servers they name, and how the one entry
//! for Sallyport is put in their place. One module per client, and one list of them.
//!
//! Knows nothing of the gateway, its registry or its rules; the command `import` brings the two together.

mod backup;
mod claude_code;
mod claude_desktop;
mod codex;
mod cursor;
mod definition;
mod file;
mod gemini;
mod in_place;
mod jsonc;
mod plan;
mod secrets;
mod vscode;
mod windsurf;
mod yaml;
mod zed;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

pub(crate) use backup::{Change, Record, Saved, Undone, last, undo};
pub(crate) use file::{Block, ClientFile, read};
pub(crate) use in_place::{Own, Reading, read_in_place};
pub(crate) use plan::{Known, Plan, Planned, plan};
pub(crate) use secrets::Keeping;
pub(crate) use yaml::{Addition, extend};

use crate::failure::Failure;

/// The name of our own entry in a client's file.
pub(crate) const OURS: &str = "sallyport";

/// Every client we know, in the order in which they are looked for.
pub(crate) const CLIENTS: &[&Client] = &[
    &claude_desktop::CLAUDE_DESKTOP,
    &claude_code::CLAUDE_CODE,
    &cursor::CURSOR,
    &vscode::VSCODE,
    &windsurf::WINDSURF,
    &codex::CODEX,
    &gemini::GEMINI,
    &zed::ZED,
];

/// A file nobody wrote for a client we know: any `mcp.json`.
pub(crate) const PLAIN: &Client = &Client {
    id: "local",
    title: "a file",
    places: |_| Vec::new(),
    recognises: |_| false,
    format: Format::Json,
    key: "mcpServers",
    normalise: as_written,
    entry: |_| json!({}),
};

/// From a client's own way of writing a server to the common one; the error says why a server must stay.
type Normalise = fn(Map<String, Value>) -> Result<Map<String, Value>, String>;

/// A client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// What its agent is called.
    pub(crate) id: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    places: fn(&Home<'_>) -> Vec<Place>,
    /// Whether a path that was named ends like one of its files.
    recognises: fn(&Path) -> bool,
    format: Format,
    /// The key its servers are under.
    key: &'static str,
    normalise: Normalise,
    /// What its entry for Sallyport has besides command and arguments.
    entry: fn(&Map<String, Value>) -> Value,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// JSON, with comments.
    Json,
    /// TOML.
    Toml,
}

/// One file of a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) path: PathBuf,
    /// The project it belongs to; none if it is the user's.
    pub(crate) project: Option<PathBuf>,
}

impl Place {
    fn of_user(path: PathBuf) -> Self {
        Self { path, project: None }
    }

    fn of_project(project: &Path, file: &str) -> Self {
        Self {
            path: project.join(file),
            project: Some(project.to_path_buf()),
        }
    }
}

/// Which system's places are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum System {
    /// Linux and everything like it.
    Linux,
    /// macOS.
    MacOs,
}

/// Whose clients are looked for. The environment is passed in, so that tests need not change theirs.
pub(crate) struct Home<'e> {
    /// The home directory.
    pub(crate) directory: PathBuf,
    /// The directory whose project files count.
    pub(crate) here: PathBuf,
    /// The system.
    pub(crate) system: System,
    /// The environment.
    pub(crate) env: &'e dyn Fn(&str) -> Option<String>,
}

impl Home<'_> {
    /// Where applications with a window keep what they keep.
    fn applications(&self) -> PathBuf {
        match self.system {
            System::Linux => self.configuration(),
            System::MacOs => self.directory.join("Library/Application Support"),
        }
    }

    fn configuration(&self) -> PathBuf {
        self.variable("XDG_CONFIG_HOME")
            .unwrap_or_else(|| self.directory.join(".config"))
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        (self.env)(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// Every file a known client may have, whether it is there or not.
    pub(crate) fn places(&self) -> Vec<(&'static Client, Place)> {
        let mut places: Vec<(&'static Client, Place)> = Vec::new();
        for client in CLIENTS {
            for place in (client.places)(self) {
                // Somebody standing in the home directory has no project there.
                if !places.iter().any(|(_, other)| other.path == place.path) {
                    places.push((client, place));
                }
            }
        }
        places
    }

    /// The client a named file belongs to: by its place, or else by its name.
    pub(crate) fn recognise(&self, path: &Path) -> (&'static Client, Place) {
        let known = self.places().into_iter().find(|(_, place)| place.path == path);
        if let Some(known) = known {
            return known;
        }
        let place = |client: &Client| {
            let folder = path.parent().unwrap_or(Path::new("/"));
            // A dotted folder is the client's own; the project is the folder around it.
            let dotted = folder
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let project = if dotted && client.id != PLAIN.id {
                folder.parent().unwrap_or(folder)
            } else {
                folder
            };
            Place {
                path: path.to_path_buf(),
                project: Some(project.to_path_buf()),
            }
        };
        let named = CLIENTS
            .iter()
            .copied()
            .find(|client| (client.recognises)(path))
            .unwrap_or(PLAIN);
        (named, place(named))
    }
}

impl fmt::Debug for Home<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a client's file, where, and what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Trouble {
    at: Option<usize>,
    what: String,
    remedy: String,
}

impl Trouble {
    fn at(at: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    fn somewhere(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            at: None,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// As a sentence that names the file, the line and the column.
    pub(crate) fn of(&self, path: &Path, text: &str) -> Failure {
        let place = self
            .at
            .map(|at| position(text, at))
            .map_or_else(String::new, |(l, c)| format!(":{l}:{c}"));
        let (path, what, remedy) = (path.display(), &self.what, &self.remedy);
        Failure::configuration(format!("{path}{place}: {what}; {remedy}. Nothing was changed"))
    }

    /// As a sentence that names the line and the column, for those who name the file themselves.
    fn within(&self, text: &str) -> String {
        let place = self
            .at
            .map(|at| position(text, at))
            .map_or_else(String::new, |(l, c)| format!("line {l} column {c}: "));
        format!("{place}{}; {}", self.what, self.remedy)
    }
}

/// Line and column of an offset, both from 1; columns are characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

fn as_written(server: Map<String, Value>) -> Result<Map<String, Value>, String> {
    Ok(server)
}

/// Seconds, at least one and at most an hour.
fn whole_seconds(seconds: f64) -> u64 {
    (1..3600_u32)
        .find(|whole| f64::from(*whole) >= seconds)
        .map_or(3600, u64::from)
}

#[cfg(test)]
mod tests;
