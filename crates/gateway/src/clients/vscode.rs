//! VS Code: the user's `mcp.json` and a project's `.vscode/mcp.json`, key `servers`.

use serde_json::json;

use super::{Client, Format, Home, Place, as_written};

/// See the module.
pub(super) const VSCODE: Client = Client {
    id: "vscode",
    title: "VS Code",
    places,
    recognises: |path| path.ends_with(".vscode/mcp.json") || path.ends_with("Code/User/mcp.json"),
    format: Format::Json,
    key: "servers",
    normalise: as_written,
    entry: |_| json!({ "type": "stdio" }),
};

fn places(home: &Home<'_>) -> Vec<Place> {
    vec![
        Place::of_user(home.applications().join("Code/User/mcp.json")),
        Place::of_project(&home.here, ".vscode/mcp.json"),
    ]
}
