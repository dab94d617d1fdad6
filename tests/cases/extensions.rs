//! Extensions of the protocol that the gateway cannot read: between a client and a server they pass where the operator
//! says so, and are left out everywhere else.

use std::fs;

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::{Client, own_meta},
    wires::Modern,
};
use serde_json::{Value, json};

const UI: &str = "io.modelcontextprotocol/ui";
const OTHER: &str = "com.example/other";

/// A gateway before two servers that offer the same, and keep what they are sent: at one the operator lets `ui` pass.
fn start() -> Gateway {
    let mut gateway = Gateway::configured("");
    let stub = program("e2e-stub");
    let sent = gateway.path("sent");
    fs::create_dir(&sent).expect("a directory");
    let offered = json!({UI: {"mimeTypes": ["text/html"]}, OTHER: {}}).to_string();
    let server = |name: &str, extensions: Value| {
        let script = format!(
            "exec tee -a {} | exec {} stdio",
            sent.join(name).display(),
            stub.display()
        );
        json!({
            "command": "/bin/sh", "args": ["-c", script], "extensions": extensions,
            "sandbox": {"write": [sent]},
            "env": {"STUB_MODERN": "1", "STUB_EXTENSIONS": offered},
        })
    };
    let servers = json!({"open": server("open", json!([UI])), "shut": server("shut", json!([]))});
    let yaml = fs::read_to_string(gateway.path("sallyport.yaml")).expect("a configuration");
    let yaml = format!("{yaml}mcpServers: {servers}\n{OPEN_TO_TESTER}");
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a configuration");
    gateway.run();
    gateway.wait_for_servers();
    gateway
}

#[test]
fn an_extension_passes_where_the_operator_says_so_and_nowhere_else() {
    let gateway = start();
    for (path, offered) in [
        ("/mcp", json!({UI: {"mimeTypes": ["text/html"]}})),
        ("/mcp/open", json!({UI: {"mimeTypes": ["text/html"]}})),
        ("/mcp/shut", Value::Null),
    ] {
        let token = gateway.token_at("tester", path);
        let client = Client::new(format!("{}{path}", gateway.base()), Some(token));
        let answer = client.request("server/discover", None, json!({"_meta": own_meta()}));
        let answer = answer.expect("an answer").body;
        assert_eq!(
            answer["result"]["capabilities"]["extensions"], offered,
            "{path}: {answer}"
        );
    }
    // And what the client declares, to the server that may hear of it.
    let mut client = Modern::new(&format!("{}/mcp", gateway.base()), &gateway.token());
    client.capabilities = json!({"extensions": {UI: {"mine": 1}, OTHER: {"mine": 2}}});
    for server in ["open", "shut"] {
        let answer = client.call(
            1,
            &format!("{server}__echo"),
            &json!({"text": "hello"}),
            &json!({}),
        );
        assert_eq!(
            answer.json()["result"]["content"][0]["text"],
            json!("hello"),
            "{answer:?}"
        );
    }
    let sent = |server: &str| fs::read_to_string(gateway.path("sent").join(server)).expect("what was sent");
    assert!(sent("open").contains(r#""extensions":{"io.modelcontextprotocol/ui":{"mine":1}}"#));
    assert!(!sent("open").contains(OTHER) && !sent("shut").contains("\"mine\""));
}

#[test]
fn what_is_no_extension_is_told() {
    let gateway =
        Gateway::configured("mcpServers: { a: { url: 'http://127.0.0.1:9/mcp', extensions: [ui] } }\n");
    let output = gateway.output(&["serve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("mcpServers.a.extensions") && said.contains(UI),
        "{said}"
    );
}
