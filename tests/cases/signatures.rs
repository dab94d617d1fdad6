//! Agents that sign their requests (RFC 9421), by an independent library: PyPI's `http-message-signatures`, under the
//! Python SDK.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use e2e::{
    gateway::{Gateway, program},
    peers,
};
use serde_json::{Value, json};

/// Runs the client; its parts are in the environment.
pub(crate) fn client(peers: &Path, args: &[&str], parts: &[(&str, &str)]) -> Value {
    let output = Command::new(peers.join("py2/bin/python"))
        .arg(peers::script("signing_client.py"))
        .args(args)
        .envs(parts.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("a client");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if args.first() == Some(&"keys") {
        assert!(output.status.success(), "{said}");
        return Value::Null;
    }
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args:?} {parts:?}: {said}"))
}

/// A gateway with agents that sign: `careful` has to, `curve` may, `tester` has no key.
fn signing(peers: &Path) -> Gateway {
    let stub = program("e2e-stub");
    let mut gateway = Gateway::configured(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\napprove: all\n\
         agents:\n\
         - {{ name: careful, keys: \"file:ed25519-keys.json\", secret: \"env:TESTER_SECRET\", proof: signature }}\n\
         - {{ name: curve, keys: es256-keys.json, secret: \"env:TESTER_SECRET\" }}\n\
         - {{ name: tester, secret: \"env:TESTER_SECRET\" }}\n\
         policy: {{ packs: [baseline], rules: [ \"permit(principal is Agent, action, resource);\" ] }}\n"
    ));
    let here = gateway.path("");
    let here = here.to_str().expect("a path");
    for kind in ["ed25519", "es256"] {
        client(peers, &["keys", here, kind], &[]);
    }
    gateway.run();
    gateway
}

fn key_of(gateway: &Gateway, kind: &str) -> String {
    let path = gateway.path(&format!("{kind}-key.pem"));
    path.to_str().expect("a path").to_owned()
}

/// Issue 4: an SDK's client whose requests an independent library signs gets in without a token, and its key is in the
/// ledger.
#[test]
fn the_sdk_calls_with_signed_requests() {
    let Some(peers) = peers::directory() else { return };
    let gateway = signing(&peers);
    let endpoint = format!("{}/mcp", gateway.base());
    for kind in ["ed25519", "es256"] {
        let (key, id) = (key_of(&gateway, kind), format!("{kind}-1"));
        let parts = [("KIND", kind), ("KEY", key.as_str()), ("KEY_ID", id.as_str())];
        let done = client(&peers, &["call", &endpoint], &parts);
        assert_eq!(done, json!({"said": ["hello"], "error": false}), "{kind}");
    }
    // With a token of its own, too.
    let (key, token) = (key_of(&gateway, "ed25519"), gateway.token_of("careful"));
    let parts = [
        ("KEY", key.as_str()),
        ("KEY_ID", "ed25519-1"),
        ("TOKEN", token.as_str()),
    ];
    let done = client(&peers, &["call", &endpoint], &parts);
    assert_eq!(done["error"], json!(false), "{done}");
    let entries = gateway.ledger();
    let called = |agent: &str| {
        let by = |entry: &&Value| entry["kind"] == "outcome" && entry["principal"]["agent"] == agent;
        let echoed = entries.iter().filter(by).filter(|entry| entry["tool"] == "echo");
        echoed.filter(|entry| entry["detail"]["key"].is_string()).count()
    };
    assert_eq!((called("careful"), called("curve")), (2, 1));
}

/// The wires of before take signatures, too: of each request over HTTP+SSE, and of a WebSocket's upgrade; and not one twice,
/// nor one of another body.
#[test]
fn old_wires_take_signatures() {
    let Some(peers) = peers::directory() else { return };
    let gateway = signing(&peers);
    for (kind, agent) in [("ed25519", "careful"), ("es256", "curve")] {
        let (key, id) = (key_of(&gateway, kind), format!("{kind}-1"));
        let parts = [("KIND", kind), ("KEY", key.as_str()), ("KEY_ID", id.as_str())];
        let done = client(&peers, &["old", &gateway.base()], &parts);
        assert_eq!(done["said"], json!(["over sse", "over ws", "over ws"]), "{done}");
        assert_eq!(
            done["statuses"],
            json!([401, 401, 401, 202, 401, 401, 401]),
            "{done}"
        );
        let entries = gateway.ledger();
        let called = |transport: &str| {
            let by = |entry: &&Value| entry["kind"] == "outcome" && entry["principal"]["agent"] == agent;
            let by = entries.iter().filter(by).filter(|entry| entry["tool"] == "echo");
            by.filter(|entry| entry["transport"] == transport && entry["detail"]["key"].is_string())
                .count()
        };
        assert_eq!((called("sse"), called("websocket")), (1, 2), "{agent}");
    }
}

/// Every fault is refused with 401, and what is good is not.
#[test]
fn what_is_wrong_with_a_signed_request_is_refused() {
    let Some(peers) = peers::directory() else { return };
    let gateway = signing(&peers);
    let endpoint = format!("{}/mcp", gateway.base());
    // The gateway is called by one name, and a signature for another is none for it.
    let other_name = endpoint.replace("127.0.0.1", "localhost");
    let (own, others) = (key_of(&gateway, "ed25519"), key_of(&gateway, "es256"));
    let careful = gateway.token_of("careful");
    let (curve, tester) = (gateway.token_of("curve"), gateway.token());
    let case = |fault: &str, env: Value, expected: u16| {
        (
            json!({"fault": fault, "env": env, "endpoint": endpoint}),
            expected,
        )
    };
    let none = || json!({});
    let mut cases = vec![
        case("none", none(), 200),
        case("none", json!({"TOKEN": careful}), 200),
        case("old", none(), 401),
        case("future", none(), 401),
        case("replayed", none(), 401),
        case("body changed", none(), 401),
        case("body not covered", none(), 401),
        case("url changed", none(), 401),
        case("token not covered", json!({"TOKEN": careful}), 401),
        // It has to sign, and a token alone is not enough.
        case("as a bearer alone", json!({"TOKEN": careful}), 401),
        // Tokens of other agents.
        case("none", json!({"TOKEN": curve}), 401),
        case("none", json!({"TOKEN": tester}), 401),
        case("none", json!({"KEY_ID": "nobody"}), 401),
        case("none", json!({"KEY_ID": "es256-1"}), 401),
        case(
            "none",
            json!({"KEY_ID": "ed25519-1", "KIND": "es256", "KEY": others}),
            401,
        ),
    ];
    let (mut elsewhere, expected) = case("none", json!({"KIND": "ed25519", "KEY": own}), 401);
    elsewhere["endpoint"] = json!(other_name);
    cases.push((elsewhere, expected));
    let sent: Vec<&Value> = cases.iter().map(|(case, _)| case).collect();
    let parts = [("KEY", own.as_str()), ("KEY_ID", "ed25519-1")];
    let found = client(&peers, &["send", &json!(sent).to_string()], &parts);
    for (n, (case, expected)) in cases.iter().enumerate() {
        assert_eq!(found[n], *expected, "{case}");
    }
    let entries = gateway.ledger();
    let why = entries.iter().filter_map(|entry| entry["reason"].as_str());
    let why = why.collect::<Vec<_>>().join("\n");
    for told in [
        "used before",
        "does not cover `content-digest`",
        "has to prove itself by signature",
        "does not hold",
    ] {
        assert!(why.contains(told), "{told}: {why}");
    }
}

/// Issue 4: two models of one provider are two principals to the rules and in the ledger, and nobody says it is another's
/// or another than it may be.
#[test]
fn two_models_are_two_principals() {
    let Some(peers) = peers::directory() else { return };
    let stub = program("e2e-stub");
    let mut gateway = Gateway::configured(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\napprove: all\n\
         agents:\n\
         - {{ name: free, keys: ed25519-keys.json }}\n\
         - {{ name: fixed, keys: es256-keys.json, model: vendor/small }}\n\
         policy: {{ packs: [baseline], rules: [ \"permit(principal is Agent, action, resource) \
           when {{ principal has model && principal.model == \\\"vendor/large\\\" && \
           principal.model_source == \\\"declared\\\" }};\" ] }}\n"
    ));
    let here = gateway.path("");
    let here = here.to_str().expect("a path");
    for kind in ["ed25519", "es256"] {
        client(&peers, &["keys", here, kind], &[]);
    }
    gateway.run();
    let (endpoint, base) = (format!("{}/mcp", gateway.base()), gateway.base());
    let (own, others) = (key_of(&gateway, "ed25519"), key_of(&gateway, "es256"));
    let call = |model: &str| {
        let declares = json!({"sub": "free", "aud": base, "model": model, "version": "7"}).to_string();
        let parts = [
            ("KEY", own.as_str()),
            ("KEY_ID", "ed25519-1"),
            ("DECLARES", declares.as_str()),
        ];
        client(&peers, &["call", &endpoint], &parts)["error"].clone()
    };
    assert_eq!(
        (call("vendor/large"), call("vendor/small")),
        (json!(false), json!(true))
    );
    let free = |declares: Value| json!({"fault": "none", "endpoint": endpoint, "declares": declares});
    let good = || json!({"sub": "free", "aud": base, "model": "vendor/large"});
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        free(claims)
    };
    let mut fixed = with("sub", json!("fixed"));
    fixed["env"] = json!({"KIND": "es256", "KEY": others, "KEY_ID": "es256-1"});
    let cases = [
        (free(good()), 200),
        (with("sub", json!("fixed")), 401),
        (with("aud", json!("https://other.example")), 401),
        (with("exp", json!(1_700_000_000)), 401),
        (with("model", json!("")), 401),
        (with("kid", json!("es256-1")), 401),
        // The operator said which model that is.
        (fixed, 401),
    ];
    let sent: Vec<&Value> = cases.iter().map(|(case, _)| case).collect();
    let parts = [("KEY", own.as_str()), ("KEY_ID", "ed25519-1")];
    let found = client(&peers, &["send", &json!(sent).to_string()], &parts);
    for (n, (case, expected)) in cases.iter().enumerate() {
        assert_eq!(found[n], *expected, "{case}");
    }
    let entries = gateway.ledger();
    let echoed = entries
        .iter()
        .find(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    let echoed = echoed.expect("a call");
    assert_eq!(echoed["principal"]["model"], "vendor/large", "{echoed}");
    assert_eq!(echoed["detail"]["model_source"], "declared", "{echoed}");
    assert_eq!(echoed["detail"]["model_version"], "7", "{echoed}");
}
