//! What is in memory stays there: no core dumps of this process, nor of those it starts, and no other process of the
//! same user reads its memory.
//!
//! The kernel writes no core of a process that is not dumpable, whatever `core_pattern` says. A program that is started
//! becomes dumpable again, and so there is the limit, too, which is inherited and never raised again.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Turns them off.
pub(crate) fn off() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
