//! What an import would do: every server under one name, once, with its secrets in files of their own.
//! Nothing is written here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use wire::mcp::ServerName;

use super::{
    Block, Client, ClientFile, Keeping,
    definition::{Definition, Entry, Reach, Word},
    secrets,
};
use crate::config::{
    Problem, find, meant,
    reference::Lookup,
    said::{Said, SaidServer},
};

/// How many names are tried for a server.
const NAMES_MAX: u32 = 1000;

/// A server the configuration has already, or will have.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    name: ServerName,
    /// None where it cannot be found out today; then it equals nothing.
    resolved: Option<Resolved>,
}

/// What a server comes to, for telling whether two are the same.
#[derive(Clone, Debug)]
struct Resolved {
    core: Core,
    directory: PathBuf,
    /// The directory makes a difference.
    bound: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Core {
    Command(String, Vec<String>, BTreeMap<String, String>),
    Url(String, BTreeMap<String, String>),
}

impl Resolved {
    fn is(&self, other: &Self) -> bool {
        let place = self.directory == other.directory || !(self.bound || other.bound);
        place && self.core == other.core
    }
}

impl Known {
    /// A server of the configuration.
    pub(crate) fn of(label: &str, said: &SaidServer, lookup: &Lookup<'_>) -> Option<Self> {
        let name = ServerName::from_label(label).ok()?;
        let mut server = said.clone();
        (server.disabled, server.enabled) = (false, None);
        let said = Said {
            servers: BTreeMap::from([(label.to_owned(), server)]),
            ..Said::default()
        };
        let meant = meant::mean(said, lookup, lookup.base).ok();
        let reach = meant
            .and_then(|meant| meant.servers.into_iter().next())
            .map(|server| server.spec.reach);
        let resolved = reach.map(|reach| match reach {
            upstream::Reach::Http(target)
            | upstream::Reach::Sse(target)
            | upstream::Reach::WebSocket(target) => Resolved {
                core: Core::Url(target.url.to_string(), target.headers.into_iter().collect()),
                directory: lookup.base.to_path_buf(),
                bound: false,
            },
            // Clients know no descriptions: what is reached by one is none of theirs.
            upstream::Reach::Rest(target) => Resolved {
                core: Core::Url(format!("openapi:{}", target.http.url), BTreeMap::new()),
                directory: lookup.base.to_path_buf(),
                bound: false,
            },
            upstream::Reach::Unix(path) => Resolved {
                core: Core::Url(format!("unix:{}", path.display()), BTreeMap::new()),
                directory: lookup.base.to_path_buf(),
                bound: false,
            },
            upstream::Reach::Stdio(command) => Resolved {
                core: Core::Command(command.program, command.args, command.env.into_iter().collect()),
                directory: command.directory.unwrap_or_else(|| lookup.base.to_path_buf()),
                bound: false,
            },
        });
        Some(Self { name, resolved })
    }
}

/// A server of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// Its name in our configuration.
    pub(crate) name: ServerName,
    /// Which clients have it.
    pub(crate) clients: Vec<&'static Client>,
    /// What configuration is to say; none if it says so already.
    pub(crate) fields: Option<Vec<(String, Value)>>,
    /// Which of its texts are put into files of their own.
    pub(crate) secrets: Vec<String>,
    /// Its command or URL, for people.
    pub(crate) shown: String,
    pub(crate) disabled: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) servers: Vec<Planned>,
    pub(crate) keeping: Keeping,
}

/// Plans. Servers that cannot be taken over are marked in the files as to be left, with the reason.
pub(crate) fn plan(files: &mut [ClientFile], known: &[Known], data: &Path, lookup: &Lookup<'_>) -> Plan {
    let mut known = known.to_vec();
    let mut plan = Plan {
        servers: Vec::new(),
        keeping: Keeping::below(data),
    };
    for file in files {
        let client = file.client;
        for block in &mut file.blocks {
            let Block { entries, .. } = block;
            for (label, entry) in entries {
                let Entry::Server(definition) = &*entry else {
                    continue;
                };
                match resolve(definition, lookup) {
                    Ok(resolved) => {
                        plan.add(client, label, definition, resolved, &mut known);
                    }
                    Err(problem) => *entry = Entry::Left(format!("{}; {}", problem.what, problem.remedy)),
                }
            }
        }
    }
    plan
}

impl Plan {
    /// Gives a server its name: its own if that is free or the same server has it, or else one with the
    /// client's name behind it.
    fn add(
        &mut self,
        client: &'static Client,
        label: &str,
        definition: &Definition,
        resolved: Resolved,
        known: &mut Vec<Known>,
    ) {
        for n in 0..NAMES_MAX {
            let Some(name) = candidate(client, label, n) else {
                continue;
            };
            let there = known
                .iter()
                .find(|other| other.name.as_str().eq_ignore_ascii_case(name.as_str()));
            match there {
                Some(there) if there.resolved.as_ref().is_some_and(|other| other.is(&resolved)) => {
                    return self.merge(client, &there.name.clone(), definition);
                }
                Some(_) => {}
                None => {
                    known.push(Known {
                        name: name.clone(),
                        resolved: Some(resolved),
                    });
                    let mut secrets = Vec::new();
                    let keeping = &mut self.keeping;
                    let fields = fields(definition, &mut |place, text| {
                        secrets.push(place.to_owned());
                        keeping.take(name.as_str(), place, text)
                    });
                    return self.servers.push(Planned {
                        shown: shown(&fields),
                        name,
                        clients: vec![client],
                        fields: Some(fields),
                        secrets,
                        disabled: definition.disabled,
                    });
                }
            }
        }
    }

    fn merge(&mut self, client: &'static Client, name: &ServerName, definition: &Definition) {
        if let Some(planned) = self.servers.iter_mut().find(|planned| planned.name == *name) {
            if planned.clients.iter().all(|other| other.id != client.id) {
                planned.clients.push(client);
            }
            return;
        }
        self.servers.push(Planned {
            name: name.clone(),
            clients: vec![client],
            fields: None,
            secrets: Vec::new(),
            shown: String::new(),
            disabled: definition.disabled,
        });
    }
}

/// The n-th name for a server: `files`, `files-cursor`, `files-cursor-2`, ...
fn candidate(client: &Client, label: &str, n: u32) -> Option<ServerName> {
    let base = ServerName::from_label(label).map_or_else(|_| "server".to_owned(), |name| name.to_string());
    // Room for what comes behind it.
    let base: String = base.chars().take(40).collect();
    match n {
        0 => ServerName::from_label(label).ok(),
        1 => ServerName::from_label(&format!("{base}-{}", client.id)).ok(),
        n => ServerName::from_label(&format!("{base}-{}-{n}", client.id)).ok(),
    }
}

fn shown(fields: &[(String, Value)]) -> String {
    let mut words = Vec::new();
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("command" | "url", Value::String(text)) => words.push(text.clone()),
            ("args", Value::Array(args)) => {
                words.extend(args.iter().filter_map(Value::as_str).map(str::to_owned))
            }
            _ => {}
        }
    }
    words.join(" ")
}

/// What a definition comes to, or why our configuration could not start it.
fn resolve(definition: &Definition, lookup: &Lookup<'_>) -> Result<Resolved, Problem> {
    // Checked by those who will read it, with texts in the place of secrets that are not in their files yet.
    let mut fields = fields(definition, &mut |_, text| {
        let misleading = Word::Literal(text.to_owned()).misleads();
        if misleading {
            "hidden".to_owned()
        } else {
            text.to_owned()
        }
    });
    fields.retain(|(key, _)| key != "disabled");
    let server: Map<String, Value> = fields.into_iter().collect();
    let text = json!({ "mcpServers": { "server": server } }).to_string();
    let said = find::parse(&text).map_err(|why| Problem::new("", why, "correct it"))?;
    meant::mean(said, lookup, lookup.base).map_err(|problems| {
        let first = problems.into_iter().next();
        first.unwrap_or_else(|| Problem::new("", "it cannot be started", "correct it"))
    })?;
    let all = |words: &BTreeMap<String, Word>| {
        words
            .iter()
            .map(|(name, word)| Ok((name.clone(), word.resolve(name, lookup)?)))
            .collect::<Result<_, Problem>>()
    };
    Ok(match &definition.reach {
        Reach::Url { url, headers, .. } => {
            let url = url.resolve("url", lookup)?;
            let uri = url
                .parse::<hyper::Uri>()
                .map(|uri| uri.to_string())
                .unwrap_or(url);
            Resolved {
                core: Core::Url(uri, all(headers)?),
                directory: lookup.base.to_path_buf(),
                bound: false,
            }
        }
        Reach::Command {
            program,
            args,
            env,
            directory,
            bound,
        } => {
            let args = args
                .iter()
                .map(|arg| arg.resolve("args", lookup))
                .collect::<Result<_, _>>()?;
            let mut program = program.resolve("command", lookup)?;
            if program.contains('/') {
                program = lookup.path(&program).display().to_string();
            }
            Resolved {
                core: Core::Command(program, args, all(env)?),
                directory: directory.clone().unwrap_or_else(|| lookup.base.to_path_buf()),
                bound: *bound,
            }
        }
    })
}

/// What configuration says of a server whose file is the configuration: nothing is put elsewhere.
pub(super) fn in_place(definition: &Definition) -> Value {
    let fields = fields(definition, &mut |_, text| text.to_owned());
    Value::Object(fields.into_iter().collect())
}

/// What configuration says of a server. `hide` is given each text that must not stand there, with its place,
/// and gives what stands there instead.
fn fields(definition: &Definition, hide: &mut dyn FnMut(&str, &str) -> String) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    let mut put = |place: &str, word: &Word, secret: bool| match word {
        Word::Literal(text) if secret || word.misleads() => hide(place, text),
        Word::Literal(text) | Word::Written(text) => text.clone(),
    };
    match &definition.reach {
        Reach::Command {
            program,
            args,
            env,
            directory,
            ..
        } => {
            out.push(("command".to_owned(), json!(put("command", program, false))));
            let mut written = Vec::new();
            let mut before = None;
            for (n, arg) in args.iter().enumerate() {
                let secret = secrets::is_secret_argument(before, arg.text());
                written.push(put(&format!("arg-{}", n + 1), arg, secret));
                before = Some(arg.text());
            }
            if !written.is_empty() {
                out.push(("args".to_owned(), json!(written)));
            }
            texts("env", env, &mut out, &mut put);
            if let Some(directory) = directory {
                out.push(("cwd".to_owned(), json!(directory.display().to_string())));
            }
        }
        Reach::Url { url, headers, sse } => {
            if *sse {
                out.push(("type".to_owned(), json!("sse")));
            }
            out.push((
                "url".to_owned(),
                json!(put("url", url, secrets::looks_secret(url.text()))),
            ));
            texts("headers", headers, &mut out, &mut put);
        }
    }
    out.extend(
        definition
            .kept
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    if definition.disabled {
        out.push(("disabled".to_owned(), json!(true)));
    }
    out
}

fn texts(
    key: &str,
    words: &BTreeMap<String, Word>,
    out: &mut Vec<(String, Value)>,
    put: &mut impl FnMut(&str, &Word, bool) -> String,
) {
    let written: Map<String, Value> = words
        .iter()
        .map(|(name, word)| {
            (
                name.clone(),
                json!(put(name, word, secrets::is_secret(name, word.text()))),
            )
        })
        .collect();
    if !written.is_empty() {
        out.push((key.to_owned(), Value::Object(written)));
    }
}
