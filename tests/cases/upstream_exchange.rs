//! A caller's own token, exchanged for one to a server: at the certified provider of npm (RFC 8693), and at one with Entra's
//! habits on Authlib (RFC 8693 with an actor's token, and its on-behalf-of flow). The token itself goes to its issuer alone.

use std::{path::Path, process::Command};

use e2e::{
    gateway::Gateway,
    mcp::{Answer, Client},
    peers,
    recorder::Recorder,
};
use serde_json::{Value, json};

use crate::{
    identity::Provider,
    upstream_auth::{certified, certified_with, guarded},
};

const OPEN_TO_DOCTORS: &str = "policy: { packs: [baseline], rules: [ \"permit(principal in Role::\\\"doctor\\\", action, resource);\" ] }";

fn gateway(issuer: &str, trust: &str, servers: &[(&str, &Recorder, &str)]) -> Gateway {
    let gateway = started(issuer, trust, servers);
    gateway.wait_for_servers();
    gateway
}

fn started(issuer: &str, trust: &str, servers: &[(&str, &Recorder, &str)]) -> Gateway {
    let servers = servers.iter().map(|(name, relay, auth)| {
        let url = format!("http://{}/mcp", relay.address());
        format!("  {name}: {{ url: \"{url}\", auth: {auth} }}\n")
    });
    let yaml = format!(
        "mcpServers:\n{}approve: all\n\
         agents: [ {{ name: scribe }}, {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [doctor] }} ]\n\
         issuers: [ {{ issuer: \"{issuer}\", name: corp, network: private, {trust} }} ]\n{OPEN_TO_DOCTORS}\n",
        servers.collect::<String>()
    );
    let secret = [("CLIENT_SECRET", "a-secret-of-this-test-alone")];
    let mut gateway = Gateway::configured(&yaml).with_variables(&secret);
    gateway.run();
    gateway
}

fn whoami(gateway: &Gateway, server: &str, token: &str) -> Answer {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(token.to_owned()));
    client
        .call(&format!("{server}__whoami"), &json!({}))
        .expect("an answer")
}

fn claims(answer: &Answer) -> Value {
    serde_json::from_str(answer.text()).unwrap_or_else(|_| panic!("{answer:?}"))
}

/// A user logs in at the certified provider; the token is for the gateway.
fn login(peers: &Path, gateway: &Gateway, user: &str) -> String {
    login_with(peers, gateway, &[("LOGIN", user)])
}

fn login_with(peers: &Path, gateway: &Gateway, more: &[(&str, &str)]) -> String {
    let output = Command::new(peers::node(peers))
        .arg(peers::script("oidc_client.mjs"))
        .env("ENDPOINT", format!("{}/mcp", gateway.base()))
        .envs(more.iter().copied())
        .output()
        .expect("Node");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    found["user"].as_str().expect("a token").to_owned()
}

/// How many requests have a part of the token that nothing else has.
fn heard(relay: &Recorder, token: &str) -> usize {
    let signature = token.rsplit('.').next().expect("a signature");
    relay.requests_with(signature).len()
}

/// Why the last call of a server came to nothing, as the ledger has it.
fn why(gateway: &Gateway, server: &str) -> String {
    let entries = gateway.ledger();
    let of_it = |entry: &&Value| entry["kind"] == "outcome" && entry["server"] == server;
    let last = entries.iter().rfind(of_it);
    last.expect("an entry").to_string()
}

#[test]
fn a_callers_own_token_is_exchanged_where_it_came_from_and_goes_nowhere_else() {
    let Some(peers) = peers::directory() else { return };
    let (provider, asked, issuer) = certified(&peers, 600);
    let (_foreigner, foreign, other_issuer) = certified(&peers, 600);
    let (_near, sent) = guarded(&peers, &issuer, "mcp", None);
    let (_far, sent_far) = guarded(&peers, &other_issuer, "mcp", None);
    let auth = "{ kind: token_exchange, subject: caller, client_id: exchanger, client_secret: \"env:CLIENT_SECRET\" }";
    let trust = "agents: { 0oa-scribe: scribe }, roles: { map: { MCP.Doctor: doctor } }";
    // The gateway's own secret is shown to no authorization server that only the server names.
    let alone = started(&issuer, trust, &[("far", &sent_far, auth)]);
    while foreign.requests_with(".well-known").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(foreign.requests_with("grant_type=client_credentials").len(), 0);
    drop(alone);
    let other = format!("{trust} }}, {{ issuer: \"{other_issuer}\", name: other, network: private");
    let gateway = gateway(
        &issuer,
        &other,
        &[("near", &sent, auth), ("far", &sent_far, auth)],
    );
    assert!(
        !foreign.requests_with("grant_type=client_credentials").is_empty(),
        "it is trusted now"
    );
    let alice = login(&peers, &gateway, "alice");
    let one = claims(&whoami(&gateway, "near", &alice));
    assert_eq!(
        (&one["sub"], &one["client_id"]),
        (&json!("alice"), &json!("exchanger")),
        "{one}"
    );
    // It is kept for that caller, and another has another.
    let again = login(&peers, &gateway, "alice");
    for token in [&alice, &again] {
        assert_eq!(claims(&whoami(&gateway, "near", token))["jti"], one["jti"]);
    }
    let bob = login(&peers, &gateway, "bob");
    assert_eq!(claims(&whoami(&gateway, "near", &bob))["sub"], "bob");
    for (token, times) in [(&alice, 1), (&bob, 1), (&again, 0)] {
        assert_eq!((heard(&asked, token), heard(&sent, token)), (times, 0));
    }
    // A server that names another authorization server does not get the token there.
    let far = whoami(&gateway, "far", &alice);
    assert!(!far.is_good(), "{far:?}");
    assert!(
        why(&gateway, "far").contains("is shown to nobody else"),
        "{}",
        why(&gateway, "far")
    );
    assert_eq!((heard(&foreign, &alice), heard(&sent_far, &alice)), (0, 0));
    // A token of the gateway's own proves nothing there.
    let own = gateway.token();
    assert!(!whoami(&gateway, "near", &own).is_good());
    assert!(
        why(&gateway, "near").contains("no token of an identity provider"),
        "{}",
        why(&gateway, "near")
    );
    assert_eq!((heard(&asked, &own), heard(&sent, &own)), (0, 0));
    // A provider that is down is said, too; the call does not go on without.
    let late = login(&peers, &gateway, "carol");
    drop(provider);
    assert!(!whoami(&gateway, "near", &late).is_good());
    assert!(
        why(&gateway, "near").contains(&issuer),
        "{}",
        why(&gateway, "near")
    );
    assert_eq!(heard(&sent, &late), 0);
}

/// What was given for a token ends with it, and is there again once the caller has the next.
#[test]
fn what_was_exchanged_ends_with_the_token_and_the_next_token_is_exchanged() {
    let Some(peers) = peers::directory() else { return };
    let (_provider, asked, issuer) = certified(&peers, 4);
    let (_server, sent) = guarded(&peers, &issuer, "mcp", None);
    let auth = "{ kind: token_exchange, subject: caller, client_id: exchanger, client_secret: \"env:CLIENT_SECRET\" }";
    let trust = "agents: { 0oa-scribe: scribe }, roles: { map: { MCP.Doctor: doctor } }";
    let gateway = gateway(&issuer, trust, &[("near", &sent, auth)]);
    let first = login(&peers, &gateway, "alice");
    let one = claims(&whoami(&gateway, "near", &first));
    std::thread::sleep(std::time::Duration::from_secs(5));
    // The clocks' difference that is let pass gives nobody a longer life elsewhere.
    let late = whoami(&gateway, "near", &first);
    assert!(!late.is_good(), "{late:?}");
    let next = login(&peers, &gateway, "alice");
    let two = claims(&whoami(&gateway, "near", &next));
    assert_eq!((&one["sub"], &two["sub"]), (&json!("alice"), &json!("alice")));
    assert_ne!(one["jti"], two["jti"]);
    assert!(heard(&asked, &next) > 0 && heard(&sent, &next) == 0);
}

#[test]
fn a_provider_with_entras_habits_exchanges_on_behalf_of_and_for_an_actor() {
    let Some(peers) = peers::directory() else { return };
    let mut provider = Provider::entra_like(&peers);
    let (_first, sent) = guarded(&peers, &provider.issuer, "Gateway.Use", Some("api://guarded"));
    let (_second, actors) = guarded(&peers, &provider.issuer, "Gateway.Use", Some("api://acted"));
    let (_third, strict) = guarded(&peers, &provider.issuer, "Gateway.Use", Some("api://strict"));
    let client = "client_id: gw, client_secret: \"env:CLIENT_SECRET\", resource: omit";
    let trust = "typ: JWT, audience: \"api://gateway\", scope: Gateway.Use, user: oid, tenant: tid, \
                 agents: { c0ffee: scribe }, roles: { map: { MCP.Doctor: doctor } }";
    let actor = format!(
        "{{ kind: token_exchange, subject: caller, actor_token: send, audience: \"api://acted\", {client}, \
         scope: \"api://acted/.default\" }}"
    );
    let behalf =
        |scope: &str| format!("{{ kind: on_behalf_of, {client}, scope: \"api://{scope}/.default\" }}");
    let gateway = gateway(
        &provider.issuer.clone(),
        trust,
        &[
            ("behalf", &sent, &behalf("guarded")),
            ("actor", &actors, &actor),
            ("strict", &strict, &behalf("strict")),
        ],
    );
    let token = provider.token(&json!({}));
    let one = claims(&whoami(&gateway, "behalf", &token));
    assert_eq!(
        (&one["sub"], &one["azp"], &one["act"]),
        (&json!("pairwise-1"), &json!("gw"), &Value::Null),
        "{one}"
    );
    assert_eq!(claims(&whoami(&gateway, "behalf", &token))["uti"], one["uti"]);
    let acted = claims(&whoami(&gateway, "actor", &token));
    assert_eq!(
        (&acted["sub"], &acted["act"]["sub"]),
        (&json!("pairwise-1"), &json!("scribe")),
        "{acted}"
    );
    // What the provider wants of the person is said.
    assert!(!whoami(&gateway, "strict", &token).is_good());
    assert!(
        why(&gateway, "strict").contains("interaction_required (AADSTS50076"),
        "{}",
        why(&gateway, "strict")
    );
    for relay in [&sent, &actors, &strict] {
        assert_eq!(heard(relay, &token), 0);
    }
}

/// The certified provider with Entra's habits: tokens towards the gateway, one of the gateway's own towards a server, and one
/// on behalf of each caller.
#[test]
fn the_certified_provider_with_entras_habits_is_understood_both_ways() {
    let Some(peers) = peers::directory() else { return };
    let (_provider, asked, issuer) = certified_with(&peers, 600, &[("QUIRKS", "entra")]);
    let server = || guarded(&peers, &issuer, "Gateway.Use", Some("api://guarded"));
    let ((_first, own), (_second, behalf)) = (server(), server());
    let client = "client_id: exchanger, client_secret: \"env:CLIENT_SECRET\", resource: omit, \
                  scope: \"api://guarded/.default\"";
    let trust = "typ: JWT, audience: \"api://gateway\", scope: Gateway.Use, user: oid, tenant: tid, \
                 agents: { 0oa-scribe: scribe }, roles: { map: { MCP.Doctor: doctor } }";
    let gateway = gateway(
        &issuer,
        trust,
        &[
            ("own", &own, &format!("{{ kind: client_credentials, {client} }}")),
            ("behalf", &behalf, &format!("{{ kind: on_behalf_of, {client} }}")),
        ],
    );
    let token = login_with(&peers, &gateway, &[("SCOPE", "Gateway.Use")]);
    let one = claims(&whoami(&gateway, "own", &token));
    assert_eq!(
        (&one["sub"], &one["azp"]),
        (&json!("exchanger"), &json!("exchanger")),
        "{one}"
    );
    let two = claims(&whoami(&gateway, "behalf", &token));
    assert_eq!(
        (&two["sub"], &two["azp"]),
        (&json!("alice"), &json!("exchanger")),
        "{two}"
    );
    assert_eq!(
        (heard(&asked, &token), heard(&own, &token), heard(&behalf, &token)),
        (1, 0, 0)
    );
    let principal = gateway.ledger();
    let call = principal
        .iter()
        .rfind(|entry| entry["kind"] == "outcome" && entry["server"] == "behalf");
    let principal = &call.expect("an entry")["principal"];
    assert_eq!(
        (&principal["user"], &principal["tenant"], &principal["agent"]),
        (&json!("corp/o-alice"), &json!("corp/t1"), &json!("scribe"))
    );
}
