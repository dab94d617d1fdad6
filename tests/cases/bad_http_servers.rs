//! What a server over HTTP may do wrong: answers that never end, that are not what they say, that lead elsewhere. Its
//! own calls fail within bounds, and nobody else notices.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::Client,
};
use serde_json::{Value, json};

/// How it answers a call, by the name of the tool: what comes after the status line.
const TOOLS: [&str; 9] = [
    "endless_body",
    "endless_chunk",
    "endless_event",
    "endless_head",
    "bomb",
    "elsewhere",
    "page",
    "silence",
    "half",
];

/// A server on a port of its own, for as long as the test runs.
fn serve(elsewhere: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Whoever hangs up ends this, too.
            std::thread::spawn(move || answer(&stream, elsewhere));
        }
    });
    address
}

fn answer(stream: &TcpStream, elsewhere: SocketAddr) -> Option<()> {
    let mut input = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut first = String::new();
        input.read_line(&mut first).ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            input.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(said) = line.strip_prefix("content-length:") {
                length = said.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).ok()?;
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = &message["id"];
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "bad", "version": "1"},
            }),
            "tools/list" => {
                let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
                json!({"tools": TOOLS.iter().map(tool).collect::<Vec<_>>()})
            }
            "tools/call" => {
                let tool = message["params"]["name"].as_str().unwrap_or_default();
                return misbehave(stream, tool, elsewhere);
            }
            _ if first.starts_with("POST") && !id.is_null() => {
                let error = json!({"code": -32601, "message": "Method not found"});
                write(
                    stream,
                    &json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string(),
                )?;
                continue;
            }
            _ => {
                let status = if first.starts_with("POST") {
                    "202 Accepted"
                } else {
                    "405 Method Not Allowed"
                };
                (&mut &*stream)
                    .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
                    .ok()?;
                continue;
            }
        };
        write(
            stream,
            &json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string(),
        )?;
    }
}

fn write(mut stream: &TcpStream, body: &str) -> Option<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).ok()
}

fn misbehave(mut stream: &TcpStream, tool: &str, elsewhere: SocketAddr) -> Option<()> {
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let (head, forever) = match tool {
        "endless_body" => (
            format!("{json}Content-Length: 99999999999\r\n\r\n"),
            " ".repeat(1 << 16),
        ),
        "endless_chunk" => {
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(1 << 16));
            (format!("{json}Transfer-Encoding: chunked\r\n\r\n"), chunk)
        }
        "endless_event" => (
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ".to_owned(),
            "x".repeat(1 << 16),
        ),
        "endless_head" => (
            "HTTP/1.1 200 OK\r\n".to_owned(),
            "X-Filler: xxxxxxxxxxxxxxxxxxxx\r\n".repeat(1_000),
        ),
        // Nothing was agreed about codings; what says it has one is not unpacked.
        "bomb" => (
            format!("{json}Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1f}\u{8b}"),
            String::new(),
        ),
        "elsewhere" => (
            format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{elsewhere}/mcp\r\nContent-Length: 0\r\n\r\n"
            ),
            String::new(),
        ),
        "page" => (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>".to_owned(),
            String::new(),
        ),
        "half" => (
            format!("{json}Content-Length: 100\r\n\r\n{{\"jsonrpc\""),
            String::new(),
        ),
        _ => {
            std::thread::sleep(std::time::Duration::from_secs(60));
            return None;
        }
    };
    stream.write_all(head.as_bytes()).ok()?;
    while !forever.is_empty() {
        stream.write_all(forever.as_bytes()).ok()?;
    }
    None
}

#[test]
fn answers_that_never_end_or_lead_elsewhere_fail_their_own_calls_alone() {
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    let elsewhere = trap.local_addr().expect("an address");
    let caught = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&caught);
    std::thread::spawn(move || {
        for _ in trap.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (bad, stub) = (serve(elsewhere), program("e2e-stub"));
    let gateway = Gateway::start(&format!(
        "mcpServers:\n  bad: {{ url: \"http://{bad}/mcp\", timeout: 3 }}\n  \
         good: {{ command: {stub:?}, args: [stdio] }}\n{OPEN_TO_TESTER}"
    ));
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let peak_kb = || gateway.memory_kb("VmHWM");
    let good = |after: &str| {
        let answer = client
            .call("good__echo", &json!({"text": after}))
            .expect("an answer");
        assert_eq!(answer.text(), after, "{answer:?}");
    };
    good("at first");
    let before_kb = peak_kb();
    for tool in TOOLS {
        let answer = client
            .call(&format!("bad__{tool}"), &json!({}))
            .expect("an answer");
        assert!(!answer.is_good(), "{tool}: {answer:?}");
        good(tool);
        let outcome = gateway
            .ledger()
            .into_iter()
            .rfind(|entry| entry["tool"] == json!(tool));
        let outcome = outcome.unwrap_or_else(|| panic!("{tool} has no outcome"));
        assert_eq!(
            (&outcome["kind"], &outcome["fault"]),
            (&json!("outcome"), &json!("upstream")),
            "{outcome}"
        );
    }
    let grown_kb = peak_kb() - before_kb;
    assert!(grown_kb < 128 * 1024, "{grown_kb} KiB");
    assert_eq!(caught.load(Ordering::SeqCst), 0, "a redirect was followed");
}
