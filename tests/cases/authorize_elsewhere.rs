//! People log in at an identity provider before they let clients in; clients see the gateway alone. The provider is the
//! certified one of npm in a real browser, and one with Entra's habits, which is also made to lie.

use std::{io::Write, net::TcpListener, process::Command, time::Duration};

use e2e::{
    gateway::{Gateway, program},
    peers,
    person::{AUTHENTICATOR, PASSWORD_HASH, Page, Person, challenge, claims},
};
use serde_json::{Value, json};

use crate::{
    authorize::{SITE, asks, exchange, refresh, text, works},
    identity::Provider,
};

/// The gateway's secret at the provider.
const CLIENT_SECRET: &str = "a-secret-of-this-test-alone";

/// A gateway where people log in at these issuers.
pub(crate) fn gateway(issuers: &str, more: &str) -> Gateway {
    let mut gateway = configured(issuers, more);
    gateway.run();
    gateway
}

pub(crate) fn configured(issuers: &str, more: &str) -> Gateway {
    let stub = program("e2e-stub");
    let yaml = format!(
        r#"
mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}
approve: all
agents:
  - {{ name: scribe, for: [corp/o-alice], roles: [tester] }}
  - {{ name: tester, secret: "env:TESTER_SECRET", roles: [tester] }}
clients:
  - {{ id: app, name: "Example App", redirect_uris: ["{SITE}", "http://127.0.0.1/cb"] }}
  - {{ id: scribe-app, name: Scribe, agent: scribe, redirect_uris: ["{SITE}"] }}
issuers: [ {issuers} ]
{more}
policy: {{ packs: [baseline], rules: [ "permit(principal in Role::\"tester\", action, resource);" ] }}
"#
    );
    let variables = [
        ("LOGIN_SECRET", CLIENT_SECRET),
        ("PASSWORD_HASH", PASSWORD_HASH),
        ("AUTHENTICATOR", AUTHENTICATOR),
    ];
    Gateway::configured(&yaml).with_variables(&variables)
}

/// The issuer with a name for each tenant, as configured.
pub(crate) fn entra(provider: &Provider) -> String {
    let base = provider.issuer.replace("/t1/v2.0", "");
    format!(
        "{{ issuer: \"{base}/{{tenantid}}/v2.0\", name: corp, network: private, tenants: [t1], user: oid, tenant: tid, \
         metadata: \"{base}/common/v2.0/.well-known/openid-configuration\", \
         roles: {{ map: {{ MCP.Tester: tester }} }}, \
         login: {{ client_id: gw-1, client_secret: \"env:LOGIN_SECRET\", label: \"Example Corp\", mfa: [c1] }} }}"
    )
}

/// Where a page's link to a provider leads.
pub(crate) fn door(page: &Page, name: &str) -> String {
    let start = format!("/oauth/login/{name}?t=");
    let (_, rest) = page
        .html
        .split_once(&start)
        .unwrap_or_else(|| panic!("no link: {page:?}"));
    let (rest, _) = rest.split_once('"').expect("a quote");
    format!("{start}{rest}").replace("&amp;", "&")
}

/// Asks the provider, as the browser does that was sent there, and gives where it is sent back: path and query.
pub(crate) fn at_provider(gateway: &Gateway, sent: &Page) -> String {
    let url = sent
        .location
        .clone()
        .unwrap_or_else(|| panic!("not sent anywhere: {sent:?}"));
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let answer = ureq::Agent::from(config).get(&url).call().expect("an answer");
    let back = answer
        .headers()
        .get("location")
        .expect("it sends back")
        .to_str()
        .expect("text");
    let back = back.strip_prefix(&gateway.base());
    back.expect("to the gateway").to_owned()
}

/// Opens the page, goes to the provider, and gives the way back.
pub(crate) fn go(gateway: &Gateway, person: &mut Person, wants: &[(&str, &str)]) -> String {
    let page = person.open(wants);
    let sent = person.visit(&door(&page, "corp"), None);
    assert_eq!(sent.status, 303, "{sent:?}");
    at_provider(gateway, &sent)
}

/// All the way to the tokens.
fn let_in(gateway: &Gateway, client: &str) -> (Person, Value) {
    let mut person = Person::at(gateway.base());
    let tokens = let_in_by(gateway, &mut person, client, &[]);
    (person, tokens)
}

/// The same, with more that the client asks for.
pub(crate) fn let_in_by(
    gateway: &Gateway,
    person: &mut Person,
    client: &str,
    more: &[(&str, &str)],
) -> Value {
    let digest = challenge();
    let mut wants = asks(client, SITE, &digest);
    wants.extend(more);
    let back = go(gateway, person, &wants);
    let mut page = person.visit(&back, None);
    if page.asks_for_consent() {
        page = person.fill(&page, &[("say", "allow")]);
    }
    let code = page.sent("code").unwrap_or_else(|| panic!("{page:?}"));
    let (status, tokens) = exchange(person, client, SITE, &code);
    assert_eq!(status, 200, "{tokens}");
    tokens
}

/// Whether the ledger says so of somebody who was not let in.
fn is_told(gateway: &Gateway, why: &str) -> bool {
    let told = |entry: &Value| entry["action"] == "login-refused" && entry.to_string().contains(why);
    // The ledger is written a moment after the answer.
    (0..40).any(|_| {
        let found = gateway.ledger().iter().any(told);
        if !found {
            std::thread::sleep(Duration::from_millis(100));
        }
        found
    })
}

#[test]
fn a_provider_with_entras_habits_says_who_it_is_and_clients_see_the_gateway_alone() {
    let Some(peers) = peers::directory() else { return };
    let mut provider = Provider::entra_like(&peers);
    let gateway = gateway(&entra(&provider), "");
    let resource = Person::at(gateway.base())
        .visit("/.well-known/oauth-protected-resource", None)
        .html;
    let resource: Value = serde_json::from_str(&resource).expect("JSON");
    assert_eq!(
        resource["authorization_servers"],
        json!([gateway.base()]),
        "{resource}"
    );
    let (person, tokens) = let_in(&gateway, "app");
    assert!(works(&gateway, &tokens), "{tokens}");
    let said = claims(text(&tokens, "access_token"));
    assert_eq!(
        (&said["sub"], &said["iss"]),
        (&json!("corp/o-alice"), &json!(gateway.base()))
    );
    assert_eq!(
        (&said["acr"], &said["amr"]),
        (&json!("password"), &json!([])),
        "{said}"
    );
    let entries = gateway.ledger();
    let call = entries
        .iter()
        .rfind(|entry| entry["kind"] == "outcome" && entry["tool"] == "echo");
    let who = &call.expect("a call")["principal"];
    assert_eq!(
        (&who["user"], &who["tenant"]),
        (&json!("corp/o-alice"), &json!("corp/t1")),
        "{who}"
    );
    let sent = provider.token(&json!({"_login": {}}));
    for (wanted, is_there) in [("code_challenge", true), ("nonce", true), ("resource", false)] {
        assert_eq!(
            sent.contains(&format!("\"{wanted}\"")),
            is_there,
            "{wanted}: {sent}"
        );
    }
    assert!(
        !json!(entries).to_string().contains("eyJ"),
        "a token is in the ledger"
    );
    // It is renewed without the provider, and ends for the operator.
    let (status, renewed) = refresh(&person, "app", text(&tokens, "refresh_token"));
    assert_eq!(status, 200, "{renewed}");
    assert!(works(&gateway, &renewed));
    // An agent acts for her, since it is listed for her.
    let (_, agent) = let_in(&gateway, "scribe-app");
    assert!(works(&gateway, &agent), "{agent}");
    assert_eq!(gateway.json(&["user", "logout", "corp/o-alice"])[0]["ended"], 2);
    assert!(!works(&gateway, &renewed) && !works(&gateway, &agent));
    // Somebody else there is nobody whom that agent may act for, and one without the role may do nothing.
    provider.token(&json!({"_login": {"oid": "o-bob", "roles": ["x"]}}));
    let mut bob = Person::at(gateway.base());
    let back = go(&gateway, &mut bob, &asks("scribe-app", SITE, &challenge()));
    let refused = bob.visit(&back, None);
    assert_eq!(
        (refused.status, refused.location),
        (400, None),
        "{}",
        refused.html
    );
    let (_, tokens) = let_in(&gateway, "app");
    assert!(!works(&gateway, &tokens));
}

#[test]
fn what_a_provider_says_that_does_not_hold_lets_nobody_in() {
    let Some(peers) = peers::directory() else { return };
    let mut provider = Provider::entra_like(&peers);
    let gateway = gateway(&entra(&provider), "");
    let base = provider.issuer.replace("/t1/v2.0", "");
    let digest = challenge();
    let wants = asks("app", SITE, &digest);
    for (lie, why) in [
        (json!({"nonce": "another"}), "`nonce`"),
        (json!({"nonce": null}), "`nonce`"),
        (json!({"aud": "another-client"}), "another resource"),
        (json!({"aud": ["gw-1", "another"]}), "`azp`"),
        (json!({"azp": "another-client"}), "`azp`"),
        (json!({"iss": "https://login.example/t1/v2.0"}), "another issuer"),
        (
            json!({"iss": format!("{base}/t9/v2.0"), "tid": "t9"}),
            "another issuer",
        ),
        (json!({"tid": "t9"}), "another issuer"),
        (json!({"exp": 1_000_000_000}), "expired"),
        (json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}), "`at_hash`"),
        (json!({"oid": null}), "`user`"),
        (
            json!({"_claim_names": {"roles": "src1"}, "roles": null}),
            "`roles`",
        ),
        (json!({"stranger": true}), "signature"),
        (
            json!({"iss_parameter": "https://evil.example"}),
            "https://evil.example",
        ),
    ] {
        provider.token(&json!({"_login": lie}));
        let mut person = Person::at(gateway.base());
        let back = go(&gateway, &mut person, &wants);
        let refused = person.visit(&back, None);
        assert_eq!(
            (refused.status, &refused.location),
            (400, &None),
            "{lie}: {refused:?}"
        );
        assert!(!refused.asks_for_consent(), "{lie}");
        assert!(is_told(&gateway, why), "{lie}: {:?}", gateway.ledger().last());
    }
    // The provider's own no is the client's, without a word of the provider's.
    provider.token(&json!({"_login": {"error": "access_denied"}}));
    let mut person = Person::at(gateway.base());
    let back = go(&gateway, &mut person, &wants);
    let sent = person.visit(&back, None);
    assert_eq!(
        (sent.status, sent.sent("error").as_deref()),
        (303, Some("access_denied")),
        "{sent:?}"
    );
    assert_eq!(sent.sent("state").as_deref(), Some("s-1"));
    assert!(!sent.location.unwrap_or_default().contains("AADSTS"));
    provider.token(&json!({"_login": {}}));
    // A token endpoint that sends the gateway elsewhere is not followed.
    provider.token(&json!({"_login": {"moved": "http://169.254.169.254/latest"}}));
    let back = go(&gateway, &mut person, &wants);
    let sent = person.visit(&back, None);
    assert_eq!(sent.sent("error").as_deref(), Some("server_error"), "{sent:?}");
}

#[test]
fn a_state_counts_once_in_the_browser_that_went_and_for_the_provider_it_went_to() {
    let Some(peers) = peers::directory() else { return };
    let provider = Provider::entra_like(&peers);
    let other = Provider::entra_like(&peers);
    let second = entra(&other).replace("name: corp", "name: other, prefix: \"other:\"");
    let gateway = gateway(&format!("{}, {second}", entra(&provider)), "");
    let digest = challenge();
    let wants = asks("app", SITE, &digest);
    let mut person = Person::at(gateway.base());
    let back = go(&gateway, &mut person, &wants);
    let refused = |person: &mut Person, path: &str| {
        let page = person.visit(path, None);
        assert_eq!((page.status, &page.location), (400, &None), "{path}: {page:?}");
        assert!(!page.asks_for_consent(), "{path}");
    };
    // Another browser, with and without a cookie of its own; mix-up: the same at another provider's address.
    let mut stranger = Person::at(gateway.base());
    refused(&mut stranger, &back);
    let _ = stranger.open(&wants);
    refused(&mut stranger, &back);
    refused(&mut person, &back.replace("/corp/", "/other/"));
    refused(&mut person, "/oauth/login/corp/callback?code=x");
    refused(&mut person, "/oauth/login/corp/callback?code=x&state=x");
    // Nor is what is in the page a state, or a state what is in the page.
    let page = person.open(&wants);
    refused(
        &mut person,
        &format!("/oauth/login/corp/callback?code=x&state={}", page.transaction()),
    );
    let state = back
        .split("state=")
        .nth(1)
        .and_then(|rest| rest.split('&').next())
        .expect("a state");
    refused(&mut person, &format!("/oauth/login/corp?t={state}"));
    refused(&mut stranger, &door(&page, "corp"));
    // The code of another flow, under this state.
    let theirs = go(&gateway, &mut stranger, &wants);
    let code = |back: &str| {
        back.split("code=")
            .nth(1)
            .and_then(|rest| rest.split('&').next())
            .map(str::to_owned)
    };
    let (own, foreign) = (code(&back).expect("a code"), code(&theirs).expect("a code"));
    let other_back = go(&gateway, &mut person, &wants);
    assert!(
        person.visit(&other_back, None).asks_for_consent(),
        "none of that is in the way of another flow"
    );
    refused(&mut person, &other_back);
    // A state has the provider asked once, and be it for nothing.
    refused(&mut person, &back.replace(&own, &foreign));
    refused(&mut person, &back);
    let again = |entry: &Value| {
        entry["action"] == "authorization-refused" && entry.to_string().contains("this answer came before")
    };
    assert!(gateway.ledger().iter().any(again), "the provider was asked again");
    let nowhere = person.visit("/oauth/login/nobody", None);
    assert_eq!(nowhere.status, 404);
}

#[test]
fn a_provider_that_is_down_or_where_it_may_not_be_lets_nobody_in() {
    let Some(peers) = peers::directory() else { return };
    let provider = Provider::entra_like(&peers);
    let digest = challenge();
    let wants = asks("app", SITE, &digest);
    // On this machine, and the configuration says that it is public.
    let public = entra(&provider)
        .replace("network: private, ", "")
        .replace("http://", "https://");
    let outside = gateway(&public, "");
    let mut person = Person::at(outside.base());
    let page = person.open(&wants);
    assert_eq!(person.visit(&door(&page, "corp"), None).status, 502);
    assert!(is_told(&outside, "not a public address"));
    // Another name than it is asked for, by a slash, and that name said.
    let base = provider.issuer.replace("/t1/v2.0", "");
    let slash = |more: &str| {
        format!(
            "{{ issuer: \"{base}/slash\", name: corp, network: private, user: oid, {more} roles: {{ map: {{ MCP.Tester: \
             tester }} }}, login: {{ client_id: gw-1, client_secret: \"env:LOGIN_SECRET\" }} }}"
        )
    };
    let unsaid = gateway(&slash(""), "");
    let mut person = Person::at(unsaid.base());
    let page = person.open(&wants);
    assert_eq!(person.visit(&door(&page, "corp"), None).status, 502);
    assert!(is_told(&unsaid, "/slash/"));
    let mut provider = provider;
    let said = gateway(&slash(&format!("also: [\"{base}/slash/\"],")), "");
    provider.token(
        &json!({"_login": {"iss": format!("{base}/slash/"), "iss_parameter": format!("{base}/slash/")}}),
    );
    let (_, tokens) = let_in(&said, "app");
    assert!(works(&said, &tokens));
    // It promised to say whose its answers are.
    provider.token(&json!({"_login": {"iss": format!("{base}/slash/")}}));
    let mut person = Person::at(said.base());
    let back = go(&said, &mut person, &wants);
    assert_eq!(person.visit(&back, None).status, 400);
    assert!(is_told(&said, "does not say whose it is"));
    // Down while the person is there.
    provider.token(&json!({"_login": {"iss_parameter": format!("{base}/slash/")}}));
    let back = go(&said, &mut person, &wants);
    drop(provider);
    let sent = person.visit(&back, None);
    assert_eq!(sent.sent("error").as_deref(), Some("server_error"), "{sent:?}");
    assert!(works(&said, &tokens), "who is in stays in");
}

/// A real browser: from the client's address to the certified provider, its own pages for log-in and consent, back, and
/// the gateway's page for consent.
#[test]
fn a_browser_goes_to_the_certified_provider_and_back() {
    goes_and_comes_back("none", "", "corp/alice");
}

/// The same where it has Entra's habits: who somebody is, is in other claims, and nothing is said of PKCE.
#[test]
fn a_browser_goes_to_the_certified_provider_with_entras_habits_and_back() {
    goes_and_comes_back("entra", "user: oid, tenant: tid,", "corp/o-alice");
}

fn goes_and_comes_back(quirks: &str, more: &str, user: &str) {
    let Some(peers) = peers::directory() else { return };
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let (here, there) = (
        free().expect("a port").to_string(),
        free().expect("a port").port(),
    );
    let mut command = Command::new(peers::node(&peers));
    command
        .arg(peers::script("oidc_provider.mjs"))
        .env("NODE_MODULES", peers.join("node/node_modules"))
        .env("PORT", there.to_string())
        .env("AUDIENCE", "https://nobody.example")
        .env("ALGORITHM", "ES256")
        .env("QUIRKS", quirks)
        .env("REDIRECT", format!("http://{here}/oauth/login/corp/callback"));
    let provider = Provider::start(command);
    let issuer = format!(
        "{{ issuer: \"{}\", name: corp, network: private, {more} login: {{ client_id: gateway, client_secret: \
         \"env:LOGIN_SECRET\", label: \"Example Corp\" }} }}",
        provider.issuer
    );
    let users = format!(
        "users: [ {{ name: {user}, roles: [tester] }}, {{ name: bob, password: \"env:PASSWORD_HASH\" }} ]"
    );
    let mut gateway = configured(&issuer, &users);
    let file = gateway.path("sallyport.yaml");
    let said = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, said.replace("127.0.0.1:0", &here)).expect("it can be written");
    gateway.run();
    let digest = challenge();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let redirect = format!("http://{}/cb", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream
                .and_then(|mut stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        }
    });
    let mut url = format!("http://{here}/oauth/authorize?");
    for (name, value) in asks("app", &redirect, &digest) {
        url.push_str(&format!(
            "{name}={}&",
            value.replace(':', "%3A").replace('/', "%2F")
        ));
    }
    let output = Command::new(peers::node(&peers))
        .arg(peers::script("person.mjs"))
        .arg(&url)
        .env("NODE_PATH", peers.join("node/node_modules"))
        .env("DOOR", "Log in with Example Corp")
        .env("PERSON", "alice")
        .env("PASSWORD", "any")
        .output()
        .expect("Node");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complaint}");
    let code = said.split("code=").nth(1).and_then(|rest| rest.split('&').next());
    let person = Person::at(gateway.base());
    let (status, tokens) = exchange(&person, "app", &redirect, code.expect("a code").trim());
    assert_eq!(status, 200, "{tokens}");
    assert!(works(&gateway, &tokens), "{tokens}");
    assert_eq!(claims(text(&tokens, "access_token"))["sub"], user);
}
