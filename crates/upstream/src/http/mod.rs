//! Servers over HTTP, as a client of theirs: Streamable HTTP, HTTP+SSE, WebSocket.
//!
//! Redirects are never followed, and nothing of a caller's request is sent along but the judged message.

mod client;
mod connector;
mod door;
mod endpoint;
mod lane;
pub(crate) mod sse;
pub(crate) mod websocket;

pub(crate) use client::{Client, chain, configured};
pub(crate) use door::Door;
pub(crate) use endpoint::Endpoint;
pub(crate) use lane::Answered;
