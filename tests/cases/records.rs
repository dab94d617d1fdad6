//! Records of people: found by whoever has the keys, sealed for everybody else, destroyed for good, and the ledger
//! verifies all the same.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use e2e::{
    gateway::{Gateway, program},
    mcp::Client,
};
use serde_json::{Value, json};

const MAIL: &str = "ann.lee@clinic.org";
/// What the calls say of her, and nothing else does.
const PLANTED: &str = "zebrafish-diagnosis-4711";

const RULES: &[&str] = &[
    r#"@pseudonymise("personal") permit(principal, action == Action::"invoke", resource in Server::"charts");"#,
    r#"permit(principal, action == Action::"invoke", resource in Server::"mail");"#,
];

/// A house in which payloads are kept as `records` says: `charts` names its patient in the arguments, `mail` carries
/// data out.
fn house(records: &str) -> Gateway {
    let mut gateway = Gateway::configured(&yaml(records));
    gateway.run();
    gateway.wait_for_servers();
    gateway
}

fn yaml(records: &str) -> String {
    let stub = program("e2e-stub");
    format!(
        "mcpServers:\n\
         \x20 charts: {{ command: {stub:?}, args: [stdio], trust: trusted, \
         tools: {{ \"*\": {{ sink: read, subject: /patient }} }} }}\n\
         \x20 mail: {{ command: {stub:?}, args: [stdio], trust: trusted, tools: {{ \"*\": {{ sink: egress }} }} }}\n\
         approve: all\n{records}\n\
         purposes: [ {{ name: treatment, description: care }} ]\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", purposes: [treatment], tenant: north }} ]\n\
         policy: {{ packs: [baseline], rules: {} }}\n",
        json!(RULES)
    )
}

const KEPT: &str = "records: { payloads: on, strict: true }";

fn client(gateway: &Gateway) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()))
}

fn read_chart(client: &Client, patient: &str, text: &str) {
    let said = json!({"text": text, "patient": patient});
    let answer = client.call("charts__echo", &said).expect("an answer");
    assert!(answer.is_good(), "{}", answer.body);
}

/// Calls that concerned somebody, without what was done about them by command.
fn calls(gateway: &Gateway, id: &str, more: &[&str]) -> Vec<Value> {
    let mut found = gateway.json(&[&["subject", "access", id], more].concat());
    found.retain(|call| call["action"].is_null());
    found
}

fn payload<'v>(call: &'v Value, part: &str) -> &'v Value {
    let payloads = call["payloads"].as_array().expect("payloads");
    let found = payloads.iter().find(|payload| payload["part"] == json!(part));
    found.map_or(&Value::Null, |payload| &payload["value"])
}

/// Files below a directory that hold some bytes.
fn holding(dir: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if let Ok(content) = fs::read(&path)
            && content.windows(bytes.len()).any(|window| window == bytes)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

fn verifies(gateway: &Gateway) {
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// CONTROL: access disclosures
#[test]
fn a_person_is_found_by_what_names_them_and_told_everything() {
    let gateway = house(KEPT);
    let client = client(&gateway);
    read_chart(&client, "p1", &format!("{PLANTED} of {MAIL}"));
    read_chart(&client, "p2", "nothing of hers");
    let sent = client.call("mail__echo", &json!({"text": format!("Dear {MAIL}, {PLANTED}")}));
    assert!(sent.expect("an answer").is_good());
    // By the identifier that the operator's configuration points to.
    let by_name = calls(&gateway, "p1", &[]);
    assert_eq!(by_name.len(), 1, "{by_name:?}");
    let call = &by_name[0];
    assert_eq!(
        (&call["agent"], &call["tool"]),
        (&json!("tester"), &json!("echo"))
    );
    assert_eq!(
        (&call["decision"], &call["sink"]),
        (&json!("permit"), &json!("read"))
    );
    assert!(
        call["policy"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:")),
        "{call}"
    );
    assert_eq!(payload(call, "arguments")["patient"], json!("p1"));
    // What was kept of the answer is what was let out: pseudonyms.
    let result = payload(call, "result").to_string();
    assert!(result.contains(PLANTED) && !result.contains(MAIL), "{result}");
    // By an address that was found in what was said, however it is written.
    let by_mail = calls(&gateway, "Ann.Lee@Clinic.ORG", &[]);
    assert_eq!(by_mail.len(), 2, "{by_mail:?}");
    let disclosed = calls(&gateway, MAIL, &["--accounting"]);
    assert_eq!(disclosed.len(), 1, "{disclosed:?}");
    assert_eq!(disclosed[0]["server"], json!("mail"));
    // Somebody else's tenant knows nobody of that name, and nobody is nobody.
    assert!(calls(&gateway, "p1", &["--tenant", "south"]).is_empty());
    assert!(calls(&gateway, "p3", &[]).is_empty());
    // That somebody looked is in the ledger.
    let looked = gateway
        .ledger()
        .into_iter()
        .filter(|entry| entry["action"] == json!("looked-up"));
    assert!(looked.count() >= 4);
    assert!(holding(&gateway.path("state"), PLANTED.as_bytes()).is_empty());
    assert!(holding(&gateway.path("state"), MAIL.as_bytes()).is_empty());
}

#[test]
fn nothing_is_kept_unless_configured() {
    let mut gateway = house("");
    read_chart(&client(&gateway), "p1", PLANTED);
    let known = calls(&gateway, "p1", &[]);
    assert_eq!(known[0]["payloads"], json!([]), "{known:?}");
    assert!(!gateway.path("state/payloads.db").exists());
    gateway.stop();
    // And the same without a gateway that runs.
    assert_eq!(calls(&gateway, "p1", &[]).len(), 1);
}

// CONTROL: erasure
#[test]
fn who_is_erased_is_unreadable_and_every_proof_holds() {
    let mut gateway = house(KEPT);
    let client = client(&gateway);
    read_chart(&client, "p1", &format!("{PLANTED} of {MAIL}"));
    read_chart(&client, "p2", "his own");
    let intent = calls(&gateway, "p1", &[])[0]["entries"][0]
        .as_u64()
        .expect("an index");
    let index = intent.to_string();
    let proof = gateway.output(&["ledger", "prove", &index]);
    assert!(proof.status.success());
    let before = gateway.json(&[
        "ledger",
        "export",
        "--from",
        &index,
        "--to",
        &(intent + 1).to_string(),
    ]);
    fs::write(gateway.path("before.proof"), &proof.stdout).expect("a file");
    // A copy of the payloads, as an archive keeps it.
    let archive = gateway.path("archive.db");
    gateway.stop();
    fs::copy(gateway.path("state/payloads.db"), &archive).expect("a copy");
    let tables = gateway.path("tables.db");
    fs::copy(gateway.path("state/state.db"), &tables).expect("a copy");
    gateway.run();
    let unsaid = gateway.output(&["subject", "erase", "p1"]);
    assert_eq!(unsaid.status.code(), Some(2), "{}", errors(&unsaid));
    assert!(errors(&unsaid).contains("2 payloads"), "{}", errors(&unsaid));
    let export = gateway.path("export.jsonl");
    let export = export.to_str().expect("a path");
    let done = gateway.json(&[
        "subject", "erase", "p1", "--yes", "--export", export, "--why", "asked",
    ]);
    assert_eq!(done[0]["payloads"], json!(2), "{done:?}");
    assert!(done[0]["records"].as_u64() > Some(0), "her pseudonyms: {done:?}");
    assert!(fs::read_to_string(export).expect("an export").contains(PLANTED));
    // Nothing is overwritten.
    let again = gateway.output(&["subject", "erase", "p1", "--yes", "--export", export]);
    assert_eq!(again.status.code(), Some(2), "{}", errors(&again));
    // Entries stay; what was kept of them does not. Others have lost nothing.
    let known = calls(&gateway, "p1", &[]);
    assert_eq!((known.len(), &known[0]["payloads"]), (1, &json!([])));
    assert_eq!(
        payload(&calls(&gateway, "p2", &[])[0], "arguments")["text"],
        json!("his own")
    );
    let erased = gateway
        .ledger()
        .into_iter()
        .find(|entry| entry["action"] == json!("erased"));
    let erased = erased.expect("an entry");
    assert_eq!(
        (&erased["kind"], &erased["reason"]),
        (&json!("subject"), &json!("asked"))
    );
    verifies(&gateway);
    assert_eq!(
        gateway.json(&[
            "ledger",
            "export",
            "--from",
            &index,
            "--to",
            &(intent + 1).to_string()
        ]),
        before
    );
    receipt_holds(&gateway, &index);
    // The archive's copy is unreadable with the keys of after, and so is the copy of the tables.
    gateway.stop();
    fs::copy(&archive, gateway.path("state/payloads.db")).expect("a copy");
    let from_archive = calls(&gateway, "p1", &[]);
    let kept = from_archive[0]["payloads"].as_array().expect("payloads");
    assert!(
        kept.len() == 2 && kept.iter().all(|one| one["erased"] == json!(true)),
        "{kept:?}"
    );
    assert_eq!(
        payload(&calls(&gateway, "p2", &[])[0], "arguments")["text"],
        json!("his own")
    );
    fs::copy(&tables, gateway.path("state/state.db")).expect("a copy");
    let refused = gateway.output(&["subject", "access", "p1"]);
    assert_eq!(refused.status.code(), Some(2), "{}", errors(&refused));
    assert!(errors(&refused).contains("wrapping key"), "{}", errors(&refused));
}

/// The receipt from before verifies with public keys alone.
fn receipt_holds(gateway: &Gateway, index: &str) {
    let entry = gateway.output(&["ledger", "prove", index, "--entry"]);
    fs::write(gateway.path("entry.json"), &entry.stdout).expect("a file");
    let keys = gateway.output(&["keys", "public"]);
    fs::write(gateway.path("keys.txt"), &keys.stdout).expect("a file");
    let check = |entry: &str| {
        let mut verifier = Command::new(program("sallyport-verify"));
        verifier.arg("--keys").arg(gateway.path("keys.txt"));
        verifier.arg("--proof").arg(gateway.path("before.proof"));
        verifier.arg("--entry").arg(gateway.path(entry));
        verifier.output().expect("the verifier starts")
    };
    let holds = check("entry.json");
    assert!(
        holds.status.success(),
        "{}",
        String::from_utf8_lossy(&holds.stdout)
    );
    let mut altered = entry.stdout.clone();
    altered[10] ^= 1;
    fs::write(gateway.path("altered.json"), altered).expect("a file");
    assert_eq!(check("altered.json").status.code(), Some(1));
}

// CONTROL: encryption
#[test]
fn keys_change_under_calls_and_none_fails() {
    let mut gateway = house(KEPT);
    let (base, token) = (gateway.base(), gateway.token());
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = {
        let stop = std::sync::Arc::clone(&stop);
        std::thread::spawn(move || {
            let client = Client::new(format!("{base}/mcp"), Some(token));
            let mut done = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                read_chart(
                    &client,
                    &format!("p{}", done % 7),
                    &format!("{PLANTED} {done} of {MAIL}"),
                );
                done += 1;
            }
            done
        })
    };
    for purpose in ["wrap", "digest", "log", "wrap", "digest", "log", "token"] {
        let rotated = gateway.json(&["keys", "rotate", "--use", purpose]);
        assert_eq!(rotated[0]["state"], json!("in use"), "{rotated:?}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let done = load.join().expect("no call failed");
    assert!(done > 0);
    // Calls from before and after are found, and everything sealed before opens.
    let found: usize = (0..7).map(|n| calls(&gateway, &format!("p{n}"), &[]).len()).sum();
    assert_eq!(found, done);
    let first = &calls(&gateway, "p0", &[])[0];
    assert_eq!(payload(first, "arguments")["patient"], json!("p0"));
    verifies(&gateway);
    let keys = gateway.json(&["keys", "list"]);
    let of = |purpose: &str, state: &str| -> Vec<&str> {
        let these = keys
            .iter()
            .filter(|key| key["use"] == json!(purpose) && key["state"] == json!(state));
        these.filter_map(|key| key["id"].as_str()).collect()
    };
    assert_eq!(
        (of("wrap", "in use").len(), of("wrap", "destroyed").len()),
        (1, 2),
        "{keys:?}"
    );
    // A key in use is not destroyed. Once an old one for digests is, calls from before are nobody's.
    let refused = gateway.output(&["keys", "destroy", of("wrap", "in use")[0]]);
    assert_eq!(refused.status.code(), Some(1), "{}", errors(&refused));
    let unknown = gateway.output(&["keys", "rotate", "--use", "index"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", errors(&unknown));
    for old in of("digest", "retired") {
        assert!(gateway.output(&["keys", "destroy", old]).status.success());
    }
    let left: usize = (0..7).map(|n| calls(&gateway, &format!("p{n}"), &[]).len()).sum();
    assert!(left < done, "{left} of {done}");
    verifies(&gateway);
    // After a start with the new keys all of it still holds.
    let token = gateway.token();
    gateway.stop();
    gateway.run();
    gateway.wait_for_servers();
    assert!(!token.is_empty());
    read_chart(&client(&gateway), "p0", "after");
    verifies(&gateway);
}

#[test]
fn who_is_held_is_not_erased() {
    let gateway = house(KEPT);
    read_chart(&client(&gateway), "p1", PLANTED);
    let held = gateway.output(&["subject", "hold", "p1", "--why", "case 7", "--by", "counsel"]);
    assert!(held.status.success(), "{}", errors(&held));
    let refused = gateway.output(&["subject", "erase", "p1", "--yes"]);
    assert_eq!(refused.status.code(), Some(3), "{}", errors(&refused));
    assert!(errors(&refused).contains("case 7"), "{}", errors(&refused));
    assert_eq!(
        calls(&gateway, "p1", &[])[0]["payloads"].as_array().map(Vec::len),
        Some(2)
    );
    let released = gateway.output(&["subject", "release", "p1"]);
    assert!(released.status.success(), "{}", errors(&released));
    assert_eq!(
        gateway.output(&["subject", "release", "p1"]).status.code(),
        Some(1)
    );
    assert!(
        gateway
            .output(&["subject", "erase", "p1", "--yes"])
            .status
            .success()
    );
    let said: Vec<Value> = gateway.ledger();
    let said = said.iter().filter(|entry| entry["kind"] == json!("subject"));
    let words: Vec<&str> = said.filter_map(|entry| entry["action"].as_str()).collect();
    assert!(
        words.contains(&"held") && words.contains(&"released"),
        "{words:?}"
    );
    verifies(&gateway);
}

#[test]
fn a_back_up_made_under_calls_is_restored_whole_and_an_altered_one_is_refused() {
    let mut gateway = house(KEPT);
    read_chart(&client(&gateway), "p1", PLANTED);
    let backup = gateway.path("backup");
    let backup = backup.to_str().expect("a path");
    let made = gateway.json(&["backup", "create", backup]);
    let entries = made[0]["entries"].as_u64().expect("a size");
    assert!(entries > 3, "{made:?}");
    read_chart(&client(&gateway), "p2", "later");
    let again = gateway.output(&["backup", "create", backup]);
    assert_eq!(again.status.code(), Some(2), "{}", errors(&again));
    // Who finds it finds nothing in clear, and not the root key.
    let root = fs::read(gateway.path("state/root.key")).expect("a key");
    assert!(holding(Path::new(backup), PLANTED.as_bytes()).is_empty());
    assert!(holding(Path::new(backup), root.trim_ascii()).is_empty());
    let over = gateway.output(&[
        "backup",
        "restore",
        backup,
        "--nobody-erased",
        "--root-key",
        "state/root.key",
    ]);
    assert_ne!(over.status.code(), Some(0), "nothing is overwritten");
    gateway.stop();
    let key = gateway.path("root.key");
    let key = key.to_str().expect("a path");
    fs::rename(gateway.path("state/root.key"), key).expect("moved");
    fs::rename(gateway.path("state"), gateway.path("lost")).expect("moved");
    // Without the root key, with another, or with one byte of it another, it is no back-up.
    assert_ne!(
        gateway.output(&["backup", "restore", backup]).status.code(),
        Some(0)
    );
    assert!(!gateway.path("state/keys").exists());
    let tables = Path::new(backup).join("state.db");
    let good = fs::read(&tables).expect("tables");
    let mut altered = good.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    fs::write(&tables, &altered).expect("altered");
    let refused = gateway.output(&["backup", "restore", backup, "--nobody-erased", "--root-key", key]);
    assert_eq!(refused.status.code(), Some(1), "{}", errors(&refused));
    assert!(errors(&refused).contains("state.db"), "{}", errors(&refused));
    fs::write(&tables, &good).expect("as it was");
    fs::write(Path::new(backup).join("more"), "x").expect("a file");
    assert_eq!(
        gateway
            .output(&["backup", "restore", backup, "--nobody-erased", "--root-key", key])
            .status
            .code(),
        Some(1)
    );
    fs::remove_file(Path::new(backup).join("more")).expect("removed");
    let restored = gateway.output(&["backup", "restore", backup, "--nobody-erased", "--root-key", key]);
    assert!(restored.status.success(), "{}", errors(&restored));
    verifies(&gateway);
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(
        payload(&calls(&gateway, "p1", &[])[0], "arguments")["text"],
        json!(PLANTED)
    );
    assert!(calls(&gateway, "p2", &[]).is_empty());
    read_chart(&client(&gateway), "p3", "goes on");
    let adopted = gateway
        .ledger()
        .into_iter()
        .any(|entry| entry["detail"]["adopted"] == json!("yes"));
    assert!(adopted, "that it was restored is in the ledger");
    verifies(&gateway);
}

// CONTROL: erasure
#[test]
fn a_back_up_from_before_an_erasure_does_not_bring_back_who_was_erased() {
    let mut gateway = house(KEPT);
    let client = client(&gateway);
    read_chart(&client, "p1", &format!("{PLANTED} of {MAIL}"));
    read_chart(&client, "p2", "his own");
    let backup = gateway.path("backup");
    let backup = backup.to_str().expect("a path");
    assert!(gateway.output(&["backup", "create", backup]).status.success());
    let erased = gateway.json(&["subject", "erase", "p1", "--yes"]);
    assert_eq!(erased[0]["payloads"], json!(2), "{erased:?}");
    gateway.stop();
    let key = gateway.path("root.key");
    let key = key.to_str().expect("a path");
    fs::rename(gateway.path("state/root.key"), key).expect("moved");
    fs::rename(gateway.path("state"), gateway.path("lost")).expect("moved");
    let restore = |more: &[&str]| -> Output {
        let args = [["backup", "restore", backup, "--root-key", key].as_slice(), more].concat();
        let output = gateway.output(&args);
        assert_eq!(output.status.success(), gateway.path("state/keys").exists());
        output
    };
    // Where nothing tells who was erased, nothing is restored, and the remedy is named.
    let refused = restore(&[]);
    assert_eq!(refused.status.code(), Some(2), "{}", errors(&refused));
    assert!(errors(&refused).contains("--ledger"), "{}", errors(&refused));
    // A ledger that was altered tells nothing.
    let lost = gateway.path("lost/ledger");
    let bad = gateway.path("bad");
    let copied = Command::new("cp").arg("-r").arg(&lost).arg(&bad).status();
    assert!(copied.expect("it starts").success());
    let checkpoint = fs::read_to_string(bad.join("checkpoint")).expect("a checkpoint");
    let mut lines: Vec<&str> = checkpoint.lines().collect();
    lines[1] = "1";
    fs::write(bad.join("checkpoint"), lines.join("\n")).expect("written");
    let refused = restore(&["--ledger", bad.to_str().expect("a path")]);
    assert_eq!(refused.status.code(), Some(1), "{}", errors(&refused));
    // The one that was lost tells it.
    let restored = restore(&["--ledger", lost.to_str().expect("a path")]);
    assert!(restored.status.success(), "{}", errors(&restored));
    let known = calls(&gateway, "p1", &[]);
    assert!(
        known.iter().all(|call| call["payloads"] == json!([])),
        "{known:?}"
    );
    let others = calls(&gateway, "p2", &[]);
    assert_eq!(payload(&others[0], "arguments")["text"], json!("his own"));
    // The rows are gone, and would not open if they were not.
    fs::copy(
        Path::new(backup).join("payloads.db"),
        gateway.path("state/payloads.db"),
    )
    .expect("a copy");
    let known = calls(&gateway, "p1", &[]);
    let kept = known[0]["payloads"].as_array().expect("payloads");
    assert!(
        kept.len() == 2 && kept.iter().all(|one| one["erased"] == json!(true)),
        "{kept:?}"
    );
    let said = gateway
        .ledger()
        .into_iter()
        .filter(|entry| entry["action"] == json!("erased-again"));
    assert!(said.count() > 0);
    verifies(&gateway);
}
