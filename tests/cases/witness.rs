//! Two gateways, one a witness of the other's ledger: what goes on is cosigned, what was put back or exchanged is
//! refused by whoever saw more, and a verifier with public keys alone can tell.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use e2e::{
    gateway::{Gateway, program},
    mcp::Client,
};
use serde_json::{Value, json};

const HOUSE: &str = "approve: all\n\
    agents: [ { name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] } ]\n\
    policy: { packs: [baseline], allow: [ \"role:tester on stub__echo\" ] }\n";

fn house() -> Gateway {
    let stub = program("e2e-stub");
    Gateway::configured(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{HOUSE}"
    ))
}

/// Adds to a configuration.
fn configure(gateway: &Gateway, more: &str) {
    let path = gateway.path("sallyport.yaml");
    let before = fs::read_to_string(&path).expect("a configuration");
    let own = before.split("witness:").next().unwrap_or_default();
    fs::write(path, format!("{own}witness: {more}\n")).expect("a file");
}

/// Public keys, one a line.
fn keys(gateway: &Gateway, args: &[&str]) -> Vec<String> {
    let output = gateway.output(&[&["keys", "public"], args].concat());
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// A ledger, and a witness of it that runs.
fn pair() -> (Gateway, Gateway) {
    let (log, mut witness) = (house(), house());
    configure(&witness, &json!({"logs": keys(&log, &[])}).to_string());
    witness.run();
    (log, witness)
}

/// Names the witness to the ledger's gateway.
fn ask(log: &Gateway, witness: &Gateway, more: &Value) {
    let url = format!("{}/witness", witness.base());
    let mut section = json!({"by": [{"url": url, "keys": keys(witness, &["--witness"])}]});
    for (key, value) in more.as_object().expect("an object") {
        section[key] = value.clone();
    }
    configure(log, &section.to_string());
}

fn call(gateway: &Gateway) -> bool {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = client.call("stub__echo", &json!({"text": "x"}));
    answer.expect("an answer").is_good()
}

fn standing(gateway: &Gateway) -> Value {
    gateway.json(&["ledger", "witnesses"]).remove(0)
}

/// Waits for what has to come.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(found) = found() {
            return found;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("it never came: {what}");
}

/// The size that is witnessed, once it is at least this.
fn witnessed(gateway: &Gateway, least: u64) -> u64 {
    until("enough entries are witnessed", || {
        let size = standing(gateway)["size"].as_u64();
        size.filter(|size| *size >= least)
    })
}

/// What the verifier says, with the keys of log and witness in files.
fn verified(log: &Gateway, ledger: &Path, args: &[&str]) -> Value {
    let output = Command::new(program("sallyport-verify"))
        .args(["--json", "--keys"])
        .arg(log.path("log.keys"))
        .args(args)
        .arg(ledger)
        .output()
        .expect("it starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn faults(said: &Value) -> Vec<&str> {
    let problems = said["problems"].as_array().expect("problems").iter();
    problems.filter_map(|problem| problem["fault"].as_str()).collect()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp").success());
}

// CONTROL: integrity
#[test]
fn a_ledger_is_cosigned_and_anybody_can_check_it() {
    let (mut log, witness) = pair();
    ask(&log, &witness, &json!({}));
    log.run();
    log.wait_for_servers();
    assert!(call(&log));
    let first = witnessed(&log, 5);
    assert!(call(&log));
    let second = witnessed(&log, first + 1);
    let said = standing(&log);
    assert_eq!((&said["quorum"], &said["of"]), (&json!(1), &json!(1)), "{said}");
    assert_eq!(said["witnesses"][0]["size"].as_u64(), Some(second), "{said}");
    assert_eq!(said["witnesses"][0]["trouble"], Value::Null, "{said}");
    // The witness says in its own ledger from where on.
    let begun = witness
        .ledger()
        .into_iter()
        .find(|entry| entry["action"] == json!("witness-begun"));
    assert!(begun.is_some_and(|entry| entry["detail"]["log"].is_string()));
    // A receipt says who else saw the entry; one that nobody else saw yet is not given where that is demanded.
    let receipt = |index: u64, args: &[&str]| {
        let index = index.to_string();
        log.output(&[&["ledger", "prove", &index], args].concat())
    };
    fs::write(log.path("2.proof"), receipt(2, &["--witnessed"]).stdout).expect("a file");
    fs::write(log.path("2.json"), receipt(2, &["--entry"]).stdout).expect("a file");
    let beyond = receipt(second + 50, &["--witnessed"]);
    assert_eq!(beyond.status.code(), Some(1), "{beyond:?}");
    assert!(
        String::from_utf8_lossy(&beyond.stderr).contains("enough witnesses signed"),
        "{beyond:?}"
    );
    log.stop();

    let ledger = log.path("state/ledger");
    let witness_keys = keys(&witness, &["--witness"]);
    fs::write(log.path("log.keys"), keys(&log, &[]).join("\n")).expect("a file");
    fs::write(log.path("witness.keys"), witness_keys.join("\n")).expect("a file");
    let by_witness = ["--witness", log.path("witness.keys").to_str().expect("a path")].map(str::to_owned);
    let by_witness: Vec<&str> = by_witness.iter().map(String::as_str).collect();
    let said = verified(&log, &ledger, &by_witness);
    assert_eq!(said["holds"], json!(true), "{said}");
    assert_eq!(
        said["witnessed_by"].as_array().map(Vec::len),
        Some(2),
        "both kinds: {said}"
    );
    receipt_is_witnessed(&log, &by_witness);
    // The gateway's own command knows the witnesses from the configuration.
    let own = || log.output(&["ledger", "verify", "--json"]);
    assert!(own().status.success(), "{:?}", own());
    // Two are demanded and there is one; a cosignature that was altered; none at all; somebody else's.
    let two = [by_witness.as_slice(), &["--quorum", "2"]].concat();
    assert_eq!(faults(&verified(&log, &ledger, &two)), ["unwitnessed"]);
    let cosigned = ledger.join("cosigned");
    let good = fs::read_to_string(&cosigned).expect("a note");
    let name = witness_keys[0].split('+').next().expect("a name");
    let last = good.lines().rfind(|line| line.contains(name)).expect("its line");
    let (head, signature) = last.rsplit_once(' ').expect("a signature");
    let mut bytes = BASE64.decode(signature).expect("base64");
    bytes[40] ^= 1;
    let bad = good.replace(last, &format!("{head} {}", BASE64.encode(bytes)));
    fs::write(&cosigned, bad).expect("a file");
    assert_eq!(faults(&verified(&log, &ledger, &by_witness)), ["unwitnessed"]);
    fs::remove_file(&cosigned).expect("it was there");
    assert_eq!(faults(&verified(&log, &ledger, &by_witness)), ["unwitnessed"]);
    let said = own();
    let found: Value = serde_json::from_slice(&said.stdout).expect("a report");
    assert_eq!(
        (said.status.code(), faults(&found)),
        (Some(1), vec!["unwitnessed"])
    );
    assert_eq!(
        verified(&log, &ledger, &[])["holds"],
        json!(true),
        "but the log itself holds"
    );
    fs::write(&cosigned, good).expect("a file");
    let stranger = house();
    fs::write(
        log.path("witness.keys"),
        keys(&stranger, &["--witness"]).join("\n"),
    )
    .expect("a file");
    assert_eq!(faults(&verified(&log, &ledger, &by_witness)), ["unwitnessed"]);
}

/// The receipt of entry 2 bears what the witness signed, and two witnesses are more than there were.
fn receipt_is_witnessed(log: &Gateway, by_witness: &[&str]) {
    let check = |more: &[&str]| {
        let mut verifier = Command::new(program("sallyport-verify"));
        verifier
            .arg("--keys")
            .arg(log.path("log.keys"))
            .args(by_witness)
            .args(more);
        verifier.arg("--proof").arg(log.path("2.proof"));
        verifier.arg("--entry").arg(log.path("2.json"));
        verifier.output().expect("it starts")
    };
    let holds = check(&[]);
    assert!(holds.status.success(), "{holds:?}");
    let too_few = check(&["--quorum", "2"]);
    assert_eq!(too_few.status.code(), Some(1), "{too_few:?}");
    // Without the cosignatures it is a receipt still, and witnessed by nobody.
    let path = log.path("2.proof");
    let good = fs::read_to_string(&path).expect("a receipt");
    let bare: Vec<&str> = good.lines().filter(|line| !line.contains("/witness ")).collect();
    assert!(bare.len() < good.lines().count(), "{good}");
    fs::write(&path, bare.join("\n") + "\n").expect("a file");
    assert_eq!(check(&[]).status.code(), Some(1));
    fs::write(&path, good).expect("a file");
}

// CONTROL: integrity
#[test]
fn a_ledger_that_was_put_back_or_forked_is_refused_by_who_saw_more() {
    let (mut log, witness) = pair();
    ask(&log, &witness, &json!({"required": true}));
    log.run();
    log.wait_for_servers();
    until("the first word of the witness", || call(&log).then_some(()));
    witnessed(&log, 5);
    log.stop();
    let (state, older) = (log.path("state"), log.path("older"));
    copy(&state, &older);
    log.run();
    log.wait_for_servers();
    until("calls go on after a restart", || call(&log).then_some(()));
    let size = standing(&log)["size"].as_u64().expect("a size");
    let seen = witnessed(&log, size + 1);
    log.stop();

    // The directory of before: shorter than what the witness saw, and then another story as long.
    fs::remove_dir_all(&state).expect("a directory");
    copy(&older, &state);
    log.run();
    let trouble = |log: &Gateway| {
        standing(log)["witnesses"][0]["trouble"]
            .as_str()
            .map(str::to_owned)
    };
    let contradiction = |why: &str| why.contains("rolled back") || why.contains("not those it saw");
    let why = until("the witness contradicts", || {
        trouble(&log).filter(|why| contradiction(why))
    });
    assert!(!call(&log), "no call without a witness: {why}");
    for _ in 0..40 {
        // Refusals are entries, too: the log grows beyond what was seen, and is still another one.
        assert!(!call(&log));
    }
    until("it is a fork now", || {
        trouble(&log)
            .filter(|why| why.contains("not those it saw"))
            .map(drop)
    });
    assert!(!call(&log));
    let told = |gateway: &Gateway, action: &str| {
        gateway
            .ledger()
            .into_iter()
            .any(|entry| entry["action"] == json!(action))
    };
    assert!(told(&log, "witness-contradicts"), "the log says so itself");
    until("the witness keeps the proof of it", || {
        told(&witness, "witness-declined").then_some(())
    });
    assert_eq!(
        standing(&log)["size"],
        json!(0),
        "nothing was cosigned after {seen}"
    );
}

/// What a witness answers to bytes: status, kind and text.
fn submit(witness: &Gateway, body: &str) -> (u16, String, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let answer = ureq::Agent::from(config)
        .post(format!("{}/witness/add-checkpoint", witness.base()))
        .send(body)
        .expect("an answer");
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type");
    let kind = kind
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    (status, kind, answer.into_body().read_to_string().expect("text"))
}

// CONTROL: integrity
#[test]
fn a_witness_answers_as_c2sp_says() {
    let (mut log, mut witness) = pair();
    log.run();
    log.wait_for_servers();
    let published = |log: &Gateway| {
        // Everything that was written is published before it is exported.
        drop(log.ledger());
        fs::read_to_string(log.path("state/ledger/checkpoint")).expect("a checkpoint")
    };
    let size_of = |note: &str| note.lines().nth(1).expect("a size").to_owned();
    let first = published(&log);
    assert_eq!(
        submit(&witness, &format!("old 0\n{first}")).0,
        400,
        "no empty line"
    );
    assert_eq!(submit(&witness, "").0, 400);
    let origin = first.lines().next().expect("an origin");
    let foreign = first.replacen(origin, "elsewhere.example/log", 1);
    assert_eq!(submit(&witness, &format!("old 0\n\n{foreign}")).0, 404);
    let unsigned = first.replacen(&format!("\n{}\n", size_of(&first)), "\n1\n", 1);
    assert_eq!(submit(&witness, &format!("old 0\n\n{unsigned}")).0, 403);
    assert_eq!(
        submit(&witness, &format!("old 999999\n\n{first}")).0,
        400,
        "older than old"
    );
    assert_eq!(
        submit(&witness, &format!("old 3\n\n{first}")).0,
        409,
        "nothing was seen"
    );
    let (status, _, lines) = submit(&witness, &format!("old 0\n\n{first}"));
    assert_eq!((status, lines.lines().count()), (200, 2), "{lines}");
    assert!(lines.lines().all(|line| line.starts_with("\u{2014} ")), "{lines}");

    // What was seen survives: killed at once, it still knows.
    witness.kill();
    witness.run();
    let conflict = |witness: &Gateway, note: &str| {
        let (status, kind, size) = submit(witness, &format!("old 0\n\n{note}"));
        assert_eq!((status, kind.as_str()), (409, "text/x.tlog.size"));
        size
    };
    assert_eq!(conflict(&witness, &first), format!("{}\n", size_of(&first)));
    let again = format!("old {}\n\n{first}", size_of(&first));
    assert_eq!(submit(&witness, &again).0, 200, "the same again");
    assert!(call(&log));
    let second = published(&log);
    let hash = BASE64.encode([7; 32]);
    for proof in ["", &format!("{hash}\n"), &format!("{hash}\n").repeat(5)] {
        let wrong = format!("old {}\n{proof}\n{second}", size_of(&first));
        assert_eq!(submit(&witness, &wrong).0, 422);
    }
    let many = format!("{hash}\n").repeat(64);
    assert_eq!(submit(&witness, &format!("old 1\n{many}\n{second}")).0, 400);
    assert_eq!(
        conflict(&witness, &second),
        format!("{}\n", size_of(&first)),
        "nothing moved"
    );

    // Who monitors sees what was signed, of the logs that are witnessed.
    let digest = Command::new("sh")
        .args(["-c", &format!("printf %s '{origin}' | sha256sum | cut -d' ' -f1")])
        .output();
    let digest = String::from_utf8(digest.expect("sh").stdout).expect("text");
    let monitor = |digest: &str| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let url = format!("{}/witness/{digest}/checkpoint", witness.base());
        let answer = ureq::Agent::from(config).get(url).call().expect("an answer");
        (
            answer.status().as_u16(),
            answer.into_body().read_to_string().expect("text"),
        )
    };
    let (status, note) = monitor(digest.trim());
    assert_eq!(status, 200);
    assert!(note.starts_with(&first), "the log's own signatures first: {note}");
    assert_eq!(note.lines().count(), first.lines().count() + 2, "{note}");
    assert_eq!(monitor(&"0".repeat(64)).0, 404);
    // A gateway that witnesses nobody has no such door.
    assert_eq!(submit(&log, &again).0, 404);
}

#[test]
fn what_makes_no_sense_of_witnesses_is_refused_at_the_start() {
    let gateway = house();
    let (own, witness) = (keys(&gateway, &[]), keys(&gateway, &["--witness"]));
    let by = |url: &str, keys: &Value| json!({"by": [{"url": url, "keys": keys}]});
    let good = json!(witness);
    for (section, at) in [
        (by("http://witness.example/", &good), "witness.by[0].url"),
        (by("https://a:b@witness.example/", &good), "witness.by[0].url"),
        (by("https://witness.example/", &json!([])), "witness.by[0].keys"),
        (by("https://witness.example/", &json!(own)), "witness.by[0].keys"),
        (
            by("https://witness.example/", &json!(["a+b+c"])),
            "witness.by[0].keys[0]",
        ),
        (
            json!({"by": [{"url": "https://a.example/", "keys": good}], "quorum": 2}),
            "witness.quorum",
        ),
        (
            json!({"by": [{"url": "https://a.example/", "keys": good}], "quorum": 0}),
            "witness.quorum",
        ),
        (json!({"required": true}), "witness.quorum"),
        (
            json!({"by": [{"url": "https://a.example/", "keys": good}, {"url": "https://b.example/", "keys": good}]}),
            "witness.by[1]",
        ),
        (json!({"logs": [witness[0]]}), "witness.logs[0]"),
        (json!({"logs": [own[0]], "name": "two words"}), "witness.name"),
    ] {
        configure(&gateway, &section.to_string());
        let refused = gateway.output(&["serve"]);
        assert_eq!(refused.status.code(), Some(2), "{section}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(at), "{at}: {said}");
    }
}

#[test]
fn no_call_passes_before_the_first_word_of_a_required_witness() {
    let (mut log, witness) = pair();
    // A ledger that is published: a restart asks before it judges.
    log.run();
    log.wait_for_servers();
    log.stop();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/witness", silent.local_addr().expect("an address"));
    let by = json!([{"url": url, "keys": keys(&witness, &["--witness"])}]);
    configure(&log, &json!({"by": by, "required": true}).to_string());
    log.run();
    log.wait_for_servers();
    assert!(!call(&log), "nobody has signed anything");
}
