//! Zed: `settings.json` with comments, key `context_servers`.

use serde_json::{Map, Value, json};

use super::{Client, Format, Home, Place};

/// See the module.
pub(super) const ZED: Client = Client {
    id: "zed",
    title: "Zed",
    places,
    recognises: |path| path.ends_with("zed/settings.json") || path.ends_with(".zed/settings.json"),
    format: Format::Json,
    key: "context_servers",
    normalise,
    entry,
};

/// On macOS, too, it keeps to `~/.config`.
fn places(home: &Home<'_>) -> Vec<Place> {
    vec![
        Place::of_user(home.configuration().join("zed/settings.json")),
        Place::of_project(&home.here, ".zed/settings.json"),
    ]
}

/// Older versions want `source`, newer ones do without: we do as the servers that are there do.
fn entry(servers: &Map<String, Value>) -> Value {
    let old = servers.values().any(|server| server.get("source").is_some());
    if old {
        json!({ "source": "custom" })
    } else {
        json!({})
    }
}

/// Older versions have the command, its arguments and its environment in an object.
fn normalise(mut server: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let extension = server.get("source").and_then(Value::as_str) == Some("extension");
    let nothing_to_start = !server.contains_key("command") && !server.contains_key("url");
    if extension || (nothing_to_start && server.contains_key("settings")) {
        return Err("an extension of Zed starts it, and only Zed can".to_owned());
    }
    if let Some(Value::Object(mut command)) = server.get("command").cloned() {
        server.remove("command");
        if let Some(path) = command.remove("path") {
            server.insert("command".to_owned(), path);
        }
        for name in ["args", "env"] {
            if let Some(value) = command.remove(name).filter(|value| !value.is_null()) {
                server.insert(name.to_owned(), value);
            }
        }
    }
    Ok(server)
}
