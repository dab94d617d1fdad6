//! The order: admit, decide, forward, release.
