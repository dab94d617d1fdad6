//! Gemini CLI: `~/.gemini/settings.json` and a project's, key `mcpServers`.

use serde_json::{Map, Value, json};

use super::{Client, Format, Home, Place};

/// See the module.
pub(super) const GEMINI: Client = Client {
    id: "gemini",
    title: "Gemini CLI",
    places,
    recognises: |path| path.ends_with(".gemini/settings.json"),
    format: Format::Json,
    key: "mcpServers",
    normalise,
    entry: |_| json!({}),
};

fn places(home: &Home<'_>) -> Vec<Place> {
    vec![
        Place::of_user(home.directory.join(".gemini/settings.json")),
        Place::of_project(&home.here, ".gemini/settings.json"),
    ]
}

/// Its times are in milliseconds, its `trust` says whether to ask the user, and `url` alone is the old
/// transport.
fn normalise(mut server: Map<String, Value>) -> Result<Map<String, Value>, String> {
    server.remove("trust");
    if let Some(milliseconds) = server.remove("timeout").as_ref().and_then(Value::as_f64) {
        server.insert(
            "timeout".to_owned(),
            json!(super::whole_seconds(milliseconds / 1000.0)),
        );
    }
    if server.contains_key("url") && !server.contains_key("httpUrl") && !server.contains_key("type") {
        server.insert("type".to_owned(), json!("sse"));
    }
    Ok(server)
}
