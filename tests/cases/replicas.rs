//! Two replicas on one PostgreSQL database: what one is told the other heeds, a yes counts once over both, and
//! neither lets calls pass while the database is away.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use e2e::{
    cluster::Cluster,
    gateway::{Gateway, SECRET, program},
    mcp::{Answer, Client},
};
use serde_json::json;

/// Two controllers must agree to `echo`; everything else is free.
const RULES: &str = r#"
approve: all
users:
  - { name: alice, roles: [controller] }
  - { name: carol, roles: [controller] }
  - { name: dave, roles: [controller] }
agents:
  - { name: tester, secret: "env:TESTER_SECRET", roles: [tester], for: [alice] }
  - { name: other, secret: "env:TESTER_SECRET", roles: [tester] }
policy:
  packs: [baseline]
  rules:
    - 'permit(principal in Role::"tester", action, resource);'
    - |
      @id("four-eyes") @reason("two controllers agree first") @approve("role:controller 2")
      forbid(principal, action == Action::"invoke", resource == Tool::"stub__echo");
"#;

/// The root key that replicas have in common.
const ROOT: [(&str, &str); 1] = [(
    "SALLYPORT_ROOT_KEY",
    "7f2ac91b5d08e4636ba1f0c2975e3d84a6b90e71c4f852d3196ca8e7b035fd42",
)];

fn replica(address: &str) -> Gateway {
    let stub = program("e2e-stub");
    let yaml = format!(
        "state: {address:?}\nmcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{RULES}"
    );
    let mut gateway = Gateway::configured(&yaml).with_variables(&ROOT);
    gateway.run();
    gateway.wait_for_servers();
    gateway
}

/// A replica that tells charts in pseudonyms, and letters what they stand for.
fn hospital(address: &str, memory: &Path) -> Gateway {
    let stub = program("e2e-stub");
    let gateway = Gateway::configured("");
    let rules = [
        r#"@pseudonymise("personal") permit(principal, action == Action::"invoke", resource in Server::"charts");"#,
        r#"@reveal("personal") permit(principal, action == Action::"invoke", resource in Server::"letters");"#,
    ];
    let yaml = format!(
        "state: {address:?}\nmcpServers:\n\
         \x20 charts: {{ command: {stub:?}, args: [stdio], trust: trusted, tools: {{ \"*\": {{ sink: read }} }} }}\n\
         \x20 letters: {{ command: {stub:?}, args: [stdio], env: {{ STUB_MEMORY: {memory:?} }}, trust: trusted, \
         tools: {{ \"*\": {{ sink: write }} }} }}\n\
         approve: all\nagents: [ {{ name: tester, secret: \"env:TESTER_SECRET\" }} ]\n\
         policy: {{ packs: [baseline], rules: {} }}\nlisten: \"127.0.0.1:0\"\ndata: ./state\n",
        json!(rules)
    );
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a configuration");
    let mut gateway = gateway.with_variables(&ROOT);
    gateway.run();
    gateway.wait_for_servers();
    gateway
}

fn client(gateway: &Gateway, agent: &str) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)))
}

fn call(client: &Client, tool: &str) -> Answer {
    client.call(tool, &json!({ "text": "x" })).expect("an answer")
}

fn done(gateway: &Gateway, args: &[&str]) {
    let output = gateway.output(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
}

/// Waits for what has to come.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..300 {
        if is() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("it never came: {what}");
}

#[test]
fn what_one_replica_is_told_the_other_heeds() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.database("two");
    let (one, two) = (replica(&address), replica(&address));
    let (at_one, at_two) = (client(&one, "tester"), client(&two, "tester"));
    let (other_at_one, other_at_two) = (client(&one, "other"), client(&two, "other"));
    for client in [&at_one, &at_two, &other_at_one, &other_at_two] {
        assert!(call(client, "stub__subscriptions").is_good());
    }

    // The question is put to one, answered at the other, and the answer used once, whoever is quicker.
    assert!(!call(&at_one, "stub__echo").is_good());
    let mut id = String::new();
    until("the question", || {
        let all = two.json(&["approvals", "list"]);
        id = all
            .first()
            .and_then(|one| one["id"].as_str())
            .unwrap_or_default()
            .to_owned();
        all.len() == 1
    });
    done(&two, &["approvals", "approve", &id, "--as", "carol"]);
    until("carol's word", || {
        one.json(&["approvals", "list"])[0]["given"] == json!(1)
    });
    done(&one, &["approvals", "approve", &id, "--as", "dave"]);
    let racing: Vec<_> = (0..8)
        .map(|n| {
            let client = if n % 2 == 0 {
                at_one.clone()
            } else {
                at_two.clone()
            };
            thread::spawn(move || call(&client, "stub__echo").is_good())
        })
        .collect();
    let passed = racing
        .into_iter()
        .filter_map(|racer| racer.join().ok().filter(|good| *good));
    assert_eq!(passed.count(), 1, "a yes counts once over both");

    done(&one, &["stop", "--agent", "other", "--why", "a drill"]);
    until("the halt", || {
        call(&other_at_two, "stub__subscriptions").status == 403
    });
    done(&two, &["stop", "--agent", "other", "--lift"]);
    until("its end", || call(&other_at_one, "stub__subscriptions").is_good());
    done(&two, &["agent", "revoke", "other"]);
    until("the revocation", || {
        call(&other_at_one, "stub__subscriptions").status == 401
    });
    done(&one, &["server", "quarantine", "stub", "--why", "a drill"]);
    until("the quarantine", || {
        at_two.tools().is_ok_and(|tools| tools.is_empty())
    });

    // Each has a log of its own, and both hold.
    let origins = [&one, &two].map(|gateway| {
        done(gateway, &["ledger", "verify"]);
        fs::read_to_string(gateway.path("state/origin")).expect("a name")
    });
    assert_ne!(origins[0], origins[1]);
    assert!(
        !one.path("state/state.db").exists(),
        "the tables are in the database"
    );
    let everything = cluster.sql(
        "two",
        "SELECT string_agg(encode(sealed, 'escape'), ' ') FROM sallyport.record",
    );
    assert!(
        !everything.contains("tester") && !everything.contains(SECRET),
        "sealed"
    );
}

/// Regression: a replica knew the pseudonyms that were given before it started, and its own.
#[test]
fn a_pseudonym_of_one_replica_is_the_others_too() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.database("names");
    let desk = Gateway::configured("");
    fs::create_dir(desk.path("letters")).expect("a directory");
    let memory = desk.path("letters/memory.txt");
    let (one, two) = (hospital(&address, &memory), hospital(&address, &memory));
    let clients = [client(&one, "tester"), client(&two, "tester")];
    let told = |client: &Client, text: &str| {
        let answer = client
            .call("charts__echo", &json!({ "text": text }))
            .expect("an answer");
        assert!(answer.is_good(), "{}", answer.body);
        answer.text().to_owned()
    };
    // Both are told of the same people at once, and give each one name.
    let mails: Vec<String> = (0..40).map(|n| format!("person{n}@clinic.org")).collect();
    let text = mails.join("\n");
    let racing: Vec<String> = thread::scope(|scope| {
        let all: Vec<_> = (0..6)
            .map(|n| {
                let (client, text) = (&clients[n % 2], &text);
                scope.spawn(move || told(client, text))
            })
            .collect();
        let all = all.into_iter().map(|one| one.join().expect("an answer"));
        all.collect()
    });
    assert!(
        racing[0].contains("@pseudonym.example") && !racing[0].contains("clinic.org"),
        "{}",
        racing[0]
    );
    assert!(racing.iter().all(|text| *text == racing[0]), "{racing:?}");
    // What one gave the other reveals, whichever was first.
    let name = told(&clients[0], "ann.lee@clinic.org");
    let more = told(&clients[1], "ben@clinic.org");
    let write = json!({ "text": format!("{name} {more}") });
    for client in &clients {
        let kept = client.call("letters__keep", &write).expect("an answer");
        assert_eq!(kept.text(), "kept", "{}", kept.body);
    }
    let got = fs::read_to_string(&memory).expect("a letter");
    assert_eq!(got, "ann.lee@clinic.org ben@clinic.org\n".repeat(2));
}

#[test]
fn what_would_share_a_log_or_has_another_root_key_is_refused_and_nothing_passes_without_the_database() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let address = cluster.database("refused");
    let mut one = replica(&address);

    // A copy of its directory would fork its log, wherever it runs.
    let copy = Gateway::configured("").with_variables(&ROOT);
    fs::copy(one.path("sallyport.yaml"), copy.path("sallyport.yaml")).expect("a copy");
    let copied = Command::new("cp")
        .arg("-a")
        .args([one.path("state"), copy.path("state")])
        .status();
    assert!(copied.expect("cp starts").success());
    let refused = copy.output(&["serve", "--ready-json"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && why.contains("another process writes the log"),
        "{why}"
    );

    let stranger = Gateway::configured("");
    fs::copy(one.path("sallyport.yaml"), stranger.path("sallyport.yaml")).expect("a copy");
    let refused = stranger.output(&["serve", "--ready-json"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && why.contains("SALLYPORT_ROOT_KEY"),
        "{why}"
    );
    assert!(
        !stranger.path("state/root.key").exists(),
        "none is made that would open nothing"
    );
    let backup = one.output(&["backup", "create", "copy"]);
    assert!(
        String::from_utf8_lossy(&backup.stderr).contains("pg_dump"),
        "{backup:?}"
    );

    let tester = client(&one, "tester");
    assert!(call(&tester, "stub__subscriptions").is_good());
    cluster.stop();
    // Whether what the caller has read is known cannot be asked, so nothing goes on.
    assert!(!call(&tester, "stub__subscriptions").is_good());
    cluster.run();
    until("calls to pass again", || {
        call(&tester, "stub__subscriptions").is_good()
    });
    one.stop();
}

/// What the gateway says of itself to a balancer.
fn readiness(gateway: &Gateway) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let answer = agent.get(format!("{}/readyz", gateway.base())).call();
    answer.expect("an answer").status().as_u16()
}

fn is_told_to_come_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.retry_after, Some(1), "{}", answer.body);
    assert_eq!(
        answer.body["error"]["data"]["code"],
        json!("state-unavailable"),
        "{}",
        answer.body
    );
}

/// Every process of a server of PostgreSQL gets a signal.
fn signal(cluster: &Cluster, signal: &str) {
    let file = fs::read_to_string(cluster.data().join("postmaster.pid")).expect("it runs");
    let first = file.lines().next().expect("its number");
    let children = Command::new("pgrep").args(["-P", first]).output().expect("pgrep");
    let children = String::from_utf8(children.stdout).expect("numbers");
    let all = std::iter::once(first).chain(children.lines());
    let sent = Command::new("kill").arg(signal).args(all).status();
    assert!(sent.expect("kill").success());
}

#[test]
fn a_database_that_goes_or_hangs_is_told_as_such_and_in_time() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let address = cluster.database("away");
    let gateway = replica(&address);
    let tester = client(&gateway, "tester");
    assert!(call(&tester, "stub__subscriptions").is_good());
    assert_eq!(readiness(&gateway), 200);

    cluster.stop();
    is_told_to_come_again(&call(&tester, "stub__subscriptions"));
    until("not to be ready", || readiness(&gateway) == 503);
    cluster.run();
    until("calls to pass again", || {
        call(&tester, "stub__subscriptions").is_good()
    });
    until("to be ready again", || readiness(&gateway) == 200);

    signal(&cluster, "-STOP");
    let callers: Vec<_> = (0..12)
        .map(|_| {
            let tester = tester.clone();
            thread::spawn(move || {
                let begun = Instant::now();
                (call(&tester, "stub__subscriptions"), begun.elapsed())
            })
        })
        .collect();
    let told: Vec<_> = callers
        .into_iter()
        .map(|caller| caller.join().expect("an answer"))
        .collect();
    let ready = readiness(&gateway);
    signal(&cluster, "-CONT");
    for (answer, took) in told {
        is_told_to_come_again(&answer);
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    assert_eq!(ready, 503);
    until("calls to pass after all", || {
        call(&tester, "stub__subscriptions").is_good()
    });
}
