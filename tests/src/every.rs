//! One client on each of the wires towards clients, all used alike: what holds on one is asked of all.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message, WebSocket, client};

use crate::{
    gateway::{Gateway, OPEN_TO_TESTER, Scratch, program},
    wires::{Http, initialize},
};

/// How long an answer may take before a test gives up. No test asserts a time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether what is sent is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    Answer,
    Nothing,
}

/// Sends.
type Says = Box<dyn FnMut(&[u8], Wanted)>;

/// The tool `never` may not be called, nor seen; but where the gateway stands in place (`wrap`).
const FORBIDDEN: &str = r#"rules: [ "forbid(principal, action, resource == Tool::\"stub__never\");", "#;

/// The names of the wires.
pub const WIRES: [&str; 5] = ["Streamable HTTP", "HTTP+SSE", "WebSocket", "Unix socket", "stdio"];

/// A gateway before the stub, and one in place before another (`wrap`). Both stubs write into one journal.
#[derive(Debug)]
pub struct House {
    /// The gateway that serves.
    pub gateway: Gateway,
    scratch: Scratch,
}

impl Default for House {
    fn default() -> Self {
        Self::new()
    }
}

impl House {
    /// Ready to be connected to.
    #[must_use]
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let (stub, journal) = (program("e2e-stub"), scratch.path().join("journal"));
        let socket = scratch.path().join("gateway.sock");
        let gateway = Gateway::start(&format!(
            "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio, {journal:?}] }} }}\n\
             socket: {socket:?}\nanonymous: local\nusers: [ {{ name: local, roles: [tester] }} ]\n{}",
            OPEN_TO_TESTER.replace("rules: [ ", FORBIDDEN)
        ));
        Self { gateway, scratch }
    }

    /// Before the servers, users, agents and rules of a configuration, made for files in a directory.
    #[must_use]
    pub fn with(configuration: impl FnOnce(&Path) -> String) -> Self {
        let scratch = Scratch::new();
        let socket = scratch.path().join("gateway.sock");
        let yaml = configuration(scratch.path());
        let gateway = Gateway::start(&format!("socket: {socket:?}\nanonymous: local\n{yaml}"));
        gateway.wait_for_servers();
        Self { gateway, scratch }
    }

    /// How often a server wrote into a file of the directory.
    #[must_use]
    pub fn written(&self, file: &str) -> usize {
        let text = std::fs::read_to_string(self.scratch.path().join(file));
        text.unwrap_or_default().lines().count()
    }

    /// A file of the directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// How often a server executed the tool `journal`.
    #[must_use]
    pub fn executed(&self) -> usize {
        let journal = std::fs::read_to_string(self.scratch.path().join("journal"));
        journal.unwrap_or_default().lines().count()
    }

    /// A client on this wire.
    ///
    /// # Panics
    /// When it cannot connect.
    #[must_use]
    pub fn connect(&self, wire: &'static str) -> Wire {
        self.connected(wire, "tester", "", |house| house.wrapped())
    }

    /// An agent on this wire, to the gateway itself; over the Unix socket it is the user whom `anonymous` names.
    ///
    /// # Panics
    /// When it cannot connect.
    #[must_use]
    pub fn connect_as(&self, wire: &'static str, agent: &str) -> Wire {
        self.connected(wire, agent, "stub__", |house| house.bridged(agent))
    }

    fn connected(
        &self,
        wire: &'static str,
        agent: &str,
        prefix_of_pipes: &'static str,
        pipes: impl FnOnce(&Self) -> Child,
    ) -> Wire {
        let (send, heard) = mpsc::channel();
        let mut posts_to = None;
        let (says, child, prefix): (Says, _, _) = match wire {
            "Streamable HTTP" => (self.streamable(agent, send), None, "stub__"),
            "HTTP+SSE" => {
                let (says, address) = self.events(agent, send);
                posts_to = Some(address);
                (says, None, "stub__")
            }
            "WebSocket" => (self.websocket(agent, send), None, "stub__"),
            "Unix socket" => {
                let path = self.scratch.path().join("gateway.sock");
                let stream = UnixStream::connect(path).expect("a connection");
                let input = stream.try_clone().expect("a descriptor");
                std::thread::spawn(move || lines(input, &send));
                (pipe(stream), None, "stub__")
            }
            _ => {
                let mut child = pipes(self);
                let (input, output) = (child.stdin.take(), child.stdout.take());
                std::thread::spawn(move || lines(output.expect("an output"), &send));
                (pipe(input.expect("an input")), Some(child), prefix_of_pipes)
            }
        };
        Wire {
            name: wire,
            prefix,
            posts_to,
            says,
            heard,
            child,
        }
    }

    fn http(&self, agent: &str, path: &str) -> Http {
        let token = self.gateway.token_of(agent);
        Http::new(&format!("{}{path}", self.gateway.base()), &token)
    }

    fn streamable(&self, agent: &str, send: mpsc::Sender<String>) -> Says {
        let mut http = self.http(agent, "/mcp");
        Box::new(move |bytes, _| {
            let answer = mirrored(&http, bytes).post_bytes(bytes);
            if let Some(session) = answer.header("mcp-session-id") {
                let session = ("Mcp-Session-Id".to_owned(), session.to_owned());
                http.headers.retain(|(name, _)| *name != session.0);
                http.headers.push(session);
            }
            if !answer.text.is_empty() {
                let _ = send.send(answer.text);
            }
        })
    }

    fn events(&self, agent: &str, send: mpsc::Sender<String>) -> (Says, String) {
        let client = ureq::Agent::config_builder().build().new_agent();
        let stream = client
            .get(format!("{}/sse", self.gateway.base()))
            .header(
                "Authorization",
                format!("Bearer {}", self.gateway.token_of(agent)),
            )
            .header("Accept", "text/event-stream")
            .call()
            .expect("a stream");
        let mut data = BufReader::new(stream.into_body().into_reader())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("data: ").map(str::to_owned));
        let address = data.next().expect("an address");
        let http = self.http(agent, &address);
        std::thread::spawn(move || data.try_for_each(|message| send.send(message)));
        let says = Box::new(move |bytes: &[u8], _| {
            let answer = http.post_bytes(bytes);
            assert!(matches!(answer.status, 202 | 413), "{answer:?}");
        });
        (says, format!("{}{address}", self.gateway.base()))
    }

    fn websocket(&self, agent: &str, send: mpsc::Sender<String>) -> Says {
        let base = self.gateway.base();
        let address = base.trim_start_matches("http://");
        let uri = format!("ws://{address}/ws").parse().expect("a URI");
        let request = ClientRequestBuilder::new(uri)
            .with_header(
                "Authorization",
                format!("Bearer {}", self.gateway.token_of(agent)),
            )
            .with_sub_protocol("mcp");
        let stream = TcpStream::connect(address).expect("a connection");
        let (mut socket, _) = client(request, stream).expect("it is let in");
        Box::new(move |bytes, wanted| {
            let text = String::from_utf8(bytes.to_vec()).expect("text is what the wire is for");
            socket.send(Message::text(text)).expect("it is sent");
            // Who waits reads: until there is what is waited for.
            let mut waiting = wanted == Wanted::Answer;
            while waiting {
                let heard = next(&mut socket);
                waiting = !is_answer(&heard);
                let _ = send.send(heard);
            }
        })
    }

    fn bridged(&self, agent: &str) -> Child {
        std::process::Command::new(program("sallyport"))
            .arg("connect")
            .arg(format!("{}/mcp", self.gateway.base()))
            .args(["--header", "Authorization: Bearer ${TOKEN}"])
            .env("TOKEN", self.gateway.token_of(agent))
            .env("HOME", self.scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }

    fn wrapped(&self) -> Child {
        std::process::Command::new(program("sallyport"))
            .args(["wrap", "--name", "stub", "--data"])
            .arg(self.scratch.path().join("wrapped"))
            .arg("--")
            .arg(program("e2e-stub"))
            .arg("stdio")
            .arg(self.scratch.path().join("journal"))
            .env("HOME", self.scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }
}

/// The same with the headers that say what a message of the modern era says.
fn mirrored(http: &Http, bytes: &[u8]) -> Http {
    let mut http = http.clone();
    let message: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let revision = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    for (header, value) in [
        ("MCP-Protocol-Version", revision),
        ("Mcp-Method", &message["method"]),
        ("Mcp-Name", &message["params"]["name"]),
    ] {
        if let (true, Some(value)) = (revision.is_string(), value.as_str()) {
            http.headers.push((header.to_owned(), value.to_owned()));
        }
    }
    http
}

/// Whether it is more than something the gateway says of itself (`list_changed`).
fn is_answer(heard: &str) -> bool {
    !heard.contains("\"method\":\"notifications/")
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(500).collect()
}

/// The next message of a WebSocket.
fn next(socket: &mut WebSocket<TcpStream>) -> String {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => return text.as_str().to_owned(),
            Ok(Message::Close(frame)) => return format!("closed: {frame:?}"),
            Ok(_) => {}
            Err(error) => return format!("closed: {error}"),
        }
    }
}

fn lines(input: impl Read, send: &mpsc::Sender<String>) {
    let lines = BufReader::new(input).lines().map_while(Result::ok);
    for line in lines {
        if send.send(line).is_err() {
            return;
        }
    }
}

fn pipe(mut output: impl Write + 'static) -> Says {
    Box::new(move |bytes, _| {
        let sent = output.write_all(bytes).and_then(|()| output.write_all(b"\n"));
        sent.and_then(|()| output.flush()).expect("it is sent");
    })
}

/// A client.
pub struct Wire {
    /// The wire's name.
    pub name: &'static str,
    /// What comes before the names of the stub's tools on this wire.
    pub prefix: &'static str,
    /// Where it posts, where that is an address of its own.
    pub posts_to: Option<String>,
    says: Says,
    heard: mpsc::Receiver<String>,
    child: Option<Child>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Wire {
    /// Sends what wants no answer.
    pub fn tell(&mut self, text: &str) {
        (self.says)(text.as_bytes(), Wanted::Nothing);
    }

    /// Sends anything, and gives the answer as it came.
    ///
    /// # Panics
    /// When there is none.
    pub fn ask_bytes(&mut self, bytes: &[u8]) -> String {
        (self.says)(bytes, Wanted::Answer);
        loop {
            let heard = self.heard.recv_timeout(PATIENCE);
            let heard = heard.unwrap_or_else(|_| panic!("{}: no answer to {}", self.name, shown(bytes)));
            if is_answer(&heard) {
                return heard;
            }
        }
    }

    /// Sends a text, and gives the answer.
    ///
    /// # Panics
    /// When there is none, or it is no JSON.
    pub fn ask(&mut self, text: &str) -> Value {
        let answer = self.ask_bytes(text.as_bytes());
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{}: {answer}", self.name))
    }

    /// Opens a session of a revision.
    ///
    /// # Panics
    /// When none is opened.
    #[must_use]
    pub fn opened(mut self, revision: &str) -> Self {
        let answer = self.ask(&initialize(revision).to_string());
        assert_eq!(answer["result"]["protocolVersion"], json!(revision), "{answer}");
        self.tell("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
        self
    }

    /// `tools/call` of one of the stub's tools, as text.
    #[must_use]
    pub fn call(&self, id: &str, tool: &str, arguments: &str) -> String {
        let name = format!("{}{tool}", self.prefix);
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
        )
    }
}
