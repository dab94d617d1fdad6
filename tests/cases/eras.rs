//! Which era is spoken to a server behind pipes: its client's where it speaks it. It is found out in a process of
//! its own, which ends with the question, and kept.

use std::fs;

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    peers,
    wires::{Http, Modern, call},
};
use serde_json::{Value, json};

/// A gateway before one server, whose every process keeps what it was sent in a file of its own.
fn start(command: &str, env: &Value) -> Gateway {
    let mut gateway = Gateway::configured("");
    let sent = gateway.path("sent");
    fs::create_dir(&sent).expect("a directory");
    // In their boxes all processes have the same numbers.
    let script = format!("exec tee $(mktemp {}/XXXXXX) | exec {command}", sent.display());
    let server = json!({
        "command": "/bin/sh", "args": ["-c", script], "env": env, "sandbox": {"write": [sent], "read": ["./version"]},
    });
    fs::write(gateway.path("version"), "").expect("a file");
    let servers = json!({"it": server});
    let yaml = fs::read_to_string(gateway.path("sallyport.yaml")).expect("a configuration");
    let yaml = format!("{yaml}mcpServers: {servers}\n{OPEN_TO_TESTER}");
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a configuration");
    gateway.run();
    gateway
}

/// The methods each process was sent, in order; one line a process.
fn sent(gateway: &Gateway) -> Vec<String> {
    let files = fs::read_dir(gateway.path("sent")).expect("a directory");
    let mut all: Vec<String> = files
        .map(|file| {
            let text = fs::read_to_string(file.expect("a file").path()).expect("text");
            let messages = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let methods = messages.filter_map(|message| Some(message["method"].as_str()?.to_owned()));
            methods.collect::<Vec<_>>().join(" ")
        })
        .collect();
    all.sort();
    all
}

fn eras(gateway: &Gateway) -> Value {
    gateway.json(&["server", "show", "it"])[0]["eras"].clone()
}

fn of_sessions(gateway: &Gateway) -> Http {
    let mut client = Http::new(&format!("{}/mcp", gateway.base()), &gateway.token());
    client.open("2025-11-25");
    client
}

fn modern(gateway: &Gateway) -> Modern {
    Modern::new(&format!("{}/mcp", gateway.base()), &gateway.token())
}

#[test]
fn a_server_of_both_eras_is_spoken_to_in_its_clients_own() {
    let Some(peers) = peers::directory() else { return };
    let server = peers
        .canonicalize()
        .expect("a directory")
        .join("py2/bin/mcp-server-time");
    let mut gateway = start(&format!("{} --local-timezone UTC", server.display()), &json!({}));
    let arguments = json!({"timezone": "UTC"});
    let answer = of_sessions(&gateway).post(&call(1, "it__get_current_time", &arguments));
    assert!(answer.text.contains("day_of_week"), "{answer:?}");
    // Nobody has asked for the other era, so the server was not either.
    assert_eq!(eras(&gateway), Value::Null);
    let answer = modern(&gateway).call(2, "it__get_current_time", &arguments, &json!({}));
    assert!(answer.text.contains("day_of_week"), "{answer:?}");
    assert_eq!(eras(&gateway), json!("both"));
    let processes = sent(&gateway);
    let of_sessions = |sent: &&String| sent.starts_with("initialize notifications/initialized");
    assert_eq!(processes.iter().filter(of_sessions).count(), 2, "{processes:#?}");
    // One was asked and ended; one serves.
    assert!(
        processes.contains(&"server/discover".to_owned()),
        "{processes:#?}"
    );
    let serving = "server/discover tools/list tools/call".to_owned();
    assert!(processes.contains(&serving), "{processes:#?}");

    // It is kept: after a restart no process is started to ask.
    gateway.stop();
    gateway.run();
    let answer = modern(&gateway).call(3, "it__get_current_time", &arguments, &json!({}));
    assert!(answer.text.contains("day_of_week"), "{answer:?}");
    let asked = sent(&gateway);
    let asked = asked.iter().filter(|sent| *sent == "server/discover").count();
    assert_eq!(asked, 1);
}

#[test]
fn a_server_of_the_modern_era_alone_is_reached_over_pipes_by_everybody() {
    let stub = program("e2e-stub");
    let env = json!({"STUB_MODERN": "1"});
    let gateway = start(&format!("{} stdio", stub.display()), &env);
    let answer = of_sessions(&gateway).post(&call(1, "it__echo", &json!({"text": "hello"})));
    let result = &answer.json()["result"];
    assert_eq!(result["content"][0]["text"], json!("hello"), "{answer:?}");
    assert_eq!(result["resultType"], Value::Null, "{answer:?}");
    let answer = modern(&gateway).call(2, "it__echo", &json!({"text": "hello"}), &json!({}));
    assert_eq!(
        answer.json()["result"]["content"][0]["text"],
        json!("hello"),
        "{answer:?}"
    );
    assert_eq!(eras(&gateway), json!("modern"));
}

#[test]
fn a_server_of_sessions_alone_is_asked_once_and_again_when_it_is_another_version() {
    let stub = program("e2e-stub");
    let version = "STUB_VERSION=$(cat version)";
    let mut gateway = start(&format!("env {version} {} stdio", stub.display()), &json!({}));
    // No file, no version: it has one when it is looked at next.
    for n in 0..2 {
        let answer = modern(&gateway).call(n, "it__echo", &json!({"text": "hello"}), &json!({}));
        assert_eq!(
            answer.json()["result"]["content"][0]["text"],
            json!("hello"),
            "{answer:?}"
        );
    }
    assert_eq!(eras(&gateway), json!("sessions"));
    let asked = |gateway: &Gateway| {
        let sent = sent(gateway);
        sent.iter()
            .filter(|sent| sent.starts_with("server/discover"))
            .count()
    };
    assert_eq!(asked(&gateway), 1);
    gateway.stop();
    fs::write(gateway.path("version"), "2").expect("a file");
    gateway.run();
    let answer = modern(&gateway).call(9, "it__echo", &json!({"text": "hello"}), &json!({}));
    assert_eq!(
        answer.json()["result"]["content"][0]["text"],
        json!("hello"),
        "{answer:?}"
    );
    assert_eq!((asked(&gateway), eras(&gateway)), (2, json!("sessions")));
}

/// The bug: 503 from something before a server was kept as "it speaks sessions alone", so that one of the modern era
/// alone was not reached any more when it was back.
#[test]
fn an_endpoint_that_is_down_has_said_nothing_about_its_era() {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
            let mut length = 0;
            for line in reader.by_ref().lines().map_while(Result::ok) {
                let line = line.to_ascii_lowercase();
                if let Some(said) = line.strip_prefix("content-length:") {
                    length = said.trim().parse().expect("a length");
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            let error = json!({"code": -32603, "message": "try again later"});
            let body = json!({"jsonrpc": "2.0", "id": asked["id"], "error": error}).to_string();
            let length = body.len();
            let head =
                "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close";
            write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}").expect("it is read");
        }
    });
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ it: {{ url: 'http://{address}/mcp' }} }}\n{OPEN_TO_TESTER}"
    ));
    let health = gateway.json(&["server", "show", "it"])[0]["health"].clone();
    assert!(health["failures"].as_i64() > Some(0), "{health}");
    assert_eq!(eras(&gateway), Value::Null);
}
