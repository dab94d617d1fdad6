//! Sessions of the legacy era: whose they are, how they end, and what can be come back to.

use std::process::Command;

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    peers::{self, Served},
    wires::{Http, call},
};
use serde_json::json;

/// A gateway before the stub, with two agents that may do the same.
fn start() -> Gateway {
    let stub = program("e2e-stub");
    let yaml = format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}");
    let other = "agents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }, ";
    Gateway::start(&yaml.replace("agents: [ ", other))
}

fn http(gateway: &Gateway, agent: &str) -> Http {
    Http::new(&format!("{}/mcp", gateway.base()), &gateway.token_of(agent))
}

/// The codes of all refusals so far.
fn refusals(gateway: &Gateway) -> Vec<String> {
    let entries = gateway.ledger();
    let codes = entries.iter().filter(|entry| entry["kind"] == json!("refusal"));
    codes.map(|entry| entry["body"]["code"].to_string()).collect()
}

// CONTROL: logoff
#[test]
fn a_session_is_its_owners_alone_and_what_it_sent_goes_with_it() {
    let gateway = start();
    let mut mine = http(&gateway, "tester");
    mine.open("2025-11-25");
    mine.accept = "text/event-stream, application/json".to_owned();
    let stream = mine.post(&call(1, "stub__echo", &json!({"text": "mine alone"})));
    assert_eq!(
        stream.header("content-type"),
        Some("text/event-stream"),
        "{stream:?}"
    );
    let events = stream.events();
    // The first event primes the stream: it has no data, and says when to come back.
    assert!(
        stream.text.starts_with(&format!("id: {}\nretry: ", events[0])),
        "{stream:?}"
    );
    assert!(stream.text.contains("mine alone"), "{stream:?}");

    // Whoever comes back gets what follows, as often as the connection breaks.
    for _ in 0..2 {
        let rest = mine.come_back(&events[0]);
        assert_eq!(rest.events(), events[1..], "{rest:?}");
        assert!(rest.text.contains("mine alone"), "{rest:?}");
    }
    assert_eq!(mine.come_back(&events[1]).text, "");

    // A valid id in foreign hands is as good as none, and is noted.
    let mut theirs = http(&gateway, "other");
    let session = mine.headers[1].clone();
    theirs.headers.push(session.clone());
    for answer in [
        theirs.come_back(&events[0]),
        theirs.post(&call(2, "stub__echo", &json!({"text": "theirs"}))),
        theirs.delete(),
    ] {
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(!answer.text.contains("mine alone"), "{answer:?}");
    }
    let noted = refusals(&gateway);
    assert_eq!(noted.len(), 3, "{noted:?}");
    // In a session of their own, my event ids lead nowhere near my stream.
    theirs.headers.pop();
    theirs.open("2025-11-25");
    theirs.accept = "text/event-stream, application/json".to_owned();
    let answer = theirs.post(&call(2, "stub__echo", &json!({"text": "theirs"})));
    assert!(answer.text.contains("theirs"), "{answer:?}");
    let rest = theirs.come_back(&answer.events()[0]);
    assert!(!rest.text.contains("mine alone"), "{rest:?}");
    let not_theirs = theirs.come_back(&events[0]);
    assert_eq!(not_theirs.status, 400, "{not_theirs:?}");
    assert_eq!(refusals(&gateway).len(), 4, "that is noted, too");

    // The victim is unharmed; at the end nothing is kept.
    let answer = mine.post(&call(3, "stub__echo", &json!({"text": "still here"})));
    assert!(answer.text.contains("still here"), "{answer:?}");
    let ended = mine.delete();
    assert_eq!((ended.status, ended.text.as_str()), (204, ""), "{ended:?}");
    assert_eq!(mine.come_back(&events[0]).status, 404);
    assert_eq!(mine.delete().status, 404);
}

#[test]
fn before_2025_11_25_no_event_is_without_data() {
    let gateway = start();
    for revision in ["2025-03-26", "2025-06-18"] {
        let mut client = http(&gateway, "tester");
        client.open(revision);
        client.accept = "text/event-stream, application/json".to_owned();
        let stream = client.post(&call(1, "stub__echo", &json!({"text": revision})));
        assert_eq!(stream.events().len(), 1, "{stream:?}");
        assert!(!stream.text.contains("retry:"), "{stream:?}");
    }
}

/// Regression: an event that nobody was sent opened a new stream, and one that is not kept any more did, too, so that a
/// client could not know what it had lost.
#[test]
fn a_client_that_comes_back_for_what_never_was_or_is_no_more_is_told_so() {
    let gateway = start();
    let mut client = http(&gateway, "tester");
    client.open("2025-11-25");
    client.accept = "text/event-stream, application/json".to_owned();
    let call = |n| client.post(&call(n, "stub__echo", &json!({"text": format!("answer {n}")})));
    let first = call(1).events()[0].clone();
    let later = first.replace("-1-", "-99-");
    for never in ["../../", "1-1", &"9".repeat(9_000), &later, &format!("{first}0")] {
        let told = client.come_back(never);
        assert_eq!(told.status, 400, "{never}: {told:?}");
        assert!(told.text.contains("request-invalid"), "{told:?}");
        assert!(told.text.contains("Last-Event-ID"), "{told:?}");
    }
    assert_eq!(refusals(&gateway).len(), 5);
    assert!(client.come_back(&first).text.contains("answer 1"));
    for n in 2..40 {
        assert!(call(n).text.contains("answer"));
    }
    let gone = client.come_back(&first);
    assert_eq!(gone.status, 410, "{gone:?}");
    assert!(gone.text.contains("events-gone"), "{gone:?}");
    assert!(call(40).text.contains("answer 40"), "the session goes on");
}

#[test]
fn ids_of_sessions_are_random_and_unknown_ones_are_gone() {
    let gateway = start();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut client = http(&gateway, "tester");
        client.open("2025-11-25");
        let id = client.headers[1].1.clone();
        // 256 bits in base64url without padding.
        assert_eq!(id.len(), 43, "{id}");
        assert!(seen.insert(id));
    }
    let mut client = http(&gateway, "tester");
    let made_up = ("Mcp-Session-Id".to_owned(), "A".repeat(43));
    client.headers.push(made_up);
    let answer = client.post(&call(1, "stub__echo", &json!({})));
    assert_eq!(answer.status, 404, "{answer:?}");
    client.headers.pop();
    let answer = client.post(&call(1, "stub__echo", &json!({})));
    assert_eq!(answer.status, 400, "{answer:?}");
}

/// A notification nobody knows and an answer to nothing were refused with 200, which is no refusal (streamable HTTP).
#[test]
fn what_wants_no_answer_is_taken_or_refused_by_its_status() {
    let gateway = start();
    let mut client = http(&gateway, "tester");
    client.open("2025-11-25");
    for (message, status) in [
        (json!({"jsonrpc": "2.0", "method": "notifications/foo"}), 400),
        (json!({"jsonrpc": "2.0", "id": 3, "result": {}}), 202),
        (
            json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}),
            202,
        ),
        // Who wants an answer gets one, and 404 would say that the session is gone.
        (json!({"jsonrpc": "2.0", "id": 4, "method": "tools/nope"}), 200),
    ] {
        let answer = client.post(&message);
        assert_eq!(answer.status, status, "{message}: {answer:?}");
        // The bug: an answer to nothing was taken, with an error in the body.
        assert_eq!(answer.text.is_empty(), status == 202, "{message}: {answer:?}");
    }
}

/// The bug: whatever revision the header named was taken, as long as it was one of ours (2025-06-18: 400).
#[test]
fn a_session_has_the_one_revision_it_was_opened_with() {
    const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
    let gateway = start();
    for revision in LEGACY {
        let mut client = http(&gateway, "tester");
        client.open(revision);
        let named = |named: &str| {
            let mut client = client.clone();
            let header = ("MCP-Protocol-Version".to_owned(), named.to_owned());
            client.headers.push(header);
            client
        };
        for other in LEGACY {
            let answer = named(other).post(&call(1, "stub__echo", &json!({"text": "x"})));
            // 2025-03-26 has no such header, and is what no header stands for.
            let fits = other == revision || other == "2025-03-26";
            let status = if fits { 200 } else { 400 };
            assert_eq!(answer.status, status, "{other} in {revision}: {answer:?}");
            if !fits {
                assert_eq!(answer.json()["error"]["data"]["code"], json!("request-invalid"));
                assert!(answer.text.contains(revision), "what would do: {answer:?}");
                assert_eq!(named(other).delete().status, 400, "{other} in {revision}");
            }
        }
        let answer = client.post(&call(2, "stub__echo", &json!({"text": "x"})));
        assert_eq!(answer.status, 200, "none in {revision}: {answer:?}");
        assert_eq!(named(revision).delete().status, 204, "{revision}");
    }
}

/// Whoever knows the id of a request is not who asked.
#[test]
fn nobody_withdraws_the_call_of_another() {
    let stub = program("e2e-stub");
    let yaml = format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio], timeout: 4 }} }}\n{OPEN_TO_TESTER}"
    );
    let other = "agents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }, ";
    let gateway = Gateway::start(&yaml.replace("agents: [ ", other));
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let never = call(1, "stub__never", &json!({}));
    let open = |agent: &str| {
        let mut client = http(&gateway, agent);
        client.open("2025-11-25");
        client
    };
    let (victim, again, stranger, mine) = (open("tester"), open("tester"), open("other"), open("tester"));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| victim.post(&never));
        let withdrawn = scope.spawn(|| mine.post(&never));
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        // By another principal, by another session of the same one, and by the session itself.
        for client in [&stranger, &again, &mine] {
            assert_eq!(client.post(&cancel).status, 202);
        }
        let _ = withdrawn.join().expect("an answer");
        let answer = waits.join().expect("an answer");
        assert_eq!(answer.json()["id"], json!(1), "{answer:?}");
    });
    let entries = gateway.ledger();
    let outcomes = entries
        .iter()
        .filter(|entry| entry["kind"] == json!("outcome") && entry["tool"] == json!("never"));
    let mut codes: Vec<_> = outcomes.map(|entry| entry["code"].to_string()).collect();
    codes.sort();
    assert_eq!(codes, ["\"upstream-timeout\"", "\"withdrawn\""], "{entries:?}");
}

/// A session is never one that a client brought along.
#[test]
fn an_id_that_comes_with_initialize_is_not_taken() {
    let gateway = start();
    let mut client = http(&gateway, "tester");
    let fixed = "A".repeat(43);
    client.headers.push(("Mcp-Session-Id".to_owned(), fixed.clone()));
    let answer = client.post(&e2e::wires::initialize("2025-11-25"));
    assert_ne!(
        answer.header("mcp-session-id"),
        Some(fixed.as_str()),
        "{answer:?}"
    );
    let answer = client.post(&call(1, "stub__echo", &json!({})));
    assert_eq!(answer.status, 404, "{answer:?}");
}

/// Regression: it went to whichever session of the same agent was used last, which may be of another task.
#[test]
fn what_a_server_says_to_a_session_is_heard_there_and_in_no_other() {
    let Some(peers) = peers::directory() else { return };
    let python = peers.join("py1/bin/python");
    let served = Served::start(Command::new(python).arg(peers::script("later_server.py")));
    let url = &served.line;
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ later: {{ url: \"{url}\", trust: trusted }} }}\n{OPEN_TO_TESTER}"
    ));
    let sessions = [(); 2].map(|()| {
        let mut session = http(&gateway, "tester");
        session.open("2025-11-25");
        session
    });
    let [first, second] = [&sessions[0], &sessions[1]];
    let (heard_first, heard_second) = (first.listen(), second.listen());
    let say = |session: &Http, text: &str| {
        let answer = session.post(&call(1, "later__later", &json!({"text": text})));
        assert_eq!(
            answer.json()["result"]["content"][0]["text"],
            json!("soon"),
            "{answer:?}"
        );
    };
    say(first, "for the first");
    // The other is the one used last when it comes.
    assert_eq!(
        second
            .post(&json!({"jsonrpc": "2.0", "id": 2, "method": "ping"}))
            .status,
        200
    );
    let heard = heard_first.next();
    assert_eq!(heard["params"]["data"], json!("for the first"), "{heard}");
    say(second, "for the second");
    let heard = heard_second.next();
    assert_eq!(heard["params"]["data"], json!("for the second"), "{heard}");
}
