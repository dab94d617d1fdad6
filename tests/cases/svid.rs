//! Workloads that come by their certificate (X509-SVID), with certificates by OpenSSL and clients on Node.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use e2e::{
    gateway::{Gateway, program},
    papers::{Authority, For},
    peers,
};
use serde_json::{Value, json};

const LATE: &str = "20490101000000Z";
const USAGE: &str = "keyUsage=critical,digitalSignature\n";

struct World<'p> {
    peers: &'p Path,
    gateway: Gateway,
    domain: Authority,
}

impl World<'_> {
    /// What those who come with these certificates are answered; each is named with its authority's folder.
    fn knock(&self, names: &[&str]) -> Vec<Value> {
        let path = |name: &str, kind: &str| self.gateway.path(&format!("{name}.{kind}"));
        let cases: Vec<Value> = names
            .iter()
            .map(|name| match *name {
                "" => json!({}),
                name => json!({"certificate": path(name, "pem"), "key": path(name, "key")}),
            })
            .collect();
        let output = self
            .node("svid_client.mjs")
            .env("CASES", json!(cases).to_string())
            .output()
            .expect("Node");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    fn node(&self, script: &str) -> Command {
        let mut command = Command::new(peers::node(self.peers));
        command
            .arg(peers::script(script))
            .env("NODE_MODULES", self.peers.join("node/node_modules"))
            .env("GATEWAY", self.gateway.base())
            .env("AUTHORITY", self.gateway.path("papers/ca.pem"));
        command
    }

    fn issue(&self, name: &str, uris: &str, more: &str) {
        self.domain
            .issue_saying(name, &format!("{USAGE}subjectAltName={uris}\n{more}"), LATE);
    }
}

const RULES: &str = "policy: { packs: [baseline], rules: [ \"permit(principal in Role::\\\"bots\\\", action, resource);\" ] }\n";

/// A gateway that believes one trust domain, whose authority is in `prod`.
fn world<'p>(peers: &'p Path, more: &str, says: &str) -> World<'p> {
    let stub = program("e2e-stub");
    let gateway = Gateway::configured(&format!(
        "tls:\n  certificate: papers/gateway.pem\n  key: \"file:papers/gateway.key\"\n  trust_domains:\n  - name: prod.example\n    \
         bundle: prod/ca.pem\n    workloads: {{ \"spiffe://prod.example/scribe\": scribe }}\n{more}\
         approve: all\nmcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n\
         agents: [ {{ name: scribe, secret: \"env:TESTER_SECRET\", roles: [bots], proof: mtls }} ]\n{RULES}"
    ));
    Authority::new(gateway.path("papers")).issue("gateway", For::Server);
    let domain = Authority::held_to(gateway.path("prod"), says);
    World {
        peers,
        gateway,
        domain,
    }
}

/// Issue 4: each fault of the X509-SVID specification is refused in the handshake, and what is right is the agent.
#[test]
fn a_workload_comes_by_its_certificate_and_nobody_else_does() {
    let Some(peers) = peers::directory() else { return };
    let mut world = world(&peers, "    crl: prod/revoked.crl\n", "");
    let scribe = "URI:spiffe://prod.example/scribe";
    world.issue("good", scribe, "extendedKeyUsage=serverAuth,clientAuth\n");
    world.issue("unmapped", "URI:spiffe://prod.example/other", "");
    world.issue("revoked", scribe, "");
    let faults = [
        ("domain", "URI:spiffe://other.example/scribe", ""),
        (
            "two",
            "URI:spiffe://prod.example/scribe,URI:spiffe://prod.example/scribe2",
            "",
        ),
        (
            "mixed",
            "URI:https://prod.example/x,URI:spiffe://prod.example/scribe",
            "",
        ),
        ("none", "DNS:scribe.prod.example", ""),
        ("query", "URI:spiffe://prod.example/scribe?x=y", ""),
        ("fragment", "URI:spiffe://prod.example/scribe\\#x", ""),
        ("dots", "URI:spiffe://prod.example/x/../scribe", ""),
        ("escaped", "URI:spiffe://prod.example/%73cribe", ""),
        ("slash", "URI:spiffe://prod.example/scribe/", ""),
        ("bare", "URI:spiffe://prod.example", ""),
        ("port", "URI:spiffe://prod.example:443/scribe", ""),
        ("capitals", "URI:SPIFFE://PROD.example/scribe", ""),
        ("authority", scribe, "basicConstraints=critical,CA:true\n"),
        ("server", scribe, "extendedKeyUsage=serverAuth\n"),
    ];
    for (name, uris, more) in faults {
        world.issue(name, uris, more);
    }
    let named = format!("subjectAltName={scribe}\n");
    let usages = [
        ("signs", "keyUsage=critical,digitalSignature,keyCertSign\n"),
        ("lax", "keyUsage=digitalSignature\n"),
        ("useless", ""),
    ];
    for (name, usage) in usages {
        world.domain.issue_saying(name, &format!("{usage}{named}"), LATE);
    }
    world
        .domain
        .issue_saying("late", &format!("{USAGE}{named}"), "20250102000000Z");
    let stranger = Authority::new(world.gateway.path("stranger"));
    stranger.issue_saying("scribe", &format!("{USAGE}{named}"), LATE);
    world.domain.revoke("revoked");
    world.domain.publish("revoked.crl");
    world.gateway.run();
    let faulty = faults.iter().map(|fault| fault.0);
    let faulty = faulty
        .chain(usages.iter().map(|usage| usage.0))
        .chain(["late", "revoked"]);
    let faulty: Vec<String> = faulty
        .map(|name| format!("prod/{name}"))
        .chain(["stranger/scribe".to_owned()])
        .collect();
    let mut names: Vec<&str> = vec!["prod/good", "", "prod/unmapped"];
    names.extend(faulty.iter().map(String::as_str));
    let said = world.knock(&names);
    assert_eq!(said[..3], [json!(200), json!(401), json!(401)], "{said:?}");
    for (name, said) in names.iter().zip(&said).skip(3) {
        assert!(said.is_string(), "{name} came in: {said}");
    }
    let refused = world.gateway.ledger();
    let refused = refused.iter().filter(|entry| entry["action"] == "tls-refused");
    assert_eq!(refused.count(), faulty.len());
    // With an SDK, and nothing but the certificate. The agent has to prove itself so, and that is enough.
    let sdk = world
        .node("tls_client.mjs")
        .env("CERTIFICATE", world.domain.path("good.pem"))
        .env("KEY", world.domain.path("good.key"))
        .output()
        .expect("Node");
    let text = String::from_utf8_lossy(&sdk.stdout).into_owned();
    assert!(sdk.status.success() && text.contains("over TLS"), "{text}");
    let entries = world.gateway.ledger();
    let call = entries
        .iter()
        .rfind(|entry| entry["tool"] == "echo")
        .expect("a call");
    assert_eq!(call["principal"]["agent"], "scribe", "{call}");
    assert_eq!(
        call["detail"]["workload"], "spiffe://prod.example/scribe",
        "{call}"
    );
    // Revoked from now on: in force without a restart.
    world.domain.revoke("good");
    world.domain.publish("revoked.crl");
    let begun = Instant::now();
    while world.knock(&["prod/good"])[0].is_number() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it still comes in");
        sleep(Duration::from_millis(300));
    }
}

/// What a workload has open ends with its certificate, on every wire, and nobody else's does.
#[test]
fn a_workload_that_is_revoked_loses_its_websocket_and_its_stream() {
    let Some(peers) = peers::directory() else { return };
    let mut world = world(&peers, "    crl: prod/revoked.crl\n", "");
    let scribe = "URI:spiffe://prod.example/scribe";
    world.issue("gone", scribe, "");
    world.issue("kept", scribe, "");
    world.domain.publish("revoked.crl");
    world.gateway.run();
    let mut command = world.node("svid_streams.mjs");
    for name in ["gone", "kept"] {
        let shown = [
            world.domain.path(&format!("{name}.pem")),
            world.domain.path(&format!("{name}.key")),
        ];
        command.env(name.to_uppercase(), json!(shown).to_string());
    }
    let mut client = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("Node");
    let mut lines = BufReader::new(client.stdout.take().expect("an output")).lines();
    let mut line = || lines.next().and_then(Result::ok).unwrap_or_default();
    assert_eq!(line(), "open");
    world.domain.revoke("gone");
    world.domain.publish("revoked.crl");
    // It waits for both ends, and then says what is left.
    assert_eq!(
        line(),
        "ended: gone socket, gone stream; left: kept socket, kept stream"
    );
    let _ = client.wait();
    // Whoever comes again with it is refused, and that is recorded.
    let said = world.knock(&["prod/gone", "prod/kept"]);
    assert!(said[0].is_string() && said[1] == 200, "{said:?}");
    let entries = world.gateway.ledger();
    let refused = entries.iter().rfind(|entry| entry["action"] == "tls-refused");
    assert!(
        refused.is_some_and(|entry| entry.to_string().to_lowercase().contains("revoked")),
        "{refused:?}"
    );
}

/// An authority that is held to its domain vouches in it alone, and where that is required none vouches without.
#[test]
fn an_authority_vouches_in_its_own_domain() {
    let Some(peers) = peers::directory() else { return };
    let required = "    name_constraints: required\n";
    let scribe = "URI:spiffe://prod.example/scribe";
    let held = |to: &str| format!("nameConstraints=critical,permitted;URI:{to}");
    for (to, answer) in [("prod.example", Some(200)), ("other.example", None)] {
        let mut world = world(&peers, required, &held(to));
        world.issue("good", scribe, "");
        world.gateway.run();
        let said = world.knock(&["prod/good"]);
        assert_eq!(said[0].as_u64(), answer, "{to}: {said:?}");
    }
    let world = world(&peers, required, "");
    let output = world.gateway.output(&["serve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("no URI name constraint"),
        "{said}"
    );
}
