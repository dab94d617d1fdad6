//! Windsurf: `~/.codeium/windsurf/mcp_config.json`, key `mcpServers`.

use serde_json::json;

use super::{Client, Format, Home, Place, as_written};

/// See the module.
pub(super) const WINDSURF: Client = Client {
    id: "windsurf",
    title: "Windsurf",
    places,
    recognises: |path| path.ends_with("windsurf/mcp_config.json"),
    format: Format::Json,
    key: "mcpServers",
    normalise: as_written,
    entry: |_| json!({}),
};

fn places(home: &Home<'_>) -> Vec<Place> {
    vec![Place::of_user(
        home.directory.join(".codeium/windsurf/mcp_config.json"),
    )]
}
