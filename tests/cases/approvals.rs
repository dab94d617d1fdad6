//! Human approval from outside: a call is held, people decide, and exactly that call passes exactly once.

use std::process::Output;

use e2e::{
    gateway::{Gateway, program},
    mcp::{Answer, Client},
};
use serde_json::{Value, json};

/// `tester` acts for alice; two of the controllers must agree to `echo`.
const FOUR_EYES: &str = r#"
approve: all
users:
  - { name: alice, roles: [controller] }
  - { name: bob, roles: [clerk] }
  - { name: carol, roles: [controller] }
  - { name: dave, roles: [controller] }
agents: [ { name: tester, secret: "env:TESTER_SECRET", roles: [tester], for: [alice] } ]
policy:
  packs: [baseline]
  rules:
    - 'permit(principal in Role::"tester", action, resource);'
    - |
      @id("four-eyes") @reason("two controllers agree first") @approve("role:controller 2")
      forbid(principal, action == Action::"invoke", resource == Tool::"stub__echo");
"#;

/// The same, and everybody has a secret to decide with in a browser.
const WITH_SECRETS: &str = r#"
approve: all
users:
  - { name: alice, roles: [controller], secret: "env:ALICE_SECRET" }
  - { name: carol, roles: [controller], secret: "env:CAROL_SECRET" }
  - { name: dave, roles: [controller], secret: "env:DAVE_SECRET" }
agents: [ { name: tester, secret: "env:TESTER_SECRET", roles: [tester], for: [alice] } ]
policy:
  packs: [baseline]
  rules:
    - 'permit(principal in Role::"tester", action, resource);'
    - |
      @id("four-eyes") @reason("two controllers agree first") @approve("role:controller 2")
      forbid(principal, action == Action::"invoke", resource == Tool::"stub__echo");
"#;

/// The variables their secrets stand in.
const PEOPLE: [(&str, &str); 3] = [
    ("ALICE_SECRET", "alice-7c1f0b39d2aa45e8"),
    ("CAROL_SECRET", "carol-b02e51c9a7d84f36"),
    ("DAVE_SECRET", "dave-93ad60e8f17b4c25"),
];

fn stubbed(yaml: &str) -> String {
    let stub = program("e2e-stub");
    format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{yaml}")
}

fn start(yaml: &str) -> (Gateway, Client) {
    let gateway = Gateway::start(&stubbed(yaml));
    let client = client(&gateway);
    (gateway, client)
}

fn client(gateway: &Gateway) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()))
}

fn echo(client: &Client, text: &str) -> Answer {
    client
        .call("stub__echo", &json!({ "text": text }))
        .expect("an answer")
}

/// The one approval that waits.
fn waiting(gateway: &Gateway) -> Value {
    let mut all = gateway.json(&["approvals", "list"]);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn decide(gateway: &Gateway, verb: &str, id: &str, user: &str) -> Output {
    gateway.output(&["approvals", verb, id, "--as", user])
}

fn agree(gateway: &Gateway, id: &str, user: &str) {
    let output = decide(gateway, "approve", id, user);
    assert!(output.status.success(), "{user}: {output:?}");
}

// CONTROL: people-decide
#[test]
fn a_held_call_passes_once_when_enough_people_agree() {
    let (gateway, client) = start(FOUR_EYES);
    let held = echo(&client, "pay");
    let one = waiting(&gateway);
    let id = one["id"].as_str().expect("an id").to_owned();
    assert!(!held.is_good(), "{held:?}");
    assert!(
        held.text().contains("not-approved") && held.text().contains(&id),
        "{}",
        held.text()
    );
    assert_eq!(
        held.body["result"]["_meta"]["io.sallyport/call"]["approval"],
        json!(id)
    );
    assert_eq!(one["tool"], json!("stub__echo"));
    assert_eq!(one["args"], json!({"text": "pay"}));
    assert_eq!(one["requester"], json!({"user": "alice", "agent": "tester"}));
    assert_eq!((&one["needed"], &one["given"]), (&json!(2), &json!(0)));
    assert!(
        one["expires"].as_str().is_some_and(|time| time.ends_with('Z')),
        "{one}"
    );

    // Not the requester, not its agent, not who has no right to; each is told why, and nothing counts.
    for (user, code) in [("alice", 3), ("tester", 3), ("bob", 3), ("mallory", 2)] {
        let output = decide(&gateway, "approve", &id, user);
        assert_eq!(output.status.code(), Some(code), "{user}: {output:?}");
    }
    agree(&gateway, &id, "carol");
    assert_eq!(
        decide(&gateway, "approve", &id, "carol").status.code(),
        Some(3),
        "one person is one"
    );
    assert!(!echo(&client, "pay").is_good(), "one of two is not enough");
    agree(&gateway, &id, "dave");
    assert!(
        !echo(&client, "pay more").is_good(),
        "other arguments were not agreed to"
    );
    assert!(echo(&client, "pay").is_good());
    assert!(!echo(&client, "pay").is_good(), "a yes is used up");

    let ledger = gateway.ledger();
    let of = |kind: &str| -> Vec<&Value> {
        ledger
            .iter()
            .filter(|entry| entry["kind"] == json!(kind))
            .collect()
    };
    let acts: Vec<_> = of("approval")
        .iter()
        .filter(|entry| entry["detail"]["approval"] == json!(id))
        .map(|entry| {
            let by = entry["detail"]["by"].as_str().unwrap_or("-");
            format!(
                "{} {} {by}",
                entry["action"].as_str().unwrap_or("-"),
                entry["decision"].as_str().unwrap_or("-")
            )
        })
        .collect();
    assert_eq!(
        acts,
        [
            "requested hold -",
            "granted permit carol",
            "granted permit dave",
            "used permit -"
        ]
    );
    let holds = of("refusal")
        .into_iter()
        .filter(|entry| entry["decision"] == json!("hold"));
    assert!(holds.clone().count() >= 3);
    assert!(
        holds
            .clone()
            .all(|entry| entry["code"] == json!("not-approved") && entry["stage"] == json!("approve"))
    );
    assert!(
        of("intent")
            .iter()
            .any(|entry| entry["detail"]["approval"] == json!(id))
    );
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn what_waits_and_what_was_agreed_survive_a_power_failure() {
    let (mut gateway, client) = start(FOUR_EYES);
    echo(&client, "pay");
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    agree(&gateway, &id, "carol");
    gateway.kill();
    // Without a gateway the command does it to the data directory.
    agree(&gateway, &id, "dave");
    gateway.run();
    let one = waiting(&gateway);
    assert_eq!((&one["id"], &one["given"]), (&json!(id), &json!(2)), "{one}");
    let client = self::client(&gateway);
    assert!(echo(&client, "pay").is_good());
    assert!(!echo(&client, "pay").is_good());
}

#[test]
fn a_no_stays_a_no() {
    let (gateway, client) = start(FOUR_EYES);
    echo(&client, "pay");
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    let output = gateway.output(&[
        "approvals",
        "deny",
        &id,
        "--as",
        "carol",
        "--why",
        "unknown payee",
    ]);
    assert!(output.status.success(), "{output:?}");
    let answer = echo(&client, "pay");
    assert!(answer.text().contains("said no"), "{}", answer.text());
    assert_eq!(decide(&gateway, "approve", &id, "dave").status.code(), Some(3));
    let ledger = gateway.ledger();
    let denied = ledger
        .iter()
        .find(|entry| entry["kind"] == json!("approval") && entry["action"] == json!("denied"))
        .expect("an entry");
    assert_eq!(denied["reason"], json!("unknown payee"));
    assert_eq!(
        gateway
            .output(&["approvals", "approve", "nothing", "--as", "dave"])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn deceptive_text_is_made_visible_to_whoever_decides() {
    let (gateway, client) = start(FOUR_EYES);
    let answer = echo(
        &client,
        "pay bob\u{202e}lorac\u{200b}\u{1b}[2J\u{1b}[1;1Happroved",
    );
    let waits = gateway.json(&["approvals", "list"]);
    let id = waits
        .first()
        .and_then(|one| one["id"].as_str())
        .unwrap_or_else(|| panic!("nothing waits: {answer:?}"));
    let shown = gateway.output(&["approvals", "show", id]);
    let shown = String::from_utf8(shown.stdout).expect("UTF-8");
    for mark in [
        "⟦U+202E⟧",
        "⟦U+200B⟧",
        "⟦U+001B⟧[2J",
        "two controllers agree first",
        "tester for alice",
    ] {
        assert!(shown.contains(mark), "{mark} is missing in {shown}");
    }
    assert!(!shown.contains(['\u{202e}', '\u{200b}', '\u{1b}']), "{shown}");
}

/// What a client that opens URLs for its user says it can do.
fn opens_urls() -> Value {
    json!({ "elicitation": { "url": {} } })
}

/// `tools/call` of `echo` by a modern client that opens URLs, with further parameters.
fn ask_echo(client: &Client, text: &str, more: &Value) -> Answer {
    let mut meta = e2e::mcp::own_meta();
    meta["io.modelcontextprotocol/clientCapabilities"] = opens_urls();
    let mut params = json!({"name": "stub__echo", "arguments": {"text": text}, "_meta": meta});
    for (name, value) in more.as_object().into_iter().flatten() {
        params[name] = value.clone();
    }
    client
        .request("tools/call", Some("stub__echo"), params)
        .expect("an answer")
}

/// A form as a browser sends it, and the page that comes back.
fn post_form(url: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent: ureq::Agent = config.into();
    let answer = agent
        .post(url)
        .send_form(fields.iter().copied())
        .expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.into_body().read_to_string().unwrap_or_default())
}

#[test]
fn a_modern_client_is_asked_to_open_a_page_where_people_decide_with_their_own_secret() {
    let mut gateway = Gateway::configured(&stubbed(WITH_SECRETS)).with_variables(&PEOPLE);
    gateway.run();
    let client = client(&gateway);
    let asked = ask_echo(&client, "pay <b>bob\u{202e}</b>", &json!({}));
    let result = &asked.body["result"];
    assert_eq!(result["resultType"], json!("input_required"), "{}", asked.body);
    let question = &result["inputRequests"]["io.sallyport/approval"];
    assert_eq!(question["method"], json!("elicitation/create"));
    assert_eq!(question["params"]["mode"], json!("url"));
    let url = question["params"]["url"].as_str().expect("a URL").to_owned();

    let page = ureq::get(&url).call().expect("a page");
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap_or_default();
    assert!(
        policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"),
        "{policy}"
    );
    let page = page.into_body().read_to_string().expect("HTML");
    assert!(page.contains("pay &lt;b&gt;bob⟦U+202E⟧&lt;/b&gt;"), "{page}");
    assert!(!page.contains('\u{202e}') && !page.contains("<b>"), "{page}");

    // The requester's own user, somebody with another's name, and nobody at all: no word of theirs counts.
    for (user, secret, status) in [
        ("alice", PEOPLE[0].1, 403),
        ("carol", PEOPLE[0].1, 403),
        ("mallory", "x", 403),
        ("tester", e2e::gateway::SECRET, 403),
    ] {
        let got = post_form(&url, &[("user", user), ("secret", secret), ("say", "approve")]);
        assert_eq!(got.0, status, "{user}: {}", got.1);
    }
    assert_eq!(waiting(&gateway)["given"], json!(0));

    // The client's user has looked; the call waits for the two of them and then passes, once.
    let accepted = json!({"inputResponses": {"io.sallyport/approval": {"action": "accept"}}});
    let waits = {
        let (client, accepted) = (client.clone(), accepted.clone());
        std::thread::spawn(move || ask_echo(&client, "pay <b>bob\u{202e}</b>", &accepted))
    };
    for (user, secret) in [("carol", PEOPLE[1].1), ("dave", PEOPLE[2].1)] {
        let got = post_form(&url, &[("user", user), ("secret", secret), ("say", "approve")]);
        assert_eq!(got.0, 200, "{user}: {}", got.1);
    }
    let passed = waits.join().expect("an answer");
    assert!(
        passed.is_good() && passed.text().contains("bob"),
        "{}",
        passed.body
    );
    assert!(
        !passed.body.to_string().contains("io.sallyport/approval"),
        "{}",
        passed.body
    );
    let declined = json!({"inputResponses": {"io.sallyport/approval": {"action": "decline"}}});
    let held = ask_echo(&client, "pay <b>bob\u{202e}</b>", &declined);
    assert!(
        held.text().contains("not-approved"),
        "asked again, and not in a circle: {}",
        held.body
    );
}

/// Regression: a call that waited for people passed under the rules of the time it came, whatever was in force by then.
#[test]
fn a_call_that_waits_does_not_outlive_the_rules_that_let_it_wait() {
    let mut gateway = Gateway::configured(&stubbed(WITH_SECRETS)).with_variables(&PEOPLE);
    gateway.run();
    let client = client(&gateway);
    ask_echo(&client, "pay", &json!({}));
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    let accepted = json!({"inputResponses": {"io.sallyport/approval": {"action": "accept"}}});
    let waits = std::thread::spawn(move || ask_echo(&client, "pay", &accepted));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let path = gateway.path("sallyport.yaml");
    let yaml = std::fs::read_to_string(&path).expect("a configuration");
    let closed =
        "  rules:\n    - '@id(\"closed\") forbid(principal, action == Action::\"invoke\", resource);'\n";
    std::fs::write(&path, yaml.replace("  rules:\n", closed)).expect("a configuration");
    let in_force = |gateway: &Gateway| {
        let ledger = gateway.ledger();
        let found = ledger.iter().filter(|entry| entry["action"] == json!("in-force"));
        found.count()
    };
    let changed = (0..300).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        in_force(&gateway) == 2
    });
    assert!(changed, "other rules are in force");
    for user in ["carol", "dave"] {
        agree(&gateway, &id, user);
    }
    let answer = waits.join().expect("an answer");
    assert!(!answer.is_good(), "{answer:?}");
    assert!(
        answer.body.to_string().contains("the rules changed"),
        "{answer:?}"
    );
    let intents = gateway.ledger();
    assert!(
        !intents
            .iter()
            .any(|entry| entry["kind"] == json!("intent") && entry["tool"] == json!("echo"))
    );
}

#[test]
fn guessing_at_a_persons_secret_stops_to_work() {
    let mut gateway = Gateway::configured(&stubbed(WITH_SECRETS)).with_variables(&PEOPLE);
    gateway.run();
    echo(&client(&gateway), "pay");
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    let url = format!("{}/approvals/{id}", gateway.base());
    for _ in 0..5 {
        let got = post_form(
            &url,
            &[("user", "carol"), ("secret", "guess"), ("say", "approve")],
        );
        assert_eq!(got.0, 403);
    }
    let got = post_form(
        &url,
        &[("user", "carol"), ("secret", PEOPLE[1].1), ("say", "approve")],
    );
    assert!(
        got.0 == 403 && got.1.contains("try again in 1 seconds"),
        "{}",
        got.1
    );
    assert_eq!(
        ureq::get(format!("{url}x"))
            .call()
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default(),
        "http status: 404"
    );
}

#[test]
fn a_client_of_2025_11_25_gets_a_url_elicitation_and_hears_when_it_is_over() {
    let (gateway, _) = start(FOUR_EYES);
    let mut client = e2e::wires::Http::new(&format!("{}/mcp", gateway.base()), &gateway.token());
    let mut hello = e2e::wires::initialize("2025-11-25");
    hello["params"]["capabilities"] = opens_urls();
    let session = client
        .post(&hello)
        .header("mcp-session-id")
        .expect("a session")
        .to_owned();
    client.headers.push(("Mcp-Session-Id".to_owned(), session));
    let _ = client.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let call = e2e::wires::call(1, "stub__echo", &json!({"text": "pay"}));
    let asked = client.post(&call).json();
    assert_eq!(asked["error"]["code"], json!(-32042), "{asked}");
    let one = &asked["error"]["data"]["elicitations"][0];
    assert_eq!(one["mode"], json!("url"));
    let id = one["elicitationId"].as_str().expect("an id").to_owned();

    let mut request = ureq::get(format!("{}/mcp", gateway.base())).header("Accept", "text/event-stream");
    for (name, value) in &client.headers {
        request = request.header(name, value);
    }
    let stream = request.call().expect("a stream");
    let (heard, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::BufRead;
        let lines = std::io::BufReader::new(stream.into_body().into_reader()).lines();
        for line in lines.map_while(Result::ok) {
            if line.contains("notifications/elicitation/complete") {
                let _ = heard.send(line);
            }
        }
    });
    agree(&gateway, &id, "carol");
    agree(&gateway, &id, "dave");
    let told = told
        .recv_timeout(std::time::Duration::from_secs(30))
        .expect("the end of the elicitation");
    assert!(told.contains(&id), "{told}");
    let passed = client.post(&call).json();
    assert_ne!(passed["result"]["isError"], true, "{passed}");
    assert_eq!(
        client.post(&call).json()["error"]["code"],
        json!(-32042),
        "a yes is used up"
    );
}

#[test]
fn a_webhook_tells_what_waits_in_plain_text_and_signed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let (send, got) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // The first try fails, as it does when the far side restarts.
        for (n, stream) in listener.incoming().take(2).enumerate() {
            let Ok(mut stream) = stream else { return };
            let text = read_request(&mut stream);
            let status = if n == 0 { "503 Busy" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
            let _ = send.send(text);
        }
    });
    let hook = format!("approvals: {{ webhook: {{ url: {url:?}, secret: \"env:TESTER_SECRET\" }} }}\n");
    let (gateway, client) = start(&format!("{hook}{FOUR_EYES}"));
    echo(&client, "pay <https://evil.example|here> <!channel>\u{202e}");
    let wait = std::time::Duration::from_secs(30);
    let first = got.recv_timeout(wait).expect("a notice");
    let (head, body) = got.recv_timeout(wait).expect("a second try");
    assert_eq!(first.1, body, "the same notice");
    let header = |name: &str| {
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{name} is missing in {head}"))
            .trim()
            .to_owned()
    };
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    assert_eq!(header("webhook-id"), id);
    let signed = format!("{id}.{}.{body}", header("webhook-timestamp"));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, e2e::gateway::SECRET.as_bytes());
    let signature = header("webhook-signature");
    let tag = base64(signature.strip_prefix("v1,").expect("version 1"));
    aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &tag).expect("signed");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    for block in body["blocks"].as_array().expect("blocks") {
        let text = block["text"]["text"].as_str().unwrap_or_default();
        assert!(!text.contains('\u{202e}'), "{text}");
        if text.contains("evil.example") {
            assert_eq!(
                block["text"]["type"],
                json!("plain_text"),
                "no markup of somebody else's"
            );
        }
    }
    assert!(
        body["text"]
            .as_str()
            .is_some_and(|text| text.contains(&id) && !text.contains("evil"))
    );
}

#[test]
fn a_yes_to_similar_calls_is_bounded_and_ends() {
    // Trusted, so that its own answers do not change the labels the yes is bound to.
    let yaml = stubbed(FOUR_EYES).replace("args: [stdio]", "args: [stdio], trust: trusted");
    let gateway = Gateway::start(&yaml);
    let client = client(&gateway);
    echo(&client, "invoice-1");
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    let approve = |user: &str, bound: &str| {
        gateway.output(&[
            "approvals",
            "approve",
            &id,
            "--as",
            user,
            "--let",
            bound,
            "--uses",
            "3",
            "--for",
            "600",
        ])
    };
    assert_eq!(
        approve("carol", "text=*").status.code(),
        Some(2),
        "everything is no bound"
    );
    assert!(approve("carol", "text=invoice-*").status.success());
    assert_eq!(approve("dave", "text=in*").status.code(), Some(2));
    assert_eq!(
        approve("dave", "text=inv*").status.code(),
        Some(3),
        "they must agree to the same"
    );
    assert!(approve("dave", "text=invoice-*").status.success());
    assert_eq!(waiting(&gateway)["state"], json!("standing"));
    assert!(!echo(&client, "other").is_good());
    assert!(!echo(&client, "invoice-../../etc").is_good());
    for text in ["invoice-1", "invoice-2", "invoice-3"] {
        assert!(echo(&client, text).is_good(), "{text}");
    }
    assert!(!echo(&client, "invoice-4").is_good(), "it is used up");
}

#[test]
fn a_yes_expires_and_is_nobody_elses() {
    let two = FOUR_EYES.replace(
        "agents: [",
        "approvals: { expires: 4 }\nagents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester], for: [alice] },",
    );
    let (gateway, client) = start(&two);
    echo(&client, "pay");
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    agree(&gateway, &id, "carol");
    agree(&gateway, &id, "dave");
    let minted = gateway.json(&["token", "--agent", "other"]);
    let token = minted[0]["access_token"].as_str().expect("a token").to_owned();
    let thief = Client::new(format!("{}/mcp", gateway.base()), Some(token));
    assert!(!echo(&thief, "pay").is_good(), "it was agreed for `tester`");
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert!(!echo(&client, "pay").is_good(), "too late");
    let gone = decide(&gateway, "approve", &id, "carol");
    assert_eq!(gone.status.code(), Some(2), "{gone:?}");
}

#[test]
fn of_racing_calls_with_one_approval_one_reaches_the_server() {
    let (gateway, client) = start(FOUR_EYES);
    echo(&client, "race");
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    agree(&gateway, &id, "carol");
    agree(&gateway, &id, "dave");
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || (0..25).filter(|_| echo(&client, "race").is_good()).count())
        })
        .collect();
    let passed: usize = racers.into_iter().map(|racer| racer.join().expect("calls")).sum();
    assert_eq!(passed, 1);
    let sent = gateway
        .ledger()
        .iter()
        .filter(|entry| entry["kind"] == json!("intent") && entry["tool"] == json!("echo"))
        .count();
    assert_eq!(sent, 1);
}

#[test]
fn what_changes_between_the_yes_and_the_call_asks_anew() {
    let (mut gateway, client) = start(FOUR_EYES);
    echo(&client, "pay");
    let id = waiting(&gateway)["id"].as_str().expect("an id").to_owned();
    agree(&gateway, &id, "carol");
    agree(&gateway, &id, "dave");
    gateway.stop();
    let path = gateway.path("sallyport.yaml");
    let yaml = std::fs::read_to_string(&path).expect("a configuration");
    let other = yaml.replace("two controllers agree first", "three would be better");
    std::fs::write(&path, other).expect("a configuration");
    gateway.run();
    let client = self::client(&gateway);
    assert!(
        !echo(&client, "pay").is_good(),
        "they agreed under another policy"
    );
}

fn read_request(stream: &mut std::net::TcpStream) -> (String, String) {
    use std::io::{BufRead, Read};
    let mut reader = std::io::BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    (head, String::from_utf8_lossy(&body).into_owned())
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("base64")
}
