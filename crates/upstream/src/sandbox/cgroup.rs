//! A control group (version 2) around a box, beside the gateway's own, where the machine lets us make one: systemd does
//! with `Delegate=yes` and `DelegateSubgroup=`. Without one, memory is limited by process and watched as a whole,
//! processes are limited by the namespace, and processors are not.
//!
//! Version 1 is left out: each of its controllers is a tree of its own, and moving into each takes ten milliseconds.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::wishes::Caps;

const ROOT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "sallyport-box-";
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The group a helper is in, if it could make one.
#[derive(Debug, Default)]
pub(super) struct Group {
    joined: Option<Joined>,
}

#[derive(Debug)]
struct Joined {
    group: PathBuf,
    /// Where the helper was before.
    before: PathBuf,
}

impl Group {
    /// Joins a new group with these limits, where there can be one. All of its limits hold, or there is none.
    pub(super) fn join(caps: &Caps) -> Self {
        let joined = own().and_then(|before| {
            let above = place(&before)?;
            sweep(&above);
            let group = above.join(format!("{PREFIX}{}", std::process::id()));
            match limited(&above, &group, caps) {
                Ok(()) => Some(Joined { group, before }),
                Err(_) => {
                    let _ = fs::remove_dir(&group);
                    None
                }
            }
        });
        Self { joined }
    }

    /// Whether all processes of the box together are held to their memory.
    pub(super) const fn limits_memory(&self) -> bool {
        self.joined.is_some()
    }

    /// Takes the group away. The box has ended.
    pub(super) fn leave(&self) {
        if let Some(joined) = &self.joined {
            let _ = fs::write(joined.before.join("cgroup.procs"), "0");
            let _ = fs::remove_dir(&joined.group);
        }
    }
}

fn limited(above: &Path, group: &Path, caps: &Caps) -> io::Result<()> {
    const PERIOD_US: u64 = 100_000;
    make(above, group)?;
    let cpu_us = u64::from(caps.cpu_percent) * PERIOD_US / 100;
    // The helper, process 1 and its threads are in it, too.
    let pids = u64::from(caps.pids) + 8;
    // Where the kernel does not count what is swapped out there is no such file.
    let _ = fs::write(group.join("memory.swap.max"), "0");
    for (file, text) in [
        // A box without one of its processes is none that anybody counts on.
        ("memory.oom.group", "1".to_owned()),
        ("cpu.max", format!("{cpu_us} {PERIOD_US}")),
        ("memory.max", caps.memory_bytes.to_string()),
        ("pids.max", pids.to_string()),
        ("cgroup.procs", "0".to_owned()),
    ] {
        fs::write(group.join(file), text)?;
    }
    Ok(())
}

fn make(above: &Path, group: &Path) -> io::Result<()> {
    let enabled: Vec<_> = CONTROLLERS.iter().map(|one| format!("+{one}")).collect();
    fs::write(above.join("cgroup.subtree_control"), enabled.join(" "))?;
    fs::create_dir(group)
}

/// Whether a group of ours can be made. Tried, for what is written there is not all that decides.
pub(super) fn available() -> bool {
    let Some(above) = own().and_then(|own| place(&own)) else {
        return false;
    };
    let group = above.join(format!("{PREFIX}{}", std::process::id()));
    let made = make(&above, &group).is_ok();
    let enters = rustix::fs::access(above.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok();
    made && fs::remove_dir(&group).is_ok() && enters
}

/// The group we are in (cgroups(7): the line of version 2 begins with `0::`).
fn own() -> Option<PathBuf> {
    let lines = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = lines.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(ROOT).join(path))
}

/// The one above it, if it has every controller to give. A group with processes gives none to groups below it, but for
/// the machine's first.
fn place(own: &Path) -> Option<PathBuf> {
    let first = Path::new(ROOT);
    let above = if own == first { first } else { own.parent()? };
    let above = Some(above).filter(|above| above.starts_with(first))?;
    let offered = fs::read_to_string(above.join("cgroup.controllers")).ok()?;
    let has = |wanted: &str| offered.split_whitespace().any(|one| one == wanted);
    CONTROLLERS
        .iter()
        .all(|one| has(one))
        .then(|| above.to_path_buf())
}

/// Groups whose helper was killed are empty; whoever comes next takes them away.
fn sweep(above: &Path) {
    let left = fs::read_dir(above).into_iter().flatten().flatten();
    for group in left {
        let name = group.file_name();
        let helper = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if helper.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir(group.path());
        }
    }
}
