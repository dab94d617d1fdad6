//! What is started is what was approved: packages, scripts and programs whose bytes changed do not run.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use e2e::{
    gateway::Gateway,
    mcp::Client,
    peers,
    registry::{Npm, PYTHON_SERVER, SERVER, wheel},
};
use serde_json::{Value, json};

/// One server, that waits for a person.
pub(crate) fn asking(command: &str, args: &[&str]) -> Gateway {
    let server = json!({"command": command, "args": args});
    Gateway::configured(&format!(
        "approve: ask\nagents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }} ]\n\
         policy: {{ packs: [baseline], rules: [ 'permit(principal in Role::\"tester\", action, resource);' ] }}\n\
         mcpServers: {{ x: {server} }}\n"
    ))
}

pub(crate) fn given(gateway: Gateway, variables: &[(&'static str, String)]) -> Gateway {
    variables.iter().fold(gateway, |gateway, (name, value)| {
        gateway.with_variables(&[(name, String::leak(value.clone()))])
    })
}

/// What the server's tool says of itself, through a running gateway.
pub(crate) fn about(gateway: &Gateway) -> Result<String, String> {
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

/// Approves without a gateway; what it said.
pub(crate) fn approve(gateway: &Gateway, more: &[&str]) -> Result<String, String> {
    let output = gateway.output(&[&["server", "approve", "x"], more].concat());
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(said(&output.stdout))
    } else {
        Err(said(&output.stderr))
    }
}

/// The one copy that is kept.
fn copy(gateway: &Gateway) -> PathBuf {
    let copies: Vec<_> = fs::read_dir(gateway.path("state-packages"))
        .expect("copies")
        .flatten()
        .collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    copies[0].path()
}

/// It is held back, and the ledger says why.
fn assert_held(gateway: &Gateway, why: &str) {
    let shown = show(gateway);
    assert_eq!(shown["state"], json!("quarantined"), "{shown}");
    assert!(shown["why"].to_string().contains(why), "{shown}");
    let held =
        |entry: &Value| entry["action"] == json!("quarantined") && entry["reason"].to_string().contains(why);
    let ledger = gateway.ledger();
    assert!(ledger.iter().any(held), "{ledger:?}");
}

#[test]
fn a_package_of_npm_is_started_from_the_copy_that_was_approved() {
    let mut gateway = asking("npx", &["-y", "@fixture/hello@^1.0.0", "--greeting", "hi"]);
    let config = fs::read_to_string(gateway.path("sallyport.yaml")).expect("a configuration");
    let config = format!("{config}registry: {{ osv: osv.jsonl }}\n");
    fs::write(gateway.path("sallyport.yaml"), config).expect("a configuration");
    let record = |id: &str, fixed: &str| {
        json!({"id": id, "summary": "eats all", "affected": [{"package": {"ecosystem": "npm", "name": "needed"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "1.0.0"}, {"fixed": fixed}]}]}]})
    };
    let osv = format!(
        "{}\n{}\n",
        record("GHSA-fixture", "2.0.1"),
        record("GHSA-other", "2.0.0")
    );
    fs::write(gateway.path("osv.jsonl"), osv).expect("a file");
    let npm = Npm::start(gateway.path("registry"));
    gateway = given(
        gateway,
        &[
            ("npm_config_registry", npm.url()),
            ("npm_config_fetch_retries", "0".to_owned()),
        ],
    );
    let ran = gateway.path("ran");
    let script = json!({"scripts": {"postinstall": format!("touch {}", ran.display())}});
    npm.publish("needed", "2.0.0", &script);
    npm.publish(
        "@fixture/hello",
        "1.0.0",
        &json!({"dependencies": {"needed": "^2.0.0"}, "license": "MIT"}),
    );
    npm.publish(
        "@fixture/hello",
        "1.4.2",
        &json!({"dependencies": {"needed": "^2.0.0"}, "license": "MIT"}),
    );
    let said = approve(&gateway, &[]).expect("it is approved");
    assert!(said.contains("pinned    npm @fixture/hello 1.4.2"), "{said}");
    assert!(said.contains("2 packages in"), "{said}");
    assert!(!ran.exists(), "an installation script ran");
    assert!(
        said.contains("installation scripts, which were not run: needed"),
        "{said}"
    );
    assert!(
        said.contains("known vulnerability GHSA-fixture in needed 2.0.0: eats all"),
        "{said}"
    );
    assert!(!said.contains("GHSA-other"), "{said}");
    assert_is_a_bill(&gateway);

    // A newer version is out, and the registry is gone: neither matters.
    npm.publish("@fixture/hello", "1.5.0", &json!({}));
    npm.close();
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(about(&gateway).expect("an answer"), "1.4.2 --greeting hi");
    gateway.stop();

    // One byte of something it needs, at the same length, with the old times.
    let file = copy(&gateway).join("node_modules/needed/server.js");
    let before = fs::metadata(&file).expect("a file").modified().expect("a time");
    let text = fs::read_to_string(&file).expect("text").replace("'no'", "'ny'");
    fs::write(&file, text).expect("a file");
    let opened = fs::File::options().write(true).open(&file).expect("a file");
    opened.set_modified(before).expect("a time");
    gateway.run();
    let refused = about(&gateway).expect_err("it must not run");
    assert!(!refused.contains("1.4.2"), "{refused}");
    assert_held(
        &gateway,
        "the copy of its package: `node_modules/needed/server.js` was program",
    );
}

/// The bill of materials holds by the schema of CycloneDX, and has what was locked with its digests.
fn assert_is_a_bill(gateway: &Gateway) {
    const CHECK: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(str(error) if error else 0)
";
    let bill = gateway.output(&["server", "sbom", "x", "--format", "cyclonedx"]);
    let text = String::from_utf8(bill.stdout).expect("UTF-8");
    let parsed: Value = serde_json::from_str(&text).expect("JSON");
    let components = parsed["components"].as_array().expect("components");
    let needed = components
        .iter()
        .find(|one| one["purl"] == json!("pkg:npm/needed@2.0.0"));
    let needed = needed.expect("what it needs");
    assert_eq!(needed["hashes"][0]["alg"], json!("SHA-512"), "{needed}");
    assert!(
        components
            .iter()
            .any(|one| one["purl"] == json!("pkg:npm/%40fixture/hello@1.4.2"))
    );
    let Some(peers) = peers::directory() else { return };
    let mut check = std::process::Command::new(peers.join("py2/bin/python"))
        .args(["-c", CHECK])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("python");
    check
        .stdin
        .take()
        .expect("an input")
        .write_all(text.as_bytes())
        .expect("it reads");
    let output = check.wait_with_output().expect("it ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn names_that_could_be_mistaken_are_said_before_anything_is_fetched() {
    let gateway = asking(
        "npx",
        &["-y", "@modelcontextprotocal/server-filesystem@1.0.0", "/"],
    );
    let output = gateway.output(&["scan"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("could be mistaken for `@modelcontextprotocol/server-filesystem`"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
}

#[test]
fn a_registry_that_gives_out_other_bytes_is_not_believed() {
    let mut gateway = asking("npx", &["-y", "hello@1.0.0"]);
    let npm = Npm::start(gateway.path("registry"));
    gateway = given(
        gateway,
        &[
            ("npm_config_registry", npm.url()),
            ("npm_config_fetch_retries", "0".to_owned()),
        ],
    );
    npm.publish("hello", "1.0.0", &json!({}));
    npm.publish("other", "1.0.0", &json!({}));
    let other = gateway.path("registry/npm/other-1.0.0");
    let tar = std::process::Command::new("tar")
        .args(["-czf", "-", "package"])
        .current_dir(&other)
        .output()
        .expect("tar");
    npm.swap("hello", "1.0.0", &tar.stdout);
    let why = approve(&gateway, &[]).expect_err("other bytes");
    assert!(why.contains("EINTEGRITY"), "{why}");
    assert_eq!(show(&gateway)["state"], json!("proposed"));
    assert!(
        fs::read_dir(gateway.path("state-packages"))
            .expect("a folder")
            .next()
            .is_none()
    );
}

#[test]
fn a_package_of_pypi_is_started_from_the_copy_that_was_approved() {
    let mut gateway = asking(
        "uvx",
        &["--from", "hello_fixture>=1", "hello_fixture", "--greeting", "hi"],
    );
    let wheels = gateway.path("wheels");
    wheel(&wheels, "hello_needed", "2.0", &[]);
    wheel(&wheels, "hello_fixture", "1.4.2", &["hello_needed>=2"]);
    let links = wheels.display().to_string();
    gateway = given(
        gateway,
        &[("PIP_FIND_LINKS", links), ("PIP_NO_INDEX", "1".to_owned())],
    );
    let said = approve(&gateway, &[]).expect("it is approved");
    assert!(said.contains("pinned    pypi hello_fixture 1.4.2"), "{said}");
    assert!(said.contains("2 packages in"), "{said}");
    wheel(&wheels, "hello_fixture", "1.5.0", &[]);
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(about(&gateway).expect("an answer"), "1.4.2 --greeting hi");
    gateway.stop();
    // It wrote nothing beside its modules.
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(about(&gateway).expect("an answer"), "1.4.2 --greeting hi");
    gateway.stop();

    let lib = fs::read_dir(copy(&gateway).join("lib"))
        .expect("lib")
        .flatten()
        .next()
        .expect("one");
    fs::write(lib.path().join("site-packages/evil.pth"), "import os\n").expect("a file");
    gateway.run();
    about(&gateway).expect_err("it must not run");
    assert_held(&gateway, "site-packages/evil.pth` is new");
}

#[test]
fn what_floats_is_refused_with_the_line_that_pins_it() {
    for (command, args, why) in [
        (
            "docker",
            vec!["run", "-i", "mcp/git:latest"],
            "mcp/git:latest@sha256:",
        ),
        ("npx", vec!["-y", "github:acme/files"], "write PACKAGE@VERSION"),
        (
            "uvx",
            vec!["git+https://evil.example/x"],
            "write PACKAGE==VERSION",
        ),
        ("bunx", vec!["@acme/files@1.0.0"], "npx -y @acme/files@1.0.0"),
    ] {
        let gateway = asking(command, &args);
        let said = approve(&gateway, &[]).expect_err("it floats");
        assert!(said.contains("cannot be pinned") && said.contains(why), "{said}");
        assert_eq!(show(&gateway)["state"], json!("proposed"), "{command}");
    }
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
}

#[test]
fn a_script_runs_until_its_bytes_change_and_again_when_a_person_looked() {
    let mut gateway = asking("./server.mjs", &[]);
    let file = gateway.path("server.mjs");
    program(&file, &SERVER.replace("VERSION", "one"));
    let said = approve(&gateway, &[]).expect("it is approved");
    assert!(said.contains("interpreter /") && said.contains("open "), "{said}");
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(about(&gateway).expect("an answer"), "one");
    gateway.stop();

    program(&file, &SERVER.replace("VERSION", "two"));
    gateway.run();
    about(&gateway).expect_err("it must not run");
    assert_held(&gateway, "the program `");
    // A person looks, and approves while the gateway runs.
    approve(&gateway, &[]).expect("it is approved");
    assert_eq!(about(&gateway).expect("an answer"), "two");
}

#[test]
fn another_interpreter_or_variable_that_steers_is_a_change() {
    let mut gateway = Gateway::configured("");
    // Its folder is its home, of which a box shows what is named.
    let beside = gateway.path("server.mjs").display().to_string();
    let yaml = |path: &Path, options: &str| {
        format!(
            "listen: \"127.0.0.1:0\"\ndata: ./state\napprove: all\nmcpServers: {{ x: {{ command: ./server, \
             sandbox: {{ read: [\"{beside}\"] }}, env: {{ PATH: \"{}:/usr/bin:/bin\", NODE_OPTIONS: \
             \"{options}\" }} }} }}\n",
            path.display()
        )
    };
    let config = gateway.path("sallyport.yaml");
    let bin = gateway.path("bin");
    fs::create_dir_all(&bin).expect("a folder");
    program(&gateway.path("server"), &SERVER.replace("VERSION", "one"));
    fs::rename(gateway.path("server"), gateway.path("server.mjs")).expect("a file");
    program(
        &gateway.path("server"),
        "#!/usr/bin/env runner\nexec node ./server.mjs\n",
    );
    program(&bin.join("runner"), "#!/bin/sh\n. \"$1\"\n");
    fs::write(&config, yaml(&bin, "")).expect("a file");
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(show(&gateway)["state"], json!("approved"));
    gateway.stop();

    program(&bin.join("runner"), "#!/bin/sh\n: evil; . \"$1\"\n");
    gateway.run();
    assert_held(&gateway, "the interpreter `");
    approve(&gateway, &[]).expect("it is approved");
    gateway.stop();

    fs::write(&config, yaml(&bin, "--no-warnings")).expect("a file");
    gateway.run();
    assert_held(&gateway, "`NODE_OPTIONS`, which changes what is loaded");
    assert!(!show(&gateway)["why"].to_string().contains("--no-warnings"));
}

#[test]
fn approved_as_found_needs_no_registry_and_says_what_stays_open() {
    let gateway = asking("python3", &["server.py"]);
    fs::write(gateway.path("server.py"), PYTHON_SERVER).expect("a file");
    let said = approve(&gateway, &["--as-found"]).expect("it is approved");
    assert!(said.contains("script /") && said.contains("server.py"), "{said}");
    assert!(said.contains("open      what it loads"), "{said}");
}
