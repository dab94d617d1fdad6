//! What one era does by requests the other does in answers and in `_meta`: questions, levels of logs.

use e2e::{
    alone::Alone,
    gateway::{Gateway, OPEN_TO_TESTER, program},
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

#[test]
fn a_level_set_in_a_session_goes_with_its_requests_and_with_no_others() {
    const LEVEL: &str = "io.modelcontextprotocol/logLevel";
    let alone = Alone::start();
    let servers = format!("mcpServers: {{ alone: {{ url: {:?} }} }}\n", alone.url());
    let gateway = Gateway::start(&(servers + OPEN_TO_TESTER));
    let set = |id, level: &str| {
        let params = json!({"level": level});
        json!({"jsonrpc": "2.0", "id": id, "method": "logging/setLevel", "params": params})
    };
    // At the door of the one server, and at that of all.
    for (path, tool) in [("/mcp/alone", "meta"), ("/mcp", "alone__meta")] {
        let session = || {
            let mut session = Http::new(
                &format!("{}{path}", gateway.base()),
                &gateway.token_at("tester", path),
            );
            session.open("2025-11-25");
            session
        };
        let sent = |session: &Http, own: &Value| {
            let mut call = call(3, tool, &json!({}));
            call["params"]["_meta"] = own.clone();
            let answer = session.post(&call).json();
            let text = answer["result"]["content"][0]["text"].as_str().expect("a text");
            serde_json::from_str::<Value>(text).expect("JSON")[LEVEL].clone()
        };
        let (mine, other) = (session(), session());
        assert_eq!(sent(&mine, &json!({})), Value::Null, "nothing was set yet");
        let answer = mine.post(&set(1, "warning")).json();
        assert_eq!(answer["result"], json!({}), "{answer}");
        assert_eq!(sent(&mine, &json!({})), json!("warning"));
        // Another session of the same agent set none, and a session cannot say it as the other era does.
        assert_eq!(sent(&other, &json!({})), Value::Null);
        assert_eq!(sent(&other, &json!({LEVEL: "debug"})), Value::Null);
        // What is no level changes nothing.
        let answer = mine.post(&set(2, "loud")).json();
        assert_eq!(answer["error"]["code"], json!(-32602), "{answer}");
        assert_eq!(sent(&mine, &json!({})), json!("warning"));
    }
    // It took the road: an intent and an outcome each.
    let entries = gateway.ledger();
    let said = entries
        .iter()
        .filter(|entry| entry.to_string().contains("logging/setLevel"));
    assert!(said.count() >= 4, "{entries:?}");
}
