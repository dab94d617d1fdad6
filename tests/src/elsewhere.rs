//! A network of a test's own with another host in it, both at public addresses: what may be reached without a grant for
//! private ones cannot be tried on a loopback.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::peers::{self, Served};

/// This machine's own address there.
pub const NEAR: &str = "9.9.9.8";
/// The other host's; it serves a page at port 80.
pub const FAR: &str = "9.9.9.9";
/// What its page says.
pub const PAGE: &str = "hello from far away";

/// The network; it ends with this.
#[derive(Debug)]
pub struct Elsewhere {
    _served: Served,
}

/// Moves this thread, and all it starts from now on, into a new network with another host. Only root can: nothing is
/// there for others.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn move_there() -> Option<Elsewhere> {
    if !rustix::process::geteuid().is_root() {
        crate::untested("a host outside of this machine: only root makes a network for it");
        return None;
    }
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh"])
        .arg(peers::script("elsewhere.sh"))
        .arg(peers::script("page.py"))
        .stderr(Stdio::inherit());
    let served = Served::start(&mut command);
    let network = File::open(format!("/proc/{}/ns/net", served.line)).expect("a network");
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), kind).expect("to go there");
    Some(Elsewhere { _served: served })
}
