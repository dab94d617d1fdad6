//! Cursor: `~/.cursor/mcp.json` and a project's `.cursor/mcp.json`, key `mcpServers`.

use serde_json::json;

use super::{Client, Format, Home, Place, as_written};

/// See the module.
pub(super) const CURSOR: Client = Client {
    id: "cursor",
    title: "Cursor",
    places,
    recognises: |path| path.ends_with(".cursor/mcp.json"),
    format: Format::Json,
    key: "mcpServers",
    normalise: as_written,
    entry: |_| json!({}),
};

fn places(home: &Home<'_>) -> Vec<Place> {
    vec![
        Place::of_user(home.directory.join(".cursor/mcp.json")),
        Place::of_project(&home.here, ".cursor/mcp.json"),
    ]
}
