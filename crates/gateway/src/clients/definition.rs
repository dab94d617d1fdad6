//! What a client says of one server, in one shape for all clients. Knows nothing of files and places in them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::config::{Problem, reference::Lookup};

/// Keys of our own that a file may have already, because our configuration is a superset of `mcp.json`.
const KEPT: [&str; 5] = ["isolation", "labels", "startTimeout", "timeout", "trust"];
/// What is read below, by any client's name for it.
const READ: [&str; 14] = [
    "args",
    "command",
    "cwd",
    "disabled",
    "enabled",
    "env",
    "headers",
    "httpUrl",
    "serverUrl",
    "timeout",
    "transport",
    "type",
    "url",
    "envFile",
];
/// What clients write for people to read.
const SHOWN: [&str; 7] = [
    "description",
    "gallery",
    "icon",
    "name",
    "source",
    "title",
    "version",
];
/// What clients write for themselves, and our configuration has a place for without an effect.
const THEIRS: [&str; 5] = [
    "alwaysAllow",
    "autoApprove",
    "disabledTools",
    "excludeTools",
    "includeTools",
];
/// How references to secrets begin in our configuration.
const REFERENCES: [&str; 4] = ["env:", "file:", "keyring:", "vault:"];

/// A text of a client's file.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Word {
    /// It is what it says.
    Literal(String),
    /// It stands for something else: `${NAME}`, or a reference of ours.
    Written(String),
}

impl Word {
    /// As it stands in the file.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Literal(text) | Self::Written(text) => text,
        }
    }

    /// What it comes to.
    pub(crate) fn resolve(&self, at: &str, lookup: &Lookup<'_>) -> Result<String, Problem> {
        match self {
            Self::Literal(text) => Ok(text.clone()),
            Self::Written(text) => lookup.value(at, text),
        }
    }

    /// Whether our configuration would read something else out of it.
    pub(crate) fn misleads(&self) -> bool {
        match self {
            Self::Literal(text) => {
                text.contains("${") || REFERENCES.iter().any(|scheme| text.starts_with(scheme))
            }
            Self::Written(_) => false,
        }
    }
}

/// How a server is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// A program over its pipes.
    Command {
        program: Word,
        args: Vec<Word>,
        env: BTreeMap<String, Word>,
        directory: Option<PathBuf>,
        /// The directory matters: it was written, or the arguments are relative to it.
        bound: bool,
    },
    /// Over HTTP.
    Url {
        url: Word,
        headers: BTreeMap<String, Word>,
        /// It speaks HTTP+SSE (2024-11-05).
        sse: bool,
    },
}

/// A server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Definition {
    pub(crate) reach: Reach,
    pub(crate) disabled: bool,
    /// Keys that mean to us what they say.
    pub(crate) kept: Map<String, Value>,
}

/// What an entry of a client turns out to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Entry {
    /// It must stay where it is; why.
    Left(String),
    /// It is Sallyport.
    Ours,
    /// A server.
    Server(Definition),
}

/// Where a definition comes from.
#[derive(Debug)]
pub(crate) struct Origin<'o> {
    /// What relative paths are relative to.
    pub(crate) base: &'o Path,
    /// `base` is a project, and its servers run there.
    pub(crate) project: bool,
    /// No client's, so our own references may stand in it.
    pub(crate) plain: bool,
    /// What is read is used where it stands: paths stay as written, for `base` is where they start.
    pub(crate) in_place: bool,
    pub(crate) home: &'o Path,
}

/// A shape that is wrong, or a reason to leave the server where it is.
enum Stop {
    Left(String),
    Wrong(String),
}

impl From<String> for Stop {
    fn from(wrong: String) -> Self {
        Self::Wrong(wrong)
    }
}

/// Reads a server in the common shape. An error is a mistake in the file.
pub(super) fn read(server: &Map<String, Value>, origin: &Origin<'_>) -> Result<Entry, String> {
    if is_ours(server) {
        return Ok(Entry::Ours);
    }
    match definition(server, origin) {
        Ok(definition) => Ok(Entry::Server(definition)),
        Err(Stop::Left(why)) => Ok(Entry::Left(why)),
        Err(Stop::Wrong(what)) => Err(what),
    }
}

/// `sallyport connect --serve ...`, wherever the binary lies.
fn is_ours(server: &Map<String, Value>) -> bool {
    let program = server.get("command").and_then(Value::as_str).unwrap_or_default();
    let args: Vec<&str> = server
        .get("args")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Path::new(program)
        .file_name()
        .is_some_and(|name| name == super::OURS)
        && args.contains(&"connect")
        && args.contains(&"--serve")
}

fn definition(server: &Map<String, Value>, origin: &Origin<'_>) -> Result<Definition, Stop> {
    let url = ["url", "serverUrl", "httpUrl"]
        .iter()
        .find_map(|key| server.get(*key))
        .filter(|url| !url.is_null());
    let reach = match (server.get("command").filter(|command| !command.is_null()), url) {
        (Some(command), None) => command_line(command, server, origin)?,
        (None, Some(url)) => {
            let kind = server
                .get("type")
                .or_else(|| server.get("transport"))
                .and_then(Value::as_str);
            Reach::Url {
                sse: kind.is_some_and(|kind| kind.eq_ignore_ascii_case("sse")),
                url: word(text("url", url)?, origin)?,
                headers: words("headers", server, origin)?,
            }
        }
        (Some(_), Some(_)) => return Err(Stop::Wrong("it has both `command` and `url`".to_owned())),
        (None, None) => return Err(Stop::Wrong("it has neither `command` nor `url`".to_owned())),
    };
    let flag = |key: &str| server.get(key).and_then(Value::as_bool);
    let ours = |(key, value): &(&String, &Value)| {
        KEPT.contains(&key.as_str()) && !(key.as_str() == "trust" && value.is_boolean())
            || (key.as_str() == "tools" && value.is_object())
    };
    Ok(Definition {
        reach,
        disabled: flag("disabled") == Some(true) || flag("enabled") == Some(false),
        kept: server
            .iter()
            .filter(ours)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    })
}

/// Whether a key of a server may be a client's: it is no key of our configuration's alone.
///
/// `trust: true` is Gemini's: do not ask the user. It says nothing of whether the server's content is to be trusted.
/// `tools` with a list is VS Code's: which tools to show.
pub(super) fn is_theirs(key: &str, value: &Value) -> bool {
    match key {
        "trust" => value.is_boolean(),
        "tools" => value.is_array(),
        _ => [&READ[..], &SHOWN[..], &THEIRS[..]].concat().contains(&key),
    }
}

/// Whether a key means something here, or is for people alone.
pub(super) fn is_taken(key: &str) -> bool {
    READ.contains(&key) || SHOWN.contains(&key)
}

fn command_line(command: &Value, server: &Map<String, Value>, origin: &Origin<'_>) -> Result<Reach, Stop> {
    if server.contains_key("envFile") {
        let why = "its environment is in another file (`envFile`); move those variables into `env`";
        return Err(Stop::Left(why.to_owned()));
    }
    let program = word(text("command", command)?, origin)?;
    // A path is relative to where the client would start it; a bare name is looked up in PATH.
    let relative = |path: &str| path.contains('/') && !path.starts_with(['/', '~', '$']);
    let program = match &program {
        Word::Literal(path) if relative(path) && !origin.in_place => {
            Word::Literal(joined(origin.base, path).display().to_string())
        }
        Word::Literal(_) | Word::Written(_) => program,
    };
    let args = match server.get("args") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(args)) => args
            .iter()
            .map(|arg| word(text("args", arg)?, origin))
            .collect::<Result<_, Stop>>()?,
        Some(_) => return Err(Stop::Wrong("`args` is not a list".to_owned())),
    };
    let cwd = server.get("cwd").filter(|cwd| !cwd.is_null());
    let written = cwd.map(|cwd| word(text("cwd", cwd)?, origin)).transpose()?;
    let here = |arg: &Word| {
        let text = arg.text();
        text.starts_with('.')
            || (relative(&format!("{text}/")) && !text.is_empty() && origin.base.join(text).exists())
    };
    Ok(Reach::Command {
        bound: written.is_some() || args.iter().any(here),
        program,
        args,
        env: words("env", server, origin)?,
        directory: match written {
            Some(path) => Some(joined(origin.base, &home(path.text(), origin.home))),
            None => (origin.project && !origin.in_place).then(|| origin.base.to_path_buf()),
        },
    })
}

fn joined(base: &Path, path: &str) -> PathBuf {
    base.join(path).components().collect()
}

fn home(path: &str, home: &Path) -> String {
    path.strip_prefix("~/")
        .map_or_else(|| path.to_owned(), |rest| home.join(rest).display().to_string())
}

/// A text; numbers and truth values count as what they look like, as in most clients.
fn text(key: &str, value: &Value) -> Result<String, Stop> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(_) | Value::Null | Value::Object(_) => {
            Err(Stop::Wrong(format!("`{key}` has something that is not a text")))
        }
    }
}

fn words(
    key: &str,
    server: &Map<String, Value>,
    origin: &Origin<'_>,
) -> Result<BTreeMap<String, Word>, Stop> {
    match server.get(key) {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                Ok((
                    name.clone(),
                    word(text(&format!("{key}.{name}"), value)?, origin)?,
                ))
            })
            .collect(),
        Some(_) => Err(Stop::Wrong(format!("`{key}` is not an object"))),
    }
}

/// Replaces what editors put in, and tells what is left to stand for something.
fn word(text: String, origin: &Origin<'_>) -> Result<Word, Stop> {
    let mut text = text;
    let project = origin.base.display().to_string();
    let folder = origin
        .base
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if origin.project {
        text = text
            .replace("${workspaceFolder}", &project)
            .replace("${workspaceRoot}", &project);
        text = text.replace("${workspaceFolderBasename}", &folder);
    }
    text = text.replace("${userHome}", &origin.home.display().to_string());
    text = text.replace("${/}", "/").replace("${pathSeparator}", "/");
    for (start, what) in [
        ("${input:", "asks the editor's user for a value"),
        ("${workspace", "means whatever folder is open"),
    ] {
        if text.contains(start) {
            let why =
                format!("`{start}...}}` {what}, which only the editor can know; write the value itself");
            return Err(Stop::Left(why));
        }
    }
    let reference = origin.plain && REFERENCES.iter().any(|scheme| text.starts_with(scheme));
    Ok(if text.contains("${") || reference {
        Word::Written(text)
    } else {
        Word::Literal(text)
    })
}
