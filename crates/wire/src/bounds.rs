//! Every limit on what may come in, with its default, in one place.
//!
//! A limit here is a promise: memory for one message grows with its bytes, or with its values, and never with their
//! product; and work is linear in its bytes. Whoever raises a limit raises both. Units come last in the names.

/// Limits for one JSON text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JsonBounds {
    /// Longest text accepted, in bytes.
    pub text_bytes_max: usize,
    /// Deepest nesting of arrays and objects.
    pub depth_max: usize,
    /// Most values (members and elements, at every depth, keys included).
    pub values_max: usize,
    /// Longest key, in bytes as written.
    pub key_bytes_max: usize,
    /// Longest number, in bytes as written. JSON sets no limit; parsers differ, so we do.
    pub number_bytes_max: usize,
}

/// What a client may send in one message.
pub const REQUEST: JsonBounds = JsonBounds {
    text_bytes_max: 8 * 1024 * 1024,
    depth_max: 96,
    values_max: 1_000_000,
    key_bytes_max: 4 * 1024,
    number_bytes_max: 512,
};

/// What an upstream may answer in one message.
pub const ANSWER: JsonBounds = JsonBounds {
    text_bytes_max: 16 * 1024 * 1024,
    ..REQUEST
};

/// What a token, a key set or a metadata document may be.
pub const CREDENTIAL: JsonBounds = JsonBounds {
    text_bytes_max: 64 * 1024,
    depth_max: 16,
    values_max: 4_096,
    key_bytes_max: 256,
    number_bytes_max: 32,
};

/// Longest JSON-RPC id given as a string, in bytes after decoding.
pub const ID_BYTES_MAX: usize = 256;
/// Most messages in one batch (revision 2025-03-26 only).
pub const BATCH_MESSAGES_MAX: usize = 64;
/// Most entries of one page of a list of ours. Many clients read the first page alone.
pub const PAGE_ENTRIES_MAX: usize = 1_000;
/// Most bytes of the entries of one page, if it has several.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most tokens that a server may have its client's model write at a time.
pub const SAMPLING_TOKENS_MAX: i64 = 16 * 1024;
/// Longest tool, prompt or server name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest resource URI, in bytes.
pub const URI_BYTES_MAX: usize = 8 * 1024;
/// Longest JSON pointer that says where something was found; a longer one ends at what holds it. Names may have
/// [`JsonBounds::key_bytes_max`] at every depth, so that the way to a value may be near 400 kB, and it is told of each
/// of thousands of findings.
pub const POINTER_BYTES_MAX: usize = 1024;
/// Longest event-stream line, in bytes; an event may not exceed the message limit either.
pub const SSE_LINE_BYTES_MAX: usize = ANSWER.text_bytes_max + 64;
/// Longest event id or event name, in bytes.
pub const SSE_FIELD_BYTES_MAX: usize = 1024;
/// Longest value of a mirrored `Mcp-*` header, in bytes.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
