//! What a box costs: `cargo run -p upstream --example box_start -- PATH-OF-SALLYPORT [SERVERS]`.
//!
//! Starts `/bin/echo` bare and boxed by turns and prints the medians until it says something; then keeps servers resident in boxes and prints
//! what each box has in memory besides its server (proportional set size, proc_pid_smaps_rollup(5)).

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement: what is not as expected ends it"
)]

use std::{
    fs,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use upstream::{
    Sandbox,
    sandbox::{Profile, Room, Wishes, helper, plan},
};

const STARTS: usize = 101;

fn main() {
    let mut args = std::env::args().skip(1);
    let sallyport = args.next().expect("the path of sallyport");
    let servers: usize = args.next().map_or(100, |text| text.parse().expect("a number"));
    let quick = profile("/bin/echo");
    let (mut bare, mut boxed) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        bare.push(timed(|| spawn(&mut Command::new("/bin/echo"), &[])));
        boxed.push(timed(|| start(&sallyport, &quick)));
    }
    let (bare, boxed) = (median(bare), median(boxed));
    println!(
        "until /bin/echo says something, median of {STARTS}: bare {:.1} ms, boxed {:.1} ms, the box {:.1} ms",
        ms(bare),
        ms(boxed),
        ms(boxed.saturating_sub(bare))
    );
    let resident = profile("/bin/cat");
    let mut running: Vec<Child> = (0..servers).map(|_| start(&sallyport, &resident)).collect();
    std::thread::sleep(Duration::from_secs(3));
    let kb: u64 = running.iter().map(|helper| overhead_kb(helper.id())).sum();
    let each = kb / u64::try_from(servers.max(1)).expect("a count");
    println!(
        "{servers} servers resident: {each} kB each besides the server itself (two processes of the box)"
    );
    for helper in &mut running {
        drop(helper.stdin.take());
    }
    for mut helper in running {
        let _ = helper.wait();
    }
}

fn profile(program: &str) -> Profile {
    let command = upstream::Command {
        program: program.to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        vault: Vec::new(),
        directory: None,
        sandbox: Sandbox::default(),
    };
    let name = wire::mcp::ServerName::parse("measured").expect("a name");
    plan(&name, &command, &Wishes::default(), &Room::default()).expect("a profile")
}

fn start(sallyport: &str, profile: &Profile) -> Child {
    spawn(&mut helper(sallyport), &profile.introduction())
}

fn spawn(command: &mut Command, input: &[u8]) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    child
        .stdin
        .as_mut()
        .expect("an input")
        .write_all(input)
        .expect("it reads");
    child
}

fn timed(start: impl FnOnce() -> Child) -> Duration {
    let begun = Instant::now();
    let mut child = start();
    let mut said = [0];
    child
        .stdout
        .take()
        .expect("an output")
        .read_exact(&mut said)
        .expect("it says something");
    let elapsed = begun.elapsed();
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{status}");
    elapsed
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The helper and process 1 of its box.
fn overhead_kb(helper: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{helper}/task/{helper}/children")).unwrap_or_default();
    let inside = children
        .split_whitespace()
        .next()
        .and_then(|pid| pid.parse().ok());
    std::iter::once(helper).chain(inside).map(proportional_kb).sum()
}

fn proportional_kb(pid: u32) -> u64 {
    let sizes = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = sizes.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kb.and_then(|kb| kb.trim().parse().ok()).unwrap_or_default()
}
