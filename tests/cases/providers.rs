//! Every flow that an identity provider has a part in, at two that are not ours, both with Entra's habits: the certified one
//! of npm (`oidc-provider`), and one on Authlib's own authorization server. `tests/providers.tsv` is the list of what is
//! driven by which; one test holds it against what is here, and against the table in `docs/identity.md`.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use e2e::{
    gateway::{Gateway, SECRET, Scratch, program},
    mcp::{Answer, Client},
    peers::{self, Served},
    person::{Person, VERIFIER, challenge, claims, encoded},
    recorder::Recorder,
    visitor::Visitor,
};
use serde_json::{Value, json};

use crate::{
    authorize::{SITE, asks, exchange, refresh, text, works},
    authorize_elsewhere::door,
    connect::{Host, connect, device},
    identity::{echo, is_challenged, is_done},
    upstream_auth::{agree, doctor, guarded, state},
};

/// Of every client of the providers that has one.
const PROVIDERS_SECRET: &str = "a-secret-of-this-test-alone";
const ALICE: &str = "alice-5e0c1b7a94d2f3668a";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What is at the gateway for people and programs of the provider.
const PARTIES: &str = r#"
approve: all
agents:
  - { name: scribe, secret: "env:TESTER_SECRET", for: ["corp/*"] }
  - { name: tester, secret: "env:TESTER_SECRET", roles: [doctor], for: [alice] }
users:
  - { name: alice, secret: "env:ALICE_SECRET" }
  - { name: corp/o-alice, roles: [doctor] }
  - { name: corp/o-bob, roles: [doctor] }
policy: { packs: [baseline], rules: [ "permit(principal in Role::\"doctor\", action, resource);" ] }
"#;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Certified,
    Authlib,
}

/// A provider that runs as long as its test, behind a relay that is its address.
struct Provider {
    kind: Kind,
    peers: PathBuf,
    more: Vec<(&'static str, String)>,
    port: u16,
    served: Option<Served>,
    relay: Recorder,
    issuer: String,
}

fn free_port() -> u16 {
    let found = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    found.expect("a port").port()
}

impl Provider {
    fn start(kind: Kind, peers: &Path, more: &[(&'static str, String)]) -> Self {
        let port = free_port();
        let relay = Recorder::before(SocketAddr::from(([127, 0, 0, 1], port)));
        let mut provider = Self {
            kind,
            peers: peers.to_owned(),
            more: more.to_vec(),
            port,
            served: None,
            issuer: format!("http://{}", relay.address()),
            relay,
        };
        provider.start_anew();
        provider
    }

    /// One that people can come back from, to a gateway at this port.
    fn for_gateway_at(kind: Kind, peers: &Path, port: u16, more: &[(&'static str, String)]) -> Self {
        let base = format!("http://127.0.0.1:{port}");
        let back = [
            ("REDIRECT", format!("{base}/oauth/login/corp/callback")),
            ("UPSTREAM", format!("{base}/oauth/upstream/callback")),
        ];
        Self::start(kind, peers, &[&back, more].concat())
    }

    /// With other keys than before.
    fn start_anew(&mut self) {
        self.served = None;
        let mut command = match self.kind {
            Kind::Certified => {
                let mut command = Command::new(peers::node(&self.peers));
                command.arg(peers::script("oidc_provider.mjs"));
                command
            }
            Kind::Authlib => {
                let mut command = Command::new(self.peers.join("py2/bin/python"));
                command.arg(peers::script("authlib_provider.py"));
                command
            }
        };
        command
            .env("NODE_MODULES", self.peers.join("node/node_modules"))
            .env("PORT", self.port.to_string())
            .env("ISSUER", &self.issuer)
            .env("ALGORITHM", "RS256")
            .env("QUIRKS", "entra")
            .envs(self.more.iter().map(|(name, value)| (name, value)));
        self.served = Some(Served::start(&mut command));
    }

    /// What a gateway is told of it.
    fn trust(&self, more: &str) -> String {
        format!(
            "issuers: [ {{ issuer: \"{}\", name: corp, network: private, typ: JWT, audience: \"api://gateway\", \
             scope: Gateway.Use, user: oid, tenant: tid, agents: {{ 0oa-scribe: scribe }}, \
             roles: {{ map: {{ MCP.Doctor: doctor }} }}, {more} }} ]\n",
            self.issuer
        )
    }

    /// What a user's own client gets there, for the resource that the scope names.
    fn tokens(&self, user: &str, scope: &str) -> Value {
        let http: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let read = |answer: ureq::http::Response<ureq::Body>| -> Value {
            let text = answer.into_body().read_to_string().expect("a body");
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
        };
        let metadata = http.get(format!("{}/.well-known/openid-configuration", self.issuer));
        let metadata = read(metadata.call().expect("metadata"));
        let (back, digest) = ("https://client.example/callback", challenge());
        let scope = format!("openid {scope}");
        let mut wants = asks("0oa-scribe", back, &digest);
        wants.push(("scope", &scope));
        let wants = encoded(&wants);
        let url = format!("{}?{wants}", text(&metadata, "authorization_endpoint"));
        let came = Visitor::named(user).go(&url, back);
        let code = came.split("code=").nth(1).and_then(|rest| rest.split('&').next());
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "0oa-scribe"),
            ("client_secret", PROVIDERS_SECRET),
            ("redirect_uri", back),
            ("code_verifier", VERIFIER),
            ("code", code.expect("a code")),
        ];
        read(
            http.post(text(&metadata, "token_endpoint"))
                .send_form(form)
                .expect("tokens"),
        )
    }

    fn token(&self, user: &str) -> String {
        text(&self.tokens(user, "Gateway.Use"), "access_token").to_owned()
    }

    /// How many requests it heard with a part of a token that nothing else has.
    fn heard(&self, token: &str) -> usize {
        heard(&self.relay, token)
    }
}

fn heard(relay: &Recorder, token: &str) -> usize {
    let signature = token.rsplit('.').next().expect("a signature");
    relay.requests_with(signature).len()
}

/// A gateway, at this port if there is one.
fn gateway(yaml: &str, port: Option<u16>) -> Gateway {
    let variables = [
        ("CLIENT_SECRET", PROVIDERS_SECRET),
        ("OTHERS_SECRET", SECRET),
        ("ALICE_SECRET", ALICE),
    ];
    let mut gateway = Gateway::configured(yaml).with_variables(&variables);
    if let Some(port) = port {
        let file = gateway.path("sallyport.yaml");
        let said = std::fs::read_to_string(&file).expect("a configuration");
        let said = said.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
        std::fs::write(&file, said).expect("it can be written");
    }
    gateway.run();
    gateway
}

/// A gateway with the stub behind it.
fn with_stub(trust: &str, more: &str, port: Option<u16>) -> Gateway {
    let stub = program("e2e-stub");
    let servers = format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n");
    let gateway = gateway(&format!("{servers}{PARTIES}{trust}{more}"), port);
    gateway.wait_for_servers();
    gateway
}

/// A server that takes tokens of the provider for `api://guarded`.
fn server(provider: &Provider) -> (Served, Recorder) {
    guarded(
        &provider.peers,
        &provider.issuer,
        "Gateway.Use",
        Some("api://guarded"),
    )
}

/// A gateway before it, which comes by tokens so.
fn before(provider: &Provider, sent: &Recorder, auth: &str, port: Option<u16>) -> Gateway {
    let url = format!("http://{}/mcp", sent.address());
    let auth = format!("{{ {auth}, client_secret: \"env:CLIENT_SECRET\", resource: omit }}");
    let servers = format!("mcpServers: {{ guarded: {{ url: \"{url}\", auth: {auth} }} }}\n");
    gateway(&format!("{servers}{PARTIES}{}", provider.trust("")), port)
}

fn call(gateway: &Gateway, tool: &str, token: &str) -> Answer {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(token.to_owned()));
    client.call(tool, &json!({"text": "hello"})).expect("an answer")
}

/// For whom the token is that the server was shown.
fn whoami(gateway: &Gateway, token: &str) -> Value {
    let answer = call(gateway, "guarded__whoami", token);
    serde_json::from_str(answer.text())
        .unwrap_or_else(|_| panic!("{answer:?}: {:?}", gateway.ledger().last()))
}

/// Who called last.
fn caller(gateway: &Gateway) -> Value {
    let entries = gateway.ledger();
    let outcome = |entry: &&Value| entry["kind"] == "outcome" && entry["tool"] == "echo";
    let last = entries.iter().rfind(outcome);
    last.expect("a call")["principal"].clone()
}

/// A person logs in at the provider and lets the client in; its tokens.
fn let_in(gateway: &Gateway, user: &str, more: &[(&str, &str)]) -> (Person, Value) {
    let mut person = Person::at(gateway.base());
    let digest = challenge();
    let page = person.open(&[&asks("app", SITE, &digest)[..], more].concat());
    let sent = person.visit(&door(&page, "corp"), None);
    let to = sent
        .location
        .clone()
        .unwrap_or_else(|| panic!("not sent anywhere: {sent:?}"));
    let back = Visitor::named(user).go(&to, &gateway.base());
    let mut page = person.visit(back.strip_prefix(&gateway.base()).expect("to the gateway"), None);
    if page.asks_for_consent() {
        page = person.fill(&page, &[("say", "allow")]);
    }
    let code = page.sent("code").unwrap_or_else(|| panic!("{page:?}"));
    let (status, tokens) = exchange(&person, "app", SITE, &code);
    assert_eq!(status, 200, "{tokens}");
    (person, tokens)
}

fn login() -> String {
    format!("clients: [ {{ id: app, name: App, redirect_uris: [\"{SITE}\"] }} ]\n")
}

const LOGIN: &str =
    "login: { client_id: gateway, client_secret: \"env:CLIENT_SECRET\", label: Corp, mfa: [c1] }";

fn its_tokens_are_taken_at_the_endpoint(kind: Kind, peers: &Path) {
    let provider = Provider::start(kind, peers, &[]);
    let gateway = with_stub(&provider.trust(""), "", None);
    let tokens = provider.tokens("alice", "Gateway.Use");
    let token = text(&tokens, "access_token");
    assert!(is_done(&echo(&gateway, "/mcp", token)), "{tokens}");
    let who = caller(&gateway);
    assert_eq!(
        (&who["user"], &who["tenant"], &who["agent"]),
        (&json!("corp/o-alice"), &json!("corp/t1"), &json!("scribe"))
    );
    // An ID token, a token for another resource, and one that was changed.
    let other = provider.tokens("alice", "api://guarded/.default");
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let changed = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for bad in [text(&tokens, "id_token"), text(&other, "access_token"), &changed] {
        assert!(is_challenged(&echo(&gateway, "/mcp", bad)), "{}", claims(bad));
    }
}

fn its_keys_change_while_the_gateway_runs(kind: Kind, peers: &Path) {
    let mut provider = Provider::start(kind, peers, &[]);
    let gateway = with_stub(&provider.trust(""), "", None);
    let old = provider.token("alice");
    assert!(is_done(&echo(&gateway, "/mcp", &old)));
    provider.served = None;
    assert!(
        is_done(&echo(&gateway, "/mcp", &old)),
        "keys are kept while it is down"
    );
    provider.start_anew();
    let new = provider.token("alice");
    let end = Instant::now() + Duration::from_secs(60);
    while !is_done(&echo(&gateway, "/mcp", &new)) {
        assert!(Instant::now() < end, "the new key is not believed");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(is_challenged(&echo(&gateway, "/mcp", &old)));
}

fn a_persons_login_there_lets_a_client_in_and_is_renewed(kind: Kind, peers: &Path) {
    let port = free_port();
    let provider = Provider::for_gateway_at(kind, peers, port, &[]);
    let gateway = with_stub(&provider.trust(LOGIN), &login(), Some(port));
    let (person, tokens) = let_in(&gateway, "alice", &[]);
    assert!(works(&gateway, &tokens), "{tokens}");
    assert_eq!(claims(text(&tokens, "access_token"))["sub"], "corp/o-alice");
    assert_eq!(caller(&gateway)["tenant"], "corp/t1");
    let (status, renewed) = refresh(&person, "app", text(&tokens, "refresh_token"));
    assert_eq!(status, 200, "{renewed}");
    assert!(works(&gateway, &renewed));
}

fn it_is_asked_for_more_than_a_password(kind: Kind, peers: &Path) {
    let port = free_port();
    let provider = Provider::for_gateway_at(kind, peers, port, &[]);
    let rule = "permit(principal in Role::\\\"doctor\\\", action, resource)";
    assert!(PARTIES.contains(rule));
    let stub = program("e2e-stub");
    let servers = format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n");
    let parties = PARTIES.replace(rule, &format!("@step_up(\\\"mfa 600\\\") {rule}"));
    let yaml = format!("{servers}{parties}{}{}", provider.trust(LOGIN), login());
    let gateway = gateway(&yaml, Some(port));
    gateway.wait_for_servers();
    let (_, tokens) = let_in(&gateway, "alice", &[]);
    let refused = call(&gateway, "stub__echo", text(&tokens, "access_token"));
    let challenge = refused.challenge.clone().unwrap_or_default();
    assert!(
        challenge.contains("insufficient_user_authentication"),
        "{refused:?}"
    );
    let more = [("acr_values", "mfa"), ("max_age", "600"), ("prompt", "login")];
    let (_, tokens) = let_in(&gateway, "alice", &more);
    let said = claims(text(&tokens, "access_token"));
    assert_eq!(said["acr"], "c1", "{said}");
    assert!(works(&gateway, &tokens));
}

fn a_users_token_is_exchanged_here_then_asked_about_and_revoked(kind: Kind, peers: &Path) {
    let provider = Provider::start(kind, peers, &[]);
    let gateway = with_stub(&provider.trust("clients: any"), "", None);
    let subject = provider.token("alice");
    let client = [("client_id", "scribe"), ("client_secret", SECRET)];
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject.as_str()),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let given = gateway.ask_for_token(&[&form[..], &client].concat());
    let token = text(&given, "access_token");
    assert!(is_done(&echo(&gateway, "/mcp", token)));
    let who = caller(&gateway);
    assert_eq!(
        (&who["user"], &who["agent"]),
        (&json!("corp/o-alice"), &json!("scribe"))
    );
    let person = Person::at(gateway.base());
    let form = [&client[..], &[("token", token)]].concat();
    assert_eq!(person.post("/oauth/introspect", &form).1["active"], true);
    assert_eq!(person.post("/oauth/revoke", &form).0, 200);
    assert_eq!(person.post("/oauth/introspect", &form).1["active"], false);
    let end = Instant::now() + Duration::from_secs(5);
    while is_done(&echo(&gateway, "/mcp", token)) {
        assert!(Instant::now() < end, "it outlives its revocation");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Two gateways: the one before the caller has the provider's word for each of them, the other takes it.
fn its_word_for_each_caller_is_obtained_and_taken(kind: Kind, peers: &Path) {
    let port = free_port();
    let provider = Provider::for_gateway_at(kind, peers, port, &[]);
    let stub = program("e2e-stub");
    let far = gateway(
        &format!(
            "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\napprove: all\n\
             agents: [ {{ name: exchanger, secret: \"env:TESTER_SECRET\" }}, {{ name: scribe }} ]\n{}\
             policy: {{ packs: [baseline], rules: [ \"permit(principal, action, resource);\" ] }}\n",
            provider.trust("delegates: true")
        ),
        None,
    );
    far.wait_for_servers();
    let auth = format!(
        "{{ kind: id_jag, issuer: \"{}\", client_id: exchanger, client_secret: \"env:OTHERS_SECRET\", \
         provider: {{ issuer: \"{}\", client_id: exchanger, client_secret: \"env:CLIENT_SECRET\" }} }}",
        far.base(),
        provider.issuer
    );
    let servers = format!(
        "mcpServers: {{ far: {{ url: \"{}/mcp\", auth: {auth} }} }}\n",
        far.base()
    );
    let near = gateway(
        &format!("{servers}{PARTIES}{}{}", provider.trust(LOGIN), login()),
        Some(port),
    );
    near.wait_for_servers();
    // Alice comes with a token of the provider's, bob logged in there.
    let alice = provider.token("alice");
    let (_, bob) = let_in(&near, "bob", &[]);
    let bob = text(&bob, "access_token");
    for (token, user) in [
        (alice.as_str(), "corp/o-alice"),
        (bob, "corp/o-bob"),
        (&alice, "corp/o-alice"),
    ] {
        let done = call(&near, "far__stub__echo", token);
        assert!(is_done(&done), "{user}: {done:?}: {:?}", near.ledger().last());
        let who = caller(&far);
        assert_eq!(
            (&who["user"], &who["agent"]),
            (&json!(user), &json!("exchanger")),
            "{who}"
        );
    }
    assert_eq!((provider.heard(&alice), provider.heard(bob)), (1, 0));
    // Whom the provider does not know has no word of it, and nobody else's.
    let own = near.token();
    assert!(!is_done(&call(&near, "far__stub__echo", &own)));
    assert_eq!(caller(&far)["user"], "corp/o-alice");
}

fn the_gateway_has_a_token_of_its_own_for_a_server(kind: Kind, peers: &Path) {
    let provider = Provider::start(kind, peers, &[]);
    let (_server, sent) = server(&provider);
    let auth = "kind: client_credentials, client_id: exchanger, scope: \"api://guarded/.default\"";
    let gateway = before(&provider, &sent, auth, None);
    gateway.wait_for_servers();
    let token = provider.token("alice");
    let who = whoami(&gateway, &token);
    assert_eq!(
        (&who["azp"], &who["sub"]),
        (&json!("exchanger"), &json!("exchanger")),
        "{who}"
    );
    assert_eq!((provider.heard(&token), heard(&sent, &token)), (0, 0));
}

fn it_gives_a_token_on_behalf_of_each_caller(kind: Kind, peers: &Path) {
    let provider = Provider::start(kind, peers, &[]);
    let (_server, sent) = server(&provider);
    let auth = "kind: on_behalf_of, client_id: exchanger, scope: \"api://guarded/.default\"";
    let gateway = before(&provider, &sent, auth, None);
    gateway.wait_for_servers();
    for user in ["alice", "bob"] {
        let token = provider.token(user);
        let who = whoami(&gateway, &token);
        assert_eq!(
            (&who["azp"], &who["sub"]),
            (&json!("exchanger"), &json!(user)),
            "{who}"
        );
        assert_eq!((provider.heard(&token), heard(&sent, &token)), (1, 0));
    }
}

fn it_takes_the_gateways_word_for_each_caller(kind: Kind, peers: &Path) {
    let provider = Provider::start(kind, peers, &[]);
    let (_server, sent) = server(&provider);
    let auth = "kind: token_exchange, client_id: exchanger, audience: \"api://guarded\", scope: Gateway.Use";
    let gateway = before(&provider, &sent, auth, None);
    gateway.wait_for_servers();
    let token = gateway.token();
    let who = whoami(&gateway, &token);
    assert_eq!(
        (&who["azp"], &who["sub"]),
        (&json!("exchanger"), &json!("alice")),
        "{who}"
    );
    assert_eq!((provider.heard(&token), heard(&sent, &token)), (0, 0));
}

fn a_person_agrees_there_and_their_token_is_renewed_and_kept(kind: Kind, peers: &Path) {
    let port = free_port();
    // Tokens that end within half a minute are renewed before each call.
    let provider = Provider::for_gateway_at(kind, peers, port, &[("TTL", "31".to_owned())]);
    let (_server, sent) = server(&provider);
    let auth =
        "kind: authorization_code, client_id: notes, pkce: assumed, scope: \"openid api://guarded/.default\"";
    let mut gateway = before(&provider, &sent, auth, Some(port));
    let said = gateway.json(&["server", "connect", "guarded", "--user", "alice"]);
    let page = agree(peers, text(&said[0], "url"), &[("SECRET", ALICE)]);
    assert_eq!(page["status"], 200, "{page}");
    gateway.wait_for_servers();
    let token = gateway.token();
    assert_eq!(whoami(&gateway, &token)["sub"], "alice");
    // Each call is good, and one of them finds that the token is to be renewed.
    let begun = Instant::now();
    let is_renewed = || {
        !provider
            .relay
            .requests_with("grant_type=refresh_token")
            .is_empty()
    };
    while !is_renewed() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not renewed");
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(whoami(&gateway, &token)["sub"], "alice");
    }
    gateway.stop();
    gateway.run();
    gateway.wait_for_servers();
    let token = gateway.token();
    assert_eq!(whoami(&gateway, &token)["sub"], "alice");
    assert_eq!((provider.heard(&token), heard(&sent, &token)), (0, 0));
    assert!(
        provider.relay.requests_with("resource=").is_empty(),
        "it does not know `resource`"
    );
}

/// What `connect` is told of a provider with these habits.
fn flags<'f>(provider: &'f Provider, more: &[&'f str]) -> Vec<&'f str> {
    let scope = r#"{"scope": "openid api://guarded/.default"}"#;
    let mut flags = vec!["--issuer", &provider.issuer, "--disable-resource-parameter"];
    flags.extend(["--static-oauth-client-metadata", scope, "--auth-timeout", "90"]);
    flags.extend(more);
    flags
}

const CLI: &str = r#"{"client_id": "cli"}"#;

fn connect_logs_a_person_in_by_a_browser(kind: Kind, peers: &Path) {
    let provider = Provider::start(kind, peers, &[]);
    let (_server, sent) = server(&provider);
    let (home, url) = (Scratch::new(), format!("http://{}/mcp", sent.address()));
    let refused = flags(&provider, &["--static-oauth-client-info", CLI]);
    let mut host = Host::of(connect(peers, home.path(), &url, &refused));
    assert!(host.hello().to_string().contains("--assume-pkce"));
    drop(host);
    let flags = flags(&provider, &["--static-oauth-client-info", CLI, "--assume-pkce"]);
    let mut host = Host::of(connect(peers, home.path(), &url, &flags));
    host.hello();
    let who = host.call(2, "whoami", &json!({}));
    assert!(who.to_string().contains("alice"), "{who}");
}

fn connect_logs_a_person_in_on_another_device(kind: Kind, peers: &Path) {
    let provider = Provider::start(kind, peers, &[]);
    let (_server, sent) = server(&provider);
    let (home, url) = (Scratch::new(), format!("http://{}/mcp", sent.address()));
    let flags = flags(&provider, &["--static-oauth-client-info", CLI, "--device-code"]);
    let (working, at, code) = device(connect(peers, home.path(), &url, &flags));
    let page = Command::new(peers::node(peers))
        .arg(peers::script("browser_person.mjs"))
        .arg(&at)
        .env("NODE_MODULES", peers.join("node/node_modules"))
        .envs([("PERSON", "alice"), ("PASSWORD", "any"), ("CODE", &code)])
        .output()
        .expect("Node");
    assert!(page.status.success(), "{}", String::from_utf8_lossy(&page.stderr));
    let hello = working.join().expect("the bridge");
    assert_eq!(hello["result"]["serverInfo"]["name"], "guarded", "{hello}");
}

fn connect_proves_itself_as_a_client(kind: Kind, peers: &Path) {
    let provider = Provider::start(kind, peers, &[]);
    let (_server, sent) = server(&provider);
    let (home, url) = (Scratch::new(), format!("http://{}/mcp", sent.address()));
    let scope = r#"{"scope": "api://guarded/.default"}"#;
    let flags = [
        "--client-credentials",
        "--issuer",
        &provider.issuer,
        "--disable-resource-parameter",
        "--static-oauth-client-metadata",
        scope,
    ];
    let mut command = connect(peers, home.path(), &url, &flags);
    command.env("SALLYPORT_CLIENT_ID", "exchanger");
    command.env("SALLYPORT_CLIENT_SECRET", PROVIDERS_SECRET);
    let mut host = Host::of(command);
    host.hello();
    let who = host.call(2, "whoami", &json!({}));
    assert!(who.to_string().contains("exchanger"), "{who}");
}

fn the_doctor_says_what_its_habits_take(kind: Kind, peers: &Path) {
    let provider = Provider::start(kind, peers, &[]);
    let (_server, sent) = server(&provider);
    let url = format!("http://{}/mcp", sent.address());
    let args = ["--client-id", "exchanger", "--scope", "api://guarded/.default"];
    let (code, walk) = doctor(&Gateway::configured(""), &url, &args, PROVIDERS_SECRET);
    assert_eq!(code, Some(0), "{walk}");
    for (step, wanted) in [
        ("PKCE", "warn"),
        ("registration", "warn"),
        ("resource indicator", "warn"),
        ("token", "ok"),
        ("use", "ok"),
    ] {
        assert_eq!(state(&walk, step), wanted, "{step}: {walk}");
    }
    let line = text(&walk, "configuration");
    assert!(
        line.contains("resource: omit, scope: \"api://guarded/.default\""),
        "{line}"
    );
    assert!(walk.to_string().contains("pkce: assumed"), "{walk}");
}

/// The flows, in the words of the table: one test for each provider, and all of them in the list.
macro_rules! flows {
    ($($words:literal: $flow:ident,)*) => {
        const FLOWS: &[&str] = &[$($words),*];

        mod certified {
            $(#[test]
            fn $flow() {
                let Some(peers) = super::peers::directory() else { return };
                super::$flow(super::Kind::Certified, &peers.canonicalize().expect("a directory"));
            })*
        }

        mod authlib {
            $(#[test]
            fn $flow() {
                let Some(peers) = super::peers::directory() else { return };
                super::$flow(super::Kind::Authlib, &peers.canonicalize().expect("a directory"));
            })*
        }
    };
}

flows! {
    "tokens at `/mcp`": its_tokens_are_taken_at_the_endpoint,
    "keys that change": its_keys_change_while_the_gateway_runs,
    "login: code, PKCE, refresh": a_persons_login_there_lets_a_client_in_and_is_renewed,
    "login: step-up by `acr`": it_is_asked_for_more_than_a_password,
    "token exchanged here; introspection, revocation": a_users_token_is_exchanged_here_then_asked_about_and_revoked,
    "ID-JAG for each caller, obtained and taken": its_word_for_each_caller_is_obtained_and_taken,
    "to a server: client credentials": the_gateway_has_a_token_of_its_own_for_a_server,
    "to a server: on behalf of each caller": it_gives_a_token_on_behalf_of_each_caller,
    "to a server: the gateway's word for each caller": it_takes_the_gateways_word_for_each_caller,
    "to a server: a person's consent, vault, refresh": a_person_agrees_there_and_their_token_is_renewed_and_kept,
    "`connect`: browser": connect_logs_a_person_in_by_a_browser,
    "`connect`: device": connect_logs_a_person_in_on_another_device,
    "`connect`: client credentials": connect_proves_itself_as_a_client,
    "`oauth doctor`": the_doctor_says_what_its_habits_take,
}

/// The list and the page say what is driven, and nothing else.
#[test]
fn the_table_is_what_is_driven() {
    let head = "flow\toidc-provider 9.13.3\tAuthlib 1.9.9";
    let rows = FLOWS.iter().map(|flow| format!("{flow}\tdriven\tdriven"));
    let found: Vec<String> = std::iter::once(head.to_owned()).chain(rows).collect();
    let list = include_str!("../providers.tsv");
    assert_eq!(list.lines().collect::<Vec<_>>(), found);
    let page = include_str!("../../docs/identity.md");
    for row in list.lines() {
        let row = format!("| {} |", row.replace('\t', " | "));
        assert!(page.contains(&row), "docs/identity.md has no row `{row}`");
    }
}
