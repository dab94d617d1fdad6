//! Keys and people over two replicas on one PostgreSQL database: the root key moves under both, and who is erased at one
//! is erased at the other.

use std::fs;

use e2e::{
    cluster::Cluster,
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::Client,
};
use serde_json::{Value, json};

/// What the calls say of somebody, and nothing else does.
const PLANTED: &str = "zebrafish-diagnosis-0815";

/// The root key that both begin with.
const ROOT: [(&str, &str); 1] = [(
    "SALLYPORT_ROOT_KEY",
    "5b1f08a3c96d27e4f0b8d1537ac2e6904db7f3188e5a6c02d4970be1a36cf85d",
)];

fn yaml(address: &str, more: &str) -> String {
    let stub = program("e2e-stub");
    format!(
        "state: {address:?}\n{more}\n\
         records: {{ payloads: on, strict: true }}\n\
         mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio], trust: trusted, \
         tools: {{ \"*\": {{ sink: read, subject: /patient }} }} }} }}\n{OPEN_TO_TESTER}"
    )
}

fn replica(address: &str) -> Gateway {
    let mut gateway = Gateway::configured(&yaml(address, "")).with_variables(&ROOT);
    gateway.run();
    gateway.wait_for_servers();
    gateway
}

fn call(gateway: &Gateway, patient: &str, text: &str) {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = client.call("stub__echo", &json!({"patient": patient, "text": text}));
    assert!(answer.expect("an answer").is_good());
}

fn done(gateway: &Gateway, args: &[&str]) {
    let output = gateway.output(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
}

/// What is kept of a person's calls, as one gateway tells it.
fn kept(gateway: &Gateway, person: &str) -> String {
    let found: Vec<Value> = gateway.json(&["subject", "access", person]);
    json!(found).to_string()
}

#[test]
fn the_root_key_moves_under_two_replicas_and_no_call_fails() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.database("moved");
    let (mut one, mut two) = (replica(&address), replica(&address));
    let key = one.path("next.key");
    let moved = yaml(
        &address,
        &format!("root_key: {{ from: \"file:{}\" }}", key.display()),
    );
    let name = |gateway: &Gateway| {
        let text = format!("listen: \"127.0.0.1:0\"\ndata: ./state\n{moved}");
        fs::write(gateway.path("sallyport.yaml"), text).expect("a file");
    };
    name(&one);
    done(&one, &["keys", "rotate", "--use", "root"]);
    // The other has opened the ring before: calls go on, and its keys cannot be changed until it is told, too.
    call(&one, "p1", "after");
    call(&two, "p1", "after");
    let refused = two.output(&["keys", "rotate", "--use", "wrap"]);
    assert!(!refused.status.success(), "{refused:?}");
    call(&two, "p1", "after");
    name(&two);
    done(&two, &["keys", "rotate", "--use", "root"]);
    for gateway in [&one, &two] {
        done(gateway, &["keys", "rotate", "--use", "wrap"]);
        call(gateway, "p1", "after");
        done(gateway, &["ledger", "verify"]);
    }
    // The old key opens nothing any more; the new one everything, for both.
    for gateway in [&mut one, &mut two] {
        gateway.stop();
        gateway.run();
        gateway.wait_for_servers();
        call(gateway, "p1", "again");
    }
    two.stop();
    let text = format!("listen: \"127.0.0.1:0\"\ndata: ./state\n{}", yaml(&address, ""));
    fs::write(two.path("sallyport.yaml"), text).expect("a file");
    let refused = two.output(&["serve", "--ready-json"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

// CONTROL: erasure
#[test]
fn who_is_erased_at_one_replica_is_erased_at_the_other() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.database("erased");
    let (one, two) = (replica(&address), replica(&address));
    call(&one, "p1", PLANTED);
    call(&two, "p1", PLANTED);
    call(&two, "p2", "his own");
    assert!(kept(&one, "p1").contains(PLANTED) && kept(&two, "p1").contains(PLANTED));
    let proof = one.output(&["ledger", "prove", "2"]);
    assert!(proof.status.success(), "{proof:?}");
    done(&two, &["subject", "erase", "p1", "--yes"]);
    for gateway in [&one, &two] {
        let found = kept(gateway, "p1");
        assert!(!found.contains(PLANTED), "{found}");
        done(gateway, &["ledger", "verify"]);
    }
    assert!(kept(&two, "p2").contains("his own"));
    // A receipt from before is one still.
    fs::write(one.path("before.proof"), &proof.stdout).expect("a file");
    let entry = one.output(&["ledger", "prove", "2", "--entry"]);
    fs::write(one.path("entry.json"), &entry.stdout).expect("a file");
    let keys = one.output(&["keys", "public"]);
    fs::write(one.path("keys.txt"), &keys.stdout).expect("a file");
    let checked = std::process::Command::new(program("sallyport-verify"))
        .arg("--keys")
        .arg(one.path("keys.txt"))
        .arg("--proof")
        .arg(one.path("before.proof"))
        .arg("--entry")
        .arg(one.path("entry.json"))
        .output()
        .expect("the verifier starts");
    assert!(checked.status.success(), "{checked:?}");
    // What is said of them afterwards is kept as anybody's is.
    call(&one, "p1", "a new beginning");
    assert!(kept(&one, "p1").contains("a new beginning"));
}
