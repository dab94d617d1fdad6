//! `sallyport`: the binary. Parses the command line and hands over to one file per command.

mod addresses;
mod admin;
mod ambient;
mod archive;
mod assemble;
mod authorization;
mod behind;
mod boxes;
mod bundle;
mod cli;
mod clients;
mod concerned;
mod config;
mod console;
mod contexts;
mod cursor;
mod dumps;
mod egress;
mod engines;
mod enrolments;
mod events;
mod exchange;
mod failure;
mod fetch;
mod halts;
mod incidents;
mod interceptors;
mod issuers;
mod journal;
mod judge;
mod keeper;
mod keychain;
mod keyring;
mod listen;
mod lists;
mod metrics;
mod oauth;
mod onward;
mod outbound;
mod parked;
mod payloads;
mod people;
mod policy_version;
mod present;
mod proxy;
mod reload;
mod replay;
mod replicas;
mod reviews;
mod root;
mod sealed;
mod secrets;
mod sessions;
mod store;
mod supply;
mod task_desks;
mod task_owners;
mod tls;
mod vault;
mod view;
mod visible;
mod witness;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: the helper that boxes a server is this binary with one thread, and quick.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == upstream::sandbox::WORD)
    {
        return upstream::sandbox::enter();
    }
    cli::main()
}
