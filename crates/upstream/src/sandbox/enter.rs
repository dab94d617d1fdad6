//! The helper: one process outside that waits and clears up, one inside that is the box's process 1.
//!
//! The server is a child of process 1. When it ends, process 1 ends, and with it the kernel ends every process of the
//! box. Process 1 is killed with the helper, and the helper ends when the gateway is gone, however it went.

use std::{
    fs,
    io::{self, Write},
    os::fd::OwnedFd,
    process::{Command, ExitCode},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getpid,
        getppid, pidfd_open, pidfd_send_signal, set_dumpable_behavior, set_parent_process_death_signal,
        setrlimit, wait, waitpid,
    },
    stdio::{dup2_stdin, dup2_stdout, stdin},
    thread::{
        CapabilitiesSecureBits, CapabilitySet, CapabilitySets, UnshareFlags, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
        set_no_new_privs, set_thread_groups,
    },
};

use super::{
    EGRESS_PORT, EGRESS_SOCKET, asked, calls,
    cgroup::Group,
    files, forward,
    profile::Profile,
    sys::{Forked, close_descriptors, fork, hold_back_signals, unshare},
    view,
    wishes::Wall,
};

/// A profile is a few kilobytes; arguments and variables are most of it.
const PROFILE_BYTES_MAX: u64 = 4 << 20;
/// How the helper ends when there is no box. Shells end so when a program cannot be executed.
pub(crate) const NO_BOX: u8 = 126;
/// Between two looks at how much memory the box uses, where no control group does that.
const MEMORY_LOOK: std::time::Duration = std::time::Duration::from_millis(250);

/// The helper's whole life. Called first in `main`, while there is one thread.
#[must_use]
pub fn enter() -> ExitCode {
    match outside() {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            complain(&why);
            ExitCode::from(NO_BOX)
        }
    }
}

/// To the server's error stream, which the gateway reads.
fn complain(why: &str) {
    let _ = writeln!(io::stderr(), "sallyport: no sandbox: {why}");
}

fn outside() -> Result<u8, String> {
    close_descriptors().map_err(|error| format!("close_range: {error}"))?;
    let parent = getppid().ok_or("the gateway is gone")?;
    let gateway = pidfd_open(parent, PidfdFlags::empty()).map_err(|error| format!("pidfd_open: {error}"))?;
    let (mut profile, wrote) = read_profile()?;
    // Who is orphaned gets another parent, and would wait for that one's end.
    if u32::try_from(parent.as_raw_nonzero().get()) != Ok(wrote) {
        return Err("the gateway is gone".to_owned());
    }
    hold_back_signals().map_err(|error| format!("sigprocmask: {error}"))?;
    let asked = profile.asked.as_deref().map(record).transpose()?;
    let group = Group::join(&profile.caps);
    leave_namespaces()?;
    let this = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| format!("pidfd_open: {error}"))?;
    let forked = fork().map_err(|error| format!("fork: {error}"))?;
    match forked {
        Forked::Child => Ok(inside(&mut profile, &this, &group, asked)),
        Forked::Parent(child) => {
            profile.wipe();
            let code = wait_for(child, &gateway);
            group.leave();
            code
        }
    }
}

/// Its length in eight bytes, the number of the process that wrote it in four, then itself; what follows in the same
/// pipe is for the server.
fn read_profile() -> Result<(Profile, u32), String> {
    let broken = "no profile came from the gateway; this command is for it alone";
    let mut length = [0; 8];
    read_exactly(&mut length).map_err(|_| broken)?;
    let length = u64::from_be_bytes(length);
    if length > PROFILE_BYTES_MAX {
        return Err(broken.to_owned());
    }
    let mut writer = [0; 4];
    read_exactly(&mut writer).map_err(|_| broken)?;
    let mut text = vec![0; usize::try_from(length).map_err(|_| broken)?];
    read_exactly(&mut text).map_err(|_| broken)?;
    let profile = Profile::decode(text).ok_or_else(|| broken.to_owned())?;
    Ok((profile, u32::from_be_bytes(writer)))
}

/// Without a buffer: not a byte more is taken from the pipe.
fn read_exactly(mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match rustix::io::read(stdin(), &mut *into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => into = into.get_mut(read..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// All but the mount namespace, which is the child's: the parent clears up outside.
fn leave_namespaces() -> Result<(), String> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if uid.is_root() {
        match set_thread_groups(&[]) {
            // Root of a namespace that may not: it has its groups as any other user has.
            Ok(()) | Err(rustix::io::Errno::PERM) => {}
            Err(error) => return Err(format!("setgroups: {error}")),
        }
    }
    let all = UnshareFlags::NEWUSER
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    unshare(all).map_err(|error| format!("{}: {error}", super::kernel::NAMESPACES))?;
    let user = view::USER;
    fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("{user} {} 1", uid.as_raw())))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("{user} {} 1", gid.as_raw())))
        .map_err(|error| format!("{}: {error}", super::kernel::NAMESPACES))
}

/// Waits for the end of the box, and ends it when the gateway is gone. The server alone has the pipes now.
fn wait_for(child: Pid, gateway: &OwnedFd) -> Result<u8, String> {
    let lost = |error: rustix::io::Errno| format!("the box was lost: {error}");
    let ended = pidfd_open(child, PidfdFlags::empty()).map_err(lost)?;
    let nothing = fs::File::options().read(true).write(true).open("/dev/null");
    if let Ok(nothing) = nothing {
        dup2_stdin(&nothing)
            .and_then(|()| dup2_stdout(&nothing))
            .map_err(lost)?;
    }
    loop {
        let mut fds = [
            PollFd::new(&ended, PollFlags::IN),
            PollFd::new(gateway, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(lost(error)),
        }
        let [box_ended, gateway_gone] = &fds;
        if gateway_gone.revents().contains(PollFlags::IN) {
            let _ = pidfd_send_signal(&ended, Signal::KILL);
        }
        if box_ended.revents().contains(PollFlags::IN) || gateway_gone.revents().contains(PollFlags::IN) {
            let status = waitpid(Some(child), WaitOptions::empty()).map_err(lost)?;
            return Ok(status.map_or(NO_BOX, |(_, status)| code_of(status)));
        }
    }
}

/// Where what a server asks for is written down: opened while the gateway's places can be seen.
fn record(path: &str) -> Result<fs::File, String> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| format!("what it asks for cannot be written down: {error}"))
}

/// As shells tell it.
fn code_of(status: WaitStatus) -> u8 {
    let signal = status
        .terminating_signal()
        .map(|signal| signal.saturating_add(128));
    let code = status.exit_status().or(signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(NO_BOX)
}

/// Process 1 of the box.
fn inside(profile: &mut Profile, parent: &OwnedFd, group: &Group, asked: Option<fs::File>) -> u8 {
    match start(profile, parent, group, asked) {
        Ok(server) => reap(server),
        Err(why) => {
            complain(&why);
            NO_BOX
        }
    }
}

fn start(
    profile: &mut Profile,
    parent: &OwnedFd,
    group: &Group,
    asked: Option<fs::File>,
) -> Result<Pid, String> {
    let named = |what: &'static str| move |error: rustix::io::Errno| format!("{what}: {error}");
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(named("prctl"))?;
    let mut gone = [PollFd::new(parent, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    if poll(&mut gone, Some(&now)).map_err(named("poll"))? > 0 {
        return Err("the gateway is gone".to_owned());
    }
    unshare(UnshareFlags::NEWNS).map_err(|error| format!("{}: {error}", super::kernel::NAMESPACES))?;
    view::build(profile)?;
    rustix::system::sethostname(b"box").map_err(named("sethostname"))?;
    forward::bring_up_loopback().map_err(|error| format!("loopback: {error}"))?;
    let proxy = match &profile.egress {
        Some(_) => {
            Some(forward::listen(EGRESS_PORT).map_err(|error| format!("the way to the broker: {error}"))?)
        }
        None => None,
    };
    limit(profile, group).map_err(named("setrlimit"))?;
    drop_rights().map_err(named("capabilities"))?;
    let recorder = asked.map(asked::ready);
    if !profile.does_without(Wall::Landlock) {
        files::restrict(profile)?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(named("prctl"))?;
    if !profile.does_without(Wall::Seccomp) {
        calls::restrict()?;
    }
    if let Some(recorder) = recorder {
        recorder.begin()?;
    }
    let server = Command::new(&profile.program)
        .args(&profile.args)
        .env_clear()
        .envs(profile.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&profile.directory)
        .spawn()
        .map_err(|error| format!("`{}` cannot be started: {error}", profile.program))?;
    profile.wipe();
    let nothing = fs::File::options().read(true).write(true).open("/dev/null");
    if let Ok(nothing) = nothing {
        dup2_stdin(&nothing)
            .and_then(|()| dup2_stdout(&nothing))
            .map_err(named("dup2"))?;
    }
    // Threads come last: they have every restriction from this one.
    if let Some(proxy) = proxy {
        std::thread::spawn(move || forward::serve(&proxy, EGRESS_SOCKET));
    }
    if !group.limits_memory() {
        let most = profile.caps.memory_bytes;
        std::thread::spawn(move || watch_memory(most));
    }
    i32::try_from(server.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| "the server has no number".to_owned())
}

/// Of each process. What all of them use together is the control group's, or is watched.
fn limit(profile: &Profile, group: &Group) -> rustix::io::Result<()> {
    let caps = &profile.caps;
    let set = |resource, most: u64| {
        let most = Some(most);
        setrlimit(
            resource,
            Rlimit {
                current: most,
                maximum: most,
            },
        )
    };
    set(Resource::Core, 0)?;
    set(Resource::Nofile, u64::from(caps.open_files))?;
    set(Resource::Fsize, caps.file_bytes)?;
    set(Resource::Memlock, 64 << 10)?;
    set(Resource::Msgqueue, 0)?;
    if !group.limits_memory() {
        set(Resource::Data, caps.memory_bytes)?;
    }
    // Counted for the user within this user namespace; for root outside the kernel does not count, and the
    // namespace's own limit or the control group holds.
    set(Resource::Nproc, u64::from(caps.pids))
}

/// No capability, and no way to get one.
fn drop_rights() -> rustix::io::Result<()> {
    clear_ambient_capability_set()?;
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // The kernel has fewer than this build knows of.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )?;
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    set_no_new_privs(true)
}

/// Waits for whoever ends, until the server does.
fn reap(server: Pid) -> u8 {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == server => return code_of(status),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return NO_BOX,
        }
    }
}

/// Ends the box when its processes together have more memory than they may.
fn watch_memory(most: u64) {
    loop {
        std::thread::sleep(MEMORY_LOOK);
        let used = resident_bytes();
        if used > most {
            complain(&format!(
                "its processes use {used} bytes of memory and may use {most}: ended"
            ));
            #[expect(clippy::exit, reason = "process 1 takes the whole box with it")]
            std::process::exit(i32::from(NO_BOX));
        }
    }
}

fn resident_bytes() -> u64 {
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let Ok(processes) = fs::read_dir("/proc") else {
        return 0;
    };
    let pages = processes.flatten().filter_map(|process| {
        process.file_name().to_str()?.parse::<u32>().ok()?;
        let sizes = fs::read_to_string(process.path().join("statm")).ok()?;
        sizes.split(' ').nth(1)?.parse::<u64>().ok()
    });
    pages.sum::<u64>().saturating_mul(page)
}
