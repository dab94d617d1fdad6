//! Walls of the box that a server inside cannot try by itself: what changes between the plan and the start, who may
//! start one, and what all its processes have together. The helper here is the real binary.
//!
//! Each was seen to fail with its wall taken out; the comment at each test says what to take out.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "tests; what is not as expected ends them")]

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use upstream::{
    Sandbox,
    sandbox::{Caps, Kernel, Profile, Room, WORD, Wishes, helper, plan},
};

const SALLYPORT: &str = env!("CARGO_BIN_EXE_sallyport");
/// How the helper ends when there is no box.
const NO_BOX: Option<i32> = Some(126);

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sallyport-walls-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Self(path.canonicalize().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn profile(script: &str, wishes: &Wishes, room: &Room) -> Profile {
    let command = upstream::Command {
        program: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: Vec::new(),
        vault: Vec::new(),
        directory: None,
        sandbox: Sandbox::default(),
    };
    let name = wire::mcp::ServerName::parse("walls").expect("a name");
    plan(&name, &command, wishes, room).expect("a profile")
}

fn start(command: &mut Command, profile: &Profile) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("an input");
    // A helper that refuses may be gone already.
    let _ = input.write_all(&profile.introduction());
    child
}

/// A server that has said a word of four letters, and reads on.
fn waiting(profile: &Profile) -> Child {
    let mut child = helper(SALLYPORT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let input = child.stdin.as_mut().expect("an input");
    input.write_all(&profile.introduction()).expect("it reads");
    let mut line = [0; 5];
    let output = child.stdout.as_mut().expect("an output");
    output.read_exact(&mut line).expect("a line");
    child
}

fn run(profile: &Profile) -> Output {
    let child = start(&mut helper(SALLYPORT), profile);
    child.wait_with_output().expect("it ends")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn writes(path: &Path) -> Wishes {
    Wishes {
        write: vec![path.to_owned()],
        ..Wishes::default()
    }
}

/// To see it fail: in `view.rs`, `ResolveFlags::empty()` instead of `NO_SYMLINKS` in `bind`.
#[test]
fn a_link_put_in_the_way_between_plan_and_start_shows_nothing() {
    let scratch = Scratch::new("swap");
    let file = scratch.file("way/project/text", "granted");
    scratch.file("private/project/text", "secret");
    let wishes = writes(&scratch.path("way/project"));
    let profile = profile(&format!("cat {}", file.display()), &wishes, &Room::default());
    assert_eq!(said(&run(&profile).stdout), "granted");

    fs::rename(scratch.path("way"), scratch.path("was")).expect("it is there");
    // One that is not absolute: those lead nowhere while a box is made.
    symlink("private", scratch.path("way")).expect("a link");
    let output = run(&profile);
    assert_eq!(said(&output.stdout), "", "{output:?}");
    assert_eq!(output.status.code(), NO_BOX, "{output:?}");
    assert!(said(&output.stderr).contains("it cannot be shown"), "{output:?}");
}

/// A server that may write around what is hidden would move it aside, and find it uncovered at its next start. To see it
/// fail: return at once in `hold` of `view.rs`.
#[test]
fn directories_that_lead_to_what_is_hidden_cannot_be_moved_away() {
    let scratch = Scratch::new("held");
    scratch.file("work/state/data/key", "secret");
    let room = Room {
        hidden: vec![scratch.path("work/state/data")],
        ..Room::default()
    };
    let wishes = writes(&scratch.path("work"));
    let work = scratch.path("work").display().to_string();
    let moves = profile(
        &format!("mv {work}/state {work}/moved; echo tried"),
        &wishes,
        &room,
    );
    let output = run(&moves);
    assert_eq!(said(&output.stdout), "tried\n", "{output:?}");
    let reads = profile(&format!("cat {work}/*/data/key; echo tried"), &wishes, &room);
    let output = run(&reads);
    assert_eq!(said(&output.stdout), "tried\n", "{output:?}");
}

/// A helper whose starter is gone has another parent, and would wait for that one's end: here a shell is between. To see it
/// fail: leave out the comparison with `wrote` in `outside` of `enter.rs`.
#[test]
fn a_helper_that_is_not_the_child_of_who_wrote_its_profile_starts_nothing() {
    let profile = profile("echo started", &Wishes::default(), &Room::default());
    let between = format!("exec 3<&0; {SALLYPORT} {WORD} <&3 & wait $!");
    let child = start(
        Command::new("/bin/sh").args(["-c", &between]).env_clear(),
        &profile,
    );
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(said(&output.stdout), "", "{output:?}");
    assert_eq!(output.status.code(), NO_BOX, "{output:?}");
    assert!(said(&output.stderr).contains("the gateway is gone"), "{output:?}");
    assert_eq!(said(&run(&profile).stdout), "started\n");
}

/// Process 1 has the server's limit of memory, and what its allocator takes counts. To see it fail: an empty
/// `HELPER_ENVIRONMENT` in `sandbox/mod.rs`.
#[test]
fn who_makes_a_box_takes_little_of_its_memory_and_the_server_does_not_see_how() {
    let wishes = Wishes {
        caps: Caps {
            memory_bytes: 48 << 20,
            ..Caps::default()
        },
        ..Wishes::default()
    };
    let child = waiting(&profile(
        "echo here; read line; export; exit 3",
        &wishes,
        &Room::default(),
    ));
    let helper = child.id();
    let inside = fs::read_to_string(format!("/proc/{helper}/task/{helper}/children")).expect("a process");
    let inside: Vec<u32> = inside.split_whitespace().flat_map(str::parse).collect();
    assert_eq!(inside.len(), 1, "{inside:?}");
    for process in [helper].into_iter().chain(inside) {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
        let data = status.lines().find_map(|line| line.strip_prefix("VmData:"));
        let kb = data.and_then(|line| line.trim().strip_suffix(" kB"));
        let kb: u64 = kb.and_then(|kb| kb.parse().ok()).expect("a number");
        assert!(kb < 16 << 10, "process {process} has {kb} kB of data");
    }
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(said(&output.stdout).contains("export"), "{output:?}");
    assert!(!said(&output.stdout).contains("MIMALLOC"), "{output:?}");
}

/// Where the kernel and whoever set it up let us make control groups, a box is in one that has its caps, and it is gone with
/// the box. Elsewhere this shows nothing; docs/sandbox.md says how it was run.
#[test]
fn a_control_group_has_the_caps_and_ends_with_the_box() {
    if !Kernel::look().groups {
        return;
    }
    let wishes = Wishes {
        caps: Caps {
            memory_bytes: 64 << 20,
            cpu_percent: 50,
            pids: 32,
            ..Caps::default()
        },
        ..Wishes::default()
    };
    let mut child = waiting(&profile("echo here; read line", &wishes, &Room::default()));
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).expect("a process");
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let group = Path::new("/sys/fs/cgroup").join(own.expect("a group"));
    let is = |file: &str| {
        fs::read_to_string(group.join(file))
            .expect(file)
            .trim()
            .to_owned()
    };
    assert_eq!(is("memory.max"), (64 << 20).to_string());
    assert_eq!(is("memory.swap.max"), "0");
    assert_eq!(is("cpu.max"), "50000 100000");
    assert_eq!(is("pids.max"), "40");
    drop(child.stdin.take());
    child.wait().expect("it ends");
    assert!(!group.exists(), "{}", group.display());

    // Each far below the cap, and all together far above.
    let many = "for n in 1 2 3 4 5 6; do head -c 30000000 /dev/zero | tail & done; wait; echo all";
    let output = run(&profile(many, &wishes, &Room::default()));
    assert_ne!(said(&output.stdout).trim(), "all", "{output:?}");
}
