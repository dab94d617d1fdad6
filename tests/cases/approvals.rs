//! Human approval from outside: a call is held, people decide, and exactly that call passes exactly once.

use std::process::Output;

use e2e::{
    gateway::{Gateway, program},
    mcp::{Answer, Client},
};
use serde_json::{Value, json};

/// `tester` acts for alice; two of the controllers must agree to `echo`.
const FOUR_EYES: &str = r#"
approve: all
users:
  - { name: alice, roles: [controller] }
  - { name: bob, roles: [clerk] }
  - { name: carol, roles: [controller] }
  - { name: dave, roles: [controller] }
agents: [ { name: tester, secret: "env:TESTER_SECRET", roles: [tester], for: [alice] } ]
policy:
  packs: [baseline]
  rules:
    - 'permit(principal in Role::"tester", action, resource);'
    - |
      @id("four-eyes") @reason("two controllers agree first") @approve("role:controller 2")
      forbid(principal, action == Action::"invoke", resource == Tool::"stub__echo");
"#;

fn start(yaml: &str) -> (Gateway, Client) {
    let stub = program("e2e-stub");
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{yaml}"
    ));
    let client = client(&gateway);
    (gateway, client)
}

fn client(gateway: &Gateway) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()))
}

fn echo(client: &Client, text: &str) -> Answer {
    client
        .call("stub__echo", &json!({ "text": text }))
        .expect("an answer")
}

/// The one approval that waits.
fn waiting(gateway: &Gateway) -> Value {
    let mut all = gateway.json(&["approvals", "list"]);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn decide(gateway: &Gateway, verb: &str, id: &str, user: &str) -> Output {
    gateway.output(&["approvals", verb, id, "--as", user])
}

fn agree(gateway: &Gateway, id: &str, user: &str) {
    let output = decide(gateway, "approve", id, user);
    assert!(output.status.success(), "{user}: {output:?}");
}

#[test]
fn a_held_call_passes_once_when_enough_people_agree() {
    let (gateway, client) = start(FOUR_EYES);
    let held = echo(&client, "pay");
    let one = waiting(&gateway);
    let id = one["id"].as_str().expect("an id").to_owned();
    assert!(!held.is_good(), "{held:?}");
    assert!(
        held.text().contains("not-approved") && held.text().contains(&id),
        "{}",
        held.text()
    );
    assert_eq!(
        held.body["result"]["_meta"]["io.sallyport/call"]["approval"],
        json!(id)
    );
    assert_eq!(one["tool"], json!("stub__echo"));
    assert_eq!(one["args"], json!({"text": "pay"}));
    assert_eq!(one["requester"], json!({"user": "alice", "agent": "tester"}));
    assert_eq!((&one["needed"], &one["given"]), (&json!(2), &json!(0)));
    assert!(
        one["expires"].as_str().is_some_and(|time| time.ends_with('Z')),
        "{one}"
    );

    // Not the requester, not its agent, not who has no right to; each is told why, and nothing counts.
    for (user, code) in [("alice", 3), ("tester", 3), ("bob", 3), ("mallory", 2)] {
        let output = decide(&gateway, "approve", &id, user);
        assert_eq!(output.status.code(), Some(code), "{user}: {output:?}");
    }
    agree(&gateway, &id, "carol");
    assert_eq!(
        decide(&gateway, "approve", &id, "carol").status.code(),
        Some(3),
        "one person is one"
    );
    assert!(!echo(&client, "pay").is_good(), "one of two is not enough");
    agree(&gateway, &id, "dave");
    assert!(
        !echo(&client, "pay more").is_good(),
        "other arguments were not agreed to"
    );
    assert!(echo(&client, "pay").is_good());
    assert!(!echo(&client, "pay").is_good(), "a yes is used up");

    let ledger = gateway.ledger();
    let of = |kind: &str| -> Vec<&Value> {
        ledger
            .iter()
            .filter(|entry| entry["kind"] == json!(kind))
            .collect()
    };
    let acts: Vec<_> = of("approval")
        .iter()
        .filter(|entry| entry["detail"]["approval"] == json!(id))
        .map(|entry| {
            let by = entry["detail"]["by"].as_str().unwrap_or("-");
            format!(
                "{} {} {by}",
                entry["action"].as_str().unwrap_or("-"),
                entry["decision"].as_str().unwrap_or("-")
            )
        })
        .collect();
    assert_eq!(
        acts,
        [
            "requested hold -",
            "granted permit carol",
            "granted permit dave",
            "used permit -"
        ]
    );
    let holds = of("refusal")
        .into_iter()
        .filter(|entry| entry["decision"] == json!("hold"));
    assert!(holds.clone().count() >= 3);
    assert!(
        holds
            .clone()
            .all(|entry| entry["code"] == json!("not-approved") && entry["stage"] == json!("approve"))
    );
    assert!(
        of("intent")
            .iter()
            .any(|entry| entry["detail"]["approval"] == json!(id))
    );
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn what_waits_and_what_was_agreed_survive_a_power_failure() {
    let (mut gateway, client) = start(FOUR_EYES);
    echo(&client, "pay");
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    agree(&gateway, &id, "carol");
    gateway.kill();
    // Without a gateway the command does it to the data directory.
    agree(&gateway, &id, "dave");
    gateway.run();
    let one = waiting(&gateway);
    assert_eq!((&one["id"], &one["given"]), (&json!(id), &json!(2)), "{one}");
    let client = self::client(&gateway);
    assert!(echo(&client, "pay").is_good());
    assert!(!echo(&client, "pay").is_good());
}

#[test]
fn a_no_stays_a_no() {
    let (gateway, client) = start(FOUR_EYES);
    echo(&client, "pay");
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    let output = gateway.output(&[
        "approvals",
        "deny",
        &id,
        "--as",
        "carol",
        "--why",
        "unknown payee",
    ]);
    assert!(output.status.success(), "{output:?}");
    let answer = echo(&client, "pay");
    assert!(answer.text().contains("said no"), "{}", answer.text());
    assert_eq!(decide(&gateway, "approve", &id, "dave").status.code(), Some(3));
    let ledger = gateway.ledger();
    let denied = ledger
        .iter()
        .find(|entry| entry["kind"] == json!("approval") && entry["action"] == json!("denied"))
        .expect("an entry");
    assert_eq!(denied["reason"], json!("unknown payee"));
    assert_eq!(
        gateway
            .output(&["approvals", "approve", "nothing", "--as", "dave"])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn deceptive_text_is_made_visible_to_whoever_decides() {
    let (gateway, client) = start(FOUR_EYES);
    let answer = echo(
        &client,
        "pay bob\u{202e}lorac\u{200b}\u{1b}[2J\u{1b}[1;1Happroved",
    );
    let waits = gateway.json(&["approvals", "list"]);
    let id = waits
        .first()
        .and_then(|one| one["id"].as_str())
        .unwrap_or_else(|| panic!("nothing waits: {answer:?}"));
    let shown = gateway.output(&["approvals", "show", id]);
    let shown = String::from_utf8(shown.stdout).expect("UTF-8");
    for mark in [
        "⟦U+202E⟧",
        "⟦U+200B⟧",
        "⟦U+001B⟧[2J",
        "two controllers agree first",
        "tester for alice",
    ] {
        assert!(shown.contains(mark), "{mark} is missing in {shown}");
    }
    assert!(!shown.contains(['\u{202e}', '\u{200b}', '\u{1b}']), "{shown}");
}
