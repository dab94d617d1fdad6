//! Nothing comes back unread. Refusals here withhold an answer that already exists.

mod filter;
mod screen;

pub use filter::Filtered;
pub(crate) use filter::filter;
pub use screen::Screened;
pub(crate) use screen::screen;
