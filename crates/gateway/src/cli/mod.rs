//! The command line. Rules of output: what a command is asked for goes to standard output; everything else
//! goes to standard error, begins with `sallyport:` and says what to do. `--json` makes the output machine
//! readable. Exit codes: 0 ok, 1 the thing checked does not hold, 2 usage or configuration error, 3 refused
//! by policy, 4 unreachable.

mod serve;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// A guarded way between AI agents and everything they reach.
#[derive(Debug, Parser)]
#[command(name = "sallyport", version, arg_required_else_help = true)]
struct Cli {
    /// The configuration file. Otherwise ./sallyport.yaml, ~/.config/sallyport/ and /etc/sallyport/ are tried.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Machine-readable output.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(serve::Serve),
}

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Common {
    /// The configuration file, if one was named.
    pub(crate) config: Option<PathBuf>,
    /// Machine-readable output.
    pub(crate) json: bool,
}

/// Parses the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output with 0, mistakes to standard error with 2.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let common = Common { config: cli.config, json: cli.json };
    let result = match cli.command {
        Command::Serve(serve) => serve.run(&common),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.code())
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where commands complain")]
fn complain(failure: &Failure) {
    eprintln!("sallyport: {failure}");
}

/// Says something to standard output.
#[expect(clippy::print_stdout, reason = "the one place where commands answer")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
