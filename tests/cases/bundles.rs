//! Signed policy bundles: what was signed is in force, and nothing else, and never an older one.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    thread,
    time::Duration,
};

use e2e::{
    gateway::{Gateway, program},
    mcp::Client,
    peers,
};
use serde_json::{Value, json};

/// Keys as any operator makes them.
fn make_key(gateway: &Gateway, name: &str) {
    let openssl = |args: &[&str]| {
        let output = Command::new("openssl").args(args).output().expect("openssl");
        assert!(output.status.success(), "{output:?}");
    };
    let (private, public) = (gateway.path(name), gateway.path(&format!("{name}.pub")));
    let (private, public) = (private.to_str().expect("UTF-8"), public.to_str().expect("UTF-8"));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", private]);
    openssl(&["pkey", "-in", private, "-pubout", "-out", public]);
    let only_mine = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(private, only_mine).expect("a mode");
}

/// A directory with keys, in which rules are signed.
fn workshop() -> Gateway {
    let gateway = Gateway::configured("");
    for name in ["anna", "ben", "mallory"] {
        make_key(&gateway, name);
    }
    gateway
}

fn common(gateway: &Gateway, policy: &str) -> String {
    let stub = program("e2e-stub");
    let agents = "agents: [ { name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] } ]";
    let data = gateway.path("state");
    format!(
        "listen: \"127.0.0.1:0\"\ndata: {data:?}\nmcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n\
         approve: all\n{agents}\npolicy: {{ {policy} }}\n"
    )
}

/// Signs rules of a version: the tool that may be called.
fn sign(gateway: &Gateway, key: &str, version: u64, tool: &str) {
    let policy = format!("version: {version}, packs: [baseline], allow: [ \"role:tester on stub__{tool}\" ]");
    let draft = gateway.path("draft.yaml");
    fs::write(&draft, common(gateway, &policy)).expect("a draft");
    let output = signing(gateway, key, &["--config", draft.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{output:?}");
}

fn signing(gateway: &Gateway, key: &str, more: &[&str]) -> Output {
    let key = format!("file:{}", gateway.path(key).display());
    Command::new(program("sallyport"))
        .args(["policy", "sign", "--key", &key])
        .arg(gateway.path("next.dsse"))
        .args(more)
        .env("TESTER_SECRET", e2e::gateway::SECRET)
        .output()
        .expect("the command starts")
}

/// Puts what was signed where the gateway reads it.
fn publish(gateway: &Gateway) {
    fs::rename(gateway.path("next.dsse"), gateway.path("policy.dsse")).expect("renamed");
}

fn call(gateway: &Gateway, tool: &str) -> bool {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = client.call(&format!("stub__{tool}"), &json!({"text": "x"}));
    answer.expect("an answer").is_good()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..300 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("it never was so: {what}");
}

/// Why changes were rejected.
fn rejected(gateway: &Gateway) -> Vec<String> {
    let entries = gateway.ledger();
    let rejected = entries
        .iter()
        .filter(|entry| entry["action"] == json!("rejected"));
    rejected.map(|entry| entry["detail"]["why"].to_string()).collect()
}

#[test]
fn what_was_signed_is_in_force_and_nothing_forged_changed_or_older() {
    let mut gateway = workshop();
    let config = common(&gateway, "bundle: policy.dsse, keys: [anna.pub]");
    fs::write(gateway.path("sallyport.yaml"), config).expect("a configuration");
    sign(&gateway, "anna", 3, "echo");
    publish(&gateway);
    gateway.run();
    gateway.wait_for_servers();
    assert!(call(&gateway, "echo") && !call(&gateway, "touch"));

    // By another key; changed after it was signed; older; of the same version and other content; and gone.
    sign(&gateway, "mallory", 9, "touch");
    publish(&gateway);
    until("a stranger's is rejected", || rejected(&gateway).len() == 1);
    sign(&gateway, "anna", 9, "touch");
    let text = fs::read_to_string(gateway.path("next.dsse")).expect("a bundle");
    let mut envelope: Value = serde_json::from_str(&text).expect("JSON");
    let payload = envelope["payload"].as_str().expect("a payload");
    // One letter of base64, somewhere within.
    let (head, tail) = payload.split_at(payload.len() / 2);
    let rest: String = tail.chars().skip(1).collect();
    let other = if tail.starts_with('A') { "B" } else { "A" };
    envelope["payload"] = json!(format!("{head}{other}{rest}"));
    fs::write(gateway.path("next.dsse"), envelope.to_string()).expect("written");
    publish(&gateway);
    until("a changed one is rejected", || rejected(&gateway).len() == 2);
    sign(&gateway, "anna", 2, "touch");
    publish(&gateway);
    until("an older one is rejected", || rejected(&gateway).len() == 3);
    sign(&gateway, "anna", 3, "touch");
    publish(&gateway);
    until("another of the same version is rejected", || {
        rejected(&gateway).len() == 4
    });
    fs::remove_file(gateway.path("policy.dsse")).expect("removed");
    until("none is rejected", || rejected(&gateway).len() == 5);
    let why = rejected(&gateway);
    for (why, says) in why.iter().zip([
        "0 of the keys have signed it",
        "0 of the keys have signed it",
        "2 is older than 3",
        "other rules than were in force as 3",
        "No such file",
    ]) {
        assert!(why.contains(says), "{why}");
    }
    assert!(
        call(&gateway, "echo") && !call(&gateway, "touch"),
        "the old rules stay in force"
    );

    let stopped = gateway.output(&["stop", "--list"]);
    assert!(
        stopped.status.success(),
        "the kill switch needs no rules: {stopped:?}"
    );

    sign(&gateway, "anna", 4, "touch");
    publish(&gateway);
    until("the next version is in force", || {
        call(&gateway, "touch") && !call(&gateway, "echo")
    });
    // Nor by a restart.
    gateway.stop();
    sign(&gateway, "anna", 3, "echo");
    publish(&gateway);
    let output = gateway.output(&["serve", "--ready-json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn two_have_to_sign_where_configuration_says_so() {
    let gateway = workshop();
    let both = "bundle: next.dsse, keys: [anna.pub, ben.pub], signatures: 2";
    fs::write(gateway.path("sallyport.yaml"), common(&gateway, both)).expect("a configuration");
    let check = || gateway.output(&["policy", "check"]);
    sign(&gateway, "anna", 1, "echo");
    let add = |key: &str| {
        let output = signing(&gateway, key, &["--add"]);
        assert!(output.status.success(), "{output:?}");
    };
    for nobody_new in ["anna", "mallory"] {
        add(nobody_new);
        let output = check();
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("1 of the keys have signed it, and 2 must"),
            "{nobody_new}: {output:?}"
        );
    }
    add("ben");
    assert!(check().status.success(), "{:?}", check());
}

#[test]
fn what_stands_beside_a_bundle_unsigned_is_refused() {
    let gateway = workshop();
    sign(&gateway, "anna", 1, "echo");
    for (policy, why) in [
        (
            "bundle: next.dsse, keys: [anna.pub], allow: [ \"anyone on *\" ]",
            "policy.allow",
        ),
        ("bundle: next.dsse, keys: [anna.pub], packs: []", "policy.packs"),
        (
            "bundle: next.dsse, keys: [anna.pub], version: 9",
            "policy.version",
        ),
        ("bundle: next.dsse", "policy.signatures"),
        (
            "bundle: next.dsse, keys: [anna.pub], signatures: 2",
            "policy.signatures",
        ),
        (
            "bundle: next.dsse, keys: [anna.pub], signatures: 0",
            "policy.signatures",
        ),
        ("keys: [anna.pub]", "policy.keys"),
        ("bundle: next.dsse, keys: [anna]", "has no public key"),
        ("bundle: sallyport.yaml, keys: [anna.pub]", "no DSSE envelope"),
    ] {
        fs::write(gateway.path("sallyport.yaml"), common(&gateway, policy)).expect("a configuration");
        let output = gateway.output(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{policy}: {said}");
        assert!(said.contains(why), "{policy}: {said}");
    }
}

/// securesystemslib, which made DSSE, reads what we sign, and we what it signs.
#[test]
fn securesystemslib_verifies_our_bundles_and_we_its() {
    let Some(peers) = peers::directory() else { return };
    let gateway = workshop();
    let dsse = |args: &[&str]| {
        let mut command = Command::new(peers.join("py2/bin/python"));
        command.arg(peers::script("dsse.py")).args(args);
        command.current_dir(gateway.path("")).output().expect("python")
    };
    sign(&gateway, "anna", 5, "echo");
    let seen = dsse(&["verify", "next.dsse", "1", "anna.pub"]);
    let payload = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.status.success(), "{seen:?}");
    let read: Value = serde_json::from_str(&payload).expect("JSON");
    assert_eq!(
        (&read["version"], &read["packs"]),
        (&json!(5), &json!(["baseline"]))
    );
    assert!(!dsse(&["verify", "next.dsse", "1", "ben.pub"]).status.success());

    fs::write(gateway.path("payload.json"), payload.trim_end()).expect("a payload");
    let kind = "application/vnd.sallyport.policy.v1+json";
    assert!(
        dsse(&["sign", "payload.json", kind, "ben", "theirs.dsse"])
            .status
            .success()
    );
    let verify = |bundle: &Path, key: &str| {
        let (bundle, key) = (
            bundle.display().to_string(),
            gateway.path(key).display().to_string(),
        );
        gateway.output(&["policy", "verify", &bundle, "--key", &key, "--json"])
    };
    let ours = verify(&gateway.path("theirs.dsse"), "ben.pub");
    assert!(ours.status.success(), "{ours:?}");
    assert!(
        String::from_utf8_lossy(&ours.stdout).contains("\"version\":5"),
        "{ours:?}"
    );
    let not = verify(&gateway.path("theirs.dsse"), "anna.pub");
    assert_eq!(not.status.code(), Some(1), "{not:?}");
}
