//! The Model Context Protocol, all revisions: methods, names, headers, and typed views of what we decide on.

pub mod code;
mod headers;
mod level;
mod members;
pub mod meta;
mod method;
mod mirror;
mod name;
mod params;
mod revision;
pub mod shape;

pub use headers::{Mirrored, Mismatch, decode_sentinel, encode_sentinel};
pub use level::LogLevel;
pub use members::{Beside, Membership, beside, membership};
pub use method::{Direction, METHODS, Method, Row, Shape, TASKS_EXTENSION};
pub use mirror::{MirroredParam, PARAM_HEADER_PREFIX, mirrored_params};
pub use name::{NameError, ServerName, federated, split_federated};
pub use params::{ParamsError, Reference, Target, target};
pub use revision::{Era, Eras, Revision, Revisions};

#[cfg(test)]
mod tests;
