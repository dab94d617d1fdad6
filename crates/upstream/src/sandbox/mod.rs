//! The box a server's process runs in (Linux), and what is derived, told and compiled from its profile.
//!
//! The gateway has many threads, so it forks nothing itself: it starts its own binary anew with one hidden word
//! ([`WORD`]) and writes the profile into its standard input. That helper ([`enter`]) has one thread. It makes
//! namespaces, a view of the file system that holds only what the profile names, Landlock rules over the same names,
//! a list of system calls, and limits; then it starts the server as a child of a process 1 that outlives nothing.
//!
//! The only folder of the workspace with `unsafe`: six system calls that no safe crate has (`sys`). It must not know
//! who calls a server, nor what rules say of it.

mod asked;
mod calls;
mod cgroup;
mod compile;
mod enter;
mod files;
mod forward;
mod kernel;
mod least;
mod places;
mod plan;
mod profile;
mod sys;
mod view;
mod wishes;
mod words;

pub use compile::{Target, compile};
pub(crate) use enter::NO_BOX;
pub use enter::enter;
pub use kernel::{Counted, Kernel, Lack};
pub use least::Least;
pub use plan::{fetches_from, plan};
pub use profile::Profile;
pub use sys::forget_code;
pub use wishes::{Caps, Refused, Room, Sandbox, Wall, Wishes};

/// The hidden word of the command line that makes the binary its own helper.
pub const WORD: &str = "__box";

/// All that the helper has of an environment: how the binary's allocator takes memory. As it usually does it would take a
/// GiB that can be written at its start, and 32 MiB more for each thread. None of that is used, but a process's limit of
/// memory counts it (`RLIMIT_DATA`), and process 1 has the same as the server. So it reserves, and takes what it uses.
const HELPER_ENVIRONMENT: [(&str, &str); 2] = [
    ("MIMALLOC_ARENA_EAGER_COMMIT", "0"),
    ("MIMALLOC_EAGER_COMMIT", "0"),
];

/// The helper, as it is to be started: with no environment of anybody's, for what the server is to have is in the profile.
pub fn helper(sallyport: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
    let mut starting = std::process::Command::new(sallyport);
    starting
        .arg(WORD)
        .env_clear()
        .envs(HELPER_ENVIRONMENT)
        .current_dir("/");
    starting
}

/// The port on the box's loopback where what it says goes to the gateway's broker.
const EGRESS_PORT: u16 = 3128;
/// Where the broker's socket is, inside.
const EGRESS_SOCKET: &str = "/run/sallyport/egress.sock";
