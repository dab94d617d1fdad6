//! The harness of the end-to-end tests: a gateway in a directory of its own, and clients to speak with it.
//!
//! It knows the gateway only from outside, as its users do: the binary, its configuration, its ports.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test harness; what is not as expected ends the test"
)]

use std::io::Write;

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
pub mod raw;
pub mod recorder;
pub mod registry;
pub mod visitor;
pub mod wires;

/// Says that something cannot be tested here. A test that returns then has passed, and nobody reads what passed says:
/// `cargo xtask test` repeats it at its end.
///
/// # Panics
/// When it cannot be written down.
#[expect(clippy::print_stderr, reason = "for whoever runs the one test alone")]
pub fn untested(what: &str) {
    eprintln!("NOT TESTED: {what}");
    let programs = gateway::program("e2e-stub");
    let target = programs
        .parent()
        .and_then(std::path::Path::parent)
        .expect("target/<profile>");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(target.join("untested.txt"));
    let line = format!("{what}\n");
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("target/untested.txt");
}
