//! Issue 7: values planted by a test appear nowhere: in the data directory, logs, metrics, events and traces, core dumps.
//! Each look is first shown to find something that is there.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use e2e::{
    gateway::{Gateway, SECRET, Scratch, program},
    mcp::Client,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde_json::json;

/// What a call says, what its answer says back, and what nobody else does.
const SAID: &str = "zebrafish-diagnosis-4711";
const MAIL: &str = "ann.lee@clinic.org";
/// What a server is given in its environment.
const KEY: &str = "sk-planted-0f3a9c5d7e1b2468ace0-of-the-server";
/// What somebody presents who is let in by nobody.
const STRANGER: &str = "planted-token-7a1c-of-a-stranger";
/// A receiver that is never there, so that the log has something to complain of.
const NOWHERE: &str = "127.0.0.1:9";
/// Somebody who has no rights beyond their own.
const NOBODY: u32 = 65_534;

/// Whoever is told over HTTP; all of it is kept.
fn receiver() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let into = Arc::clone(&kept);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            into.lock().unwrap_or_else(PoisonError::into_inner).extend(said);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (address, kept)
}

fn holds(bytes: &[u8], value: &str) -> bool {
    bytes
        .windows(value.len())
        .any(|window| window == value.as_bytes())
}

/// Files below a directory, with what is in them.
fn files(directory: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, into);
        } else if let Ok(bytes) = fs::read(&path) {
            into.push((path.display().to_string(), bytes));
        }
    }
}

fn yaml(receiver: SocketAddr) -> String {
    let stub = program("e2e-stub");
    let events: String = ["json", "ocsf", "cef"]
        .iter()
        .map(|format| format!("\x20 - {{ to: \"file:./events-{format}\", format: {format} }}\n"))
        .collect();
    format!(
        "mcpServers:\n\
         \x20 charts: {{ command: {stub:?}, args: [stdio], trust: trusted, env: {{ API_KEY: \"env:PLANTED_KEY\" }}, \
         tools: {{ \"*\": {{ subject: /patient }} }} }}\n\
         approve: all\nmetrics: here\nrecords: {{ payloads: on, strict: true }}\n\
         events:\n{events}\x20 - {{ to: \"http://{receiver}/v1/logs\", format: otlp }}\n\
         \x20 - {{ to: \"syslog+tcp://{NOWHERE}\", format: cef }}\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }} ]\n\
         policy: {{ packs: [baseline], rules: [ \"permit(principal in Role::\\\"tester\\\", action, \
         resource in Server::\\\"charts\\\");\" ] }}\n"
    )
}

#[test]
fn what_is_planted_is_nowhere_but_where_it_was_said() {
    let (address, told) = receiver();
    let variables = [("PLANTED_KEY", KEY), ("SALLYPORT_LOG", "trace")];
    let mut gateway = Gateway::configured(&yaml(address))
        .with_variables(&variables)
        .logging_to("log");
    gateway.run();
    gateway.wait_for_servers();
    let token = gateway.token();
    let url = format!("{}/mcp", gateway.base());
    let client = Client::new(url.clone(), Some(token.clone()));
    let said = json!({ "text": format!("{SAID} of {MAIL}"), "patient": "p-4711-planted" });
    assert!(client.call("charts__echo", &said).expect("an answer").is_good());
    // Refused, unknown, malformed, and by a stranger: errors say what was wrong, not what was said.
    let _ = client.call("charts__none", &said);
    let _ = client.call("nowhere__echo", &said);
    let _ = client.raw(
        &format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{SAID}"),
        &[],
    );
    let _ = Client::new(url, Some(STRANGER.to_owned())).call("charts__echo", &said);
    let metrics = ureq::get(format!("{}/metrics", gateway.base())).call();
    let metrics = metrics
        .expect("metrics")
        .body_mut()
        .read_to_string()
        .expect("a text");
    let until = Instant::now() + Duration::from_secs(20);
    let delivered = || told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    while Instant::now() < until && !holds(&delivered(), "charts") {
        thread::sleep(Duration::from_millis(100));
    }
    let root = fs::read_to_string(gateway.path("state/root.key")).expect("a key");
    gateway.stop();
    let signature = token.rsplit('.').next().expect("a part");
    let secrets = [
        SAID,
        MAIL,
        "p-4711-planted",
        KEY,
        STRANGER,
        SECRET,
        signature,
        root.trim(),
    ];
    let mut found = Vec::new();
    files(&gateway.path("state"), &mut found);
    found.retain(|(name, _)| !name.ends_with("/root.key"));
    for name in ["log", "events-json", "events-ocsf", "events-cef"] {
        found.push((
            name.to_owned(),
            fs::read(gateway.path(name)).expect("it was written"),
        ));
    }
    found.push(("metrics".to_owned(), metrics.into_bytes()));
    found.push(("otlp".to_owned(), delivered()));
    // Every one of these was really looked into: it names the server.
    assert!(
        found
            .iter()
            .any(|(name, bytes)| name == "log" && holds(bytes, NOWHERE))
    );
    for name in ["events-json", "events-ocsf", "events-cef", "metrics", "otlp"] {
        let (_, bytes) = found
            .iter()
            .find(|(known, _)| known == name)
            .expect("it is there");
        assert!(holds(bytes, "charts"), "{name} says nothing of the server");
    }
    assert!(
        found
            .iter()
            .any(|(name, bytes)| name.contains("payloads.db") && bytes.len() > 4096)
    );
    for (name, bytes) in &found {
        for secret in secrets {
            assert!(!holds(bytes, secret), "{secret} is in {name}");
        }
    }
}

/// Cores in a directory.
fn cores(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("a directory").flatten();
    let names = names.map(|name| name.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("core")).collect()
}

fn abort(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process");
    kill_process(pid, Signal::ABORT).expect("it is sent");
}

#[test]
fn a_gateway_that_is_aborted_leaves_no_core_and_nobody_reads_its_memory() {
    let is_root = rustix::process::geteuid().is_root();
    // As `ulimit -c unlimited`, for all that this test starts.
    let most = getrlimit(Resource::Core).maximum;
    let unlimited = Rlimit {
        current: if is_root { None } else { most },
        maximum: if is_root { None } else { most },
    };
    setrlimit(Resource::Core, unlimited).expect("it may be raised");
    let place = Scratch::new();
    std::env::set_current_dir(place.path()).expect("it is there");
    let status = Command::new("sh").args(["-c", "kill -ABRT $$"]).status();
    assert!(!status.expect("it starts").success());
    // Where the system hands cores to a program, or writes them elsewhere, none can be seen here.
    let seen = !cores(place.path()).is_empty();
    let stub = program("e2e-stub");
    let yaml = format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio], sandbox: off }} }}\n{}",
        e2e::gateway::OPEN_TO_TESTER
    );
    let mut gateway = Gateway::configured(&yaml);
    if is_root {
        gateway = gateway.owned_by(NOBODY);
    }
    gateway.run();
    gateway.wait_for_servers();
    let pid = gateway.pid();
    // What `gcore` and debuggers do first, as the gateway's own user.
    let memory = |pid: u32| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!(": < /proc/{pid}/mem")]);
        if is_root {
            use std::os::unix::process::CommandExt;
            command.uid(NOBODY).gid(NOBODY);
        }
        let status = command.stderr(Stdio::null()).status().expect("it starts");
        status.success()
    };
    let mut other = Command::new("sleep");
    other.arg("60");
    if is_root {
        use std::os::unix::process::CommandExt;
        other.uid(NOBODY).gid(NOBODY);
    }
    let mut other = other.spawn().expect("it starts");
    let readable = memory(other.id());
    let _ = other.kill();
    let _ = other.wait();
    assert!(readable, "the look itself does not work here");
    assert!(!memory(pid), "its user's other programs read its memory");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.expect("a line").split_whitespace().collect();
    assert_eq!(core.get(4..6), Some(&["0", "0"][..]), "{core:?}");
    let before = cores(place.path());
    abort(pid);
    let until = Instant::now() + Duration::from_secs(20);
    while Path::new(&format!("/proc/{pid}/exe")).exists() && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
    }
    if seen {
        assert_eq!(cores(place.path()), before);
        assert!(cores(&gateway.path("")).is_empty() && cores(&gateway.path("state")).is_empty());
    }
    std::env::set_current_dir("/").expect("it is there");
    gateway.kill();
}
