//! Passkeys in a real browser: added after a password, good for logging in, worth more than a password, and ended by the
//! operator. Faults of what is signed are in `crates/identity/src/passkey/tests.rs`.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Stdio},
};

use e2e::{
    gateway::Gateway,
    peers,
    person::{PASSWORD, Person, challenge, claims},
};
use serde_json::{Value, json};

use crate::authorize::{asks, configured, exchange, refresh, text, works};

/// A gateway that is called by a name of this machine: passkeys are for names.
fn named(authorization: &str) -> (Gateway, String) {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = free.expect("a port").port();
    let mut gateway = configured(authorization);
    let file = gateway.path("sallyport.yaml");
    let said = std::fs::read_to_string(&file).expect("a configuration");
    let base = format!("http://localhost:{port}");
    let said = said.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")) + &format!("url: \"{base}\"\n");
    std::fs::write(&file, said).expect("it can be written");
    gateway.run();
    (gateway, base)
}

/// Where a client listens for its answer.
fn listening() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let redirect = format!("http://{}/cb", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream
                .and_then(|mut stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        }
    });
    redirect
}

// CONTROL: unique-id authentication
#[test]
fn a_person_adds_a_passkey_and_logs_in_with_it_until_it_is_removed() {
    let Some(peers) = peers::directory() else { return };
    let (gateway, base) = named("");
    let (digest, redirect) = (challenge(), listening());
    let query = asks("app", &redirect, &digest).into_iter();
    let query =
        query.map(|(name, value)| format!("{name}={}&", value.replace(':', "%3A").replace('/', "%2F")));
    let mut browser = Command::new(peers::node(&peers))
        .arg(peers::script("passkey.mjs"))
        .env("NODE_PATH", peers.join("node/node_modules"))
        .env("GRANTS", format!("{base}/oauth/grants"))
        .env(
            "AUTHORIZE",
            format!("{base}/oauth/authorize?{}", query.collect::<String>()),
        )
        .env("PERSON", "alice")
        .env("PASSWORD", PASSWORD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node");
    let mut lines = BufReader::new(browser.stdout.take().expect("an output")).lines();
    let mut told = |what: &str| -> Value {
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(said["what"], what, "{said}");
        said
    };
    let added = told("added");
    assert!(
        added["held"] == 1 && text(&added, "told").starts_with("Added."),
        "{added}"
    );
    assert_eq!(told("second")["buttons"], 0, "a password alone adds a second one");
    // It is worth more than a password.
    let url = text(&told("let in"), "url").to_owned();
    let code = url.split("code=").nth(1).and_then(|rest| rest.split('&').next());
    let person = Person::at(gateway.base());
    let (status, tokens) = exchange(&person, "app", &redirect, code.expect("a code"));
    assert_eq!(status, 200, "{tokens}");
    assert!(works(&gateway, &tokens), "{tokens}");
    let said = claims(text(&tokens, "access_token"));
    assert_eq!(
        (&said["sub"], &said["acr"], &said["amr"]),
        (&json!("alice"), &json!("mfa"), &json!(["hwk", "user", "mfa"]))
    );
    let replayed = told("replayed");
    assert_eq!(replayed["status"], 403, "{replayed}");
    assert!(text(&replayed, "text").contains("was not accepted"), "{replayed}");
    told("unverified");
    let copied = told("copied");
    assert!(text(&copied, "told").contains("was not accepted"), "{copied}");
    told("removed?");
    // Nor does a password remove one, and then add the first again.
    let kept = gateway.json(&["user", "passkeys", "alice"]);
    let name = text(&kept[0]["passkeys"][0], "name").to_owned();
    let mut thief = Person::at(gateway.base());
    thief.visit("/oauth/grants", None);
    let inside = thief.fill_at("/oauth/grants", &[("user", "alice"), ("password", PASSWORD)]);
    assert_eq!(inside.status, 200, "{inside:?}");
    assert!(!inside.html.contains("Remove this passkey"), "{inside:?}");
    let transaction = inside.transaction();
    let refused = thief.fill_at("/oauth/grants", &[("t", &transaction), ("remove", &name)]);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(
        refused.html.contains("log in with your authenticator"),
        "{refused:?}"
    );
    // The operator removes it: nobody logs in with it, and what was let in by it is out.
    let listed = gateway.json(&["user", "passkeys", "alice"]);
    let kept = listed[0]["passkeys"].as_array().expect("a list");
    assert_eq!(kept.len(), 1, "{kept:?}");
    let name = text(&kept[0], "name");
    let others = gateway.output(&["user", "remove-passkey", "bob", name]);
    assert!(!others.status.success(), "another user's name removes it");
    assert!(
        gateway
            .output(&["user", "remove-passkey", "alice", name])
            .status
            .success()
    );
    let (status, said) = refresh(&person, "app", text(&tokens, "refresh_token"));
    assert_eq!((status, &said["error"]), (400, &json!("invalid_grant")), "{said}");
    assert!(!works(&gateway, &tokens), "its token is good still");
    browser
        .stdin
        .take()
        .and_then(|mut input| input.write_all(b"\n").ok())
        .expect("it waits");
    assert!(text(&told("gone"), "told").contains("was not accepted"));
    let _ = browser.wait();
    let entries = gateway.ledger();
    let noted = |what: &str, why: &str| {
        let of_it = |entry: &&Value| entry["action"] == what && entry.to_string().contains(why);
        entries.iter().filter(of_it).count()
    };
    assert_eq!(
        (
            noted("passkey-added", ""),
            noted("passkey-removed", "administrator")
        ),
        (1, 1)
    );
    for why in ["used before", "counter went back", "nobody here has this passkey"] {
        assert_eq!(noted("login-refused", why), 1, "{why}");
    }
}

/// Where only more than a password will do, a passkey does, and a password neither logs in nor adds one.
#[test]
fn where_more_than_a_password_is_required_none_is_added_by_a_password() {
    let (gateway, base) = named("mfa: required");
    let mut person = Person::at(gateway.base());
    let page = person.visit("/oauth/grants", None);
    assert!(
        page.html.contains("data-passkey=\"use\"")
            && page.html.contains(
                base.trim_start_matches("http://")
                    .split(':')
                    .next()
                    .unwrap_or_default()
            ),
        "{page:?}"
    );
    let refused = person.fill_at("/oauth/grants", &[("user", "alice"), ("password", PASSWORD)]);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(!refused.html.contains("data-passkey=\"make\""), "{refused:?}");
}
