//! TLS on both legs, with clients and servers that are not ours: Node (OpenSSL 3.5, which knows X25519MLKEM768) and
//! Debian's `openssl` (3.0, which does not).

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, SECRET, program},
    papers::{Authority, For},
    peers,
};
use serde_json::Value;

/// What both sides know, and one of them.
const HYBRID: &str = "X25519MLKEM768";
const CLASSICAL: &str = "X25519";

/// A program that ends with its test.
struct Running(Child, String);

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("an output");
        BufReader::new(output).read_line(&mut line).expect("its URL");
        Self(child, line.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway with a certificate of an authority of the test, and whatever else is said of its TLS.
fn gateway(tls: &str) -> (Gateway, Authority) {
    let stub = program("e2e-stub");
    let gateway = Gateway::configured(&format!(
        "tls: {{ certificate: papers/gateway.pem, key: \"file:papers/gateway.key\"{tls} }}\n\
         mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}"
    ));
    let authority = Authority::new(gateway.path("papers"));
    authority.issue("gateway", For::Server);
    (gateway, authority)
}

/// The official SDK calls a tool; how that ended.
fn call(peers: &Path, gateway: &Gateway, groups: &str, certificate: Option<(&Authority, &str)>) -> Output {
    calling(peers, gateway, groups, certificate)
        .output()
        .expect("Node")
}

fn calling(
    peers: &Path,
    gateway: &Gateway,
    groups: &str,
    certificate: Option<(&Authority, &str)>,
) -> Command {
    let mut client = node(peers, "tls_client.mjs");
    client
        .env("GATEWAY", gateway.base())
        .env("SECRET", SECRET)
        .env("AUTHORITY", gateway.path("papers/ca.pem"))
        .env("GROUPS", groups);
    if let Some((authority, name)) = certificate {
        client
            .env("CERTIFICATE", authority.path(&format!("{name}.pem")))
            .env("KEY", authority.path(&format!("{name}.key")));
    }
    client
}

fn node(peers: &Path, script: &str) -> Command {
    let mut command = Command::new(peers::node(peers));
    command
        .arg(peers::script(script))
        .env("NODE_MODULES", peers.join("node/node_modules"));
    command
}

/// What `openssl s_client` says of a connection.
fn openssl(gateway: &Gateway, args: &[&str]) -> (bool, String) {
    let address = gateway.base().replace("https://", "");
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &address,
            "-verify_return_error",
            "-CAfile",
        ])
        .arg(gateway.path("papers/ca.pem"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The groups of the calls of a tool, in the order of the ledger.
fn groups(gateway: &Gateway) -> Vec<Value> {
    let entries = gateway.ledger();
    let calls = entries
        .iter()
        .filter(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    calls.map(|entry| entry["tls"].clone()).collect()
}

/// Why connections were refused.
fn refusals(gateway: &Gateway) -> Vec<String> {
    let entries = gateway.ledger();
    let refused = entries.iter().filter(|entry| entry["action"] == "tls-refused");
    refused
        .map(|entry| entry["detail"]["why"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(200));
    }
}

/// PT-090, PT-096: version and group are in the entries of every call, and a client that lists X25519 first is not
/// talked down to it.
// CONTROL: encryption
#[test]
fn each_call_says_which_tls_it_came_over_and_the_hybrid_is_taken_wherever_it_is_known() {
    let Some(peers) = peers::directory() else { return };
    let (mut gateway, _) = gateway("");
    gateway.run();
    for offered in [HYBRID, CLASSICAL, "X25519:X25519MLKEM768", "P-256"] {
        let output = call(&peers, &gateway, offered, None);
        assert!(output.status.success(), "{offered}: {}", text(&output));
    }
    let found = groups(&gateway);
    let found: Vec<_> = found
        .iter()
        .map(|tls| tls["group"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(found, [HYBRID, CLASSICAL, HYBRID, "secp256r1"]);
    assert!(groups(&gateway).iter().all(|tls| tls["version"] == "TLSv1.3"));
    let (done, said) = openssl(&gateway, &[]);
    assert!(done && said.contains("X25519, 253 bits"), "{said}");
}

/// PT-096.
#[test]
fn a_client_without_post_quantum_key_exchange_is_refused_where_it_is_required() {
    let Some(peers) = peers::directory() else { return };
    let (mut gateway, _) = gateway(", post_quantum: required");
    gateway.run();
    let (done, said) = openssl(&gateway, &[]);
    assert!(!done && said.contains("handshake failure"), "{said}");
    let refused = call(&peers, &gateway, CLASSICAL, None);
    assert!(!refused.status.success(), "{}", text(&refused));
    let output = call(&peers, &gateway, "X25519:X25519MLKEM768", None);
    assert!(output.status.success(), "{}", text(&output));
    until("both are recorded", || refusals(&gateway).len() >= 2);
    let whys = refusals(&gateway);
    assert!(whys.iter().all(|why| why.contains("post-quantum")), "{whys:?}");
    assert!(groups(&gateway).iter().all(|tls| tls["group"] == HYBRID));
}

/// PT-090 to PT-095: old versions, plain HTTP, early data and resumption, and a name that is not the gateway's.
#[test]
fn no_older_version_nothing_early_nothing_resumed_and_no_other_name() {
    let (mut gateway, _) = gateway("");
    gateway.run();
    for version in ["-tls1_2", "-tls1_1"] {
        let (done, said) = openssl(&gateway, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(
            !done && !said.contains("Verification: OK\nNew, TLS"),
            "{version}: {said}"
        );
    }
    let (done, said) = openssl(&gateway, &["-sess_out", "/dev/null"]);
    assert!(
        done && !said.contains("Session-ID-ctx") && !said.contains("New Session Ticket"),
        "{said}"
    );
    assert!(
        said.contains("Early data was not sent") || !said.contains("Early data was accepted"),
        "{said}"
    );
    assert!(
        refusals(&gateway)
            .iter()
            .any(|why| why.contains("does not speak TLS 1.3"))
    );
    let plain = ureq::get(gateway.base().replace("https", "http") + "/healthz").call();
    assert!(plain.is_err(), "plain HTTP is answered");
    // Nothing is decided on the name in the handshake; the name in the request must be the gateway's.
    let request = "GET /mcp HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n";
    let address = gateway.base().replace("https://", "");
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-servername",
            "attacker.example",
            "-connect",
            &address,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    std::io::Write::write_all(client.stdin.as_mut().expect("an input"), request.as_bytes())
        .expect("it reads");
    let answer = text(&client.wait_with_output().expect("it ends"));
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

/// PT-091 to PT-093: who has to show a certificate, and whose is not taken.
#[test]
fn certificates_of_clients_are_demanded_checked_recorded_and_revoked_while_it_runs() {
    let Some(peers) = peers::directory() else { return };
    let (mut gateway, authority) = gateway(", client_ca: papers/ca.pem, client_crl: papers/list.crl");
    for (name, purpose) in [
        ("good", For::Client),
        ("later", For::Client),
        ("revoked", For::Client),
        ("expired", For::ClientLongAgo),
        ("server", For::Server),
    ] {
        authority.issue(name, purpose);
    }
    let stranger = Authority::new(gateway.path("stranger"));
    stranger.issue("good", For::Client);
    authority.revoke("revoked");
    authority.publish("list.crl");
    gateway.run();
    let attempt = |shown| call(&peers, &gateway, HYBRID, shown);
    for (shown, why) in [
        (None, "peer sent no certificates"),
        (Some((&authority, "revoked")), "Revoked"),
        (Some((&authority, "expired")), "certificate expired"),
        (Some((&authority, "server")), "extended key usage"),
        // Of the same name, and with another key.
        (Some((&stranger, "good")), "BadSignature"),
    ] {
        let output = attempt(shown);
        assert!(!output.status.success(), "{shown:?}: {}", text(&output));
        // The note of it is written soon, not at once.
        until(why, || refusals(&gateway).iter().any(|text| text.contains(why)));
    }
    for name in ["good", "later"] {
        let output = attempt(Some((&authority, name)));
        assert!(output.status.success(), "{name}: {}", text(&output));
    }
    let entries = gateway.ledger();
    let shown = |entry: &&Value| {
        entry["detail"]["certificate"]
            .as_str()
            .is_some_and(|digest| digest.len() == 43)
    };
    let calls = entries
        .iter()
        .filter(|entry| entry["tool"] == "echo" && entry["kind"] != "registry");
    let (with, all) = (calls.clone().filter(shown).count(), calls.count());
    assert!(
        with == all && all >= 4,
        "{with} of {all} entries name a certificate"
    );
    // OA-022: a token that was got with one certificate is of no use with another, however good that is.
    let stolen = calling(&peers, &gateway, HYBRID, Some((&authority, "good")))
        .env("THIEFS_CERTIFICATE", authority.path("later.pem"))
        .env("THIEFS_KEY", authority.path("later.key"))
        .output()
        .expect("Node");
    assert!(!stolen.status.success(), "{}", text(&stolen));
    until("the theft is recorded", || {
        gateway.ledger().iter().any(|entry| {
            let why = entry["reason"].as_str().unwrap_or_default();
            why.contains("bound to a certificate that was not shown")
        })
    });
    // A connection that stands does not outlive the certificate it was opened with.
    let address = gateway.base().replace("https://", "");
    let mut standing = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address, "-cert"])
        .arg(authority.path("later.pem"))
        .arg("-key")
        .arg(authority.path("later.key"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    // A request begun keeps it open for longer than this test waits: the gateway waits for the rest of it.
    let begun = format!("POST /oauth/token HTTP/1.1\r\nHost: {address}\r\nContent-Length: 9\r\n\r\n");
    std::io::Write::write_all(standing.stdin.as_mut().expect("an input"), begun.as_bytes())
        .expect("it reads");
    sleep(Duration::from_millis(300));
    assert!(
        standing.try_wait().expect("a process").is_none(),
        "it does not stand"
    );
    authority.revoke("later");
    authority.publish("list.crl");
    until("the revoked certificate is still taken", || {
        !attempt(Some((&authority, "later"))).status.success()
    });
    until("the connection outlives its certificate", || {
        standing.try_wait().expect("a process").is_some()
    });
    assert!(attempt(Some((&authority, "good"))).status.success());
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_a_bad_one_changes_nothing() {
    let (mut gateway, authority) = gateway("");
    gateway.run();
    let serial = |gateway: &Gateway| {
        let (done, said) = openssl(gateway, &["-showcerts"]);
        assert!(done, "{said}");
        let (_, certificate) = said.split_once("BEGIN CERTIFICATE").expect("a certificate");
        certificate
            .split_once("END CERTIFICATE")
            .map(|(text, _)| text.to_owned())
            .expect("its end")
    };
    let first = serial(&gateway);
    // Only half of it: a certificate without its key.
    authority.issue("next", For::Server);
    let put = |name: &str, kind: &str| {
        let new = gateway.path("papers/new");
        fs::copy(authority.path(&format!("{name}.{kind}")), &new).expect("a copy");
        fs::rename(new, gateway.path(&format!("papers/gateway.{kind}"))).expect("a name");
    };
    put("next", "pem");
    let noted = |action: &str| gateway.ledger().iter().any(|entry| entry["action"] == action);
    until("the half is not reported", || noted("certificates-rejected"));
    assert_eq!(serial(&gateway), first);
    // Mended where no file changes: with who may read the key. It is told once, however often it is tried.
    put("next", "key");
    let key = gateway.path("papers/gateway.key");
    let readable = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("a mode");
    readable(0o644);
    let rejected = || {
        let ledger = gateway.ledger();
        let found = ledger
            .iter()
            .filter(|entry| entry["action"] == "certificates-rejected");
        found.count()
    };
    until("the open key is not reported", || rejected() == 2);
    sleep(Duration::from_secs(2));
    assert_eq!((rejected(), serial(&gateway)), (2, first.clone()));
    readable(0o600);
    until("the new one is not reported", || noted("certificates-in-force"));
    assert_ne!(serial(&gateway), first);
}

#[test]
fn without_a_certificate_the_gateways_own_authority_issues_one() {
    let mut gateway = Gateway::configured(&format!("tls: {{ certificate: development }}\n{OPEN_TO_TESTER}"));
    gateway.run();
    let authority = gateway.path("state/development-ca.pem");
    fs::create_dir_all(gateway.path("papers")).expect("a directory");
    let believed = fs::copy(&authority, gateway.path("papers/ca.pem"));
    believed.expect("the authority's certificate");
    for name in [["-verify_ip", "127.0.0.1"], ["-verify_hostname", "localhost"]] {
        let (done, said) = openssl(&gateway, &name);
        assert!(done && said.contains("Verify return code: 0"), "{said}");
    }
    let (done, said) = openssl(&gateway, &["-verify_hostname", "attacker.example"]);
    assert!(!done, "{said}");
    // The authority stays over a restart: clients believe it once.
    let before = fs::read(&authority).expect("a file");
    gateway.stop();
    gateway.run();
    assert_eq!(fs::read(&authority).expect("a file"), before);
}

/// PT-096 on the other leg.
#[test]
fn a_server_without_post_quantum_key_exchange_is_refused_where_it_is_required() {
    let Some(peers) = peers::directory() else { return };
    let stub = Running::start(Command::new(program("e2e-stub")).arg("http"));
    let scratch = e2e::gateway::Scratch::new();
    let authority = Authority::new(scratch.path().join("papers"));
    let stranger = Authority::new(scratch.path().join("stranger"));
    authority.issue("server", For::Server);
    authority.issue("gateway", For::Client);
    let serve = |groups: &str, clients: Option<PathBuf>| {
        let mut server = node(&peers, "tls_server.mjs");
        server
            .env("TARGET", &stub.1)
            .env("CERTIFICATE", authority.path("server.pem"))
            .env("KEY", authority.path("server.key"))
            .env("GROUPS", groups);
        if let Some(clients) = clients {
            server.env("CLIENTS", clients);
        }
        Running::start(&mut server)
    };
    let (hybrid, classical) = (serve(HYBRID, None), serve(CLASSICAL, None));
    let mutual = serve(HYBRID, Some(authority.certificate()));
    let ca = authority.certificate().display().to_string();
    let other = stranger.certificate().display().to_string();
    let own = authority.path("gateway").display().to_string();
    let entry = |name: &str, server: &Running, tls: &str| {
        format!("  {name}: {{ url: \"{}\", tls: {tls} }}\n", server.1)
    };
    let required = format!("{{ ca: {ca:?}, post_quantum: required }}");
    let servers = [
        entry("pq-only", &hybrid, &format!("{{ ca: {ca:?} }}")),
        entry("pq-required", &hybrid, &required),
        entry("old-preferred", &classical, &format!("{{ ca: {ca:?} }}")),
        entry("old-required", &classical, &required),
        entry("stranger", &hybrid, &format!("{{ ca: {other:?} }}")),
        entry("public", &hybrid, "{ post_quantum: prefer }"),
        entry(
            "mutual",
            &mutual,
            &format!("{{ ca: {ca:?}, certificate: \"{own}.pem\", key: \"file:{own}.key\" }}"),
        ),
        entry("nameless", &mutual, &format!("{{ ca: {ca:?} }}")),
    ];
    let gateway = Gateway::start(&format!("mcpServers:\n{}{OPEN_TO_TESTER}", servers.concat()));
    let client = e2e::mcp::Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let tools = client.tools().expect("a list");
    let reached = |name: &str| tools.iter().any(|tool| tool.starts_with(&format!("{name}__")));
    for name in ["pq-only", "pq-required", "old-preferred", "mutual"] {
        assert!(reached(name), "{name} is not reached: {tools:?}");
        let answer = client.call(&format!("{name}__echo"), &serde_json::json!({"text": "over TLS"}));
        let answer = answer.expect("an answer");
        assert!(answer.body.to_string().contains("over TLS"), "{name}: {answer:?}");
    }
    let shown = authority.digest("server");
    for (name, group) in [("pq-only", HYBRID), ("old-preferred", CLASSICAL)] {
        let outcome = last_outcome(&gateway, name);
        assert_eq!(outcome["detail"]["upstream_tls"], "TLSv1.3", "{outcome}");
        assert_eq!(outcome["detail"]["upstream_group"], group, "{outcome}");
        assert_eq!(outcome["detail"]["upstream_certificate"], shown, "{outcome}");
    }
    for name in ["old-required", "stranger", "public", "nameless"] {
        assert!(!reached(name), "{name} is reached");
        let said = gateway.ledger();
        let why = said
            .iter()
            .find(|entry| entry["kind"] == "finding" && entry["server"] == name);
        let why = why.unwrap_or_else(|| panic!("{name}: nothing is recorded"));
        let told = why["reason"]
            .to_string()
            .contains("takes no post-quantum key exchange");
        assert_eq!(told, name == "old-required", "{name}: {why}");
    }
}

/// A server that was approved and takes the classical exchange alone from one day on gets no call any more.
#[test]
fn a_server_that_goes_back_to_classical_key_exchange_gets_no_call() {
    let Some(peers) = peers::directory() else { return };
    let stub = Running::start(Command::new(program("e2e-stub")).arg("http"));
    let scratch = e2e::gateway::Scratch::new();
    let authority = Authority::new(scratch.path().join("papers"));
    authority.issue("server", For::Server);
    let serve = |groups: &str, port: &str| {
        let mut server = node(&peers, "tls_server.mjs");
        server
            .env("TARGET", &stub.1)
            .env("CERTIFICATE", authority.path("server.pem"))
            .env("KEY", authority.path("server.key"))
            .env("GROUPS", groups)
            .env("PORT", port);
        Running::start(&mut server)
    };
    let hybrid = serve(HYBRID, "0");
    let (url, ca) = (hybrid.1.clone(), authority.certificate().display().to_string());
    let gateway = Gateway::start(&format!(
        "mcpServers:\n  turns: {{ url: \"{url}\", tls: {{ ca: {ca:?}, post_quantum: required }} }}\n{OPEN_TO_TESTER}"
    ));
    let client = e2e::mcp::Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let says = serde_json::json!({"text": "over TLS"});
    let answer = client.call("turns__echo", &says).expect("an answer");
    assert!(answer.body.to_string().contains("over TLS"), "{answer:?}");
    drop(hybrid);
    let port = url.rsplit(':').next().and_then(|rest| rest.split('/').next());
    let _classical = serve(CLASSICAL, port.expect("a port"));
    let answer = client.call("turns__echo", &says).expect("an answer");
    assert!(!answer.body.to_string().contains("over TLS"), "{answer:?}");
    let outcome = last_outcome(&gateway, "turns");
    assert_eq!(outcome["decision"], "refuse", "{outcome}");
    let why = outcome["reason"].to_string();
    assert!(why.contains("takes no post-quantum key exchange"), "{outcome}");
}

/// What became of the last call to a server.
fn last_outcome(gateway: &Gateway, server: &str) -> Value {
    let entries = gateway.ledger();
    let of_call = |entry: &&Value| entry["server"] == server && entry["kind"] == "outcome";
    entries.iter().rfind(of_call).cloned().expect("an outcome")
}

#[test]
fn beyond_loopback_nothing_starts_without_tls() {
    let gateway = Gateway::configured("");
    let yaml = |listen: &str, more: &str| format!("listen: \"{listen}\"\ndata: ./state\n{more}");
    for (text, told) in [
        (yaml("0.0.0.0:0", ""), "tls: { certificate:"),
        (yaml("[::]:0", ""), "tls: { certificate:"),
        (
            yaml("0.0.0.0:0", "tls: { certificate: development }\n"),
            "url: \"https://",
        ),
        (
            yaml("127.0.0.1:0", "tls: { certificate: a.pem }\n"),
            "a certificate comes with its key",
        ),
        (
            yaml("127.0.0.1:0", "tls: { certificate: a.pem, key: \"env:KEY\" }\n"),
            "file:key.pem",
        ),
        (
            yaml(
                "127.0.0.1:0",
                "tls: { certificate: a.pem, key: \"file:a.key\" }\n",
            ),
            "a.pem: No such file",
        ),
        (
            yaml(
                "127.0.0.1:0",
                "tls: { certificate: development, post_quantum: maybe }\n",
            ),
            "prefer, required",
        ),
        (
            yaml("127.0.0.1:0", "url: \"http://gateway.example\"\n"),
            "unprotected",
        ),
    ] {
        fs::write(gateway.path("sallyport.yaml"), &text).expect("a file");
        let output = gateway.output(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(2) && said.contains(told),
            "{text}: {said}"
        );
    }
}
