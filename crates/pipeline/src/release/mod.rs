//! Nothing comes back unread. Refusals here withhold an answer that already exists.

mod filter;
mod reconsider;
mod screen;

pub use filter::Filtered;
pub(crate) use filter::filter;
pub use reconsider::Reconsidered;
pub(crate) use reconsider::reconsider;
pub use screen::Screened;
pub(crate) use screen::screen;
