//! A client's file as the configuration itself: `sallyport serve --config mcp.json`. It is read as `import` reads it, and
//! where a server could not be taken over as it is, neither can the file.
//!
//! Only what has nothing of our own in it is a client's file. What has, is ours: every key counts there, and one that
//! nobody knows is an error. So a misspelt guard is read over only where nobody can be let in either.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{
    Home, System, Trouble,
    definition::{self, Entry},
    file, jsonc, plan,
};

/// What a text is that may be a client's file.
#[derive(Debug)]
pub(crate) enum Reading {
    /// A client's: its servers as our configuration has them, and what is worth a word.
    Client { servers: Value, notes: Vec<String> },
    /// Ours, in JSON: without its comments.
    Ours(String),
    /// No JSON; why not.
    NotJson(String),
}

/// Keys of our configuration: at its top, and of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) top: &'static [&'static str],
    pub(crate) server: &'static [&'static str],
}

/// Reads a text. An error is what is wrong with a client's file.
pub(crate) fn read_in_place(path: &Path, text: &str, own: Own) -> Result<Reading, String> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let home = Home {
        directory: std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default(),
        here: PathBuf::new(),
        system: if cfg!(target_os = "macos") {
            System::MacOs
        } else {
            System::Linux
        },
        env: &|name| std::env::var(name).ok(),
    };
    let within = |trouble: Trouble| trouble.within(text);
    let root = match jsonc::parse(text).and_then(|root| root.value()) {
        Ok(Value::Object(root)) => root,
        Ok(_) => {
            return Ok(Reading::NotJson(
                "it is not an object; begin it with `{`".to_owned(),
            ));
        }
        Err(trouble) => return Ok(Reading::NotJson(within(trouble))),
    };
    let keys = file::keys(&path, &home);
    if !is_a_clients(&root, &keys, own) {
        return jsonc::without_comments(text).map(Reading::Ours).map_err(within);
    }
    let mut servers = Map::new();
    let mut notes = unread(&root, &keys);
    for (label, entry) in file::in_place(text, &path, &home).map_err(within)? {
        let server = match entry {
            Entry::Server(definition) => plan::in_place(&definition),
            Entry::Ours => {
                notes.push(format!(
                    "`{label}` is Sallyport itself, and is no server of its own"
                ));
                continue;
            }
            // Whoever has switched it off need not mend it.
            Entry::Left(_) if is_off(&root, &keys, &label) => continue,
            Entry::Left(why) => return Err(format!("server `{label}`: {why}")),
        };
        if servers.insert(label.clone(), server).is_some() {
            return Err(format!("two servers are called `{label}`; rename one of them"));
        }
    }
    Ok(Reading::Client {
        servers: Value::Object(servers),
        notes,
    })
}

/// Every server of a file, with the key it is under.
fn servers<'r>(
    root: &'r Map<String, Value>,
    keys: &'r [&'static str],
) -> impl Iterator<Item = (&'static str, &'r String, &'r Value)> {
    keys.iter().flat_map(move |key| {
        let block = root.get(*key).and_then(Value::as_object);
        block
            .into_iter()
            .flatten()
            .map(move |(label, server)| (*key, label, server))
    })
}

fn is_a_clients(root: &Map<String, Value>, keys: &[&'static str], own: Own) -> bool {
    let of_servers = |key: &str| keys.contains(&key);
    let ours = |(key, value): (&String, &Value)| {
        own.server.contains(&key.as_str()) && !definition::is_theirs(key, value)
    };
    root.keys().any(|key| of_servers(key))
        && !root
            .keys()
            .any(|key| own.top.contains(&key.as_str()) && !of_servers(key) && key != "$schema")
        && !servers(root, keys).any(|(_, _, server)| server.as_object().into_iter().flatten().any(ours))
}

fn is_off(root: &Map<String, Value>, keys: &[&'static str], label: &str) -> bool {
    servers(root, keys)
        .filter(|(_, other, _)| *other == label)
        .all(|(_, _, server)| {
            server.get("disabled") == Some(&json!(true)) || server.get("enabled") == Some(&json!(false))
        })
}

/// What a client's file says that is not taken over, in one sentence; none if there is nothing.
fn unread(root: &Map<String, Value>, keys: &[&'static str]) -> Vec<String> {
    let top = root
        .keys()
        .filter(|key| !keys.contains(&key.as_str()) && *key != "$schema")
        .map(|key| format!("`{key}`"));
    let inner = servers(root, keys).flat_map(|(above, label, server)| {
        let said = server.as_object().into_iter().flatten();
        said.filter(|(key, _)| !definition::is_taken(key))
            .map(move |(key, _)| format!("`{above}.{label}.{key}`"))
    });
    let all: BTreeSet<String> = top.chain(inner).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let all: Vec<String> = all
        .into_iter()
        .map(|key| key.escape_debug().to_string())
        .collect();
    vec![format!(
        "of this client's file these say nothing here: {}",
        all.join(", ")
    )]
}
