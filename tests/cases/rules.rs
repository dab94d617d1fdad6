//! Rules as people write them: the short form, and rules that speak of what is not there.

use e2e::{
    gateway::{Gateway, SECRET, program},
    mcp::Client,
};
use serde_json::json;

fn configured(policy: &str) -> Gateway {
    let stub = program("e2e-stub");
    Gateway::configured(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio], tools: {{ \"*\": {{ sink: read }} }} }} }}\n\
         approve: all\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }} ]\n\
         policy:\n\x20 packs: [baseline]\n{policy}"
    ))
}

#[test]
fn lines_of_the_short_form_decide_what_is_listed_and_called() {
    let mut gateway = configured(
        "  allow: [ \"role:tester on stub__*, stub__echo\" ]\n\
         \x20 forbid: [ \"anyone on stub__echo when args has text && args.text == \\\"no\\\" because we say no\", \
         \"anyone on stub__die\" ]\n\
         \x20 require: [ \"purpose treatment of anyone on stub__journal\" ]\n",
    );
    gateway.run();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let say = |tool: &str, text: &str| client.call(tool, &json!({"text": text})).expect("an answer");
    assert!(say("stub__echo", "yes").is_good());
    let refused = say("stub__echo", "no");
    assert!(
        !refused.is_good() && refused.body.to_string().contains("we say no"),
        "{}",
        refused.body
    );
    assert!(!say("stub__journal", "x").is_good(), "no purpose was declared");
    let listed = client.tools().expect("a list");
    assert!(listed.iter().any(|tool| tool == "stub__echo"), "{listed:?}");
    assert!(
        !listed.iter().any(|tool| tool == "stub__die"),
        "what nobody may call is not listed: {listed:?}"
    );
    let last = gateway
        .ledger()
        .into_iter()
        .find(|entry| entry["code"] == json!("not-permitted"));
    assert!(
        last.expect("an entry").to_string().contains("policy.forbid[0]"),
        "the line is named"
    );
    assert!(
        !gateway
            .ledger()
            .iter()
            .any(|entry| entry.to_string().contains(SECRET))
    );
}

#[test]
fn what_is_no_rule_is_refused_with_its_place_and_a_remedy() {
    for (policy, expected) in [
        (
            "  allow: [ \"tester on stub__echo\" ]\n",
            ["policy.allow[0]", "`role:NAME`"],
        ),
        (
            "  allow: [ \"role:tester on stub__echo when args.text = 3\" ]\n",
            ["policy.allow[0]:", "^"],
        ),
        (
            "  allow: [ \"role:tester on stab__echo\" ]\n",
            ["no server `stab`", "did you mean `stub`?"],
        ),
    ] {
        let gateway = configured(policy);
        let output = gateway.output(&["serve", "--ready-json"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{policy}: {said}");
        for words in expected {
            assert!(said.contains(words), "{policy}: {said}");
        }
    }
}

#[test]
fn once_a_server_was_looked_at_rules_must_speak_of_its_tools_and_their_arguments() {
    let mut gateway = configured("  allow: [ \"role:tester on stub__echo\" ]\n");
    gateway.run();
    gateway.stop();
    let file = gateway.path("sallyport.yaml");
    let yaml = std::fs::read_to_string(&file).expect("a configuration");
    for (line, expected) in [
        (
            "role:tester on stub__ecco",
            ["has no tool `ecco`", "did you mean `echo`?"],
        ),
        (
            "role:tester on stub__echo when args.tex == 1",
            ["takes no argument `tex`", "did you mean `text`?"],
        ),
        (
            "role:tester on stub__echo when args.text == 1",
            ["is a string by its schema", "quotation marks"],
        ),
    ] {
        std::fs::write(&file, yaml.replace("role:tester on stub__echo", line)).expect("written");
        let output = gateway.output(&["serve", "--ready-json"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        for words in expected {
            assert!(said.contains(words), "{line}: {said}");
        }
    }
    std::fs::write(&file, &yaml).expect("written");
    gateway.run();
}
