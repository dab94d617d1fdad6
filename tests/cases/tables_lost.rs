//! Tables that are lost, or have lost rows: a gateway that was stopped, and told whom not to serve, does not begin
//! anew without a word.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use e2e::{
    cluster::Cluster,
    gateway::{Gateway, SECRET, program},
    mcp::Client,
};
use serde_json::json;

/// Deletes the rows of a table, as anybody with SQLite can who has the file and no key.
const DELETE: &str = "
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
assert store.execute('delete from record where tbl = ?', (sys.argv[2],)).rowcount > 0
store.commit()
";

/// The root key that replicas have in common.
const ROOT: [(&str, &str); 1] = [(
    "SALLYPORT_ROOT_KEY",
    "7f2ac91b5d08e4636ba1f0c2975e3d84a6b90e71c4f852d3196ca8e7b035fd42",
)];

fn house(more: &str) -> Gateway {
    let stub = program("e2e-stub");
    Gateway::configured(&format!(
        "approve: all\n{more}mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n\
         agents:\n\
         \x20 - {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         \x20 - {{ name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         policy: {{ packs: [baseline], rules: [ 'permit(principal in Role::\"tester\", action, resource);' ] }}\n"
    ))
    .with_variables(&ROOT)
}

fn told(gateway: &Gateway, args: &[&str]) {
    let output = gateway.output(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
}

/// One agent is stopped, another revoked, and a server approved.
fn decided(gateway: &mut Gateway) {
    gateway.run();
    gateway.wait_for_servers();
    told(gateway, &["stop", "--agent", "tester", "--why", "a drill"]);
    told(gateway, &["agent", "revoke", "other"]);
    gateway.stop();
}

fn refused(gateway: &Gateway, why: &str) {
    let mut command = gateway.command(&["serve", "--ready-json"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("it starts");
    let begun = Instant::now();
    while child.try_wait().expect("its end").is_none() {
        if begun.elapsed() > Duration::from_secs(30) {
            child.kill().expect("it ends");
            panic!("it serves, though {why}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().expect("its words");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(said.contains(why) && said.contains("from a copy"), "{said}");
}

/// It starts, and what was decided is.
fn serves_and_heeds(gateway: &mut Gateway) {
    gateway.run();
    for agent in ["tester", "other"] {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", agent),
            ("client_secret", SECRET),
        ];
        let answer = gateway.ask_for_token(&form);
        assert!(answer["access_token"].is_null(), "{agent}: {answer}");
    }
    let listed = gateway.json(&["stop", "--list"]);
    assert!(json!(listed).to_string().contains("tester"), "{listed:?}");
    gateway.stop();
}

#[test]
fn a_gateway_whose_tables_are_gone_does_not_start_and_one_whose_are_put_back_heeds_them() {
    let mut gateway = house("");
    decided(&mut gateway);
    let (tables, away) = (gateway.path("state/state.db"), gateway.path("away.db"));
    fs::rename(&tables, &away).expect("it goes");
    for _ in 0..2 {
        refused(&gateway, "are gone though they were begun");
        assert!(!tables.exists(), "no new one is begun");
    }
    // The same by a command that needs no gateway; and the ledger, which says what was stopped, is still read.
    let listed = gateway.output(&["stop", "--list"]);
    assert!(!listed.status.success(), "{listed:?}");
    told(&gateway, &["ledger", "verify"]);
    // An empty file is no table.
    let mut empty = fs::OpenOptions::new();
    empty.write(true).create_new(true).mode(0o600);
    drop(empty.open(&tables).expect("an empty file"));
    refused(&gateway, "are gone though they were begun");
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(gateway.path("state").join(name));
    }
    fs::rename(&away, &tables).expect("it comes back");
    serves_and_heeds(&mut gateway);
}

#[test]
fn a_gateway_does_not_start_when_a_stop_a_revocation_or_a_pin_was_deleted_behind_its_back() {
    let mut gateway = house("");
    decided(&mut gateway);
    let (tables, copy) = (gateway.path("state/state.db"), gateway.path("copy.db"));
    fs::copy(&tables, &copy).expect("a copy");
    for table in ["halts", "revoked-agents", "servers"] {
        let edited = Command::new("python3")
            .args(["-c", DELETE])
            .arg(&tables)
            .arg(table)
            .status();
        assert!(edited.expect("Python").success(), "{table}");
        refused(&gateway, "were deleted or put back outside this program");
        fs::copy(&copy, &tables).expect("a copy");
    }
    serves_and_heeds(&mut gateway);
    // What is lifted, and whoever is welcome again, by the program itself is not missed.
    gateway.run();
    told(&gateway, &["stop", "--agent", "tester", "--lift"]);
    gateway.stop();
    gateway.run();
    let client = Client::new(
        format!("{}/mcp", gateway.base()),
        Some(gateway.token_of("tester")),
    );
    gateway.wait_for_servers();
    assert!(
        client
            .call("stub__echo", &json!({ "text": "x" }))
            .expect("an answer")
            .is_good()
    );
}

#[test]
fn a_replica_does_not_start_on_a_database_that_was_made_anew_or_has_lost_a_stop() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.database("lost");
    let mut gateway = house(&format!("state: {address:?}\n"));
    decided(&mut gateway);
    // A replica that is new is none that lost something.
    let mut second = house(&format!("state: {address:?}\n"));
    serves_and_heeds(&mut second);
    cluster.sql("lost", "DELETE FROM sallyport.record WHERE tbl = 'halts'");
    refused(&gateway, "were deleted or put back outside this program");
    refused(&second, "were deleted or put back outside this program");
    cluster.sql("lost", "DROP SCHEMA sallyport CASCADE");
    refused(&gateway, "are gone though they were begun");
    assert_eq!(cluster.sql("lost", "SELECT count(*) FROM sallyport.ring"), "0");
}
