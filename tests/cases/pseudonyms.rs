//! Pseudonyms go through real servers that check formats themselves, and back: with validators of PyPI on every field, a
//! real client, and every byte it was sent taken down on the way.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use e2e::{gateway::Gateway, peers, recorder::Recorder};
use serde_json::{Value, json};

/// Whoever may know the originals is said by labels: no rule names a server that may.
const RULES: &[&str] = &[
    r#"@pseudonymise("personal") permit(principal, action == Action::"invoke", resource in Server::"records");"#,
    r#"@reveal("personal") permit(principal, action == Action::"invoke", resource)
       when { context.purpose == "treatment" && resource.categories.contains("phi") };"#,
    r#"permit(principal, action == Action::"invoke", resource in Server::"desk");"#,
    r#"permit(principal, action == Action::"invoke", resource in Server::"outside");"#,
];

/// One program three times: it gives out records, it may have them, and it may not.
fn house(peers: &Path, front: &Recorder) -> Gateway {
    let mut gateway = Gateway::configured("");
    let python = peers.join("py2/bin/python");
    let script = peers::script("records_server.py");
    let server = |name: &str, rest: &str| {
        fs::create_dir(gateway.path(name)).expect("a directory");
        let kept = gateway.path(name).join("kept");
        format!(
            "\x20 {name}: {{ command: {python:?}, args: [{script:?}], env: {{ KEPT: {kept:?} }}, {rest} }}\n",
        )
    };
    let servers = [
        server("records", "trust: trusted, tools: { \"*\": { sink: read } }"),
        server(
            "desk",
            "trust: trusted, labels: { categories: [phi] }, tools: { \"*\": { sink: write } }",
        ),
        server("outside", "trust: untrusted, tools: { \"*\": { sink: write } }"),
    ];
    let yaml = format!(
        "mcpServers:\n{}approve: all\nhosts: [ \"{}\" ]\n\
         purposes: [ {{ name: treatment, description: care }}, {{ name: billing, description: money }} ]\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", purposes: [treatment, billing] }} ]\n\
         policy: {{ packs: [baseline], rules: {} }}\n\
         listen: \"127.0.0.1:0\"\ndata: ./state\n",
        servers.concat(),
        front.address(),
        json!(RULES)
    );
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a configuration");
    gateway.run();
    // Python takes longer to start than the gateway; a client that comes before would be told of no such tools.
    gateway.wait_for_servers();
    front.lead_to(
        gateway
            .base()
            .trim_start_matches("http://")
            .parse()
            .expect("an address"),
    );
    gateway
}

/// A session of FastMCP's client.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn open(peers: &Path, gateway: &Gateway, front: &Recorder) -> Self {
        let mut child = Command::new(peers.join("py2/bin/python"))
            .arg(peers::script("records_client.py"))
            .env("GATEWAY", format!("http://{}/mcp", front.address()))
            .env("TOKEN", gateway.token())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client starts");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, input, output }
    }

    fn call(&mut self, tool: &str, purpose: Option<&str>, arguments: &Value) -> Value {
        let asked = json!({"tool": tool, "purpose": purpose, "arguments": arguments});
        writeln!(self.input, "{asked}").expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{asked}: {error}: {line}"))
    }

    /// A call that the server does not refuse: what it was told has the right formats.
    fn good(&mut self, tool: &str, purpose: Option<&str>, arguments: &Value) -> Value {
        let answer = self.call(tool, purpose, arguments);
        assert_eq!(answer["error"], json!(false), "{tool} {arguments}: {answer}");
        answer
    }

    /// The record of a person as a model sees it: the same in words and in data.
    fn looked_up(&mut self, number: usize) -> Value {
        let answer = self.good("records__look_up", None, &json!({"number": number}));
        let text = answer["texts"][0].as_str().expect("a text");
        let told: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(
            told, answer["data"],
            "a value has one pseudonym wherever it stands"
        );
        told
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The records as they are, from the server itself.
fn originals(peers: &Path) -> Vec<Value> {
    let said = Command::new(peers.join("py2/bin/python"))
        .arg("-c")
        .arg("import records_server as r\nfor n in (0, 1): print(r.record(n).model_dump_json())")
        .env("PYTHONPATH", peers::script("."))
        .output()
        .expect("Python");
    assert!(said.status.success(), "{said:?}");
    lines(&String::from_utf8_lossy(&said.stdout))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn kept(gateway: &Gateway, server: &str) -> String {
    fs::read_to_string(gateway.path(server).join("kept")).unwrap_or_default()
}

/// Every value of a record that says who somebody is, with where it stands.
fn values(record: &Value) -> Vec<(String, String)> {
    fn walk(at: &str, value: &Value, into: &mut Vec<(String, String)>) {
        match value {
            Value::Array(list) => {
                for (n, value) in list.iter().enumerate() {
                    walk(&format!("{at}/{n}"), value, into);
                }
            }
            Value::Object(members) => {
                for (name, value) in members.iter().filter(|(name, _)| *name != "kind") {
                    walk(&format!("{at}/{name}"), value, into);
                }
            }
            Value::String(text) => into.push((at.to_owned(), text.clone())),
            Value::Bool(_) | Value::Null | Value::Number(_) => {}
        }
    }
    let mut into = Vec::new();
    walk("", record, &mut into);
    into
}

/// The words about what was changed, of every call that had an outcome.
fn changed(gateway: &Gateway, server: &str) -> Vec<String> {
    let entries = gateway.ledger();
    let outcomes = entries
        .iter()
        .filter(|entry| entry["kind"] == "outcome" && entry["server"] == server);
    outcomes
        .map(|entry| entry["detail"]["changed"].as_str().unwrap_or_default().to_owned())
        .collect()
}

// CONTROL: minimisation leaks
#[test]
fn pseudonyms_pass_a_servers_own_validators_and_come_back_only_where_the_label_says_so() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let front = Recorder::start();
    let gateway = house(&peers, &front);
    let originals = originals(&peers);
    let mut session = Session::open(&peers, &gateway, &front);
    let told = [session.looked_up(0), session.looked_up(1)];
    for (told, original) in told.iter().zip(&originals) {
        for ((at, told), (_, original)) in values(told).iter().zip(values(original)) {
            assert_ne!(*told, original, "{at} was not disguised");
        }
    }
    for person in &told {
        let person = json!({"person": person});
        // The servers' validators take both: what nobody may know, and what it stands for.
        session.good("outside__register", Some("treatment"), &person);
        session.good("desk__register", Some("billing"), &person);
        session.good("desk__register", Some("treatment"), &person);
    }
    assert_eq!(
        lines(&kept(&gateway, "outside")),
        told,
        "pseudonyms, without the label"
    );
    let at_the_desk: Vec<&Value> = told
        .iter()
        .zip(&originals)
        .flat_map(<[&Value; 2]>::from)
        .collect();
    assert_eq!(
        lines(&kept(&gateway, "desk")).iter().collect::<Vec<_>>(),
        at_the_desk,
        "pseudonyms for another purpose, every original for this one"
    );

    // In words of the model's own, and in the next session.
    drop(session);
    let mut session = Session::open(&peers, &gateway, &front);
    assert_eq!([session.looked_up(0), session.looked_up(1)], told, "stable");
    let letter = |person: &Value| {
        let [name, card] = ["name", "card"].map(|at| person[at].as_str().expect("a text"));
        json!({"to": person["email"], "letter": format!("Dear {name}, we charged your card {card}.")})
    };
    for (told, original) in told.iter().zip(&originals) {
        session.good("desk__write", Some("treatment"), &letter(told));
        session.good("outside__write", Some("treatment"), &letter(told));
        let said = |asked: &Value| {
            let [to, letter] = ["to", "letter"].map(|at| asked[at].as_str().expect("a text"));
            format!("{to}: {letter}")
        };
        let last = |server: &str| {
            kept(&gateway, server)
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned()
        };
        assert_eq!(last("desk"), said(&letter(original)));
        assert_eq!(last("outside"), said(&letter(told)));
    }
    drop(session);
    nothing_leaked(&front, &originals, &told);
    reveals_are_recorded(&gateway);
}

/// Of all bytes the clients were sent.
fn nothing_leaked(front: &Recorder, originals: &[Value], told: &[Value]) {
    let heard = String::from_utf8_lossy(&front.answered()).into_owned();
    let stands = |value: &str| heard.contains(value);
    for (at, value) in told.iter().flat_map(values) {
        assert!(
            stands(&value),
            "{at}: {value} is not in what was heard, so nothing would be found there"
        );
    }
    for (at, value) in originals.iter().flat_map(values) {
        assert!(!stands(&value), "{at}: {value}");
        let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
        assert!(!stands(&plain), "{at}: {plain}");
    }
}

fn reveals_are_recorded(gateway: &Gateway) {
    let desk = changed(gateway, "desk");
    let count = |lines: &[String], word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!(count(&desk, "reveal "), 4, "{desk:?}");
    let outside = changed(gateway, "outside");
    assert_eq!(count(&outside, "reveal "), 0, "{outside:?}");
    // Two records and two letters; at the desk, the two records that were for billing.
    assert_eq!(count(&outside, "not revealed "), 4, "{outside:?}");
    assert_eq!(count(&desk, "not revealed "), 2, "{desk:?}");
}

#[test]
fn a_server_refuses_what_is_no_number_of_its_kind() {
    // What the other test rests on: these validators do refuse.
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let front = Recorder::start();
    let gateway = house(&peers, &front);
    let mut session = Session::open(&peers, &gateway, &front);
    let good = originals(&peers).remove(0);
    session.good("outside__register", None, &json!({"person": good}));
    for (at, value) in [
        ("/email", "ann@nowhere"),
        ("/phones/0", "+1 415-155-2671"),
        ("/card", "4111 1111 1111 1112"),
        ("/ssn", "966-90-4399"),
        ("/sin", "123 456 783"),
        ("/dni", "54362315A"),
        ("/personnummer", "880340-0016"),
        ("/steuer_id", "36574261808"),
        ("/born", "1984-31-12"),
        ("/address", "192.0.2.256"),
        ("/bank/iban", "DE88370400440532013000"),
        ("/bank/routing", "111000026"),
        ("/numbers/0/value", "943 476 5871"),
        ("/numbers/1/value", "44951401353"),
        ("/numbers/2/value", "234123412347"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(at).expect("a field") = json!(value);
        let answer = session.call("outside__register", None, &json!({"person": bad}));
        assert_eq!(answer["error"], json!(true), "{at}: {value}");
    }
}
