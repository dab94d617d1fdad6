//! Any client reaches any server: every client stack of `matrix.tsv` lists and calls through one gateway on servers of
//! both eras and every wire, and each cell is held to what went over the wires on both sides of the gateway.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, Scratch, program},
    peers::{self, Served},
    recorder::Recorder,
};
use serde_json::{Value, json};

/// A client: its name in the table, and how it is started.
const CLIENTS: [(&str, Start); 13] = [
    ("Python mcp 1.30.0", Start::Python("py1", "mcp-1")),
    ("Python mcp 2.3.0", Start::Python("py2", "mcp-2")),
    ("TypeScript sdk 1.32.2", Start::Node("sdk-1")),
    ("TypeScript client 2.4.0", Start::Node("sdk-2")),
    ("TypeScript client 2.4.0, auto", Start::Node("sdk-2-auto")),
    ("rmcp 3.9.0", Start::Rust("initialize")),
    ("rmcp 3.9.0, auto", Start::Rust("auto")),
    ("Inspector CLI 2.12.0", Start::Node("inspector")),
    ("mcp-remote 0.15.1", Start::Node("mcp-remote")),
    ("fastmcp 4.1.2", Start::Python("py2", "fastmcp")),
    ("langchain-mcp-adapters 0.3.2", Start::Python("py1", "langchain")),
    ("openai-agents 0.24.0", Start::Python("py2", "openai-agents")),
    ("mcp-agent 0.2.6", Start::Python("py1", "mcp-agent")),
];

enum Start {
    Node(&'static str),
    Python(&'static str, &'static str),
    Rust(&'static str),
}

impl Start {
    fn command(&self, peers: &Path) -> Command {
        let mut command = Command::new("timeout");
        command.arg("120");
        match self {
            Self::Node(name) => command
                .arg(peers::node(peers))
                .arg(peers::script("matrix.mjs"))
                .arg(name),
            Self::Python(venv, name) => command
                .arg(peers.join(venv).join("bin/python"))
                .arg(peers::script("matrix.py"))
                .arg(name),
            Self::Rust(name) => command.arg(program("e2e-rmcp")).arg(name),
        };
        command
    }
}

/// Where what the gateway says to a server is taken down.
enum Witness {
    /// A copy of the lines that went to its standard input.
    Lines(PathBuf),
    Relay(Recorder),
}

impl Witness {
    /// What was said with this text in it.
    fn with(&self, text: &str) -> Vec<String> {
        match self {
            Self::Lines(path) => {
                let lines = std::fs::read_to_string(path).unwrap_or_default();
                let lines = lines.lines().filter(|line| line.contains(text));
                lines.map(str::to_owned).collect()
            }
            Self::Relay(recorder) => recorder.requests_with(text),
        }
    }
}

/// A server: its column in the table, and its name in the configuration.
struct Server {
    column: &'static str,
    name: &'static str,
    witness: Witness,
}

/// Programs that end with this.
struct Programs(Vec<Child>);

impl Drop for Programs {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The servers, and what the gateway's configuration says of them.
fn servers(peers: &Path, folder: &Path) -> (Vec<Server>, String, (Programs, Served)) {
    let node = peers::node(peers);
    let everything = peers::npm(peers, "@modelcontextprotocol/server-everything/dist/index.js");
    let mut programs = Programs(Vec::new());
    let mut servers = Vec::new();
    let mut yaml = String::from("mcpServers:\n");
    let pipes = [
        ("stdio legacy", "old_pipe", vec![node.clone(), everything.clone()]),
        (
            "stdio dual",
            "new_pipe",
            vec![peers.join("py2/bin/mcp-server-time")],
        ),
    ];
    for (column, name, command) in pipes {
        let lines = folder.join(name);
        let args: Vec<_> = [
            PathBuf::from("-c"),
            "tee -a \"$0\" | \"$@\"".into(),
            lines.clone(),
        ]
        .into_iter()
        .chain(command)
        .collect();
        let _ = writeln!(yaml, "  {name}: {{ command: sh, args: {} }}", json!(args));
        let witness = Witness::Lines(lines);
        servers.push(Server {
            column,
            name,
            witness,
        });
    }
    let mut relayed = |column, name, target: SocketAddr, path: &str, kind: &str| {
        let recorder = Recorder::before(target);
        let _ = writeln!(
            yaml,
            "  {name}: {{ url: \"http://{}{path}\"{kind} }}",
            recorder.address()
        );
        let witness = Witness::Relay(recorder);
        servers.push(Server {
            column,
            name,
            witness,
        });
    };
    for (column, name, mode, path, kind) in [
        ("HTTP legacy", "old_http", "streamableHttp", "/mcp", ""),
        ("HTTP+SSE", "sse", "sse", "/sse", ", type: sse"),
    ] {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let mut command = Command::new(&node);
        command.arg(&everything).arg(mode);
        command.env("PORT", address.port().to_string());
        programs
            .0
            .push(quiet(&mut command).spawn().expect("the server starts"));
        let listens = (0..300).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            TcpStream::connect(address).is_ok()
        });
        assert!(listens, "{column} does not listen");
        relayed(column, name, address, path, kind);
    }
    let modern = peers::everything(peers, "modern");
    let address = modern.line.trim_start_matches("http://").trim_end_matches("/mcp");
    let address = address.parse().expect("an address");
    relayed("HTTP modern", "new_http", address, "/mcp", "");
    (servers, yaml, (programs, modern))
}

fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

/// The call of a client on a server, with a text that nobody else sends.
fn call(number: usize, server: &Server, gateway: &Gateway, base: &str) -> (Value, String) {
    let path = format!("/mcp/{}", server.name);
    let (url, token) = (format!("{base}{path}"), gateway.token_at("tester", &path));
    let (tool, arguments, text) = if server.column == "stdio dual" {
        let time = format!("12:{number:02}");
        let zones = json!({"source_timezone": "UTC", "target_timezone": "UTC", "time": time});
        ("convert_time", zones, time)
    } else {
        let message = format!("client {number:02} is here");
        ("echo", json!({ "message": message }), message)
    };
    let endpoint = json!({
        "server": server.column, "url": url, "token": token, "tool": tool, "arguments": arguments,
    });
    (endpoint, text)
}

/// The era of the calls among these messages; there has to be one, or all have to agree.
fn era(messages: &[String]) -> &'static str {
    let calls = messages.iter().filter(|message| message.contains("tools/call"));
    let modern = |message: &String| {
        let in_body = message.contains("\"io.modelcontextprotocol/protocolVersion\"");
        // In HTTP, the header has to agree.
        let header = message
            .to_ascii_lowercase()
            .contains("mcp-protocol-version: 2026-07-28");
        match (in_body, header || !message.contains("HTTP/1.1")) {
            (true, true) => "modern",
            (false, false) => "legacy",
            (false, true) if !message.contains("HTTP/1.1") => "legacy",
            _ => "header and body differ",
        }
    };
    let eras: Vec<_> = calls.map(modern).collect();
    match eras.split_first() {
        None => "none",
        Some((first, rest)) if rest.iter().all(|era| era == first) => first,
        Some(_) => "mixed",
    }
}

#[test]
fn every_client_reaches_every_server_in_the_eras_of_the_table() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let scratch = Scratch::new();
    let (servers, yaml, _programs) = servers(&peers, scratch.path());
    let front = Recorder::start();
    let hosts = format!("hosts: [ \"{}\" ]\n", front.address());
    let gateway = Gateway::start(&format!("{yaml}{hosts}{OPEN_TO_TESTER}"));
    let base = gateway.base();
    front.lead_to(base.trim_start_matches("http://").parse().expect("an address"));
    let base = format!("http://{}", front.address());
    let (next, rows) = (Mutex::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let mut number = next.lock().expect("a number");
                    let mine = *number;
                    *number += 1;
                    drop(number);
                    let Some((_, start)) = CLIENTS.get(mine) else {
                        return;
                    };
                    let calls: Vec<_> = servers
                        .iter()
                        .map(|server| call(mine, server, &gateway, &base))
                        .collect();
                    let endpoints: Vec<_> = calls.iter().map(|(endpoint, _)| endpoint).collect();
                    let output = start
                        .command(&peers)
                        .env("ENDPOINTS", json!(endpoints).to_string())
                        .env("NODE_MODULES", peers.join("node/node_modules"))
                        .env("HOME", scratch.path())
                        .output()
                        .expect("the client starts");
                    rows.lock().expect("rows").insert(mine, (calls, output));
                }
            });
        }
    });
    let mut found = String::from("client\tits era\tserver\tera to it\toutcome\n");
    let mut wrong = String::new();
    for (number, (calls, output)) in rows.into_inner().expect("rows") {
        let client = CLIENTS[number].0;
        let said = String::from_utf8_lossy(&output.stdout);
        let said: Vec<Value> = said
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if said.len() < servers.len() {
            let _ = writeln!(wrong, "{client}: {}", String::from_utf8_lossy(&output.stderr));
        }
        for (server, (endpoint, text)) in servers.iter().zip(calls) {
            let own = said.iter().find(|line| line["server"] == json!(server.column));
            let own = own.cloned().unwrap_or_default();
            let listed = own["tools"]
                .as_array()
                .is_some_and(|tools| tools.contains(&endpoint["tool"]));
            let answered = own["text"].as_str().is_some_and(|answer| answer.contains(&text));
            let outcome = match (listed, answered) {
                (true, true) => "listed, called",
                (true, false) => "listed",
                (false, _) => "failed",
            };
            if outcome != "listed, called" {
                let _ = writeln!(wrong, "{client}, {}: {own}", server.column);
            }
            let (before, behind) = (era(&front.requests_with(&text)), era(&server.witness.with(&text)));
            let _ = writeln!(
                found,
                "{client}\t{before}\t{}\t{behind}\t{outcome}",
                server.column
            );
        }
    }
    let table = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("matrix.tsv"));
    let table = table.expect("the table");
    assert!(found == table, "matrix.tsv has to be\n{found}\n{wrong}");
}
