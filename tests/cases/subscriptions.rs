//! Subscriptions to resources, in all four combinations of eras: whoever asked hears of a change, and nobody else.

use e2e::{
    alone::Alone,
    gateway::{Gateway, OPEN_TO_TESTER, program},
    wires::{Heard, Http, Modern, call},
};
use serde_json::{Value, json};

const ID: &str = "io.modelcontextprotocol/subscriptionId";

/// A gateway before this server, with two agents that may do the same, except for what is forbidden.
fn start(server: &str) -> Gateway {
    let yaml = format!("mcpServers: {{ {server} }}\n{OPEN_TO_TESTER}");
    let other = "agents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }, ";
    let forbid = r#"rules: [ "forbid(principal, action == Action::\"subscribe\", resource) when { resource.uri like \"*secret\" };", "#;
    Gateway::start(&yaml.replace("agents: [ ", other).replace("rules: [ ", forbid))
}

fn of_sessions() -> Gateway {
    let stub = program("e2e-stub");
    let env = "env: { STUB_RESOURCES: \"1\" }";
    start(&format!("stub: {{ command: {stub:?}, args: [stdio], {env} }}"))
}

fn modern_behind_pipes() -> Gateway {
    let stub = program("e2e-stub");
    let env = "env: { STUB_RESOURCES: \"1\", STUB_MODERN: \"1\" }";
    start(&format!("stub: {{ command: {stub:?}, args: [stdio], {env} }}"))
}

fn session(gateway: &Gateway, agent: &str) -> Http {
    let mut session = Http::new(&format!("{}/mcp", gateway.base()), &gateway.token_of(agent));
    session.open("2025-11-25");
    session
}

fn modern(gateway: &Gateway, agent: &str) -> Modern {
    Modern::new(&format!("{}/mcp", gateway.base()), &gateway.token_of(agent))
}

fn subscribe(session: &Http, method: &str, uri: &str) -> Value {
    let params = json!({"uri": uri});
    let message = json!({"jsonrpc": "2.0", "id": uri, "method": method, "params": params});
    session.post(&message).json()
}

/// The text a tool gives back.
fn said(session: &Http, tool: &str, text: &str) -> String {
    let answer = session.post(&call(9, tool, &json!({"text": text}))).json();
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// The resource the next notice is about, and the subscription it belongs to.
fn heard(stream: &Heard) -> (String, Value) {
    // Lists may change meanwhile: a server was looked at again.
    let notice = std::iter::repeat_with(|| stream.next())
        .find(|notice| !notice["method"].to_string().contains("list_changed"))
        .expect("a notice");
    assert_eq!(
        notice["method"],
        json!("notifications/resources/updated"),
        "{notice}"
    );
    let params = &notice["params"];
    (
        params["uri"].as_str().expect("a URI").to_owned(),
        params["_meta"][ID].clone(),
    )
}

/// What was acknowledged.
fn acknowledged(stream: &Heard, id: &Value) -> Value {
    let notice = stream.next();
    let method = json!("notifications/subscriptions/acknowledged");
    assert_eq!(
        (&notice["method"], &notice["params"]["_meta"][ID]),
        (&method, id),
        "{notice}"
    );
    notice["params"]["notifications"]["resourceSubscriptions"].clone()
}

/// Who asked for `one` hears of `one`, who asked for `two` of `two`, and neither of the other: each has the
/// notice that was sent last as the first.
fn each_hears_its_own(gateway: &Gateway, touch: &str, watched: impl Fn(&Http) -> Vec<String>) {
    let (first, second) = (session(gateway, "tester"), session(gateway, "tester"));
    let foreign = session(gateway, "other");
    let streams = [first.listen(), second.listen(), foreign.listen()];
    for (session, uri) in [(&first, "test://one"), (&second, "test://two")] {
        let answer = subscribe(session, "resources/subscribe", uri);
        assert_eq!(answer["result"], json!({}), "{answer}");
    }
    // Twice is once.
    assert_eq!(
        subscribe(&first, "resources/subscribe", "test://one")["result"],
        json!({})
    );
    // What nobody asked for, and what rules forbid to ask for.
    let answer = subscribe(&foreign, "resources/subscribe", "test://secret");
    assert!(answer["error"].is_object(), "{answer}");
    for uri in ["test://secret", "test://three", "test://two", "test://one"] {
        said(&first, touch, uri);
    }
    assert_eq!(heard(&streams[0]), ("test://one".to_owned(), Value::Null));
    assert_eq!(heard(&streams[1]), ("test://two".to_owned(), Value::Null));

    // Somebody else's end is not mine; a session's end is the end of all it asked for.
    subscribe(&second, "resources/unsubscribe", "test://one");
    subscribe(&first, "resources/subscribe", "test://two");
    assert_eq!(second.delete().status, 204);
    for uri in ["test://one", "test://two"] {
        said(&first, touch, uri);
        assert_eq!(heard(&streams[0]), (uri.to_owned(), Value::Null));
        subscribe(&first, "resources/unsubscribe", uri);
    }
    assert_eq!(watched(&first), Vec::<String>::new());

    // The other agent heard nothing of all that: its own is the first it hears.
    subscribe(&foreign, "resources/subscribe", "test://own");
    said(&foreign, touch, "test://own");
    assert_eq!(heard(&streams[2]), ("test://own".to_owned(), Value::Null));
}

/// A stream hears of what was acknowledged, under its own id; other streams of its agent and other agents do not.
fn each_stream_hears_its_own(gateway: &Gateway, touch: &str, watched: impl Fn(&Http) -> Vec<String>) {
    let (mine, theirs) = (modern(gateway, "tester"), modern(gateway, "other"));
    let uris = json!({"resourceSubscriptions": ["test://one", "test://secret", "test://both"]});
    let (first, second) = (json!("first"), json!(2));
    let one = mine.listen(&first, &uris);
    assert_eq!(acknowledged(&one, &first), json!(["test://one", "test://both"]));
    let uris = json!({"resourceSubscriptions": ["test://two", "test://both"]});
    let two = mine.listen(&second, &uris);
    assert_eq!(acknowledged(&two, &second), json!(["test://two", "test://both"]));
    let other = theirs.listen(&first, &json!({"resourceSubscriptions": ["test://own"]}));
    assert_eq!(acknowledged(&other, &first), json!(["test://own"]));

    let touches = session(gateway, "tester");
    for uri in ["test://secret", "test://two", "test://one", "test://both"] {
        said(&touches, touch, uri);
    }
    let own = |uri: &str, id: &Value| (uri.to_owned(), id.clone());
    assert_eq!(
        [heard(&one), heard(&one)],
        [own("test://one", &first), own("test://both", &first)]
    );
    assert_eq!(
        [heard(&two), heard(&two)],
        [own("test://two", &second), own("test://both", &second)]
    );

    // The first has gone: what it alone watched is given up, what both watched is not.
    drop(one);
    while watched(&touches).contains(&"test://one".to_owned()) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    said(&touches, touch, "test://one");
    said(&touches, touch, "test://both");
    assert_eq!(heard(&two), own("test://both", &second));

    said(&session(gateway, "other"), touch, "test://own");
    assert_eq!(heard(&other), own("test://own", &first));
}

/// What a server of sessions is subscribed to, by all that it was told.
fn watched_at_stub(session: &Http) -> Vec<String> {
    let told = said(session, "stub__subscriptions", "");
    let mut watched: Vec<String> = Vec::new();
    for line in told.lines() {
        let (what, uri) = line.split_once(' ').expect("two words");
        let held = watched.iter().position(|held| held == uri);
        match (what, held) {
            ("subscribe", None) => watched.push(uri.to_owned()),
            ("unsubscribe", Some(at)) => drop(watched.remove(at)),
            _ => panic!("it is told of each once: {told}"),
        }
    }
    watched
}

/// What a server of the modern era behind pipes is asked to watch, by all streams that are open: a new one stands for a
/// moment beside the one whose place it takes.
fn watched_over_pipes(session: &Http) -> Vec<String> {
    let told = said(session, "stub__subscriptions", "");
    let uris = told
        .lines()
        .map(|line| line.strip_prefix("subscribe ").expect("a stream"));
    uris.map(str::to_owned).collect()
}

/// What a server of the modern era is asked to watch for this agent's subscribers.
fn watched_at_alone(session: &Http) -> Vec<String> {
    let told = said(session, "alone__watched", "");
    let streams: Vec<Vec<String>> = serde_json::from_str(&told).expect("JSON");
    let own = |stream: &Vec<String>| !stream.contains(&"test://own".to_owned());
    streams.into_iter().filter(own).flatten().collect()
}

#[test]
fn between_sessions_each_hears_its_own() {
    each_hears_its_own(&of_sessions(), "stub__touch", watched_at_stub);
}

#[test]
fn streams_of_the_modern_era_hear_their_own_from_a_server_of_sessions() {
    each_stream_hears_its_own(&of_sessions(), "stub__touch", watched_at_stub);
}

#[test]
fn over_pipes_to_a_server_of_the_modern_era_each_hears_its_own() {
    each_hears_its_own(&modern_behind_pipes(), "stub__touch", watched_over_pipes);
    each_stream_hears_its_own(&modern_behind_pipes(), "stub__touch", watched_over_pipes);
}

#[test]
fn sessions_hear_their_own_from_a_server_of_the_modern_era() {
    let alone = Alone::start();
    let gateway = start(&format!("alone: {{ url: {:?} }}", alone.url()));
    each_hears_its_own(&gateway, "alone__touch", watched_at_alone);
}

#[test]
fn in_the_modern_era_each_stream_hears_its_own() {
    let alone = Alone::start();
    let gateway = start(&format!("alone: {{ url: {:?} }}", alone.url()));
    each_stream_hears_its_own(&gateway, "alone__touch", watched_at_alone);
}

#[test]
fn a_server_that_tells_everybody_is_not_believed_and_one_that_cannot_watch_is_said_to() {
    let alone = Alone::start();
    let gateway = start(&format!("alone: {{ url: {:?} }}", alone.url()));
    let (first, second) = (session(&gateway, "tester"), session(&gateway, "other"));
    let (mine, theirs) = (first.listen(), second.listen());
    subscribe(&first, "resources/subscribe", "test://one");
    subscribe(&second, "resources/subscribe", "test://two");
    for uri in ["test://two", "test://one"] {
        said(&first, "alone__touch_everyone", uri);
    }
    assert_eq!(heard(&mine).0, "test://one");
    assert_eq!(heard(&theirs).0, "test://two");

    let answer = subscribe(&first, "resources/subscribe", "no:way");
    assert!(answer["error"].is_object(), "{answer}");
    let id = json!(1);
    let wanted = json!({"resourceSubscriptions": ["no:way", "test://one"]});
    let stream = modern(&gateway, "tester").listen(&id, &wanted);
    assert_eq!(acknowledged(&stream, &id), json!(["test://one"]));
}

/// The bug: a session heard nothing more when the token ended with which it was opened, however often it was renewed.
#[test]
fn a_session_hears_on_when_its_token_was_renewed() {
    let gateway = of_sessions();
    let shortly = gateway.output(&["token", "--agent", "tester", "--seconds", "3"]);
    let shortly = String::from_utf8(shortly.stdout).expect("a token");
    let mut session = Http::new(&format!("{}/mcp", gateway.base()), shortly.trim());
    session.open("2025-11-25");
    let stream = session.listen();
    let answer = subscribe(&session, "resources/subscribe", "test://one");
    assert_eq!(answer["result"], json!({}), "{answer}");
    std::thread::sleep(std::time::Duration::from_secs(4));
    session.headers[0].1 = format!("Bearer {}", gateway.token());
    said(&session, "stub__touch", "test://one");
    assert_eq!(heard(&stream), ("test://one".to_owned(), Value::Null));
}

/// The bug: who watched a resource of a server that died heard nothing more. Now the server is had to watch again,
/// watchers are told that something may have changed, and who has left is not watched for.
fn is_heard_of_again(gateway: &Gateway, watched: impl Fn(&Http) -> Vec<String>) {
    let (first, second) = (session(gateway, "tester"), session(gateway, "tester"));
    let stream = first.listen();
    subscribe(&first, "resources/subscribe", "test://one");
    subscribe(&second, "resources/subscribe", "test://two");
    // However it is answered.
    let _ = first.post(&call(8, "stub__die", &json!({"text": ""})));
    assert_eq!(second.delete().status, 204);
    assert_eq!(heard(&stream), ("test://one".to_owned(), Value::Null));
    said(&first, "stub__touch", "test://two");
    said(&first, "stub__touch", "test://one");
    assert_eq!(heard(&stream), ("test://one".to_owned(), Value::Null));
    assert_eq!(watched(&first), ["test://one"]);
}

#[test]
fn what_was_watched_is_watched_again_after_a_server_of_sessions_died() {
    is_heard_of_again(&of_sessions(), watched_at_stub);
}

#[test]
fn what_was_watched_is_watched_again_after_a_server_of_the_modern_era_died() {
    is_heard_of_again(&modern_behind_pipes(), watched_over_pipes);
}

#[test]
fn who_watches_is_told_that_a_stream_was_cut_off_and_hears_on() {
    let alone = Alone::start();
    let gateway = start(&format!("alone: {{ url: {:?} }}", alone.url()));
    let first = session(&gateway, "tester");
    let stream = first.listen();
    subscribe(&first, "resources/subscribe", "test://one");
    assert_eq!(said(&first, "alone__cut", ""), "cut");
    assert_eq!(heard(&stream), ("test://one".to_owned(), Value::Null));
    for uri in ["test://two", "test://one"] {
        said(&first, "alone__touch", uri);
    }
    assert_eq!(heard(&stream), ("test://one".to_owned(), Value::Null));
}
