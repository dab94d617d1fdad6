//! Connections that carry messages both ways: HTTP+SSE, WebSocket and Unix sockets, towards clients and towards
//! servers. What holds on the other wires holds on them.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::Command,
    time::Duration,
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, Scratch, program},
    peers::{self, Served},
    wires::{Http, call, initialize},
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    self, ClientRequestBuilder, Message, WebSocket, error::Error, http::StatusCode,
};

/// Who connects from this machine without a credential.
const LOCAL: &str = "anonymous: local\nusers: [ { name: local, roles: [tester] } ]\n";

/// The stub behind a gateway, two agents, and further lines of configuration.
pub(crate) fn start(more: &str) -> Gateway {
    let stub = program("e2e-stub");
    let other = "agents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }, ";
    let open = OPEN_TO_TESTER.replace("agents: [ ", other);
    Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{open}{more}"
    ))
}

/// Real clients over HTTP+SSE and WebSocket reach real servers over HTTP+SSE, WebSocket and a Unix socket, and
/// answer what these ask. The clients' WebSockets send no credential, so the gateway believes its own machine.
#[test]
fn real_clients_and_servers_speak_over_connections_both_ways() {
    let Some(peers) = peers::directory() else { return };
    let python = peers.join("py1/bin/python");
    let served = Served::start(Command::new(&python).arg(peers::script("wires_server.py")));
    let folder = Scratch::new();
    let path = folder.path().join("stub.sock");
    let at_socket = Served::start(Command::new(program("e2e-stub")).arg("unix").arg(&path));
    let (address, socket) = (&served.line, &at_socket.line);
    let gateway = Gateway::start(&format!(
        "mcpServers:\n  sse: {{ type: sse, url: \"http://{address}/sse\" }}\n  ws: {{ url: \"ws://{address}/ws\" }}\n  \
         unix: {{ url: \"unix:{socket}\" }}\n{LOCAL}{OPEN_TO_TESTER}"
    ));
    let base = gateway.base();
    for url in [
        format!("{base}/sse"),
        format!("{}/ws", base.replace("http:", "ws:")),
    ] {
        let output = Command::new("timeout")
            .arg("60")
            .arg(&python)
            .arg(peers::script("wires_client.py"))
            .env("URL", &url)
            .env("TOKEN", gateway.token())
            .env("SERVERS", "sse ws unix")
            .output()
            .expect("the client starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.trim_end().ends_with("all called"), "{url}: {output:?}");
    }
    let ledger = gateway.ledger();
    let used = |transport: &str| ledger.iter().any(|entry| entry["transport"] == json!(transport));
    assert!(used("sse") && used("websocket"));
}

pub(crate) type Socket = WebSocket<TcpStream>;

pub(crate) fn websocket(
    gateway: &Gateway,
    headers: &[(&str, &str)],
    protocol: Option<&str>,
) -> Result<Socket, Error> {
    let base = gateway.base();
    let address = base.trim_start_matches("http://");
    let uri = format!("ws://{address}/ws").parse().expect("a URI");
    let mut request = ClientRequestBuilder::new(uri);
    for (name, value) in headers {
        request = request.with_header(*name, *value);
    }
    if let Some(protocol) = protocol {
        request = request.with_sub_protocol(protocol);
    }
    let stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(error)) => Err(error),
        Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("the handshake takes too long"),
    }
}

fn refused(result: Result<Socket, Error>) -> StatusCode {
    match result {
        Err(Error::Http(response)) => response.status(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[test]
fn a_websocket_is_opened_by_who_proves_who_it_is_from_a_page_we_know() {
    let gateway = start("");
    let bearer = format!("Bearer {}", gateway.token());
    let token = ("Authorization", bearer.as_str());
    assert_eq!(refused(websocket(&gateway, &[], Some("mcp"))), 401);
    let forged = ("Authorization", "Bearer forged");
    assert_eq!(refused(websocket(&gateway, &[forged], Some("mcp"))), 401);
    let page = ("Origin", "https://evil.example");
    assert_eq!(refused(websocket(&gateway, &[token, page], Some("mcp"))), 403);
    assert_eq!(refused(websocket(&gateway, &[token], Some("chat"))), 426);
    assert_eq!(refused(websocket(&gateway, &[token], None)), 426);

    let mut socket = websocket(&gateway, &[token], Some("mcp")).expect("a connection");
    let mut ask = |message: &Value| -> Value {
        socket
            .send(Message::text(message.to_string()))
            .expect("it is sent");
        loop {
            if let Message::Text(text) = socket.read().expect("an answer") {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    };
    assert_eq!(
        ask(&initialize("2025-06-18"))["result"]["protocolVersion"],
        json!("2025-06-18")
    );
    let said = ask(&call(1, "stub__echo", &json!({"text": "hello"})));
    assert_eq!(said["result"]["content"][0]["text"], json!("hello"), "{said}");
    let said = ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/destroy"}));
    assert_eq!(said["error"]["code"], json!(-32601), "{said}");
    socket.send(Message::binary(b"{}".to_vec())).expect("it is sent");
    let closed = loop {
        match socket.read() {
            Ok(Message::Close(frame)) => break frame.expect("a reason"),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(u16::from(closed.code), 1003, "{closed:?}");
}

#[test]
fn a_websocket_ends_with_the_token_it_was_opened_with() {
    let gateway = start("");
    let minted = gateway.json(&["token", "--agent", "tester", "--seconds", "4"]);
    let token = minted[0]["access_token"].as_str().expect("a token").to_owned();
    let longer = gateway.token();
    let open = |token: &str| {
        let bearer = format!("Bearer {token}");
        websocket(&gateway, &[("Authorization", &bearer)], Some("mcp")).expect("a connection")
    };
    let (mut ends, mut stays) = (open(&token), open(&longer));
    // Nothing is sent over it: it is not a refused message that ends it.
    let frame = loop {
        if let Message::Close(frame) = ends.read().expect("the end is said") {
            break frame.expect("a reason");
        }
    };
    assert_eq!(u16::from(frame.code), 1008, "{frame:?}");
    assert!(frame.reason.contains("credential"), "{frame:?}");
    // Another's is none of its business.
    let hello = initialize("2025-06-18").to_string();
    stays.send(Message::text(hello)).expect("it is sent");
    let answered = std::iter::from_fn(|| stays.read().ok()).any(|message| message.is_text());
    assert!(answered, "the other connection ended, too");
}

/// The code a WebSocket is closed with after these bytes of the client.
fn closed_with(gateway: &Gateway, frame: &[u8]) -> u16 {
    use std::io::Write as _;
    let bearer = format!("Bearer {}", gateway.token());
    let mut socket = websocket(gateway, &[("Authorization", &bearer)], Some("mcp")).expect("a connection");
    socket.get_mut().write_all(frame).expect("it is sent");
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => return frame.expect("a reason").code.into(),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_websocket_that_breaks_the_rules_of_frames_is_closed_with_the_reason() {
    let gateway = start("");
    // A masked frame has four bytes of mask; here they are zero, so that what follows is as it reads.
    let masked = |first: u8, payload: &[u8]| {
        let length = 0x80 | u8::try_from(payload.len()).expect("a short one");
        [&[first, length, 0, 0, 0, 0], payload].concat()
    };
    let announced = |bytes: u64| [&[0x81, 0xff][..], &bytes.to_be_bytes(), &[0; 4]].concat();
    let cases = [
        ("not masked", [&[0x81, 4][..], b"ping"].concat(), 1002),
        ("a reserved bit", masked(0xc1, b"{}"), 1002),
        ("a reserved operation", masked(0x83, b"{}"), 1002),
        ("a control frame in parts", masked(0x09, b"{}"), 1002),
        ("a continuation of nothing", masked(0x80, b"{}"), 1002),
        ("no text", masked(0x81, b"\xff\xfe"), 1007),
        ("binary", masked(0x82, b"{}"), 1003),
        ("larger than any message may be", announced(9 * 1024 * 1024), 1009),
        ("larger than there is memory", announced(1 << 62), 1009),
    ];
    for (what, frame, code) in cases {
        assert_eq!(closed_with(&gateway, &frame), code, "{what}");
    }
}

/// Addresses are logged, shared and remembered by browsers.
#[test]
fn a_token_in_an_address_is_no_credential() {
    let gateway = start("");
    let (base, token) = (gateway.base(), gateway.token());
    let address = base.trim_start_matches("http://");
    let uri = format!("ws://{address}/ws?access_token={token}&token={token}");
    let request = ClientRequestBuilder::new(uri.parse().expect("a URI")).with_sub_protocol("mcp");
    let stream = TcpStream::connect(address).expect("a connection");
    match tungstenite::client(request, stream) {
        Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => assert_eq!(answer.status(), 401),
        other => panic!("{other:?}"),
    }
    let mut http = Http::new(&format!("{base}/mcp?access_token={token}"), "");
    http.headers.clear();
    assert_eq!(http.post(&initialize("2025-11-25")).status, 401);
}

/// The bug: answers were written by whoever read messages, so a client with many calls on their way held up its own
/// answers, and the calls waited for each other.
#[test]
fn a_client_that_asks_much_before_it_reads_gets_all_its_answers() {
    const CALLS: usize = 1_500;
    let gateway = start("limits: { default: { rate: 1000000/min, burst: 100000, concurrency: 1024 } }\n");
    let bearer = format!("Bearer {}", gateway.token());
    let mut socket = websocket(&gateway, &[("Authorization", &bearer)], Some("mcp")).expect("a connection");
    let mut send = |message: &Value| {
        let text = Message::text(message.to_string());
        socket.send(text).expect("it is sent");
    };
    send(&initialize("2025-11-25"));
    for id in 1..=CALLS {
        send(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}));
    }
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() <= CALLS {
        if let Message::Text(text) = socket.read().expect("an answer") {
            let said: Value = serde_json::from_str(&text).expect("JSON");
            // Notices of lists that changed have no id, and may come more than once.
            if !said["id"].is_null() {
                assert!(answered.insert(said["id"].to_string()), "{said} twice");
            }
        }
    }
}

/// Reads a stream of HTTP+SSE: the data of each event.
fn events(gateway: &Gateway, token: &str) -> impl Iterator<Item = String> + use<> {
    let agent = ureq::Agent::config_builder()
        .timeout_recv_body(Some(Duration::from_secs(20)))
        .build()
        .new_agent();
    let answer = agent
        .get(format!("{}/sse", gateway.base()))
        .header("Authorization", format!("Bearer {token}"))
        .header("Accept", "text/event-stream")
        .call()
        .expect("a stream");
    BufReader::new(answer.into_body().into_reader())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("data: ").map(str::to_owned))
}

#[test]
fn an_event_stream_takes_messages_of_its_owner_alone() {
    let gateway = start("");
    let owner = gateway.token_of("tester");
    let mut stream = events(&gateway, &owner);
    let address = format!("{}{}", gateway.base(), stream.next().expect("an address"));
    let own = Http::new(&address, &owner);
    let stranger = Http::new(&address, &gateway.token_of("other"));

    // Before there is a session, and after: nothing of it may be seen on the stream.
    assert_eq!(stranger.post(&initialize("2024-11-05")).status, 404);
    assert_eq!(own.post(&initialize("2024-11-05")).status, 202);
    let opened: Value = serde_json::from_str(&stream.next().expect("an answer")).expect("JSON");
    assert_eq!(
        opened["result"]["protocolVersion"],
        json!("2024-11-05"),
        "{opened}"
    );
    let echo = |id, text: &str| call(id, "stub__echo", &json!({ "text": text }));
    assert_eq!(stranger.post(&echo(1, "theirs")).status, 404);
    let nobody = Http::new(&address, "forged");
    assert_eq!(nobody.post(&echo(1, "nobody's")).status, 401);
    assert_eq!(own.post(&echo(1, "mine")).status, 202);
    let said: Value = serde_json::from_str(&stream.next().expect("an answer")).expect("JSON");
    assert_eq!(said["result"]["content"][0]["text"], json!("mine"), "{said}");
    // A newer token of the same principal is as good.
    let newer = Http::new(&address, &gateway.token_of("tester"));
    assert_eq!(newer.post(&echo(2, "again")).status, 202);
    assert!(stream.next().expect("an answer").contains("again"));
    // The stream ends, and its address with it.
    drop(stream);
    let gone = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        own.post(&echo(3, "late")).status == 404
    });
    assert!(gone, "the address outlives its stream");
}

#[test]
fn a_unix_socket_serves_its_own_user() {
    let folder = Scratch::new();
    let path = folder.path().join("gateway.sock");
    let gateway = start(&format!("{LOCAL}socket: {path:?}\n"));
    let stream = UnixStream::connect(&path).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
    let mut ask = |message: &Value| -> Value {
        writeln!(&stream, "{message}").expect("it is sent");
        serde_json::from_str(&lines.next().expect("a line").expect("an answer")).expect("JSON")
    };
    let opened = ask(&initialize("2025-11-25"));
    assert_eq!(
        opened["result"]["protocolVersion"],
        json!("2025-11-25"),
        "{opened}"
    );
    let said = ask(&call(7, "stub__echo", &json!({"text": "hello"})));
    assert_eq!(said["result"]["content"][0]["text"], json!("hello"), "{said}");
    let ledger = gateway.ledger();
    assert!(ledger.iter().any(|entry| entry["transport"] == json!("unix")));
}

/// The bug: a subscription of a modern client kept its pipes, or its connection, for as long as its credential lived.
#[test]
fn a_client_that_goes_takes_its_subscriptions_along() {
    use std::io::{BufRead, BufReader, Write};
    let scratch = e2e::gateway::Scratch::new();
    let mut wrap = std::process::Command::new(program("sallyport"))
        .args(["wrap", "--name", "stub", "--data"])
        .arg(scratch.path().join("state"))
        .arg("--")
        .arg(program("e2e-stub"))
        .arg("stdio")
        .env("HOME", scratch.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let listen = |id: i64| {
        json!({"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": {
            "notifications": {"toolsListChanged": true},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        }})
    };
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {
        "requestId": 1,
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }});
    let mut input = wrap.stdin.take().expect("an input");
    let mut output = BufReader::new(wrap.stdout.take().expect("an output"))
        .lines()
        .map_while(Result::ok);
    // One that is withdrawn ends with its answer; one that is not ends with the input.
    for message in [listen(1), listen(2)] {
        writeln!(input, "{message}").expect("it reads");
        let acknowledged = output.find(|line| line.contains("subscriptions/acknowledged"));
        assert!(acknowledged.is_some());
    }
    writeln!(input, "{cancelled}").expect("it reads");
    let ended = output.find(|line| line.contains("\"id\":1"));
    assert!(ended.is_some_and(|line| line.contains("\"result\"")));
    drop(input);
    let rest: Vec<String> = output.collect();
    assert!(rest.iter().any(|line| line.contains("\"id\":2")), "{rest:?}");
    assert!(wrap.wait().expect("it ends").success());
}
