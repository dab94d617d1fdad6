//! Clients that are not ours, with a person before a real browser: the official SDKs complete the whole flow, each way
//! a client can be known; and the official suite looks at the authorization server.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use e2e::{
    gateway::{Gateway, Scratch, program},
    papers::{Authority, For},
    peers::{self, Served},
    person::{PASSWORD, PASSWORD_HASH, Person, challenge},
};

use crate::authorize::asks;

/// A client's document at a URL, with these members changed.
fn document(peers: &Path, papers: &Authority, change: &str) -> Served {
    let mut command = Command::new(peers::node(peers));
    command
        .arg(peers::script("client_document.mjs"))
        .env("CERTIFICATE", papers.path("documents.pem"))
        .env("KEY", papers.path("documents.key"))
        .env("CHANGE", change);
    Served::start(&mut command)
}

fn papers(scratch: &Scratch) -> Authority {
    let papers = Authority::new(scratch.path().join("papers"));
    papers.issue("documents", For::Server);
    papers
}

fn gateway(papers: &Authority) -> Gateway {
    let (stub, ca) = (program("e2e-stub"), papers.certificate());
    let yaml = format!(
        r#"
mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}
approve: all
users: [ {{ name: alice, roles: [tester], password: "env:PASSWORD_HASH" }} ]
clients:
  - {{ id: python, name: "Python client", redirect_uris: ["http://127.0.0.1/callback"] }}
  - {{ id: typescript, name: "TypeScript client", redirect_uris: ["http://127.0.0.1/callback"] }}
authorization: {{ registration: on, network: private, ca: {ca:?} }}
policy: {{ packs: [baseline], rules: [ "permit(principal in Role::\"tester\", action, resource);" ] }}
"#
    );
    let mut gateway = Gateway::configured(&yaml).with_variables(&[("PASSWORD_HASH", PASSWORD_HASH)]);
    gateway.run();
    gateway
}

/// Runs a client's script with a person before its browser; what it prints.
fn run(peers: &Path, gateway: &Gateway, mut command: Command, way: &str, document: &str) -> String {
    let modules = peers.join("node/node_modules");
    let more = std::env::var("NODE_PATH").unwrap_or_default();
    let output = command
        .env("WAY", way)
        .env("GATEWAY", format!("{}/mcp", gateway.base()))
        .env("DOCUMENT", document)
        .env("NODE", peers::node(peers))
        .env("NODE_MODULES", &modules)
        .env("NODE_PATH", format!("{}:{more}", modules.display()))
        .env("PERSON_SCRIPT", peers::script("person.mjs"))
        .env("PERSON", "alice")
        .env("PASSWORD", PASSWORD)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{way}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn lets_a_person_log_in(client: &str, way: &str) {
    let Some(peers) = peers::directory() else { return };
    let scratch = Scratch::new();
    let papers = papers(&scratch);
    let document = document(&peers, &papers, "{}");
    let gateway = gateway(&papers);
    let mut command = match client {
        "python" => Command::new(peers.join("py2/bin/python")),
        _ => Command::new(peers::node(&peers)),
    };
    let script = if client == "python" {
        "oauth_browser.py"
    } else {
        "oauth_browser.mjs"
    };
    command.arg(peers::script(script));
    let id = run(&peers, &gateway, command, way, &document.line);
    match way {
        "known" => assert_eq!(id, client),
        "document" => assert_eq!(id, document.line),
        _ => assert_eq!(id.len(), 32, "{id}"),
    }
    let entries = gateway.ledger();
    let call = entries
        .iter()
        .rfind(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    assert_eq!(call.expect("a call")["principal"]["user"], "alice", "{way}");
}

#[test]
fn the_python_sdk_lets_a_person_log_in_as_a_client_that_is_known() {
    lets_a_person_log_in("python", "known");
}

#[test]
fn the_python_sdk_lets_a_person_log_in_as_a_client_with_a_document() {
    lets_a_person_log_in("python", "document");
}

#[test]
fn the_python_sdk_lets_a_person_log_in_as_a_client_that_registers() {
    lets_a_person_log_in("python", "registered");
}

#[test]
fn the_typescript_sdk_lets_a_person_log_in_as_a_client_that_is_known() {
    lets_a_person_log_in("typescript", "known");
}

#[test]
fn the_typescript_sdk_lets_a_person_log_in_as_a_client_with_a_document() {
    lets_a_person_log_in("typescript", "document");
}

#[test]
fn the_typescript_sdk_lets_a_person_log_in_as_a_client_that_registers() {
    lets_a_person_log_in("typescript", "registered");
}

/// OA-038: what a document says counts for the URL it is at, and only if it is a document.
#[test]
fn a_document_that_is_not_its_urls_lets_nobody_in() {
    let Some(peers) = peers::directory() else { return };
    let scratch = Scratch::new();
    let papers = papers(&scratch);
    let gateway = gateway(&papers);
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let redirect = "http://127.0.0.1:51004/callback";
    let good = document(&peers, &papers, "{}");
    let page = person.open(&asks(&good.line, redirect, &digest));
    let consent = person.log_in(&page, "alice");
    assert!(
        consent.asks_for_consent() && consent.html.contains("Described at <strong>localhost:"),
        "{consent:?}"
    );
    assert!(
        consent.html.contains("Any program here can say it is Documented"),
        "{consent:?}"
    );
    // It is kept: no second fetch, and no second document.
    drop(good);
    for change in [
        r#"{"client_id": "https://localhost/client.json"}"#,
        r#"{"token_endpoint_auth_method": "client_secret_basic"}"#,
        r#"{"client_secret": "x"}"#,
        r#"{"redirect_uris": ["http://evil.example/callback"]}"#,
        r#"{"redirect_uris": ["http://127.0.0.1/other"]}"#,
        r#"{"grant_types": ["client_credentials"]}"#,
    ] {
        let bad = document(&peers, &papers, change);
        let page = person.open(&asks(&bad.line, redirect, &digest));
        assert_eq!(
            (page.status, page.location.as_deref()),
            (400, None),
            "{change}: {page:?}"
        );
    }
    let other = document(&peers, &papers, "{}");
    for path in ["/moved.json", "/endless.json"] {
        let url = other.line.replace("/client.json", path);
        let page = person.open(&asks(&url, redirect, &digest));
        assert_eq!(
            (page.status, page.location.as_deref()),
            (400, None),
            "{path}: {page:?}"
        );
    }
}

/// `@modelcontextprotocol/conformance authorization`: both scenarios, with a person who allows.
#[test]
fn the_official_suite_is_content_with_the_authorization_server() {
    let Some(peers) = peers::directory() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a port")
        .port();
    let redirect = format!("http://127.0.0.1:{port}/callback");
    let yaml = format!(
        "users: [ {{ name: alice, password: \"env:PASSWORD_HASH\" }} ]\n\
         clients: [ {{ id: suite, redirect_uris: [\"{redirect}\"] }} ]\n"
    );
    let mut gateway = Gateway::configured(&yaml).with_variables(&[("PASSWORD_HASH", PASSWORD_HASH)]);
    gateway.run();
    let resource = format!("{}/mcp", gateway.base());
    let scratch = Scratch::new();
    let mut suite = Command::new(peers::node(&peers))
        .arg(peers::npm(
            &peers,
            "@modelcontextprotocol/conformance/dist/index.js",
        ))
        .args(["authorization", "--url", &gateway.base(), "--client-id", "suite"])
        .args(["--resource", &resource, "--port", &port.to_string()])
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the suite starts");
    let mut said = String::new();
    let mut person = Person::at(gateway.base());
    for line in BufReader::new(suite.stdout.take().expect("an output"))
        .lines()
        .map_while(Result::ok)
    {
        said.push_str(&line);
        said.push('\n');
        let Some((_, query)) = line.split_once("/oauth/authorize?") else {
            continue;
        };
        let query = query.split_whitespace().next().unwrap_or_default();
        let page = person.visit(&format!("/oauth/authorize?{query}"), None);
        let mut page = person.log_in(&page, "alice");
        if page.asks_for_consent() {
            page = person.fill(&page, &[("say", "allow")]);
        }
        let back = page
            .location
            .clone()
            .unwrap_or_else(|| panic!("{page:?}\n{said}"));
        ureq::get(&back).call().expect("the suite listens");
    }
    let status = suite.wait().expect("it ends");
    assert!(status.success() && !said.contains("SKIPPED"), "{said}");
}
