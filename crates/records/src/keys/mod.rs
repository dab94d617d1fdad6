//! Keys: secrets that are overwritten when dropped, and what signs the log.
//!
//! It must not know what is signed, sealed or digested, nor who is allowed to.

mod secret;
mod sign;

pub use secret::Secret;
pub use sign::{KeyError, LogKeys};

#[cfg(test)]
mod tests;
