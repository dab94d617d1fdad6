//! Every revision over every transport: what holds on one holds on all.

use e2e::{
    every::House,
    gateway::{Gateway, OPEN_TO_TESTER, program},
    wires::{Http, call, initialize},
};
use serde_json::{Value, json};

/// The revisions that open sessions.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// A gateway before the stub; the tool `never` is forbidden.
fn start() -> Gateway {
    let stub = program("e2e-stub");
    let yaml = format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}");
    let forbid = r#"rules: [ "forbid(principal, action, resource == Tool::\"stub__never\");", "#;
    Gateway::start(&yaml.replace("rules: [ ", forbid))
}

fn http(gateway: &Gateway) -> Http {
    Http::new(&format!("{}/mcp", gateway.base()), &gateway.token())
}

#[test]
fn each_revision_with_sessions_is_settled_on_and_served() {
    let gateway = start();
    for revision in LEGACY {
        let mut client = http(&gateway);
        let opened = client.open(revision);
        assert_eq!(opened["result"]["protocolVersion"], json!(revision), "{opened}");
        let answer = client
            .post(&call(1, "stub__echo", &json!({"text": revision})))
            .json();
        assert_eq!(
            answer["result"]["content"][0]["text"],
            json!(revision),
            "{answer}"
        );
    }
    // Of a revision nobody knows, the newest with sessions is offered.
    let opened = http(&gateway).open("1999-01-01");
    assert_eq!(
        opened["result"]["protocolVersion"],
        json!("2025-11-25"),
        "{opened}"
    );
}

/// One that may be carried, a notification, one that may not, one that is never part of a batch, and one
/// that is no message.
fn batch() -> Value {
    json!([
        call(1, "stub__echo", &json!({"text": "first"})),
        {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        call(2, "stub__never", &json!({})),
        initialize("2025-06-18"),
        {"jsonrpc": "2.0", "id": 4, "method": "tools/destroy"},
        {"jsonrpc": "2.0", "id": 5, "method": "ping"},
    ])
}

#[test]
fn each_message_of_a_batch_is_decided_on_its_own() {
    let gateway = start();
    let mut client = http(&gateway);
    client.open("2025-03-26");
    let before = gateway.ledger().len();
    let answer = client.post(&batch());
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    let said = said.as_array().expect("an array");
    let ids: Vec<_> = said.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(
        ids,
        [json!(1), json!(2), json!(0), json!(4), json!(5)],
        "{said:?}"
    );
    assert_eq!(said[0]["result"]["content"][0]["text"], json!("first"));
    assert_eq!(said[1]["error"]["code"], json!(-32602), "{said:?}");
    assert_eq!(said[2]["error"]["code"], json!(-32600), "{said:?}");
    assert_eq!(said[3]["error"]["code"], json!(-32601), "{said:?}");
    assert_eq!(said[4]["result"], json!({}));
    // Each has an entry of its own: the one carried its outcome, the others their refusal.
    let entries = gateway.ledger();
    let kinds: Vec<_> = entries[before..]
        .iter()
        .map(|entry| entry["kind"].clone())
        .collect();
    let count = |kind: &str| kinds.iter().filter(|found| **found == json!(kind)).count();
    assert_eq!(count("refusal"), 3, "{kinds:?}");
    assert!(count("outcome") >= 1, "{kinds:?}");
}

#[test]
fn a_batch_is_taken_in_one_revision_and_with_a_credential() {
    let gateway = start();
    for revision in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let mut client = http(&gateway);
        client.open(revision);
        let answer = client.post(&batch());
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (400, &json!(-32600)),
            "{answer:?}"
        );
    }
    let mut client = http(&gateway);
    client.open("2025-03-26");
    // Only what wants no answer: there is none.
    let quiet = json!([{"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}]);
    let answer = client.post(&quiet);
    assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{answer:?}");
    for wrong in [json!([]), json!([[]]), Value::from(vec![batch()[5].clone(); 65])] {
        let answer = client.post(&wrong);
        assert!(answer.status == 400, "{answer:?}");
        let of_size = !answer.text.contains("several messages");
        // Regression: the remedy was that of a message which is none, and no number was told.
        let told = "send 1 to 64 messages in one array";
        assert_eq!(answer.text.contains(told), of_size, "{answer:?}");
    }
    client.headers[0].1 = "Bearer nobody".to_owned();
    let answer = client.post(&batch());
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(answer.header("www-authenticate").is_some());
}

/// A page of another origin can post forms and plain text without asking. The bug: `/messages` carried them out.
#[test]
fn what_does_not_say_that_it_is_json_is_taken_nowhere() {
    let house = House::new();
    let mut events = house.connect("HTTP+SSE").opened("2024-11-05");
    let address = events.posts_to.clone().expect("an address");
    let base = house.gateway.base();
    let client = ureq::Agent::config_builder().http_status_as_error(false).build();
    let client = client.new_agent();
    let body = events.call("5", "journal", "{}");
    for url in [address, format!("{base}/mcp"), format!("{base}/v1/messages")] {
        for said in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=application/json"),
        ] {
            let mut request = client
                .post(&url)
                .header("Authorization", format!("Bearer {}", house.gateway.token()))
                .header("Accept", "application/json, text/event-stream");
            if let Some(said) = said {
                request = request.header("Content-Type", said);
            }
            let answer = request.send(body.as_bytes()).expect("an answer");
            assert_eq!(answer.status().as_u16(), 415, "{url} {said:?}");
        }
    }
    assert_eq!(house.executed(), 0);
    let answer = events.ask(&body);
    assert!(answer["result"].is_object(), "{answer}");
    assert_eq!(house.executed(), 1);
}
