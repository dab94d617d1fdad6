//! End-to-end tests: the real binary, real peers, loopback.

#![cfg(test)]

mod approvals;
mod authorize;
mod authorize_clients;
mod authorize_faults;
mod bad_http_servers;
mod bad_input;
mod bad_servers;
mod bridging;
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
mod grants;
mod identity;
mod kill;
mod limits;
mod matrix;
mod policy;
mod protect;
mod raw_http;
mod real_peers;
mod records;
mod replay;
mod reports;
mod rules;
mod sandbox;
mod scan;
mod servers;
mod sessions;
mod start;
mod subscriptions;
mod supply;
mod tasks;
mod tls;
mod transports;
mod upstream_auth;
