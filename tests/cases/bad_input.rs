//! What a client may send wrong: each is refused with the right status and code, recorded, and harms nothing.

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::{Client, own_meta},
};
use serde_json::json;

fn start() -> (Gateway, Client) {
    let stub = program("e2e-stub");
    let yaml = format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}");
    let gateway = Gateway::start(&yaml);
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    (gateway, client)
}

#[test]
fn what_is_no_message_is_refused_and_recorded() {
    let (gateway, client) = start();
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    let cases = [
        (
            "malformed",
            "{\"jsonrpc\": \"2.0\", \"id\": 1,".to_owned(),
            -32700,
        ),
        ("not an object", "42".to_owned(), -32600),
        (
            "no version",
            "{\"id\":1,\"method\":\"tools/list\"}".to_owned(),
            -32600,
        ),
        (
            "a key twice",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"tools/list\"}".to_owned(),
            -32700,
        ),
        (
            "a key in another case",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"ID\":2,\"method\":\"ping\"}".to_owned(),
            -32700,
        ),
        ("too deep", deep, -32700),
    ];
    let headers = [("Mcp-Method".to_owned(), "tools/list".to_owned())];
    for (what, body, code) in &cases {
        let answer = client.raw(body, &headers).expect("an answer");
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        let said = answer.body["error"]["code"].as_i64();
        assert!(said == Some(*code) || said == Some(-32600), "{what}: {answer:?}");
    }
    let refusals = gateway
        .ledger()
        .into_iter()
        .filter(|entry| entry["kind"] == json!("refusal"))
        .count();
    assert_eq!(refusals, cases.len());
    assert!(
        client
            .call("stub__echo", &json!({"text": "still here"}))
            .expect("an answer")
            .is_good()
    );
}

/// One remedy was told for everything: "send exactly one of method, result and error".
#[test]
fn each_fault_has_its_own_remedy() {
    let (gateway, client) = start();
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    let long = json!({"jsonrpc": "2.0", "id": "x".repeat(5_000), "method": "tools/list"});
    for (body, said, remedy) in [
        (deep, "nesting is too deep", "at most 96 levels"),
        (long.to_string(), "longer than 256 bytes", "at most 256 bytes"),
        (
            "[]".to_owned(),
            "several messages in one array\"",
            "one message per request",
        ),
        (
            "42".to_owned(),
            "not a JSON-RPC 2.0 message: a message is an object",
            "exactly one of",
        ),
    ] {
        let answer = client.raw(&body, &[]).expect("an answer");
        let error = answer.body["error"].to_string();
        assert!(error.contains(said) && error.contains(remedy), "{error}");
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let get = |path: &str| {
        let request = agent.get(format!("{}{path}", gateway.base()));
        let answer = request
            .header("Authorization", format!("Bearer {}", gateway.token()))
            .call();
        let answer = answer.expect("an answer");
        (
            answer.status().as_u16(),
            answer.into_body().read_to_string().expect("text"),
        )
    };
    for (path, status, remedy) in [
        ("/ws", 426, "open a WebSocket"),
        ("/v0/servers?limit=abc", 400, "1 to 100"),
        ("/v0/servers?limit=0", 400, "1 to 100"),
    ] {
        let (found, text) = get(path);
        assert_eq!(found, status, "{path}: {text}");
        assert!(
            text.contains("request-invalid") && text.contains(remedy),
            "{path}: {text}"
        );
    }
}

#[test]
fn unknown_methods_tools_and_revisions_are_refused() {
    let (_gateway, client) = start();
    let unknown = client
        .request("tools/destroy", None, json!({"_meta": own_meta()}))
        .expect("an answer");
    assert_eq!(unknown.body["error"]["code"], json!(-32601), "{unknown:?}");
    let answer = client.call("stub__nothing", &json!({})).expect("an answer");
    assert!(!answer.is_good(), "{answer:?}");
    let mut meta = own_meta();
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    let answer = client
        .request("tools/list", None, json!({"_meta": meta}))
        .expect("an answer");
    assert!(!answer.body["error"].is_null(), "{answer:?}");
}

#[test]
fn a_name_in_the_header_that_is_not_the_bodys_is_refused() {
    let (gateway, client) = start();
    let params = json!({"name": "stub__echo", "arguments": {"text": "x"}, "_meta": own_meta()});
    let answer = client
        .request("tools/call", Some("stub__journal"), params)
        .expect("an answer");
    assert_eq!(answer.status, 400, "{answer:?}");
    let ledger = gateway.ledger();
    assert!(
        !ledger
            .iter()
            .any(|entry| entry["kind"] == json!("intent") && entry["tool"] == json!("echo"))
    );
}

// CONTROL: boundary
#[test]
fn no_token_a_broken_one_and_a_foreign_host_are_turned_away() {
    let (gateway, _) = start();
    let url = format!("{}/mcp", gateway.base());
    let anyone = Client::new(url.clone(), None)
        .call("stub__echo", &json!({}))
        .expect("an answer");
    assert_eq!(anyone.status, 401);
    let challenge = anyone.challenge.expect("a challenge");
    assert!(
        challenge.starts_with("Bearer") && challenge.contains("resource_metadata="),
        "{challenge}"
    );
    let mut forged = gateway.token();
    let last = forged.pop().expect("a token");
    forged.push(if last == 'A' { 'B' } else { 'A' });
    let answer = Client::new(url.clone(), Some(forged))
        .call("stub__echo", &json!({}))
        .expect("an answer");
    assert_eq!(answer.status, 401, "{answer:?}");
    let rebound = Client::new(url, Some(gateway.token()));
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": own_meta()}});
    for (header, value) in [("Host", "evil.example"), ("Origin", "https://evil.example")] {
        let headers = [
            ("Mcp-Method".to_owned(), "tools/list".to_owned()),
            (header.to_owned(), value.to_owned()),
        ];
        let answer = rebound.raw(&body.to_string(), &headers).expect("an answer");
        assert_eq!(answer.status, 403, "{header}: {answer:?}");
    }
}
