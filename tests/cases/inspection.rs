//! Kinds of values of one's own, and what is let pass: followed without a restart, and never half.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::Client,
};
use serde_json::json;

/// A number of a patient, as nobody else has them, and another.
const NUMBER: &str = "PN-79927398713";
const OTHER: &str = "PN-49927398716";

fn configuration(inspection: &str) -> String {
    let stub = program("e2e-stub");
    let rule = r#"@redact("personal") permit(principal, action, resource);"#;
    let servers: String = ["one", "two"]
        .map(|name| format!("\x20 {name}: {{ command: {stub:?}, args: [stdio], trust: trusted }}\n"))
        .concat();
    format!(
        "mcpServers:\n{servers}approve: all\nlisten: \"127.0.0.1:0\"\ndata: ./state\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\" }} ]\n\
         policy: {{ packs: [baseline], rules: {} }}\n{inspection}",
        json!([rule])
    )
}

fn say(client: &Client, server: &str, text: &str) -> String {
    let answer = client.call(&format!("{server}__echo"), &json!({"text": text}));
    answer.expect("an answer").text().to_owned()
}

/// What comes back once a change is in force, which takes a few seconds.
fn comes_back(client: &Client, server: &str, text: &str, wanted: &str) {
    let begun = Instant::now();
    loop {
        let said = say(client, server, text);
        if said == wanted {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{server}: {said}, not {wanted}"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

/// The operator was told to change the rule, where none asks for personal data to go: the pack's is about secrets, and what is
/// not listed could be one.
#[test]
fn what_holds_too_much_to_list_is_withheld_with_its_cause() {
    let stub = program("e2e-stub");
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ one: {{ command: {stub:?}, args: [stdio], trust: trusted }} }}\n{OPEN_TO_TESTER}"
    ));
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let text: String = (0..4_200)
        .map(|number| format!("a.{number}@example.org\n"))
        .collect();
    let said = say(&client, "one", &text);
    assert!(
        said.contains("more than 4096 things were found") && said.contains("ask for less"),
        "{said}"
    );
    assert!(!said.contains("change the rule"), "{said}");
}

#[test]
fn own_kinds_and_what_is_let_pass_are_followed_without_a_restart() {
    let mut gateway = Gateway::configured("");
    let write = |gateway: &Gateway, inspection: &str| {
        fs::write(gateway.path("sallyport.yaml"), configuration(inspection)).expect("a configuration");
    };
    write(&gateway, "");
    gateway.run();
    let pid = gateway.pid();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    assert_eq!(say(&client, "one", NUMBER), NUMBER, "nobody knows what it is");

    let kinds =
        "inspection:\n\x20 kinds:\n\x20   patient: { pattern: 'PN-(?P<value>\\d{11})', check: luhn }\n";
    write(&gateway, kinds);
    comes_back(&client, "one", NUMBER, "PN-[redacted: own/patient]");
    assert_eq!(say(&client, "two", NUMBER), "PN-[redacted: own/patient]");
    assert_eq!(
        say(&client, "one", "PN-79927398710"),
        "PN-79927398710",
        "the check digit is wrong"
    );

    let digits = NUMBER.trim_start_matches("PN-");
    let digest: String = digest(&SHA256, digits.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let pass = format!("\x20 pass: [ {{ value: 'sha256:{digest}', server: one }} ]\n");
    write(&gateway, &format!("{kinds}{pass}"));
    comes_back(&client, "one", NUMBER, NUMBER);
    assert_eq!(
        say(&client, "two", NUMBER),
        "PN-[redacted: own/patient]",
        "at that server alone"
    );
    assert_eq!(
        say(&client, "one", OTHER),
        "PN-[redacted: own/patient]",
        "that value alone"
    );

    // A configuration that makes no sense changes nothing, not even what of it does.
    write(
        &gateway,
        &format!("{kinds}\x20   loop: {{ pattern: '(a)\\1' }}\n"),
    );
    thread::sleep(Duration::from_secs(3));
    assert_eq!(say(&client, "one", NUMBER), NUMBER, "what was let pass still is");
    assert_eq!(say(&client, "two", NUMBER), "PN-[redacted: own/patient]");

    write(&gateway, "");
    comes_back(&client, "two", NUMBER, NUMBER);
    assert_eq!(gateway.pid(), pid);
}
