//! A REST service on FastAPI behind the gateway, by the description it writes of itself: its operations are tools, and no
//! argument of them reaches anything else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use e2e::{
    gateway::{Gateway, Scratch},
    mcp::{Answer, Client, own_meta},
    peers::{self, Served},
};
use serde_json::{Value, json};

const KEY: &str = "crm-5f1b8a0c7d9e4f2ab36c";
const AGENTS: &str = r#"
approve: all
agents: [ { name: tester, secret: "env:TESTER_SECRET", roles: [tester] } ]
policy: { packs: [baseline], rules: [ "permit(principal in Role::\"tester\", action, resource);" ] }
"#;

struct Crm {
    served: Served,
    _scratch: Scratch,
    /// The description it wrote of itself.
    description: PathBuf,
}

impl Crm {
    fn start(peers: &Path) -> Self {
        let scratch = Scratch::new();
        let description = scratch.path().join("openapi.json");
        let mut command = Command::new(peers.join("py1/bin/python"));
        command
            .arg(peers::script("rest_service.py"))
            .env("KEY", KEY)
            .env("OPENAPI", &description)
            .stderr(Stdio::null());
        Self {
            served: Served::start(&mut command),
            _scratch: scratch,
            description,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.served.line)
    }

    /// What came, as it came: method, path with query, headers.
    fn log(&self) -> Vec<Value> {
        let url = format!("{}/log", self.url());
        let answer = ureq::get(&url)
            .header("Authorization", format!("Bearer {KEY}"))
            .call();
        let text = answer
            .expect("the log")
            .into_body()
            .read_to_string()
            .expect("a text");
        serde_json::from_str(&text).expect("a list")
    }

    fn gateway(&self, more: &str) -> Gateway {
        let yaml = format!(
            "mcpServers: {{ crm: {{ url: \"{}\", openapi: {:?}, auth: {{ kind: bearer, token: \"env:CRM_TOKEN\" }}{more} \
             }} }}\n{AGENTS}",
            self.url(),
            self.description
        );
        let mut gateway = Gateway::configured(&yaml).with_variables(&[("CRM_TOKEN", KEY)]);
        gateway.run();
        gateway.wait_for_servers();
        gateway
    }
}

fn client(gateway: &Gateway) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()))
}

fn call(client: &Client, tool: &str, arguments: Value) -> Answer {
    client
        .call(&format!("crm__{tool}"), &arguments)
        .expect("an answer")
}

fn tools(client: &Client) -> Vec<Value> {
    let answer = client
        .request("tools/list", None, json!({"_meta": own_meta()}))
        .expect("a list");
    answer.body["result"]["tools"].as_array().expect("tools").clone()
}

#[test]
fn operations_of_a_service_are_tools_and_an_sdk_calls_them() {
    let Some(peers) = peers::directory() else { return };
    let crm = Crm::start(&peers);
    let gateway = crm.gateway("");
    let client = client(&gateway);
    let tools = tools(&client);
    let tool = |name: &str| {
        let named = |tool: &&Value| tool["name"] == format!("crm__{name}");
        tools
            .iter()
            .find(named)
            .unwrap_or_else(|| panic!("{name} in {tools:?}"))
    };
    let read = tool("readCustomer");
    assert_eq!(read["inputSchema"]["required"], json!(["customer_id"]));
    assert_eq!(read["inputSchema"]["additionalProperties"], json!(false));
    assert_eq!(read["annotations"]["readOnlyHint"], json!(true));
    assert_eq!(
        tool("deleteCustomer")["annotations"]["destructiveHint"],
        json!(true)
    );
    assert_eq!(
        tool("replaceCustomer")["annotations"]["idempotentHint"],
        json!(true)
    );
    // What holds itself is said once; everything else stands where it is used.
    let categories = tool("categories_categories_post")["inputSchema"].to_string();
    assert!(categories.contains("#/$defs/Category"), "{categories}");
    assert!(!tool("addCustomer")["inputSchema"].to_string().contains("$ref"));
    // What cannot be done rightly is not offered, and said to whoever asks.
    let names: Vec<_> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert!(
        !names.contains(&"crm__upload") && !names.contains(&"crm__session"),
        "{names:?}"
    );
    let doctor = String::from_utf8(gateway.output(&["doctor"]).stdout).expect("a text");
    for part in [
        "POST /uploads: its body is no JSON but multipart/form-data",
        "GET /session: the cookie parameter",
    ] {
        assert!(doctor.contains(part), "{part} in {doctor}");
    }
    // A real client.
    let output = Command::new(peers.join("py2/bin/python"))
        .arg(peers::script("rest_client.py"))
        .env("GATEWAY", format!("{}/mcp", gateway.base()))
        .env("TOKEN", gateway.token())
        .output()
        .expect("Python");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // A recursive body, and what a schema refuses before anything is sent.
    let tree = json!({"body": {"name": "a", "children": [{"name": "b", "children": []}]}});
    let made = call(&client, "categories_categories_post", tree);
    assert_eq!(
        made.body["result"]["structuredContent"]["children"][0]["name"], "b",
        "{made:?}"
    );
    let before = crm.log().len();
    for arguments in [
        json!({"customer_id": "7", "more": 1}),
        json!({}),
        json!({"customer_id": ["7"]}),
    ] {
        assert!(
            !call(&client, "readCustomer", arguments.clone()).is_good(),
            "{arguments}"
        );
    }
    assert_eq!(crm.log().len(), before);
}

/// CVE-2026-29791 and its kind: each of these is refused with nothing sent, or arrives as one value.
#[test]
fn no_argument_changes_the_route_the_query_or_the_headers() {
    let Some(peers) = peers::directory() else { return };
    let crm = Crm::start(&peers);
    let gateway = crm.gateway("");
    let client = client(&gateway);
    let refused = [
        "7/secret",
        "7%2Fsecret",
        "7%2fsecret",
        "7%252Fsecret",
        "7\\secret",
        "..",
        ".",
        "../customers/7",
        "..;",
        "..%2f",
        "%2e%2e",
        "%2E%2E/7/secret",
        "",
        " ",
        " .. ",
        "7\r\nX-Evil: 1",
        "7\0",
        "7%0d%0aX: 1",
    ];
    for hostile in refused {
        for tool in ["readCustomer", "deleteCustomer"] {
            let answer = call(&client, tool, json!({"customer_id": hostile}));
            assert!(!answer.is_good(), "{tool} {hostile:?}: {answer:?}");
            assert!(
                !answer.body.to_string().contains("nobody may read"),
                "{hostile:?}: {answer:?}"
            );
        }
    }
    for hostile in ["a\r\nX-Evil: 1", "a\nb", "a\0b", " a", "ä"] {
        let answer = call(
            &client,
            "readCustomer",
            json!({"customer_id": "7", "x-reason": hostile}),
        );
        assert!(!answer.is_good(), "{hostile:?}: {answer:?}");
    }
    assert_eq!(crm.log(), Vec::<Value>::new(), "something was sent");
    // What has a meaning in a URL, and arrives as text.
    for (value, target) in [
        ("7?admin=1", "/customers/7%3Fadmin%3D1"),
        ("7#x", "/customers/7%23x"),
        ("7;a=b", "/customers/7%3Ba%3Db"),
        ("7&b", "/customers/7%26b"),
        ("http://evil", ""),
        ("@evil", "/customers/%40evil"),
        ("{customer_id}", "/customers/%7Bcustomer_id%7D"),
        ("100%", "/customers/100%25"),
        ("ä", "/customers/%C3%A4"),
    ] {
        let before = crm.log().len();
        let answer = call(&client, "readCustomer", json!({"customer_id": value}));
        assert!(!answer.is_good(), "{value}: {answer:?}");
        let log = crm.log();
        match target {
            "" => assert_eq!(log.len(), before, "{value} was sent"),
            target => assert_eq!(log[before]["target"], target),
        }
    }
    let before = crm.log().len();
    let query = json!({"name": "Ada&limit=100&admin=1#x?y=+ %26", "tag": ["a&b=c", "d"]});
    assert!(call(&client, "listCustomers", query).is_good());
    let reason = json!({"customer_id": "7", "x-reason": "Authorization: none, Host: evil"});
    assert!(call(&client, "readCustomer", reason).is_good());
    let log = crm.log();
    assert_eq!(
        log[before]["target"],
        "/customers?name=Ada%26limit%3D100%26admin%3D1%23x%3Fy%3D%2B%20%2526&tag=a%26b%3Dc&tag=d"
    );
    let headers = &log[before + 1]["headers"];
    assert_eq!(headers["x-reason"], "Authorization: none, Host: evil");
    for request in &log {
        assert_eq!(request["headers"]["host"], crm.served.line.as_str());
        assert_eq!(request["headers"]["authorization"], format!("Bearer {KEY}"));
        let names: Vec<_> = request["headers"].as_object().expect("headers").keys().collect();
        assert!(
            !names
                .iter()
                .any(|name| name.starts_with("mcp-") || *name == "cookie"),
            "{names:?}"
        );
    }
}

#[test]
fn what_a_service_answers_is_shown_as_far_as_it_can_be_read() {
    let Some(peers) = peers::directory() else { return };
    let crm = Crm::start(&peers);
    let gateway = crm.gateway("");
    let client = client(&gateway);
    for (kind, good, part) in [
        ("text", true, "a line of text"),
        ("list", true, "[1,2]"),
        ("cookie", true, "{}"),
        ("picture", true, "neither JSON nor text"),
        ("twice", true, "cannot be read in one way only"),
        ("long", true, "longer than"),
        ("moved", false, "307"),
        ("outside", false, "307"),
        ("broken", false, "500"),
    ] {
        let before = crm.log().len();
        let answer = call(&client, "page", json!({"kind": kind}));
        assert_eq!(answer.is_good(), good, "{kind}: {answer:?}");
        assert!(answer.text().contains(part), "{kind}: {answer:?}");
        // Neither followed nor tried again; and nothing of the answer's headers is passed on.
        assert_eq!(crm.log().len(), before + 1, "{kind}");
        assert!(!answer.body.to_string().contains("stolen"), "{kind}");
    }
    let broken = call(&client, "page", json!({"kind": "broken"}));
    assert!(
        broken.body["result"]["content"][1]["text"]
            .as_str()
            .is_some_and(|text| text.contains("out of order"))
    );
}

#[test]
fn the_gateways_credential_is_for_the_service_alone() {
    let Some(peers) = peers::directory() else { return };
    let crm = Crm::start(&peers);
    let mut gateway = crm.gateway("");
    let client = client(&gateway);
    assert!(call(&client, "readCustomer", json!({"customer_id": "7"})).is_good());
    // Not even where the service says it.
    let echoed = call(&client, "page", json!({"kind": "echo"}));
    assert!(
        echoed.text().contains("credential") && !echoed.body.to_string().contains(KEY),
        "{echoed:?}"
    );
    assert!(
        !tools(&client)
            .iter()
            .any(|tool| tool.to_string().to_lowercase().contains("bearer"))
    );
    for entry in gateway.ledger() {
        assert!(!entry.to_string().contains(KEY), "{entry}");
    }
    gateway.stop();
    let state = gateway.path("state");
    let mut files = vec![state];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                fs::read_dir(&path)
                    .expect("a directory")
                    .map(|entry| entry.expect("an entry").path()),
            );
        } else if let Ok(bytes) = fs::read(&path) {
            let found = bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
            assert!(!found, "the credential is in {}", path.display());
        }
    }
    // Without one, it is said that one is missing, and by whom.
    let yaml = format!(
        "mcpServers: {{ crm: {{ url: \"{}\", openapi: {:?} }} }}\n{AGENTS}",
        crm.url(),
        crm.description
    );
    let gateway = Gateway::start(&yaml);
    gateway.wait_for_servers();
    let answer = call(
        &self::client(&gateway),
        "readCustomer",
        json!({"customer_id": "7"}),
    );
    assert!(
        answer.body.to_string().contains("upstream-unauthorized"),
        "{answer:?}"
    );
}

#[test]
fn what_was_sent_and_not_answered_is_said_to_be_in_doubt_and_sent_once() {
    let Some(peers) = peers::directory() else { return };
    let crm = Crm::start(&peers);
    let gateway = crm.gateway(", timeout: 1");
    let client = client(&gateway);
    let answer = call(&client, "order", json!({"seconds": 5}));
    assert!(
        answer.body.to_string().contains("upstream-doubtful"),
        "{answer:?}"
    );
    assert_eq!(
        crm.log()
            .iter()
            .filter(|request| request["method"] == "POST")
            .count(),
        1
    );
}

#[test]
fn another_description_is_another_server_and_waits_for_a_person() {
    let Some(peers) = peers::directory() else { return };
    let crm = Crm::start(&peers);
    let mut gateway = crm.gateway("");
    // The same name, the same arguments, another route.
    let said = fs::read_to_string(&crm.description).expect("a description");
    let mut changed: Value = serde_json::from_str(&said).expect("JSON");
    let paths = changed["paths"].as_object_mut().expect("paths");
    let item = paths.remove("/customers/{customer_id}").expect("a path");
    paths.insert("/customers/{customer_id}/secret".to_owned(), item);
    fs::write(&crm.description, changed.to_string()).expect("a description");
    // It is read at the start, and whoever changes it meanwhile is told so.
    let is_told = || {
        let ledger = gateway.ledger();
        let mut told = ledger
            .iter()
            .filter(|entry| entry["action"] == "waits-for-restart");
        told.any(|entry| entry.to_string().contains("mcpServers.crm.openapi"))
    };
    let until = Instant::now() + Duration::from_secs(60);
    while !is_told() {
        assert!(Instant::now() < until, "{:?}", gateway.ledger());
        std::thread::sleep(Duration::from_millis(200));
    }
    gateway.stop();
    gateway.run();
    gateway.wait_for_servers();
    let client = client(&gateway);
    let answer = call(&client, "readCustomer", json!({"customer_id": "7"}));
    assert!(!answer.is_good() && crm.log().is_empty(), "{answer:?}");
    let names = client.tools().expect("a list");
    assert!(!names.contains(&"crm__readCustomer".to_owned()), "{names:?}");
    assert!(names.contains(&"crm__listCustomers".to_owned()), "{names:?}");
    let diff = String::from_utf8(gateway.output(&["server", "diff", "crm"]).stdout).expect("a text");
    assert!(diff.contains("/customers/{customer_id}/secret"), "{diff}");
    gateway.stop();
    // And one that is broken is none: where, and what to do.
    changed["components"]["schemas"]["New"] = json!({"$ref": "#/components/schemas/Nobody"});
    fs::write(&crm.description, changed.to_string()).expect("a description");
    let output = gateway.output(&["serve"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "mcpServers.crm.openapi",
        "leads nowhere",
        "`/components/schemas/New/$ref`",
        "add what it names",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

/// What `docs/rest.md` shows is what runs.
#[test]
fn the_configuration_that_is_documented_runs() {
    let Some(peers) = peers::directory() else { return };
    let page = include_str!("../../docs/rest.md");
    let (_, rest) = page.split_once("```yaml\n").expect("a configuration");
    let (shown, _) = rest.split_once("```").expect("its end");
    let crm = Crm::start(&peers);
    let yaml = shown.replace("https://crm.example", &crm.url());
    assert_ne!(yaml, shown);
    let mut gateway = Gateway::configured(&yaml).with_variables(&[("CRM_TOKEN", KEY)]);
    fs::copy(&crm.description, gateway.path("crm.json")).expect("a description");
    gateway.run();
    let approved = gateway.output(&["server", "approve", "crm"]);
    assert!(
        approved.status.success(),
        "{}",
        String::from_utf8_lossy(&approved.stderr)
    );
    gateway.wait_for_servers();
    let client = client(&gateway);
    let names = client.tools().expect("a list");
    assert!(names.contains(&"crm__readCustomer".to_owned()), "{names:?}");
    assert!(call(&client, "readCustomer", json!({"customer_id": "7"})).is_good());
    let denied = call(&client, "deleteCustomer", json!({"customer_id": "7"}));
    assert!(!denied.is_good() && crm.log().len() == 1, "{denied:?}");
}
