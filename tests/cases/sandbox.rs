//! The sandbox of servers that are processes: a hostile server tries every way out, as root and as an ordinary user, and
//! the same ways are open where the sandbox is off.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    path::Path,
    process::Command,
    time::Duration,
};

use e2e::{
    elsewhere,
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
        "timeout": 30, "cwd": at("own"), "env": {"PROBE": "yes"},
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

/// What only all processes of a box together do.
const MANY: &str = "memory-of-many";

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
    // Ends its server, and all that server left behind: it has a test of its own.
    for way in ways.iter().filter(|way| **way != MANY) {
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
    (out, ways.len() - 1)
}

/// Whether more memory than a box may have was had by its processes together.
fn many_have_more(outside: &Outside) -> bool {
    let gateway = &outside.gateway;
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = client.call(&format!("probe__{MANY}"), &json!({}));
    answer.expect("an answer").text() == "out"
}

/// The user that the gateway is of.
fn user_of(gateway: &Gateway) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line?.split_whitespace().next()?.parse().ok()
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
        return e2e::untested("a gateway that somebody else than its starter runs as: only root starts one");
    }
    let mut outside = start(BOX, Some(NOBODY));
    assert_eq!(user_of(&outside.gateway), Some(NOBODY));
    let (out, ways) = came_out(&outside);
    assert!(out.is_empty(), "of {ways} probes came out: {out:?}");
    assert!(!goes_on(&mut outside), "an orphan lives on");
}

#[test]
fn processes_together_have_the_memory_of_their_box_and_no_more() {
    let users = if is_root() {
        vec![None, Some(NOBODY)]
    } else {
        vec![None]
    };
    for user in users {
        let outside = start(BOX, user);
        assert!(!many_have_more(&outside), "as {user:?}");
        // Whoever it was ended with may begin again.
        let client = Client::new(
            format!("{}/mcp", outside.gateway.base()),
            Some(outside.gateway.token()),
        );
        let again = client.call("probe__starts", &json!({})).expect("an answer");
        assert_eq!(again.text(), "out", "{again:?}");
    }
}

/// The test can fail: without the sandbox every probe comes out, where root starts it.
#[test]
fn every_probe_comes_out_where_the_sandbox_is_off() {
    if !is_root() {
        return e2e::untested("that every probe comes out without the sandbox: where root starts it alone");
    }
    let mut outside = start("\"off\"", None);
    let (out, ways) = came_out(&outside);
    assert_eq!(
        out.len() + 2,
        ways,
        "{out:?}, the orphan, and what every server may"
    );
    assert!(many_have_more(&outside));
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
    // The gateway's own places are known when the server is to start: its directory, its keys, its sockets, its
    // configuration, and a file of secrets that it names.
    let yaml = |sandbox: &Value| {
        let server = json!({"command": "/usr/bin/python3", "sandbox": sandbox});
        let yaml = format!(
            "listen: \"127.0.0.1:0\"\ndata: ./state\nmcpServers: {{ it: {server} }}\n{OPEN_TO_TESTER}"
        );
        yaml.replace("env:TESTER_SECRET", "file:./secret")
    };
    let mut gateway = Gateway::configured("");
    fs::write(gateway.path("sallyport.yaml"), yaml(&json!("on"))).expect("a file");
    fs::write(gateway.path("secret"), e2e::gateway::SECRET).expect("a file");
    fs::set_permissions(gateway.path("secret"), fs::Permissions::from_mode(0o600)).expect("permissions");
    gateway.run();
    for own in [
        "state",
        "state/root.key",
        "state/control.sock",
        "sallyport.yaml",
        "secret",
    ] {
        fs::write(
            gateway.path("sallyport.yaml"),
            yaml(&json!({"read": [format!("./{own}")]})),
        )
        .expect("a file");
        let output = gateway.output(&["doctor"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let remedy = "grant something else; no server may have that";
        assert!(
            said.contains("the gateway's own") && said.contains(remedy),
            "{own}: {said}"
        );
    }
    gateway.stop();
    let output = gateway.output(&["server", "approve", "it"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the gateway's own"), "{said}");
    // The server's own command.
    for (command, why, remedy) in [
        ("docker", "has a daemon start the server", "say `sandbox: off`"),
        ("no-such-program", "was not found", "install it"),
        ("./script", "`no-such-interpreter`", ""),
    ] {
        let server = json!({"command": command});
        let gateway = Gateway::configured(&format!("mcpServers: {{ it: {server} }}\n"));
        fs::write(gateway.path("script"), "#!/usr/bin/env no-such-interpreter\n").expect("a file");
        fs::set_permissions(gateway.path("script"), fs::Permissions::from_mode(0o755)).expect("permissions");
        let output = gateway.output(&["server", "approve", "it"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(why) && said.contains(remedy),
            "{command}: {said}"
        );
    }
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

/// Any public host is what it says: none of this machine, of a private network, or of a cloud's neighbours.
#[test]
fn any_public_host_is_none_of_this_machine_and_none_nearby() {
    let Some(_elsewhere) = elsewhere::move_there() else {
        return;
    };
    let own = TcpListener::bind("0.0.0.0:80").expect("a port");
    let python = json!({
        "command": "/usr/bin/python3", "args": [peers::script("reach.py")],
        "sandbox": {"network": ["*"]},
    });
    let gateway = Gateway::start(&format!("mcpServers: {{ web: {python} }}\n{OPEN_TO_TESTER}"));
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let get_by = |how: &str, host: &str, port: u16| {
        let answer = client.call("web__get", &json!({"how": how, "host": host, "port": port}));
        answer.expect("an answer").text().to_owned()
    };
    let get = |host: &str, port: u16| get_by("connect", host, port);
    let said = get(elsewhere::FAR, 80);
    assert!(said.contains(elsewhere::PAGE), "{said}");
    // What everybody on the way could read holds no credential.
    for how in ["proxy", "connect", "socks"] {
        let said = get_by(&format!("{how}+key"), elsewhere::FAR, 80);
        assert!(!said.contains(elsewhere::PAGE), "{how}: {said}");
        let entries = entries(&gateway, "egress");
        let last = entries.iter().rfind(|entry| entry["action"] == json!("refused"));
        let why = last.map(|entry| entry["reason"].to_string()).unwrap_or_default();
        assert!(
            why.contains("secret/github-token") && why.contains("https"),
            "{how}: {entries:?}"
        );
    }
    for (host, port, why) in [
        (elsewhere::FAR, 22, "not among the hosts"),
        // Its own address is a public one.
        (elsewhere::NEAR, 80, "not a public address"),
        ("127.0.0.1", 80, "not a public address"),
        ("localhost", 80, "not a public address"),
        ("10.0.0.1", 80, "not a public address"),
        ("169.254.169.254", 80, "never reached"),
        ("0.0.0.0", 80, "never reached"),
    ] {
        let said = get(host, port);
        assert!(said.contains(why), "{host}:{port}: {said}");
    }
    let shown = gateway.json(&["server", "show", "web"]);
    let words = shown[0]["sandbox"].as_str().expect("a text");
    assert!(
        words.contains("may reach any public host, nothing else"),
        "{words}"
    );
    let limits = shown[0]["limits"].as_str().expect("a text");
    assert!(limits.contains("2048M of memory"), "{limits}");
    drop(own);
}
