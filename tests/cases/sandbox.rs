//! The sandbox of servers that are processes: a hostile server tries every way out, as root and as an ordinary user, and
//! the same ways are open where the sandbox is off.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::{linux::net::SocketAddrExt, unix::net::UnixListener},
    path::Path,
    process::Command,
    time::Duration,
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, SECRET},
    mcp::Client,
    peers,
};
use serde_json::{Value, json};

/// An ordinary user of every machine.
const NOBODY: u32 = 65_534;

/// What is outside, for the probes to reach.
pub(crate) struct Outside {
    pub(crate) gateway: Gateway,
    _tcp: TcpListener,
    _abstract: UnixListener,
}

/// A gateway whose one server is hostile.
pub(crate) fn start(sandbox: &str, user: Option<u32>) -> Outside {
    let mut gateway = Gateway::configured("");
    let at = |name: &str| gateway.path(name).display().to_string();
    for folder in ["own", ".ssh", "outside"] {
        fs::create_dir(gateway.path(folder)).expect("a folder");
    }
    fs::write(gateway.path("secret.txt"), "secret").expect("a file");
    fs::write(gateway.path(".ssh/id_ed25519"), "secret").expect("a file");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let name = format!("sallyport-probe-{}", at("").replace('/', "-"));
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let told = json!({
        "secret": at("secret.txt"), "home": at(".ssh/id_ed25519"), "key": at("state/root.key"),
        "outside": at("outside/written.txt"), "own": at("own"), "marker": format!("TESTER_SECRET={SECRET}"),
        "tcp": tcp.local_addr().expect("an address").port(), "udp": udp.local_addr().expect("an address").port(),
        "abstract": name, "control": at("state/control.sock"), "heartbeat": at("own/heartbeat"),
    });
    std::thread::spawn(move || {
        let mut asked = [0; 64];
        while let Ok((_, from)) = udp.recv_from(&mut asked) {
            let _ = udp.send_to(b"answer", from);
        }
    });
    let server = json!({
        "command": "/usr/bin/python3", "args": [peers::script("probe.py"), told.to_string()],
        "timeout": 30, "cwd": at("own"),
    });
    let yaml = format!(
        "listen: \"127.0.0.1:0\"\ndata: ./state\nmcpServers: {{ probe: {} }}\n{OPEN_TO_TESTER}",
        server
            .to_string()
            .replacen('{', &format!("{{ \"sandbox\": {sandbox}, "), 1)
    );
    fs::write(gateway.path("sallyport.yaml"), yaml.replace("@OWN", &at("own"))).expect("a configuration");
    let listener = UnixListener::bind_addr(&address).expect("a socket");
    if let Some(user) = user {
        gateway = gateway.owned_by(user);
    }
    gateway.run();
    fs::write(gateway.path("own/pid"), gateway.pid().to_string()).expect("a file");
    Outside {
        gateway,
        _tcp: tcp,
        _abstract: listener,
    }
}

pub(crate) const BOX: &str = r#"{ "write": ["@OWN"], "memory": "256M", "pids": 64 }"#;

/// Every way that came out, of how many.
fn came_out(outside: &Outside) -> (Vec<String>, usize) {
    let gateway = &outside.gateway;
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let tools = client.tools().expect("tools");
    let ways: Vec<_> = tools
        .iter()
        .filter_map(|tool| tool.strip_prefix("probe__"))
        .collect();
    assert!(ways.len() >= 24, "{tools:?}");
    let mut out = Vec::new();
    for way in &ways {
        // A bomb may take its server with it: no answer is none that says it is out.
        let answer = client
            .call(&format!("probe__{way}"), &json!({}))
            .expect("an answer");
        if matches!(*way, "orphan" | "starts") {
            assert_eq!(answer.text(), "out", "{way}: {answer:?}");
        } else if answer.text() == "out" {
            out.push((*way).to_owned());
        } else {
            let held = answer.text().starts_with("held") || way.ends_with("-bomb");
            assert!(held, "{way} was not tried: {answer:?}");
        }
    }
    (out, ways.len())
}

/// Whether what the server left behind goes on after its gateway ended.
fn goes_on(outside: &mut Outside) -> bool {
    let heartbeat = outside.gateway.path("own/heartbeat");
    outside.gateway.stop();
    let read = || fs::read_to_string(&heartbeat).unwrap_or_default();
    let before = read();
    std::thread::sleep(Duration::from_millis(500));
    before != read()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn no_probe_comes_out() {
    let mut outside = start(BOX, None);
    let (out, ways) = came_out(&outside);
    assert!(out.is_empty(), "of {ways} probes came out: {out:?}");
    assert!(!goes_on(&mut outside), "an orphan lives on");
}

#[test]
fn no_probe_comes_out_as_an_ordinary_user() {
    if !is_root() {
        return;
    }
    let mut outside = start(BOX, Some(NOBODY));
    let (out, ways) = came_out(&outside);
    assert!(out.is_empty(), "of {ways} probes came out: {out:?}");
    assert!(!goes_on(&mut outside), "an orphan lives on");
}

/// The test can fail: without the sandbox every probe comes out, where root starts it.
#[test]
fn every_probe_comes_out_where_the_sandbox_is_off() {
    if !is_root() {
        return;
    }
    let mut outside = start("\"off\"", None);
    let (out, ways) = came_out(&outside);
    assert_eq!(
        out.len() + 2,
        ways,
        "{out:?}, the orphan, and what every server may"
    );
    assert!(goes_on(&mut outside), "the orphan is gone");
    // It is ours to end.
    let heartbeat = outside.gateway.path("own/heartbeat").display().to_string();
    let _ = fs::remove_dir_all(outside.gateway.path("own"));
    let _ = Command::new("true").arg(heartbeat).status();
}

/// Walls stand alone, too: without Landlock or without the list of system calls nothing is reached either.
#[test]
fn each_wall_alone_holds_the_files() {
    for wall in ["landlock", "seccomp"] {
        let sandbox = BOX.replacen('{', &format!("{{ \"without\": [\"{wall}\"], "), 1);
        let outside = start(&sandbox, None);
        let client = Client::new(
            format!("{}/mcp", outside.gateway.base()),
            Some(outside.gateway.token()),
        );
        for way in [
            "read-file",
            "read-home",
            "read-gateway",
            "write-file",
            "write-system",
            "symlink",
            "tcp",
            "dns-tunnel",
            "proc-of-others",
            "signal",
            "mount",
            "setuid",
            "hostname",
            "clock",
        ] {
            let answer = client
                .call(&format!("probe__{way}"), &json!({}))
                .expect("an answer");
            assert!(
                answer.text().starts_with("held"),
                "without {wall}: {way}: {answer:?}"
            );
        }
    }
}

/// A configuration that asks for what no server may have.
#[test]
fn what_no_server_may_have_is_refused_with_the_remedy() {
    for (sandbox, why) in [
        (json!({"read": ["/"]}), "which is everything"),
        (json!({"write": ["/etc"]}), "of the system"),
        (json!({"read": ["/usr/../etc"]}), "`..`"),
        (json!({"read": ["/no/such/place"]}), "cannot be used"),
        (json!("of"), "says nothing of a sandbox"),
        (json!({"network": ["https://x"]}), "is not a host"),
        (json!({"without": ["namespaces"]}), "no wall"),
        (json!({"memory": "lots"}), "no size"),
    ] {
        let server = json!({"command": "true", "sandbox": sandbox});
        let gateway = Gateway::configured(&format!("mcpServers: {{ it: {server} }}\n{OPEN_TO_TESTER}"));
        let output = gateway.output(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(why) && said.contains("mcpServers.it.sandbox"),
            "{said}"
        );
    }
    // The gateway's own directory is known when the server is to start.
    let stub = json!({"command": "/usr/bin/python3", "sandbox": {"read": ["./state"]}});
    let gateway = Gateway::configured(&format!("mcpServers: {{ it: {stub} }}\n{OPEN_TO_TESTER}"));
    fs::create_dir_all(gateway.path("state")).expect("a directory");
    let output = gateway.output(&["server", "approve", "it"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the gateway's own"), "{said}");
}

/// The ledger's entries of one kind.
fn entries(gateway: &Gateway, kind: &str) -> Vec<Value> {
    let all = gateway.ledger().into_iter();
    all.filter(|entry| entry["kind"] == json!(kind)).collect()
}

#[test]
fn a_sandbox_that_is_off_is_recorded() {
    let stub = e2e::gateway::program("e2e-stub");
    let both = format!(
        "mcpServers:\n  bare: {{ command: {stub:?}, args: [stdio], sandbox: off }}\n  \
         boxed: {{ command: {stub:?}, args: [stdio] }}\n{OPEN_TO_TESTER}"
    );
    let gateway = Gateway::start(&both);
    let off: Vec<_> = entries(&gateway, "configuration");
    let off: Vec<_> = off
        .iter()
        .filter(|entry| entry["action"] == json!("sandbox-off"))
        .collect();
    assert_eq!(off.len(), 1, "{off:?}");
    let shown = gateway.json(&["server", "show", "bare"]);
    assert!(
        shown[0]["sandbox"].as_str().expect("a text").contains("off"),
        "{shown:?}"
    );
    let shown = gateway.json(&["server", "show", "boxed"]);
    let words = shown[0]["sandbox"].as_str().expect("a text");
    assert!(
        words.contains("may run and read") && words.ends_with("nothing else"),
        "{words}"
    );
}

/// What `path` is inside must be what it is outside: used by the next tests.
fn folder(gateway: &Gateway, name: &str) -> String {
    let path = gateway.path(name);
    fs::create_dir_all(&path).expect("a folder");
    Path::new(&path).display().to_string()
}

/// A server that may reach a host reaches that one through the broker and no other, and the ledger says so.
#[test]
fn the_broker_reaches_what_the_manifest_names_and_nothing_else() {
    let allowed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let (ours, others) = (port(&allowed), port(&other));
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in allowed.incoming().flatten() {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        }
    });
    let python = json!({
        "command": "/usr/bin/python3", "args": [peers::script("reach.py")],
        "sandbox": {"private": [format!("localhost:{ours}")], "network": ["localhost:1", format!("127.0.0.1:{others}")]},
    });
    let gateway = Gateway::start(&format!("mcpServers: {{ web: {python} }}\n{OPEN_TO_TESTER}"));
    let _ = folder(&gateway, "x");
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let get = |how: &str, host: &str, port: u16| {
        let answer = client.call("web__get", &json!({"how": how, "host": host, "port": port}));
        answer.expect("an answer").text().to_owned()
    };
    for how in ["proxy", "connect", "socks"] {
        assert_eq!(get(how, "localhost", ours), "hello", "{how}");
        // Named, and at an address that is nobody's to give.
        for (host, port, why) in [
            ("localhost", others, "not among the hosts"),
            ("localhost", 1, "not a public address"),
            ("127.0.0.1", others, "not a public address"),
            ("169.254.169.254", 80, "not among the hosts"),
        ] {
            let said = get(how, host, port);
            assert!(
                how == "socks" && said.contains("refused") || said.contains(why),
                "{how} {host}:{port}: {said}"
            );
        }
    }
    let said = get("direct", "127.0.0.1", ours);
    assert!(said.contains("refused"), "{said}");
    let entries = entries(&gateway, "egress");
    let count = |action: &str| {
        entries
            .iter()
            .filter(|entry| entry["action"] == json!(action))
            .count()
    };
    let counted = (count("opened"), count("connected"), count("refused"));
    assert_eq!(counted, (3, 3, 12), "{entries:?}");
    let connected = entries.iter().find(|entry| entry["action"] == json!("connected"));
    assert_eq!(connected.expect("one")["server"], json!("web"));
}
