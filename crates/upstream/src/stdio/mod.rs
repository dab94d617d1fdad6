//! Servers as child processes, and servers at a Unix socket: one message a line.

mod child;
pub(crate) mod environment;
mod lines;
mod socket;

pub(crate) use child::{Given, Pipe};
pub(crate) use socket::open;
