//! Servers over Streamable HTTP, as a client of theirs.
//!
//! Redirects are never followed, and nothing of a caller's request is sent along but the judged message.

mod client;
mod endpoint;

pub(crate) use client::Client;
pub(crate) use endpoint::Endpoint;
