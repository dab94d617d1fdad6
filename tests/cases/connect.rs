//! `sallyport connect URL`: people log in by a browser or another device, at our own authorization server and at npm's
//! certified provider; processes share what was given; and it answers a host as `mcp-remote` does.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, SECRET, Scratch, program},
    peers,
    person::{PASSWORD, PASSWORD_HASH, Person},
};
use serde_json::{Value, json};

use crate::upstream_auth::{certified, guarded};

const CLIENT: &str = r#"{"client_id": "connect"}"#;

/// A gateway with a person who can log in, and a client for them to let in.
fn gateway() -> Gateway {
    configured("")
}

fn configured(more: &str) -> Gateway {
    let stub = program("e2e-stub");
    let yaml = format!(
        r#"
mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}
approve: all
users: [ {{ name: alice, roles: [tester], password: "env:PASSWORD_HASH" }} ]
agents: [ {{ name: tester, secret: "env:TESTER_SECRET", roles: [tester], purposes: [treatment] }} ]
purposes: [ {{ name: treatment }} ]
clients: [ {{ id: connect, redirect_uris: ["http://localhost/oauth/callback"] }} ]
authorization: {{ registration: on }}
policy: {{ packs: [baseline], rules: [ "permit(principal in Role::\"tester\", action, resource);" ] }}
{more}
"#
    );
    let mut gateway = Gateway::configured(&yaml).with_variables(&[("PASSWORD_HASH", PASSWORD_HASH)]);
    gateway.run();
    gateway.wait_for_servers();
    gateway
}

/// A host that speaks to a bridge.
pub(crate) struct Host {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Host {
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Self {
            child,
            input: input.expect("an input"),
            output: BufReader::new(output.expect("an output")),
        }
    }

    pub(crate) fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").expect("it listens");
    }

    /// What it says next.
    pub(crate) fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).expect("text");
        assert!(read > 0, "it ended: {}", self.errors());
        serde_json::from_str(&line).expect("JSON")
    }

    /// The answer to a request.
    pub(crate) fn ask(&mut self, id: u32, method: &str, params: &Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let answer = self.hear();
            if answer["id"] == id {
                return answer;
            }
        }
    }

    fn errors(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut errors, &mut said);
        }
        said
    }

    pub(crate) fn hello(&mut self) -> Value {
        let client = json!({"name": "e2e", "version": "1"});
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        let answer = self.ask(1, "initialize", &params);
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer
    }

    pub(crate) fn call(&mut self, id: u32, tool: &str, arguments: &Value) -> Value {
        self.ask(id, "tools/call", &json!({"name": tool, "arguments": arguments}))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `connect` with a home of its own, and a person before the browser it opens.
pub(crate) fn connect(peers: &Path, home: &Path, url: &str, flags: &[&str]) -> Command {
    let browser = home.join("browser");
    let script = format!(
        "#!/bin/sh\nexec {:?} {:?} \"$1\" >{:?} 2>&1\n",
        peers::node(peers),
        peers::script("browser_person.mjs"),
        home.join("page")
    );
    std::fs::write(&browser, script).expect("a script");
    std::fs::set_permissions(&browser, PermissionsExt::from_mode(0o700)).expect("its mode");
    let mut command = Command::new(program("sallyport"));
    command
        .args(["connect", url])
        .args(flags)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("BROWSER", &browser)
        .env("NODE_MODULES", peers.join("node/node_modules"))
        .env("PERSON", "alice")
        .env("PASSWORD", PASSWORD);
    command
}

/// What the browser showed at last. It may still be about to say so when the token is there.
fn page_shown(home: &Path) -> String {
    for _ in 0..300 {
        let page = std::fs::read_to_string(home.join("page")).unwrap_or_default();
        if !page.is_empty() {
            return page;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    String::new()
}

fn count(gateway: &Gateway, action: &str) -> usize {
    let ledger = gateway.ledger();
    ledger.iter().filter(|entry| entry["action"] == action).count()
}

/// All that lies in a directory.
fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).expect("a directory");
    listed.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_person_logs_in_once_and_every_process_has_the_token() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let (gateway, home) = (gateway(), Scratch::new());
    let url = format!("{}/mcp", gateway.base());
    let flags = [
        "--static-oauth-client-info",
        CLIENT,
        "--auth-timeout",
        "60",
        "--debug",
    ];
    let start = || Host::of(connect(&peers, home.path(), &url, &flags));
    let (mut one, mut two) = (start(), start());
    let second = std::thread::spawn(move || {
        two.hello();
        two.call(2, "stub__echo", &json!({"text": "two"}))
    });
    one.hello();
    let first = one.call(2, "stub__echo", &json!({"text": "one"}));
    let second = second.join().expect("the other");
    assert!(
        first.to_string().contains("one") && second.to_string().contains("two"),
        "{first} {second}"
    );
    let mut third = start();
    third.hello();
    assert!(third.call(2, "stub__echo", &json!({"text": "three"}))["result"].is_object());
    assert_eq!(count(&gateway, "logged-in"), 1, "one login for all of them");
    let page = page_shown(home.path());
    assert!(page.contains("You are logged in"), "{page}");
    let ledger = gateway.ledger();
    let call = ledger
        .iter()
        .rfind(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    assert_eq!(call.expect("a call")["principal"]["user"], "alice");
    // What is kept is its owner's, and says nothing to whoever copies it.
    let kept = files(&home.path().join(".local/state/sallyport/connect"));
    assert!(
        kept.iter()
            .any(|file| file.extension().is_some_and(|kind| kind == "sealed")),
        "{kept:?}"
    );
    for file in kept {
        let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        let text = std::fs::read_to_string(&file).expect("text");
        // How heads of tokens begin: `{"alg":`, `{"kid":`, `{"typ":`. The first three letters alone stand in what is
        // sealed now and then, too, by chance.
        let told = ["access", "eyJhbGci", "eyJraWQi", "eyJ0eXAi"];
        let told: Vec<_> = told.into_iter().filter(|part| text.contains(part)).collect();
        assert!(told.is_empty(), "{told:?} in {}", file.display());
    }
}

/// Starts a device flow; the bridge, and the code it shows.
pub(crate) fn device(mut command: Command) -> (std::thread::JoinHandle<Value>, String, String) {
    let mut host = Host::of({
        command.stderr(Stdio::piped());
        command
    });
    let errors = host.child.stderr.take().expect("its errors");
    let working = std::thread::spawn(move || host.hello());
    let mut lines = BufReader::new(errors).lines();
    let said = lines.find_map(|line| {
        let line = line.ok()?;
        let (_, rest) = line.split_once("open ")?;
        let (at, rest) = rest.split_once(" and enter ")?;
        let code = rest.split(' ').next()?;
        Some((at.to_owned(), code.to_owned()))
    });
    let (at, code) = said.expect("a code");
    // Whoever no longer reads would end it.
    std::thread::spawn(move || lines.for_each(drop));
    (working, at, code)
}

#[test]
fn a_device_is_let_in_by_the_code_it_shows_and_by_nothing_else() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let (gateway, home) = (gateway(), Scratch::new());
    let url = format!("{}/mcp", gateway.base());
    let mut person = Person::at(gateway.base());
    // It registers itself.
    let (working, at, code) = device(connect(&peers, home.path(), &url, &["--device-code"]));
    assert_eq!(at, format!("{}/oauth/device", gateway.base()));
    let entered = person.visit("/oauth/device", Some("user_code=BBBB-BBBB"));
    assert_eq!(entered.status, 400, "{entered:?}");
    let shown = person.visit(&format!("/oauth/device?user_code={code}"), None);
    assert!(
        shown.html.contains(&code) && shown.transaction().is_empty(),
        "{shown:?}"
    );
    let page = person.visit(
        "/oauth/device",
        Some(&format!("user_code={}", code.to_lowercase())),
    );
    let consent = person.log_in(&page, "alice");
    assert!(
        consent.asks_for_consent() && consent.html.contains(&code),
        "{consent:?}"
    );
    let done = person.fill(&consent, &[("say", "allow")]);
    assert_eq!((done.status, done.location.as_deref()), (200, None), "{done:?}");
    let again = person.fill(&consent, &[("say", "allow")]);
    assert_eq!(again.status, 400, "a page is answered once: {again:?}");
    let hello = working.join().expect("the bridge");
    assert_eq!(hello["result"]["serverInfo"]["name"], "sallyport", "{hello}");
    let used = person.visit("/oauth/device", Some(&format!("user_code={code}")));
    assert_eq!(used.status, 400, "a code is used once: {used:?}");
    // Who says no is believed.
    let elsewhere = Scratch::new();
    let (working, _, code) = device(connect(&peers, elsewhere.path(), &url, &["--device-code"]));
    let page = person.visit("/oauth/device", Some(&format!("user_code={code}")));
    let consent = person.log_in(&page, "alice");
    assert!(
        consent.asks_for_consent(),
        "leave for a device is never remembered: {consent:?}"
    );
    let _ = person.fill(&consent, &[("say", "deny")]);
    let hello = working.join().expect("the bridge");
    assert!(
        hello["error"]["message"].to_string().contains("access_denied"),
        "{hello}"
    );
    assert_eq!(count(&gateway, "device-let-in"), 1);
}

/// What the token endpoint says to devices that do not keep to the rules.
#[test]
fn device_codes_are_their_clients_and_wait_their_time() {
    let gateway = gateway();
    let person = Person::at(gateway.base());
    let begun = |client: &str| person.post("/oauth/device_authorization", &[("client_id", client)]);
    assert_eq!(begun("nobody").0, 401);
    let (status, device) = begun("connect");
    assert_eq!(status, 200, "{device}");
    assert!(
        device["user_code"].as_str().is_some_and(|code| code.len() == 9),
        "{device}"
    );
    let poll = |client: &str, code: &str| {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", client),
            ("device_code", code),
        ];
        person.post("/oauth/token", &form).1["error"].clone()
    };
    let code = device["device_code"].as_str().expect("a code");
    assert_eq!(poll("connect", "guess"), "expired_token");
    assert_eq!(poll("nobody", code), "invalid_client");
    assert_eq!(poll("connect", code), "authorization_pending");
    assert_eq!(poll("connect", code), "slow_down");
    let wrong = [
        ("client_id", "connect"),
        ("resource", "https://other.example/mcp"),
    ];
    assert_eq!(
        person.post("/oauth/device_authorization", &wrong).1["error"],
        "invalid_target"
    );
    for _ in 0..20 {
        let _ = begun("connect");
    }
    assert_eq!(begun("connect").0, 503, "one address cannot fill it");
    let mut guesser = Person::at(gateway.base());
    let statuses: Vec<u16> = (0..7)
        .map(|n| {
            guesser
                .visit("/oauth/device", Some(&format!("user_code=BBBBBBB{n}")))
                .status
        })
        .collect();
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

#[test]
fn a_person_logs_in_at_the_certified_provider() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let (_provider, _, issuer) = certified(&peers, 600);
    let (_server, sent) = guarded(&peers, &issuer, "mcp", None);
    let url = format!("http://{}/mcp", sent.address());
    let home = Scratch::new();
    let mut host = Host::of(connect(&peers, home.path(), &url, &["--auth-timeout", "60"]));
    host.hello();
    let who = host.call(2, "whoami", &json!({}));
    assert!(who.to_string().contains("alice"), "{who}");
}

#[test]
fn a_device_is_let_in_at_the_certified_provider() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let (_provider, _, issuer) = certified(&peers, 600);
    let (_server, sent) = guarded(&peers, &issuer, "mcp", None);
    let url = format!("http://{}/mcp", sent.address());
    let elsewhere = Scratch::new();
    let (working, _, code) = device(connect(&peers, elsewhere.path(), &url, &["--device-code"]));
    let page = Command::new(peers::node(&peers))
        .arg(peers::script("browser_person.mjs"))
        .arg(format!("{issuer}/device"))
        .env("NODE_MODULES", peers.join("node/node_modules"))
        .env("PERSON", "alice")
        .env("PASSWORD", "any")
        .env("CODE", &code)
        .output()
        .expect("Node");
    assert!(page.status.success(), "{}", String::from_utf8_lossy(&page.stderr));
    let hello = working.join().expect("the bridge");
    assert_eq!(hello["result"]["serverInfo"]["name"], "guarded", "{hello}");
}

/// What a host hears from a bridge.
fn heard(command: Command) -> Vec<Value> {
    let mut host = Host::of(command);
    let mut heard = vec![host.hello()];
    let tool = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
    for (n, (method, params)) in [
        ("tools/list", json!({})),
        ("tools/call", tool("stub__echo", json!({"text": "hello"}))),
        ("tools/call", tool("stub__echo", json!({"text": 7}))),
        ("tools/call", tool("nobody__nothing", json!({}))),
        ("tools/call", tool("stub__wrong_id", json!({}))),
        ("resources/list", json!({})),
        ("prompts/get", json!({"name": "none"})),
        ("no/such", json!({})),
        ("ping", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let id = u32::try_from(n).expect("few") + 2;
        let mut answer = host.ask(id, method, &params);
        // The gateway names each call by itself.
        for (place, name) in [("/result", "_meta"), ("/error", "data")] {
            if let Some(Value::Object(members)) = answer.pointer_mut(place) {
                members.remove(name);
            }
        }
        if let Some(Value::String(text)) = answer.pointer_mut("/result/content/0/text") {
            text.truncate(text.find("Reference: ").unwrap_or(text.len()));
        }
        heard.push(answer);
    }
    heard
}

/// The same flags, the same server, the same answers.
#[test]
fn mcp_remote_and_connect_answer_alike() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let (gateway, home) = (gateway(), Scratch::new());
    let url = format!("{}/mcp", gateway.base());
    let token = format!("Authorization: Bearer {}", gateway.token());
    let flags = [
        "--header",
        &token,
        "--transport",
        "http-only",
        "--ignore-tool",
        "*__WRONG*",
        "--silent",
    ];
    let ours = heard(connect(&peers, home.path(), &url, &flags));
    let mut theirs = Command::new(peers::node(&peers));
    theirs
        .arg(peers::npm(&peers, "mcp-remote/dist/proxy.js"))
        .arg(&url)
        .args(flags)
        .env("MCP_REMOTE_CONFIG_DIR", home.path());
    let theirs = heard(theirs);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert!(
        !json!(ours)
            .to_string()
            .contains("Answers under an id nobody used"),
        "the ignored tool is listed"
    );
}

/// What is not there says so, and what to do.
#[test]
fn flags_that_are_not_there_are_refused_with_what_to_do() {
    let home = Scratch::new();
    for (flags, part) in [
        (&["--enable-proxy"][..], "neither HTTPS_PROXY nor HTTP_PROXY"),
        (&["--use-id-token", "--client-credentials"], "who logged in"),
        (&["--protocol", "auto", "--transport", "sse-only"], "HTTP+SSE"),
        (&["--host", "0.0.0.0"], "must not leave this machine"),
        (&["--callback-path", "x"], "begins with `/`"),
        (&["--auth-success-url", "http://a.example/x"], "https URL"),
        (&["--authorize-param", "state=1"], "`connect` itself"),
        (&["--authorize-param", "x"], "key=value"),
        (&["--header", "no colon"], "Name: value"),
        (&["--header-file", "/nonexistent"], "/nonexistent"),
        (&["--static-oauth-client-info", "{}"], "client_id"),
        (&["--static-oauth-client-metadata", "[]"], "no JSON object"),
        (&["--client-metadata-url", "http://a.example/x"], "https"),
        (
            &["--token-endpoint", "https://a.example/t"],
            "--client-credentials",
        ),
        (&["--transport", "carrier-pigeon"], "http-first"),
        (&["--auth-timeout", "0"], "more than 0"),
        (&["--context", r#"{"what": 1}"#], "unknown member"),
    ] {
        let output = Command::new(program("sallyport"))
            .args(["connect", "http://127.0.0.1:1/mcp"])
            .args(flags)
            .env_remove("HTTP_PROXY")
            .env_remove("HTTPS_PROXY")
            .env_remove("http_proxy")
            .env_remove("https_proxy")
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
        assert!(said.contains(part), "{flags:?}: {said}");
    }
    let plain = Command::new(program("sallyport"))
        .args(["connect", "http://198.51.100.1/mcp"])
        .output()
        .expect("it starts");
    assert!(String::from_utf8_lossy(&plain.stderr).contains("--allow-http"));
}

/// A client's own proof, with a purpose, needs nobody and leaves nothing behind.
#[test]
fn a_client_proves_itself_and_declares_what_for() {
    let Some(peers) = peers::directory() else { return };
    let (gateway, home) = (gateway(), Scratch::new());
    let url = format!("{}/mcp", gateway.base());
    let flags = [
        "--client-id",
        "tester",
        "--context",
        r#"{"purpose": "treatment"}"#,
    ];
    let mut command = connect(&peers, home.path(), &url, &flags);
    command.env("SALLYPORT_CLIENT_SECRET", SECRET);
    let mut host = Host::of(command);
    host.hello();
    let answer = host.call(2, "stub__echo", &json!({"text": "hello"}));
    assert!(answer["result"].is_object(), "{answer}");
    let ledger = gateway.ledger();
    let issued = ledger
        .iter()
        .rfind(|entry| entry["action"] == "token-issued")
        .expect("a token");
    assert!(issued.to_string().contains("treatment"), "{issued}");
    assert!(!home.path().join(".local").exists(), "it was written down");
    // The secret goes to the authorization server it is for, whatever the MCP server says.
    for (issuer, is_for) in [(gateway.base(), true), ("https://as.example".to_owned(), false)] {
        let before = count(&gateway, "token-issued");
        let mut flags = flags.to_vec();
        flags.extend(["--issuer", &issuer]);
        let mut command = connect(&peers, home.path(), &url, &flags);
        command.env("SALLYPORT_CLIENT_SECRET", SECRET);
        let mut host = Host::of(command);
        let hello = host.hello();
        let told = hello.to_string().contains("nothing is sent there");
        assert_eq!(told, !is_for, "{hello}");
        drop(host);
        assert_eq!(count(&gateway, "token-issued") > before, is_for, "{issuer}");
    }
}

/// RFC 9449, sections 8 and 9: who wants a nonce gets none but its own of now.
#[test]
fn proofs_need_a_nonce_where_configuration_says_so() {
    let Some(peers) = peers::directory() else { return };
    let (gateway, home) = (configured("dpop: { nonce: required }"), Scratch::new());
    let url = format!("{}/mcp", gateway.base());
    let output = Command::new(peers::node(&peers))
        .arg(peers::script("dpop_nonce.mjs"))
        .env("NODE_MODULES", peers.join("node/node_modules"))
        .env("ENDPOINT", &url)
        .env("TOKEN", format!("{}/oauth/token", gateway.base()))
        .env("CLIENT", "tester")
        .env("SECRET", SECRET)
        .output()
        .expect("Node");
    let said = String::from_utf8_lossy(&output.stderr);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    for how in ["without", "another", "changed"] {
        let (token, mcp) = (&found["token"][how], &found["mcp"][how]);
        assert_eq!(
            (&token["status"], &token["error"]),
            (&json!(400), &json!("use_dpop_nonce")),
            "{how}"
        );
        assert_eq!(mcp["status"], 401, "{how}: {mcp}");
        let challenge = mcp["challenge"].as_str().expect("a challenge");
        assert!(
            challenge.starts_with("DPoP error=\"use_dpop_nonce\""),
            "{how}: {challenge}"
        );
        assert!(
            token["nonce"].is_string() && mcp["nonce"].is_string(),
            "{how}: {found}"
        );
    }
    assert_eq!(found["token"]["good"]["token_type"], "DPoP", "{found}");
    assert_eq!(found["mcp"]["good"]["status"], 200, "{found}");
    // Our own client finds its way.
    let mut command = connect(&peers, home.path(), &url, &["--client-id", "tester"]);
    command.env("SALLYPORT_CLIENT_SECRET", SECRET);
    let mut host = Host::of(command);
    host.hello();
    assert!(host.call(2, "stub__echo", &json!({"text": "hello"}))["result"].is_object());
}

/// What is no message was swallowed, and the host waited for its answer for ever.
#[test]
fn what_is_no_message_is_answered() {
    let (gateway, home) = (gateway(), Scratch::new());
    let mut command = Command::new(program("sallyport"));
    command
        .args(["connect", &format!("{}/mcp", gateway.base())])
        .env("HOME", home.path())
        .env("SALLYPORT_CLIENT_ID", "tester")
        .env("SALLYPORT_CLIENT_SECRET", SECRET);
    let mut host = Host::of(command);
    host.hello();
    for (line, code) in [
        ("{bad", -32700),
        (r#"{"jsonrpc":"2.0","id":5,"id":6,"method":"ping"}"#, -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"stub__echo","arguments":{"a":1,"a":2}}}"#,
            -32700,
        ),
    ] {
        writeln!(host.input, "{line}").expect("it listens");
        let answer = host.hear();
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
        assert!(
            answer["error"]["message"].is_string() && answer["jsonrpc"] == "2.0",
            "{answer}"
        );
    }
    // A notification wants no answer, known or not.
    writeln!(
        host.input,
        "{}",
        json!({"jsonrpc": "2.0", "method": "notifications/nobody-knows"})
    )
    .expect("it listens");
    assert!(host.call(8, "stub__echo", &json!({"text": "hello"}))["result"].is_object());
}

/// A gateway where nobody can log in told people to assume PKCE, which led nowhere.
#[test]
fn where_no_person_can_log_in_it_is_said_who_can_come_in() {
    let (gateway, home) = (Gateway::start(OPEN_TO_TESTER), Scratch::new());
    let mut command = Command::new(program("sallyport"));
    command
        .args(["connect", &format!("{}/mcp", gateway.base())])
        .env("HOME", home.path());
    let answer = Host::of(command).hello();
    let said = answer["error"]["message"].as_str().expect("a sentence");
    assert!(
        said.contains("SALLYPORT_CLIENT_ID")
            && said.contains("sallyport agent add")
            && !said.contains("pkce"),
        "{said}"
    );
}
