//! `sallyport init`: `import` from every client that is found, and a configuration to begin with where there
//! is none.

use clap::Args;

use super::{Common, import::Import};
use crate::failure::Failure;

/// Begin: find every known client, take its servers over, write a configuration, and say what comes next.
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Leave new servers proposed: nothing is started before `sallyport server approve`.
    #[arg(long)]
    no_approve: bool,
}

impl Init {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        Import::of_init(self.dry_run, self.yes, self.no_approve).run(common)
    }
}
