//! What the embedded authorization server refuses: OA-034 to 048 of the checklist. Each case is one change of what
//! works in `authorize.rs`.

use e2e::{
    gateway::{Gateway, SECRET},
    person::{PASSWORD, Person, VERIFIER, challenge},
};
use serde_json::{Value, json};

use crate::authorize::{NATIVE, SITE, asks, exchange, let_in, refresh, start, text, works};

fn error(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"].as_str().unwrap_or_default())
}

/// OA-035: before client and address are known, nothing is sent anywhere.
#[test]
fn a_browser_is_sent_only_to_where_a_known_client_registered() {
    let gateway = start("");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    for (client, redirect) in [
        ("app", "https://app.example/cb/"),
        ("app", "https://app.example/cb?x=1"),
        ("app", "https://app.example/CB"),
        ("app", "https://app.example:443/cb"),
        ("app", "https://app.example.evil.example/cb"),
        ("app", "https://app.example@evil.example/cb"),
        ("app", "https://app.example/cb/../../evil"),
        ("app", "https://app.example/cb#x"),
        ("app", "//app.example/cb"),
        ("app", "http://app.example/cb"),
        ("app", "http://127.0.0.1:51004/other"),
        ("app", "http://localhost:51004/cb"),
        ("app", "http://127.0.0.1.evil.example:51004/cb"),
        ("app", "http://[::1]:51004/cb"),
        ("app", "javascript:alert(1)"),
        ("app", ""),
        ("other", NATIVE),
        ("tester", SITE),
        ("App", SITE),
        ("app ", SITE),
        ("nobody", SITE),
        ("", SITE),
        ("https://127.0.0.1/client.json", SITE),
        ("https://169.254.169.254/latest/meta-data", SITE),
        ("http://app.example/client.json", SITE),
        ("https://app.example/client.json?x=1", SITE),
        ("https://localhost:1/client.json", SITE),
    ] {
        let page = person.open(&asks(client, redirect, &digest));
        assert_eq!(
            (page.status, page.location.as_deref()),
            (400, None),
            "{client} {redirect}: {page:?}"
        );
        assert!(
            page.html.contains("This cannot go on") && !page.html.contains("<form"),
            "{page:?}"
        );
    }
    let twice = [
        asks("app", SITE, &digest),
        vec![("redirect_uri", "https://evil.example/")],
    ]
    .concat();
    assert_eq!(person.open(&twice).location, None);
    let marked = person.open(&asks("<script>alert(1)</script>", SITE, &digest));
    assert!(!marked.html.contains("<script>"), "{marked:?}");
}

/// OA-034 and 044: what is wrong with a known client's request is said to that client, with `state` and `iss`.
#[test]
fn errors_go_to_the_client_with_state_and_issuer() {
    let gateway = start("registration: on");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let faults = [
        ("response_type", "token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "too-short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("resource", "https://elsewhere.example/mcp", "invalid_target"),
        ("scope", "mcp admin", "invalid_scope"),
        (
            "authorization_details",
            "[{\"type\":\"payment\"}]",
            "invalid_authorization_details",
        ),
        ("request", "eyJ", "request_not_supported"),
        (
            "request_uri",
            "https://evil.example/",
            "request_uri_not_supported",
        ),
        ("prompt", "none", "login_required"),
    ];
    for (name, value, expected) in faults {
        let mut wants = asks("app", SITE, &digest);
        wants.retain(|(known, _)| *known != name);
        wants.push((name, value));
        let page = person.open(&wants);
        assert_eq!(
            (page.status, page.sent("error").as_deref()),
            (303, Some(expected)),
            "{name}: {page:?}"
        );
        assert!(
            page.location.as_deref().is_some_and(|to| to.starts_with(SITE)),
            "{page:?}"
        );
        assert_eq!(page.sent("state").as_deref(), Some("s-1"), "{page:?}");
        assert!(
            page.sent("iss").is_some() && page.sent("code").is_none(),
            "{page:?}"
        );
    }
    // Whoever registered themselves has nobody sent on without a person's doing (RFC 9700, 4.11).
    let registration = json!({"redirect_uris": [SITE], "client_name": "Stranger"});
    let (status, client) = person.post_json("/oauth/register", &registration);
    assert_eq!(status, 201, "{client}");
    let mut wants = asks(text(&client, "client_id"), SITE, &digest);
    wants.push(("scope", "admin"));
    let page = person.open(&wants);
    assert_eq!((page.status, page.location.as_deref()), (400, None), "{page:?}");
    // And who says no is sent back with that.
    let page = person.open(&asks("app", SITE, &digest));
    let consent = person.log_in(&page, "alice");
    let denied = person.fill(&consent, &[("say", "deny")]);
    assert_eq!(
        denied.sent("error").as_deref(),
        Some("access_denied"),
        "{denied:?}"
    );
    let after = person.fill(&consent, &[("say", "allow")]);
    assert_eq!((after.status, after.location), (400, None), "it was answered");
}

/// OA-040: no page of another origin and no other browser answers for a person.
#[test]
fn a_form_is_good_in_its_own_browser_and_once() {
    let gateway = start("");
    let digest = challenge();
    let (mut alice, mut mallory) = (Person::at(gateway.base()), Person::at(gateway.base()));
    let login = alice.open(&asks("app", SITE, &digest));
    let consent = alice.log_in(&login, "alice");
    assert!(consent.asks_for_consent(), "{consent:?}");
    // Without the cookie, with another browser's, with a form that was changed or made up.
    let stolen = mallory.fill(&consent, &[("say", "allow")]);
    assert_eq!((stolen.status, stolen.location), (400, None));
    let theirs = mallory.open(&asks("app", SITE, &digest));
    assert_eq!(mallory.fill(&consent, &[("say", "allow")]).location, None);
    assert_eq!(
        alice
            .fill(&theirs, &[("user", "alice"), ("password", PASSWORD)])
            .status,
        400
    );
    let mut changed = consent.clone();
    changed.html = consent
        .html
        .replacen("name=\"t\" value=\"", "name=\"t\" value=\"A", 1);
    assert_eq!(alice.fill(&changed, &[("say", "allow")]).location, None);
    // Nobody is past the login without it.
    let skipped = alice.fill(&login, &[("say", "allow")]);
    assert_eq!((skipped.status, skipped.location), (403, None));
    let good = alice.fill(&consent, &[("say", "allow")]);
    assert!(good.sent("code").is_some(), "{good:?}");
    let again = alice.fill(&consent, &[("say", "allow")]);
    assert_eq!((again.status, again.location), (400, None), "{}", again.html);
    // A cookie that somebody else set beside ours makes neither count.
    let page = alice.open(&asks("app", SITE, &digest));
    let value = alice.cookies.values().next().cloned().expect("a cookie");
    alice
        .cookies
        .insert("sallyport".to_owned(), format!("{value}; sallyport={value}"));
    assert_eq!(alice.log_in(&page, "alice").status, 400);
}

/// OA-034: a code is its client's, for what was asked, with what was promised, once.
#[test]
fn a_code_is_good_once_for_its_client_and_its_verifier() {
    let gateway = start("");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let good = |code: &str| {
        vec![
            ("grant_type".to_owned(), "authorization_code".to_owned()),
            ("client_id".to_owned(), "app".to_owned()),
            ("redirect_uri".to_owned(), SITE.to_owned()),
            ("code".to_owned(), code.to_owned()),
            ("code_verifier".to_owned(), VERIFIER.to_owned()),
        ]
    };
    let post = |person: &Person, form: &[(String, String)]| {
        let form: Vec<_> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        person.post("/oauth/token", &form)
    };
    let server = format!("{}/mcp/stub", gateway.base());
    let long = "a".repeat(129);
    for (name, value, expected) in [
        ("code_verifier", digest.as_str(), "invalid_grant"),
        (
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK",
            "invalid_grant",
        ),
        ("code_verifier", long.as_str(), "invalid_grant"),
        ("code_verifier", "", "invalid_request"),
        ("client_id", "other", "invalid_grant"),
        ("client_id", "nobody", "invalid_client"),
        ("client_id", "secretive", "invalid_client"),
        ("client_secret", "a-secret-it-has-not", "invalid_client"),
        ("redirect_uri", NATIVE, "invalid_grant"),
        ("resource", server.as_str(), "invalid_target"),
        ("code", "made-up", "invalid_grant"),
        ("code", "", "invalid_request"),
    ] {
        let code = person.allow(&asks("app", SITE, &digest), "alice");
        let mut form = good(&code);
        form.retain(|(known, _)| known != name);
        form.push((name.to_owned(), value.to_owned()));
        let answer = post(&person, &form);
        assert_eq!(error(&answer).1, expected, "{name}={value}: {answer:?}");
        assert!(answer.1["access_token"].is_null(), "{answer:?}");
    }
    // What was used twice is worth nothing, nor is what came of it.
    let code = person.allow(&asks("app", SITE, &digest), "alice");
    let (status, tokens) = post(&person, &good(&code));
    assert_eq!(status, 200, "{tokens}");
    assert!(works(&gateway, &tokens));
    assert_eq!(error(&post(&person, &good(&code))), (400, "invalid_grant"));
    assert!(!works(&gateway, &tokens), "its access token");
    assert_eq!(
        error(&refresh(&person, "app", text(&tokens, "refresh_token"))),
        (400, "invalid_grant")
    );
    // A code that was tried with the wrong verifier is used up.
    let code = person.allow(&asks("app", SITE, &digest), "alice");
    let mut wrong = good(&code);
    wrong.retain(|(name, _)| name != "code_verifier");
    wrong.push(("code_verifier".to_owned(), "x".repeat(43)));
    assert_eq!(error(&post(&person, &wrong)).1, "invalid_grant");
    assert_eq!(error(&post(&person, &good(&code))).1, "invalid_grant");
}

/// OA-041.
#[test]
fn an_earlier_refresh_token_ends_the_whole_family() {
    let gateway = start("");
    let (person, first) = let_in(&gateway, "app", "alice");
    let (_, bystander) = let_in(&gateway, "app", "alice");
    let (_, second) = refresh(&person, "app", text(&first, "refresh_token"));
    let (_, third) = refresh(&person, "app", text(&second, "refresh_token"));
    assert!(works(&gateway, &first) && works(&gateway, &third));
    // Another client, a changed or made-up token, more than was granted: refused, and nothing ends.
    let token = text(&third, "refresh_token");
    let foreign = refresh(&person, "other", token);
    assert_eq!(error(&foreign), (400, "invalid_grant"));
    for (name, value, expected) in [
        ("scope", "mcp admin", "invalid_scope"),
        ("resource", "https://elsewhere.example/mcp", "invalid_target"),
        ("client_secret", "a-secret-it-has-not", "invalid_client"),
    ] {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", "app"),
            ("refresh_token", token),
        ];
        form.push((name, value));
        assert_eq!(error(&person.post("/oauth/token", &form)).1, expected, "{name}");
    }
    for made_up in ["x", "x.y", ".", text(&third, "access_token")] {
        assert_eq!(error(&refresh(&person, "app", made_up)), (400, "invalid_grant"));
    }
    assert!(works(&gateway, &third));
    // The first one once more: somebody has it who should not.
    assert_eq!(
        error(&refresh(&person, "app", text(&first, "refresh_token"))),
        (400, "invalid_grant")
    );
    for tokens in [&first, &second, &third] {
        assert!(!works(&gateway, tokens));
        assert_eq!(
            error(&refresh(&person, "app", text(tokens, "refresh_token"))),
            (400, "invalid_grant")
        );
    }
    assert!(
        works(&gateway, &bystander),
        "another grant of the same client and user"
    );
    let ledger = gateway.ledger();
    let ended = ledger
        .iter()
        .find(|entry| entry["action"] == "grant-ended")
        .expect("an entry");
    let ended = ended.to_string();
    assert!(
        ended.contains("earlier refresh token") && ended.contains("alice") && ended.contains("app"),
        "{ended}"
    );
}

/// OA-043: guessing is slow; the person herself is not locked out.
#[test]
fn guessing_waits_and_nobody_is_locked_out() {
    let gateway = start("");
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let page = person.open(&asks("app", SITE, &digest));
    for user in ["alice", "nobody", "carol"] {
        let mut statuses = Vec::new();
        for n in 0..6 {
            let guess = format!("wrong-{n}");
            statuses.push(person.fill(&page, &[("user", user), ("password", &guess)]).status);
        }
        assert_eq!(statuses, [403, 403, 403, 403, 403, 429], "{user}");
    }
    let waits = person.log_in(&page, "alice");
    assert!(waits.status == 429 || waits.asks_for_consent(), "{waits:?}");
    // A wait, and no lock: the right password is good once it is over.
    let mut last = waits;
    for _ in 0..40 {
        if last.asks_for_consent() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
        last = person.log_in(&page, "alice");
    }
    assert!(last.asks_for_consent(), "{last:?}");
    // Nobody without a password comes in with any.
    let page = person.open(&asks("app", SITE, &digest));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(
        person.fill(&page, &[("user", "carol"), ("password", "")]).status,
        403
    );
}

/// OA-037: off unless it is on; bounded; what cannot be is refused.
#[test]
fn registration_is_off_unless_said_and_bounded() {
    let registration = json!({
        "redirect_uris": ["http://127.0.0.1/cb"], "client_name": "Visitor", "application_type": "native",
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "client_secret_post"
    });
    let off = start("");
    let person = Person::at(off.base());
    assert_eq!(person.post_json("/oauth/register", &registration).0, 404);
    let on = start("registration: on");
    let mut person = Person::at(on.base());
    let (status, client) = person.post_json("/oauth/register", &registration);
    assert_eq!(
        (status, text(&client, "token_endpoint_auth_method")),
        (201, "none"),
        "{client}"
    );
    assert!(client["client_secret"].is_null(), "{client}");
    let id = text(&client, "client_id").to_owned();
    let page = person.open(&asks(&id, NATIVE, &challenge()));
    let consent = person.log_in(&page, "alice");
    assert!(consent.html.contains("nobody checked its name"), "{consent:?}");
    let code = person
        .fill(&consent, &[("say", "allow")])
        .sent("code")
        .expect("a code");
    let (_, tokens) = exchange(&person, &id, NATIVE, &code);
    assert!(works(&on, &tokens), "{tokens}");
    assert_eq!(refresh(&person, &id, text(&tokens, "refresh_token")).0, 200);
    for bad in [
        json!({}),
        json!([]),
        json!({"redirect_uris": []}),
        json!({"redirect_uris": ["http://evil.example/cb"]}),
        json!({"redirect_uris": ["javascript:alert(1)"]}),
        json!({"redirect_uris": ["https://app.example/#x"]}),
        json!({"redirect_uris": [SITE], "client_name": "a\u{7}b"}),
        json!({"redirect_uris": [SITE], "grant_types": ["client_credentials"]}),
    ] {
        assert_eq!(person.post_json("/oauth/register", &bad).0, 400, "{bad}");
    }
    let statuses: Vec<_> = (0..12)
        .map(|_| person.post_json("/oauth/register", &registration).0)
        .collect();
    assert_eq!(statuses.last(), Some(&503), "{statuses:?}");
    assert!(
        statuses.iter().filter(|status| **status == 201).count() <= 10,
        "{statuses:?}"
    );
}

/// OA-042 and 046: metadata says exactly what there is.
#[test]
fn metadata_says_what_there_is_and_nothing_else() {
    let metadata = |gateway: &Gateway| {
        let mut person = Person::at(gateway.base());
        let page = person.visit("/.well-known/oauth-authorization-server", None);
        let same = person.visit("/.well-known/openid-configuration", None);
        assert_eq!(page.html, same.html);
        serde_json::from_str::<Value>(&page.html).expect("JSON")
    };
    let gateway = start("registration: on");
    let said = metadata(&gateway);
    let base = gateway.base();
    for (name, path) in [
        ("authorization_endpoint", "/oauth/authorize"),
        ("token_endpoint", "/oauth/token"),
        ("registration_endpoint", "/oauth/register"),
        ("revocation_endpoint", "/oauth/revoke"),
        ("introspection_endpoint", "/oauth/introspect"),
    ] {
        assert_eq!(said[name], format!("{base}{path}"), "{name}");
    }
    assert_eq!(said["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(said["response_types_supported"], json!(["code"]));
    assert_eq!(said["authorization_response_iss_parameter_supported"], true);
    assert_eq!(said["client_id_metadata_document_supported"], true);
    let modest = metadata(&start("metadata_documents: off"));
    assert_eq!(modest["client_id_metadata_document_supported"], false);
    assert!(modest["registration_endpoint"].is_null(), "{modest}");
    // Without anybody who can log in there is none of it.
    let without = Gateway::start("agents: [ { name: tester, secret: \"env:TESTER_SECRET\" } ]\n");
    let said = metadata(&without);
    // The endpoint is named all the same: the Python SDK takes no metadata without it.
    for name in ["code_challenge_methods_supported", "registration_endpoint"] {
        assert!(said[name].is_null(), "{name}: {said}");
    }
    assert_eq!(said["response_types_supported"], json!([]));
    let grants = said["grant_types_supported"].as_array().expect("grants");
    assert!(!grants.contains(&json!("authorization_code")), "{said}");
    let mut person = Person::at(without.base());
    assert_eq!(person.open(&asks("app", SITE, &challenge())).status, 404);
    // Grants that were taken out of OAuth, and methods nobody has here.
    let person = Person::at(base);
    for grant in ["password", "implicit"] {
        let form = [
            ("grant_type", grant),
            ("client_id", "tester"),
            ("client_secret", SECRET),
        ];
        assert_eq!(
            error(&person.post("/oauth/token", &form)),
            (400, "unsupported_grant_type"),
            "{grant}"
        );
    }
}

/// RFC 9449, sections 5 and 10: what a public client got with a key is renewed with that key alone.
#[test]
fn a_public_clients_refresh_token_is_bound_to_its_key() {
    let gateway = start("");
    let mut person = Person::at(gateway.base());
    let (own, other) = (Key::new(1), Key::new(2));
    let (digest, thumbprint) = (challenge(), own.thumbprint());
    let mut wants = asks("app", SITE, &digest);
    wants.push(("dpop_jkt", &thumbprint));
    let url = format!("{}/oauth/token", gateway.base());
    let ask = |person: &Person, form: &[(&str, &str)], key: Option<&Key>| {
        let proof = key.map(|key| key.proof(&url));
        person.post_with(
            "/oauth/token",
            form,
            proof.as_deref().map(|proof| ("DPoP", proof)),
        )
    };
    let by_code = |code: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "app"),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        form.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    for key in [None, Some(&other)] {
        let code = person.allow(&wants, "alice");
        let form = by_code(&code);
        let form: Vec<_> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(error(&ask(&person, &form, key)), (400, "invalid_dpop_proof"));
    }
    let code = person.allow(&wants, "alice");
    let form = by_code(&code);
    let form: Vec<_> = form
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let (status, tokens) = ask(&person, &form, Some(&own));
    assert_eq!((status, text(&tokens, "token_type")), (200, "DPoP"), "{tokens}");
    assert!(!works(&gateway, &tokens), "as a bearer it is good for nothing");
    let renew = [
        ("grant_type", "refresh_token"),
        ("client_id", "app"),
        ("refresh_token", text(&tokens, "refresh_token")),
    ];
    for key in [None, Some(&other)] {
        assert_eq!(error(&ask(&person, &renew, key)), (400, "invalid_grant"));
    }
    let (status, renewed) = ask(&person, &renew, Some(&own));
    assert_eq!((status, text(&renewed, "token_type")), (200, "DPoP"), "{renewed}");
}

/// Whoever changes a password, or takes a client or a user away, ends what was granted with it.
#[test]
fn what_the_operator_changes_ends_what_rested_on_it() {
    let gateway = start("");
    let (person, password) = let_in(&gateway, "app", "alice");
    let (_, client) = let_in(&gateway, "other", "alice");
    let (_, agent) = let_in(&gateway, "scribe-app", "alice");
    let file = gateway.path("sallyport.yaml");
    let said = std::fs::read_to_string(&file).expect("a configuration");
    // The other client is gone, the agent acts for nobody, and alice has an authenticator now.
    let changed = said
        .replace("  - { id: other,", "  - { id: another,")
        .replace("name: scribe, for: [alice],", "name: scribe,")
        .replace(
            "password: \"env:PASSWORD_HASH\" }",
            "password: \"env:PASSWORD_HASH\", totp: \"env:AUTHENTICATOR\" }",
        );
    std::fs::write(&file, changed).expect("it can be written");
    let cases = [("app", &password), ("other", &client), ("scribe-app", &agent)];
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while works(&gateway, &agent) {
        assert!(std::time::Instant::now() < end, "the change is not followed");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    for (name, tokens) in cases {
        let (status, refused) = refresh(&person, name, text(tokens, "refresh_token"));
        assert!(
            matches!(status, 400 | 401) && refused["access_token"].is_null(),
            "{name}: {refused}"
        );
    }
}

/// A key of Ed25519, and proofs of it.
struct Key(aws_lc_rs::signature::Ed25519KeyPair);

impl Key {
    fn new(seed: u8) -> Self {
        Self(aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed"))
    }

    fn x(&self) -> String {
        use aws_lc_rs::signature::KeyPair;
        encoded(self.0.public_key().as_ref())
    }

    /// RFC 7638.
    fn thumbprint(&self) -> String {
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        encoded(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, jwk.as_bytes()).as_ref())
    }

    fn proof(&self, url: &str) -> String {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": self.x()});
        let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk}).to_string();
        let claims = json!({"htm": "POST", "htu": url, "iat": since.as_secs(), "jti": format!("proof-{id}")});
        let signed = format!(
            "{}.{}",
            encoded(header.as_bytes()),
            encoded(claims.to_string().as_bytes())
        );
        let signature = encoded(self.0.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}

fn encoded(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
