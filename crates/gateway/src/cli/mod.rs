//! The command line. Rules of output: what a command is asked for goes to standard output; everything else
//! goes to standard error, begins with `sallyport:` and says what to do. `--json` makes the output machine
//! readable. Exit codes: 0 ok, 1 the thing checked does not hold, 2 usage or configuration error, 3 refused
//! by policy, 4 unreachable. `docs/reference/command-line.md` says it to users.

mod agent;
mod approvals;
mod attach;
mod backup;
mod bundle;
mod connect;
mod console;
mod context;
mod demo;
mod desk;
mod doctor;
mod enroll;
mod enrolments;
mod import;
mod incident;
mod init;
mod inspect;
mod interceptor;
mod keys;
mod ledger;
mod oauth;
mod onboard;
mod output;
mod past;
mod place;
mod policy;
mod replay;
mod report;
mod review;
mod scan;
mod secret;
mod serve;
mod server;
mod server_json;
mod stop;
mod subject;
mod user;
mod weigh;
mod wrap;
mod wrapped;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

pub(crate) use self::output::say;
use self::output::{complain, tell};
use crate::{dumps, failure::Failure};

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
    #[command(subcommand)]
    Agent(agent::Agent),
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    #[command(subcommand)]
    Backup(backup::Backup),
    Connect(Box<connect::Connect>),
    Console(console::Console),
    #[command(subcommand)]
    Context(context::Context),
    Demo(demo::Demo),
    Doctor(doctor::Doctor),
    Import(import::Import),
    #[command(subcommand)]
    Incident(incident::Incident),
    Init(init::Init),
    Inspect(inspect::Inspect),
    Interceptor(interceptor::Interceptor),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    #[command(subcommand)]
    Oauth(oauth::Oauth),
    #[command(subcommand)]
    Policy(policy::Policy),
    Report(report::Report),
    Review(review::Review),
    Scan(scan::Scan),
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Run the gateway.
    Serve(serve::Serve),
    #[command(subcommand)]
    Server(server::Server),
    Stop(stop::Stop),
    #[command(subcommand)]
    Subject(subject::Subject),
    Token(agent::Token),
    #[command(subcommand)]
    User(user::User),
    Wrap(wrap::Wrap),
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
    let common = Common {
        config: cli.config,
        json: cli.json,
    };
    // Standard output of these two belongs to the host that started them.
    let speaks_json = cli.json && !matches!(cli.command, Command::Connect(_) | Command::Wrap(_));
    // Memory holds keys. Whoever cannot keep it out of files does not begin.
    let closed = dumps::off();
    let closed = closed.map_err(|error| Failure::other(format!("core dumps cannot be turned off: {error}")));
    let result = closed.and_then(|()| run(cli.command, &common));
    ExitCode::from(output::end(result, speaks_json))
}

fn run(command: Command, common: &Common) -> Result<(), Failure> {
    match command {
        Command::Agent(agent) => agent.run(common),
        Command::Approvals(approvals) => approvals.run(common),
        Command::Backup(backup) => backup.run(common),
        Command::Connect(connect) => connect.run(common),
        Command::Console(console) => console.run(common),
        Command::Context(context) => context.run(common),
        Command::Demo(demo) => demo.run(common),
        Command::Doctor(doctor) => doctor.run(common),
        Command::Import(import) => import.run(common),
        Command::Incident(incident) => incident.run(common),
        Command::Init(init) => init.run(common),
        Command::Inspect(inspect) => inspect.run(),
        Command::Interceptor(interceptor) => interceptor.run(),
        Command::Keys(keys) => keys.run(common),
        Command::Ledger(ledger) => ledger.run(common),
        Command::Oauth(oauth) => oauth.run(common),
        Command::Policy(policy) => policy.run(common),
        Command::Report(report) => report.run(common),
        Command::Review(review) => review.run(common),
        Command::Scan(scan) => scan.run(common),
        Command::Secret(secret) => secret.run(common),
        Command::Serve(serve) => serve.run(common),
        Command::Server(server) => server.run(common),
        Command::Stop(stop) => stop.run(common),
        Command::Subject(subject) => subject.run(common),
        Command::Token(token) => token.run(common),
        Command::User(user) => user.run(common),
        Command::Wrap(wrap) => wrap.run(common),
    }
}

/// Runs something to its end on a small runtime.
fn block_on<T>(work: impl std::future::Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::other(error.to_string()))?
        .block_on(work)
}

/// Columns for people.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all = vec![head.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()];
    all.extend(rows);
    let width = |column: usize| {
        all.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let lines = all.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(n, cell)| {
            let last = n + 1 == row.len();
            if last {
                cell.clone()
            } else {
                format!("{cell:<width$}", width = width(n).unwrap_or(0))
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
