//! Bytes to messages and back, for every protocol revision, with a bound on everything.
//!
//! This crate must not know tokio, sockets or clocks, who is calling, or what is allowed. It refuses
//! whatever two parsers could read differently, so that what was judged is what is sent.

pub mod bounds;
pub mod framing;
pub mod hex;
pub mod json;
pub mod jsonrpc;
pub mod mcp;
pub mod model;
