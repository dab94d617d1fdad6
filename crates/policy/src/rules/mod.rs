//! Rules, written in Cedar, compiled to a form that decides in microseconds.

mod value;

pub use value::Value;

/// Whether some call could be permitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Discovery {
    /// No call could.
    Hidden,
    /// Some call could.
    Listed,
}
