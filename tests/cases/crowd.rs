//! Fifty principals at once, whose requests all have the same ids, through one process and one endpoint that they
//! share: each gets its own answers. And what a session costs that does nothing.
//!
//! `CROWD_CALLS` and `CROWD_SESSIONS` make it as many as one likes.

use std::process::{Child, Command, Stdio};

use e2e::gateway::{Gateway, SECRET, program};
use serde_json::{Value, json};

/// How many principals there are.
const PRINCIPALS: usize = 50;

/// The most an idle session may cost, in bytes of resident memory.
const SESSION_BYTES_MAX: u64 = 16 * 1024;

fn how_many(variable: &str, otherwise: u64) -> u64 {
    let said = std::env::var(variable).ok();
    said.map_or(otherwise, |said| said.parse().expect("a number"))
}

/// A server that is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A stub over HTTP, and its URL.
fn over_http() -> (Server, String) {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(program("e2e-stub"))
        .arg("http")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the stub starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("an output");
    BufReader::new(output).read_line(&mut line).expect("a line");
    (Server(child), line.trim().to_owned())
}

fn start(url: &str) -> Gateway {
    let stub = program("e2e-stub");
    let agents: Vec<Value> = (0..PRINCIPALS)
        .map(|n| json!({"name": format!("agent-{n}"), "secret": "env:TESTER_SECRET", "roles": ["crowd"]}))
        .collect();
    let servers = json!({
        "pipe": {"command": stub, "args": ["stdio"], "isolation": "shared", "trust": "trusted"},
        "http": {"url": url, "isolation": "shared", "trust": "trusted"},
    });
    Gateway::start(&format!(
        "mcpServers: {servers}\nagents: {}\napprove: all\n\
         limits: {{ default: {{ rate: 100000000/min, burst: 10000000, concurrency: 1024 }} }}\n\
         policy: {{ packs: [baseline], rules: [ 'permit(principal in Role::\"crowd\", action, resource);' ] }}\n",
        json!(agents),
    ))
}

/// What the crowd says of what it did.
fn crowd(gateway: &Gateway, args: &[&str]) -> Value {
    let base = gateway.base();
    let principals = PRINCIPALS.to_string();
    let output = Command::new(program("e2e-crowd"))
        .args([args[0], &base, &principals])
        .args(&args[1..])
        .env("CROWD_SECRET", SECRET)
        .output()
        .expect("the crowd starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{errors}"))
}

#[test]
fn of_calls_with_equal_ids_each_gets_its_own_answer() {
    let (_server, url) = over_http();
    let gateway = start(&url);
    let calls = how_many("CROWD_CALLS", 4_000);
    let said = crowd(
        &gateway,
        &["calls", &calls.to_string(), "pipe__echo", "http__echo"],
    );
    assert_eq!(said, json!({"good": calls, "wrong": 0, "failed": 0}));
}

#[expect(clippy::print_stdout, reason = "the figure, for whoever runs it to see it")]
#[test]
fn a_session_that_does_nothing_costs_little() {
    let (_server, url) = over_http();
    let gateway = start(&url);
    let sessions = how_many("CROWD_SESSIONS", 2_000);
    // What the first sessions cost once is not theirs.
    crowd(&gateway, &["sessions", "100"]);
    let resident = || gateway.memory_kb("VmRSS") * 1024;
    let before = resident();
    let said = crowd(&gateway, &["sessions", &sessions.to_string()]);
    assert_eq!(said, json!({"sessions": sessions}));
    let each = resident().saturating_sub(before) / sessions;
    println!("{sessions} idle sessions: {each} bytes each");
    assert!(each <= SESSION_BYTES_MAX, "{each} bytes");
}
