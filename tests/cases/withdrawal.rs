//! One thing a person let in is ended, by that person on a page or by the operator, and nothing else is.

use std::time::Duration;

use e2e::{
    gateway::Gateway,
    mcp::{Client, own_meta},
    peers,
    person::{PASSWORD, Page, Person},
};
use serde_json::{Value, json};

use crate::{
    authorize::{let_in, refresh, start, text, works},
    authorize_elsewhere,
    identity::Provider,
};

/// The names of what a user let in, by client.
fn granted(gateway: &Gateway, user: &str, client: &str) -> Vec<String> {
    let listed = gateway.json(&["user", "grants", user]);
    let grants = listed[0]["grants"].as_array().expect("a list").clone();
    let of_client = grants.iter().filter(|grant| grant["client"] == client);
    of_client.map(|grant| text(grant, "name").to_owned()).collect()
}

/// The person's page, after logging in.
fn page(person: &mut Person, user: &str) -> Page {
    let asked = person.visit("/oauth/grants", None);
    assert_eq!(asked.status, 200, "{asked:?}");
    person.fill_at("/oauth/grants", &[("user", user), ("password", PASSWORD)])
}

/// Whether a stream that is opened with these tokens ends when `end` is done.
fn ends_a_stream(gateway: &Gateway, tokens: &Value, end: impl FnOnce()) -> bool {
    let (url, token) = (
        format!("{}/mcp", gateway.base()),
        text(tokens, "access_token").to_owned(),
    );
    let (send, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let client = Client::new(url, Some(token));
        let params = json!({"notifications": {"toolsListChanged": true}, "_meta": own_meta()});
        let _ = send.send(client.request("subscriptions/listen", None, params));
    });
    assert!(
        ended.recv_timeout(Duration::from_secs(1)).is_err(),
        "it stays open"
    );
    end();
    ended.recv_timeout(Duration::from_secs(20)).is_ok()
}

#[test]
fn an_operator_ends_one_grant_with_its_streams_and_no_other() {
    let gateway = start("");
    let (person, ended) = let_in(&gateway, "app", "alice");
    let (_, kept) = let_in(&gateway, "other", "alice");
    let grant = granted(&gateway, "alice", "app").remove(0);
    let others = gateway.output(&["user", "withdraw", "bob", &grant]);
    assert_eq!(others.status.code(), Some(2), "it is not his");
    assert!(works(&gateway, &ended));
    let over = ends_a_stream(&gateway, &ended, || {
        let told = gateway.json(&["user", "withdraw", "alice", &grant]);
        assert_eq!(told[0]["client"], "app", "{told:?}");
    });
    assert!(over, "the stream stays open");
    assert!(!works(&gateway, &ended) && works(&gateway, &kept));
    let (status, refused) = refresh(&person, "app", text(&ended, "refresh_token"));
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")));
    assert_eq!(
        gateway
            .output(&["user", "withdraw", "alice", &grant])
            .status
            .code(),
        Some(2)
    );
    let entries = gateway.ledger();
    let told = entries
        .iter()
        .any(|entry| entry["action"] == "grant-ended" && entry["detail"]["grant"] == *grant);
    assert!(told, "the ledger says nothing");
    // All that one client has, by its name.
    let (_, again) = let_in(&gateway, "app", "alice");
    let nobody = gateway.output(&["user", "withdraw", "alice", "--client", "nobody"]);
    assert_eq!(nobody.status.code(), Some(2));
    let told = gateway.json(&["user", "withdraw", "alice", "--client", "app"]);
    assert_eq!(told[0]["ended"], 1, "{told:?}");
    assert!(!works(&gateway, &again) && works(&gateway, &kept));
}

#[test]
fn a_person_sees_what_they_let_in_and_ends_it_and_nobody_else_can() {
    let gateway = start("");
    let (mut person, ended) = let_in(&gateway, "app", "alice");
    let (_, kept) = let_in(&gateway, "other", "alice");
    let wrong = person.fill_at("/oauth/grants", &[("user", "alice"), ("password", "wrong")]);
    assert!(
        wrong.status == 403 && !wrong.html.contains("value=\"end\""),
        "{wrong:?}"
    );
    let listed = page(&mut person, "alice");
    for wanted in ["<strong>alice</strong>", "<code>app</code>", "<code>other</code>"] {
        assert!(listed.html.contains(wanted), "{wanted}: {}", listed.html);
    }
    let grant = granted(&gateway, "alice", "app").remove(0);
    let sealed = listed.transaction();
    let form = [("t", sealed.as_str()), ("end", grant.as_str())];
    // Another browser with her form, another transaction in its place, and somebody else's page.
    let mut stranger = Person::at(gateway.base());
    assert_eq!(stranger.fill_at("/oauth/grants", &form).status, 403);
    let digest = e2e::person::challenge();
    let authorize = person.open(&crate::authorize::asks("app", crate::authorize::SITE, &digest));
    let foreign = authorize.transaction();
    let refused = person.fill_at(
        "/oauth/grants",
        &[("t", foreign.as_str()), ("end", grant.as_str())],
    );
    assert_eq!(refused.status, 403);
    let code = e2e::person::one_time_code(0);
    let bobs = stranger.fill_at(
        "/oauth/grants",
        &[("user", "bob"), ("password", PASSWORD), ("code", &code)],
    );
    assert!(bobs.html.contains("No program acts for you"), "{bobs:?}");
    let _ = let_in(&gateway, "other", "alice");
    let bobs_page = bobs.html.contains("name=\"t\"");
    assert!(!bobs_page, "there is nothing to end, so there is no form");
    assert!(works(&gateway, &ended), "none of that ended it");
    let over = ends_a_stream(&gateway, &ended, || {
        let after = person.fill_at("/oauth/grants", &form);
        assert_eq!(after.status, 200, "{after:?}");
        assert!(
            !after.html.contains("<code>app</code>") && after.html.contains("<code>other</code>"),
            "{after:?}"
        );
    });
    assert!(over, "the stream stays open");
    assert!(!works(&gateway, &ended) && works(&gateway, &kept));
    assert_eq!(person.fill_at("/oauth/grants", &form).status, 400, "it is gone");
}

#[test]
fn who_logs_in_elsewhere_ends_it_there_too() {
    let Some(peers) = peers::directory() else { return };
    let provider = Provider::entra_like(&peers);
    let gateway = authorize_elsewhere::gateway(&authorize_elsewhere::entra(&provider), "");
    let mut person = Person::at(gateway.base());
    let tokens = authorize_elsewhere::let_in_by(&gateway, &mut person, "app", &[]);
    assert!(works(&gateway, &tokens));
    let asked = person.visit("/oauth/grants", None);
    assert!(
        !asked.html.contains("type=\"password\""),
        "nobody has one: {asked:?}"
    );
    let sent = person.visit("/oauth/login/corp?grants=1", None);
    let back = authorize_elsewhere::at_provider(&gateway, &sent);
    assert_eq!(
        Person::at(gateway.base()).visit(&back, None).status,
        400,
        "another browser"
    );
    let listed = person.visit(&back, None);
    assert!(listed.html.contains("corp/o-alice"), "{listed:?}");
    let grant = granted(&gateway, "corp/o-alice", "app").remove(0);
    let after = person.fill_at("/oauth/grants", &[("t", &listed.transaction()), ("end", &grant)]);
    assert!(after.html.contains("No program acts for you"), "{after:?}");
    assert!(!works(&gateway, &tokens));
}
