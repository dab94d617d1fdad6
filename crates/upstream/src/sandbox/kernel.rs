//! What the kernel gives, and what to do where it gives less.

use std::{fmt, fs};

use super::{cgroup, wishes::Wall};

/// Said when namespaces cannot be made.
pub(super) const NAMESPACES: &str = "this kernel or container gives no user namespaces (see the sysctls \
     `user.max_user_namespaces`, `kernel.unprivileged_userns_clone`, \
     `kernel.apparmor_restrict_unprivileged_userns`, or the container's seccomp profile); or say \
     `sandbox: off` for this server";
/// Said behind what failed while a box was made, and may not be there.
pub(super) const OLD: &str = "boxes need Linux 5.13 or newer, and containers around the gateway that let it mount; \
     or say `sandbox: off` for this server";
/// Said when Landlock is not there.
pub(super) const LANDLOCK: &str = "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, and `landlock` in \
     its list `lsm=`); or say `sandbox: { without: [landlock] }` for this server";
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
    /// Whether a box can have a control group, and so a limit of processors.
    pub groups: bool,
    /// What counts a box's processes where there is no control group.
    pub processes: Counted,
}

/// What counts the processes of a box.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counted {
    /// The process namespace (Linux 6.14).
    Namespace,
    /// Nothing: the user is root, whose processes are not counted.
    No,
    /// The user namespace, against the limit of each process (`RLIMIT_NPROC`).
    User,
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
        Self {
            namespaces: most.trim().parse::<u64>().is_ok_and(|most| most > 0),
            landlock: landlock_version(),
            seccomp: fs::metadata("/proc/sys/kernel/seccomp/actions_avail").is_ok(),
            groups: cgroup::available(),
            processes: if release() >= (6, 14) {
                Counted::Namespace
            } else if rustix::process::geteuid().is_root() {
                Counted::No
            } else {
                Counted::User
            },
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

/// The kernel's version, as far as it counts.
fn release() -> (u32, u32) {
    let named = rustix::system::uname();
    let release = named.release().to_str().unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
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
            "user namespaces {}, Landlock {}, seccomp {}; ",
            yes(self.namespaces),
            self.landlock,
            yes(self.seccomp),
        )?;
        f.write_str(if self.groups {
            "memory, processes and processors are limited by control groups"
        } else {
            "no control groups: memory is limited for each process and watched for all together, "
        })?;
        if !self.groups {
            write!(f, "processes are {}, processors are NOT limited", self.processes)?;
        }
        Ok(())
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "limited by their namespace",
            Self::No => "NOT limited (root's are not before Linux 6.14)",
            Self::User => "limited as their user's",
        })
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
