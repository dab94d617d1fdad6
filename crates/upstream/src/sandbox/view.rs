//! The box's view of the file system: an empty tree in memory, and in it what the profile names.
//!
//! Runs in the helper, in a mount namespace of its own. The old root is `/old` while the new one is built at `/new`;
//! then the new one becomes `/` and the old one is let go of.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2},
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
        mount_bind_recursive, mount_change, move_mount, open_tree, unmount,
    },
    process::{chdir, pivot_root},
};

use super::{
    EGRESS_SOCKET,
    profile::{Grant, Profile},
    sys::{MountRules, restrict_mount, restrict_tree},
};

/// What every program may read and execute.
pub(super) const SYSTEM: [&str; 9] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
];
/// What every program may read of `/etc`; accounts and names come from `ETC_MADE`.
const ETC: [&str; 14] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "pki",
    "protocols",
    "ssl",
    "timezone",
];
const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];
/// What is in `/proc` of the machine and not of the box.
const PROC_HIDDEN: [&str; 8] = [
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "kallsyms",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
];
/// The user and group a server sees itself as; outside it is the gateway's own.
pub(super) const USER: u32 = 1000;

/// Puts a file system in place of another at `/`.
pub(super) fn build(profile: &Profile) -> Result<(), String> {
    let say = |what: &str, path: &str| {
        let what = format!("{what} {path}");
        move |error: io::Error| match error.raw_os_error() {
            Some(libc::ENOSYS | libc::EPERM) => format!("{what}: {error}; {}", super::kernel::OLD),
            _ => format!("{what}: {error}"),
        }
    };
    let base = Path::new("/tmp");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| format!("the mounts cannot be made private: {error}"))?;
    tmpfs(base, "mode=0755,size=64k").map_err(say("no memory file system at", "/tmp"))?;
    for name in ["new", "old"] {
        fs::create_dir(base.join(name)).map_err(say("no directory", name))?;
    }
    pivot_root(base, base.join("old")).map_err(|error| format!("pivot_root: {error}"))?;
    chdir("/").map_err(|error| error.to_string())?;
    tmpfs(Path::new("/new"), "mode=0755,size=4m").map_err(say("no memory file system at", "/new"))?;
    system().map_err(say("the system cannot be shown", ""))?;
    devices().map_err(say("the devices cannot be shown", ""))?;
    processes(profile.caps.pids).map_err(say(
        "/proc cannot be shown",
        "(is this a container that covers it?)",
    ))?;
    private(profile).map_err(say("no private directories", ""))?;
    for grant in &profile.grants {
        show(grant).map_err(say("it cannot be shown:", &grant.source))?;
    }
    for path in &profile.hidden {
        hold(profile, path).map_err(say("it cannot be held:", path))?;
        hide(path).map_err(say("it cannot be hidden:", path))?;
    }
    if let Some(socket) = &profile.egress {
        let target = inside(EGRESS_SOCKET);
        bind(&outside(socket), &target, EVERYTHING).map_err(say("the broker's socket", socket))?;
    }
    let above = MountRules {
        read_only: true,
        no_exec: false,
        no_devices: true,
        below: false,
    };
    restrict_mount(Path::new("/new"), above).map_err(say("the root cannot be made read-only", ""))?;
    enter().map_err(|error| format!("the new root cannot be entered: {error}"))
}

fn outside(path: &str) -> PathBuf {
    Path::new("/old").join(path.trim_start_matches('/'))
}

fn inside(path: &str) -> PathBuf {
    Path::new("/new").join(path.trim_start_matches('/'))
}

fn tmpfs(at: &Path, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("sallyport", at, "tmpfs", flags, options.as_c_str())?)
}

/// What is allowed to a socket.
const EVERYTHING: MountRules = MountRules {
    read_only: false,
    no_exec: true,
    no_devices: true,
    below: true,
};

/// Shows a place at another. Between the plan and this, whoever may write around the source could put a link in its
/// place: links are not followed. Those around the target may be a server's own, of a home that is kept, and lead
/// nowhere but inside. No mount is seen before its rules hold.
fn bind(source: &Path, target: &Path, rules: MountRules) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let source = openat2(CWD, source, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let found = rustix::fs::fstat(&source)?;
    let is_directory = rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir();
    let whole = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&source, "", whole)?;
    restrict_tree(&tree, rules)?;
    let target = place(target, is_directory)?;
    let by_descriptors = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(&tree, "", &target, "", by_descriptors)?)
}

/// A place below `/new`, made where it is not there.
fn place(target: &Path, is_directory: bool) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = openat(CWD, "/new", flags | OFlags::DIRECTORY, Mode::empty())?;
    let within = target.strip_prefix("/new").map_err(io::Error::other)?;
    let open = |path: &Path| openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    let mut at = open(Path::new("."))?;
    let mut path = PathBuf::new();
    for part in within {
        path.push(part);
        at = match open(&path) {
            Err(Errno::NOENT) if is_directory || path != within => {
                mkdirat(&at, part, Mode::from_raw_mode(0o755))?;
                open(&path)?
            }
            Err(Errno::NOENT) => {
                let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                openat(&at, part, new, Mode::from_raw_mode(0o644))?;
                open(&path)?
            }
            found => found?,
        };
    }
    Ok(at)
}

fn system() -> io::Result<()> {
    let code = MountRules {
        read_only: true,
        no_exec: false,
        no_devices: true,
        below: true,
    };
    for path in SYSTEM {
        let source = outside(path);
        match fs::symlink_metadata(&source) {
            Ok(found) if found.is_symlink() => symlink(fs::read_link(&source)?, inside(path))?,
            Ok(_) => bind(&source, &inside(path), code)?,
            Err(_) => {}
        }
    }
    let etc = inside("/etc");
    fs::create_dir(&etc)?;
    let data = MountRules {
        no_exec: true,
        ..code
    };
    for name in ETC {
        let source = outside("/etc").join(name);
        match fs::symlink_metadata(&source) {
            Ok(found) if found.is_symlink() => symlink(fs::read_link(&source)?, etc.join(name))?,
            Ok(_) => bind(&source, &etc.join(name), data)?,
            Err(_) => {}
        }
    }
    write(&etc.join("hosts"), "127.0.0.1 localhost box\n::1 localhost\n")?;
    write(&etc.join("hostname"), "box\n")?;
    write(
        &etc.join("nsswitch.conf"),
        "passwd: files\ngroup: files\nhosts: files\n",
    )?;
    // Nobody answers names inside: the broker resolves them.
    write(&etc.join("resolv.conf"), "")?;
    for empty in ["/run", "/var"] {
        fs::create_dir_all(inside(empty))?;
    }
    symlink("/tmp", inside("/var/tmp"))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn devices() -> io::Result<()> {
    let dev = inside("/dev");
    fs::create_dir(&dev)?;
    for name in DEVICES {
        let rules = MountRules {
            read_only: false,
            no_exec: true,
            no_devices: false,
            below: false,
        };
        bind(&outside("/dev").join(name), &dev.join(name), rules)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(to, dev.join(name))?;
    }
    fs::create_dir(dev.join("shm"))?;
    tmpfs(&dev.join("shm"), "mode=1777,size=64m")
}

/// `RESERVED_PIDS` of the kernel (kernel/pid.c): numbers it gives out in the first round only.
const PIDS_RESERVED: u32 = 300;

/// The box's own processes, and nothing to change there.
fn processes(pids: u32) -> io::Result<()> {
    let proc = inside("/proc");
    fs::create_dir(&proc)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", &proc, "proc", flags, None::<&std::ffi::CStr>)?;
    // Since Linux 6.14 this is a limit of the namespace; before, nobody in a namespace may write it. Once the numbers
    // have gone round, the kernel gives out none below 300: what is not added here would be missing then, for good.
    let _ = fs::write(
        proc.join("sys/kernel/pid_max"),
        pids.saturating_add(PIDS_RESERVED).to_string(),
    );
    // And from there on at once, or the first round would have 300 more.
    let _ = fs::write(proc.join("sys/kernel/ns_last_pid"), PIDS_RESERVED.to_string());
    for name in PROC_HIDDEN {
        let path = proc.join(name);
        if path.exists() {
            mount_bind_recursive(outside("/dev/null"), &path)?;
        }
    }
    let rules = MountRules {
        read_only: true,
        no_exec: true,
        no_devices: false,
        below: true,
    };
    restrict_mount(&proc, rules)
}

fn private(profile: &Profile) -> io::Result<()> {
    let size = profile.caps.tmp_bytes;
    let tmp = inside("/tmp");
    fs::create_dir(&tmp)?;
    tmpfs(&tmp, &format!("mode=1777,size={size}"))?;
    let home = inside(&profile.home);
    fs::create_dir_all(&home)?;
    // A home that is kept is a grant like others, and covers this.
    tmpfs(&home, &format!("mode=0700,size={size}"))?;
    let passwd = format!("box:x:{USER}:{USER}::{}:/bin/sh\n", profile.home);
    write(&inside("/etc/passwd"), &passwd)?;
    write(&inside("/etc/group"), &format!("box:x:{USER}:\n"))
}

fn show(grant: &Grant) -> io::Result<()> {
    let rules = MountRules {
        read_only: !grant.access.write,
        no_exec: !grant.access.execute,
        no_devices: true,
        below: true,
    };
    bind(&outside(&grant.source), &inside(&grant.target), rules)
}

/// Directories that a server may write to and that lead to what is covered: as mounts, none of them can be moved away
/// to put something else in its place.
fn hold(profile: &Profile, path: &str) -> io::Result<()> {
    let path = Path::new(path);
    let writable = |at: &Path| {
        let mut grants = profile.grants.iter().filter(|grant| grant.access.write);
        grants.any(|grant| at != Path::new(&grant.target) && at.starts_with(&grant.target))
    };
    let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|at| writable(at)).collect();
    above.reverse();
    for at in above {
        let at = Path::new("/new").join(at.strip_prefix("/").unwrap_or(at));
        if at.is_dir() {
            mount_bind_recursive(&at, &at)?;
        }
    }
    Ok(())
}

fn hide(path: &str) -> io::Result<()> {
    let path = inside(path);
    let Ok(found) = fs::symlink_metadata(&path) else {
        return Ok(());
    };
    if !found.is_dir() {
        return Ok(mount_bind_recursive(outside("/dev/null"), &path)?);
    }
    tmpfs(&path, "mode=0755,size=4k")?;
    let rules = MountRules {
        read_only: true,
        no_exec: true,
        no_devices: true,
        below: false,
    };
    restrict_mount(&path, rules)
}

/// Makes `/new` the root and lets go of everything else.
fn enter() -> io::Result<()> {
    unmount("/old", UnmountFlags::DETACH)?;
    chdir("/new")?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}
