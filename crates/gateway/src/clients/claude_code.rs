//! Claude Code: `~/.claude.json`, for the user and for each project, and a project's own `.mcp.json`.

use serde_json::json;

use super::{Client, Format, Home, Place, as_written};

/// See the module.
pub(super) const CLAUDE_CODE: Client = Client {
    id: "claude-code",
    title: "Claude Code",
    places,
    recognises: |path| path.ends_with(".mcp.json") || path.ends_with(".claude.json"),
    format: Format::Json,
    key: "mcpServers",
    normalise: as_written,
    entry: |_| json!({ "type": "stdio" }),
};

/// The file that has servers of its own for each project, under `projects`.
pub(super) const WITH_PROJECTS: &str = ".claude.json";

fn places(home: &Home<'_>) -> Vec<Place> {
    let directory = home
        .variable("CLAUDE_CONFIG_DIR")
        .unwrap_or_else(|| home.directory.clone());
    vec![
        Place::of_user(directory.join(WITH_PROJECTS)),
        Place::of_project(&home.here, ".mcp.json"),
    ]
}
