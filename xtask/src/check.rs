//! `cargo xtask check`: what must hold before anything is pushed.

use crate::{
    run::{self, cargo},
    tidy,
};

pub(crate) fn run() -> Result<(), String> {
    run::run(cargo().args(["fmt", "--all", "--check"]))?;
    run::run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    tidy::run()
}
