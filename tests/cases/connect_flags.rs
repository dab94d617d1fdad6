//! Flags of `mcp-remote` that `connect` has, each with what it is for: a server that reads ID tokens, a proxy on the way, a
//! server of another era than the host.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, Scratch, program},
    peers,
};
use serde_json::{Value, json};

use crate::{
    connect::{Host, connect},
    upstream_auth::{certified, guarded},
};

/// `--use-id-token`: the server is shown who logged in, and not the access token.
#[test]
fn a_server_that_reads_id_tokens_is_shown_one() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let (_provider, _, issuer) = certified(&peers, 600);
    // The ID token is for the client, and has no scopes.
    let (_server, sent) = guarded(&peers, &issuer, "", Some("cli"));
    let url = format!("http://{}/mcp", sent.address());
    let home = Scratch::new();
    let scope = r#"{"scope": "openid"}"#;
    let client = r#"{"client_id": "cli"}"#;
    let flags = [
        "--use-id-token",
        "--static-oauth-client-info",
        client,
        "--static-oauth-client-metadata",
        scope,
        "--auth-timeout",
        "90",
    ];
    let mut host = Host::of(connect(&peers, home.path(), &url, &flags));
    host.hello();
    let who = host.call(2, "whoami", &json!({}));
    assert!(who.to_string().contains("alice"), "{who}");
}

/// A proxy that only connects: who asked it for what, with which credentials.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let own = Arc::clone(&own);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
                let head: Vec<String> = reader
                    .by_ref()
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                own.lock().expect("a list").push(head.join("\n"));
                let to = head[0].split(' ').nth(1).expect("a target").to_owned();
                // It knows a name that nobody else does.
                let Ok(far) = TcpStream::connect(to.replace("far.example", "127.0.0.1")) else {
                    let _ = (&stream).write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
                    return;
                };
                (&stream)
                    .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
                    .expect("an answer");
                let (mut from, mut to) = (
                    far.try_clone().expect("a stream"),
                    stream.try_clone().expect("a stream"),
                );
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                let _ = std::io::copy(&mut reader, &mut &far);
                let _ = far.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    (address, asked)
}

/// `--enable-proxy`: the name is resolved by the proxy, and this machine is reached directly.
#[test]
fn connections_go_through_the_proxy_of_the_environment() {
    let Some(peers) = peers::directory() else { return };
    let home = Scratch::new();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = port.expect("a port").port();
    let stub = program("e2e-stub");
    let servers = format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n");
    let mut gateway = Gateway::configured(&format!(
        "{servers}{OPEN_TO_TESTER}hosts: [ \"far.example:{port}\" ]\n"
    ));
    let file = gateway.path("sallyport.yaml");
    let said = std::fs::read_to_string(&file).expect("a configuration");
    let said = said.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
    std::fs::write(&file, said).expect("it can be written");
    gateway.run();
    gateway.wait_for_servers();
    let (proxy, asked) = proxy();
    let token = format!("Authorization: Bearer {}", gateway.token());
    let flags = ["--enable-proxy", "--allow-http", "--header", &token];
    let start = |host: &str| {
        let mut command = connect(&peers, home.path(), &format!("http://{host}:{port}/mcp"), &flags);
        command.env("HTTP_PROXY", format!("http://us:secret@{proxy}"));
        Host::of(command)
    };
    let mut host = start("far.example");
    assert_eq!(host.hello()["result"]["serverInfo"]["name"], "sallyport");
    assert!(host.call(2, "stub__echo", &json!({"text": "hello"}))["result"].is_object());
    let heard = asked.lock().expect("a list").clone();
    assert!(
        heard[0].starts_with(&format!("CONNECT far.example:{port} HTTP/1.1\n")),
        "{heard:?}"
    );
    assert!(
        heard[0].contains("Proxy-Authorization: Basic dXM6c2VjcmV0"),
        "{heard:?}"
    );
    drop(host);
    let before = asked.lock().expect("a list").len();
    let mut host = start("127.0.0.1");
    assert_eq!(host.hello()["result"]["serverInfo"]["name"], "sallyport");
    assert_eq!(
        asked.lock().expect("a list").len(),
        before,
        "it went through the proxy"
    );
    // What the proxy cannot reach is said, without its password.
    let mut command = connect(&peers, home.path(), "http://far.example:1/mcp", &flags);
    command.env("HTTP_PROXY", format!("http://us:secret@{proxy}"));
    let said = Host::of(command).hello().to_string();
    assert!(said.contains("502") && !said.contains("secret"), "{said}");
}

/// One call, with the host's answers to what the server asks on the way; the methods that it was asked.
fn asked(host: &mut Host, id: u32, tool: &str) -> (Value, Vec<String>) {
    let params = json!({"name": tool, "arguments": {}});
    host.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}));
    let mut questions = Vec::new();
    loop {
        let heard = host.hear();
        let Some(method) = heard["method"].as_str() else {
            assert_eq!(heard["id"], id, "{heard}");
            return (heard, questions);
        };
        let answer = match method {
            "elicitation/create" => json!({"action": "accept", "content": {"name": "Ada"}}),
            "roots/list" => json!({"roots": [{"uri": "file:///a"}]}),
            other => panic!("{other}: {heard}"),
        };
        questions.push(method.to_owned());
        host.send(&json!({"jsonrpc": "2.0", "id": heard["id"], "result": answer}));
    }
}

/// `--protocol auto`: the handshake is answered here, and what the server asks in its answers is put to the host.
#[test]
fn a_host_of_sessions_reaches_a_server_of_the_modern_era() {
    let Some(peers) = peers::directory() else { return };
    let served = peers::everything(&peers, "modern");
    let home = Scratch::new();
    let hello = |host: &mut Host| {
        let can = json!({"elicitation": {}, "roots": {"listChanged": true}});
        let client = json!({"name": "e2e", "version": "1"});
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": can, "clientInfo": client});
        let answer = host.ask(1, "initialize", &params);
        host.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer
    };
    // As ever, it is refused there.
    let mut host = Host::of(connect(&peers, home.path(), &served.line, &[]));
    assert!(hello(&mut host)["error"].is_object());
    drop(host);
    let mut host = Host::of(connect(
        &peers,
        home.path(),
        &served.line,
        &["--protocol", "auto"],
    ));
    let met = hello(&mut host);
    assert_eq!(
        (
            &met["result"]["protocolVersion"],
            &met["result"]["serverInfo"]["name"]
        ),
        (&json!("2025-06-18"), &json!("everything")),
        "{met}"
    );
    let listed = host.ask(2, "tools/list", &json!({}));
    assert!(
        listed["result"]["tools"]
            .as_array()
            .is_some_and(|tools| tools.len() > 5),
        "{listed}"
    );
    assert!(listed["result"]["resultType"].is_null(), "{listed}");
    let (greeted, questions) = asked(&mut host, 3, "test_input_required_result_elicitation");
    assert!(greeted.to_string().contains("Hello, Ada!"), "{greeted}");
    assert_eq!(questions, ["elicitation/create"]);
    let (counted, questions) = asked(&mut host, 4, "test_input_required_result_list_roots");
    assert!(counted.to_string().contains("1 roots"), "{counted}");
    assert_eq!(questions, ["roots/list"]);
    let (both, questions) = asked(&mut host, 5, "test_input_required_result_multi_round");
    assert!(
        both.to_string().contains("both came") && questions.len() == 2,
        "{both}"
    );
    // What the host did not say it can answer is not put to it.
    let (refused, questions) = asked(&mut host, 6, "test_input_required_result_sampling");
    assert!(
        refused["error"]["message"].to_string().contains("sampling"),
        "{refused}"
    );
    assert!(questions.is_empty());
    // A question goes with the call it belongs to. Regression: the host was left with it, and so was the bridge.
    let params = json!({"name": "test_input_required_result_elicitation", "arguments": {}});
    host.send(&json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}));
    let question = host.hear();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let over = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}});
    host.send(&over);
    let withdrawn = host.hear();
    assert_eq!(
        (&withdrawn["method"], &withdrawn["params"]["requestId"]),
        (&json!("notifications/cancelled"), &question["id"]),
        "{withdrawn}"
    );
    let late = json!({"action": "accept", "content": {"name": "Ada"}});
    host.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": late}));
    let (greeted, _) = asked(&mut host, 10, "test_input_required_result_elicitation");
    assert!(greeted.to_string().contains("Hello, Ada!"), "{greeted}");
    for (method, params) in [
        ("ping", json!({})),
        ("logging/setLevel", json!({"level": "debug"})),
        ("resources/subscribe", json!({"uri": "test://static-text"})),
        ("resources/unsubscribe", json!({"uri": "test://static-text"})),
    ] {
        assert_eq!(host.ask(7, method, &params)["result"], json!({}), "{method}");
    }
    assert!(host.call(8, "test_simple_text", &json!({}))["result"].is_object());
}

/// The same flag before a server of sessions changes nothing.
#[test]
fn a_server_of_sessions_is_spoken_to_as_ever() {
    let Some(peers) = peers::directory() else { return };
    let served = peers::everything(&peers, "sessions");
    let home = Scratch::new();
    let mut host = Host::of(connect(
        &peers,
        home.path(),
        &served.line,
        &["--protocol", "auto"],
    ));
    assert_eq!(host.hello()["result"]["protocolVersion"], "2025-06-18");
    assert!(host.call(2, "test_simple_text", &json!({}))["result"].is_object());
}
