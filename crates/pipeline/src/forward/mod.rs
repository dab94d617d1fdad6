//! Nothing leaves before its intent is durable. Refusals here are 502, 503 or 504.

mod answer;
mod heed;
mod record;

pub use answer::Answered;
pub(crate) use answer::answer;
pub use heed::Heeded;
pub(crate) use heed::heed;
pub use record::Recorded;
pub(crate) use record::record;
