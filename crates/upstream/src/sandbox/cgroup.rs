//! A control group around a box, where the machine lets us make one: version 2 beside the gateway's own group (systemd
//! delegates with `Delegate=yes` and `DelegateSubgroup=`), version 1 below it. Without one, memory is watched and
//! limited by process, and processes by the namespace.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::wishes::Caps;

const ROOT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "sallyport-box-";

/// The groups this helper is in.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Each with the group the helper was in before.
    joined: Vec<(PathBuf, PathBuf)>,
    memory: bool,
}

/// Where groups may be made.
struct Place {
    /// The groups are children of this one.
    above: PathBuf,
    /// Where the helper is.
    own: PathBuf,
    is_v2: bool,
}

impl Group {
    /// Joins new groups with these limits, as far as the machine allows.
    pub(super) fn join(caps: &Caps) -> Self {
        let mut group = Self::default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        for (controller, files) in limits(caps) {
            let Some(place) = place(&own, controller) else {
                continue;
            };
            sweep(&place.above);
            let made = place.above.join(format!("{PREFIX}{}", std::process::id()));
            let limited = || -> io::Result<()> {
                if !made.exists() {
                    if place.is_v2 {
                        fs::write(
                            place.above.join("cgroup.subtree_control"),
                            format!("+{controller}"),
                        )?;
                    }
                    fs::create_dir(&made)?;
                }
                for (v1, v2, text) in &files {
                    fs::write(made.join(if place.is_v2 { v2 } else { v1 }), text)?;
                }
                fs::write(made.join("cgroup.procs"), "0")
            };
            match limited() {
                Ok(()) => {
                    group.memory |= controller == "memory";
                    if group.joined.iter().all(|(other, _)| *other != made) {
                        group.joined.push((made, place.own));
                    }
                }
                Err(_) => {
                    let _ = fs::remove_dir(&made);
                }
            }
        }
        group
    }

    /// Whether all processes of the box together are held to their memory.
    pub(super) const fn limits_memory(&self) -> bool {
        self.memory
    }

    /// Takes the groups away. The box has ended.
    pub(super) fn leave(&self) {
        for (made, before) in &self.joined {
            let _ = fs::write(before.join("cgroup.procs"), "0");
            let _ = fs::remove_dir(made);
        }
    }
}

type Setting = (&'static str, &'static str, String);

fn limits(caps: &Caps) -> [(&'static str, Vec<Setting>); 3] {
    const PERIOD_US: u64 = 100_000;
    let cpu = u64::from(caps.cpu_percent) * PERIOD_US / 100;
    // The helper and process 1 are in it, too.
    let pids = (u64::from(caps.pids) + 8).to_string();
    [
        (
            "memory",
            vec![(
                "memory.limit_in_bytes",
                "memory.max",
                caps.memory_bytes.to_string(),
            )],
        ),
        ("pids", vec![("pids.max", "pids.max", pids)]),
        ("cpu", vec![("cpu.cfs_quota_us", "cpu.max", cpu.to_string())]),
    ]
}

/// Whether memory and processes can be limited so.
pub(super) fn available() -> (bool, bool) {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let can = |controller| {
        place(&own, controller)
            .is_some_and(|place| rustix::fs::access(&place.above, rustix::fs::Access::WRITE_OK).is_ok())
    };
    (can("memory"), can("pids"))
}

/// Where a controller's groups may be made (cgroups(7), `/proc/pid/cgroup`).
fn place(own: &str, controller: &str) -> Option<Place> {
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        if controllers.split(',').any(|one| one == controller) {
            let own = Path::new(ROOT).join(controller).join(path);
            return own.is_dir().then(|| Place {
                above: own.clone(),
                own,
                is_v2: false,
            });
        }
        let own = Path::new(ROOT).join(path);
        let above = own.parent().filter(|above| above.starts_with(ROOT))?;
        let offers = fs::read_to_string(above.join("cgroup.controllers")).unwrap_or_default();
        if controllers.is_empty() && offers.split_whitespace().any(|one| one == controller) {
            return Some(Place {
                above: above.to_path_buf(),
                own: own.clone(),
                is_v2: true,
            });
        }
    }
    None
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
