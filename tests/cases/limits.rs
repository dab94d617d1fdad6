//! How much: limits on rate, volume, cost and calls at the same time, per whom and what; who is refused is told when
//! it is worth trying again.

use std::{fs, time::Duration};

use e2e::{
    gateway::{Gateway, program},
    mcp::{Answer, Client},
    wires::{Http, call, initialize},
};
use serde_json::json;

/// A gateway with these limits, and two agents.
fn limited(limits: &str) -> Gateway {
    let stub = program("e2e-stub");
    let mut gateway = Gateway::configured("");
    let memory = gateway.path("memory.txt");
    fs::write(&memory, "m".repeat(4_000)).expect("a memory");
    let tools = r#"{"cheap":"Costs little.","dear":"Costs much."}"#;
    let allow = r#"permit(principal in Role::\"tester\", action, resource);"#;
    let named = r#"@limit(\"named\") permit(principal, action, resource == Tool::\"stub__ask\");"#;
    let nowhere = r#"@limit(\"nowhere\") permit(principal, action, resource == Tool::\"stub__die\");"#;
    let yaml = format!(
        "listen: \"127.0.0.1:0\"\ndata: ./state\nmcpServers:\n\
         \x20 stub:\n    command: {stub:?}\n    args: [stdio]\n    timeout: 4\n\
         \x20   env: {{ STUB_MEMORY: {memory:?}, STUB_TOOLS: {tools:?} }}\n\
         \x20   tools: {{ dear: {{ cost: 50 }} }}\n\
         approve: all\n\
         agents:\n\
         \x20 - {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester], tenant: acme }}\n\
         \x20 - {{ name: other, secret: \"env:TESTER_SECRET\", roles: [tester], tenant: acme }}\n\
         policy: {{ packs: [baseline], rules: [ \"{allow}\", \"{named}\", \"{nowhere}\" ] }}\n\
         limits: {{ {limits} }}\n"
    );
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a configuration");
    gateway.run();
    gateway
}

fn client(gateway: &Gateway, agent: &str) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)))
}

fn say(client: &Client, tool: &str) -> Answer {
    client
        .call(&format!("stub__{tool}"), &json!({"text": "x"}))
        .expect("an answer")
}

/// Refused by a limit, which says when it is worth trying again; the seconds.
fn told_to_wait(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 429, "{answer:?}");
    let data = &answer.body["error"]["data"];
    assert_eq!(data["code"], json!("over-limit"), "{answer:?}");
    let seconds = answer.retry_after.expect("a Retry-After");
    let ms = data["retryAfterMs"].as_u64().expect("the same for machines");
    assert_eq!(seconds, ms.div_ceil(1000), "{answer:?}");
    seconds
}

// CONTROL: monitoring
#[test]
fn who_waits_as_long_as_told_passes_and_others_never_wait() {
    let gateway = limited("calls: { rate: 30/min, burst: 2, per: [principal, tool] }");
    let (tester, other) = (client(&gateway, "tester"), client(&gateway, "other"));
    assert!(say(&tester, "echo").is_good() && say(&tester, "echo").is_good());
    let seconds = told_to_wait(&say(&tester, "echo"));
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert!(
        say(&tester, "cheap").is_good(),
        "another tool has a count of its own"
    );
    assert!(say(&other, "echo").is_good(), "so has somebody else");
    std::thread::sleep(Duration::from_secs(seconds));
    assert!(say(&tester, "echo").is_good(), "it was worth trying again");
    let ledger = gateway.ledger();
    let refused = ledger.iter().find(|entry| entry["code"] == json!("over-limit"));
    let refused = refused.expect("recorded");
    assert!(
        refused["reason"]
            .to_string()
            .contains("the limit `calls` on calls"),
        "{refused}"
    );
}

/// A client that had used up its calls could not withdraw the one that ran, nor answer what it was asked.
#[test]
fn who_has_no_calls_left_can_still_keep_the_conversation_going() {
    let gateway = limited("calls: { rate: 6/hour, burst: 2, concurrency: 2 }");
    let mut client = Http::new(&format!("{}/mcp", gateway.base()), &gateway.token_of("tester"));
    client.open("2025-11-25");
    let notice = |method: &str| json!({"jsonrpc": "2.0", "method": method, "params": {"requestId": 1, "progressToken": 1}});
    let ping = json!({"jsonrpc": "2.0", "id": 8, "method": "ping"});
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| client.post(&call(1, "stub__never", &json!({}))));
        std::thread::sleep(Duration::from_millis(1_500));
        let echo = call(2, "stub__echo", &json!({"text": "x"}));
        assert_eq!(client.post(&echo).status, 200);
        assert_eq!(client.post(&echo).status, 429, "no calls are left");
        assert_eq!(client.post(&notice("notifications/cancelled")).status, 202);
        let _ = waits.join().expect("it is over");
    });
    let answer = client.post(&json!({"jsonrpc": "2.0", "id": 3, "result": {}}));
    assert_eq!(
        answer.status, 202,
        "nobody asked, which is a late answer: {answer:?}"
    );
    assert_eq!(
        client.post(&notice("notifications/roots/list_changed")).status,
        202
    );
    assert_eq!(client.post(&ping).status, 200);
    let mut again = client.clone();
    again.headers.truncate(1);
    assert_eq!(again.post(&initialize("2025-11-25")).status, 200);
    assert!(
        (0..2_000).any(|_| client.post(&ping).status == 429),
        "it is no way to flood"
    );
    let tired = client.delete();
    assert!(matches!(tired.status, 204 | 429), "{tired:?}");
}

#[test]
fn a_session_ends_though_no_calls_are_left() {
    let gateway = limited("calls: { rate: 6/hour, burst: 1 }");
    let mut client = Http::new(&format!("{}/mcp", gateway.base()), &gateway.token_of("tester"));
    client.open("2025-11-25");
    let echo = call(2, "stub__echo", &json!({"text": "x"}));
    assert_eq!(client.post(&echo).status, 200);
    assert_eq!(client.post(&echo).status, 429);
    assert_eq!(client.delete().status, 204);
}

#[test]
fn what_comes_back_counts() {
    let gateway = limited("volume: { bytes: 5000/min, per: [principal] }");
    let tester = client(&gateway, "tester");
    for _ in 0..3 {
        assert!(say(&tester, "echo").is_good(), "little asked, little said");
    }
    assert!(say(&tester, "recall").is_good(), "little asked");
    assert!(told_to_wait(&say(&tester, "echo")) > 0, "much came back");
    assert!(say(&client(&gateway, "other"), "echo").is_good());
}

#[test]
fn a_call_costs_what_the_operator_says() {
    let gateway = limited("spend: { cost: 60/min, per: [tenant] }");
    let (tester, other) = (client(&gateway, "tester"), client(&gateway, "other"));
    assert!(say(&tester, "dear").is_good());
    assert!(
        told_to_wait(&say(&tester, "dear")) > 30,
        "most of a minute's cost is gone"
    );
    // One purse for the whole tenant; what is cheap still fits, and asking for lists costs nothing.
    assert!(told_to_wait(&say(&other, "dear")) > 30);
    for _ in 0..20 {
        assert!(other.tools().is_ok());
    }
    assert!(say(&other, "cheap").is_good());
}

#[test]
fn calls_at_the_same_time_have_a_limit_that_ends_with_them() {
    let gateway = limited("busy: { concurrency: 1, per: [principal] }");
    let tester = client(&gateway, "tester");
    let slow = {
        let tester = tester.clone();
        std::thread::spawn(move || say(&tester, "never"))
    };
    let under_way = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let ledger = gateway.ledger();
        ledger.iter().any(|entry| entry["tool"] == json!("never"))
    });
    assert!(under_way, "the slow call is sent");
    told_to_wait(&say(&tester, "echo"));
    assert!(!slow.join().expect("it ends").is_good(), "nobody answered it");
    assert!(say(&tester, "echo").is_good(), "its place is free again");
}

#[test]
fn a_limit_that_rules_name_counts_their_calls_alone_and_must_exist() {
    let gateway = limited("named: { rate: 1/min, burst: 1, named: true, per: [principal] }");
    let tester = client(&gateway, "tester");
    for _ in 0..3 {
        assert!(say(&tester, "echo").is_good());
    }
    assert!(say(&tester, "ask").is_good());
    told_to_wait(&say(&tester, "ask"));
    let answer = say(&tester, "die");
    assert!(!answer.is_good() && answer.retry_after.is_none(), "{answer:?}");
    let ledger = gateway.ledger();
    let unknown = |entry: &&serde_json::Value| entry["reason"].to_string().contains("no limit `nowhere`");
    assert!(ledger.iter().any(|entry| unknown(&entry)));
}

/// Whoever sends many calls to a server that takes one at a time delays others by a call, and is refused beyond its line.
#[test]
fn calls_wait_in_a_line_of_their_own_and_others_are_not_behind_all_of_them() {
    // A call of `never` holds the only place for the server's four seconds.
    let gateway = limited("busy: { concurrency: 1, queue: 2, wait: 9, per: [server] }");
    let calls = |agent: &str, tool: &'static str, count: usize| -> Vec<std::thread::JoinHandle<Answer>> {
        let client = client(&gateway, agent);
        let call = |_| {
            let client = client.clone();
            std::thread::spawn(move || say(&client, tool))
        };
        (0..count).map(call).collect()
    };
    let holds = calls("tester", "never", 1);
    let under_way = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let ledger = gateway.ledger();
        ledger.iter().any(|entry| entry["tool"] == json!("never"))
    });
    assert!(under_way, "the slow call is sent");
    let greedy = calls("tester", "echo", 6);
    let modest = calls("other", "echo", 1);
    let good = |calls: Vec<std::thread::JoinHandle<Answer>>| {
        let answers = calls.into_iter().map(|call| call.join().expect("an answer"));
        let (good, refused): (Vec<_>, Vec<_>) = answers.partition(Answer::is_good);
        refused
            .iter()
            .for_each(|answer| assert!(told_to_wait(answer) > 0, "{answer:?}"));
        good.len()
    };
    assert_eq!(good(greedy), 2, "two waited, and the others were refused at once");
    assert_eq!(good(modest), 1, "its line was empty");
    drop(holds);
}

/// A long text takes as long to read as a hundred short ones; who sends a short one meanwhile is not behind it.
#[test]
fn while_a_long_text_is_read_others_are_answered() {
    let gateway = limited("");
    let (tester, other) = (client(&gateway, "tester"), client(&gateway, "other"));
    assert!(say(&other, "echo").is_good());
    let text: String = (0..100_000).map(|n| format!("line {n} of the list, ")).collect();
    let long = std::thread::spawn(move || tester.call("stub__echo", &json!({ "text": text })));
    let mut meanwhile = 0;
    while !long.is_finished() {
        let short = other.call("stub__echo", &json!({ "text": format!("short {meanwhile}") }));
        let answer = short.expect("an answer");
        assert!(answer.is_good(), "{answer:?}");
        meanwhile += 1;
    }
    let answer = long.join().expect("a caller").expect("an answer");
    assert!(answer.is_good(), "{answer:?}");
    assert!(meanwhile >= 60, "{meanwhile} short calls while a long one ran");
}
