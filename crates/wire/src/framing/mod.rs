//! Where one message ends and the next begins, on each kind of stream.

mod lines;
mod sse;

pub use lines::{Line, Lines, each_line};
pub use sse::{Event, EventError, EventReader, write_event};

#[cfg(test)]
mod tests;
