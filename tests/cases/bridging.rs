//! A server of sessions asks while a call runs; a client of the modern era is asked in the answer.

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    peers::{self, Everything},
    wires::{Answer, Http, Modern, call},
};
use serde_json::{Value, json};

fn start() -> Gateway {
    let stub = program("e2e-stub");
    let yaml = format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}");
    let other = "agents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }, ";
    Gateway::start(&yaml.replace("agents: [ ", other))
}

fn client(gateway: &Gateway, agent: &str) -> Modern {
    let mut client = Modern::new(&format!("{}/mcp", gateway.base()), &gateway.token_of(agent));
    client.capabilities = json!({"elicitation": {}});
    client
}

/// What is asked: the name of the question, and the state to come back with.
fn asked(answer: &Answer) -> (String, Value) {
    let result = &answer.json()["result"];
    assert_eq!(result["resultType"], json!("input_required"), "{answer:?}");
    let questions = result["inputRequests"].as_object().expect("questions");
    let (key, question) = questions.iter().next().expect("a question");
    assert_eq!(question["method"], json!("elicitation/create"), "{answer:?}");
    assert_eq!(
        question["params"]["message"],
        json!("What is your name?"),
        "{answer:?}"
    );
    (key.clone(), result["requestState"].clone())
}

#[test]
fn a_call_that_asks_is_taken_up_once_by_its_owner_with_the_same_content() {
    let gateway = start();
    let (mine, theirs) = (client(&gateway, "tester"), client(&gateway, "other"));
    let arguments = json!({"text": "x"});
    let (key, state) = asked(&mine.call(1, "stub__ask_user", &arguments, &json!({})));
    let accepted = json!({(key.as_str()): {"action": "accept", "content": {"name": "Ada"}}});
    let again = json!({"inputResponses": accepted, "requestState": state});

    // Somebody else, other content, a bit turned, and nothing at all: none of them reaches the call.
    let text = state.as_str().expect("a text");
    let turned = if text.ends_with('A') { 'B' } else { 'A' };
    let tampered = format!("{}{turned}", text.get(..text.len() - 1).expect("ASCII"));
    let refused = [
        theirs.call(2, "stub__ask_user", &arguments, &again),
        mine.call(3, "stub__ask_user", &json!({"text": "y"}), &again),
        mine.call(4, "stub__echo", &arguments, &again),
        mine.call(
            5,
            "stub__ask_user",
            &arguments,
            &json!({"inputResponses": accepted, "requestState": tampered}),
        ),
        mine.call(
            6,
            "stub__ask_user",
            &arguments,
            &json!({"inputResponses": accepted, "requestState": ""}),
        ),
        mine.call(
            7,
            "stub__ask_user",
            &arguments,
            &json!({"inputResponses": accepted, "requestState": 1}),
        ),
    ];
    for answer in refused {
        let said = answer.json();
        assert_eq!(
            (answer.status, &said["error"]["code"]),
            (400, &json!(-32602)),
            "{answer:?}"
        );
        assert_eq!(
            said["error"]["data"]["code"],
            json!("state-refused"),
            "{answer:?}"
        );
    }

    // What is no answer to the question is asked again, with a state of its own; the one before is used.
    let wrong = json!({"inputResponses": {(key.as_str()): {"name": "Ada"}}, "requestState": state});
    let (key, next) = asked(&mine.call(8, "stub__ask_user", &arguments, &wrong));
    assert_ne!(next, state);
    let replayed = mine.call(9, "stub__ask_user", &arguments, &again);
    assert_eq!(
        replayed.json()["error"]["data"]["code"],
        json!("state-refused"),
        "{replayed:?}"
    );

    let accepted = json!({(key.as_str()): {"action": "accept", "content": {"name": "Ada"}}});
    let again = json!({"inputResponses": accepted, "requestState": next});
    let answer = mine.call(10, "stub__ask_user", &arguments, &again);
    let said = answer.json();
    assert_eq!(said["result"]["resultType"], json!("complete"), "{answer:?}");
    let text = said["result"]["content"][0]["text"]
        .as_str()
        .expect("a text")
        .to_owned();
    assert!(text.contains("\"name\":\"Ada\""), "{answer:?}");
    // The call is over, and so is its state.
    let late = mine.call(11, "stub__ask_user", &arguments, &again);
    assert_eq!(
        late.json()["error"]["data"]["code"],
        json!("state-refused"),
        "{late:?}"
    );
}

#[test]
fn a_client_is_asked_only_what_it_declared() {
    let gateway = start();
    let mut mine = client(&gateway, "tester");
    mine.capabilities = json!({"sampling": {}});
    let answer = mine.call(1, "stub__ask_user", &json!({}), &json!({}));
    // The server is told that nobody can be asked, and says so.
    let said = answer.json();
    assert_eq!(said["result"]["resultType"], json!("complete"), "{answer:?}");
    assert_eq!(said["result"]["content"][0]["text"], json!("null"), "{answer:?}");

    // In a session that declared nothing, the same.
    let mut session = Http::new(&format!("{}/mcp", gateway.base()), &gateway.token());
    session.open("2025-11-25");
    let answer = session.post(&call(1, "stub__ask_user", &json!({})));
    assert_eq!(
        answer.json()["result"]["content"][0]["text"],
        json!("null"),
        "{answer:?}"
    );
}

/// The bug: `logging/setLevel` reached a server of the modern era, which has no such method; the Inspector, whose
/// first request it is, got no further.
#[test]
fn what_a_session_wants_of_logs_is_said_with_each_request_of_the_modern_era() {
    let Some(peers) = peers::directory() else { return };
    let server = Everything::start(&peers, "modern");
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ new: {{ url: \"{}\" }} }}\n{OPEN_TO_TESTER}",
        server.url
    ));
    let url = format!("{}/mcp/new", gateway.base());
    let mut session = Http::new(&url, &gateway.token_for("tester", "/mcp/new"));
    session.open("2025-11-25");
    let logs = |answer: &Answer| answer.text.matches("notifications/message").count();
    let quiet = session.post(&call(1, "test_tool_with_logging", &json!({})));
    assert!(quiet.text.contains("result") && logs(&quiet) == 0, "{quiet:?}");
    let level = |id: i64, level: &str| {
        let params = json!({ "level": level });
        json!({"jsonrpc": "2.0", "id": id, "method": "logging/setLevel", "params": params})
    };
    assert_eq!(session.post(&level(2, "debug")).json()["result"], json!({}));
    let loud = session.post(&call(3, "test_tool_with_logging", &json!({})));
    assert!(loud.text.contains("result") && logs(&loud) > 0, "{loud:?}");
    // What is no level is not passed on as one.
    let _ = session.post(&level(4, "debug\", \"x\": \"y"));
    let loud = session.post(&call(5, "test_tool_with_logging", &json!({})));
    assert!(loud.text.contains("result") && logs(&loud) > 0, "{loud:?}");
}
