//! `sallyport`: the binary. Parses the command line and hands over to one file per command.

mod admin;
mod ambient;
mod assemble;
mod behind;
mod cli;
mod clients;
mod concerned;
mod config;
mod contexts;
mod cursor;
mod engines;
mod events;
mod exchange;
mod failure;
mod fetch;
mod issuers;
mod journal;
mod keeper;
mod keychain;
mod listen;
mod metrics;
mod parked;
mod payloads;
mod people;
mod policy_version;
mod present;
mod reload;
mod replay;
mod sealed;
mod sessions;
mod store;
mod task_owners;
mod tls;
mod vault;
mod view;
mod visible;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
