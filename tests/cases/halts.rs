//! The kill switch: what is stopped stops at once, on calls and streams that are open, and stays so over restarts.

use std::{fs, thread, time::Duration};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, SECRET, program},
    mcp::{Answer, Client},
    wires::{Http, Modern},
};
use serde_json::{Value, json};

/// A gateway before two servers that keep a journal of what they executed, and two agents that may do the same.
fn start() -> Gateway {
    let stub = program("e2e-stub");
    let mut gateway = Gateway::configured("");
    let journal = gateway.path("journal.txt");
    // Boxed, they write to what is there, and make nothing beside it.
    fs::write(&journal, "").expect("an empty journal");
    let server = |name: &str| format!("{name}: {{ command: {stub:?}, args: [stdio, {journal:?}] }}");
    let yaml = format!(
        "listen: \"127.0.0.1:0\"\ndata: ./state\nmcpServers: {{ {}, {} }}\n{}",
        server("stub"),
        server("second"),
        OPEN_TO_TESTER.replace(
            "agents: [ ",
            "agents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }, "
        )
    );
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a configuration");
    gateway.run();
    gateway.wait_for_servers();
    gateway
}

fn client(gateway: &Gateway, agent: &str) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)))
}

fn say(client: &Client, tool: &str) -> Answer {
    client.call(tool, &json!({"text": "x"})).expect("an answer")
}

/// The code of a refusal, however it was said.
fn code(answer: &Answer) -> String {
    let told = [
        &answer.body["error"]["data"]["code"],
        &answer.body["result"]["_meta"]["io.sallyport/call"]["code"],
    ];
    told.into_iter().filter_map(Value::as_str).collect()
}

/// The incidents on record: what was done, and to what.
fn recorded(gateway: &Gateway) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = gateway.ledger();
    let incidents = entries.iter().filter(|entry| entry["kind"] == json!("incident"));
    incidents
        .map(|entry| (word(&entry["action"]), word(&entry["detail"]["target"])))
        .collect()
}

fn executed(gateway: &Gateway) -> usize {
    fs::read_to_string(gateway.path("journal.txt")).map_or(0, |text| text.lines().count())
}

#[test]
fn what_is_stopped_stops_at_once_and_over_a_power_failure_until_it_is_lifted() {
    let mut gateway = start();
    let tester = client(&gateway, "tester");
    let running = {
        let tester = tester.clone();
        thread::spawn(move || say(&tester, "stub__never"))
    };
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let other = client(&gateway, "other");
            thread::spawn(move || while say(&other, "stub__journal").is_good() {})
        })
        .collect();
    // The one call runs, and the others have begun.
    while executed(&gateway) == 0
        || !gateway
            .ledger()
            .iter()
            .any(|entry| entry["kind"] == json!("intent") && entry["tool"] == json!("never"))
    {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(
        gateway
            .output(&["stop", "--all", "--why", "a drill"])
            .status
            .success()
    );
    assert_eq!(
        code(&running.join().expect("an answer")),
        "halted",
        "the call that ran"
    );
    busy.into_iter()
        .for_each(|thread| thread.join().expect("it ends"));
    thread::sleep(Duration::from_secs(1));
    let done = executed(&gateway);
    assert!(done > 0, "they were busy");
    let refused = say(&tester, "stub__echo");
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (403, "halted"),
        "{refused:?}"
    );
    assert!(tester.tools().is_err(), "lists, too");
    assert_eq!(executed(&gateway), done, "nothing reached a server any more");

    gateway.kill();
    gateway.run();
    let tester = client(&gateway, "tester");
    assert_eq!(code(&say(&tester, "second__echo")), "halted");
    let servers = gateway.json(&["server", "list"]);
    for server in servers[0]["servers"].as_array().expect("a list") {
        assert_eq!(
            server["running"],
            json!(false),
            "nothing is started meanwhile: {server}"
        );
    }
    let listed = gateway.json(&["stop", "--list"]);
    assert_eq!(
        (&listed[0]["stopped"], &listed[0]["why"]),
        (&json!("all"), &json!("a drill"))
    );

    assert!(gateway.output(&["stop", "--lift", "--all"]).status.success());
    assert!(
        say(&tester, "stub__echo").is_good(),
        "it goes on as if nothing had been"
    );
    let all = |what: &str| (what.to_owned(), "all".to_owned());
    assert_eq!(recorded(&gateway), [all("stopped"), all("lifted")]);
}

#[test]
fn stopping_an_agent_ends_its_streams_and_sessions_and_nobody_elses() {
    let gateway = start();
    let endpoint = format!("{}/mcp", gateway.base());
    let mut session = Http::new(&endpoint, &gateway.token_of("tester"));
    session.open("2025-11-25");
    let stream = Modern::new(&endpoint, &gateway.token_of("tester"));
    let listening = stream.listen(&json!(1), &json!({"toolsListChanged": true}));
    let _acknowledged = listening.next();
    let other = client(&gateway, "other");
    let mut others = Http::new(&endpoint, &gateway.token_of("other"));
    others.open("2025-11-25");

    let kept = client(&gateway, "tester");
    assert!(gateway.output(&["stop", "--agent", "tester"]).status.success());
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(session.post(&ping).status, 403, "the session");
    while listening.next()["id"] != json!(1) {}
    assert_eq!(code(&say(&kept, "stub__echo")), "halted", "a token from before");
    // Regression: who was stopped still got tokens.
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "tester"),
        ("client_secret", SECRET),
    ];
    let refused = gateway.ask_for_token(&form);
    assert_eq!(refused["error"], "temporarily_unavailable", "{refused}");
    assert!(say(&other, "stub__echo").is_good());
    assert_eq!(others.post(&ping).status, 200);
    assert!(
        gateway
            .output(&["stop", "--lift", "--agent", "tester"])
            .status
            .success()
    );
    assert_eq!(session.post(&ping).status, 404, "the session has ended");
    assert!(say(&client(&gateway, "tester"), "stub__echo").is_good());
}

#[test]
fn stopping_a_server_ends_its_calls_and_hides_it_and_no_other() {
    let gateway = start();
    let tester = client(&gateway, "tester");
    let running = {
        let tester = tester.clone();
        thread::spawn(move || say(&tester, "stub__never"))
    };
    while !gateway
        .ledger()
        .iter()
        .any(|entry| entry["kind"] == json!("intent"))
    {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(gateway.output(&["stop", "--server", "stub"]).status.success());
    assert_eq!(code(&running.join().expect("an answer")), "halted");
    assert_eq!(code(&say(&tester, "stub__echo")), "target-held");
    let tools = tester.tools().expect("a list");
    assert!(tools.iter().all(|tool| tool.starts_with("second__")), "{tools:?}");
    assert!(say(&tester, "second__echo").is_good());
    assert!(
        gateway
            .output(&["stop", "--lift", "--server", "stub"])
            .status
            .success()
    );
    assert!(say(&tester, "stub__echo").is_good());
}

#[test]
fn what_would_stop_nothing_is_refused_and_stopping_needs_no_gateway() {
    let mut gateway = start();
    for (args, why) in [
        (&["stop"][..], "required"),
        (&["stop", "--agent", "testr"], "there is no agent testr"),
        (&["stop", "--server", "stubb"], "there is no server stubb"),
        (&["stop", "--all", "--server", "stub"], "cannot be used with"),
        (&["stop", "--lift", "--all"], "is not stopped"),
    ] {
        let output = gateway.output(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    }
    gateway.stop();
    assert!(gateway.output(&["stop", "--all"]).status.success());
    gateway.run();
    assert_eq!(code(&say(&client(&gateway, "tester"), "stub__echo")), "halted");
}
