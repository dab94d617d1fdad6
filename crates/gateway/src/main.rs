//! `sallyport`: the binary. Parses the command line and hands over to one file per command.

mod admin;
mod ambient;
mod assemble;
mod behind;
mod bundle;
mod cli;
mod clients;
mod config;
mod contexts;
mod cursor;
mod engines;
mod exchange;
mod failure;
mod fetch;
mod halts;
mod incidents;
mod issuers;
mod journal;
mod keeper;
mod listen;
mod parked;
mod people;
mod policy_version;
mod present;
mod reload;
mod replay;
mod reviews;
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
