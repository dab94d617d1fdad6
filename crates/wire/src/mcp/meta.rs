//! The keys of `_meta` that mean something to us.

use crate::json::Node;

/// The revision of a request (modern era).
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// What the client can do (modern era).
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// What the client calls itself (modern era). Hearsay: never decides anything.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// What the server calls itself (modern era). Hearsay.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// The least level of log messages wanted (modern era).
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Which subscription a notification belongs to (modern era).
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// Which task a message belongs to (2025-11-25).
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
/// Names the progress notifications of a request.
pub const PROGRESS_TOKEN: &str = "progressToken";
/// The caller's declaration of context and purpose: ours, under our own name, since prefixes whose
/// second label is `mcp` or `modelcontextprotocol` are reserved.
pub const CONTEXT: &str = "io.sallyport/context";
/// What the gateway says of a call: its id and what it changed.
pub const CALL: &str = "io.sallyport/call";

/// Keys the modern era puts on a request that a legacy server must not see, and the other way round.
pub const MODERN_REQUEST_KEYS: [&str; 4] = [PROTOCOL_VERSION, CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL];

/// Whether the key is the gateway's to set; such keys are never passed on from either side.
#[must_use]
pub fn is_ours(key: &str) -> bool {
    key.split_once('/')
        .is_some_and(|(prefix, _)| prefix == "io.sallyport" || prefix.starts_with("io.sallyport."))
}

/// The `_meta` object of params or of a result, if there is one.
#[must_use]
pub fn of(holder: Node<'_>) -> Option<Node<'_>> {
    holder
        .get("_meta")
        .filter(|meta| meta.kind() == crate::json::Kind::Object)
}
