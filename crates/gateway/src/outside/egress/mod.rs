//! The way out for servers in boxes: the gateway resolves and connects for them, to the hosts of their manifest alone.
//!
//! A box has no network. What a program in it says to the proxy of its environment arrives here, over a socket of that
//! server's own, as HTTP CONNECT, as HTTP with a whole URL, or as SOCKS 5 with a name. TLS passes through unopened; what is
//! unencrypted and leaves for a public address is read, and a credential in it stops the connection.
//! Addresses that are private, of this machine, or of a cloud's metadata are refused after resolution, unless the
//! operator named the host under `private`. Each connection is in the ledger, with its bytes.

mod broker;
mod clear;
mod host;
mod speak;

pub(crate) use broker::{Came, Egress};
pub(crate) use clear::Look;
pub(crate) use host::Host;
