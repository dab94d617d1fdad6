//! The profile as another sandbox wants it, in that sandbox: `bubblewrap`, as Debian has it.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use e2e::peers;
use serde_json::{Value, json};

use crate::sandbox::{BOX, start};

/// What it must hold. It has no list of system calls and no limits: bombs, keys, odd sockets, tracing of one's own children
/// and being root of its own namespace are not its business.
const HELD: [&str; 19] = [
    "abstract-socket",
    "clock",
    "descriptor-theft",
    "dns-tunnel",
    "environment",
    "hostname",
    "metadata",
    "mount",
    "proc-of-others",
    "read-file",
    "read-gateway",
    "read-home",
    "signal",
    "symlink",
    "tcp",
    "unix-socket",
    "write-file",
    "write-system",
    "bpf",
];

#[test]
fn bubblewrap_holds_the_probe_with_the_profile_that_is_written_for_it() {
    if peers::directory().is_none() {
        return;
    }
    let outside = start(BOX, None);
    let profile = outside
        .gateway
        .json(&["server", "profile", "probe", "--as", "bubblewrap"])
        .remove(0);
    let line = profile["profile"].as_str().expect("a profile");
    let mut child = Command::new("sh")
        .args(["-c", line])
        .env("TESTER_SECRET", e2e::gateway::SECRET)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut ask = |id: usize, method: &str, params: &Value| -> Value {
        let asked = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(stdin, "{asked}").expect("it reads");
        let line = lines.next().expect("an answer").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    };
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"}});
    assert!(ask(0, "initialize", &hello)["result"].is_object(), "{line}");
    let mut out = Vec::new();
    for (n, way) in HELD.iter().enumerate() {
        let answer = ask(n + 1, "tools/call", &json!({"name": way, "arguments": {}}));
        let text = answer["result"]["content"][0]["text"].to_string();
        if !text.starts_with("\"held") {
            out.push(format!("{way}: {text}"));
        }
    }
    drop(stdin);
    let _ = child.kill();
    let _ = child.wait();
    assert!(out.is_empty(), "{out:?}");
}
