//! The system calls that no safe crate has. Everything `unsafe` in the workspace is here.

#![expect(
    unsafe_code,
    reason = "fork, unshare, mount_setattr, sigprocmask, close_range, madvise and seccomp's notices have no safe \
              wrappers"
)]

use std::{
    ffi::{CStr, CString},
    io,
    ops::Range,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
};

use rustix::{
    process::Pid,
    thread::{UnshareFlags, unshare_unsafe},
};

/// The code of this program, as the system mapped it: read, never written.
#[derive(Debug)]
struct Code(Range<usize>);

impl Code {
    fn own() -> io::Result<Self> {
        let program = std::fs::read_link("/proc/self/exe")?;
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        let found = maps.lines().find_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (range, rights) = (fields.next()?, fields.next()?);
            // Private, executed, and not to be written: what was never changed is in the file as it is here.
            let is_code = rights == "r-xp" && fields.nth(3).is_some_and(|path| Path::new(path) == program);
            let (from, to) = range.split_once('-').filter(|_| is_code)?;
            let number = |text| usize::from_str_radix(text, 16).ok();
            Some(Self(number(from)?..number(to)?))
        });
        found.ok_or_else(|| io::Error::other("the program's code is mapped in some other way"))
    }
}

/// Gives back the memory of code that was run so far. What is run again comes back from the system's cache of files, a
/// few pages at a time; what only the start needed (rules and schemas parsed, tables made) does not.
///
/// # Errors
/// Where the system does not say what is mapped, or will not.
pub fn forget_code() -> io::Result<()> {
    let Code(range) = Code::own()?;
    let from = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the range is one private mapping of a file, which nothing here can write: its pages are the file's, and
    // are the same when they are read anew. No Rust object lies in it.
    match unsafe { libc::madvise(from, range.len(), libc::MADV_DONTNEED) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Which of the two processes this is after a fork.
pub(super) enum Forked {
    Parent(Pid),
    Child,
}

/// Makes a copy of this process, which must have one thread.
pub(super) fn fork() -> io::Result<Forked> {
    // SAFETY: the helper calls this before it starts any thread, so no lock is held by a thread that the child
    // does not have.
    let pid = unsafe { libc::fork() };
    match pid {
        ..0 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Pid::from_raw(pid)
            .map(Forked::Parent)
            .ok_or_else(|| io::Error::other("no process")),
    }
}

/// Leaves namespaces of the parent for new ones.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES), "descriptors stay shared");
    // SAFETY: unsound only with `FILES`, which is never given.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// Closes every descriptor but the standard three.
pub(super) fn close_descriptors() -> io::Result<()> {
    // SAFETY: called where nothing holds a descriptor beyond the standard three: first thing in the helper, and first
    // thing in its child.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Holds back the signals that ask to end: the server gets them too, and its end is waited for.
pub(super) fn hold_back_signals() -> io::Result<()> {
    // SAFETY: an all-zero `sigset_t` is a valid value to fill, both functions get a valid pointer to it, and the old
    // set is not asked for.
    let done = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What a mount allows.
#[derive(Clone, Copy)]
pub(super) struct MountRules {
    pub(super) read_only: bool,
    pub(super) no_exec: bool,
    pub(super) no_devices: bool,
    /// Mounts below it, too.
    pub(super) below: bool,
}

/// Sets what a mount allows; set-user-id programs are never allowed.
pub(super) fn restrict_mount(path: &Path, rules: MountRules) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    set_attributes(libc::AT_FDCWD, &path, 0, rules)
}

/// The same for mounts that are nowhere yet.
pub(super) fn restrict_tree(tree: &OwnedFd, rules: MountRules) -> io::Result<()> {
    set_attributes(tree.as_raw_fd(), c"", libc::AT_EMPTY_PATH, rules)
}

fn set_attributes(at: RawFd, path: &CStr, flags: libc::c_int, rules: MountRules) -> io::Result<()> {
    let when = |yes: bool, flag: u64| if yes { flag } else { 0 };
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_NOSUID
            | when(rules.read_only, libc::MOUNT_ATTR_RDONLY)
            | when(rules.no_exec, libc::MOUNT_ATTR_NOEXEC)
            | when(rules.no_devices, libc::MOUNT_ATTR_NODEV),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let below = if rules.below { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with NUL and the attributes live through the call; their size is given with them.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags | below,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A system call that waits until it is let go.
pub(super) struct Waiting {
    id: u64,
    /// Which thread makes it, as this process numbers them.
    pub(super) thread: u32,
    pub(super) number: i64,
    pub(super) args: [u64; 6],
}

/// From now on these system calls of this thread, and of all it starts, wait until [`let_go`] of what is given.
pub(super) fn notice(calls: &[libc::c_long]) -> io::Result<OwnedFd> {
    let code = |code: u32| u16::try_from(code).unwrap_or_default();
    let (load, equal, answer) = (
        code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS),
        code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K),
        code(libc::BPF_RET | libc::BPF_K),
    );
    let line = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    // The number is the first word of what a filter looks at.
    let mut lines = vec![line(load, 0, 0)];
    for call in calls {
        let number = u32::try_from(*call).map_err(io::Error::other)?;
        lines.push(libc::sock_filter {
            code: equal,
            jt: 0,
            jf: 1,
            k: number,
        });
        lines.push(line(answer, 0, libc::SECCOMP_RET_USER_NOTIF));
    }
    lines.push(line(answer, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog {
        len: u16::try_from(lines.len()).map_err(io::Error::other)?,
        filter: lines.as_mut_ptr(),
    };
    // SAFETY: the program points to as many lines as it says, and both live through the call, which keeps neither.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    match RawFd::try_from(listener) {
        // SAFETY: the kernel just made this descriptor for us, and nobody else knows of it.
        Ok(listener @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(listener) }),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

/// The next call that waits.
pub(super) fn next_waiting(listener: &OwnedFd) -> io::Result<Waiting> {
    // SAFETY: the kernel wants the structure zeroed, all of whose members are numbers, and fills it.
    let (done, notice) = unsafe {
        let mut notice: libc::seccomp_notif = std::mem::zeroed();
        let done = libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV,
            &raw mut notice,
        );
        (done, notice)
    };
    if done == 0 {
        Ok(Waiting {
            id: notice.id,
            thread: notice.pid,
            number: i64::from(notice.data.nr),
            args: notice.data.args,
        })
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets a call go on as if nobody had looked. Its maker may be gone.
pub(super) fn let_go(listener: &OwnedFd, waiting: &Waiting) {
    let go_on = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or_default();
    let answer = libc::seccomp_notif_resp {
        id: waiting.id,
        val: 0,
        error: 0,
        flags: go_on,
    };
    // SAFETY: the structure lives through the call, which only reads it.
    let _ = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &raw const answer,
        )
    };
}
