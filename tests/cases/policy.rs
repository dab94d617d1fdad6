//! Policy before it is in force: the newcomer's path of `docs/first-policy.md`, command by command, and what
//! each command says of good and bad rules.

use std::{
    fs,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    gateway::{Gateway, program},
    mcp::Client,
};
use serde_json::{Value, json};

/// The page, and the commands on it in their order.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/first-policy.md");

fn blocks(page: &str, kind: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(said)) => open = Some((said == kind, String::new())),
            (Some((wanted, text)), Some(_)) => {
                if *wanted {
                    found.push(text.clone());
                }
                open = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn call(gateway: &Gateway, tool: &str, arguments: &Value) -> e2e::mcp::Answer {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    client.call(tool, arguments).expect("an answer")
}

#[test]
fn the_newcomers_path_works_as_the_page_says() {
    let page = fs::read_to_string(PAGE).expect("the page");
    let yaml = blocks(&page, "yaml");
    let commands: Vec<String> = blocks(&page, "")
        .iter()
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut gateway = Gateway::configured(&yaml[0]);
    let stub = program("e2e-stub");
    let servers = json!({"mcpServers": {"stub": {"command": stub, "args": ["stdio"]}}});
    fs::write(gateway.path("mcp.json"), servers.to_string()).expect("a client's file");
    fs::write(gateway.path("rules.cedar"), "").expect("no rules yet");
    fs::write(gateway.path("cases.yaml"), &yaml[1]).expect("cases");
    let next = "permit(principal == Agent::\"tester\", action == Action::\"invoke\", resource);";
    fs::write(gateway.path("next.cedar"), next).expect("other rules");
    let mut serves = 0;
    for line in &commands {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let path = |name: &str| gateway.path(name).display().to_string();
        match words.as_slice() {
            ["import", file, yes] => {
                let output = gateway.output(&["import", &path(file), yes]);
                assert!(output.status.success(), "{output:?}");
            }
            ["serve"] if serves == 0 => {
                serves += 1;
                gateway.run();
                assert!(call(&gateway, "stub__echo", &json!({"text": "hello"})).is_good());
            }
            ["serve"] => {
                gateway.stop();
                let file = gateway.path("sallyport.yaml");
                let said = fs::read_to_string(&file).expect("a configuration");
                fs::write(&file, said.replace("mode: observe", "mode: enforce")).expect("written");
                gateway.run();
                assert!(call(&gateway, "stub__echo", &json!({"text": "hello"})).is_good());
                assert!(!call(&gateway, "stub__journal", &json!({})).is_good());
            }
            ["policy", "suggest"] => {
                let rules = text(&gateway.output(&words));
                assert!(
                    rules.contains("Tool::\"stub__echo\"") && !rules.contains("journal"),
                    "{rules}"
                );
                fs::write(gateway.path("rules.cedar"), rules).expect("rules");
            }
            ["policy", "check"] => assert!(text(&gateway.output(&words)).contains("rules")),
            ["policy", "replay", "--ledger"] => {
                let told = text(&gateway.output(&words));
                assert!(
                    told.contains("refuse -> permit") && told.contains("tester"),
                    "{told}"
                );
            }
            ["policy", "explain", ..] => {
                assert!(text(&gateway.output(&words)).starts_with("refuse"));
            }
            ["policy", "matrix"] => {
                let table = text(&gateway.output(&words));
                assert!(table.contains("tester | invoke stub__echo | - | yes"), "{table}");
                assert!(
                    table.contains("tester | invoke stub__journal | - | no"),
                    "{table}"
                );
                fs::write(gateway.path("matrix.txt"), &table).expect("a table");
                let check = |rules: &[&str]| {
                    let table = path("matrix.txt");
                    gateway.output(&[&["policy", "matrix", "--check", &table], rules].concat())
                };
                assert_eq!(check(&[]).status.code(), Some(0));
                let other = check(&[&path("next.cedar")]);
                assert_eq!(other.status.code(), Some(1));
                let other = String::from_utf8_lossy(&other.stdout).into_owned();
                assert!(
                    other.contains("+ tester | invoke stub__journal | - | yes"),
                    "{other}"
                );
            }
            ["policy", "test", file] => {
                assert!(
                    text(&gateway.output(&["policy", "test", &path(file)])).contains("ok    nothing else")
                );
                let under = gateway.output(&["policy", "test", &path(file), "--rules", &path("next.cedar")]);
                assert_eq!(under.status.code(), Some(1));
                let told = String::from_utf8_lossy(&under.stdout).into_owned();
                assert!(
                    told.contains("WRONG nothing else: expected refuse, is permit"),
                    "{told}"
                );
            }
            ["policy", "diff", file] => {
                let output = gateway.output(&["policy", "diff", &path(file)]);
                assert_eq!(output.status.code(), Some(1), "{output:?}");
                let told = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    told.contains("stub__journal") && told.contains("refused before, permitted now"),
                    "{told}"
                );
                assert!(!told.contains("stub__echo"), "{told}");
                let same = gateway.output(&["policy", "diff", &path("rules.cedar")]);
                assert_eq!(same.status.code(), Some(0), "{same:?}");
            }
            other => panic!("the page has a command this test does not know: {other:?}"),
        }
    }
    assert_eq!(commands.len(), 10, "{commands:?}");
}

#[test]
fn what_a_change_grants_is_found_where_it_hides_behind_an_argument() {
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {:?}, args: [stdio] }} }}\n{}",
        program("e2e-stub"),
        r#"
approve: all
agents: [ { name: tester, secret: "env:TESTER_SECRET", roles: [tester] } ]
policy:
  packs: [baseline]
  rules:
    - 'permit(principal in Role::"tester", action == Action::"invoke", resource == Tool::"stub__echo") when { context.args.text == "a" };'
"#
    ));
    let file = gateway.path("next.cedar");
    let diff = |rules: &str| {
        fs::write(&file, rules).expect("rules");
        gateway.output(&["policy", "diff", &file.display().to_string()])
    };
    let head =
        r#"permit(principal in Role::"tester", action == Action::"invoke", resource == Tool::"stub__echo")"#;
    let wider = diff(&format!(
        "{head} when {{ context.args.text == \"a\" || context.args.text == \"zebra\" }};"
    ));
    let told = String::from_utf8_lossy(&wider.stdout).into_owned();
    assert_eq!(wider.status.code(), Some(1), "{told}");
    assert!(
        told.contains("found at boundary values") && told.contains("zebra"),
        "{told}"
    );
    let narrower = diff(&format!("{head} when {{ context.args.text == \"a\" && false }};"));
    assert_eq!(narrower.status.code(), Some(0), "{narrower:?}");
    let wrong = diff("permit(principal, action == Action::\"fly\", resource);");
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let why = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(why.contains("next.cedar:1"), "{why}");
}

/// Waits for something that must come about; the deadline is there for machines that are busy.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "it did not come about: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn entries(gateway: &Gateway, kind: &str, action: &str) -> Vec<Value> {
    let mut ledger = gateway.ledger();
    ledger.retain(|entry| entry["kind"] == json!(kind) && entry["action"] == json!(action));
    ledger
}

const OPEN: &str = "permit(principal in Role::\"tester\", action, resource);";
const CLOSED: &str = "@id(\"closed\") forbid(principal, action == Action::\"invoke\", resource);";

/// A gateway whose rules are in the file `rules.cedar`.
fn following(agents: &str) -> Gateway {
    let stub = program("e2e-stub");
    let mut gateway = Gateway::configured(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\napprove: all\nagents: [ {agents} ]\n\
         policy: {{ packs: [baseline], files: [rules.cedar] }}\n"
    ));
    fs::write(gateway.path("rules.cedar"), OPEN).expect("rules");
    gateway.run();
    gateway
}

const TESTER: &str = "{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }";

// CONTROL: accountability change
#[test]
fn a_change_of_the_rules_comes_into_force_whole_while_calls_go_on() {
    let gateway = following(TESTER);
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let echo = move || {
        let answer = client.call("stub__echo", &json!({"text": "x"}));
        answer.expect("an answer").is_good()
    };
    assert!(echo());
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (stop, echo) = (Arc::clone(&stop), echo.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                echo();
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let rules = gateway.path("rules.cedar");
    // An editor that takes its time: half of a file may be good rules without the last `forbid`.
    fs::write(&rules, "").expect("rules");
    std::thread::sleep(Duration::from_millis(300));
    fs::write(&rules, format!("{OPEN}\n{CLOSED}")).expect("rules");
    until("the call is refused", || !echo());
    fs::write(&rules, OPEN).expect("rules");
    until("the call is permitted again", &echo);
    stop.store(true, Ordering::Relaxed);
    load.join().expect("the load ends");

    let in_force = entries(&gateway, "policy", "in-force");
    let digests: Vec<&Value> = in_force.iter().map(|entry| &entry["detail"]["policy"]).collect();
    assert_eq!(digests.len(), 3, "{digests:?}");
    assert_eq!(digests[0], digests[2], "{digests:?}");
    // Every decision names the rules that made it, and they said what they say.
    let ledger = gateway.ledger();
    let calls = ledger.iter().filter(|entry| entry["tool"] == json!("echo"));
    for entry in calls.filter(|entry| entry["stage"] != json!("forward")) {
        match entry["kind"].as_str() {
            Some("intent") => assert_eq!(&entry["policy"], digests[0], "{entry}"),
            Some("refusal") => assert_eq!(&entry["policy"], digests[1], "{entry}"),
            _ => {}
        }
    }
}

#[test]
fn rules_with_a_mistake_change_nothing_and_are_recorded() {
    let gateway = following(TESTER);
    let rules = gateway.path("rules.cedar");
    let refused = || !call(&gateway, "stub__echo", &json!({"text": "x"})).is_good();
    fs::write(&rules, format!("{OPEN}\n{CLOSED}")).expect("rules");
    until("the call is refused", refused);
    let unusable = [
        "permit(principal, action, resource",
        "permit(principal, action == Action::\"fly\", resource);",
        "permit(principal, action, resource) when { context.nothing == 1 };",
    ];
    for (n, bad) in unusable.iter().enumerate() {
        fs::write(&rules, bad).expect("rules");
        until("it is recorded", || {
            entries(&gateway, "policy", "rejected").len() == n + 1
        });
        assert!(refused(), "{bad}");
        let rejected = entries(&gateway, "policy", "rejected");
        let why = rejected[n]["detail"]["why"].as_str().unwrap_or_default();
        assert!(why.contains("rules.cedar:1"), "{why}");
    }
    // A file that is gone is no file without rules.
    fs::remove_file(&rules).expect("removed");
    std::thread::sleep(Duration::from_secs(4));
    assert!(refused());
    fs::write(&rules, OPEN).expect("rules");
    until("good rules come into force", || !refused());
    assert_eq!(entries(&gateway, "policy", "rejected").len(), unusable.len() + 1);
    let in_force = entries(&gateway, "policy", "in-force");
    assert_eq!(in_force.len(), 3, "{in_force:?}");
    for rejected in entries(&gateway, "policy", "rejected") {
        assert_eq!(rejected["detail"]["stays"], in_force[1]["detail"]["policy"]);
    }
}

/// The bug: a configuration of 0 bytes was a change like any other. Everybody was thrown out, without a word, and their
/// tokens stayed dead when the file was back.
#[test]
fn a_file_that_was_emptied_changes_nothing_and_is_told() {
    let mut gateway = following(TESTER).logging_to("complaints");
    gateway.stop();
    gateway.run();
    let (config, rules) = (gateway.path("sallyport.yaml"), gateway.path("rules.cedar"));
    let text = fs::read_to_string(&config).expect("a configuration");
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let good = || {
        let answer = client.call("stub__echo", &json!({"text": "x"}));
        answer.is_ok_and(|answer| answer.is_good())
    };
    let told = || {
        let complaints = fs::read_to_string(gateway.path("complaints")).expect("a log");
        complaints.matches("nothing stands in it any more").count()
    };
    assert!(good());
    for (n, empty) in ["", " \n# but a comment\n---\n"].iter().enumerate() {
        fs::write(&config, empty).expect("written");
        until("it is told", || told() == n + 1);
        assert!(good(), "{empty:?}");
    }
    fs::write(&config, &text).expect("written");
    // Rules as well: with them every `forbid` of the file would be gone.
    fs::write(&rules, "\n").expect("written");
    until("it is told", || told() == 3);
    assert!(good());
    fs::write(&rules, format!("{OPEN}\n{CLOSED}")).expect("written");
    until("the rules that came back are in force", || !good());
    fs::write(&rules, OPEN).expect("written");
    until("so is the token that was given before", good);
    let rejected = entries(&gateway, "policy", "rejected");
    assert_eq!(rejected.len(), 3, "{rejected:?}");
}

/// The bug: what takes a restart was ignored without a word, beside what is followed within seconds.
#[test]
fn what_waits_for_a_restart_is_told_once_for_each_change() {
    let mut gateway = following(TESTER).logging_to("complaints");
    gateway.stop();
    gateway.run();
    let config = gateway.path("sallyport.yaml");
    let text = fs::read_to_string(&config).expect("a configuration");
    let told = || -> Vec<String> {
        let waits = entries(&gateway, "configuration", "waits-for-restart");
        let keys = waits.iter().filter_map(|entry| entry["detail"]["keys"].as_str());
        keys.map(str::to_owned).collect()
    };
    let observing = format!("{text}mode: observe\n");
    fs::write(&config, &observing).expect("written");
    until("it is told", || told() == ["mode"]);
    let more = format!("{observing}limits: {{ default: {{ rate: 1/min }} }}\n")
        .replace("args: [stdio]", "args: [stdio], trust: trusted");
    fs::write(&config, &more).expect("written");
    let all = "limits.default, mcpServers.stub, mode";
    until("the change after it is told", || told() == ["mode", all]);
    // What is followed says no more of what waits.
    let other = "{ name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }";
    fs::write(&config, more.replace(TESTER, &format!("{TESTER}, {other}"))).expect("written");
    until("the agent is there", || {
        let listed = gateway.json(&["agent", "list"]);
        listed[0]["agents"]
            .as_array()
            .is_some_and(|agents| agents.len() == 2)
    });
    assert_eq!(told(), ["mode", all]);
    let complaints = fs::read_to_string(gateway.path("complaints")).expect("a log");
    assert_eq!(
        complaints.matches("waits for a restart").count(),
        2,
        "{complaints}"
    );
    assert!(complaints.contains(all), "{complaints}");
}

#[test]
fn agents_come_and_go_with_the_configuration_and_the_revoked_stay_away() {
    let other = "{ name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }";
    let third = "{ name: third, secret: \"env:TESTER_SECRET\", roles: [tester] }";
    let gateway = following(&format!("{TESTER}, {other}"));
    let names = || -> Vec<String> {
        let listed = gateway.json(&["agent", "list"]);
        let agents = listed[0]["agents"].as_array().expect("agents").iter();
        let names = agents.filter_map(|agent| agent["name"].as_str());
        names.map(str::to_owned).collect()
    };
    let with = |token: &str| Client::new(format!("{}/mcp", gateway.base()), Some(token.to_owned()));
    let good = |client: &Client| {
        let answer = client.call("stub__echo", &json!({"text": "x"}));
        answer.is_ok_and(|answer| answer.is_good())
    };
    let (tester, revoked) = (with(&gateway.token()), with(&gateway.token_of("other")));
    assert!(good(&tester) && good(&revoked));
    assert!(gateway.output(&["agent", "revoke", "other"]).status.success());
    assert!(!good(&revoked));
    // The configuration still names it, and is read again.
    let file = gateway.path("sallyport.yaml");
    let said = fs::read_to_string(&file).expect("a configuration");
    fs::write(&file, said.replace(other, &format!("{other}, {third}"))).expect("written");
    until("the third is there", || names().contains(&"third".to_owned()));
    assert!(!names().contains(&"other".to_owned()), "{:?}", names());
    assert!(
        !good(&revoked),
        "a revoked agent came back with the configuration"
    );
    // Who is taken out has no use of a token any more.
    assert!(good(&tester));
    fs::write(&file, said.replace(&format!("{TESTER}, {other}"), third)).expect("written");
    until("the tester is gone", || !good(&tester));
    assert_eq!(names(), ["third"]);
}

#[test]
fn a_case_that_is_misspelt_does_not_pass() {
    let gateway = following(TESTER);
    let file = gateway.path("cases.yaml");
    let judged = |case: &str| {
        fs::write(&file, format!("- {{ name: it, {case} }}")).expect("a case");
        let output = gateway.output(&["policy", "test", &file.display().to_string()]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let refused = "agent: tester, expect: refuse";
    for (case, why) in [
        (format!("{refused}, tool: stub"), "full name"),
        (format!("{refused}, tool: nowhere__echo"), "no server `nowhere`"),
        (
            "agent: nobody, tool: stub__echo, expect: refuse".to_owned(),
            "no agent `nobody`",
        ),
        (
            "agent: tester, tool: stub__echo".to_owned(),
            "`expect` is missing",
        ),
        (
            format!("{refused}, tool: stub__echo, finding: [secret]"),
            "no `finding`",
        ),
        (
            format!("{refused}, tool: stub__echo, findings: secret"),
            "list of texts",
        ),
        (
            format!("{refused}, tool: stub__echo, findings: [secrets]"),
            "`secrets`",
        ),
        (format!("{refused}, tool: stub__echo, sources: [web]"), "`web`"),
        (
            format!("{refused}, tool: stub__echo, labels: {{ integrity: bad }}"),
            "`bad`",
        ),
        (format!("{refused}, tool: stub__echo, args: [1]"), "`args`"),
        (format!("{refused}, tool: stub__echo, purpose: 7"), "`purpose`"),
    ] {
        let (code, said) = judged(&case);
        assert_eq!(code, Some(2), "{case}: {said}");
        assert!(said.contains(why), "{case}: {said}");
    }
    // A secret in a text, untrusted content behind an argument: the pack has a word to say.
    for (case, code, says) in [
        ("tool: stub__echo, expect: permit", 0, "ok    it"),
        ("tool: stub__nothing, expect: permit", 0, "never seen"),
        (
            "tool: stub__echo, expect: refuse, rule: baseline.secret, findings: [secret], \
             labels: { integrity: untrusted }",
            0,
            "ok    it",
        ),
        (
            "tool: stub__echo, expect: hold, rule: baseline.puppet-unknown, sources: [stub__recall]",
            0,
            "ok    it",
        ),
        (
            "tool: stub__echo, expect: hold, rule: baseline.trifecta, sources: [stub__recall]",
            1,
            "not by baseline.trifecta",
        ),
    ] {
        let (is, said) = judged(&format!("agent: tester, {case}"));
        assert_eq!(is, Some(code), "{case}: {said}");
        assert!(said.contains(says), "{case}: {said}");
    }
}

#[test]
fn rules_that_have_a_version_never_go_back() {
    let mut gateway = following(TESTER);
    let file = gateway.path("sallyport.yaml");
    let said = fs::read_to_string(&file).expect("a configuration");
    let version = |number: u64| said.replace("policy: {", &format!("policy: {{ version: {number},"));
    let count = |action: &str, gateway: &Gateway| entries(gateway, "policy", action).len();
    fs::write(&file, version(7)).expect("written");
    let rules = gateway.path("rules.cedar");
    let good = |gateway: &Gateway| call(gateway, "stub__echo", &json!({"text": "x"})).is_good();
    fs::write(&rules, format!("{OPEN}\n{CLOSED}")).expect("rules");
    until("version 7 is in force", || !good(&gateway));
    // Other rules under the same version, an older version, and none.
    fs::write(&rules, OPEN).expect("rules");
    until("other rules are refused", || count("rejected", &gateway) == 1);
    for (n, back) in [version(6), said.clone()].iter().enumerate() {
        fs::write(&file, back).expect("written");
        until("it is refused", || count("rejected", &gateway) == n + 2);
    }
    assert!(!good(&gateway), "rules went back");
    let why: Vec<String> = entries(&gateway, "policy", "rejected")
        .iter()
        .map(|entry| entry["detail"]["why"].to_string())
        .collect();
    for (why, says) in why.iter().zip([
        "other rules than were in force as 7",
        "6 is older than 7",
        "it is gone",
    ]) {
        assert!(why.contains(says), "{why}");
    }
    // Nor by a restart.
    gateway.stop();
    for back in [version(6), said.clone(), version(7)] {
        fs::write(&file, &back).expect("written");
        let output = gateway.output(&["serve", "--ready-json"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    fs::write(&file, version(8)).expect("written");
    gateway.run();
    assert!(good(&gateway));
}

#[test]
fn what_was_refused_is_not_proposed_as_done() {
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {:?}, args: [stdio] }} }}\n{}",
        program("e2e-stub"),
        r#"
approve: all
agents: [ { name: tester, secret: "env:TESTER_SECRET", roles: [tester] } ]
policy:
  packs: [baseline]
  rules:
    - 'permit(principal in Role::"tester", action == Action::"invoke", resource == Tool::"stub__echo") when { context.args.text == "a" };'
"#
    ));
    gateway.wait_for_servers();
    assert!(call(&gateway, "stub__echo", &json!({"text": "a"})).is_good());
    for (tool, arguments) in [("stub__echo", json!({"text": "b"})), ("stub__journal", json!({}))] {
        assert!(!call(&gateway, tool, &arguments).is_good(), "{tool}");
    }
    let rules = text(&gateway.output(&["policy", "suggest"]));
    assert!(
        rules.contains("Tool::\"stub__echo\"") && rules.contains("Done 1 times"),
        "{rules}"
    );
    assert!(!rules.contains("journal"), "it never ran: {rules}");
    assert!(rules.contains("has no arguments"), "{rules}");
}

/// Regression: agents, users, roles and purposes that nobody knows, and attributes nobody has, passed `policy check`; and an
/// agent was added for a purpose that was never declared.
#[test]
fn what_rules_and_agents_name_that_nobody_knows_is_told() {
    let rules = [
        r#"permit(principal == Agent::"nobody", action, resource);"#,
        r#"permit(principal in Role::"stuff", action, resource) when { context.purpose == "nopurpose" };"#,
        r#"permit(principal == User::"alice", action, resource) when { principal.nosuch == 1 };"#,
        r#"permit(principal in Role::"nurse", action, resource) when { context.purpose == "treatment" };"#,
    ];
    let gateway = Gateway::configured(&format!(
        "approve: all\nusers: [ {{ name: alice, roles: [nurse] }} ]\n\
         purposes: [ {{ name: treatment, description: care }}, {{ name: billing, description: money }} ]\n\
         policy: {{ rules: {} }}\n",
        json!(rules)
    ));
    let known = [
        "there is no agent `nobody`",
        "there is no user or agent in the role `stuff`",
        "there is no purpose `nopurpose`",
        "nobody has the attribute `nosuch`",
    ];
    let warned = |gateway: &Gateway| {
        let checked = gateway.output(&["policy", "check"]);
        assert!(checked.status.success(), "{checked:?}");
        String::from_utf8_lossy(&checked.stderr).into_owned()
    };
    let told = warned(&gateway);
    for what in known {
        assert!(told.contains(what), "{told}");
    }
    assert_eq!(told.matches("warning: ").count(), known.len(), "{told}");
    let checked = gateway.output(&["--json", "policy", "check"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!(checked["warnings"].as_array().map(Vec::len), Some(4), "{checked}");
    assert_eq!(checked["warnings"][0]["what"], json!(known[0]));

    let add = |words: &[&str]| gateway.output(&[&["agent", "add", "nobody"], words].concat());
    let refused = add(&["--purpose", "nope"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(
        why.contains("no purpose `nope`") && why.contains("`billing`, `treatment`"),
        "{why}"
    );
    let added = add(&["--purpose", "treatment", "--role", "stuff"]);
    assert!(added.status.success(), "{added:?}");
    // Whom a command added is known as well.
    let told = warned(&gateway);
    assert_eq!(told.matches("warning: ").count(), 2, "{told}");
}
