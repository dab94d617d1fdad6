//! Policy before it is in force: the newcomer's path of `docs/first-policy.md`, command by command, and what
//! each command says of good and bad rules.

use std::{fs, process::Output};

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
                    told.contains("stub__journal") && told.contains("for all arguments"),
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

#[test]
fn a_change_of_the_files_is_in_force_within_five_seconds_and_a_bad_one_never() {
    let yaml = format!(
        "mcpServers: {{ stub: {{ command: {:?}, args: [stdio] }} }}\n{}",
        program("e2e-stub"),
        "approve: all\nagents: [ { name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] } ]\n\
         policy: { packs: [baseline], files: [rules.cedar] }\n"
    );
    let mut gateway = Gateway::configured(&yaml);
    let open = "permit(principal in Role::\"tester\", action, resource);";
    let rules = gateway.path("rules.cedar");
    fs::write(&rules, open).expect("rules");
    gateway.run();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let echo = || {
        client
            .call("stub__echo", &json!({"text": "x"}))
            .expect("an answer")
            .is_good()
    };
    assert!(echo());

    // Under load: what any call was decided by is one whole set of rules, the old or the new.
    let load = {
        let client = client.clone();
        std::thread::spawn(move || {
            let calls = (0..150).map(|_| client.call("stub__echo", &json!({"text": "x"})));
            calls
                .filter_map(Result::ok)
                .filter(|answer| !answer.is_good())
                .count()
        })
    };
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::write(
        &rules,
        format!("{open}\n@id(\"closed\") forbid(principal, action == Action::\"invoke\", resource);"),
    )
    .expect("rules");
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert!(!echo(), "revoked within five seconds");
    let _ = load.join().expect("the load ends");

    fs::write(&rules, "permit(principal, action, resource").expect("rules");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(!echo(), "the old rules stay");
    fs::write(&rules, open).expect("rules");
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert!(echo());

    let ledger = gateway.ledger();
    let of = |kind: &'static str, action: &'static str| {
        let found = move |entry: &&Value| entry["kind"] == json!(kind) && entry["action"] == json!(action);
        ledger.iter().filter(found).cloned().collect::<Vec<Value>>()
    };
    let rejected = of("policy", "rejected");
    let why = rejected.first().expect("recorded")["detail"]["why"].clone();
    assert!(
        why.as_str().is_some_and(|why| why.contains("rules.cedar:1")),
        "{why}"
    );
    let digests: Vec<Value> = of("policy", "in-force")
        .iter()
        .map(|entry| entry["detail"]["policy"].clone())
        .collect();
    assert_eq!(digests.len(), 3, "{digests:?}");
    // Every decision names the rules that made it, and they said what they say.
    for entry in &ledger {
        if entry["tool"] != json!("echo") || entry["stage"] == json!("forward") {
            continue;
        }
        match entry["kind"].as_str() {
            Some("intent") => assert_eq!(entry["policy"], digests[0], "{entry}"),
            Some("refusal") => assert_eq!(entry["policy"], digests[1], "{entry}"),
            _ => {}
        }
    }
}
