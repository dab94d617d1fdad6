//! JSON-RPC error codes, and which of them are whose.

/// The text is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The JSON is not a message.
pub const INVALID_REQUEST: i64 = -32600;
/// No such method, here and now.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters do not fit; also "no such tool, prompt or resource" since 2025-11-25.
pub const INVALID_PARAMS: i64 = -32602;
/// The far side failed.
pub const INTERNAL_ERROR: i64 = -32603;
/// "Resource not found" in the legacy era.
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// A header and the body disagree (2026-07-28).
pub const HEADER_MISMATCH: i64 = -32020;
/// The client did not declare a capability the request needs (2026-07-28).
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// A revision this server does not speak (2026-07-28).
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;
/// URL elicitation required (2025-11-25 only).
pub const URL_ELICITATION_REQUIRED: i64 = -32042;
/// Refused by policy: ours, and therefore outside the range JSON-RPC and MCP keep for themselves
/// (-32768 to -32000).
pub const REFUSED: i64 = -31000;
