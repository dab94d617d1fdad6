//! REST services, offered as MCP servers: an OpenAPI description says what they can do, and each of its operations is a
//! tool.
//!
//! Nothing is decided here that is not decided of other servers: what the description offers is listed like any server's
//! tools, so it is pinned, inspected and ruled over like them, and a call comes here when it has passed all of that.
//!
//! THREAT: an argument is text of a model, and a URL is text with a grammar. Whoever pastes the one into the other lets
//! an argument choose another route, another parameter, another header (CVE-2026-29791). So each argument is written
//! by the grammar of its place, what has no safe spelling there is refused, and the URL is read again before it is sent:
//! it must be the base, and as many steps below it as the description says ([`route`]).
//!
//! The description is believed in what the service offers, since a person approves that, and in nothing else: not in
//! where the service is (`servers`), not in how the gateway proves itself to it (`securitySchemes`).
//! docs/decisions/0018-a-description-is-a-server.md says what was chosen against.

mod answer;
mod description;
mod operation;
mod parameters;
mod route;
mod schema;
mod service;
#[cfg(test)]
mod tests;

pub use description::{Description, DescriptionError, LeftOut};
pub(crate) use route::Base;
pub(crate) use service::Service;
