//! The box's view of the file system: an empty tree in memory, and in it what the profile names.
//!
//! Runs in the helper, in a mount namespace of its own. The old root is `/old` while the new one is built at `/new`;
//! then the new one becomes `/` and the old one is let go of.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::{
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, unmount,
    },
    process::{chdir, pivot_root},
};

use super::{
    EGRESS_SOCKET,
    profile::{Grant, Profile},
    sys::{MountRules, restrict_mount},
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
        move |error: io::Error| format!("{what}: {error}")
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
        hide(path).map_err(say("it cannot be hidden:", path))?;
    }
    if let Some(socket) = &profile.egress {
        let inside = inside(EGRESS_SOCKET);
        touch(&inside).map_err(say("no place for", socket))?;
        mount_bind_recursive(outside(socket), &inside)
            .map_err(|error| format!("the broker's socket {socket}: {error}"))?;
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

/// An empty file, with the directories above it.
fn touch(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    if !path.exists() {
        fs::OpenOptions::new().create(true).append(true).open(path)?;
    }
    Ok(())
}

fn bind(source: &Path, target: &Path, rules: MountRules) -> io::Result<()> {
    if fs::metadata(source)?.is_dir() {
        fs::create_dir_all(target)?;
    } else {
        touch(target)?;
    }
    mount_bind_recursive(source, target)?;
    restrict_mount(target, rules)
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

/// The box's own processes, and nothing to change there.
fn processes(pids: u32) -> io::Result<()> {
    let proc = inside("/proc");
    fs::create_dir(&proc)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", &proc, "proc", flags, None::<&std::ffi::CStr>)?;
    // Since Linux 6.14 this is a limit of the namespace; before, nobody in a namespace may write it. The kernel keeps
    // 300 numbers back and accepts nothing less than 301.
    let _ = fs::write(proc.join("sys/kernel/pid_max"), pids.max(301).to_string());
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
