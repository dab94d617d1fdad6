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
/// What the gateway changed in a result: a list of `{at, did, what}`.
pub const CHANGED: &str = "io.sallyport/changed";

/// Untrusted content is marked for whoever asks for it by this name: in `_meta` of a request, or among its
/// capabilities. In `_meta` of the result it says how, and which marks there are.
pub const SPOTLIGHT: &str = "io.sallyport/spotlight";

/// The caller's place in a distributed trace (W3C Trace Context, section 3.2; MCP 2026-07-28, `_meta`).
pub const TRACEPARENT: &str = "traceparent";

/// All keys of a trace (W3C Trace Context and Baggage).
pub const TRACE_KEYS: [&str; 3] = [TRACEPARENT, "tracestate", "baggage"];

/// Keys the modern era puts on a request that a legacy server must not see, and the other way round.
pub const MODERN_REQUEST_KEYS: [&str; 4] = [PROTOCOL_VERSION, CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL];

/// Whether the key is the gateway's to set; such keys are never passed on from either side.
#[must_use]
pub fn is_ours(key: &str) -> bool {
    key.split_once('/')
        .is_some_and(|(prefix, _)| prefix == "io.sallyport" || prefix.starts_with("io.sallyport."))
}

/// Whether a key of a request goes on to a server as the client wrote it: vendors' keys do. Those of an era, and the
/// token that names progress, the gateway writes itself.
#[must_use]
pub fn passes(key: &str) -> bool {
    !is_ours(key) && !MODERN_REQUEST_KEYS.contains(&key) && key != PROGRESS_TOKEN
}

/// The `_meta` object of params or of a result, if there is one.
#[must_use]
pub fn of(holder: Node<'_>) -> Option<Node<'_>> {
    holder
        .get("_meta")
        .filter(|meta| meta.kind() == crate::json::Kind::Object)
}

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2.2.3): 32 hexadecimal digits, not all zero.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let fit = hex(version, 2) && version != "ff" && hex(trace, 32) && trace.bytes().any(|b| b != b'0');
    (fit && hex(parts.next()?, 16)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    #[test]
    fn only_a_well_formed_traceparent_names_a_trace() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_id(&format!("00-{id}-00f067aa0ba902b7-01")), Some(id));
        for bad in [
            format!("ff-{id}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            format!("00-{id}"),
            id.to_owned(),
        ] {
            assert_eq!(trace_id(&bad), None, "{bad}");
        }
    }
}
