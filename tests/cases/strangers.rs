//! Who has proven nothing cannot fill the ledger.

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::Client,
};

/// Most entries of one source and kind in a minute, and the minute may turn in between.
const ALONE: usize = 2 * 30;

/// Issue 4: refusals at doors that are open to strangers are recorded while they are few, and counted when they are many.
#[test]
fn many_refusals_are_a_few_entries_and_a_count() {
    let stub = program("e2e-stub");
    let mut gateway = Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}"
    ));
    let stranger = Client::new(
        format!("{}/mcp", gateway.base()),
        Some("no-token-of-anybody".to_owned()),
    );
    for _ in 0..150 {
        let answer = stranger
            .call("stub__echo", &serde_json::json!({"text": "in"}))
            .expect("an answer");
        assert_eq!(answer.status, 401);
        let refused = gateway.ask_for_token(&[("grant_type", "client_credentials"), ("client_id", "nobody")]);
        assert_eq!(refused["error"], "invalid_client", "{refused}");
    }
    // Somebody who is known is recorded as ever.
    let known = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = known.call("stub__echo", &serde_json::json!({"text": "in"}));
    assert!(answer.expect("an answer").is_good());
    // What is still counted is told at the end.
    gateway.stop();
    let entries = gateway.ledger();
    let alone = |key: &str, what: &str| entries.iter().filter(|entry| entry[key] == what).count();
    for (key, what) in [("code", "credential-invalid"), ("action", "token-refused")] {
        let counted: u64 = entries
            .iter()
            .filter(|entry| entry["action"] == "refused-besides" && entry["detail"]["what"] == what)
            .filter_map(|entry| entry["detail"]["count"].as_str()?.parse::<u64>().ok())
            .sum();
        let alone = alone(key, what);
        assert!((1..=ALONE).contains(&alone), "{what}: {alone}");
        assert_eq!(counted + u64::try_from(alone).expect("few"), 150, "{what}");
    }
    let call = entries
        .iter()
        .any(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    assert!(call, "the known caller's call is missing");
}
