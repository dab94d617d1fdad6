//! Codex: `~/.codex/config.toml`, tables under `[mcp_servers]`.

use serde_json::{Map, Value, json};

use super::{Client, Format, Home, Place};

/// See the module.
pub(super) const CODEX: Client = Client {
    id: "codex",
    title: "Codex",
    places,
    recognises: |path| path.ends_with(".codex/config.toml"),
    format: Format::Toml,
    key: "mcp_servers",
    normalise,
    entry: |_| json!({}),
};

fn places(home: &Home<'_>) -> Vec<Place> {
    let directory = home
        .variable("CODEX_HOME")
        .unwrap_or_else(|| home.directory.join(".codex"));
    vec![Place::of_user(directory.join("config.toml"))]
}

/// Headers have keys of their own, and a bearer token may be named by its variable.
fn normalise(mut server: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut headers = match server.remove("http_headers") {
        Some(Value::Object(headers)) => headers,
        Some(_) | None => Map::new(),
    };
    if let Some(Value::Object(named)) = server.remove("env_http_headers") {
        for (header, variable) in named {
            headers.insert(
                header,
                json!(format!("${{{}}}", variable.as_str().unwrap_or_default())),
            );
        }
    }
    if let Some(variable) = server.remove("bearer_token_env_var") {
        let value = format!("Bearer ${{{}}}", variable.as_str().unwrap_or_default());
        headers.insert("Authorization".to_owned(), json!(value));
    }
    if !headers.is_empty() {
        server.insert("headers".to_owned(), Value::Object(headers));
    }
    if let Some(Value::Array(passed)) = server.remove("env_vars") {
        let env = server.entry("env").or_insert_with(|| json!({}));
        for name in passed.iter().filter_map(Value::as_str) {
            if let Some(env) = env.as_object_mut() {
                env.insert(name.to_owned(), json!(format!("${{{name}}}")));
            }
        }
    }
    for (theirs, ours) in [
        ("startup_timeout_sec", "startTimeout"),
        ("tool_timeout_sec", "timeout"),
    ] {
        if let Some(seconds) = server.remove(theirs).as_ref().and_then(Value::as_f64) {
            server.insert(ours.to_owned(), json!(super::whole_seconds(seconds)));
        }
    }
    Ok(server)
}
