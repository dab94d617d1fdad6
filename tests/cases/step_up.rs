//! A rule wants more than a log-in (`@step_up`, RFC 9470): the call is refused with a challenge, the person logs in as it
//! says, here or at a provider, and the same call is let through; the ledger has all of it.

use e2e::{
    gateway::Gateway,
    mcp::{Answer, Client},
    peers,
    person::{PASSWORD, Person, challenge, claims, one_time_code},
};
use serde_json::{Value, json};

use crate::{
    authorize::{SITE, asks, exchange, refresh, text},
    authorize_elsewhere::{configured, entra, go, let_in_by},
    identity::Provider,
};

const USERS: &str = "users:\n  - { name: corp/o-alice }\n  - { name: alice, roles: [tester], password: \"env:PASSWORD_HASH\" }\n  - { name: bob, \
                     roles: [tester], password: \"env:PASSWORD_HASH\", totp: \"env:AUTHENTICATOR\" }\n";

/// One whose `echo` takes more than a password, not longer ago than ten minutes.
fn gateway(issuers: &str) -> Gateway {
    let mut gateway = configured(issuers, USERS);
    let file = gateway.path("sallyport.yaml");
    let said = std::fs::read_to_string(&file).expect("a configuration");
    let rule = "permit(principal in Role::\\\"tester\\\", action, resource)";
    assert!(said.contains(rule), "{said}");
    let said = said.replace(rule, &format!("@step_up(\\\"mfa 600\\\") {rule}"));
    std::fs::write(&file, said).expect("it can be written");
    gateway.run();
    gateway
}

fn echo(gateway: &Gateway, tokens: &Value) -> Answer {
    let token = text(tokens, "access_token").to_owned();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(token));
    client
        .call("stub__echo", &json!({"text": "hello"}))
        .expect("an answer")
}

fn is_done(answer: &Answer) -> bool {
    answer.status == 200 && answer.text().contains("hello") && answer.body["result"]["isError"] != json!(true)
}

/// Whether the person is to log in, and how.
fn wants_more(answer: &Answer) -> bool {
    let challenge = answer.challenge.as_deref().unwrap_or_default();
    let says = |part: &str| challenge.contains(part);
    answer.status == 401
        && says("error=\"insufficient_user_authentication\"")
        && says("acr_values=\"mfa\"")
        && says("max_age=\"600\"")
        && answer.body["error"]["data"]["code"] == "login-insufficient"
}

#[test]
fn a_call_that_takes_more_than_a_password_says_so_and_passes_once_the_person_did_it() {
    let gateway = gateway("");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let code = person.allow(&asks("app", SITE, &digest), "alice");
    let (_, tokens) = exchange(&person, "app", SITE, &code);
    let refused = echo(&gateway, &tokens);
    assert!(wants_more(&refused), "{refused:?}");
    // A new token of the same log-in is no stronger; an agent's own, that no person logged in for, is none at all.
    let (_, renewed) = refresh(&person, "app", text(&tokens, "refresh_token"));
    assert!(wants_more(&echo(&gateway, &renewed)));
    let own = json!({"access_token": gateway.token()});
    assert!(wants_more(&echo(&gateway, &own)));
    // The client asks for what it was told. Who cannot is not let in for less, and the client hears why.
    let mut wants = asks("app", SITE, &digest);
    wants.extend([("acr_values", "mfa"), ("max_age", "600")]);
    let page = person.open(&wants);
    let sent = person.log_in(&page, "alice");
    assert_eq!(
        sent.sent("error").as_deref(),
        Some("unmet_authentication_requirements"),
        "{sent:?}"
    );
    let page = person.open(&wants);
    let code = one_time_code(0);
    let consent = person.fill(&page, &[("user", "bob"), ("password", PASSWORD), ("code", &code)]);
    let code = person
        .fill(&consent, &[("say", "allow")])
        .sent("code")
        .expect("a code");
    let (_, stronger) = exchange(&person, "app", SITE, &code);
    let said = claims(text(&stronger, "access_token"));
    assert_eq!(
        (&said["acr"], &said["amr"]),
        (&json!("mfa"), &json!(["pwd", "otp", "mfa"]))
    );
    assert!(said["auth_time"].is_i64(), "{said}");
    let done = echo(&gateway, &stronger);
    assert!(is_done(&done), "{done:?}");
    let ledger = gateway.ledger();
    let refusals = ledger
        .iter()
        .filter(|entry| entry["code"] == "login-insufficient");
    assert_eq!(refusals.count(), 3);
    let outcome = ledger
        .iter()
        .rfind(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    let outcome = outcome.expect("an outcome");
    assert_eq!(outcome["principal"]["user"], "bob", "{outcome}");
    assert_eq!(outcome["code"], "ok", "{outcome}");
}

#[test]
fn how_a_provider_logged_somebody_in_counts_and_it_is_asked_for_more() {
    let Some(peers) = peers::directory() else { return };
    let mut provider = Provider::entra_like(&peers);
    let gateway = gateway(&entra(&provider));
    let mut person = Person::at(gateway.base());
    let tokens = let_in_by(&gateway, &mut person, "app", &[]);
    assert!(wants_more(&echo(&gateway, &tokens)));
    let more = [("acr_values", "mfa"), ("max_age", "600"), ("prompt", "login")];
    let stronger = let_in_by(&gateway, &mut person, "app", &more);
    let sent: Value = serde_json::from_str(&provider.token(&json!({"_login": {}}))).expect("JSON");
    // `mfa` is `c1` there.
    for (name, value) in [("acr_values", "c1"), ("max_age", "600"), ("prompt", "login")] {
        assert_eq!(sent[name], value, "{sent}");
    }
    let said = claims(text(&stronger, "access_token"));
    assert_eq!(
        (&said["acr"], &said["amr"]),
        (&json!("c1"), &json!(["mfa"])),
        "{said}"
    );
    let done = echo(&gateway, &stronger);
    assert!(is_done(&done), "{done:?}");
    // A provider that does not do it, does not say when, or did it too long ago.
    let digest = challenge();
    let mut wants = asks("app", SITE, &digest);
    wants.extend([("acr_values", "mfa"), ("max_age", "600")]);
    provider.token(&json!({"_login": {"acr": "c0"}}));
    let back = go(&gateway, &mut person, &wants);
    let sent = person.visit(&back, None);
    assert_eq!(
        sent.sent("error").as_deref(),
        Some("unmet_authentication_requirements"),
        "{sent:?}"
    );
    for lie in [json!({"auth_time": null}), json!({"auth_time": 1_000_000_000})] {
        provider.token(&json!({"_login": lie}));
        let back = go(&gateway, &mut person, &wants);
        let refused = person.visit(&back, None);
        assert_eq!((refused.status, refused.location), (400, None), "{lie}");
    }
    // Long ago, for a client that did not ask: the rule does.
    provider.token(&json!({"_login": {"auth_time": 1_000_000_000, "acr": "c1"}}));
    let old = let_in_by(&gateway, &mut person, "app", &[]);
    let refused = echo(&gateway, &old);
    assert!(wants_more(&refused), "{refused:?}");
}

#[test]
fn a_client_may_ask_for_consent_anew_and_for_nobody_to_be_asked() {
    let gateway = gateway("");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let mut wants = asks("app", SITE, &digest);
    let _ = person.allow(&wants, "alice");
    let page = person.open(&wants);
    assert!(
        !person.log_in(&page, "alice").asks_for_consent(),
        "it is remembered"
    );
    wants.push(("prompt", "consent"));
    let page = person.open(&wants);
    assert!(person.log_in(&page, "alice").asks_for_consent());
    for (prompt, error) in [("none", "login_required"), ("none login", "invalid_request")] {
        let mut wants = asks("app", SITE, &digest);
        wants.push(("prompt", prompt));
        assert_eq!(
            person.open(&wants).sent("error").as_deref(),
            Some(error),
            "{prompt}"
        );
    }
}
