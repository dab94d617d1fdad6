//! Servers that want a token of their own authorization server: the certified provider of npm, one with Entra's habits on
//! Authlib, and hostile ones. The server is on the Python SDK, behind a relay that takes down all it is sent.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use e2e::{
    gateway::{Gateway, SECRET},
    mcp::{Answer, Client, REVISION},
    peers::{self, Served},
    person::{PASSWORD, PASSWORD_HASH},
    recorder::Recorder,
};
use serde_json::{Value, json};

const AGENTS: &str = r#"
approve: all
users: [ { name: alice, secret: "env:ALICE_SECRET" }, { name: bob, password: "env:PASSWORD_HASH" }, { name: carol } ]
agents:
  - { name: tester, secret: "env:TESTER_SECRET", roles: [tester], for: [alice] }
  - { name: other, secret: "env:TESTER_SECRET", roles: [tester], for: [bob] }
policy: { packs: [baseline], rules: [ "permit(principal in Role::\"tester\", action, resource);" ] }
"#;
const ALICE: &str = "alice-5e0c1b7a94d2f3668a";

/// The certified provider, behind a relay that is its issuer's address.
pub(crate) fn certified(peers: &Path, seconds: u32) -> (Served, Recorder, String) {
    certified_with(peers, seconds, &[])
}

/// The same, told more.
pub(crate) fn certified_with(
    peers: &Path,
    seconds: u32,
    more: &[(&str, &str)],
) -> (Served, Recorder, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a port")
        .port();
    let relay = Recorder::before(SocketAddr::from(([127, 0, 0, 1], port)));
    let issuer = format!("http://{}", relay.address());
    let mut command = Command::new(peers::node(peers));
    command
        .arg(peers::script("oidc_provider.mjs"))
        .env("NODE_MODULES", peers.join("node/node_modules"))
        .env("PORT", port.to_string())
        .env("ISSUER", &issuer)
        .env("TTL", seconds.to_string())
        .env("AUDIENCE", "https://nobody.example")
        .env("ALGORITHM", "RS256")
        .envs(more.iter().copied())
        .stderr(Stdio::null());
    (Served::start(&mut command), relay, issuer)
}

/// The server, behind a relay that is its address.
pub(crate) fn guarded(peers: &Path, issuer: &str, scope: &str, audience: Option<&str>) -> (Served, Recorder) {
    let relay = Recorder::start();
    let mut command = Command::new(peers.join("py2/bin/python"));
    command
        .arg(peers::script("guarded_server.py"))
        .env("ISSUER", issuer)
        .env("RESOURCE", format!("http://{}/mcp", relay.address()))
        .env("SCOPE", scope)
        .envs(audience.map(|audience| ("AUDIENCE", audience)))
        .stderr(Stdio::null());
    let server = Served::start(&mut command);
    relay.lead_to(server.line.parse().expect("an address"));
    (server, relay)
}

fn gateway(relay: &Recorder, auth: &str) -> Gateway {
    let url = format!("http://{}/mcp", relay.address());
    let yaml = format!("mcpServers: {{ guarded: {{ url: \"{url}\", auth: {auth} }} }}\n{AGENTS}");
    let variables = [
        ("ALICE_SECRET", ALICE),
        ("PASSWORD_HASH", PASSWORD_HASH),
        ("CLIENT_SECRET", "a-secret-of-this-test-alone"),
    ];
    let mut gateway = Gateway::configured(&yaml).with_variables(&variables);
    gateway.run();
    gateway
}

/// A person opens the link; what their browser shows in the end.
pub(crate) fn agree(peers: &Path, link: &str, variables: &[(&str, &str)]) -> Value {
    let output = Command::new(peers::node(peers))
        .arg(peers::script("agree.mjs"))
        .env("LINK", link)
        .envs(variables.iter().copied())
        .output()
        .expect("Node");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

fn link(gateway: &Gateway, user: &str) -> String {
    let said = gateway.json(&["server", "connect", "guarded", "--user", user]);
    said[0]["url"].as_str().expect("a link").to_owned()
}

fn whoami(gateway: &Gateway, token: &str) -> Answer {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(token.to_owned()));
    client.call("guarded__whoami", &json!({})).expect("an answer")
}

/// What the token said by which the server was reached.
fn claims(answer: &Answer) -> Value {
    serde_json::from_str(answer.text()).unwrap_or_else(|_| panic!("{answer:?}"))
}

/// No part of what a caller showed went on.
fn assert_unheard(relays: &[&Recorder], tokens: &[&str]) {
    for token in tokens {
        for part in token.split('.').filter(|part| part.len() > 40) {
            for relay in relays {
                assert!(relay.requests_with(part).is_empty(), "a caller's token went on");
            }
        }
    }
}

#[test]
fn a_person_agrees_once_and_their_token_is_theirs_and_renewed() {
    let Some(peers) = peers::directory() else { return };
    let (_provider, asked, issuer) = certified(&peers, 31);
    let (_server, sent) = guarded(&peers, &issuer, "mcp", None);
    let gateway = gateway(&sent, "{ kind: authorization_code, registration: dynamic }");
    // The link is alice's: without her secret it leads nowhere, and with it to the provider and back.
    let first = link(&gateway, "alice");
    let stranger = agree(&peers, &first, &[("SECRET", "not-hers-0123456789")]);
    assert_eq!(stranger["status"], 403, "{stranger}");
    let page = agree(&peers, &first, &[("SECRET", ALICE)]);
    assert!(
        page["page"]
            .as_str()
            .expect("a page")
            .contains("may now use <b>guarded</b> for alice"),
        "{page}"
    );
    assert_eq!(
        agree(&peers, &first, &[("SECRET", ALICE)])["status"],
        404,
        "a link is good once"
    );
    gateway.wait_for_servers();
    let (tester, other) = (gateway.token(), gateway.token_of("other"));
    let begun = claims(&whoami(&gateway, &tester));
    assert_eq!(begun["sub"], "alice");
    // Another person has not agreed: they are told where, each client in its way.
    let refused = whoami(&gateway, &other);
    assert!(
        refused.text().contains("consent-needed") && refused.text().contains("/oauth/upstream/start/"),
        "{refused:?}"
    );
    let params = json!({"name": "guarded__whoami", "arguments": {}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": {"name": "e2e", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}},
    }});
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(other.clone()));
    let asks = client
        .request("tools/call", Some("guarded__whoami"), params)
        .expect("an answer");
    let question = &asks.body["result"]["inputRequests"]["io.sallyport/consent"]["params"];
    assert_eq!(
        (&asks.body["result"]["resultType"], &question["mode"]),
        (&json!("input_required"), &json!("url"))
    );
    // What leads back is good in the browser that went, and once.
    let bobs = question["url"].as_str().expect("a link").to_owned();
    // Bob logs in, since he can; alice's secret proves nothing there, and nobody can prove to be carol.
    let wrong = agree(
        &peers,
        &bobs,
        &[("SECRET", ALICE), ("PASSWORD", "not-his-0123456789")],
    );
    assert_eq!(wrong["status"], 403, "{wrong}");
    let carols = agree(&peers, &link(&gateway, "carol"), &[("SECRET", ALICE)]);
    assert_eq!(
        (&carols["status"], &carols["passed"]),
        (&json!(403), &json!([])),
        "{carols}"
    );
    assert!(
        carols["page"]
            .to_string()
            .contains("neither a login nor a secret"),
        "{carols}"
    );
    let elsewhere = agree(&peers, &bobs, &[("STRANGER", "1"), ("PASSWORD", PASSWORD)]);
    assert_eq!(elsewhere["status"], 400, "{elsewhere}");
    assert!(
        elsewhere["page"]
            .as_str()
            .expect("a page")
            .contains("another browser"),
        "{elsewhere}"
    );
    assert!(!whoami(&gateway, &other).is_good());
    // The token ends within half a minute, so it is renewed before each call; the caller notices nothing.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let later = claims(&whoami(&gateway, &tester));
    assert!(later["sub"] == "alice" && later["jti"] != begun["jti"], "{later}");
    assert!(!asked.requests_with("grant_type=refresh_token").is_empty());
    assert!(
        !asked.requests_with("resource=http").is_empty(),
        "tokens are asked for in the server's name"
    );
    assert_unheard(&[&asked, &sent], &[&tester, &other]);
    let entries = gateway.ledger();
    let noted = |what: &str| entries.iter().filter(|entry| entry["action"] == what).count();
    assert_eq!(
        (noted("upstream-connected"), noted("upstream-not-connected")),
        (1, 1)
    );
}

#[test]
fn what_a_person_gave_outlives_a_restart_sealed() {
    let Some(peers) = peers::directory() else { return };
    let (_provider, _, issuer) = certified(&peers, 600);
    let (_server, sent) = guarded(&peers, &issuer, "mcp", None);
    let mut gateway = gateway(&sent, "{ kind: authorization_code, registration: dynamic }");
    let page = agree(&peers, &link(&gateway, "alice"), &[("SECRET", ALICE)]);
    assert_eq!(page["status"], 200, "{page}");
    gateway.wait_for_servers();
    let begun = claims(&whoami(&gateway, &gateway.token()));
    gateway.stop();
    // Nothing in the data directory has it in clear.
    let used = sent
        .requests_with("authorization: Bearer ")
        .pop()
        .expect("a request");
    let used = used
        .split("Bearer ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .expect("a token");
    let state = std::fs::read(gateway.path("state/state.db")).expect("the tables");
    let signature = used.rsplit('.').next().expect("a signature");
    assert!(
        !state
            .windows(signature.len())
            .any(|bytes| bytes == signature.as_bytes())
    );
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(claims(&whoami(&gateway, &gateway.token()))["jti"], begun["jti"]);
}

#[test]
fn a_provider_with_other_habits_gives_the_gateway_a_token_of_its_own() {
    let Some(peers) = peers::directory() else { return };
    let mut command = Command::new(peers.join("py2/bin/python"));
    command.arg(peers::script("entra_like.py")).stderr(Stdio::null());
    let provider = Served::start(&mut command);
    let (_server, sent) = guarded(&peers, &provider.line, "Gateway.Use", Some("api://guarded"));
    let how = |more: &str| {
        let secret = "client_secret: \"env:CLIENT_SECRET\"";
        format!("{{ kind: client_credentials, client_id: c0ffee, {secret}, {more} }}")
    };
    let good = gateway(&sent, &how("scope: \"api://guarded/.default\", resource: omit"));
    good.wait_for_servers();
    let token = good.token();
    let one = claims(&whoami(&good, &token));
    let two = claims(&whoami(&good, &good.token_of("other")));
    assert_eq!(
        (&one["azp"], &one["uti"]),
        (&json!("c0ffee"), &two["uti"]),
        "one token for all callers"
    );
    assert_unheard(&[&sent], &[&token]);
    // It knows no `resource`, which the operator is told.
    let bad = gateway(&sent, &how("scope: \"api://guarded/.default\""));
    let entries = bad.ledger();
    let told = entries
        .iter()
        .any(|entry| entry.to_string().contains("AADSTS901002"));
    assert!(told, "{entries:?}");
}

/// The claims of a token, unchecked.
fn said_in(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).expect("a payload");
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    serde_json::from_slice(&payload.expect("base64")).expect("claims")
}

#[test]
fn each_caller_has_a_token_of_their_own_in_exchange_for_the_gateways_word() {
    let Some(peers) = peers::directory() else { return };
    let mut command = Command::new(peers.join("py2/bin/python"));
    command.arg(peers::script("entra_like.py")).stderr(Stdio::null());
    let provider = Served::start(&mut command);
    let (_server, sent) = guarded(&peers, &provider.line, "Gateway.Use", Some("api://guarded"));
    let gateway = gateway(
        &sent,
        "{ kind: token_exchange, client_id: gw, client_secret: \"env:CLIENT_SECRET\", audience: \"api://guarded\", \
         scope: Gateway.Use, resource: omit }",
    );
    gateway.wait_for_servers();
    let (tester, other) = (gateway.token(), gateway.token_of("other"));
    let one = claims(&whoami(&gateway, &tester));
    let two = claims(&whoami(&gateway, &other));
    assert_eq!(
        (&one["sub"], &one["act"]["sub"]),
        (&json!("alice"), &json!("tester")),
        "{one}"
    );
    assert_eq!(
        (&two["sub"], &two["act"]["sub"]),
        (&json!("bob"), &json!("other")),
        "{two}"
    );
    // What was exchanged is another token than the one the caller came with.
    assert_ne!(one["uti"], said_in(&tester)["jti"]);
    assert_eq!(
        claims(&whoami(&gateway, &tester))["uti"],
        one["uti"],
        "it is kept until it ends"
    );
    assert_unheard(&[&sent], &[&tester, &other]);
}

#[test]
fn what_a_hostile_server_says_of_its_authorization_server_is_refused() {
    let Some(peers) = peers::directory() else { return };
    let mut command = Command::new(peers.join("py2/bin/python"));
    command
        .arg(peers::script("hostile_auth.py"))
        .stderr(Stdio::null());
    let hostile = Served::start(&mut command);
    let faults = [
        ("another-resource", "tokens for the one are not for the other"),
        ("no-resource", "names no `resource`"),
        ("no-issuers", "names no authorization server"),
        ("another-issuer", "it is the metadata of another issuer"),
        ("no-metadata", "404"),
        ("redirected", "redirects are not followed"),
        ("link-local", "is never reached"),
        ("plain-http", "it is not https"),
        ("file", "it is not a URL"),
        ("endless", "longer than"),
        ("garbled", "an unexpected byte"),
        ("twice", "two equal keys"),
        ("no-token-endpoint", "names no `token_endpoint`"),
        ("refused-token", "invalid_client (no such client)"),
        ("token-redirected", "303"),
        ("another-type", "is no type of tokens known here"),
        ("unsendable-token", "has no usable token"),
        ("bound-unasked", "bound to a key"),
        ("never-enough", "does not take a token"),
        ("other-methods", "tls_client_auth"),
    ];
    let servers = faults.map(|(fault, _)| {
        let secret = "client_secret: \"env:CLIENT_SECRET\"";
        let auth = format!("{{ kind: client_credentials, client_id: us, {secret} }}");
        format!(
            "{fault}: {{ url: \"{}/{fault}/mcp\", auth: {auth} }}",
            hostile.line
        )
    });
    let yaml = format!("mcpServers: {{ {} }}\n{AGENTS}", servers.join(", "));
    let variables = [
        ("ALICE_SECRET", ALICE),
        ("PASSWORD_HASH", PASSWORD_HASH),
        ("CLIENT_SECRET", SECRET),
    ];
    let mut gateway = Gateway::configured(&yaml).with_variables(&variables);
    gateway.run();
    let entries = gateway.ledger();
    for (fault, told) in faults {
        let of_it: Vec<String> = entries
            .iter()
            .map(Value::to_string)
            .filter(|entry| entry.contains(&format!("\"{fault}\"")))
            .collect();
        let is_told = of_it.iter().any(|entry| entry.contains(told));
        assert!(is_told, "{fault}: {of_it:?}");
        assert!(
            !of_it.iter().any(|entry| entry.contains(SECRET)),
            "{fault}: a secret is in the ledger"
        );
    }
    let servers = gateway.json(&["server", "list"]);
    let servers = servers[0]["servers"].as_array().expect("servers").clone();
    assert!(
        servers.iter().all(|server| server["revision"].is_null()),
        "{servers:?}"
    );
}

#[test]
fn a_configuration_that_would_not_do_is_refused_with_its_remedy() {
    for (auth, told) in [
        ("{ kind: magic }", "use one of: bearer"),
        ("{ kind: bearer }", "write `token: \"env:NAME\"`"),
        (
            "{ kind: bearer, token: plain-text-token }",
            "a secret stands in the file itself",
        ),
        ("{ kind: client_credentials }", "client_id"),
        (
            "{ kind: client_credentials, client_id: a }",
            "nothing proves the client",
        ),
        (
            "{ kind: client_credentials, client_id: a, client_secret: written-here }",
            "a secret stands in the file",
        ),
        (
            "{ kind: client_credentials, client_id: a, client_secret: \"env:S\", key: \"env:S\" }",
            "keep one of them",
        ),
        (
            "{ kind: client_credentials, client_id: a, key: \"env:TESTER_SECRET\" }",
            "no private key in PEM",
        ),
        (
            "{ kind: authorization_code, client_id: a, registration: dynamic }",
            "keep one of",
        ),
        (
            "{ kind: authorization_code, client_id_metadata: \"http://a.example/c\" }",
            "no https URL",
        ),
        ("{ kind: workload }", "write it as `file:PATH`"),
        ("{ kind: authorization_code, network: open }", "public, private"),
        ("{ kind: authorization_code, resource: maybe }", "send, omit"),
        (
            "{ kind: authorization_code }, isolation: shared",
            "would share a session",
        ),
        (
            "{ kind: authorization_code }, headers: { authorization: x }",
            "keep one of them",
        ),
    ] {
        let yaml = format!("mcpServers: {{ a: {{ url: \"https://a.example/mcp\", auth: {auth} }} }}\n");
        let output = Gateway::configured(&yaml).output(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(2) && said.contains(told),
            "{auth}: {said}"
        );
    }
}

/// What the doctor says of a server: its exit code, and each step with its state.
pub(crate) fn doctor(gateway: &Gateway, url: &str, args: &[&str], secret: &str) -> (Option<i32>, Value) {
    let output = gateway
        .command(&[&["oauth", "doctor", url, "--json"], args].concat())
        .env("SALLYPORT_CLIENT_SECRET", secret)
        .output()
        .expect("the command starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("a-secret-of-this-test-alone"), "{said}");
    let told = || Value::String(String::from_utf8_lossy(&output.stderr).into_owned());
    let walk = serde_json::from_str(&said).unwrap_or_else(|_| told());
    (output.status.code(), walk)
}

pub(crate) fn state<'a>(walk: &'a Value, step: &str) -> &'a str {
    let steps = walk["steps"].as_array().expect("steps");
    let found = steps.iter().find(|one| one["step"] == step);
    found.map_or("none", |step| step["state"].as_str().expect("a state"))
}

#[test]
fn the_doctor_walks_the_way_and_says_what_mends_it() {
    let Some(peers) = peers::directory() else { return };
    let secret = "a-secret-of-this-test-alone";
    let anywhere = Gateway::configured("");
    // The certified provider: nothing to mend.
    let (_provider, _, issuer) = certified(&peers, 600);
    let (_server, sent) = guarded(&peers, &issuer, "mcp", None);
    let url = format!("http://{}/mcp", sent.address());
    let (code, walk) = doctor(&anywhere, &url, &["--client-id", "0oa-scribe"], secret);
    assert_eq!(code, Some(0), "{walk}");
    for step in [
        "challenge",
        "resource metadata",
        "authorization server",
        "PKCE",
        "issuer in answers",
        "token",
        "use",
    ] {
        assert_eq!(state(&walk, step), "ok", "{step}: {walk}");
    }
    let line = walk["configuration"].as_str().expect("a line");
    assert!(
        line.contains("kind: client_credentials, client_id: \"0oa-scribe\""),
        "{line}"
    );
    let (code, walk) = doctor(&anywhere, &url, &["--client-id", "0oa-scribe"], "another");
    assert_eq!((code, state(&walk, "token")), (Some(1), "fail"), "{walk}");
    // Without a client the way to a person's consent is shown.
    let (code, walk) = doctor(&anywhere, &url, &[], "");
    assert_eq!((code, state(&walk, "token")), (Some(0), "skip"), "{walk}");
    let line = walk["configuration"].as_str().expect("a line");
    assert!(
        line.contains("kind: authorization_code, registration: dynamic"),
        "{line}"
    );
    // Whether it registers anybody is tried when that is asked for.
    assert_eq!(state(&walk, "registered"), "none", "{walk}");
    let (code, walk) = doctor(&anywhere, &url, &["--register"], "");
    assert_eq!((code, state(&walk, "registered")), (Some(0), "ok"), "{walk}");
    // Entra's habits: no PKCE said, no `resource`, no registration; with the line that does.
    let mut command = Command::new(peers.join("py2/bin/python"));
    command.arg(peers::script("entra_like.py")).stderr(Stdio::null());
    let entra = Served::start(&mut command);
    let (_server, sent) = guarded(&peers, &entra.line, "Gateway.Use", Some("api://guarded"));
    let url = format!("http://{}/mcp", sent.address());
    let args = ["--client-id", "c0ffee", "--scope", "api://guarded/.default"];
    let (code, walk) = doctor(&anywhere, &url, &args, secret);
    assert_eq!(code, Some(0), "{walk}");
    for step in ["PKCE", "registration", "resource indicator"] {
        assert_eq!(state(&walk, step), "warn", "{step}: {walk}");
    }
    assert_eq!(
        (state(&walk, "token"), state(&walk, "use")),
        ("ok", "ok"),
        "{walk}"
    );
    let line = walk["configuration"].as_str().expect("a line");
    assert!(
        line.contains("resource: omit, scope: \"api://guarded/.default\""),
        "{line}"
    );
    // Hostile ones, and one that is not there.
    let mut command = Command::new(peers.join("py2/bin/python"));
    command
        .arg(peers::script("hostile_auth.py"))
        .stderr(Stdio::null());
    let hostile = Served::start(&mut command);
    for (fault, step) in [
        ("another-resource", "resource metadata"),
        ("no-issuers", "authorization server"),
        ("another-issuer", "authorization server"),
        ("refused-token", "token"),
        ("never-enough", "use"),
    ] {
        let url = format!("{}/{fault}/mcp", hostile.line);
        let (code, walk) = doctor(&anywhere, &url, &["--client-id", "us"], secret);
        assert_eq!((code, state(&walk, step)), (Some(1), "fail"), "{fault}: {walk}");
        let steps = walk["steps"].as_array().expect("steps");
        let failed = steps.iter().find(|one| one["state"] == "fail").expect("a step");
        assert!(failed["fix"].is_string(), "{fault}: {failed}");
    }
    assert_eq!(doctor(&anywhere, "http://127.0.0.1:1/mcp", &[], "").0, Some(4));
    assert_eq!(doctor(&anywhere, "nowhere", &[], "").0, Some(2));
}
