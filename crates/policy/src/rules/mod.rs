//! Rules, written in Cedar, compiled to a form that decides in microseconds.

mod value;

pub use value::Value;
