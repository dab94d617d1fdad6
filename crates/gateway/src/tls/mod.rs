//! TLS towards clients: version 1.3 only, post-quantum key exchange first, certificates that may change while the
//! gateway runs. What it makes of a connection is told to the road, which decides nothing here.

mod acceptor;
pub(crate) mod acme;
mod authority;
mod clients;
mod der;
mod files;
mod follow;

pub(crate) use acceptor::{Acceptor, Failed, Welcome};
pub(crate) use authority::{AUTHORITY, Authority};
pub(crate) use files::{Material, authorities, own_certificate};
pub(crate) use follow::follow;
