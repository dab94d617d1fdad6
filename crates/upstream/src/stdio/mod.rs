//! Servers as child processes, one message a line.

mod child;
mod environment;

pub(crate) use child::Pipe;
