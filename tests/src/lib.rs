//! The harness of the end-to-end tests: a gateway in a directory of its own, and clients to speak with it.
//!
//! It knows the gateway only from outside, as its users do: the binary, its configuration, its ports.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test harness; what is not as expected ends the test"
)]

pub mod alone;
#[path = "../../crates/records/tests/support/cluster.rs"]
pub mod cluster;
pub mod completions;
pub mod elsewhere;
pub mod every;
pub mod gateway;
pub mod mcp;
pub mod papers;
pub mod peers;
pub mod person;
pub mod provider;
pub mod recorder;
pub mod registry;
pub mod wires;
