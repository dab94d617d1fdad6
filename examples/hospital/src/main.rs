//! `sallyport-hospital`: the servers and the agents of the demo, in one binary. It knows MCP through the
//! official SDK only, and nothing of the gateway but its address.

mod charts;
mod desk;
mod lab;
mod mailer;
mod pages;
mod play;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// The servers and the agents of a small hospital, to be put behind Sallyport.
#[derive(Debug, Parser)]
#[command(name = "sallyport-hospital", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Server: patients' charts, in an SQLite file that is made at first use.
    Charts {
        /// The file.
        #[arg(long)]
        file: PathBuf,
    },
    /// Server: laboratory results. Its tool changes as soon as the update is there.
    Lab {
        /// The update: the tool is another one once this file exists.
        #[arg(long, value_name = "FILE")]
        update: PathBuf,
    },
    /// Server: sends mail, which here means adding a line to a file.
    Mailer {
        /// The file.
        #[arg(long)]
        outbox: PathBuf,
    },
    /// Server: reads web pages, of which this one has a few built in.
    Pages,
    /// The agents: play one scene and print one line of JSON for each call.
    Play(play::Play),
}

fn main() -> ExitCode {
    let role = match Cli::try_parse() {
        Ok(cli) => cli.role,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let ended = match role {
        Role::Charts { file } => charts::Charts::open(&file).and_then(desk::serve),
        Role::Lab { update } => desk::serve(lab::Lab::new(update)),
        Role::Mailer { outbox } => desk::serve(mailer::Mailer::new(outbox)),
        Role::Pages => desk::serve(pages::Pages),
        Role::Play(play) => play.run(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place that complains")]
fn complain(why: &str) {
    eprintln!("sallyport-hospital: {why}");
}
