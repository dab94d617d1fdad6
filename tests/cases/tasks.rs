//! Tasks: whoever's call made one may ask for it, and nobody else, whatever the server says.

use e2e::{
    alone::Alone,
    gateway::{Gateway, OPEN_TO_TESTER},
    wires::{Answer, Http, Modern, call},
};
use serde_json::{Value, json};

/// A gateway before this server, with two agents that may do the same. Rules that demand something of answers
/// withhold tasks, so there are none.
fn start(server: &Alone) -> Gateway {
    let yaml = format!(
        "mcpServers: {{ alone: {{ url: {:?} }} }}\n{OPEN_TO_TESTER}",
        server.url()
    );
    let other = "agents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }, ";
    Gateway::start(&yaml.replace("agents: [ ", other).replace("[baseline]", "[]"))
}

fn url(gateway: &Gateway) -> String {
    format!("{}/mcp/alone", gateway.base())
}

/// The same, and this rule.
fn start_with(server: &Alone, rule: &str) -> Gateway {
    let yaml = format!(
        "mcpServers: {{ alone: {{ url: {:?} }} }}\n{OPEN_TO_TESTER}",
        server.url()
    );
    let rules = format!("rules: [ {rule:?}, ");
    Gateway::start(&yaml.replace("[baseline]", "[]").replace("rules: [ ", &rules))
}

/// The same answer for what is somebody else's and for what never was.
fn is_refused(answer: &Answer) {
    let said = answer.json();
    assert_eq!(said["error"]["code"], json!(-32602), "{answer:?}");
    assert_eq!(
        said["error"]["data"]["code"],
        json!("target-unknown"),
        "{answer:?}"
    );
    assert!(!answer.text.contains("mine alone"), "{answer:?}");
}

#[test]
fn in_sessions_a_task_is_its_makers_alone() {
    let server = Alone::of_sessions();
    let gateway = start(&server);
    let session = |agent: &str| {
        let mut session = Http::new(&url(&gateway), &gateway.token_at(agent, "/mcp/alone"));
        let opened = session.open("2025-11-25");
        let tasks = &opened["result"]["capabilities"]["tasks"];
        assert!(tasks["requests"]["tools"]["call"].is_object(), "{opened}");
        session
    };
    let (mine, theirs) = (session("tester"), session("other"));
    let about = |session: &Http, method: &str, params: &Value| {
        session.post(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
    };
    let begin = |session: &Http, text: &str| {
        let mut message = call(1, "echo", &json!({"text": text}));
        message["params"]["task"] = json!({"ttl": 60_000});
        let made = session.post(&message).json();
        made["result"]["task"]["taskId"]
            .as_str()
            .unwrap_or_else(|| panic!("{made}"))
            .to_owned()
    };
    let (my_task, their_task) = (begin(&mine, "mine alone"), begin(&theirs, "theirs"));
    assert_ne!(my_task, their_task);
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        for task in [my_task.as_str(), "task-77"] {
            is_refused(&about(&theirs, method, &json!({"taskId": task})));
        }
        let answer = about(&mine, method, &json!({"taskId": my_task}));
        assert!(answer.json()["result"].is_object(), "{answer:?}");
        assert_eq!(
            answer.text.contains("mine alone"),
            method == "tasks/result",
            "{answer:?}"
        );
    }
    // The server lists both for everybody.
    for (session, own) in [(&mine, &my_task), (&theirs, &their_task)] {
        let listed = about(session, "tasks/list", &json!({})).json();
        let tasks = listed["result"]["tasks"].as_array().expect("a list");
        let ids: Vec<&Value> = tasks.iter().map(|task| &task["taskId"]).collect();
        assert_eq!(ids, [&json!(own)], "{listed}");
    }
    // Another session of the same agent is the same agent.
    let answer = about(&session("tester"), "tasks/result", &json!({"taskId": my_task}));
    assert!(answer.text.contains("mine alone"), "{answer:?}");
    let refused = gateway.ledger();
    let refused = refused.iter().filter(|entry| entry["kind"] == json!("refusal"));
    assert_eq!(refused.count(), 6);
}

#[test]
fn in_the_modern_era_a_task_is_its_makers_alone() {
    const TASKS: &str = "io.modelcontextprotocol/tasks";
    let server = Alone::start();
    let gateway = start(&server);
    let client = |agent: &str| {
        let mut client = Modern::new(&url(&gateway), &gateway.token_at(agent, "/mcp/alone"));
        client.capabilities = json!({"extensions": {TASKS: {}}});
        client
    };
    let (mut mine, theirs) = (client("tester"), client("other"));
    let made = mine
        .call(1, "start", &json!({"text": "mine alone"}), &json!({}))
        .json();
    assert_eq!(made["result"]["resultType"], json!("task"), "{made}");
    let task = made["result"]["taskId"].as_str().expect("a task");
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        is_refused(&theirs.about_task(2, method, task));
        is_refused(&theirs.about_task(3, method, "task-77"));
        let answer = mine.about_task(4, method, task);
        assert_eq!(
            answer.json()["result"]["resultType"],
            json!("complete"),
            "{answer:?}"
        );
        assert_eq!(
            answer.text.contains("mine alone"),
            method == "tasks/get",
            "{answer:?}"
        );
    }
    // Whoever did not say that it knows tasks is told so, even of its own.
    mine.capabilities = json!({});
    let answer = mine.about_task(5, "tasks/get", task);
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (400, &json!(-32021)),
        "{answer:?}"
    );
}

#[test]
fn what_rules_withhold_of_a_tool_is_not_had_by_its_tasks() {
    let server = Alone::of_sessions();
    let about = |session: &Http, method: &str, params: &Value| {
        session.post(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
    };
    let begun = |rule: &str| {
        let gateway = start_with(&server, rule);
        let mut session = Http::new(&url(&gateway), &gateway.token_at("tester", "/mcp/alone"));
        session.open("2025-11-25");
        let mut message = call(1, "echo", &json!({"text": "mine alone"}));
        message["params"]["task"] = json!({});
        let made = session.post(&message).json();
        (gateway, session, made)
    };
    // The answer that says that there is a task is withheld: then there is none, whatever the server lists.
    let release = r#"forbid(principal, action == Action::"release", resource == Tool::"alone__echo");"#;
    let (_gateway, session, made) = begun(release);
    assert_eq!(made["result"]["isError"], json!(true), "{made}");
    let listed = about(&session, "tasks/list", &json!({})).json();
    assert_eq!(listed["result"]["tasks"], json!([]), "{listed}");
    is_refused(&about(&session, "tasks/result", &json!({"taskId": "task-1"})));

    // What a task comes to is judged by its tool.
    let asking = r#"forbid(principal, action == Action::"task", resource == Tool::"alone__echo");"#;
    let (gateway, session, made) = begun(asking);
    let task = made["result"]["task"]["taskId"]
        .as_str()
        .unwrap_or_else(|| panic!("{made}"));
    is_refused(&about(&session, "tasks/result", &json!({"taskId": task})));
    // Not for want of a task: by the rule.
    let entries = gateway.ledger();
    let last = entries.iter().rfind(|entry| entry["kind"] == json!("refusal"));
    let rules = last.map(|entry| &entry["rules"]);
    assert_eq!(rules, Some(&json!(["policy.rules[0]"])), "{last:?}");
}
