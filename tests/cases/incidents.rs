//! Incidents: what agents and servers do that is worth a look, and what people do about it.

use std::{fs, thread, time::Duration};

use e2e::{
    gateway::{Gateway, program},
    mcp::{Answer, Client},
};
use serde_json::{Value, json};

/// A gateway with two agents that may echo and nothing else.
fn start(incidents: &str) -> Gateway {
    let stub = program("e2e-stub");
    Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\napprove: all\n\
         agents:\n\
         \x20 - {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         \x20 - {{ name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         policy: {{ packs: [baseline], allow: [ \"role:tester on stub__echo\" ] }}\n\
         incidents: {{ {incidents} }}\n"
    ))
}

fn client(gateway: &Gateway, agent: &str) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)))
}

fn say(client: &Client, tool: &str) -> Answer {
    client.call(tool, &json!({"text": "x"})).expect("an answer")
}

/// The incidents, once there are any; the newest first.
fn noticed(gateway: &Gateway) -> Vec<Value> {
    for _ in 0..200 {
        let all = gateway.json(&["incident", "list"]);
        if !all.is_empty() {
            return all;
        }
        thread::sleep(Duration::from_millis(50));
    }
    Vec::new()
}

/// What was done about incidents, on record.
fn done(gateway: &Gateway) -> Vec<String> {
    let entries = gateway.ledger();
    let incidents = entries.iter().filter(|entry| entry["kind"] == json!("incident"));
    incidents
        .filter_map(|entry| Some(entry["action"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn probing_is_noticed_blocks_nothing_and_is_contained_and_resolved_by_people() {
    let mut gateway = start("probing: 5");
    let (tester, other) = (client(&gateway, "tester"), client(&gateway, "other"));
    for _ in 0..4 {
        assert!(!say(&other, "stub__ask").is_good(), "a mistake is none");
    }
    for n in 0..8 {
        assert!(!say(&tester, &format!("stub__guess{n}")).is_good());
    }
    let all = noticed(&gateway);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (&all[0]["kind"], &all[0]["state"], &all[0]["agent"]),
        (&json!("probing"), &json!("open"), &json!("tester")),
        "{all:?}"
    );
    assert!(
        say(&tester, "stub__echo").is_good(),
        "nothing is blocked by itself"
    );
    let id = all[0]["id"].as_str().expect("an id").to_owned();
    let call = all[0]["calls"][0].as_str().expect("a call").to_owned();
    let entries = gateway.json(&["ledger", "show", &call]);
    assert!(
        entries.iter().any(|entry| entry["kind"] == json!("refusal")),
        "{entries:?}"
    );

    // Over a power failure it is still there, and so is what is done about it.
    gateway.kill();
    gateway.run();
    // Who is stopped gets no token, so these are from before.
    let (tester, other) = (client(&gateway, "tester"), client(&gateway, "other"));
    assert!(gateway.output(&["incident", "contain", &id]).status.success());
    assert_eq!(say(&tester, "stub__echo").status, 403);
    assert!(say(&other, "stub__echo").is_good());
    let resolve = [
        "incident",
        "resolve",
        &id,
        "--why",
        "a broken prompt; mended",
        "--as",
        "olga",
    ];
    assert!(gateway.output(&resolve).status.success());
    assert_eq!(say(&tester, "stub__echo").status, 403, "until it is lifted");
    assert!(
        gateway
            .output(&["stop", "--lift", "--agent", "tester"])
            .status
            .success()
    );
    assert!(say(&tester, "stub__echo").is_good());
    let one = gateway.json(&["incident", "show", &id]);
    assert_eq!(one[0]["state"], json!("resolved"));
    assert_eq!(one[0]["stopped"], json!(["agent tester"]));
    assert_eq!(
        done(&gateway),
        ["opened", "stopped", "contained", "resolved", "lifted"]
    );
    let again = gateway.output(&resolve);
    assert_eq!(again.status.code(), Some(2), "it is resolved once");
    assert_eq!(
        gateway.output(&["incident", "show", "none"]).status.code(),
        Some(2)
    );
}

#[test]
fn a_decoy_that_is_called_stops_its_caller_where_configuration_says_so() {
    let gateway = start("decoys: [stub__ask], contain: [decoy]");
    let (tester, other) = (client(&gateway, "tester"), client(&gateway, "other"));
    assert!(say(&tester, "stub__echo").is_good());
    let _ = say(&tester, "stub__ask");
    let all = noticed(&gateway);
    assert_eq!(all[0]["kind"], json!("decoy"), "{all:?}");
    let mut stopped = Vec::new();
    while stopped.is_empty() {
        stopped = gateway.json(&["stop", "--list"]);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(stopped[0]["stopped"], json!("agent tester"));
    assert_eq!(say(&tester, "stub__echo").status, 403);
    assert!(say(&other, "stub__echo").is_good());
}

#[test]
fn a_definition_that_changes_is_an_incident_of_its_server() {
    let stub = program("e2e-stub");
    let mut gateway = Gateway::configured("");
    // The environment is part of what was approved, so what changes comes by a script.
    let (script, tools) = (gateway.path("server.sh"), gateway.path("tools.json"));
    let text = format!("#!/bin/sh\nSTUB_TOOLS=$(cat {tools:?}) exec {stub:?} stdio\n");
    fs::write(&script, text).expect("a script");
    fs::write(&tools, "{\"grow\":\"Grows.\"}").expect("tools");
    let yaml = format!(
        "listen: \"127.0.0.1:0\"\ndata: ./state\napprove: all\n\
         mcpServers: {{ stub: {{ command: sh, args: [{script:?}],\n\
         \x20 sandbox: {{ execute: [{stub:?}], read: [{tools:?}] }} }} }}\n"
    );
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a configuration");
    gateway.run();
    gateway.wait_for_servers();
    gateway.stop();
    fs::write(&tools, "{\"grow\":\"Grows in another way.\"}").expect("tools");
    gateway.run();
    let all = noticed(&gateway);
    assert_eq!(
        (&all[0]["kind"], &all[0]["server"]),
        (&json!("tampering"), &json!("stub")),
        "{all:?}"
    );
}

#[test]
fn kinds_of_incidents_nobody_knows_do_not_start() {
    let gateway = Gateway::configured("incidents: { contain: [probbing] }\n");
    let output = gateway.output(&["serve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no kind of incident `probbing`"), "{said}");
}
