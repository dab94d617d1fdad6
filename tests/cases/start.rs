//! Starting: what stops it, with which sentence and which exit code.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, Scratch, program},
    mcp::Client,
};
use serde_json::{Value, json};

use crate::connect::Host;

/// What a start that must fail says.
fn fails(gateway: &Gateway, code: i32) -> String {
    let Output { status, stderr, .. } = gateway.output(&["serve"]);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "{said}");
    assert!(said.starts_with("sallyport:"), "{said}");
    said
}

#[test]
fn a_configuration_with_mistakes_names_each_and_its_remedy() {
    let said = fails(&Gateway::configured("lisen: x\n"), 2);
    assert!(said.contains("lisen") && said.contains("line 3"), "{said}");
    let said = fails(
        &Gateway::configured("mcpServers: { a: {} }\nagents: [ { name: a, secret: hunter2 } ]\n"),
        2,
    );
    assert!(
        said.contains("mcpServers.a") && said.contains("agents[0].secret"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "a secret is repeated: {said}");
}

#[test]
fn a_secret_that_is_weak_or_readable_by_others_stops_the_start() {
    let gateway = Gateway::configured("agents: [ { name: a, secret: \"file:secret\" } ]\n");
    let secret = gateway.path("secret");
    fs::write(&secret, "0f3a9c5d7e1b2468ace0").expect("a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("a mode");
    let said = fails(&gateway, 2);
    assert!(said.contains("chmod 600"), "{said}");
    fs::write(&secret, "short").expect("a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("a mode");
    let said = fails(&gateway, 2);
    assert!(said.contains("agents[0].secret"), "{said}");
}

#[test]
fn a_port_in_use_is_said_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let gateway = Gateway::configured("");
    let yaml = format!("listen: \"{address}\"\ndata: ./state\n");
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a file");
    let said = fails(&gateway, 2);
    assert!(
        said.contains(&address.to_string()) && said.contains("`listen`"),
        "{said}"
    );
}

#[test]
fn one_data_directory_has_one_gateway() {
    let gateway = Gateway::start(OPEN_TO_TESTER);
    let said = fails(&gateway, 2);
    assert!(said.contains("another process uses"), "{said}");
}

#[test]
fn a_missing_server_program_is_said_and_harms_nothing() {
    let stub = program("e2e-stub");
    let yaml = format!(
        "mcpServers: {{ gone: {{ command: no-such-program }}, stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}"
    );
    let gateway = Gateway::start(&yaml);
    let client = e2e::mcp::Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    assert!(client.tools().expect("a list").contains(&"stub__echo".to_owned()));
    let doctor = gateway.output(&["doctor"]);
    let said =
        String::from_utf8_lossy(&doctor.stdout).into_owned() + &String::from_utf8_lossy(&doctor.stderr);
    assert!(
        said.contains("no-such-program") && said.contains("not found"),
        "{said}"
    );
}

/// A limit was refused in a sentence that named no file.
#[test]
fn a_bad_rate_is_said_with_its_file() {
    let said = fails(&Gateway::configured("limits: { default: { rate: fast } }\n"), 2);
    assert!(said.contains("sallyport.yaml has 1 problem"), "{said}");
}

#[test]
fn a_gateway_nobody_can_use_says_so_and_what_changes_it() {
    let said = |yaml: &str| {
        let mut gateway = Gateway::configured(yaml).logging_to("log");
        gateway.run();
        fs::read_to_string(gateway.path("log")).expect("a log")
    };
    let closed = said("");
    assert!(
        closed.contains("no rule permits it") && closed.contains("sallyport import"),
        "{closed}"
    );
    let empty = said("policy: { packs: [developer-workstation] }\n");
    assert!(empty.contains("sallyport agent add"), "{empty}");
    let open = said(
        "policy: { packs: [developer-workstation] }\nagents: [ { name: t, secret: \"env:TESTER_SECRET\" } ]\n",
    );
    assert!(!open.contains("nobody can"), "{open}");
}

/// The README's first way of use could not work: nobody could get a token. Its commands, as typed, in their order.
#[test]
fn the_readmes_first_steps_lead_to_a_call() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = fs::read_to_string(readme).expect("the README");
    let section = readme
        .split_once("**Before the servers you have.**")
        .expect("its section")
        .1;
    let section = section.split_once("\n**").expect("an end").0;
    let home = Scratch::new();
    let servers = json!({"mcpServers": {"stub": {"command": program("e2e-stub"), "args": ["stdio"]}}});
    fs::write(home.path().join("mcp.json"), servers.to_string()).expect("a client's file");
    let command = |words: &[&str]| {
        let mut command = Command::new(program("sallyport"));
        command
            .args(words)
            .current_dir(home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .stdin(Stdio::null());
        command
    };
    let mut running = None;
    let mut calls = 0;
    for line in section.lines().filter_map(|line| line.strip_prefix("sallyport ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["serve"] => {
                let mut child = command(&["serve", "--ready-json"])
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("it starts");
                let mut ready = String::new();
                let output = child.stdout.take().expect("an output");
                BufReader::new(output).read_line(&mut ready).expect("a line");
                let ready: Value = serde_json::from_str(&ready).expect("JSON");
                running = Some((
                    child,
                    ready["endpoints"]["mcp"].as_str().expect("a URL").to_owned(),
                ));
            }
            ["connect", ..] => {
                let mut host = Host::of(command(&words));
                host.hello();
                let answer = host.call(2, "stub__echo", &json!({"text": "hello"}));
                assert!(
                    answer["result"].is_object() && answer["result"]["isError"] != json!(true),
                    "{answer}"
                );
                calls += 1;
            }
            _ => {
                let output = command(&words).output().expect("it runs");
                assert!(output.status.success(), "{line}: {output:?}");
                let said = String::from_utf8(output.stdout).expect("text");
                if words.first() == Some(&"token") {
                    let url = running.as_ref().expect("it runs").1.clone();
                    let client = Client::new(url, Some(said.trim().to_owned()));
                    assert!(
                        client
                            .call("stub__echo", &json!({"text": "hello"}))
                            .expect("an answer")
                            .is_good()
                    );
                    calls += 1;
                }
            }
        }
    }
    let (mut child, _) = running.expect("it was started");
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(calls, 2, "{section}");
    // A client's file as it is.
    let text = format!(
        "// mine\n{}",
        servers
            .to_string()
            .replacen('{', "{ \"globalShortcut\": \"x\",", 1)
    );
    fs::write(home.path().join("mcp.json"), text).expect("written");
    let listed = command(&["server", "list", "--config", "mcp.json"])
        .output()
        .expect("it runs");
    assert!(
        String::from_utf8_lossy(&listed.stdout).contains("stub"),
        "{listed:?}"
    );
}
