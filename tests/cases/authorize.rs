//! The embedded authorization server for people: they log in, see who wants what, and let clients in; what comes of it
//! is renewed, taken back, and survives a restart. What is refused: `authorize_faults.rs`.

use std::time::{Duration, Instant};

use e2e::{
    gateway::{Gateway, SECRET, program},
    mcp::{Client, own_meta},
    person::{AUTHENTICATOR, PASSWORD, PASSWORD_HASH, Person, VERIFIER, challenge, claims, one_time_code},
};
use serde_json::{Value, json};

/// Where clients have people sent back to.
pub(crate) const SITE: &str = "https://app.example/cb";
pub(crate) const NATIVE: &str = "http://127.0.0.1:51004/cb";

/// A gateway with people who can log in, and clients they may let in.
pub(crate) fn start(authorization: &str) -> Gateway {
    let mut gateway = configured(authorization);
    gateway.run();
    gateway
}

pub(crate) fn configured(authorization: &str) -> Gateway {
    let stub = program("e2e-stub");
    let variables = [("PASSWORD_HASH", PASSWORD_HASH), ("AUTHENTICATOR", AUTHENTICATOR)];
    let yaml = format!(
        r#"
mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}
approve: all
users:
  - {{ name: alice, roles: [tester], password: "env:PASSWORD_HASH" }}
  - {{ name: bob, roles: [tester], password: "env:PASSWORD_HASH", totp: "env:AUTHENTICATOR" }}
  - {{ name: carol, roles: [tester] }}
agents:
  - {{ name: tester, secret: "env:TESTER_SECRET", roles: [tester] }}
  - {{ name: helper, secret: "env:TESTER_SECRET", for: [alice], roles: [tester] }}
  - {{ name: scribe, for: [alice], purposes: [treatment], roles: [tester], model: vendor/model-1 }}
purposes: [ {{ name: treatment }}, {{ name: billing }} ]
clients:
  - {{ id: app, name: "Example App", redirect_uris: ["{SITE}", "http://127.0.0.1/cb"] }}
  - {{ id: other, redirect_uris: ["{SITE}"] }}
  - {{ id: scribe-app, name: Scribe, agent: scribe, redirect_uris: ["{SITE}"] }}
  - {{ id: secretive, secret: "env:TESTER_SECRET", redirect_uris: ["{SITE}"] }}
authorization: {{ {authorization} }}
policy: {{ packs: [baseline], rules: [ "permit(principal in Role::\"tester\", action, resource);" ] }}
"#
    );
    Gateway::configured(&yaml).with_variables(&variables)
}

/// What a client sends a person with.
pub(crate) fn asks<'a>(client: &'a str, redirect: &'a str, digest: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect),
        ("code_challenge", digest),
        ("code_challenge_method", "S256"),
        ("state", "s-1"),
    ]
}

/// Exchanges a code.
pub(crate) fn exchange(person: &Person, client: &str, redirect: &str, code: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("redirect_uri", redirect),
        ("code", code),
        ("code_verifier", VERIFIER),
    ];
    person.post("/oauth/token", &form)
}

/// Renews.
pub(crate) fn refresh(person: &Person, client: &str, token: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("refresh_token", token),
    ];
    person.post("/oauth/token", &form)
}

/// What a person's client gets.
pub(crate) fn let_in(gateway: &Gateway, client: &str, user: &str) -> (Person, Value) {
    let mut person = Person::at(gateway.base());
    let code = person.allow(&asks(client, SITE, &challenge()), user);
    let (status, tokens) = exchange(&person, client, SITE, &code);
    assert_eq!(status, 200, "{tokens}");
    (person, tokens)
}

pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name}: {value}"))
}

/// Whether a token is good for a call.
pub(crate) fn works(gateway: &Gateway, tokens: &Value) -> bool {
    let token = text(tokens, "access_token").to_owned();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(token));
    client
        .call("stub__echo", &json!({"text": "hello"}))
        .is_ok_and(|answer| answer.text().contains("hello"))
}

/// The principal of the last call.
fn caller(gateway: &Gateway) -> Value {
    let entries = gateway.ledger();
    let call = entries
        .iter()
        .rfind(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    call.expect("a call")["principal"].clone()
}

#[test]
fn a_person_lets_a_client_in_and_it_acts_as_that_person() {
    let gateway = start("");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let page = person.open(&asks("app", NATIVE, &digest));
    assert_eq!(page.status, 200, "{page:?}");
    for wanted in [
        "content-security-policy: default-src 'none';",
        "frame-ancestors 'none'",
        "form-action 'self' http://127.0.0.1:51004;",
        "cache-control: no-store",
        "x-frame-options: DENY",
        "; HttpOnly; SameSite=Lax",
    ] {
        assert!(page.headers.contains(wanted), "{wanted}: {}", page.headers);
    }
    assert!(
        page.html.contains("Example App") && !page.html.contains("<script"),
        "{page:?}"
    );
    let wrong = person.fill(&page, &[("user", "alice"), ("password", "wrong")]);
    assert_eq!(
        (wrong.status, wrong.asks_for_consent()),
        (403, false),
        "{wrong:?}"
    );
    let consent = person.log_in(&wrong, "alice");
    assert!(consent.asks_for_consent(), "{consent:?}");
    for wanted in [
        "Example App",
        "alice",
        "all tools",
        "http://127.0.0.1",
        "Any program here can say it is",
    ] {
        assert!(consent.html.contains(wanted), "{wanted}: {}", consent.html);
    }
    let sent = person.fill(&consent, &[("say", "allow")]);
    assert_eq!(
        (sent.status, sent.sent("state").as_deref()),
        (303, Some("s-1")),
        "{sent:?}"
    );
    let issuer = sent
        .sent("iss")
        .expect("RFC 9207")
        .replace("%3A", ":")
        .replace("%2F", "/");
    assert_eq!(issuer, gateway.base());
    let (status, tokens) = exchange(&person, "app", NATIVE, &sent.sent("code").expect("a code"));
    assert_eq!((status, text(&tokens, "token_type")), (200, "Bearer"), "{tokens}");
    assert!(works(&gateway, &tokens));
    let who = caller(&gateway);
    assert_eq!(
        (&who["user"], &who["agent"]),
        (&json!("alice"), &Value::Null),
        "{who}"
    );
    let said = claims(text(&tokens, "access_token"));
    assert_eq!(
        (&said["sub"], &said["client_id"]),
        (&json!("alice"), &json!("app"))
    );
    assert_eq!(
        (&said["acr"], &said["amr"]),
        (&json!("password"), &json!(["pwd"]))
    );
    // All of it is in the ledger, and no secret is.
    let ledger = gateway.ledger();
    let told = |action: &str| ledger.iter().any(|entry| entry["action"] == action);
    for action in [
        "login-refused",
        "logged-in",
        "consent-given",
        "code-issued",
        "token-issued",
    ] {
        assert!(told(action), "{action}");
    }
    let whole = json!(ledger).to_string();
    for secret in [
        PASSWORD,
        "battery",
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
    ] {
        assert!(!whole.contains(secret), "{secret}");
    }
}

#[test]
fn an_agent_acts_for_the_person_in_a_context_that_renewal_does_not_change() {
    let gateway = start("");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let details = r#"[{"type":"sallyport_context","purpose":"treatment","task":"write a letter"}]"#;
    let mut wants = asks("scribe-app", SITE, &digest);
    wants.push(("authorization_details", details));
    let page = person.open(&wants);
    let consent = person.log_in(&page, "alice");
    for wanted in [
        "the agent <strong>scribe</strong>",
        "purpose: treatment",
        "task: write a letter",
    ] {
        assert!(consent.html.contains(wanted), "{wanted}: {}", consent.html);
    }
    let code = person
        .fill(&consent, &[("say", "allow")])
        .sent("code")
        .expect("a code");
    let (_, tokens) = exchange(&person, "scribe-app", SITE, &code);
    assert!(works(&gateway, &tokens), "{tokens}");
    let who = caller(&gateway);
    assert_eq!(
        (&who["user"], &who["agent"]),
        (&json!("alice"), &json!("scribe")),
        "{who}"
    );
    let before = claims(text(&tokens, "access_token"));
    assert!(before["ctx"].is_string(), "{before}");
    let (status, renewed) = refresh(&person, "scribe-app", text(&tokens, "refresh_token"));
    assert_eq!(status, 200, "{renewed}");
    let after = claims(text(&renewed, "access_token"));
    for same in [
        "ctx",
        "sub",
        "act",
        "authorization_details",
        "scope",
        "aud",
        "auth_time",
    ] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_ne!(before["jti"], after["jti"]);
    assert!(works(&gateway, &renewed));
    // Whom the agent may not act for cannot let it in, and nobody can for a purpose it has not.
    let page = person.open(&asks("scribe-app", SITE, &digest));
    let code = one_time_code(0);
    let refused = person.fill(&page, &[("user", "bob"), ("password", PASSWORD), ("code", &code)]);
    assert_eq!(
        (refused.status, refused.location.as_deref()),
        (400, None),
        "{refused:?}"
    );
    assert!(refused.html.contains("may not act for you"), "{refused:?}");
    for purpose in ["billing\"", "treatment\",\"entity\":\"user:bob\""] {
        let details = format!(r#"[{{"type":"sallyport_context","purpose":"{purpose}}}]"#);
        let mut wants = asks("scribe-app", SITE, &digest);
        wants.push(("authorization_details", &details));
        let page = person.open(&wants);
        let refused = person.log_in(&page, "alice");
        assert_eq!(
            (refused.status, refused.location.as_deref()),
            (400, None),
            "{purpose}: {refused:?}"
        );
    }
}

#[test]
fn an_authenticator_is_needed_where_there_is_one_and_its_codes_are_good_once() {
    let gateway = start("");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let page = person.open(&asks("other", SITE, &digest));
    let without = person.log_in(&page, "bob");
    assert_eq!(without.status, 403, "{without:?}");
    let code = one_time_code(0);
    let with = [("user", "bob"), ("password", PASSWORD), ("code", code.as_str())];
    let consent = person.fill(&page, &with);
    assert!(consent.asks_for_consent(), "{consent:?}");
    let again = person.fill(&page, &with);
    assert_eq!(again.status, 403, "the code was used: {again:?}");
    let code = person
        .fill(&consent, &[("say", "allow")])
        .sent("code")
        .expect("a code");
    let (_, tokens) = exchange(&person, "other", SITE, &code);
    let said = claims(text(&tokens, "access_token"));
    assert_eq!(
        (&said["acr"], &said["amr"]),
        (&json!("mfa"), &json!(["pwd", "otp", "mfa"]))
    );
    // Rules can ask how somebody logged in: the echo of a secret takes more than a password.
    assert!(works(&gateway, &tokens));
    let (_, by_password) = let_in(&gateway, "other", "alice");
    let file = gateway.path("sallyport.yaml");
    let written = std::fs::read_to_string(&file).expect("a configuration");
    let rule = r#"rules: [ "forbid(principal is User, action == Action::\"invoke\", resource) unless { principal.mfa };","#;
    std::fs::write(&file, written.replace("rules: [", rule)).expect("it can be written");
    let end = Instant::now() + Duration::from_secs(30);
    while works(&gateway, &by_password) {
        assert!(Instant::now() < end, "the rule is not followed");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(works(&gateway, &tokens));
    // Where it is required, nobody comes in without.
    let strict = start("mfa: required");
    let mut person = Person::at(strict.base());
    let page = person.open(&asks("other", SITE, &digest));
    let refused = person.log_in(&page, "alice");
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.html.contains("authenticator"), "{refused:?}");
}

#[test]
fn consent_is_remembered_for_exactly_what_was_agreed_to() {
    let gateway = start("");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let mut asked = |client: &str, redirect: &str, more: &[(&str, &str)]| {
        let mut wants = asks(client, redirect, &digest);
        wants.extend(more);
        let page = person.open(&wants);
        let page = person.log_in(&page, "alice");
        let asked = page.asks_for_consent();
        if asked {
            let sent = person.fill(&page, &[("say", "allow")]);
            assert!(sent.sent("code").is_some(), "{sent:?}");
        }
        asked
    };
    assert!(asked("app", SITE, &[]));
    assert!(!asked("app", SITE, &[]), "the same again");
    assert!(asked("other", SITE, &[]), "another client at the same address");
    let server = format!("{}/mcp/stub", gateway.base());
    assert!(asked("app", SITE, &[("resource", &server)]), "another resource");
    let details = r#"[{"type":"sallyport_context","purpose":"treatment"}]"#;
    assert!(
        asked("app", SITE, &[("authorization_details", details)]),
        "another purpose"
    );
    // Whoever listens on this machine could be behind it.
    assert!(asked("app", NATIVE, &[]));
    assert!(
        asked("app", NATIVE, &[]),
        "a loopback address is never remembered"
    );
    assert!(!asked("app", SITE, &[]), "the first is still known");
    // Somebody who is logged out by an administrator is asked again.
    let told = gateway.json(&["user", "logout", "alice"]);
    assert_eq!(told[0]["user"], "alice");
    assert!(asked("app", SITE, &[]));
}

#[test]
fn what_was_granted_is_renewed_listed_and_ended_and_stays_so_over_a_restart() {
    let mut gateway = start("");
    // Tokens are for a URL, so it comes back at the same port.
    let file = gateway.path("sallyport.yaml");
    let said = std::fs::read_to_string(&file).expect("a configuration");
    let here = gateway.base().replace("http://", "");
    std::fs::write(&file, said.replace("127.0.0.1:0", &here)).expect("it can be written");
    let (_, kept) = let_in(&gateway, "app", "alice");
    let (person, ended) = let_in(&gateway, "other", "alice");
    let (_, revoked) = let_in(&gateway, "scribe-app", "alice");
    let grants = &gateway.json(&["user", "grants", "alice"])[0]["grants"];
    assert_eq!(grants.as_array().map(Vec::len), Some(3), "{grants}");
    // A refresh token takes all of its grant along; an access token goes alone.
    let token = text(&ended, "refresh_token");
    assert_eq!(
        person
            .post("/oauth/revoke", &[("client_id", "other"), ("token", token)])
            .0,
        200
    );
    let token = text(&revoked, "access_token");
    assert_eq!(
        person
            .post("/oauth/revoke", &[("client_id", "scribe-app"), ("token", token)])
            .0,
        200
    );
    for _ in 0..2 {
        let person = Person::at(gateway.base());
        assert!(works(&gateway, &kept) && !works(&gateway, &ended) && !works(&gateway, &revoked));
        let (status, refused) = refresh(&person, "other", text(&ended, "refresh_token"));
        assert_eq!(
            (status, &refused["error"]),
            (400, &json!("invalid_grant")),
            "{refused}"
        );
        gateway.stop();
        gateway.run();
    }
    let person = Person::at(gateway.base());
    for (client, tokens) in [("app", &kept), ("scribe-app", &revoked)] {
        let (status, renewed) = refresh(&person, client, text(tokens, "refresh_token"));
        assert_eq!(status, 200, "{client}: {renewed}");
        assert!(works(&gateway, &renewed), "{client}");
    }
    assert_eq!(gateway.json(&["user", "logout", "alice"])[0]["ended"], 2);
    assert!(!works(&gateway, &kept));
}

#[test]
fn an_open_stream_ends_with_the_grant_it_was_opened_with() {
    let gateway = start("");
    let (person, tokens) = let_in(&gateway, "app", "alice");
    let (url, token) = (
        format!("{}/mcp", gateway.base()),
        text(&tokens, "access_token").to_owned(),
    );
    let (send, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let client = Client::new(url, Some(token));
        let params = json!({"notifications": {"toolsListChanged": true}, "_meta": own_meta()});
        let _ = send.send(client.request("subscriptions/listen", None, params));
    });
    assert!(
        ended.recv_timeout(Duration::from_secs(2)).is_err(),
        "it stays open"
    );
    let form = [("client_id", "app"), ("token", text(&tokens, "refresh_token"))];
    assert_eq!(person.post("/oauth/revoke", &form).0, 200);
    let answer = ended
        .recv_timeout(Duration::from_secs(30))
        .expect("it ends")
        .expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!works(&gateway, &tokens));
}

/// Called by https, as behind something that ends TLS, its cookie is for that host alone and never goes in the clear.
#[test]
fn a_gateway_that_is_called_by_https_has_a_cookie_no_other_host_can_set() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let here = free.expect("a port").to_string();
    let mut gateway = configured("");
    let file = gateway.path("sallyport.yaml");
    let said = std::fs::read_to_string(&file).expect("a configuration");
    let said = said.replace("127.0.0.1:0", &here) + "url: \"https://gateway.example\"\n";
    std::fs::write(&file, said).expect("it can be written");
    gateway.run();
    let mut person = Person::at(format!("http://{here}"));
    let page = person.open(&asks("app", SITE, &challenge()));
    let cookie = page
        .headers
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.expect("a cookie");
    assert!(
        cookie.starts_with("__Host-sallyport=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
    assert!(
        cookie.contains("; Path=/;") && !cookie.contains("Domain"),
        "{cookie}"
    );
    let consent = person.log_in(&page, "alice");
    let sent = person.fill(&consent, &[("say", "allow")]);
    assert_eq!(
        sent.sent("iss").as_deref(),
        Some("https%3A%2F%2Fgateway.example"),
        "{sent:?}"
    );
    // The name of a plain one, which any page of this host's neighbours can set, is nothing to it.
    let page = person.open(&asks("other", SITE, &challenge()));
    let value = person.cookies.remove("__Host-sallyport").expect("its cookie");
    person.cookies.insert("sallyport".to_owned(), value);
    assert_eq!(person.log_in(&page, "alice").status, 400);
}

#[test]
fn what_was_exchanged_for_it_ends_with_the_grant() {
    let gateway = start("");
    let (person, tokens) = let_in(&gateway, "app", "alice");
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", "helper"),
        ("client_secret", SECRET),
        ("subject_token", text(&tokens, "access_token")),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
    ];
    let (status, exchanged) = person.post("/oauth/token", &form);
    assert_eq!(status, 200, "{exchanged}");
    assert!(works(&gateway, &exchanged));
    let who = caller(&gateway);
    assert_eq!((&who["user"], &who["agent"]), (&json!("alice"), &json!("helper")));
    let form = [("client_id", "app"), ("token", text(&tokens, "refresh_token"))];
    assert_eq!(person.post("/oauth/revoke", &form).0, 200);
    assert!(!works(&gateway, &tokens) && !works(&gateway, &exchanged));
}

#[test]
fn a_client_learns_about_its_own_tokens_and_no_others() {
    let gateway = start("");
    let mut person = Person::at(gateway.base());
    let code = person.allow(&asks("secretive", SITE, &challenge()), "alice");
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "secretive"),
        ("client_secret", SECRET),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let (status, own) = person.post("/oauth/token", &form);
    assert_eq!(status, 200, "{own}");
    let (_, foreign) = let_in(&gateway, "app", "alice");
    let ask = |client: &str, token: &str| {
        let form = [("client_id", client), ("client_secret", SECRET), ("token", token)];
        person.post("/oauth/introspect", &form)
    };
    let (status, told) = ask("secretive", text(&own, "access_token"));
    assert_eq!(
        (status, &told["active"], &told["sub"]),
        (200, &json!(true), &json!("alice")),
        "{told}"
    );
    assert_eq!(
        (&told["client_id"], &told["scope"]),
        (&json!("secretive"), &json!("mcp"))
    );
    assert_eq!(ask("secretive", text(&own, "refresh_token")).1["active"], true);
    let nothing = (200, json!({"active": false}));
    for token in [
        text(&foreign, "access_token"),
        text(&foreign, "refresh_token"),
        "x",
        "a.b.c",
    ] {
        assert_eq!(ask("secretive", token), nothing);
        assert_eq!(ask("tester", token), nothing);
    }
    assert_eq!(
        ask("tester", &gateway.token()).1["active"],
        true,
        "an agent's own"
    );
    assert_eq!(ask("tester", text(&own, "access_token")), nothing);
    // Who cannot prove to be a client learns nothing, and revokes nothing of others.
    for (client, secret) in [
        ("app", None),
        ("secretive", None),
        ("secretive", Some("wrong")),
        ("nobody", None),
    ] {
        let mut form = vec![("client_id", client), ("token", text(&own, "access_token"))];
        form.extend(secret.map(|secret| ("client_secret", secret)));
        let (status, refused) = person.post("/oauth/introspect", &form);
        assert_eq!(
            (status, &refused["error"]),
            (401, &json!("invalid_client")),
            "{client}"
        );
    }
    for token in ["access_token", "refresh_token"] {
        let form = [("client_id", "app"), ("token", text(&own, token))];
        assert_eq!(person.post("/oauth/revoke", &form).0, 200, "says nothing");
    }
    assert_eq!(ask("secretive", text(&own, "access_token")).1["active"], true);
    assert_eq!(ask("secretive", text(&own, "refresh_token")).1["active"], true);
}
