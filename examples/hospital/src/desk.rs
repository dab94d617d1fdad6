//! What all servers share: a list of tools, and one function that answers calls of them.

use std::sync::Arc;

use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    service::RequestContext,
};
use serde_json::Value;

/// A server.
pub(crate) trait Desk: Send + Sync + 'static {
    /// Its name.
    const NAME: &'static str;

    /// What it offers now.
    fn tools(&self) -> Vec<Tool>;

    /// Answers a call; an error is for the model to read.
    fn call(&self, tool: &str, arguments: &JsonObject) -> Result<String, String>;
}

/// Serves a desk over standard input and output until the other side hangs up.
pub(crate) fn serve(desk: impl Desk) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let running = Counter(desk).serve(rmcp::transport::stdio()).await;
        // Somebody who only looks in and leaves again is no failure.
        let Ok(running) = running else { return Ok(()) };
        running
            .waiting()
            .await
            .map(|_| ())
            .map_err(|error| error.to_string())
    })
}

/// A tool. `parameters` are the properties of its input schema, all required.
pub(crate) fn tool(name: &'static str, description: &'static str, reads: bool, parameters: Value) -> Tool {
    let names: Vec<String> = parameters
        .as_object()
        .into_iter()
        .flat_map(JsonObject::keys)
        .cloned()
        .collect();
    let schema = serde_json::json!({
        "type": "object",
        "properties": parameters,
        "required": names,
        "additionalProperties": false,
    });
    let schema = schema.as_object().cloned().unwrap_or_default();
    let annotations = ToolAnnotations::new()
        .read_only(reads)
        .destructive(false)
        .open_world(false);
    Tool::new(name, description, Arc::new(schema)).with_annotations(annotations)
}

/// A text argument.
pub(crate) fn text<'a>(arguments: &'a JsonObject, name: &str) -> Result<&'a str, String> {
    arguments
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("`{name}` is missing"))
}

/// A desk as the SDK wants it.
struct Counter<D>(D);

impl<D: Desk> ServerHandler for Counter<D> {
    fn get_info(&self) -> ServerConfig {
        let name = Implementation::new(format!("hospital-{}", D::NAME), env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build()).with_server_info(name)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.0.tools()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        Ok(match self.0.call(&request.name, &arguments) {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]).into(),
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]).into(),
        })
    }
}
