//! Servers by command: what the registry of MCP says of one is proposed, shown, and not started.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
};

use e2e::gateway::{Gateway, Scratch, program};
use serde_json::json;

use crate::connect::Host;

#[test]
fn a_server_json_is_proposed_as_it_will_be_started_and_widens_nothing() {
    let gateway = Gateway::start("");
    let file = gateway.path("server.json");
    let add = |name: &str, server: &serde_json::Value| {
        fs::write(&file, server.to_string()).expect("a file");
        let file = file.display().to_string();
        gateway.output(&[
            "server",
            "add",
            name,
            "--from",
            &file,
            "--env",
            "TOKEN=secret-of-mine",
        ])
    };
    let package = json!({
        "registryType": "npm", "identifier": "@acme/files", "version": "1.2.3", "transport": {"type": "stdio"},
        "environmentVariables": [{"name": "TOKEN", "isRequired": true, "isSecret": true}],
    });
    let output = add("files", &json!({"name": "com.acme/files", "packages": [package]}));
    assert!(output.status.success(), "{output:?}");
    let shown = gateway.json(&["server", "show", "files"]);
    assert_eq!(shown[0]["state"], json!("proposed"), "{shown:?}");
    assert!(
        shown[0]["launch"]
            .to_string()
            .contains("npx -y @acme/files@1.2.3"),
        "{shown:?}"
    );
    assert!(!shown[0].to_string().contains("secret-of-mine"), "{shown:?}");

    let mut wide = package.clone();
    wide["runtimeArguments"] = json!([{"type": "named", "name": "--node-options", "value": "-r ./x.js"}]);
    let mut floating = package;
    floating["version"] = json!("latest");
    for (name, package, why) in [
        ("wide", wide, "runtimeArguments"),
        ("floating", floating, "exact version"),
    ] {
        let output = add(name, &json!({"name": "com.acme/files", "packages": [package]}));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && said.contains("server.json"), "{said}");
        assert!(!gateway.output(&["server", "show", name]).status.success());
    }
}

/// `a b` was called `a-b`, and nobody was told.
#[test]
fn a_name_that_is_another_here_is_told() {
    let gateway = Gateway::configured("");
    let added = gateway.output(&["server", "add", "a b", "--url", "http://127.0.0.1:9/mcp"]);
    let said = String::from_utf8_lossy(&added.stdout).into_owned();
    assert!(
        added.status.success() && said.contains("`a b` is called `a-b` here"),
        "{added:?}"
    );
    let lost = gateway.output(&["server", "add", "ünï", "--url", "http://127.0.0.1:9/mcp"]);
    let said = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(
        lost.status.code() == Some(2) && said.contains("rename the server"),
        "{lost:?}"
    );
}

/// Another command under a name that is known was held back without a word, and no command let it through.
#[test]
fn another_command_under_a_wrapped_name_is_held_and_what_to_do_works_as_typed() {
    let home = Scratch::new();
    for journal in ["one.txt", "two.txt"] {
        fs::write(home.path().join(journal), "").expect("a file");
    }
    let wrapped = |journal: &str| {
        let mut command = Command::new(program("sallyport"));
        command
            .args(["wrap", "--"])
            .arg(program("e2e-stub"))
            .arg("stdio")
            .arg(home.path().join(journal))
            .current_dir(home.path())
            .env("HOME", home.path())
            .env_remove("XDG_DATA_HOME");
        command
    };
    let is_good = |journal: &str| {
        let mut host = Host::of(wrapped(journal));
        host.hello();
        let answer = host.call(2, "echo", &json!({"text": "hello"}));
        answer["result"].is_object() && answer["result"]["isError"] != json!(true)
    };
    assert!(is_good("one.txt"));
    assert!(!is_good("two.txt"), "another command is not what was approved");
    let mut host = wrapped("two.txt")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    let errors = host.stderr.take().expect("its errors");
    { errors }.read_to_string(&mut said).expect("text");
    let _ = host.wait();
    let typed = |flag: &str| {
        let line = said
            .lines()
            .find(|line| line.contains(flag))
            .unwrap_or_else(|| panic!("{flag}: {said}"));
        let mut shell = Command::new("sh");
        shell.args(["-c", line.trim()]).current_dir(home.path());
        shell
            .env("HOME", home.path())
            .env_remove("XDG_DATA_HOME")
            .output()
            .expect("a shell")
    };
    let diff = typed("wrap --diff");
    let shown = String::from_utf8_lossy(&diff.stdout).into_owned();
    assert!(
        diff.status.success() && shown.contains("quarantined") && shown.contains("two.txt"),
        "{diff:?}"
    );
    assert!(!is_good("two.txt"), "looking approves nothing");
    let approved = typed("wrap --approve");
    assert!(approved.status.success(), "{approved:?}");
    assert!(is_good("two.txt"));
    assert!(!is_good("one.txt"), "what was approved before is not any more");
}
