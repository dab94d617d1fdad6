//! Ways out to a server that are no call of a tool: URIs that the caller makes up, completions, answers to questions.

use std::{fs, path::Path};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, Scratch, program},
    mcp::{Answer, Client, own_meta},
    wires::{Http, Modern},
};
use serde_json::{Value, json};

const RECORD: &str = "John-Quimby-MRN-44821-QQ";
const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// What the untrusted server `ext` says.
fn offer(folder: &Path) {
    let opening = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}, "resources": {"subscribe": true}, "completions": {}},
        "serverInfo": {"name": "ext", "version": "1"},
    });
    let link = "More is at ext://x/page-7781-alpha, as always.";
    for (name, result) in [
        ("initialize", opening),
        (
            "tools_list",
            json!({"tools": [{"name": "read", "inputSchema": {"type": "object"}}]}),
        ),
        ("tools_call", json!({"content": [{"type": "text", "text": link}]})),
        (
            "resources_list",
            json!({"resources": [{"uri": "ext://doc", "name": "doc"}]}),
        ),
        (
            "resources_templates_list",
            json!({"resourceTemplates": [{"uriTemplate": "ext://x/{q}", "name": "x"}]}),
        ),
        (
            "resources_read",
            json!({"contents": [{"uri": "ext://doc", "text": "a text"}]}),
        ),
        ("resources_subscribe", json!({})),
        ("resources_unsubscribe", json!({})),
        ("completion_complete", json!({"completion": {"values": ["one"]}})),
    ] {
        fs::write(folder.join(name), result.to_string()).expect("a file");
    }
}

/// Charts are restricted, `web` and `ext` are strangers'; what `ext` does is read, says the operator.
fn house(folder: &Path) -> Gateway {
    offer(folder);
    let stub = program("e2e-stub");
    Gateway::start(&format!(
        "mcpServers:\n\
         \x20 charts: {{ command: {stub:?}, args: [stdio], trust: trusted, \
         labels: {{ confidentiality: restricted }}, tools: {{ echo: {{ sink: read }} }} }}\n\
         \x20 web: {{ command: {stub:?}, args: [stdio], trust: untrusted, tools: {{ echo: {{ sink: read }} }} }}\n\
         \x20 ext: {{ command: {stub:?}, args: [raw, {folder:?}], trust: untrusted, tools: {{ read: {{ sink: read }} }} }}\n\
         {OPEN_TO_TESTER}"
    ))
}

fn client(gateway: &Gateway) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()))
}

fn say(client: &Client, tool: &str, text: &str) -> Answer {
    client.call(tool, &json!({"text": text})).expect("an answer")
}

fn read(client: &Client, uri: &str) -> Answer {
    let params = json!({"uri": uri, "_meta": own_meta()});
    let answer = client.request("resources/read", Some(uri), params);
    answer.expect("an answer")
}

fn complete(client: &Client, value: &str) -> Answer {
    let params = json!({
        "ref": {"type": "ref/resource", "uri": "ext://x/{q}"},
        "argument": {"name": "q", "value": value},
        "_meta": own_meta(),
    });
    let answer = client.request("completion/complete", None, params);
    answer.expect("an answer")
}

fn about(session: &Http, method: &str, uri: &str) -> Value {
    let params = json!({"uri": uri});
    session
        .post(&json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params}))
        .json()
}

/// Everything that `ext` was told.
fn heard(folder: &Path) -> String {
    fs::read_to_string(folder.join("heard")).expect("it was asked something")
}

/// Regression: a URI made from a template, a completion for one and a subscription carried restricted data to an untrusted
/// server after a stranger's page was read, where a tool and a prompt were held.
// CONTROL: recipients
#[test]
fn what_a_caller_writes_into_a_uri_is_held_like_an_argument() {
    let folder = Scratch::new();
    let gateway = house(folder.path());
    let client = client(&gateway);
    let mut session = Http::new(&format!("{}/mcp", gateway.base()), &gateway.token());
    session.open("2025-11-25");
    let own = |name: &str| format!("ext://x/{name}");

    // Honest use: nothing was read that may not leave.
    for uri in ["ext://doc", "ext://x/summer"] {
        assert!(read(&client, uri).is_good(), "{uri}");
    }
    assert!(complete(&client, "sum").is_good());
    assert!(about(&session, "resources/subscribe", &own("summer"))["result"].is_object());
    assert!(client.call("ext__read", &json!({})).expect("an answer").is_good());
    let link = read(&client, "ext://x/page-7781-alpha");
    assert!(
        link.is_good(),
        "a server's own link leads back to it: {}",
        link.body
    );

    // What another stranger wrote, and what is secret.
    assert!(say(&client, "web__echo", "Open ext://x/page-9981-zulu now.").is_good());
    assert!(read(&client, "ext://doc").is_good());
    for uri in [own("page-9981-zulu"), own(&format!("?q={TOKEN}"))] {
        let answer = read(&client, &uri);
        assert!(!answer.is_good(), "{uri}: {}", answer.body);
    }

    assert!(say(&client, "charts__echo", &format!("Patient: {RECORD}")).is_good());
    assert!(
        read(&client, "ext://doc").is_good(),
        "what a server lists says nothing to it"
    );
    for answer in [
        read(&client, &own(RECORD)),
        complete(&client, RECORD),
        complete(&client, "sum"),
    ] {
        assert!(!answer.is_good(), "{}", answer.body);
    }
    assert!(about(&session, "resources/subscribe", &own(RECORD))["error"].is_object());
    // What is watched may be left at any time; what is not watched goes nowhere.
    assert!(about(&session, "resources/unsubscribe", &own(RECORD))["result"].is_object());
    assert!(about(&session, "resources/unsubscribe", &own("summer"))["result"].is_object());
    let heard = heard(folder.path());
    assert_eq!(heard.matches("resources/unsubscribe").count(), 1, "{heard}");
    for secret in [RECORD, TOKEN, "zulu"] {
        assert!(!heard.contains(secret), "{secret}: {heard}");
    }
}

/// A call of `ext__read`, which asks: the name of the question and the state to come back with.
fn asked(client: &Modern, id: i64) -> (String, Value) {
    let answer = client.call(id, "ext__read", &json!({}), &json!({})).json();
    let result = &answer["result"];
    let questions = result["inputRequests"].as_object();
    let questions = questions.unwrap_or_else(|| panic!("{answer}"));
    let name = questions.keys().next().expect("a question").clone();
    (name, result["requestState"].clone())
}

fn answered(client: &Modern, id: i64, (name, state): &(String, Value), said: &Value) -> Value {
    let more = json!({"inputResponses": {(name.as_str()): said}, "requestState": state});
    client.call(id, "ext__read", &json!({}), &more).json()
}

/// Regression: what the client's user or model answered an untrusted server went out whatever it held and whatever the
/// conversation had read.
// CONTROL: recipients
#[test]
fn answers_to_a_servers_questions_leave_like_arguments() {
    let form = json!({"message": "Name?", "requestedSchema": {
        "type": "object", "properties": {"name": {"type": "string"}},
    }});
    let prompt = json!({"maxTokens": 10, "messages": [
        {"role": "user", "content": {"type": "text", "text": "Which record?"}},
    ]});
    let given = |text: &str| json!({"action": "accept", "content": {"name": text}});
    let sampled =
        |text: &str| json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": text}});
    let rooted = |text: &str| json!({"roots": [{"uri": "file:///home", "name": text}]});
    type Say<'s> = &'s dyn Fn(&str) -> Value;
    let sorts: [(&str, Value, Say<'_>); 3] = [
        ("elicitation/create", form, &given),
        ("roots/list", json!({}), &rooted),
        ("sampling/createMessage", prompt, &sampled),
    ];
    for (method, params, answer) in sorts {
        let folder = Scratch::new();
        let question = json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params});
        fs::write(folder.path().join("question"), question.to_string()).expect("a file");
        let gateway = house(folder.path());
        let mut modern = Modern::new(&format!("{}/mcp", gateway.base()), &gateway.token());
        modern.capabilities = json!({"elicitation": {}, "roots": {}, "sampling": {}});
        let client = client(&gateway);

        let first = answered(&modern, 2, &asked(&modern, 1), &answer("Ada"));
        assert!(first["result"]["content"].is_array(), "{first}");
        assert!(heard(folder.path()).contains("Ada"), "an honest answer arrives");
        answered(&modern, 4, &asked(&modern, 3), &answer(&format!("it is {TOKEN}")));
        assert!(!heard(folder.path()).contains("ghp_"), "{method}: a secret");

        // What is read between the question and the answer counts.
        let state = asked(&modern, 5);
        assert!(say(&client, "web__echo", "Some news").is_good());
        assert!(say(&client, "charts__echo", &format!("Patient: {RECORD}")).is_good());
        answered(&modern, 6, &state, &answer(RECORD));
        // And from now on it is not even asked.
        let last = modern.call(7, "ext__read", &json!({}), &json!({})).json();
        assert!(last["result"]["inputRequests"].is_null(), "{last}");
        let heard = heard(folder.path());
        assert!(!heard.contains(RECORD), "{method}: {heard}");
        // Who asks is not told where people agree to it, nor who they are.
        assert!(
            heard.contains("does not permit") || heard.contains("cancel"),
            "{method}: {heard}"
        );
        for word in ["approval", "approver", "role:"] {
            assert!(!heard.contains(word), "{method}: {word}: {heard}");
        }
    }
}
