//! Rewriting what was found: a mark, a mask, or another value of the same form; choosing parts,
//! marking what is untrusted, and making links and images harmless.
//!
//! Which findings are to go, and what a pseudonym stands for, is the caller's business.

mod birthday;
mod defang;
mod mask;
mod others;
mod pseudonym;
mod select;
mod spotlight;
mod strung;

pub use defang::{Defang, defang};
pub use mask::{mask, redact};
pub use others::{Lasting, Others, plain};
pub use pseudonym::{Effort, Like, pseudonym};
pub use select::{Choice, select, select_text};
pub use spotlight::{Marked, Marks, Spotlight};
pub use strung::Strung;
