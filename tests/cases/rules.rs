//! Rules as people write them: the short form, and rules that speak of what is not there.

use e2e::{
    gateway::{Gateway, program},
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

/// What broke the tool's schema and so no rule was written for looked like the operator's fault (`rule-failed`), or like
/// policy (`not-permitted`).
#[test]
fn arguments_that_no_rule_was_written_for_are_told_by_the_schema() {
    let mut gateway = configured(
        "  rules:\n\
         \x20   - 'permit(principal, action, resource == Tool::\"stub__echo\")\n\
         \x20       when { context.args has text && context.args.text == \"yes\" };'\n\
         \x20   - 'permit(principal, action, resource == Tool::\"stub__keep\")\n\
         \x20       when { context.args has text && context.args.text like \"y*\" };'\n",
    );
    gateway.run();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let code = |tool: &str, arguments: serde_json::Value| {
        let answer = client.call(tool, &arguments).expect("an answer");
        let at = &answer.body["result"]["_meta"]["io.sallyport/call"]["code"];
        let code = at.as_str().or(answer.body["error"]["data"]["code"].as_str());
        (code.unwrap_or_default().to_owned(), answer.body.to_string())
    };
    for tool in ["stub__echo", "stub__keep"] {
        let (code, said) = code(tool, json!({"text": 5}));
        assert_eq!(code, "arguments-invalid", "{said}");
        assert!(said.contains("/text`"), "{said}");
    }
    // What fits and is not permitted, and what is not shown, are as they were.
    assert_eq!(code("stub__echo", json!({"text": "no"})).0, "not-permitted");
    assert_eq!(code("stub__journal", json!({"text": 5})).0, "target-unknown");
    let ledger = gateway.ledger();
    let refused = ledger.iter().find(|entry| entry["code"] == "arguments-invalid");
    let refused = refused.expect("recorded");
    assert!(
        refused["reason"].to_string().contains("no rule permits it"),
        "{refused}"
    );
    assert_eq!(refused["fault"], "caller", "{refused}");
    let digest = refused["args_digest"].as_str().unwrap_or_default();
    assert!(digest.starts_with("hmac-sha256:"), "{refused}");
    // Lines have their lists and groups, also where they are empty.
    assert!(
        refused["obligations"].is_array() && refused["tls"].is_object(),
        "{refused}"
    );
}

// CONTROL: access-control
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
    let shown = gateway.output(&["policy", "show"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let beside = "// anyone on stub__die\n@id(\"policy.forbid[1]\")\nforbid(principal, ";
    assert!(
        shown.contains(beside),
        "the line and its Cedar, side by side: {shown}"
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
        // Checking says the same, and commands that set things right work meanwhile.
        let output = gateway.output(&["policy", "check"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(said.contains(expected[0]), "{line}: {said}");
        assert!(gateway.output(&["server", "show", "stub"]).status.success());
    }
    std::fs::write(&file, &yaml).expect("written");
    assert!(gateway.output(&["policy", "check"]).status.success());
    gateway.run();
    // The same while it runs: the old rules stay.
    let ecco = yaml.replace("role:tester on stub__echo", "role:tester on stub__ecco");
    std::fs::write(&file, ecco).expect("written");
    let rejected = || {
        let ledger = gateway.ledger();
        let found = ledger
            .into_iter()
            .find(|entry| entry["action"] == json!("rejected"));
        found.map(|entry| entry["detail"]["why"].to_string())
    };
    let why = (0..200).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        rejected()
    });
    assert!(why.expect("recorded").contains("has no tool `ecco`"));
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = client
        .call("stub__echo", &json!({"text": "x"}))
        .expect("an answer");
    assert!(answer.is_good(), "{answer:?}");
}

/// Rules may be written before anybody has looked at a server; who wrote them hears of it afterwards.
#[test]
fn rules_that_turn_out_to_name_no_tool_are_recorded() {
    let mut gateway = configured("  allow: [ \"role:tester on stub__ecco\" ]\n");
    gateway.run();
    let unfit = (0..200).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let ledger = gateway.ledger();
        ledger.into_iter().find(|entry| entry["action"] == json!("unfit"))
    });
    let unfit = unfit.expect("recorded");
    let why = unfit["detail"]["why"].to_string();
    assert!(why.contains("the server `stub` has no tool `ecco`"), "{unfit}");
    // Regression: the same files did not start a second time. Others of the kind do not start.
    gateway.stop();
    gateway.run();
    gateway.stop();
    let file = gateway.path("sallyport.yaml");
    let yaml = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, yaml.replace("stub__ecco", "stub__eccho")).expect("written");
    let output = gateway.output(&["serve", "--ready-json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn the_short_rules_of_the_page_are_rules() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/reference/policy-language.md"
    );
    let page = std::fs::read_to_string(page).expect("the page");
    let yaml = page
        .split("```yaml\n")
        .filter_map(|rest| rest.split("```").next())
        .find(|yaml| yaml.starts_with("policy:"));
    let gateway = Gateway::configured(yaml.expect("an example"));
    let output = gateway.output(&["policy", "check"]);
    assert!(output.status.success(), "{output:?}");
    let shown = gateway.output(&["policy", "show"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for rule in ["policy.allow[1]", "policy.forbid[0]", "policy.require[2]"] {
        assert!(shown.contains(&format!("@id(\"{rule}\")")), "{rule}: {shown}");
    }
}

/// A purpose limits what may be asked for, whatever else is allowed; and who declares it, it alone.
// CONTROL: purpose
#[test]
fn a_declared_purpose_covers_what_it_says_and_nothing_else() {
    let stub = program("e2e-stub");
    let gateway = Gateway::start(&format!(
        "mcpServers:\n\
         \x20 stub: {{ command: {stub:?}, args: [stdio], tools: {{ echo: {{ sink: read }}, ask: {{ sink: egress }} }} }}\n\
         \x20 phi: {{ command: {stub:?}, args: [stdio], labels: {{ categories: [phi] }}, tools: {{ \"*\": {{ sink: read }} }} }}\n\
         approve: all\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester], purposes: [payment, care] }} ]\n\
         purposes:\n\
         \x20 - {{ name: payment, tools: [ stub__*, \"server:phi\" ], sinks: [read], categories: [] }}\n\
         \x20 - {{ name: care, tools: [ \"server:phi\" ], categories: [phi] }}\n\
         policy: {{ packs: [baseline], allow: [ \"role:tester on stub__*, phi__*\" ] }}\n"
    ));
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let call = |purpose: Option<&str>, tool: &str| {
        let mut meta = e2e::mcp::own_meta();
        if let Some(purpose) = purpose {
            meta["io.sallyport/context"] = json!({"purpose": purpose});
        }
        let params = json!({"name": tool, "arguments": {"text": "x"}, "_meta": meta});
        client
            .request("tools/call", Some(tool), params)
            .expect("an answer")
    };
    for (purpose, tool, good) in [
        (None, "stub__ask", true),
        (Some("payment"), "stub__echo", true),
        (Some("payment"), "stub__ask", false),
        (Some("payment"), "stub__keep", false),
        (Some("payment"), "phi__echo", false),
        (Some("care"), "phi__echo", true),
        (Some("care"), "stub__echo", false),
        (Some("marketing"), "stub__echo", false),
    ] {
        let answer = call(purpose, tool);
        assert_eq!(answer.is_good(), good, "{tool} for {purpose:?}: {answer:?}");
        if !good && purpose != Some("marketing") {
            let said = answer.body.to_string();
            // What no call could be made of under this purpose is as if it were not there.
            assert!(
                said.contains("does not cover this") || said.contains("unknown"),
                "{said}"
            );
        }
    }
    let ledger = gateway.ledger();
    let by = |rule: &str| {
        let rules = ledger.iter().map(|entry| entry["rules"].to_string());
        rules.filter(|rules| rules.contains(rule)).count()
    };
    assert_eq!((by("purposes.payment"), by("purposes.care")), (3, 1));
    for bad in ["tools: []", "tools: [stub]", "sinks: [fly]"] {
        let other = Gateway::configured(&format!("purposes: [ {{ name: care, {bad} }} ]\n"));
        let output = other.output(&["policy", "check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(2) && said.contains("purposes.care"),
            "{bad}: {said}"
        );
    }
}
