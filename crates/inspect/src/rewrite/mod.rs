//! Rewriting what was found: a mark, a mask, or another value of the same form; choosing parts,
//! and marking what is untrusted.
//!
//! Which findings are to go, and what a pseudonym stands for, is the caller's business.

mod mask;
mod others;
mod pseudonym;
mod select;
mod spotlight;

pub use mask::{mask, redact};
pub use others::{Others, plain};
pub use pseudonym::{Like, pseudonym};
pub use select::{Choice, select, select_text};
pub use spotlight::{Marked, Marks, Spotlight};
