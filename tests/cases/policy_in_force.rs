//! Rules that change are in force within seconds on all that is open: connections, streams, subscriptions and lists.

use std::{
    fs,
    time::{Duration, Instant},
};

use e2e::{
    every::{House, WIRES, Wire},
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::Client,
    wires::{Heard, Http, Modern, call, initialize},
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::connections::websocket;

/// What is promised; and what a machine gets that has more to do than it can.
fn promised() -> Duration {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load
        .split(' ')
        .next()
        .and_then(|one| one.parse().ok())
        .unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Duration::from_secs(if load > cores as f64 { 60 } else { 5 })
}

/// Puts other rules into the configuration, in one step: half a file may be good rules, too.
fn change(gateway: &Gateway, from: &str, to: &str) -> Instant {
    let file = gateway.path("sallyport.yaml");
    let text = fs::read_to_string(&file).expect("a configuration");
    assert!(text.contains(from), "{text}");
    let next = gateway.path("next.yaml");
    fs::write(&next, text.replace(from, to)).expect("written");
    fs::rename(&next, &file).expect("in its place");
    Instant::now()
}

const ALLOW: &str = "permit(principal in Role::\\\"worker\\\", action, resource);";
const FORBID: &str =
    "forbid(principal, action == Action::\\\"invoke\\\", resource == Tool::\\\"stub__journal\\\");";

fn ask(wire: &mut Wire, modern: bool, method: &str, mut params: Value) -> Value {
    if modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    wire.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string())
}

#[test]
fn rules_that_change_reach_every_connection_that_is_open() {
    let house = House::with(|files| {
        let (stub, journal) = (program("e2e-stub"), files.join("journal"));
        fs::write(&journal, "").expect("a file");
        let names = (0..WIRES.len()).flat_map(|at| [format!("a{at}f"), format!("a{at}t")]);
        let agents: String = names
            .map(|name| format!("{{ name: {name}, secret: \"env:TESTER_SECRET\", roles: [worker] }}, "))
            .collect();
        format!(
            "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio, {journal:?}] }} }}\napprove: all\n\
             users: [ {{ name: local, roles: [worker] }} ]\nagents: [ {agents} ]\n\
             policy: {{ packs: [baseline], rules: [ \"{ALLOW}\" ] }}\n"
        )
    });
    let mut open = Vec::new();
    for (at, wire) in WIRES.into_iter().enumerate() {
        for modern in [false, true] {
            // The transport of 2024-11-05 belongs to the era with sessions.
            if modern && wire == "HTTP+SSE" {
                continue;
            }
            let mut client = house.connect_as(wire, &format!("a{at}{}", if modern { "t" } else { "f" }));
            if !modern {
                client = client.opened("2025-11-25");
            }
            let listed = ask(&mut client, modern, "tools/list", json!({}));
            assert!(listed.to_string().contains("stub__journal"), "{wire}: {listed}");
            open.push((client, modern));
        }
    }
    let call = json!({"name": "stub__journal", "arguments": {}});
    for (client, modern) in &mut open {
        let answer = ask(client, *modern, "tools/call", call.clone());
        assert!(answer["result"].is_object(), "{client:?}: {answer}");
    }
    let changed = change(&house.gateway, ALLOW, &format!("{ALLOW}\", \"{FORBID}"));
    let limit = promised();
    for (client, modern) in &mut open {
        while ask(client, *modern, "tools/call", call.clone())["error"].is_null() {
            assert!(
                changed.elapsed() < limit,
                "{client:?}, modern: {modern}: it still may"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        // The list says so no later than the call, though the same client was shown it before.
        let listed = ask(client, *modern, "tools/list", json!({}));
        assert!(
            !listed.to_string().contains("stub__journal"),
            "{client:?}: {listed}"
        );
    }
    assert!(
        changed.elapsed() < limit,
        "all of them after {:?}",
        changed.elapsed()
    );
    let written = house.written("journal");
    for (client, modern) in &mut open {
        let answer = ask(client, *modern, "tools/call", call.clone());
        assert!(answer["error"].is_object(), "{client:?}: {answer}");
    }
    assert_eq!(house.written("journal"), written, "nothing more was executed");
    // And back again.
    let changed = change(&house.gateway, FORBID, ALLOW);
    for (client, modern) in &mut open {
        while !ask(client, *modern, "tools/call", call.clone())["error"].is_null() {
            assert!(changed.elapsed() < promised(), "{client:?}: it may not yet");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

const WATCH: &str = "forbid(principal, action == Action::\\\"subscribe\\\", resource) when { resource.uri == \\\"test://one\\\" };";

/// The resource the next notice is about. That lists changed is said in between.
fn heard(stream: &Heard, lists: &mut usize) -> String {
    loop {
        let notice = stream.next();
        if notice["method"].to_string().contains("list_changed") {
            *lists += 1;
            continue;
        }
        return notice["params"]["uri"].as_str().expect("a URI").to_owned();
    }
}

#[test]
fn rules_that_change_reach_streams_and_subscriptions_that_are_open() {
    let stub = program("e2e-stub");
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio], env: {{ STUB_RESOURCES: \"1\" }} }} }}\n{OPEN_TO_TESTER}"
    ));
    gateway.wait_for_servers();
    let (url, token) = (format!("{}/mcp", gateway.base()), gateway.token());
    let mut session = Http::new(&url, &token);
    session.open("2025-11-25");
    let stream = session.listen();
    for uri in ["test://one", "test://two"] {
        let params = json!({"uri": uri});
        let message = json!({"jsonrpc": "2.0", "id": uri, "method": "resources/subscribe", "params": params});
        assert_eq!(session.post(&message).json()["result"], json!({}));
    }
    let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": ["test://one", "test://two"]});
    let listening = Modern::new(&url, &token).listen(&json!("l"), &wanted);
    assert_eq!(
        listening.next()["method"],
        "notifications/subscriptions/acknowledged"
    );
    let events = Http::new(&format!("{}/sse", gateway.base()), &token).listen();
    let bearer = format!("Bearer {token}");
    let mut socket = websocket(&gateway, &[("Authorization", &bearer)], Some("mcp")).expect("a connection");
    let mut say = |message: Value| {
        socket
            .send(Message::text(message.to_string()))
            .expect("it is sent")
    };
    say(initialize("2025-11-25"));
    say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));

    let touch = |uri: &str| {
        let answer = session
            .post(&call(2, "stub__touch", &json!({"text": uri})))
            .json();
        assert!(answer["result"].is_object(), "{answer}");
    };
    let mut lists = [0, 0];
    for uri in ["test://one", "test://two"] {
        touch(uri);
        for (stream, lists) in [&stream, &listening].into_iter().zip(&mut lists) {
            assert_eq!(heard(stream, lists), uri);
        }
    }
    // One resource fewer to watch, one tool fewer to see.
    let hide = "forbid(principal, action, resource == Tool::\\\"stub__echo\\\");";
    let before = "rules: [ ";
    let changed = change(&gateway, before, &format!("rules: [ \"{WATCH}\", \"{hide}\", "));
    let limit = promised();
    let lists_before = lists;
    // What was watched is told of until it is not, and what may still be watched is.
    loop {
        // As quickly as this can, the same notice over and over would come to the limit on loops.
        std::thread::sleep(Duration::from_millis(20));
        touch("test://one");
        touch("test://two");
        let mut first = Vec::new();
        for (stream, lists) in [&stream, &listening].into_iter().zip(&mut lists) {
            let uri = heard(stream, lists);
            if uri == "test://one" {
                assert_eq!(heard(stream, lists), "test://two");
            }
            first.push(uri);
        }
        if first == ["test://two", "test://two"] {
            break;
        }
        assert!(changed.elapsed() < limit, "{first:?} is still told");
    }
    touch("test://one");
    touch("test://two");
    for (stream, lists) in [&stream, &listening].into_iter().zip(&mut lists) {
        assert_eq!(heard(stream, lists), "test://two");
    }
    assert!(
        lists[0] > lists_before[0] && lists[1] > lists_before[1],
        "lists: {lists:?}"
    );
    // The other two were told that their lists changed, too.
    let told = std::iter::from_fn(|| socket.read().ok()).any(|message| {
        message
            .to_text()
            .is_ok_and(|text| text.contains("tools/list_changed"))
    });
    assert!(told, "the WebSocket was not told");
    assert!(events.is_open(), "the stream of HTTP+SSE stands");
    let refused = gateway
        .ledger()
        .into_iter()
        .any(|entry| entry["method"] == "notifications/resources/updated" && entry["decision"] == "refuse");
    assert!(refused, "what was not told is on record");
}

/// A list that was shown before is not shown again where anything has changed that decides, however often it was asked
/// for; of two who may the same, each has a list of its own.
#[test]
fn a_list_is_that_of_now() {
    let stub = program("e2e-stub");
    let rule = r#"forbid(principal, action, resource == Tool::\"stub__echo\") when { context.labels.integrity == \"untrusted\" };"#;
    let gateway = Gateway::start(&format!(
        "mcpServers:\n  stub: {{ command: {stub:?}, args: [stdio], trust: trusted }}\n  \
         web: {{ command: {stub:?}, args: [stdio], trust: untrusted }}\n{}",
        OPEN_TO_TESTER
            .replace("rules: [ ", &format!("rules: [ \"{rule}\", "))
            .replace(
                "agents: [ ",
                "agents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }, "
            )
    ));
    gateway.wait_for_servers();
    let url = format!("{}/mcp", gateway.base());
    let list = |token: &str| {
        let client = Client::new(url.clone(), Some(token.to_owned()));
        client.request("tools/list", None, json!({"_meta": e2e::mcp::own_meta()}))
    };
    let shows = |token: &str| {
        let listed = list(token).expect("an answer").body;
        assert!(listed["result"]["tools"].is_array(), "{listed}");
        listed.to_string().contains("\"stub__echo\"")
    };
    let (tester, other) = (gateway.token(), gateway.token_of("other"));
    for token in [&tester, &other, &tester, &other] {
        assert!(shows(token));
    }
    // Labels: the next list is another.
    let client = Client::new(url.clone(), Some(tester.clone()));
    assert!(
        client
            .call("web__echo", &json!({"text": "x"}))
            .expect("an answer")
            .is_good()
    );
    for _ in 0..2 {
        assert!(!shows(&tester), "its context has read what is not trusted");
        assert!(shows(&other), "another's has not");
    }
    // A credential that is revoked has no list.
    assert!(gateway.output(&["agent", "revoke", "other"]).status.success());
    let after = list(&other);
    assert!(
        after.is_err() || !after.expect("an answer").body["result"].is_object(),
        "revoked"
    );
}

/// Regression: a purpose that was taken from an agent stayed in force in its tokens, and one that was deleted went on without
/// its limits.
// CONTROL: purpose
#[test]
fn a_token_goes_on_under_no_purpose_that_was_taken_away() {
    let stub = program("e2e-stub");
    let gateway = Gateway::start(&format!(
        "mcpServers:\n\
         \x20 stub: {{ command: {stub:?}, args: [stdio] }}\n\
         \x20 other: {{ command: {stub:?}, args: [stdio] }}\n\
         approve: all\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester], purposes: [care, billing] }} ]\n\
         purposes: [ {{ name: care, tools: [ \"server:stub\" ] }}, {{ name: billing, tools: [ \"server:stub\" ] }} ]\n\
         policy: {{ packs: [baseline], allow: [ \"role:tester on stub__*, other__*\" ] }}\n"
    ));
    gateway.wait_for_servers();
    let details = r#"[{"type":"sallyport_context","purpose":"billing","task":"invoices"}]"#;
    let given = gateway.ask_for_token(&[
        ("grant_type", "client_credentials"),
        ("client_id", "tester"),
        ("client_secret", e2e::gateway::SECRET),
        ("resource", &format!("{}/mcp", gateway.base())),
        ("authorization_details", details),
    ]);
    let token = given["access_token"].as_str().expect("a token").to_owned();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(token));
    let call = |tool: &str| client.call(tool, &json!({"text": "x"})).expect("an answer");
    assert!(call("stub__echo").is_good() && !call("other__echo").is_good());
    let since = change(&gateway, "purposes: [care, billing]", "purposes: [care]");
    while call("stub__echo").is_good() {
        assert!(since.elapsed() < promised(), "the purpose is still in force");
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = call("stub__echo").body.to_string();
    assert!(said.contains("may not declare the purpose"), "{said}");
    let since = change(&gateway, ", { name: billing, tools: [ \"server:stub\" ] }", "");
    while since.elapsed() < Duration::from_secs(2) {
        assert!(!call("other__echo").is_good(), "its limits are gone with it");
        std::thread::sleep(Duration::from_millis(100));
    }
}
