//! The far side: reaching MCP servers, over pipes and over HTTP, and REST services, and keeping them from harming each
//! other.
//!
//! Only a recorded call crosses: [`Upstreams`] sends nothing but a `&Passed<Recorded>`. What it says of its
//! own accord (handshakes, listings) holds nothing that came from a caller; what interceptors are asked ([`Aside`]) is
//! made from one by whoever asks. This crate must not know rules, what the registry
//! decided, or callers' credentials.

mod aside;
mod backchannel;
mod credentials;
mod dial;
mod encode;
mod eras;
mod error;
mod group;
mod handshake;
mod http;
mod inbox;
mod link;
mod listing;
mod outgoing;
mod pending;
mod pool;
mod rest;
pub mod sandbox;
mod spec;
mod stdio;
mod tasks;
mod watch;

pub use aside::Aside;
pub use backchannel::{Backchannel, Incoming, Noise, Said};
pub use credentials::{Consent, Credentials, Errand, Next, NoCredentials};
pub use error::LinkError;
pub use listing::{Catalogue, Offered};
pub use outgoing::{Outgoing, addresses_to_open, asks_to_open, refused_question};
pub use pool::{Health, Upstreams};
pub use rest::{Description, DescriptionError, LeftOut};
pub use sandbox::Sandbox;
pub use spec::{
    Command, HttpTarget, Isolation, OwnCertificate, PostQuantum, Proof, Protection, Reach, RestTarget,
    ServerSpec, Timeouts,
};
pub use tasks::TaskQuestion;
pub use watch::Watcher;
