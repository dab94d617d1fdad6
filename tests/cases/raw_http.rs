//! What only a raw socket can send: HTTP that two readers could read differently, that never ends, or that is no
//! HTTP/1.1. Whatever is hidden behind it is never taken for a request.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::Client,
};
use serde_json::json;

/// A request that would be answered `ok`, hidden where a request could be cut in two ways.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: HOST\r\n\r\n";

fn start() -> (Gateway, Client) {
    let stub = program("e2e-stub");
    let yaml = format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}");
    let gateway = Gateway::start(&yaml);
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    (gateway, client)
}

/// Sends bytes and reads until the gateway closes the connection; `None` if it does not.
fn exchange(gateway: &Gateway, text: &[u8]) -> Option<String> {
    let base = gateway.base();
    let mut stream = TcpStream::connect(base.trim_start_matches("http://")).expect("a connection");
    let timeout = Some(Duration::from_secs(60));
    stream.set_read_timeout(timeout).expect("a timeout");
    stream.set_write_timeout(timeout).expect("a timeout");
    // It may close before it has read all of it.
    let _ = stream.write_all(text);
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// Each with `HOST` for the gateway's own name, and the hidden request after it.
const SMUGGLED: &[(&str, &str)] = &[
    (
        "a length and chunks",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks and a length",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 60\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\nContent-Length: 41\r\n\r\n",
    ),
    (
        "two lengths in one",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0, 41\r\n\r\n",
    ),
    (
        "a length with a sign",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Length: +0\r\n\r\n",
    ),
    (
        "a length that is none",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0x0\r\n\r\n",
    ),
    (
        "an unknown coding",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a coding before the chunks",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks in chunks",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two headers that say chunks",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two hosts",
        "GET /readyz HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n",
    ),
    (
        "the same host twice",
        "GET /readyz HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n",
    ),
    ("no host", "GET /readyz HTTP/1.1\r\n\r\n"),
    (
        "a header of the connection that is not",
        "GET /readyz HTTP/1.1\r\nHost: HOST\r\nConnection: keep-alive, Authorization, Mcp-Name\r\n\r\n",
    ),
    (
        "trailers that say nothing of the body",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: y\r\n\r\n",
    ),
    (
        "chunks that are not the last coding",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    ),
    (
        "a coding after a control character",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks in HTTP/1.0",
        "POST /mcp HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a chunk whose size is none",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    ),
    (
        "a chunk whose size does not fit",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
    ),
    (
        "trailers that name a length",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 60\r\n\r\n",
    ),
    (
        "a space before the colon",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Length : 0\r\n\r\n",
    ),
    (
        "a folded header",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nX: a\r\n Content-Length: 41\r\n\r\n",
    ),
    (
        "a header without a name",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\n: 0\r\n\r\n",
    ),
    (
        "a carriage return alone",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nX: a\rContent-Length: 41\r\n\r\n",
    ),
    ("a NUL", "POST /mcp HTTP/1.1\r\nHost: HOST\r\nX: a\0b\r\n\r\n"),
    (
        "a version nobody knows",
        "POST /mcp HTTP/1.2\r\nHost: HOST\r\n\r\n",
    ),
    ("no version", "GET /mcp\r\n\r\n"),
    (
        "a line feed alone after the first line",
        "GET /healthz HTTP/1.1\nHost: HOST\r\n\r\n",
    ),
    (
        "a line feed alone after a header",
        "GET /healthz HTTP/1.1\r\nHost: HOST\nX: y\r\n\r\n",
    ),
    (
        "a line feed alone at the end of a head",
        "GET /healthz HTTP/1.1\r\nHost: HOST\r\n\n",
    ),
    (
        "a line feed alone behind the extension of a chunk",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n1;x\nA\r\n0\r\n\r\n",
    ),
    (
        "a line feed alone in trailers",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n",
    ),
    (
        "the same length twice",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "a line feed alone after a request for another protocol",
        "POST /mcp HTTP/1.1\r\nHost: HOST\r\nUpgrade: x\r\nContent-Length: 0\nX: y\r\n\r\n",
    ),
];

#[test]
fn what_two_readers_of_http_could_cut_differently_ends_the_connection() {
    let (gateway, client) = start();
    let host = gateway.base().trim_start_matches("http://").to_owned();
    // As a control: requests one after another, each with one end, are both answered.
    let two = format!(
        "{}{}",
        HIDDEN,
        HIDDEN.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    );
    let answer = exchange(&gateway, two.replace("HOST", &host).as_bytes()).expect("it closes");
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    for (what, text) in SMUGGLED {
        let text = format!("{text}{HIDDEN}").replace("HOST", &host);
        let answer = exchange(&gateway, text.as_bytes());
        let answer = answer.unwrap_or_else(|| panic!("{what}: the connection stays open"));
        assert!(answer.matches("HTTP/1.").count() <= 1, "{what}: {answer}");
        assert!(
            !answer.contains(" 200 ") && !answer.contains("\r\nok\n"),
            "{what}: {answer}"
        );
        let status = answer.split(' ').nth(1).unwrap_or("400");
        assert!(matches!(status, "400" | "415" | "505"), "{what}: {answer}");
    }
    let answer = client
        .call("stub__echo", &json!({"text": "here"}))
        .expect("an answer");
    assert_eq!(answer.text(), "here");
}

#[test]
fn other_hosts_and_methods_that_are_renamed_lead_nowhere() {
    let (gateway, _) = start();
    let host = gateway.base().trim_start_matches("http://").to_owned();
    let cases = [
        (
            "another host in the target",
            "GET http://evil.example/readyz HTTP/1.1\r\nHost: HOST\r\n",
            "403",
        ),
        (
            "another host in the header",
            "GET http://HOST/readyz HTTP/1.1\r\nHost: evil.example\r\n",
            "403",
        ),
        (
            "a body that is packed",
            "POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n",
            "415",
        ),
        (
            "JSON in another encoding",
            "POST /mcp HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\nContent-Length: 0\r\n\
             Content-Type: application/json; charset=utf-16\r\n",
            "415",
        ),
        ("a tunnel", "CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n", "404"),
        ("a trace", "TRACE /mcp HTTP/1.1\r\nHost: HOST\r\n", "405"),
        (
            "a renamed method",
            "POST /readyz HTTP/1.1\r\nHost: HOST\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n",
            "404",
        ),
        (
            "a renamed path",
            "GET /nowhere HTTP/1.1\r\nHost: HOST\r\nX-Original-URL: /readyz\r\nX-Rewrite-URL: /readyz\r\n",
            "404",
        ),
        (
            "a path that climbs",
            "GET /ledger/../readyz HTTP/1.1\r\nHost: HOST\r\n",
            "404",
        ),
    ];
    for (what, text, status) in cases {
        let text = format!("{text}Connection: close\r\n\r\n").replace("HOST", &host);
        let answer = exchange(&gateway, text.as_bytes()).unwrap_or_else(|| panic!("{what}: it stays open"));
        assert_eq!(answer.split(' ').nth(1), Some(status), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    }
}

/// Load balancers ask with HEAD; and who asks otherwise is told how.
#[test]
fn a_look_without_a_body_is_answered_and_other_methods_are_told() {
    let (gateway, _) = start();
    let host = gateway.base().trim_start_matches("http://").to_owned();
    for (line, status, allow) in [
        ("HEAD /healthz", "200", None),
        ("HEAD /metrics", "200", None),
        ("HEAD /readyz", "200", None),
        ("GET /messages", "405", Some("POST")),
        ("PUT /oauth/token", "405", Some("POST")),
        ("GET /oauth/token", "405", Some("POST")),
        ("DELETE /mcp", "405", Some("POST")),
        ("PUT /mcp", "405", Some("GET, POST, DELETE")),
    ] {
        let text = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = exchange(&gateway, text.as_bytes()).expect("it closes");
        assert_eq!(answer.split(' ').nth(1), Some(status), "{line}: {answer}");
        let found = answer.lines().find_map(|header| header.strip_prefix("allow: "));
        assert_eq!(found, allow, "{line}: {answer}");
        if line.starts_with("HEAD") {
            assert!(answer.ends_with("\r\n\r\n"), "{line}: {answer}");
        }
    }
}

/// Only HTTP/1.1 is spoken, so that none of what HTTP/2 makes possible has to be withstood.
#[test]
fn nobody_gets_to_speak_http_2() {
    let (gateway, client) = start();
    let host = gateway.base().trim_start_matches("http://").to_owned();
    // Prior knowledge: the preface, and an empty SETTINGS frame.
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    preface.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let answer = exchange(&gateway, &preface).expect("it closes");
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer:?}"
    );
    // The upgrade is as if it had not been asked for.
    let upgrade = "GET /healthz HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    let answer = exchange(&gateway, upgrade.replace("HOST", &host).as_bytes()).expect("it closes");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"),
        "{answer}"
    );
    assert!(
        client
            .call("stub__echo", &json!({"text": "x"}))
            .expect("an answer")
            .is_good()
    );
}

/// Heads that never end, bodies that never end, and both so slowly that nothing happens.
#[test]
fn who_never_comes_to_an_end_is_cut_off_and_nobody_else_waits() {
    let (gateway, client) = start();
    let host = gateway.base().trim_start_matches("http://").to_owned();
    let token = gateway.token();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nAccept: */*\r\n\
         Content-Type: application/json\r\n"
    );
    let cases = [
        (
            "a head without end",
            format!("{head}X: {}", "x".repeat(1 << 20)),
            "431",
        ),
        (
            "a head that comes to an end too late",
            format!("{head}X: {}\r\n\r\n", "x".repeat(100_000)),
            "431",
        ),
        (
            "too many headers",
            format!("{head}{}\r\n", "X: x\r\n".repeat(5_000)),
            "431",
        ),
        (
            "a body that is announced too large",
            format!("{head}Content-Length: 999999999999\r\n\r\n{{"),
            "413",
        ),
        (
            "chunks without end",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n{}",
                format!("100000\r\n{}\r\n", " ".repeat(1 << 20)).repeat(9)
            ),
            "413",
        ),
        // Closed when the time for a head is over.
        ("half a head", head.clone(), ""),
    ];
    std::thread::scope(|scope| {
        for (what, text, status) in &cases {
            let gateway = &gateway;
            scope.spawn(move || {
                let answer = exchange(gateway, text.as_bytes());
                let answer = answer.unwrap_or_else(|| panic!("{what}: it stays open"));
                assert_eq!(
                    answer.split(' ').nth(1).unwrap_or_default(),
                    *status,
                    "{what}: {answer}"
                );
            });
        }
        for _ in 0..20 {
            let answer = client.call("stub__echo", &json!({"text": "meanwhile"}));
            assert_eq!(answer.expect("an answer").text(), "meanwhile");
        }
    });
}

/// Refused by its head alone, a client that was still sending got a reset in place of the refusal: `bad_input` failed so
/// now and then ("Peer disconnected").
#[test]
fn who_is_refused_while_still_sending_gets_the_refusal() {
    let (gateway, _) = start();
    let body = "x".repeat(64 * 1024);
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: evil.example\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let base = gateway.base();
    let mut stream = TcpStream::connect(base.trim_start_matches("http://")).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    stream.write_all(head.as_bytes()).expect("the head is sent");
    // The refusal has come, and is not read yet.
    assert!(stream.peek(&mut [0]).expect("an answer") > 0);
    for part in body.as_bytes().chunks(16 * 1024) {
        // A gateway that has closed has the time to say so.
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(part).expect("the body is sent");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer to its end");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}
