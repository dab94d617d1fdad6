//! Secrets of servers: each caller's own process has its own, and nothing but that process has any.

use std::{
    fs,
    io::Write,
    process::{Output, Stdio},
};

use e2e::{gateway::Gateway, mcp::Client};
use serde_json::{Value, json};

/// Says what it was started with.
const SERVER: &str = r#"
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = {"tools": [{"name": "told", "inputSchema": {"type": "object"}}]}
    if asked["method"] == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
    elif asked["method"] == "tools/call":
        told = [os.environ.get(name, "nothing") for name in ("OWN", "ALL")]
        result = {"content": [{"type": "text", "text": " ".join(told)}]}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"#;

fn configured(server: &Value) -> Gateway {
    let gateway = Gateway::configured(&format!(
        "approve: all\n\
         agents:\n\
         - {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         - {{ name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         - {{ name: third, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         policy: {{ packs: [baseline], rules: [ 'permit(principal in Role::\"tester\", action, resource);' ] }}\n\
         mcpServers: {{ x: {server} }}\n"
    ));
    fs::write(gateway.path("server.py"), SERVER).expect("a file");
    gateway
}

fn server(env: &Value) -> Value {
    json!({"command": "/usr/bin/python3", "args": ["./server.py"], "env": env, "timeout": 20})
}

fn set(gateway: &Gateway, name: &str, value: &str) -> Output {
    let mut setting = gateway.command(&["secret", "set", name]);
    let mut child = setting
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, "{value}").expect("written");
    drop(stdin);
    child.wait_with_output().expect("an end")
}

fn told(gateway: &Gateway, agent: &str) -> String {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)));
    let answer = client.call("x__told", &json!({})).expect("an answer");
    if answer.is_good() {
        answer.text().to_owned()
    } else {
        format!("refused: {}", answer.body)
    }
}

/// Whether a text is in any file of a folder.
fn is_written(folder: &std::path::Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(is_written(&path, text));
        } else if fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn each_caller_has_its_own_and_no_file_has_any() {
    let env = json!({"OWN": "vault:{agent}/key", "ALL": "vault:common"});
    let mut gateway = configured(&server(&env));
    for (name, value) in [
        ("tester/key", "secret-of-tester"),
        ("other/key", "secret-of-other"),
    ] {
        let done = set(&gateway, name, value);
        assert!(done.status.success(), "{done:?}");
    }
    gateway.run();
    // Nothing is started before all is there; then at once.
    assert!(told(&gateway, "tester").contains("refused"));
    assert!(set(&gateway, "common", "secret-of-all").status.success());
    gateway.stop();
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(told(&gateway, "tester"), "secret-of-tester secret-of-all");
    for _ in 0..3 {
        let third = told(&gateway, "third");
        assert!(
            third.starts_with("refused") && !third.contains("secret-of"),
            "{third}"
        );
    }
    // Who has no secret, however often it asks, keeps nobody else's process from starting.
    assert_eq!(told(&gateway, "other"), "secret-of-other secret-of-all");

    // Arguments and environments of the gateway and of the box's helpers have none; the gateway's own process of the
    // server has nobody's.
    let list = gateway.json(&["secret", "list"]);
    let names: Vec<_> = list
        .iter()
        .map(|one| one["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["common", "other/key", "tester/key"]);
    let mut seen = 0;
    for process in fs::read_dir("/proc").expect("processes").flatten() {
        let read = |what: &str| fs::read(process.path().join(what)).unwrap_or_default();
        let has = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(
            !has(&read("cmdline"), b"secret-of-tester"),
            "{:?}",
            process.path()
        );
        if has(&read("environ"), b"secret-of-tester") {
            assert!(has(&read("cmdline"), b"server.py"), "{:?}", process.path());
            seen += 1;
        }
    }
    assert_eq!(seen, 1, "one process has it, and it is the server's");
    let ledger = gateway.ledger();
    assert!(
        ledger.iter().any(|entry| entry["action"] == json!("secret-set")),
        "{ledger:?}"
    );
    gateway.stop();
    for text in ["secret-of-tester", "secret-of-all"] {
        assert_eq!(is_written(&gateway.path("state"), text), Vec::<String>::new());
    }
    let removed = gateway.output(&["secret", "remove", "common"]);
    assert!(removed.status.success());
    assert_eq!(gateway.json(&["secret", "list"]).len(), 2);
}

#[test]
fn whose_secret_it_is_changes_only_with_an_approval() {
    let mut gateway = configured(&server(&json!({"OWN": "vault:{agent}/key"})));
    assert!(set(&gateway, "tester/key", "mine").status.success());
    assert!(set(&gateway, "other/key", "theirs").status.success());
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(told(&gateway, "tester"), "mine nothing");
    gateway.stop();
    let file = gateway.path("sallyport.yaml");
    let config = fs::read_to_string(&file).expect("a configuration");
    fs::write(&file, config.replace("{agent}/key", "other/key")).expect("a configuration");
    gateway.run();
    let said = told(&gateway, "tester");
    assert!(!said.contains("theirs"), "{said}");
}

#[test]
fn a_secret_that_would_be_seen_or_shared_is_refused() {
    let refused = |server: &Value, why: &str| {
        let gateway = configured(server);
        let output = gateway.output(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{server}: {said}");
    };
    for arg in ["vault:common", "env:TESTER_SECRET", "file:secret.txt"] {
        let mut server = server(&json!({}));
        server["args"] = json!(["./server.py", arg]);
        refused(&server, "a secret among arguments");
    }
    let mut shared = server(&json!({"OWN": "vault:{user}/key"}));
    shared["isolation"] = json!("shared");
    refused(&shared, "each caller's own");
    refused(
        &server(&json!({"OWN": "vault:{users}/key"})),
        "no name of a secret",
    );
    refused(
        &server(&json!({"LD_PRELOAD": "vault:common"})),
        "cannot be a secret",
    );
    let url = json!({"url": "http://127.0.0.1:9/mcp", "headers": {"Authorization": "vault:common"}});
    refused(&url, "for `env` of servers");

    // Whose user nobody is behind the call.
    let mut gateway = configured(&server(&json!({"OWN": "vault:{user}/key"})));
    assert!(!set(&gateway, "a b", "x").status.success());
    assert!(!set(&gateway, "empty", "").status.success());
    gateway.run();
    gateway.wait_for_servers();
    let said = told(&gateway, "tester");
    assert!(said.starts_with("refused"), "{said}");
}
