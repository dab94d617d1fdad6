//! Programs without a person at the embedded issuer: the SDKs' own providers, assertions, exchanged tokens.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use e2e::{
    gateway::{Gateway, SECRET, program},
    peers,
};
use serde_json::{Value, json};

use crate::identity::{Provider, echo, is_challenged, is_done};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What a client of an SDK did; its parts are in the environment.
fn client(peers: &Path, gateway: &Gateway, language: &str, parts: &[(&str, &str)]) -> Value {
    let mut command = match language {
        "python" => {
            let mut command = Command::new(peers.join("py2/bin/python"));
            command.arg(peers::script("machine_client.py")).arg("call");
            command
        }
        _ => {
            let mut command = Command::new(peers::node(peers));
            command
                .arg(peers::script("machine_client.mjs"))
                .env("NODE_MODULES", peers.join("node/node_modules"));
            command
        }
    };
    let output = command
        .arg(format!("{}/mcp", gateway.base()))
        .env("ENDPOINT", format!("{}/mcp", gateway.base()))
        .env("ISSUER", gateway.base())
        .env("KEY", gateway.path("key.pem"))
        .envs(parts.iter().copied())
        .output()
        .expect("a client");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{language} {parts:?}: {said}"))
}

/// A gateway whose agent `signer` has a key and no secret.
fn signing(peers: &Path) -> Gateway {
    let stub = program("e2e-stub");
    let mut gateway = Gateway::configured(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\napprove: all\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\" }}, {{ name: signer, keys: keys.json, roles: [signers] }} ]\n\
         policy: {{ packs: [baseline], rules: [\n\
           \"permit(principal == Agent::\\\"tester\\\", action, resource);\",\n\
           \"permit(principal in Role::\\\"signers\\\", action, resource);\" ] }}\n"
    ));
    let made = Command::new(peers.join("py2/bin/python"))
        .arg(peers::script("machine_client.py"))
        .arg("keys")
        .arg(gateway.path(""))
        .status();
    assert!(made.is_ok_and(|made| made.success()), "keys");
    gateway.run();
    gateway
}

/// Issue 4: the SDKs get in by client credentials, with a secret or a key, and know nothing of the gateway.
#[test]
fn the_sdks_get_their_tokens_with_a_secret_or_a_key() {
    let Some(peers) = peers::directory() else { return };
    let gateway = signing(&peers);
    for language in ["python", "typescript"] {
        for parts in [
            [("WAY", "secret"), ("CLIENT", "tester"), ("SECRET", SECRET)],
            [("WAY", "key"), ("CLIENT", "signer"), ("SECRET", "")],
        ] {
            let done = client(&peers, &gateway, language, &parts);
            assert_eq!(done["error"], json!(false), "{language} {parts:?}: {done}");
            assert!(
                done["said"].to_string().contains("hello"),
                "{language} {parts:?}: {done}"
            );
        }
    }
    let entries = gateway.ledger();
    let called = |agent: &str| {
        let by = |entry: &&Value| entry["kind"] == "outcome" && entry["principal"]["agent"] == agent;
        entries
            .iter()
            .filter(by)
            .filter(|entry| entry["tool"] == "echo")
            .count()
    };
    assert_eq!((called("tester"), called("signer")), (2, 2));
}

/// An agent that is added with keys has no secret, and what stands for it survives a restart.
#[test]
fn an_agent_is_added_with_its_key() {
    let Some(peers) = peers::directory() else { return };
    let mut gateway = signing(&peers);
    let keys = gateway.path("keys.json");
    let keys = keys.to_str().expect("a path");
    let added = gateway.json(&["agent", "add", "late", "--keys", keys, "--role", "signers"]);
    assert_eq!(added, [json!({"name": "late"})], "no secret");
    gateway.stop();
    gateway.run();
    let done = client(&peers, &gateway, "python", &[("WAY", "key"), ("CLIENT", "late")]);
    assert_eq!(done["error"], json!(false), "{done}");
    assert_eq!(last_caller(&gateway)["agent"], "late");
    let private = gateway.path("key.pem");
    let refused = gateway.output(&["agent", "add", "bad", "--keys", private.to_str().expect("a path")]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

/// A provider with Entra's habits, trusted to vouch; a gateway of its users' agent.
fn vouched(provider: &Provider) -> Gateway {
    let stub = program("e2e-stub");
    Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\napprove: all\n\
         agents: [ {{ name: scribe, secret: \"env:TESTER_SECRET\", for: [\"corp/*\"] }}, {{ name: robot }} ]\n\
         issuers: [ {{ issuer: \"{}\", name: corp, network: private, typ: JWT, audience: \"api://gateway\", \
           scope: Gateway.Use, user: oid, tenant: tid, clients: any, roles: {{ map: {{ MCP.Doctor: doctor }} }}, \
           delegates: true, workloads: {{ \"system:serviceaccount:prod:robot\": robot }} }} ]\n\
         policy: {{ packs: [baseline], rules: [\n\
           \"permit(principal in Role::\\\"doctor\\\", action, resource);\",\n\
           \"permit(principal == Agent::\\\"robot\\\", action, resource);\" ] }}\n",
        provider.issuer
    ))
}

fn last_caller(gateway: &Gateway) -> Value {
    let entries = gateway.ledger();
    let call = entries
        .iter()
        .rfind(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    call.expect("a call")["principal"].clone()
}

/// An identity assertion (ID-JAG) by the Python SDK's provider: whoever the identity provider names is who is recorded.
#[test]
fn an_identity_provider_says_for_whom_an_agent_acts() {
    let Some(peers) = peers::directory() else { return };
    let mut provider = Provider::entra_like(&peers);
    let gateway = vouched(&provider);
    let mut asked = Command::new(peers.join("py2/bin/python"))
        .arg(peers::script("machine_client.py"))
        .arg("call")
        .arg(format!("{}/mcp", gateway.base()))
        .envs([("WAY", "assertion"), ("CLIENT", "scribe"), ("SECRET", SECRET)])
        .env("ISSUER", gateway.base())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a client");
    let mut lines = BufReader::new(asked.stdout.take().expect("an output")).lines();
    let mut next = || lines.next().and_then(Result::ok).expect("a line");
    let wanted: Value = serde_json::from_str(&next()).expect("JSON");
    assert_eq!(wanted["aud"], gateway.base());
    let mut said = |changes: Value| {
        let mut claims = json!({
            "_typ": "oauth-id-jag+jwt", "aud": gateway.base(), "resource": wanted["resource"], "azp": null,
            "client_id": "scribe", "scp": null, "scope": "mcp", "jti": "j1",
            "exp": std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs() + 120,
        });
        for (name, value) in changes.as_object().expect("changes") {
            claims[name] = value.clone();
        }
        provider.token(&claims)
    };
    let assertion = said(json!({}));
    writeln!(asked.stdin.take().expect("an input"), "{assertion}").expect("it reads");
    let done: Value = serde_json::from_str(&next()).expect("JSON");
    assert_eq!(done["error"], json!(false), "{done}");
    assert!(asked.wait().is_ok_and(|status| status.success()));
    let caller = last_caller(&gateway);
    assert_eq!(
        (&caller["agent"], &caller["user"], &caller["tenant"]),
        (&json!("scribe"), &json!("corp/o-alice"), &json!("corp/t1"))
    );
    // It was used once; and others are refused for what is wrong with them.
    for (assertion, why) in [
        (assertion, "used before"),
        (
            said(json!({"jti": "j2", "aud": "https://another"})),
            "another resource",
        ),
        (said(json!({"jti": "j3", "client_id": "robot"})), "another client"),
        (said(json!({"jti": "j4", "_": "stranger"})), "signature"),
        (said(json!({"jti": "j5", "_typ": "JWT"})), "another kind"),
    ] {
        let answer = gateway.ask_for_token(&[
            ("grant_type", BEARER),
            ("client_id", "scribe"),
            ("client_secret", SECRET),
            ("assertion", &assertion),
        ]);
        assert_eq!(answer["error"], "invalid_grant", "{why}: {answer}");
        assert!(
            answer["error_description"].to_string().contains(why),
            "{why}: {answer}"
        );
    }
}

/// RFC 8693 with a provider's token, and a workload's token as a grant.
#[test]
fn a_users_token_becomes_an_agents_and_a_workload_needs_no_secret() {
    let Some(peers) = peers::directory() else { return };
    let mut provider = Provider::entra_like(&peers);
    let gateway = vouched(&provider);
    let base = gateway.base();
    let subject = provider.token(&json!({"scp": "Gateway.Use"}));
    let exchange = |subject: &str, more: &[(&str, &str)]| {
        let form = [
            ("grant_type", EXCHANGE),
            ("client_id", "scribe"),
            ("client_secret", SECRET),
            ("subject_token", subject),
            ("subject_token_type", ACCESS_TOKEN),
        ];
        gateway.ask_for_token(&[&form, more].concat())
    };
    let narrow = exchange(&subject, &[("resource", &format!("{base}/mcp/stub"))]);
    assert_eq!(narrow["issued_token_type"], ACCESS_TOKEN, "{narrow}");
    let token = narrow["access_token"].as_str().expect("a token");
    assert!(is_done(&echo(&gateway, "/mcp/stub", token)));
    assert!(
        is_challenged(&echo(&gateway, "/mcp", token)),
        "wider than it was asked for"
    );
    let caller = last_caller(&gateway);
    assert_eq!(
        (&caller["agent"], &caller["user"]),
        (&json!("scribe"), &json!("corp/o-alice"))
    );
    // What came out cannot be made wider again, and what is somebody else's is not passed on.
    let wider = exchange(token, &[("resource", &format!("{base}/mcp"))]);
    assert_eq!(wider["error"], "invalid_target", "{wider}");
    let forged = provider.token(&json!({"_": "stranger"}));
    assert_eq!(exchange(&forged, &[])["error"], "invalid_grant");
    let platform = provider.token(&json!({
        "sub": "system:serviceaccount:prod:robot", "aud": [format!("{base}/oauth/token")], "oid": null, "azp": null,
        "scp": null,
    }));
    let robot = gateway.ask_for_token(&[("grant_type", BEARER), ("assertion", &platform)]);
    let robot = robot["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{robot}"));
    assert!(is_done(&echo(&gateway, "/mcp", robot)));
    assert_eq!(last_caller(&gateway)["agent"], "robot");
    // It says who it is at the token endpoint, and nowhere else.
    assert!(is_challenged(&echo(&gateway, "/mcp", &platform)));
    let refused = gateway.ledger();
    let refused = refused
        .iter()
        .filter(|entry| entry.to_string().contains("token-refused"));
    assert_eq!(refused.count(), 2, "what was refused is recorded");
}

/// Whom configuration no longer lets act for a user does not: at once, whatever tokens it has. What the provider itself
/// delegated is the provider's to end.
#[test]
fn a_delegation_ends_with_the_line_that_allowed_it() {
    let Some(peers) = peers::directory() else { return };
    let mut provider = Provider::entra_like(&peers);
    let gateway = vouched(&provider);
    let exchanged = |gateway: &Gateway, subject: &str| {
        gateway.ask_for_token(&[
            ("grant_type", EXCHANGE),
            ("client_id", "scribe"),
            ("client_secret", SECRET),
            ("subject_token", subject),
            ("subject_token_type", ACCESS_TOKEN),
        ])
    };
    let text = |answer: Value| {
        answer["access_token"]
            .as_str()
            .map(str::to_owned)
            .expect("a token")
    };
    let ours = text(exchanged(
        &gateway,
        &provider.token(&json!({"scp": "Gateway.Use"})),
    ));
    // A token of a token is no way around it.
    let second = text(exchanged(&gateway, &ours));
    let assertion = provider.token(&json!({
        "_typ": "oauth-id-jag+jwt", "aud": gateway.base(), "azp": null, "client_id": "scribe", "scp": null,
        "scope": "mcp", "jti": "d1",
        "exp": std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs() + 120,
    }));
    let theirs = text(gateway.ask_for_token(&[
        ("grant_type", BEARER),
        ("client_id", "scribe"),
        ("client_secret", SECRET),
        ("assertion", &assertion),
    ]));
    let works = |token: &str| is_done(&echo(&gateway, "/mcp", token));
    assert!(works(&ours) && works(&second) && works(&theirs));
    let file = gateway.path("sallyport.yaml");
    let written = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, written.replace("for: [\"corp/*\"]", "for: []")).expect("it can be written");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while works(&ours) {
        assert!(
            std::time::Instant::now() < end,
            "the delegation outlives its line"
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(is_challenged(&echo(&gateway, "/mcp", &ours)) && is_challenged(&echo(&gateway, "/mcp", &second)));
    assert!(works(&theirs));
}
