//! Access reviews: what agents may do and never do, and people who certify it or take it away.

use std::{thread, time::Duration};

use e2e::{
    gateway::{Gateway, program},
    mcp::Client,
};
use serde_json::{Value, json};

fn start() -> Gateway {
    let stub = program("e2e-stub");
    let gateway = Gateway::start(&format!(
        "mcpServers:\n  stub: {{ command: {stub:?}, args: [stdio], tools: {{ ask: {{ sink: egress }} }} }}\n\
         approve: all\nusers: [ {{ name: olga }} ]\n\
         agents:\n\
         \x20 - {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         \x20 - {{ name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         policy: {{ packs: [baseline], allow: [ \"role:tester on stub__echo, stub__ask, stub__touch\" ] }}\n\
         review: {{ every: 90d }}\n"
    ));
    gateway.wait_for_servers();
    gateway
}

fn may(gateway: &Gateway, agent: &str, tool: &str) -> bool {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)));
    let answer = client.call(tool, &json!({"text": "x"})).expect("an answer");
    let listed = client.tools().expect("a list").iter().any(|name| name == tool);
    assert_eq!(listed, answer.is_good(), "lists and calls agree on {tool}");
    listed
}

/// What a review says of an agent's tools.
fn reviewed(gateway: &Gateway, agent: &str) -> Vec<(String, u64, String)> {
    let lines = gateway.json(&["review", "--agent", agent]);
    let line = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        (
            text("target"),
            line["used"].as_u64().unwrap_or_default(),
            text("note"),
        )
    };
    lines.iter().map(line).collect()
}

/// What people did, on record.
fn recorded(gateway: &Gateway, action: &str) -> Vec<Value> {
    let mut entries = gateway.ledger();
    entries.retain(|entry| entry["action"] == json!(action));
    entries
}

#[test]
fn unused_and_risky_grants_are_shown_taken_away_and_given_back_by_people() {
    let mut gateway = start();
    assert!(may(&gateway, "tester", "stub__echo"));
    let of = |tool: &str, used: u64, note: &str| (format!("stub__{tool}"), used, note.to_owned());
    let before = reviewed(&gateway, "tester");
    assert!(before.contains(&of("ask", 0, "UNUSED, RISKY")), "{before:?}");
    assert!(
        before
            .iter()
            .any(|(tool, used, _)| tool == "stub__echo" && *used == 1),
        "{before:?}"
    );
    assert_eq!(before.len(), 3, "{before:?}");

    let revoke = ["review", "revoke", "tester", "stub__touch", "--as", "olga"];
    assert!(may(&gateway, "tester", "stub__touch"));
    assert!(gateway.output(&revoke).status.success());
    assert!(!may(&gateway, "tester", "stub__touch"), "at once");
    assert!(
        may(&gateway, "other", "stub__touch"),
        "from one agent, and no other"
    );
    assert!(may(&gateway, "tester", "stub__echo"));
    gateway.kill();
    gateway.run();
    gateway.wait_for_servers();
    assert!(!may(&gateway, "tester", "stub__touch"), "over a power failure");
    assert_eq!(reviewed(&gateway, "tester").len(), 2);
    // Neither does a new text of the configuration give it back.
    let file = gateway.path("sallyport.yaml");
    let said = std::fs::read_to_string(&file).expect("a configuration");
    let said = said.replace(
        "policy: { ",
        "policy: { forbid: [ \"agent:other on stub__ask\" ], ",
    );
    std::fs::write(&file, said).expect("written");
    while recorded(&gateway, "in-force").len() < 4 {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!may(&gateway, "other", "stub__ask"));
    assert!(!may(&gateway, "tester", "stub__touch"));
    let restore = ["review", "restore", "tester", "stub__touch", "--as", "olga"];
    assert!(gateway.output(&restore).status.success());
    assert!(may(&gateway, "tester", "stub__touch"));
    for action in ["access-revoked", "access-restored"] {
        let entries = recorded(&gateway, action);
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(entries[0]["detail"]["by"], json!("olga"));
        assert_eq!(entries[0]["detail"]["target"], json!("stub__touch"));
    }
}

#[test]
fn who_was_never_reviewed_is_overdue_until_a_person_certifies() {
    let gateway = start();
    let doctor = || String::from_utf8_lossy(&gateway.output(&["doctor"]).stdout).into_owned();
    assert!(doctor().contains("overdue for other, tester"), "{}", doctor());
    let overdue = recorded(&gateway, "access-review-overdue");
    assert_eq!(overdue.len(), 2, "each once: {overdue:?}");
    for (args, code) in [
        (&["review", "certify", "tester", "--as", "other"][..], 3),
        (&["review", "certify", "tester", "--as", "nobody"], 3),
        (&["review", "certify", "testr", "--as", "olga"], 2),
        (&["review", "certify", "tester"], 2),
        (&["review", "revoke", "tester", "stub__tuch", "--as", "olga"], 2),
        (&["review", "revoke", "tester", "*", "--as", "olga"], 2),
        (&["review", "restore", "tester", "stub__echo", "--as", "olga"], 2),
    ] {
        let output = gateway.output(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    }
    assert!(
        gateway
            .output(&["review", "certify", "tester", "--as", "olga"])
            .status
            .success()
    );
    assert!(doctor().contains("overdue for other;"), "{}", doctor());
    let certified = recorded(&gateway, "access-certified");
    assert_eq!(certified.len(), 1, "{certified:?}");
    assert_eq!(
        (&certified[0]["principal"]["agent"], &certified[0]["detail"]["by"]),
        (&json!("tester"), &json!("olga"))
    );
}
