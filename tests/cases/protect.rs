//! What is found is acted on: pseudonyms, masks, marks and chosen fields, through the real gateway and a real
//! server, and none of it in the way of honest work.

use std::fs;

use e2e::{
    gateway::{Gateway, program},
    mcp::{Answer, Client, own_meta},
};
use serde_json::{Value, json};

const CARD: &str = "4111 1111 1111 1111";
const MAIL: &str = "ann.lee@clinic.org";

/// Charts are read in pseudonyms; `letters` may have the originals for `treatment`, `web` never.
fn house() -> Gateway {
    let stub = program("e2e-stub");
    let stub = format!("command: {stub:?}, args: [stdio]");
    let rules = [
        r#"@pseudonymise(\"personal\") permit(principal, action == Action::\"invoke\", resource == Tool::\"charts__echo\");"#,
        r#"@reveal(\"personal\") permit(principal, action == Action::\"invoke\", resource == Tool::\"letters__echo\") when { context.purpose == \"treatment\" && resource.trust == \"trusted\" };"#,
        r#"permit(principal, action == Action::\"invoke\", resource == Tool::\"letters__echo\");"#,
        r#"permit(principal, action == Action::\"invoke\", resource == Tool::\"web__echo\");"#,
        r#"@fields(\"/name /rows/*/id\") permit(principal, action == Action::\"invoke\", resource == Tool::\"few__echo\");"#,
        r#"@mask(\"personal\") permit(principal, action == Action::\"invoke\", resource == Tool::\"masked__echo\");"#,
    ];
    let rules: Vec<String> = rules.iter().map(|rule| format!("\"{rule}\"")).collect();
    Gateway::start(&format!(
        "mcpServers:\n\
         \x20 charts: {{ {stub}, trust: trusted, tools: {{ echo: {{ sink: read }} }} }}\n\
         \x20 few: {{ {stub}, trust: trusted, tools: {{ echo: {{ sink: read }} }} }}\n\
         \x20 letters: {{ {stub}, trust: trusted, tools: {{ echo: {{ sink: write }} }} }}\n\
         \x20 masked: {{ {stub}, trust: trusted, tools: {{ echo: {{ sink: read }} }} }}\n\
         \x20 web: {{ {stub}, trust: untrusted, tools: {{ echo: {{ sink: read }} }} }}\n\
         approve: all\n\
         purposes: [ {{ name: treatment, description: care }} ]\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester], purposes: [treatment] }} ]\n\
         policy: {{ packs: [baseline], rules: [ {} ] }}\n",
        rules.join(", ")
    ))
}

fn client(gateway: &Gateway) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()))
}

fn say(client: &Client, tool: &str, text: &str) -> Answer {
    client.call(tool, &json!({"text": text})).expect("an answer")
}

fn changes(answer: &Answer) -> Vec<Value> {
    let said = &answer.body["result"]["_meta"]["io.sallyport/changed"];
    said.as_array().cloned().unwrap_or_default()
}

/// The check digit of ISO/IEC 7812.
fn is_card(number: &str) -> bool {
    let digits: Vec<u32> = number.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, digit)| match n % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    digits.len() == 16 && sum % 10 == 0
}

#[test]
fn pseudonyms_are_stable_valid_and_never_the_original() {
    let gateway = house();
    let client = client(&gateway);
    let said = format!("Card: {CARD}\nMail: {MAIL}\nNote: paid by {CARD}");
    let first = say(&client, "charts__echo", &said);
    assert!(first.is_good(), "{}", first.body);
    assert!(
        !first.body.to_string().contains("4111 1111 1111 1111"),
        "{}",
        first.body
    );
    assert!(!first.body.to_string().contains("ann.lee"), "{}", first.body);
    assert_eq!(changes(&first).len(), 3, "{}", first.body);
    let card = first
        .text()
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("Card: "))
        .expect("a card");
    assert!(is_card(card), "{card}");
    assert!(
        first.text().ends_with(card),
        "the same value has the same name: {}",
        first.text()
    );
    let again = say(&client, "charts__echo", &said);
    assert_eq!(again.text(), first.text(), "and in the next call");
}

#[test]
fn only_a_sink_that_may_have_it_gets_the_original_and_the_model_never() {
    let gateway = house();
    let client = client(&gateway);
    let text = say(&client, "charts__echo", &format!("Mail: {MAIL}"))
        .text()
        .to_owned();
    let name = text.strip_prefix("Mail: ").expect("a pseudonym").to_owned();
    assert!(name.ends_with("@pseudonym.example"), "{name}");
    let write = format!("Dear {name}, good morning");
    for (tool, purpose) in [
        ("web__echo", None),
        ("letters__echo", None),
        ("letters__echo", Some("treatment")),
    ] {
        let mut params = json!({"name": tool, "arguments": {"text": write}, "_meta": own_meta()});
        if let Some(purpose) = purpose {
            params["_meta"]["io.sallyport/context"] = json!({"purpose": purpose});
        }
        let answer = client
            .request("tools/call", Some(tool), params)
            .expect("an answer");
        assert!(answer.is_good(), "{tool} {purpose:?}: {}", answer.body);
        assert_eq!(
            answer.text(),
            write,
            "what comes back to the model is the pseudonym"
        );
    }
    let entries = gateway.ledger();
    let told: Vec<_> = entries
        .iter()
        .filter(|entry| entry["kind"] == "outcome")
        .filter_map(|entry| entry["detail"]["changed"].as_str())
        .collect();
    assert!(
        told.iter()
            .any(|line| line.contains("pseudonymise personal/email 1")),
        "{told:?}"
    );
    assert_eq!(
        told.iter().filter(|line| line.contains("reveal 1")).count(),
        1,
        "revealed once, for the purpose, to the tool that may have it: {told:?}"
    );
}

#[test]
fn nothing_of_the_original_is_kept_in_clear() {
    let gateway = house();
    let client = client(&gateway);
    assert!(say(&client, "charts__echo", &format!("Mail: {MAIL}")).is_good());
    let state = fs::read(gateway.path("state/state.db")).unwrap_or_default();
    let log = fs::read(gateway.path("state/state.db-wal")).unwrap_or_default();
    for bytes in [state, log] {
        assert!(!bytes.windows(7).any(|window| window == b"ann.lee"));
    }
}

#[test]
fn only_named_fields_come_back() {
    let gateway = house();
    let client = client(&gateway);
    let record = r#"{"name":"Ann","diagnosis":"rare","rows":[{"id":1,"note":"x"}]}"#;
    let answer = say(&client, "few__echo", record);
    assert_eq!(
        answer.text(),
        r#"{"name":"Ann","rows":[{"id":1}]}"#,
        "{}",
        answer.body
    );
    let prose = say(&client, "few__echo", "Ann has a rare condition");
    assert!(!prose.body.to_string().contains("rare"), "{}", prose.body);
}

#[test]
fn a_mask_shows_the_end_only() {
    let gateway = house();
    let client = client(&gateway);
    let answer = say(&client, "masked__echo", &format!("Card: {CARD}"));
    assert_eq!(answer.text(), "Card: **** **** **** 1111");
}

#[test]
fn honest_text_passes_unchanged() {
    let gateway = house();
    let client = client(&gateway);
    for text in [
        "The build took 4111 ms; see RFC 9110, section 15.5.4.",
        "family 👨‍👩‍👧, flag 🏴󠁧󠁢󠁥󠁮󠁧󠁿, Persian می‌خواهم",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8, version 10.0.19041.1",
    ] {
        let answer = say(&client, "charts__echo", text);
        assert_eq!(answer.text(), text);
        assert!(changes(&answer).is_empty(), "{}", answer.body);
    }
}
