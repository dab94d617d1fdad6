//! The ledger: an append-only Merkle log in a directory, in the formats of C2SP.
//!
//! It must not know MCP or what a policy means.

pub mod checkpoint;
pub mod entry;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod tile;

#[cfg(test)]
mod tests;
