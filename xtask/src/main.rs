//! Every developer command: `cargo xtask <command>`. What CI runs is one of these, so a laptop and CI do the
//! same.

mod bench;
mod check;
mod dist;
mod fuzz;
mod peers;
mod run;
mod suite;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  check          formatting, clippy, tidy
  tidy           sizes, module docs, crate edges, generated docs
  test [ARGS]    install what the tests need, then run all of them; ARGS go to the test runner
  e2e [ARGS]     the end-to-end tests alone
  gen            write the generated documents anew
  fuzz [NAME] [--seconds N]   run one fuzz target, or each for a minute
  kernel         the walls of the box on a kernel of Debian's, in a virtual machine (not in CI)
  bench [ARGS]   measure calls through the gateway against the same calls without it;
                 `bench ledger`: durable appends to the ledger against SQLite and PostgreSQL;
                 `bench durability`: calls with their intents on a disk, and with them in memory
  dist           build what is shipped, laid out by what calls do, into target/guided
  demo           build everything and run the demo
  peers          install the real MCP clients and servers the tests use, into target/peers
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let result = match command.as_str() {
        "bench" => bench::run(&rest),
        "check" => check::run(),
        "demo" => suite::demo(&rest),
        "dist" => dist::run(&rest),
        "e2e" => suite::end_to_end(&rest),
        "fuzz" => fuzz::run(&rest),
        "gen" => suite::generate(),
        "kernel" => suite::kernel(),
        "peers" => peers::install().map(|_| ()),
        "test" => suite::run(&rest),
        "tidy" => tidy::run(),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            run::complain(&text);
            ExitCode::FAILURE
        }
    }
}
