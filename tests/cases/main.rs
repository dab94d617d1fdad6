//! End-to-end tests: the real binary, real peers, loopback.

#![cfg(test)]

mod approvals;
mod bad_http_servers;
mod bad_input;
mod bad_servers;
mod bridging;
mod bundles;
mod conformance;
mod conformance_client;
mod connections;
mod contexts;
mod crowd;
mod endpoints;
mod eras;
mod every_wire;
mod extensions;
mod fidelity;
mod flow;
mod halts;
mod identity;
mod incidents;
mod kill;
mod limits;
mod matrix;
mod policy;
mod protect;
mod raw_http;
mod real_peers;
mod replay;
mod reviews;
mod rules;
mod scan;
mod servers;
mod sessions;
mod start;
mod subscriptions;
mod tasks;
mod tls;
mod transports;
