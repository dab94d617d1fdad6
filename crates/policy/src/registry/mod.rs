//! What may be reached: servers, their tools and prompts, and the pins that say what was approved.
//!
//! A pin is the digest of a whole definition. Nothing here learns a new value by itself: what a server
//! offers is observed, compared and, where it differs, kept out until a person approves it.

mod definition;
mod lifecycle;
mod manifest;
mod rivals;
mod server;
mod snapshot;
mod stored;
mod version;

pub use definition::{Definition, DefinitionError, Pin};
pub use lifecycle::{Change, ChangeKind, Offer, OnNew, TransitionError};
pub use manifest::{Glob, Manifest, ToolManifest};
pub use rivals::Rivals;
pub use server::{Item, ItemKind, ItemState, Launch, Server, ServerState};
pub use snapshot::{Pinned, PinnedServer, Registry, Unresolved};
pub use stored::StoredError;
pub use version::Version;

#[cfg(test)]
mod tests;
