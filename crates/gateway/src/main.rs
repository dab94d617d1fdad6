//! `sallyport`: the binary. Parses the command line and hands over to one file per command.

mod ambient;
mod assemble;
mod cli;
mod clients;
mod config;
mod conversations;
mod dumps;
mod engines;
mod evidence;
mod failure;
mod known;
mod listen;
mod operate;
mod outside;
mod registry;
mod storage;
mod tls;
mod visible;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A fifth of a small call's time was the C library's allocator (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
