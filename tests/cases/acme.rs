//! Certificates by ACME, from Debian's Pebble, which asks for the name at the gateway's own address.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use e2e::{
    gateway::Gateway,
    papers::{Authority, For},
    peers,
};

/// Seconds a certificate of the test's authority lives.
const LIFE_S: u32 = 9;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Running {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    Running(quiet.spawn().expect("Debian's `pebble` is installed"))
}

fn port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address").port()
}

/// Pebble, and the DNS in which every name is this machine.
fn pebble(papers: &Path, directory: u16, gateway: &str) -> [Running; 2] {
    let (dns, names, management) = (port(), port(), port());
    let at = |port: u16| format!("127.0.0.1:{port}");
    let resolver = start(
        Command::new("pebble-challtestsrv")
            .args([
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
            ])
            .args(["-tlsalpn01", "", "-dns01", &at(dns), "-management", &at(names)]),
    );
    let config = serde_json::json!({ "pebble": {
        "listenAddress": at(directory),
        "managementListenAddress": at(management),
        "certificate": papers.join("pebble.pem"),
        "privateKey": papers.join("pebble.key"),
        "httpPort": port(),
        "tlsPort": gateway.parse::<u16>().expect("a port"),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
        "certificateValidityPeriod": LIFE_S,
    }});
    let path = papers.join("pebble.json");
    fs::write(&path, config.to_string()).expect("a file");
    let authority = start(
        Command::new("pebble")
            .args(["-strict", "-dnsserver", &at(dns), "-config"])
            .arg(&path)
            .env("PEBBLE_VA_NOSLEEP", "1"),
    );
    [resolver, authority]
}

/// Issuer and serial of the certificate the gateway shows.
fn shown(gateway: &Gateway) -> (String, String) {
    let address = gateway.base().replace("https://", "");
    let line = format!(
        "openssl s_client -connect {address} -servername gateway.example </dev/null 2>/dev/null | \
         openssl x509 -noout -issuer -serial"
    );
    let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (issuer, serial) = text.split_once('\n').unwrap_or_default();
    (issuer.to_owned(), serial.to_owned())
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it never happens: {what}"
        );
        sleep(Duration::from_millis(250));
    }
}

fn told(gateway: &Gateway, action: &str) -> usize {
    let entries = gateway.ledger();
    entries.iter().filter(|entry| entry["action"] == action).count()
}

fn files(directory: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files(path),
            path if path.is_file() => vec![path],
            // Sockets.
            _ => Vec::new(),
        })
        .collect()
}

/// Issue 4: obtained, kept sealed, renewed in time, and whatever fails, what is there stays.
#[test]
fn a_certificate_is_obtained_kept_and_renewed_and_a_failure_changes_nothing() {
    if peers::directory().is_none() {
        return;
    }
    let directory = port();
    let mut gateway = Gateway::configured(&format!(
        "tls:\n  certificate: acme\n  acme:\n    directory: \"https://localhost:{directory}/dir\"\n    \
         agree_to_terms: true\n    names: [gateway.example]\n    contact: [\"mailto:ops@gateway.example\"]\n    \
         network: private\n    ca: papers/ca.pem\n"
    ));
    let authority = Authority::new(gateway.path("papers"));
    authority.issue("pebble", For::Server);
    gateway.run();
    until("a failure that is told", || {
        told(&gateway, "certificate-not-obtained") > 0
    });
    assert!(shown(&gateway).0.contains("development"), "{:?}", shown(&gateway));
    let base = gateway.base();
    let own = base.rsplit(':').next().expect("a port");
    let world = pebble(&gateway.path("papers"), directory, own);
    until("a certificate", || shown(&gateway).0.contains("Pebble"));
    let first = shown(&gateway).1;
    until("another one", || shown(&gateway).1 != first);
    assert!(told(&gateway, "certificate-obtained") >= 2);
    drop(world);
    let failures = told(&gateway, "certificate-not-obtained");
    until("another failure", || {
        told(&gateway, "certificate-not-obtained") > failures
    });
    let before = shown(&gateway);
    assert!(before.0.contains("Pebble"), "{before:?}");
    // It is kept over a restart, and nobody reads its key from the disk.
    gateway.stop();
    for path in files(gateway.path("state")) {
        let bytes = fs::read(&path).expect("a file");
        let clear = bytes.windows(11).any(|window| window == b"PRIVATE KEY");
        assert!(!clear, "{} has a key in clear", path.display());
    }
    gateway.run();
    assert_eq!(shown(&gateway).1, before.1);
}

/// Nothing is asked of anybody whose terms nobody agreed to, nor for what has no name.
#[test]
fn what_is_missing_is_said_at_the_start() {
    let gateway = Gateway::configured("");
    let acme = "tls: { certificate: acme";
    for (text, says) in [
        (format!("{acme} }}"), "which authority"),
        (
            format!("{acme}, acme: {{ directory: \"https://a.example\" }} }}"),
            "agree_to_terms",
        ),
        (
            format!("{acme}, acme: {{ directory: \"http://a.example\", agree_to_terms: true }} }}"),
            "not reached over TLS",
        ),
        (
            format!("{acme}, acme: {{ directory: \"https://a.example\", agree_to_terms: true }} }}"),
            "no name",
        ),
        (
            format!(
                "{acme}, acme: {{ directory: \"https://a.example\", agree_to_terms: true, names: [192.0.2.1] }} }}"
            ),
            "no name",
        ),
        (
            "tls: { certificate: development, acme: { directory: \"https://a.example\" } }".to_owned(),
            "comes from elsewhere",
        ),
    ] {
        let yaml = format!("listen: \"127.0.0.1:0\"\ndata: ./state\n{text}\n");
        fs::write(gateway.path("sallyport.yaml"), yaml).expect("a file");
        let output = gateway.output(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(2) && said.contains(says),
            "{text}: {said}"
        );
    }
}
