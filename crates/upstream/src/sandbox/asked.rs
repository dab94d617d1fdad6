//! What a server asks for while it is learnt: every name of a file in its system calls, read where it stands in the
//! caller's memory, written down, and the call let go on as if nobody had looked.
//!
//! Only a record: the caller's other threads may change a name after it was read, and nothing is granted by it. The
//! walls of the box stand as they always do. It needs neither root nor tracing, for process 1 of a box is its server's
//! parent, and may read its memory.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
};

use super::{
    places::flat,
    sys::{Waiting, let_go, next_waiting, notice},
};

/// Most names that are written down, and the longest.
const NAMES_MAX: usize = 20_000;
const NAME_BYTES_MAX: usize = 4096;

/// How something is touched.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Touch {
    /// Whether it is there, and what it is.
    Look,
    Read,
    Execute,
    Write,
}

impl Touch {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Look => "l",
            Self::Read => "r",
            Self::Execute => "x",
            Self::Write => "w",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::Look, Self::Read, Self::Execute, Self::Write]
            .into_iter()
            .find(|touch| touch.as_str() == word)
    }
}

/// Where a call has its directory, if it has one, and its name; and what it does with it.
#[derive(Clone, Copy)]
struct Named {
    directory: Option<usize>,
    name: usize,
    does: Does,
}

#[derive(Clone, Copy)]
enum Does {
    Touch(Touch),
    /// As the flags of `open` say, in this argument.
    Flags(usize),
    /// As the flags say that are behind this argument (`openat2`).
    How(usize),
}

const fn at(directory: usize, name: usize, touch: Touch) -> Named {
    Named {
        directory: Some(directory),
        name,
        does: Does::Touch(touch),
    }
}

const fn opens(directory: Option<usize>, name: usize, does: Does) -> Named {
    Named {
        directory,
        name,
        does,
    }
}

/// The calls that name files.
const CALLS: &[(libc::c_long, &[Named])] = &[
    (libc::SYS_openat, &[opens(Some(0), 1, Does::Flags(2))]),
    (libc::SYS_openat2, &[opens(Some(0), 1, Does::How(2))]),
    (libc::SYS_execve, &[opens(None, 0, Does::Touch(Touch::Execute))]),
    (libc::SYS_execveat, &[at(0, 1, Touch::Execute)]),
    (libc::SYS_newfstatat, &[at(0, 1, Touch::Look)]),
    (libc::SYS_statx, &[at(0, 1, Touch::Look)]),
    (libc::SYS_faccessat, &[at(0, 1, Touch::Look)]),
    (libc::SYS_faccessat2, &[at(0, 1, Touch::Look)]),
    (libc::SYS_readlinkat, &[at(0, 1, Touch::Look)]),
    (libc::SYS_chdir, &[opens(None, 0, Does::Touch(Touch::Look))]),
    (libc::SYS_mkdirat, &[at(0, 1, Touch::Write)]),
    (libc::SYS_mknodat, &[at(0, 1, Touch::Write)]),
    (libc::SYS_unlinkat, &[at(0, 1, Touch::Write)]),
    (libc::SYS_fchmodat, &[at(0, 1, Touch::Write)]),
    (libc::SYS_utimensat, &[at(0, 1, Touch::Write)]),
    (libc::SYS_symlinkat, &[at(1, 2, Touch::Write)]),
    (libc::SYS_linkat, &[at(0, 1, Touch::Read), at(2, 3, Touch::Write)]),
    (
        libc::SYS_renameat,
        &[at(0, 1, Touch::Write), at(2, 3, Touch::Write)],
    ),
    (
        libc::SYS_renameat2,
        &[at(0, 1, Touch::Write), at(2, 3, Touch::Write)],
    ),
    (libc::SYS_truncate, &[opens(None, 0, Does::Touch(Touch::Write))]),
];
#[cfg(target_arch = "x86_64")]
const CALLS_OLD: &[(libc::c_long, &[Named])] = &[
    (libc::SYS_open, &[opens(None, 0, Does::Flags(1))]),
    (libc::SYS_creat, &[opens(None, 0, Does::Touch(Touch::Write))]),
    (libc::SYS_stat, &[opens(None, 0, Does::Touch(Touch::Look))]),
    (libc::SYS_lstat, &[opens(None, 0, Does::Touch(Touch::Look))]),
    (libc::SYS_access, &[opens(None, 0, Does::Touch(Touch::Look))]),
    (libc::SYS_readlink, &[opens(None, 0, Does::Touch(Touch::Look))]),
    (libc::SYS_mkdir, &[opens(None, 0, Does::Touch(Touch::Write))]),
    (libc::SYS_rmdir, &[opens(None, 0, Does::Touch(Touch::Write))]),
    (libc::SYS_unlink, &[opens(None, 0, Does::Touch(Touch::Write))]),
    (libc::SYS_chmod, &[opens(None, 0, Does::Touch(Touch::Write))]),
    (libc::SYS_symlink, &[opens(None, 1, Does::Touch(Touch::Write))]),
    (
        libc::SYS_rename,
        &[
            opens(None, 0, Does::Touch(Touch::Write)),
            opens(None, 1, Does::Touch(Touch::Write)),
        ],
    ),
];
#[cfg(not(target_arch = "x86_64"))]
const CALLS_OLD: &[(libc::c_long, &[Named])] = &[];

/// A recorder that stands ready.
pub(super) struct Ready(Sender<OwnedFd>);

/// Starts the thread that writes down. It is outside of what the main thread restricts itself by afterwards, for it
/// must answer what that asks; it has no capabilities any more.
pub(super) fn ready(into: File) -> Ready {
    let (give, take) = channel();
    std::thread::spawn(move || write_down(&take, into));
    Ready(give)
}

impl Ready {
    /// From here on it writes down what this thread and all it starts ask for.
    pub(super) fn begin(self) -> Result<(), String> {
        let numbers: Vec<_> = CALLS.iter().chain(CALLS_OLD).map(|(number, _)| *number).collect();
        let listener =
            notice(&numbers).map_err(|error| format!("what it asks for cannot be heard: {error}"))?;
        self.0
            .send(listener)
            .map_err(|_| "what it asks for cannot be written down".to_owned())
    }
}

fn write_down(listener: &Receiver<OwnedFd>, mut into: File) {
    let Ok(listener) = listener.recv() else { return };
    let mut known = HashSet::new();
    loop {
        match next_waiting(&listener) {
            Ok(waiting) => {
                let names = named(&waiting);
                let_go(&listener, &waiting);
                for (touch, path) in names {
                    let line = format!("{} {path}\n", touch.as_str());
                    if known.len() < NAMES_MAX && !path.contains('\n') && known.insert(line.clone()) {
                        // A record that is full ends; the server goes on.
                        let _ = into.write_all(line.as_bytes());
                    }
                }
            }
            // Whoever asked was killed meanwhile, or a signal came.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOENT)) => {}
            // Not one process is left that could ask.
            Err(_) => return,
        }
    }
}

fn named(waiting: &Waiting) -> Vec<(Touch, String)> {
    let mut calls = CALLS.iter().chain(CALLS_OLD);
    let call = calls.find(|(number, _)| *number == waiting.number);
    let Ok(memory) = File::open(format!("/proc/{}/mem", waiting.thread)) else {
        return Vec::new();
    };
    let each = call.into_iter().flat_map(|(_, names)| names.iter());
    each.filter_map(|name| one(waiting, &memory, *name)).collect()
}

fn one(waiting: &Waiting, memory: &File, named: Named) -> Option<(Touch, String)> {
    let arg = |n: usize| waiting.args.get(n).copied();
    let name = text(memory, arg(named.name)?)?;
    let touch = match named.does {
        Does::Touch(touch) => touch,
        Does::Flags(n) => of_flags(arg(n)?),
        Does::How(n) => {
            let mut flags = [0; 8];
            memory.read_exact_at(&mut flags, arg(n)?).ok()?;
            of_flags(u64::from_ne_bytes(flags))
        }
    };
    let path = PathBuf::from(&name);
    let path = if path.is_absolute() {
        path
    } else {
        // The kernel looks at the lower half alone.
        let descriptor = named.directory.and_then(arg).map(|n| n & 0xFFFF_FFFF);
        let here = u64::from(u32::from_ne_bytes(libc::AT_FDCWD.to_ne_bytes()));
        let link = match descriptor.filter(|n| *n != here) {
            Some(n) => format!("/proc/{}/fd/{n}", waiting.thread),
            None => format!("/proc/{}/cwd", waiting.thread),
        };
        fs::read_link(link).ok()?.join(path)
    };
    Some((touch, flat(&path).to_str()?.to_owned()))
}

fn of_flags(flags: u64) -> Touch {
    let has = |flag: libc::c_int| flags & u64::from(flag.unsigned_abs()) != 0;
    if has(libc::O_ACCMODE) || has(libc::O_CREAT) || has(libc::O_TRUNC) {
        Touch::Write
    } else if has(libc::O_PATH) {
        Touch::Look
    } else {
        Touch::Read
    }
}

/// A text that ends with NUL; none where it is empty or too long.
fn text(memory: &File, mut at: u64) -> Option<String> {
    let mut bytes = Vec::new();
    while bytes.len() < NAME_BYTES_MAX {
        // Not over the end of a page: the next may not be there.
        let left = usize::try_from(4096 - at % 4096).ok()?;
        let mut part = vec![0; left.min(256)];
        let read = memory.read_at(&mut part, at).ok().filter(|read| *read > 0)?;
        let part = part.get(..read)?;
        match part.iter().position(|byte| *byte == 0) {
            Some(end) => {
                bytes.extend_from_slice(part.get(..end)?);
                return String::from_utf8(bytes).ok().filter(|text| !text.is_empty());
            }
            None => bytes.extend_from_slice(part),
        }
        at = at.checked_add(u64::try_from(read).ok()?)?;
    }
    None
}
