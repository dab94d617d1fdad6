//! The console and the API of operators: who gets in, what they may do, and that nobody does it in another's name.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use e2e::{
    gateway::{Gateway, program},
    mcp::Client,
    peers,
    person::{AUTHENTICATOR, PASSWORD, PASSWORD_HASH, Page, Person, one_time_code},
};
use serde_json::{Value, json};

const YAML: &str = r#"
approve: all
users:
  - { name: alice, roles: [controller], password: "env:PASSWORD_HASH" }
  - { name: olga, roles: [operator], password: "env:PASSWORD_HASH", totp: "env:AUTHENTICATOR" }
  - { name: audrey, password: "env:PASSWORD_HASH" }
  - { name: mallory, password: "env:PASSWORD_HASH" }
agents: [ { name: tester, secret: "env:TESTER_SECRET", roles: [tester] } ]
console: { operators: [ "role:operator" ], auditors: [audrey] }
policy:
  packs: [baseline]
  rules:
    - 'permit(principal in Role::"tester", action, resource);'
    - |
      @id("ask") @reason("a controller agrees first") @approve("role:controller")
      forbid(principal, action == Action::"invoke", resource == Tool::"stub__echo");
"#;

fn start() -> Gateway {
    let stub = program("e2e-stub");
    let yaml = format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{YAML}");
    let mut gateway = Gateway::configured(&yaml)
        .with_variables(&[("PASSWORD_HASH", PASSWORD_HASH), ("AUTHENTICATOR", AUTHENTICATOR)]);
    gateway.run();
    gateway.wait_for_servers();
    gateway
}

/// What `sallyport console` says.
fn opened(gateway: &Gateway, args: &[&str]) -> Value {
    let mut all = vec!["console"];
    all.extend(args);
    gateway.json(&all).remove(0)
}

fn token(gateway: &Gateway, args: &[&str]) -> String {
    let mut all = vec!["--token"];
    all.extend(args);
    opened(gateway, &all)["token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

/// An answer of the API: status and body.
fn api(gateway: &Gateway, verb: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> (u16, Value) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let http = ureq::Agent::from(config);
    let url = format!("{}/api/v1{path}", gateway.base());
    let bearer = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
    let answer = match verb {
        "GET" => http.get(&url).header("Authorization", &bearer).call(),
        _ => {
            let request = http.post(&url).header("Authorization", &bearer);
            let request = request.header("Content-Type", "application/json");
            request.send(body.map(Value::to_string).unwrap_or_default())
        }
    };
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.into_body().read_to_string().expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn echo(gateway: &Gateway, text: &str) -> bool {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = client
        .call("stub__echo", &json!({ "text": text }))
        .expect("an answer");
    answer.is_good()
}

#[test]
fn the_description_is_one_and_every_look_at_it_answers() {
    let gateway = start();
    assert!(!echo(&gateway, "held"));
    let (status, described) = api(&gateway, "GET", "/openapi.json", None, None);
    assert_eq!(status, 200);
    if let Some(peers) = peers::directory() {
        let mut child = Command::new(peers.join("py2/bin/python"))
            .arg(peers::script("openapi.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin
            .write_all(described.to_string().as_bytes())
            .expect("it reads");
        drop(stdin);
        let said = child.wait_with_output().expect("it ends").stdout;
        let said: Value = serde_json::from_slice(&said).expect("JSON");
        assert_eq!(said["errors"], json!([]), "{said}");
        assert!(said["operations"].as_u64() > Some(25), "{said}");
    }
    let token = token(&gateway, &["--view"]);
    assert_eq!(api(&gateway, "GET", "/servers/nope", Some(&token), None).0, 404);
    let waiting = api(&gateway, "GET", "/approvals", Some(&token), None).1;
    let id = waiting["approvals"][0]["id"]
        .as_str()
        .expect("one waits")
        .to_owned();
    for (path, operations) in described["paths"].as_object().expect("paths") {
        let Some(get) = operations.get("get") else {
            continue;
        };
        if path.contains("/incidents/{id}") {
            continue;
        }
        let path = path
            .replace("/approvals/{id}", &format!("/approvals/{id}"))
            .replace("{name}", "stub")
            .replace("{user}", "alice");
        let query = if path == "/policy/explain" {
            "?agent=tester&tool=stub__echo"
        } else {
            ""
        };
        let (status, body) = api(&gateway, "GET", &format!("{path}{query}"), Some(&token), None);
        // A server that was never pinned has no bill of materials.
        let is_known = status == 200 || path.ends_with("/sbom");
        assert!(is_known, "{path} {get}: {status} {body}");
    }
    // Entries come newest first, page by page, and by what is asked for.
    let (_, page) = api(
        &gateway,
        "GET",
        "/ledger/entries?limit=2&decision=hold",
        Some(&token),
        None,
    );
    let held = page["entries"].as_array().expect("entries");
    assert!(
        !held.is_empty() && held.iter().all(|entry| entry["decision"] == "hold"),
        "{page}"
    );
    let (_, newest) = api(&gateway, "GET", "/ledger/entries?limit=3", Some(&token), None);
    let before = newest["next"].as_u64().expect("older ones");
    let (_, older) = api(
        &gateway,
        "GET",
        &format!("/ledger/entries?limit=1&before={before}"),
        Some(&token),
        None,
    );
    assert_eq!(older["entries"][0]["index"].as_u64(), Some(before - 1), "{older}");
}

#[test]
fn only_who_may_operate_does_and_nobody_as_somebody_else() {
    let gateway = start();
    let stop = json!({"what": "agent", "name": "tester", "why": "a drill"});
    let refused = |path: &str, token: Option<&str>, body: &Value| {
        let (status, problem) = api(&gateway, "POST", path, token, Some(body));
        assert!(
            problem["detail"].as_str().is_some_and(|text| text.len() > 10),
            "{path}: {problem}"
        );
        status
    };
    assert_eq!(refused("/stops", None, &stop), 401, "nobody");
    assert_eq!(
        refused("/stops", Some(&gateway.token()), &stop),
        401,
        "an agent's token"
    );
    let link = opened(&gateway, &[])["url"].as_str().expect("a link").to_owned();
    let code = link.split("code=").nth(1).expect("a code");
    assert_eq!(refused("/stops", Some(code), &stop), 401, "a link's secret");
    let view = token(&gateway, &["--view"]);
    assert_eq!(refused("/stops", Some(&view), &stop), 403, "for looking only");
    let owner = token(&gateway, &[]);
    assert_eq!(
        refused("/stops", Some(&owner), &json!({"name": "tester"})),
        400,
        "nothing named"
    );
    assert_eq!(
        refused(
            "/stops",
            Some(&owner),
            &json!({"what": "agent", "name": "x", "as": "alice"})
        ),
        400
    );
    assert_eq!(refused("/nowhere", Some(&owner), &stop), 404);
    assert_eq!(refused("/status", Some(&owner), &stop), 405);
    assert_eq!(api(&gateway, "GET", "/status", Some(&owner), None).0, 200);
    assert!(!echo(&gateway, "held"));
    let waiting = api(&gateway, "GET", "/approvals", Some(&owner), None).1;
    let id = waiting["approvals"][0]["id"].as_str().expect("one waits");
    let approve = format!("/approvals/{id}/approve");
    assert_eq!(refused(&approve, Some(&owner), &json!({})), 403, "no person");
    let audrey = token(&gateway, &["--as", "audrey"]);
    assert_eq!(
        refused(&approve, Some(&audrey), &json!({})),
        403,
        "not a controller"
    );
    let alice = token(&gateway, &["--as", "alice"]);
    let (status, approved) = api(&gateway, "POST", &approve, Some(&alice), Some(&json!({})));
    assert_eq!(status, 200, "{approved}");
    assert!(echo(&gateway, "held"), "approved");
    // Who is stopped has no seat any more; what was done is in the ledger, with who did it.
    let stop = json!({"what": "user", "name": "alice", "why": "left"});
    assert_eq!(api(&gateway, "POST", "/stops", Some(&owner), Some(&stop)).0, 200);
    assert_eq!(
        api(&gateway, "GET", "/status", Some(&alice), None).0,
        401,
        "stopped"
    );
    let ledger = gateway.ledger();
    let done = |action: &str, operation: &str, user: Option<&str>| {
        ledger.iter().any(|entry| {
            entry["action"] == action
                && entry["detail"]["operation"] == operation
                && entry["principal"]["user"].as_str() == user
        })
    };
    assert!(
        done("operation", "approvals.approve", Some("alice")),
        "{ledger:?}"
    );
    assert!(done("operation", "halt.put", None));
    assert!(done("operation-refused", "halt.put", None));
    let whole = format!("{ledger:?}");
    assert!(
        [&owner, &alice, &view]
            .iter()
            .all(|token| !whole.contains(*token)),
        "a token is in the ledger"
    );
}

fn filled(person: &mut Person, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
    let form = page.transaction();
    let mut all = vec![format!("t={form}")];
    all.extend(fields.iter().map(|(name, value)| format!("{name}={value}")));
    person.visit(path, Some(&all.join("&").replace(' ', "+")))
}

#[test]
fn people_log_in_at_the_console_if_it_is_theirs() {
    let gateway = start();
    let log_in = |user: &str, code: &str| {
        let mut person = Person::at(gateway.base());
        let page = person.visit("/console/login", None);
        let page = filled(
            &mut person,
            &page,
            "/console/login",
            &[("user", user), ("password", PASSWORD), ("code", code)],
        );
        (page.status, person)
    };
    assert_eq!(log_in("mallory", "").0, 403, "no operator");
    assert_eq!(log_in("olga", "").0, 403, "without her authenticator");
    let (status, mut audrey) = log_in("audrey", "");
    assert_eq!(status, 303);
    let page = audrey.visit("/console/servers/stub", None);
    assert!(
        page.html.contains("looking only") && !page.html.contains("Quarantine<"),
        "{page:?}"
    );
    assert!(
        page.headers.contains("script-src 'self'") && page.headers.contains("no-store"),
        "{page:?}"
    );
    let act = |person: &mut Person, page: &Page| {
        let op = [
            ("op", "server.quarantine"),
            ("name", "stub"),
            ("why", "a drill"),
            ("back", "//evil.example"),
        ];
        filled(person, page, "/console/do", &op)
    };
    assert_eq!(act(&mut audrey, &page).status, 403, "for looking only");
    let (status, mut olga) = log_in("olga", &one_time_code(0));
    assert_eq!(status, 303);
    let page = olga.visit("/console/servers/stub", None);
    // A form of another seat, or none of ours, does nothing.
    let foreign = Page {
        html: audrey.visit("/console", None).html,
        ..page.clone()
    };
    assert_eq!(act(&mut olga, &foreign).status, 403, "another's form");
    let done = act(&mut olga, &page);
    assert_eq!(
        (done.status, done.location.as_deref()),
        (303, Some("/console?said=server.quarantine"))
    );
    assert_eq!(
        gateway.json(&["server", "show", "stub"])[0]["state"],
        "quarantined"
    );
    let kept = olga.cookies.clone();
    assert_eq!(filled(&mut olga, &page, "/console/leave", &[]).status, 303);
    olga.cookies = kept;
    assert_eq!(
        olga.visit("/console", None).location.as_deref(),
        Some("/console/login"),
        "she left"
    );
    // A link lets in once.
    let link = opened(&gateway, &["--as", "alice"])["url"]
        .as_str()
        .expect("a link")
        .to_owned();
    let code = link.split("code=").nth(1).expect("a code").to_owned();
    let mut first = Person::at(gateway.base());
    assert_eq!(
        first
            .visit("/console/enter", Some(&format!("code={code}")))
            .status,
        303
    );
    let mut second = Person::at(gateway.base());
    assert_eq!(
        second
            .visit("/console/enter", Some(&format!("code={code}")))
            .status,
        403
    );
    // A page of another origin cannot send a form.
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let cookies = first
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let browser = ureq::Agent::from(config);
    // Regression: a form that named no page at all was taken.
    let nowhere = browser
        .post(format!("{}/console/login", gateway.base()))
        .send_form([("user", "alice"), ("password", "x")]);
    let mut nowhere = nowhere.expect("an answer");
    assert_eq!(nowhere.status().as_u16(), 403);
    let said = nowhere.body_mut().read_to_string().expect("a page");
    assert!(said.contains("from which page"), "{said}");
    let answer = browser
        .post(format!("{}/console/do", gateway.base()))
        .header("Origin", "https://evil.example")
        .header("Cookie", cookies.collect::<Vec<_>>().join("; "))
        .send_form([("op", "halt.put"), ("what", "all")])
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 403);
    assert_eq!(gateway.json(&["stop", "--list"]), Vec::<Value>::new());
}

#[test]
fn an_operator_works_in_a_browser() {
    let Some(peers) = peers::directory() else { return };
    let gateway = start();
    assert!(!echo(&gateway, "<script>globalThis.injected = true</script>"));
    let link = opened(&gateway, &["--as", "alice"])["url"]
        .as_str()
        .expect("a link")
        .to_owned();
    let output = Command::new(peers::node(&peers))
        .arg(peers::script("console.mjs"))
        .arg(&link)
        .env("NODE_PATH", peers.join("node/node_modules"))
        .output()
        .expect("it starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let approval = told["approval"].as_str().unwrap_or_default();
    assert!(
        approval.contains("stub__echo") && approval.contains("<script>globalThis"),
        "{told}"
    );
    assert_eq!(told["injected"], json!(false));
    assert_eq!(told["cookie"], json!([{"httpOnly": true, "sameSite": "Strict"}]));
    assert!(
        echo(&gateway, "<script>globalThis.injected = true</script>"),
        "approved in the browser"
    );
}
