//! What the kernel gives, and what to do where it gives less.

use std::{fmt, fs};

use super::{cgroup, wishes::Wall};

/// Said when namespaces cannot be made.
pub(super) const NAMESPACES: &str = "this kernel or container gives no user namespaces (look at the sysctls \
     `user.max_user_namespaces`, `kernel.unprivileged_userns_clone` and \
     `kernel.apparmor_restrict_unprivileged_userns`, or the container's seccomp profile); or say `sandbox: off` for \
     this server";
/// Said when Landlock is not there.
pub(super) const LANDLOCK: &str = "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, and `landlock` in its list \
     `lsm=`); or say `sandbox: { without: [landlock] }` for this server";
/// Said when seccomp filters are not there.
pub(super) const SECCOMP: &str = "this kernel takes no seccomp filter (CONFIG_SECCOMP_FILTER); or say \
     `sandbox: { without: [seccomp] }` for this server";

/// What the kernel gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kernel {
    /// Whether user namespaces may be made at all.
    pub namespaces: bool,
    /// Landlock's version; 0 where there is none.
    pub landlock: i32,
    /// Whether it takes seccomp filters.
    pub seccomp: bool,
    /// Whether a control group of ours can limit memory.
    pub memory_group: bool,
    /// Whether one can limit processes.
    pub pids_group: bool,
}

/// What it lacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lack {
    /// Without which there is no box.
    Namespaces,
    /// A wall that can be done without.
    Wall(Wall),
}

impl Kernel {
    /// Looks.
    #[must_use]
    pub fn look() -> Self {
        let most = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
        let (memory_group, pids_group) = cgroup::available();
        Self {
            namespaces: most.trim().parse::<u64>().is_ok_and(|most| most > 0),
            landlock: landlock_version(),
            seccomp: fs::metadata("/proc/sys/kernel/seccomp/actions_avail").is_ok(),
            memory_group,
            pids_group,
        }
    }

    /// What is lacking.
    #[must_use]
    pub fn lacks(&self) -> Vec<Lack> {
        let lacks = [
            (!self.namespaces, Lack::Namespaces),
            (self.landlock == 0, Lack::Wall(Wall::Landlock)),
            (!self.seccomp, Lack::Wall(Wall::Seccomp)),
        ];
        lacks
            .into_iter()
            .filter_map(|(is, lack)| is.then_some(lack))
            .collect()
    }
}

/// The newest version of those that brought a right or a scope of which all are given.
fn landlock_version() -> i32 {
    use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
    let asked = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let files = |abi| {
        asked()
            .handle_access(AccessFs::from_all(abi))
            .and_then(Ruleset::create)
            .is_ok()
    };
    let given = [
        (1, files(ABI::V1)),
        (2, files(ABI::V2)),
        (3, files(ABI::V3)),
        (
            4,
            asked()
                .handle_access(AccessNet::ConnectTcp)
                .and_then(Ruleset::create)
                .is_ok(),
        ),
        (5, files(ABI::V5)),
        (6, asked().scope(Scope::Signal).and_then(Ruleset::create).is_ok()),
    ];
    given
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(version, _)| version)
        .max()
        .unwrap_or_default()
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |is: bool| if is { "yes" } else { "no" };
        write!(
            f,
            "user namespaces {}, Landlock {}, seccomp {}; control groups: memory {}, processes {}",
            yes(self.namespaces),
            self.landlock,
            yes(self.seccomp),
            yes(self.memory_group),
            yes(self.pids_group)
        )
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespaces => NAMESPACES,
            Self::Wall(Wall::Landlock) => LANDLOCK,
            Self::Wall(Wall::Seccomp) => SECCOMP,
        })
    }
}
