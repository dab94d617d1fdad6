//! What becomes of a server after its first approval: back to an earlier version, more than one operator, and its end.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use e2e::{gateway::Gateway, mcp::Client, peers, registry::SERVER};
use serde_json::{Value, json};

fn program(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// One server that waits for people; `more` of the configuration.
fn house(more: &str) -> Gateway {
    let gateway = Gateway::configured(&format!(
        "approve: ask\nagents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }} ]\n\
         users: [ {{ name: ann, roles: [operator] }}, {{ name: ben, roles: [operator] }}, {{ name: cat }} ]\n\
         policy: {{ packs: [baseline], rules: [ 'permit(principal in Role::\"tester\", action, resource);' ] }}\n\
         mcpServers: {{ x: {{ command: ./server.mjs }} }}\n{more}"
    ));
    program(&gateway.path("server.mjs"), &SERVER.replace("VERSION", "one"));
    gateway
}

fn say(gateway: &Gateway, args: &[&str]) -> Result<String, String> {
    let output = gateway.output(args);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(said(&output.stdout))
    } else {
        Err(said(&output.stderr))
    }
}

fn about(gateway: &Gateway) -> Result<String, String> {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = client.call("x__about", &json!({}))?;
    if answer.is_good() {
        Ok(answer.text().to_owned())
    } else {
        Err(answer.body.to_string())
    }
}

fn show(gateway: &Gateway) -> Value {
    gateway.json(&["server", "show", "x"]).remove(0)
}

/// The numbers of the versions, and that of the one in force.
fn versions(gateway: &Gateway) -> (Vec<u64>, Option<u64>) {
    let shown = show(gateway);
    let all = shown["versions"].as_array().expect("a list");
    let number = |one: &Value| one["version"].as_u64().expect("a number");
    let in_force = all.iter().find(|one| one["in_force"] == json!(true)).map(number);
    (all.iter().map(number).collect(), in_force)
}

#[test]
fn a_server_goes_back_to_what_was_approved_and_is_held_where_it_is_something_else() {
    let mut gateway = house("");
    let file = gateway.path("server.mjs");
    say(&gateway, &["server", "approve", "x"]).expect("it is approved");
    gateway.run();
    assert_eq!(about(&gateway).expect("an answer"), "one");
    assert_eq!(versions(&gateway), (vec![1], Some(1)));
    let said = say(&gateway, &["server", "rollback", "x"]).expect_err("there is nothing to go back to");
    assert!(said.contains("no earlier version"), "{said}");

    gateway.stop();
    program(&file, &SERVER.replace("VERSION", "two"));
    say(&gateway, &["server", "approve", "x"]).expect("it is approved");
    gateway.run();
    assert_eq!(about(&gateway).expect("an answer"), "two");
    assert_eq!(versions(&gateway), (vec![1, 2], Some(2)));
    let said = say(&gateway, &["server", "rollback", "x", "--to", "7"]).expect_err("never approved");
    assert!(said.contains("version 7 was never approved"), "{said}");

    // What it would start is still the second one: held back, and nothing of it runs.
    say(&gateway, &["server", "rollback", "x"]).expect("the pins are those of the first");
    let shown = show(&gateway);
    assert_eq!(shown["state"], json!("quarantined"), "{shown}");
    assert!(shown["why"].to_string().contains("not version 1"), "{shown}");
    about(&gateway).expect_err("it must not run");

    // Put back in its place, it is the first one again.
    program(&file, &SERVER.replace("VERSION", "one"));
    say(&gateway, &["server", "rollback", "x", "--to", "1"]).expect("it is what was approved");
    assert_eq!(about(&gateway).expect("an answer"), "one");
    assert_eq!(versions(&gateway), (vec![1, 2], Some(1)));
}

/// The same in the console, in a browser; whoever may only look has no button, and no form of theirs does it.
#[test]
fn an_operator_goes_back_to_a_version_in_the_browser() {
    let Some(peers) = peers::directory() else { return };
    let mut gateway = house("console: { operators: [ann] }\n");
    let file = gateway.path("server.mjs");
    say(&gateway, &["server", "approve", "x"]).expect("it is approved");
    program(&file, &SERVER.replace("VERSION", "two"));
    say(&gateway, &["server", "approve", "x"]).expect("it is approved");
    gateway.run();
    assert_eq!(about(&gateway).expect("an answer"), "two");
    assert_eq!(versions(&gateway), (vec![1, 2], Some(2)));
    let browse = |how: &[&str]| {
        let opened = gateway
            .json(&[&["console", "--as", "ann"], how].concat())
            .remove(0);
        let output = Command::new(peers::node(&peers))
            .arg(peers::script("console_rollback.mjs"))
            .args([opened["url"].as_str().expect("a link"), "x", "1"])
            .env("NODE_PATH", peers.join("node/node_modules"))
            .output()
            .expect("it starts");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice::<Value>(&output.stdout).map_err(|_| complaint)
    };
    let nothing = browse(&["--view"]).expect_err("who looks cannot go back");
    assert!(nothing.contains("Go back to version 1"), "{nothing}");
    assert_eq!(versions(&gateway).1, Some(2));
    program(&file, &SERVER.replace("VERSION", "one"));
    let told = browse(&[]).expect("a page");
    let on = |when: &str, text: &str| told[when].to_string().contains(text);
    assert!(
        on("before", "Go back to version 1") && !on("before", "Go back to version 2"),
        "{told}"
    );
    assert!(
        on("after", "Go back to version 2") && !on("after", "Go back to version 1"),
        "{told}"
    );
    assert_eq!(versions(&gateway), (vec![1, 2], Some(1)));
    assert_eq!(about(&gateway).expect("an answer"), "one");
}

/// Flips a bit in the middle of a record of the registry.
const EDIT: &str = "
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
(sealed,) = store.execute('select sealed from record where tbl = ?', (sys.argv[2],)).fetchone()
sealed = bytearray(sealed)
sealed[len(sealed) // 2] ^= 1
store.execute('update record set sealed = ? where tbl = ?', (bytes(sealed), sys.argv[2]))
store.commit()
";

#[test]
fn a_registry_that_was_edited_behind_our_back_starts_nothing_and_a_copy_does() {
    let mut gateway = house("");
    say(&gateway, &["server", "approve", "x"]).expect("it is approved");
    let (store, copy) = (gateway.path("state/state.db"), gateway.path("copy.db"));
    fs::copy(&store, &copy).expect("a copy");
    for table in ["servers", "server-versions"] {
        let edited = Command::new("python3")
            .args(["-c", EDIT])
            .arg(&store)
            .arg(table)
            .status();
        assert!(edited.expect("Python").success());
        for command in [&["server", "show", "x"][..], &["serve"]] {
            let said = say(&gateway, command).expect_err("it is refused");
            let told = said.contains("was altered outside this program; restore the file from a copy");
            assert!(told && said.contains(table), "{command:?}: {said}");
        }
        fs::copy(&copy, &store).expect("a copy");
    }
    gateway.run();
    assert_eq!(about(&gateway).expect("an answer"), "one");
}

#[test]
fn what_two_operators_decide_one_cannot_and_no_change_slips_in_between() {
    let gateway = house("registry: { approve: 2, operators: \"role:operator\" }\n");
    let approve = |who: &[&str]| say(&gateway, &[&["server", "approve", "x"], who].concat());
    let said = approve(&[]).expect_err("nobody");
    assert!(said.contains("--as USER"), "{said}");
    let said = approve(&["--as", "cat"]).expect_err("no operator");
    assert!(said.contains("`cat` is no operator; role:operator is"), "{said}");
    approve(&["--as", "tester"]).expect_err("an agent is nobody");
    for _ in 0..2 {
        let said = approve(&["--as", "ann"]).expect("it waits");
        assert!(said.contains("1 of 2 operators agreed (ann)"), "{said}");
        assert_eq!(
            show(&gateway)["state"],
            json!("proposed"),
            "one is not two, however often"
        );
    }
    // What would be approved is another thing now, so everybody is asked anew.
    let said = approve(&["--as", "ben", "--as-found"]).expect("it waits");
    assert!(said.contains("1 of 2 operators agreed (ben)"), "{said}");
    assert_eq!(show(&gateway)["state"], json!("proposed"));
    approve(&["--as", "ann", "--as-found"]).expect("both agree");
    assert_eq!(show(&gateway)["state"], json!("approved"));

    let stop = |more: &[&str]| say(&gateway, &[&["stop", "--all"], more].concat());
    stop(&["--as", "ann"]).expect("one may stop");
    let said = stop(&["--lift", "--as", "ann"]).expect("it waits");
    assert!(said.contains("1 of 2"), "{said}");
    assert_eq!(gateway.json(&["stop", "--list"]).len(), 1, "still stopped");
    stop(&["--lift", "--as", "ben"]).expect("both agree");
    assert!(gateway.json(&["stop", "--list"]).is_empty());

    say(&gateway, &["server", "quarantine", "x"]).expect("one may hold back");
    let release = |who: &str| say(&gateway, &["server", "release", "x", "--as", who]);
    release("ben").expect("it waits");
    assert_eq!(show(&gateway)["state"], json!("quarantined"));
    release("ann").expect("both agree");
    assert_eq!(show(&gateway)["state"], json!("approved"));
}

#[test]
fn a_retired_server_leaves_its_name_and_nothing_else() {
    let mut gateway = house("");
    let add = ["server", "add", "y", "--url", "http://127.0.0.1:9/mcp"];
    say(&gateway, &add).expect("it is added");
    say(&gateway, &["server", "approve", "x"]).expect("it is approved");
    for name in ["x", "y"] {
        say(&gateway, &["server", "retire", name]).expect("it is retired");
    }
    gateway.run();
    about(&gateway).expect_err("it serves nothing");
    let shown = gateway.json(&["server", "list"]).remove(0);
    let states: Vec<_> = shown["servers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(
        states,
        [&json!("retired"), &json!("retired")],
        "also the one no file names: {shown}"
    );
    let shown = show(&gateway);
    assert_eq!(
        (&shown["versions"], &shown["items"]),
        (&json!([]), &json!([])),
        "{shown}"
    );
    assert!(shown.get("artefact").is_none(), "{shown}");
    for again in [
        &["server", "approve", "x"][..],
        &["server", "rollback", "x"],
        &add,
    ] {
        say(&gateway, again).expect_err("its name is not used again");
    }
}
