//! Identity providers that are not ours: the certified one of npm, and one with Entra's habits on Authlib.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, SECRET, program},
    mcp::{Answer, Client},
    peers,
};
use serde_json::{Value, json};

/// A provider that runs as long as its test.
pub(crate) struct Provider {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) issuer: String,
}

impl Provider {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut provider = Self {
            input: child.stdin.take().expect("an input"),
            output: BufReader::new(child.stdout.take().expect("an output")),
            child,
            issuer: String::new(),
        };
        provider.issuer = provider.line();
        provider
    }

    /// One with Entra's habits.
    pub(crate) fn entra_like(peers: &Path) -> Self {
        let mut command = Command::new(peers.join("py2/bin/python"));
        command.arg(peers::script("entra_like.py"));
        Self::start(command)
    }

    /// The certified provider, with new keys, at a port.
    fn certified(peers: &Path, port: u16, algorithm: &str) -> Self {
        let mut command = Command::new(peers::node(peers));
        command
            .arg(peers::script("oidc_provider.mjs"))
            .env("NODE_MODULES", peers.join("node/node_modules"))
            .env("PORT", port.to_string())
            .env("AUDIENCE", "https://nobody.example")
            .env("ALGORITHM", algorithm);
        Self::start(command)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    /// A token with these claims besides the usual ones.
    pub(crate) fn token(&mut self, claims: &Value) -> String {
        writeln!(self.input, "{claims}").expect("it reads");
        self.line()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gateway(issuer: &str, said: &str) -> Gateway {
    let stub = program("e2e-stub");
    Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n\
         approve: all\n\
         agents: [ {{ name: scribe }} ]\n\
         issuers: [ {{ issuer: \"{issuer}\", name: corp, network: private, {said} }} ]\n\
         policy: {{ packs: [baseline], rules: [\n\
           \"permit(principal in Role::\\\"doctor\\\", action, resource);\" ] }}\n"
    ))
}

pub(crate) fn echo(gateway: &Gateway, endpoint: &str, token: &str) -> Answer {
    let client = Client::new(format!("{}{endpoint}", gateway.base()), Some(token.to_owned()));
    let tool = if endpoint == "/mcp" { "stub__echo" } else { "echo" };
    client.call(tool, &json!({"text": "hello"})).expect("an answer")
}

pub(crate) fn is_done(answer: &Answer) -> bool {
    answer.status == 200
        && answer.body["result"]["isError"] != json!(true)
        && answer.body.to_string().contains("hello")
}

pub(crate) fn is_challenged(answer: &Answer) -> bool {
    let challenge = answer.challenge.as_deref().unwrap_or_default();
    answer.status == 401 && challenge.contains("error=\"invalid_token\"")
}

/// What the client got by the gateway's own challenge.
fn tokens(peers: &Path, gateway: &Gateway) -> Value {
    let output = Command::new(peers::node(peers))
        .arg(peers::script("oidc_client.mjs"))
        .env("ENDPOINT", format!("{}/mcp", gateway.base()))
        .output()
        .expect("Node");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

// CONTROL: unique-id authentication
#[test]
fn a_certified_provider_vouches_for_agents_and_their_users_and_changes_its_keys() {
    let Some(peers) = peers::directory() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a port")
        .port();
    let provider = Provider::certified(&peers, port, "RS256");
    let said = "agents: { 0oa-scribe: scribe }, roles: { map: { MCP.Doctor: doctor } }";
    let gateway = gateway(&provider.issuer, said);
    let found = tokens(&peers, &gateway);
    let base = gateway.base();
    let wanted = format!(
        "Bearer resource_metadata=\"{base}/.well-known/oauth-protected-resource/mcp\", scope=\"mcp\""
    );
    assert_eq!(found["challenge"], wanted);
    assert_eq!(found["resource"]["resource"], format!("{base}/mcp"));
    assert_eq!(
        found["resource"]["authorization_servers"],
        json!([provider.issuer, base])
    );
    let text = |name: &str| found[name].as_str().expect("a token").to_owned();
    let user = text("user");
    let answer = echo(&gateway, "/mcp", &user);
    assert!(is_done(&answer), "{answer:?}");
    let entries = gateway.ledger();
    let call = entries
        .iter()
        .rfind(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    let principal = &call.expect("an entry")["principal"];
    assert_eq!(
        (&principal["user"], &principal["agent"]),
        (&json!("corp/alice"), &json!("scribe"))
    );
    // The provider puts roles into every token; they are the user's, and a client that acts for nobody has none.
    let machine = echo(&gateway, "/mcp", &text("machine"));
    assert!(machine.status == 200 && !is_done(&machine), "{machine:?}");
    // A token for one endpoint is for no other, and an ID token is for none.
    assert!(is_challenged(&echo(&gateway, "/mcp/stub", &user)));
    assert!(is_challenged(&echo(&gateway, "/mcp", &text("id"))));
    // Other keys, of another kind, while the gateway runs.
    drop(provider);
    assert!(
        is_done(&echo(&gateway, "/mcp", &user)),
        "keys are not kept while the provider is down"
    );
    let _provider = Provider::certified(&peers, port, "ES256");
    let next = tokens(&peers, &gateway)["user"]
        .as_str()
        .expect("a token")
        .to_owned();
    let end = Instant::now() + Duration::from_secs(40);
    while !is_done(&echo(&gateway, "/mcp", &next)) {
        assert!(Instant::now() < end, "the new key is not believed");
        sleep(Duration::from_millis(500));
    }
    // What was verified with a key that is gone is not remembered either.
    assert!(is_challenged(&echo(&gateway, "/mcp", &user)));
}

#[test]
fn a_provider_with_other_habits_is_understood_and_its_forgeries_are_not() {
    let Some(peers) = peers::directory() else { return };
    let mut provider = Provider::entra_like(&peers);
    let said = "typ: JWT, audience: \"api://gateway\", scope: Gateway.Use, user: oid, tenant: tid, clients: any, \
                roles: { map: { MCP.Doctor: doctor } }";
    let gateway = gateway(&provider.issuer.clone(), said);
    let good = provider.token(&json!({}));
    assert!(is_done(&echo(&gateway, "/mcp", &good)));
    let entries = gateway.ledger();
    let call = entries
        .iter()
        .rfind(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    let principal = &call.expect("an entry")["principal"];
    assert_eq!(
        (&principal["user"], &principal["tenant"]),
        (&json!("corp/o-alice"), &json!("corp/t1"))
    );
    // Without the role the rules are silent; without the scope a step up is asked for.
    let without = echo(
        &gateway,
        "/mcp",
        &provider.token(&json!({"roles": ["admin", "doctor"]})),
    );
    assert!(without.status == 200 && !is_done(&without), "{without:?}");
    let scope = echo(&gateway, "/mcp", &provider.token(&json!({"scp": "Other mcp"})));
    let challenge = scope.challenge.clone().unwrap_or_default();
    assert!(
        scope.status == 403 && challenge.contains("insufficient_scope"),
        "{scope:?}"
    );
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time");
    let now = now.as_secs();
    for claims in [
        json!({"_": "none"}),
        json!({"_": "hmac"}),
        json!({"_": "stranger"}),
        json!({"iss": format!("{}/", provider.issuer)}),
        json!({"iss": gateway.base()}),
        json!({"aud": "api://another"}),
        json!({"aud": format!("{}/mcp", gateway.base())}),
        json!({"exp": now - 60}),
        json!({"nbf": now + 120}),
        json!({"exp": now + 3 * 3600}),
        json!({"azp": null}),
        json!({"appid": "another"}),
        json!({"oid": null}),
        json!({"tid": null}),
        json!({"sub": "c0ffee"}),
        json!({"nonce": "n"}),
        json!({"cnf": {"jkt": "abc"}}),
        json!({"cnf": {"jwk": {}}}),
        json!({"cnf": {"x5t#S256": "abc"}}),
    ] {
        let answer = echo(&gateway, "/mcp", &provider.token(&claims));
        assert!(is_challenged(&answer), "{claims}: {answer:?}");
        assert!(answer.body.to_string().len() < 700, "{claims}: {answer:?}");
    }
    // A token of the gateway's own goes on being one.
    let own = gateway.json(&["token", "--agent", "scribe"]);
    let own = own[0]["access_token"].as_str().expect("a token");
    assert_eq!(echo(&gateway, "/mcp", own).status, 200);
}

/// OA-020 and OA-021, with tokens of the gateway's own issuer and of the certified provider, proofs by npm's `jose`.
#[test]
fn a_token_that_is_bound_to_a_key_is_of_no_use_without_it() {
    let Some(peers) = peers::directory() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a port")
        .port();
    let provider = Provider::certified(&peers, port, "RS256");
    let stub = program("e2e-stub");
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio], env: {{ STUB_RESOURCES: \"1\" }} }} }}\n{OPEN_TO_TESTER}\
         issuers: [ {{ issuer: \"{}\", name: corp, network: private, agents: {{ 0oa-scribe: tester }} }} ]\n",
        provider.issuer
    ));
    let own = (format!("{}/oauth/token", gateway.base()), "tester", SECRET);
    let theirs = (
        format!("{}/token", provider.issuer),
        "0oa-scribe",
        "a-secret-of-this-test-alone",
    );
    for ((url, client, secret), algorithm) in [(&own, "ES256"), (&own, "EdDSA"), (&theirs, "ES256")] {
        let output = Command::new(peers::node(&peers))
            .arg(peers::script("dpop_client.mjs"))
            .env("NODE_MODULES", peers.join("node/node_modules"))
            .env("ENDPOINT", format!("{}/mcp", gateway.base()))
            .env("TOKEN", url)
            .env("CLIENT", client)
            .env("SECRET", secret)
            .env("ALGORITHM", algorithm)
            .output()
            .expect("Node");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{url}: {said}"));
        assert_eq!(found["type"], "DPoP", "{url}");
        for (how, status) in found["statuses"].as_object().expect("statuses") {
            let wanted = if matches!(how.as_str(), "good" | "again") {
                200
            } else {
                401
            };
            assert_eq!(status, wanted, "{url} {algorithm}: {how}");
        }
        // The bug: of what one request brought, the first alone was proven, and a connection was of no use.
        let whole = json!({
            "batch": "1 2",
            "stream": { "resourceSubscriptions": ["test://one"] },
            "connection": "1 2",
        });
        assert_eq!(found["whole"], whole, "{url} {algorithm}");
        // What the provider says of them is its own affair.
        let faulty = found["faulty"].as_object().expect("answers");
        for (how, answer) in faulty.iter().filter(|_| *client == "tester") {
            assert_eq!(answer["error"], "invalid_dpop_proof", "{url}: {how}: {answer}");
        }
    }
}

#[test]
fn issuers_that_could_pass_for_each_other_do_not_start() {
    let one = "{ issuer: \"https://a.example\", name: a }";
    for (issuers, told) in [
        (
            format!("{one}, {{ issuer: \"https://b.example\", name: b, prefix: \"\" }}"),
            "could give the other's names",
        ),
        (
            format!("{one}, {{ issuer: \"https://b.example\", name: b, prefix: \"a/b\" }}"),
            "could give the other's names",
        ),
        (
            format!("{one}, {{ issuer: \"https://a.example\", name: b }}"),
            "it is there already",
        ),
        (
            "{ issuer: \"http://a.example\", name: a }".to_owned(),
            "keys would be fetched unprotected",
        ),
        ("{ issuer: a, name: a }".to_owned(), "it is not a URL"),
        (
            "{ issuer: \"https://a.example\", name: a, agents: { c: nobody } }".to_owned(),
            "there is no agent `nobody`",
        ),
        (
            "{ issuer: \"https://a.example\", name: a, typ: id+jwt }".to_owned(),
            "at+jwt, JWT",
        ),
        (
            "{ issuer: \"https://a.example\", name: a, clients: all }".to_owned(),
            "listed, any",
        ),
        (
            "{ issuer: \"https://a.example\", name: a, user: \"\" }".to_owned(),
            "JSON pointer",
        ),
    ] {
        let gateway = Gateway::configured(&format!("issuers: [ {issuers} ]\n"));
        let output = gateway.output(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(2) && said.contains(told),
            "{issuers}: {said}"
        );
    }
}

/// The bug: whoever has to prove a key or a certificate got tokens bound to nothing, and heard so at the first call alone.
#[test]
fn who_has_to_prove_more_gets_no_token_that_is_bound_to_nothing() {
    let stub = program("e2e-stub");
    let agent = |proof: &str| {
        let open = "secret: \"env:TESTER_SECRET\", roles: [tester]";
        format!("{{ name: by-{proof}, {open}, proof: {proof} }}, ")
    };
    let agents: String = ["dpop", "mtls"].map(agent).concat();
    let open = OPEN_TO_TESTER.replace("agents: [ ", &format!("agents: [ {agents}"));
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{open}"
    ));
    for (proof, error) in [("dpop", "invalid_dpop_proof"), ("mtls", "invalid_request")] {
        let agent = format!("by-{proof}");
        let answer = gateway.ask_for_token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &agent),
            ("client_secret", SECRET),
        ]);
        assert_eq!(answer["error"], json!(error), "{answer}");
        assert_eq!(answer["access_token"], Value::Null, "{answer}");
        // By command there is one, for whoever wants to see it refused; they are told.
        let minted = gateway.command(&["token", "--agent", &agent]).output();
        let minted = minted.expect("it starts");
        let warned = String::from_utf8_lossy(&minted.stderr).into_owned();
        assert!(minted.status.success() && warned.contains(proof), "{warned}");
        let token = String::from_utf8(minted.stdout).expect("text");
        assert_eq!(echo(&gateway, "/mcp", token.trim()).status, 401);
        // The ledger's newest entries say what they are.
        let shown = gateway.command(&["ledger", "tail"]).output().expect("it starts");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            shown.contains(&format!("token-issued agent={agent} audience=")),
            "{shown}"
        );
        assert!(shown.contains("token-refused "), "{shown}");
    }
    assert!(
        gateway.token().len() > 40,
        "nothing is asked of who has to prove no more"
    );
}
