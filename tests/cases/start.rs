//! Starting: what stops it, with which sentence and which exit code.

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use e2e::gateway::{Gateway, OPEN_TO_TESTER, program};

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
