//! Who asks, in which context, for what purpose. Refusals here are 401, 404 or 403.

mod authenticate;
mod declare;
mod enter_context;

pub use self::{authenticate::Authenticated, declare::Declared, enter_context::Entered};
pub(crate) use self::{authenticate::authenticate, declare::declare, enter_context::enter_context};
