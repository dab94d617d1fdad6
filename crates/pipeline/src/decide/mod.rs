//! Is exactly this call, on exactly this pinned tool, allowed now. Refusals here are told to the model, or
//! are 403 or 429.

mod approve;
mod authorize;
mod consult;
mod inspect;
mod limit;
mod resolve;

pub use self::{
    approve::Approved, authorize::Authorized, consult::Consulted, inspect::Inspected, limit::Limited,
    resolve::Resolved,
};
pub(crate) use self::{
    approve::approve,
    authorize::{authorize, counting, facts},
    consult::consult,
    inspect::inspect,
    limit::limit,
    resolve::resolve,
};
