//! End-to-end tests: the real binary, real peers, loopback.

#![cfg(test)]

mod bad_input;
mod bad_servers;
mod conformance;
mod kill;
mod real_peers;
mod start;
mod transports;
