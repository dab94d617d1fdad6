//! Bad input about who somebody is: providers that are down, slow, endless or lead elsewhere, clocks that differ, tokens
//! that are huge. Each is refused, the caller is told how to go on, and the ledger has why.

use std::process::{Command, Stdio};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    gateway::{Gateway, program},
    mcp::{Answer, Client},
    peers::{self, Served},
};
use serde_json::{Value, json};

use crate::identity::Provider;

const FAULTS: [(&str, &str); 7] = [
    ("slow", "no answer within"),
    ("endless", "longer than"),
    ("redirected", "redirects are not followed"),
    ("nearby", "never reached"),
    ("another", "metadata of another issuer, `http"),
    ("garbled", "metadata of another issuer, ``"),
    ("down", "refused"),
];

fn gateway(issuers: &[(String, &str)]) -> Gateway {
    let stub = program("e2e-stub");
    let issuers = issuers.iter().enumerate().map(|(n, (issuer, more))| {
        format!("  - {{ issuer: \"{issuer}\", name: i{n}, network: private, clients: any, {more} }}\n")
    });
    Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\napprove: all\nissuers:\n{}",
        issuers.collect::<String>()
    ))
}

fn knock(gateway: &Gateway, token: &str) -> Answer {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(token.to_owned()));
    client
        .call("stub__echo", &json!({"text": "hello"}))
        .expect("an answer")
}

/// A token of an issuer whose keys nobody gets to see.
fn claiming(issuer: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "RS256", "typ": "at+jwt", "kid": "k1"}));
    format!(
        "{header}.{}.{}",
        part(json!({"iss": issuer})),
        URL_SAFE_NO_PAD.encode([7; 256])
    )
}

/// Why callers were refused, newest last.
fn reasons(gateway: &Gateway) -> Vec<String> {
    let entries = gateway.ledger();
    let refused = entries
        .iter()
        .filter(|entry| entry.to_string().contains("credential-invalid"));
    refused.map(Value::to_string).collect()
}

#[test]
fn a_provider_that_is_not_right_proves_nobody_and_the_ledger_says_why() {
    let Some(peers) = peers::directory() else { return };
    let mut command = Command::new(peers.join("py2/bin/python"));
    command
        .arg(peers::script("hostile_issuer.py"))
        .stderr(Stdio::null());
    let hostile = Served::start(&mut command);
    let issuer = |name: &str| match name {
        "down" => "http://127.0.0.1:1".to_owned(),
        name => format!("{}/{name}", hostile.line),
    };
    let issuers: Vec<_> = FAULTS.iter().map(|(name, _)| (issuer(name), "")).collect();
    let gateway = gateway(&issuers);
    // At the same time: a slow one holds nobody else up.
    std::thread::scope(|scope| {
        for (name, _) in FAULTS {
            let (gateway, token) = (&gateway, claiming(&issuer(name)));
            scope.spawn(move || {
                let answer = knock(gateway, &token);
                let challenge = answer.challenge.clone().unwrap_or_default();
                assert!(
                    answer.status == 401 && challenge.contains("invalid_token"),
                    "{name}: {answer:?}"
                );
                // What the provider said is for the operator alone.
                assert!(!answer.body.to_string().contains("169.254"), "{name}: {answer:?}");
            });
        }
    });
    let reasons = reasons(&gateway);
    for (name, told) in FAULTS {
        let is_told = reasons.iter().any(|reason| reason.contains(told));
        assert!(is_told, "{name}: no `{told}` in {reasons:#?}");
    }
}

#[test]
fn clocks_that_differ_and_tokens_that_are_huge_are_refused_and_recorded() {
    let Some(peers) = peers::directory() else { return };
    let mut provider = Provider::entra_like(&peers);
    let said = "typ: JWT, audience: \"api://gateway\", scope: Gateway.Use, user: oid, tenant: tid";
    let gateway = gateway(&[(provider.issuer.clone(), said)]);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time")
        .as_secs();
    // A provider's clock that is a little ahead is let pass: the rules are what says no.
    let ahead = json!({"iat": now + 20, "nbf": now + 20});
    assert_eq!(knock(&gateway, &provider.token(&ahead)).status, 200);
    for (claims, told) in [
        (json!({"iat": now + 300, "nbf": now + 300}), "not valid yet"),
        (
            json!({"iat": now - 4000, "nbf": now - 4000, "exp": now - 120}),
            "expired",
        ),
        (json!({"pad": "x".repeat(20 * 1024)}), "longer than any"),
    ] {
        let answer = knock(&gateway, &provider.token(&claims));
        assert!(matches!(answer.status, 400 | 401 | 431), "{told}: {answer:?}");
        let reasons = reasons(&gateway);
        assert!(
            reasons.last().is_some_and(|why| why.contains(told)),
            "{told}: {reasons:#?}"
        );
    }
}
