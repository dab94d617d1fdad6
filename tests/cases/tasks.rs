//! Tasks: whoever's call made one may ask for it, and nobody else, whatever the server says.

use std::time::{Duration, Instant};

use e2e::{
    alone::Alone,
    gateway::{Gateway, OPEN_TO_TESTER},
    peers,
    wires::{Answer, Http, Modern, call, initialize},
};
use serde_json::{Value, json};

const TASKS: &str = "io.modelcontextprotocol/tasks";

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

/// What a tool said it answers with holds for what its tasks come to, too, in both eras.
#[test]
fn what_a_task_comes_to_is_held_to_the_tools_output_schema() {
    let counted = |count: Value| {
        let structured = json!({"count": count});
        json!({"content": [{"type": "text", "text": structured.to_string()}], "structuredContent": structured})
    };
    let old = Alone::of_sessions();
    let gateway = start(&old);
    let mut session = Http::new(&url(&gateway), &gateway.token_at("tester", "/mcp/alone"));
    session.open("2025-11-25");
    let in_sessions = |text: &str| {
        let mut message = call(1, "count", &json!({"text": text}));
        message["params"]["task"] = json!({});
        let made = session.post(&message).json();
        let task = made["result"]["task"]["taskId"].clone();
        assert!(task.is_string(), "{made}");
        let asked = json!({"jsonrpc": "2.0", "id": 7, "method": "tasks/result", "params": {"taskId": task}});
        session.post(&asked).json()
    };
    let new = Alone::start();
    let modern = start(&new);
    let mut client = Modern::new(&url(&modern), &modern.token_at("tester", "/mcp/alone"));
    client.capabilities = json!({"extensions": {TASKS: {}}});
    let in_the_modern_era = |text: &str| {
        let made = client.call(1, "count", &json!({"text": text}), &json!({})).json();
        let task = made["result"]["taskId"]
            .as_str()
            .unwrap_or_else(|| panic!("{made}"));
        client.about_task(2, "tasks/get", task).json()
    };
    type Ask<'a> = &'a dyn Fn(&str) -> Value;
    for (gateway, ask) in [
        (&gateway, &in_sessions as Ask<'_>),
        (&modern, &in_the_modern_era as Ask<'_>),
    ] {
        let good = ask(&counted(json!(7)).to_string()).to_string();
        assert!(good.contains(r#""structuredContent":{"count":7}"#), "{good}");
        let bad = ask(&counted(json!("seven of them")).to_string()).to_string();
        assert!(!bad.contains("seven of them"), "{bad}");
        let entries = gateway.ledger();
        let last = entries.last().expect("an entry");
        assert_eq!(last["code"], json!("answer-invalid"), "{last}");
        assert_eq!(last["findings"][0]["detector"], json!("schema/invalid"), "{last}");
        // A task that failed need not answer with what it promised.
        let mut failed = counted(json!("none at all"));
        failed["isError"] = json!(true);
        let failed = ask(&failed.to_string()).to_string();
        assert!(failed.contains("none at all"), "{failed}");
    }
}

/// A client of the modern era, which knows tasks and can be asked.
fn modern(gateway: &Gateway, agent: &str, door: &str) -> Modern {
    let url = format!("{}{door}", gateway.base());
    let mut client = Modern::new(&url, &gateway.token_at(agent, door));
    client.capabilities = json!({"extensions": {TASKS: {}}, "elicitation": {}});
    client
}

/// Asks for a task until it is in this state.
fn until(status: &str, ask: impl Fn() -> Answer) -> Value {
    let began = Instant::now();
    loop {
        let answer = ask();
        let result = answer.json()["result"].clone();
        if result["status"] == json!(status) {
            return result;
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "never {status}: {answer:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The reference server, which makes tasks of one of its tools and of nothing else.
fn everything(packs: &str) -> Option<Gateway> {
    let peers = peers::directory()?;
    let server = peers::npm(&peers, "@modelcontextprotocol/server-everything/dist/index.js");
    let (node, rest) = (peers::node(&peers), OPEN_TO_TESTER.replace("[baseline]", packs));
    Some(Gateway::start(&format!(
        "mcpServers: {{ all: {{ command: {node:?}, args: [{server:?}, stdio] }} }}\n{rest}"
    )))
}

#[test]
fn a_modern_client_has_the_tasks_of_a_server_of_sessions_and_answers_what_they_ask() {
    // With rules that demand something of answers: they are asked again when the task is fetched.
    let Some(gateway) = everything("[baseline]") else {
        return;
    };
    // At the door of all servers as well: an id is looked up among the caller's own.
    let client = modern(&gateway, "tester", "/mcp");
    let offered = client.discover();
    assert!(
        offered["result"]["capabilities"]["extensions"][TASKS].is_object(),
        "{offered}"
    );
    let arguments = json!({"topic": "python", "ambiguous": true});
    let made = client
        .call(1, "all__simulate-research-query", &arguments, &json!({}))
        .json();
    let made = &made["result"];
    assert_eq!(made["resultType"], json!("task"), "{made}");
    assert!(made["ttlMs"].is_i64() && made["ttl"].is_null(), "{made}");
    let task = made["taskId"].as_str().expect("a task");
    let asks = until("input_required", || client.about_task(2, "tasks/get", task));
    let questions = asks["inputRequests"]
        .as_object()
        .unwrap_or_else(|| panic!("{asks}"));
    let (key, question) = questions.iter().next().unwrap_or_else(|| panic!("{asks}"));
    assert_eq!(question["method"], json!("elicitation/create"), "{asks}");
    let answers = json!({(key.as_str()): {"action": "accept", "content": {"interpretation": "snake"}}});
    let told = client.about_task_with(
        3,
        "tasks/update",
        &json!({"taskId": task, "inputResponses": answers}),
    );
    assert_eq!(told.json()["result"]["resultType"], json!("complete"), "{told:?}");
    let ended = until("completed", || client.about_task(4, "tasks/get", task));
    let report = ended["result"]["content"][0]["text"].to_string();
    assert!(report.contains("python (snake)"), "{ended}");
    assert!(ended["inputRequests"].is_null(), "{ended}");
}

/// `subscriptions/listen` with `taskIds` (ext-tasks): a stream hears of its client's own tasks, whichever era the server
/// speaks, until they have ended.
#[test]
fn a_stream_hears_of_its_clients_own_tasks_and_of_nobody_elses() {
    let Some(gateway) = everything("[]") else { return };
    let client = modern(&gateway, "tester", "/mcp");
    let arguments = json!({"topic": "python", "ambiguous": true});
    let made = client.call(1, "all__simulate-research-query", &arguments, &json!({}));
    let made = &made.json()["result"];
    let task = made["taskId"].as_str().unwrap_or_else(|| panic!("{made}"));
    let stream = client.listen(&json!(2), &json!({"taskIds": ["of-nobody", task]}));
    let acknowledged = stream.next();
    assert_eq!(
        acknowledged["params"]["notifications"],
        json!({"taskIds": [task]}),
        "{acknowledged}"
    );
    let heard = |status: &str| loop {
        let notice = stream.next();
        if notice["method"] != json!("notifications/tasks") {
            continue;
        }
        let said = &notice["params"];
        assert_eq!(said["taskId"], json!(task), "{notice}");
        assert_eq!(said["_meta"]["io.modelcontextprotocol/subscriptionId"], json!(2));
        if said["status"] == json!(status) {
            return said.clone();
        }
    };
    let asks = heard("input_required");
    let questions = asks["inputRequests"].as_object().expect("questions");
    let (key, _) = questions.iter().next().expect("a question");
    let answers = json!({(key.as_str()): {"action": "accept", "content": {"interpretation": "snake"}}});
    let told = json!({"taskId": task, "inputResponses": answers});
    let told = client.about_task_with(3, "tasks/update", &told);
    assert_eq!(told.json()["result"]["resultType"], json!("complete"), "{told:?}");
    let ended = heard("completed");
    assert!(ended["result"].to_string().contains("python (snake)"), "{ended}");
}

#[test]
fn a_modern_client_without_tasks_gets_what_the_task_comes_to() {
    let Some(gateway) = everything("[]") else { return };
    let mut client = modern(&gateway, "tester", "/mcp");
    client.capabilities = json!({});
    let arguments = json!({"topic": "rivers"});
    let answer = client.call(1, "all__simulate-research-query", &arguments, &json!({}));
    let result = &answer.json()["result"];
    assert_eq!(result["resultType"], json!("complete"), "{answer:?}");
    assert!(
        result["content"][0]["text"]
            .to_string()
            .contains("Research Report: rivers"),
        "{answer:?}"
    );
}

#[test]
fn a_session_has_the_tasks_of_a_modern_server_and_answers_what_they_ask() {
    let server = Alone::start();
    let gateway = start(&server);
    let mut session = Http::new(&url(&gateway), &gateway.token_at("tester", "/mcp/alone"));
    let mut opening = initialize("2025-11-25");
    opening["params"]["capabilities"] = json!({"elicitation": {}});
    let opened = session.open_with(&opening);
    let offered = &opened["result"]["capabilities"]["tasks"];
    assert!(offered["requests"]["tools"]["call"].is_object(), "{opened}");
    assert!(offered["list"].is_null(), "{opened}");
    let request =
        |method: &str, params: &Value| json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let tools = session.post(&request("tools/list", &json!({}))).json();
    let supports = tools["result"]["tools"].as_array().expect("a list").iter();
    assert!(
        supports
            .clone()
            .all(|tool| tool["execution"]["taskSupport"] == json!("optional")),
        "{tools}"
    );
    // Who asks for none gets none.
    let plain = session.post(&call(1, "meta", &json!({}))).json();
    assert!(!plain.to_string().contains(TASKS), "{plain}");

    let mut message = call(1, "start", &json!({"text": "ask"}));
    message["params"]["task"] = json!({"ttl": 60_000});
    let made = session.post(&message).json();
    let made = &made["result"]["task"];
    assert!(
        made.as_object().is_some_and(|made| made.contains_key("ttl")),
        "{made}"
    );
    let about = json!({"taskId": made["taskId"]});
    let got = session.post(&request("tasks/get", &about)).json();
    assert_eq!(got["result"]["status"], json!("input_required"), "{got}");
    assert!(
        got["result"]["inputRequests"].is_null(),
        "a session is asked by requests: {got}"
    );

    let heard = session.post_and_hear(&request("tasks/result", &about));
    let question = heard.next();
    assert_eq!(question["method"], json!("elicitation/create"), "{question}");
    let said = json!({"action": "accept", "content": {"name": "Ada"}});
    let answered = session.post(&json!({"jsonrpc": "2.0", "id": question["id"], "result": said}));
    assert_eq!(answered.status, 202, "{answered:?}");
    let ended = heard.next();
    assert!(
        ended["result"]["content"][0]["text"].to_string().contains("Ada"),
        "{ended}"
    );
    let related = &ended["result"]["_meta"]["io.modelcontextprotocol/related-task"];
    assert_eq!(related, &about, "{ended}");
    let listed = session.post(&request("tasks/list", &json!({}))).json();
    assert_eq!(listed["error"]["code"], json!(-32601), "{listed}");
    let cancelled = session.post(&request("tasks/cancel", &about)).json();
    assert_eq!(cancelled["result"]["taskId"], about["taskId"], "{cancelled}");
}

#[test]
fn what_a_task_asks_is_decided_question_by_question() {
    let server = Alone::start();
    let asked = |gateway: &Gateway| {
        let client = modern(gateway, "tester", "/mcp/alone");
        let made = client
            .call(1, "start", &json!({"text": "ask"}), &json!({}))
            .json();
        let task = made["result"]["taskId"].as_str().expect("a task").to_owned();
        (client.about_task(2, "tasks/get", &task).json(), client, task)
    };
    let gateway = start(&server);
    let (asks, client, task) = asked(&gateway);
    assert_eq!(
        asks["result"]["inputRequests"]["who"]["method"],
        json!("elicitation/create"),
        "{asks}"
    );
    // Asked again, it is the same question; an answer to nothing that was asked goes nowhere.
    let again = client.about_task(3, "tasks/get", &task).json();
    assert_eq!(again["result"]["inputRequests"], asks["result"]["inputRequests"]);
    let answer = |name: &str| {
        let said = json!({(name): {"action": "accept", "content": {"name": "Ada"}}});
        client.about_task_with(
            4,
            "tasks/update",
            &json!({"taskId": task, "inputResponses": said}),
        )
    };
    answer("whose");
    until("input_required", || client.about_task(5, "tasks/get", &task));
    answer("who");
    let ended = until("completed", || client.about_task(6, "tasks/get", &task));
    assert!(
        ended["result"]["content"][0]["text"].to_string().contains("Ada"),
        "{ended}"
    );

    // By a rule nobody is asked: the task is told that the question was cancelled.
    let gateway = start_with(
        &server,
        r#"forbid(principal, action == Action::"elicit", resource);"#,
    );
    let (asks, client, task) = asked(&gateway);
    assert!(asks["result"]["inputRequests"].is_null(), "{asks}");
    let ended = until("completed", || client.about_task(6, "tasks/get", &task));
    assert!(
        ended["result"]["content"][0]["text"]
            .to_string()
            .contains("cancel"),
        "{ended}"
    );
}
