//! Claude Desktop: `claude_desktop_config.json`, key `mcpServers`.

use serde_json::json;

use super::{Client, Format, Home, Place, as_written};

/// See the module.
pub(super) const CLAUDE_DESKTOP: Client = Client {
    id: "claude-desktop",
    title: "Claude Desktop",
    places,
    recognises: |path| path.ends_with("claude_desktop_config.json"),
    format: Format::Json,
    key: "mcpServers",
    normalise: as_written,
    entry: |_| json!({}),
};

fn places(home: &Home<'_>) -> Vec<Place> {
    vec![Place::of_user(
        home.applications().join("Claude/claude_desktop_config.json"),
    )]
}
