//! Configuration in two types: what was said ([`said`]) and what it means ([`meant`]). Only the second can
//! build anything, and it exists only when every line of the first made sense.

pub(crate) mod acme;
mod agents;
pub(crate) mod archive;
pub(crate) mod auth;
pub(crate) mod authorization;
pub(crate) mod door;
pub(crate) mod events;
pub(crate) mod find;
pub(crate) mod incidents;
pub(crate) mod inspection;
pub(crate) mod interceptors;
pub(crate) mod issuers;
pub(crate) mod judge;
mod keys;
mod limits;
pub(crate) mod login;
pub(crate) mod meant;
pub(crate) mod models;
mod openapi;
pub(crate) mod operators;
mod packs;
pub(crate) mod problem;
pub(crate) mod records;
pub(crate) mod reference;
pub(crate) mod root;
pub(crate) mod rules;
pub(crate) mod said;
mod sandbox;
mod sentences;
pub(crate) mod servers;
pub(crate) mod standing;
pub(crate) mod state;
pub(crate) mod trust_domains;
pub(crate) mod witness;

pub(crate) use agents::{Proof, key_set};
pub(crate) use meant::Meant;
pub(crate) use problem::{ConfigError, Problem};

#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;
