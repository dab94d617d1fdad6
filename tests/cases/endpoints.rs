//! What is behind an endpoint: all servers, a group of them, or one; and lists of many pages.

use std::collections::BTreeMap;

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::{Client, own_meta},
    raw::Raw,
    wires::{Http, initialize},
};
use serde_json::{Value, json};

/// A client of an endpoint with a token for it.
fn client(gateway: &Gateway, agent: &str, server: &str) -> Client {
    let token = gateway.token_at(agent, &format!("/mcp/{server}"));
    Client::new(format!("{}/mcp/{server}", gateway.base()), Some(token))
}

#[test]
fn a_group_shows_its_servers_and_no_others() {
    let stub = program("e2e-stub");
    let one = format!("{{ command: {stub:?}, args: [stdio] }}");
    let yaml = format!(
        "mcpServers: {{ charts: {one}, labs: {one}, payroll: {one} }}\n\
         groups: {{ clinic: [charts, labs] }}\n{OPEN_TO_TESTER}"
    );
    let gateway = Gateway::start(&yaml);
    let clinic = client(&gateway, "tester", "clinic");
    let tools = clinic.tools().expect("a list");
    assert!(tools.contains(&"charts__echo".to_owned()), "{tools:?}");
    assert!(tools.contains(&"labs__echo".to_owned()), "{tools:?}");
    assert!(!tools.iter().any(|tool| tool.starts_with("payroll")), "{tools:?}");
    for name in ["labs__echo", "labs.echo", "labs:echo", "labs_echo"] {
        let answer = clinic.call(name, &json!({"text": "hello"})).expect("an answer");
        assert_eq!(answer.text(), "hello", "{name}: {answer:?}");
    }
    // What is not behind it is as unknown as what does not exist, under each spelling.
    let nothing = clinic.call("payrolls__echo", &json!({})).expect("an answer");
    for name in ["payroll__echo", "payroll.echo", "payroll_echo", "echo"] {
        let answer = clinic.call(name, &json!({"text": "hello"})).expect("an answer");
        assert_eq!(
            answer.body["error"]["code"], nothing.body["error"]["code"],
            "{answer:?}"
        );
        assert!(!answer.is_good(), "{name}: {answer:?}");
    }
    // A token for the group is for the group: neither for all servers nor for one of its own.
    let token = gateway.token_at("tester", "/mcp/clinic");
    for path in ["/mcp", "/mcp/charts", "/mcp/payroll"] {
        let url = format!("{}{path}", gateway.base());
        let elsewhere = Client::new(url, Some(token.clone()));
        let answer = elsewhere.request("tools/list", None, json!({"_meta": own_meta()}));
        assert_eq!(answer.expect("an answer").status, 401, "{path}");
    }
}

/// `/mcp/nope` opened a session with nothing in it, and tokens for it were given.
#[test]
fn an_endpoint_of_no_server_is_not_there() {
    let stub = program("e2e-stub");
    let local = OPEN_TO_TESTER.replace(
        "agents:",
        "anonymous: local\nusers: [ { name: local, roles: [tester] } ]\nagents:",
    );
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{local}"
    ));
    for (path, status) in [("/mcp/stub", 200), ("/mcp/nope", 404)] {
        let client = Client::new(format!("{}{path}", gateway.base()), None);
        for method in ["server/discover", "tools/list"] {
            let answer = client
                .request(method, None, json!({"_meta": own_meta()}))
                .expect("an answer");
            assert_eq!(answer.status, status, "{path} {method}: {answer:?}");
        }
    }
    let mut legacy = Http::new(&format!("{}/mcp/nope", gateway.base()), "");
    legacy.headers.clear();
    let answer = legacy.post(&initialize("2025-11-25"));
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(
        answer.json()["error"]["data"]["code"],
        "endpoint-unknown",
        "{answer:?}"
    );
    let refused = gateway.output(&["token", "--agent", "tester", "--server", "nope"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("no server or group `nope`"), "{said}");
}

#[test]
fn groups_that_make_no_sense_are_told_with_their_remedy() {
    for (groups, what, remedy) in [
        ("{ charts: [charts] }", "has this name", "rename"),
        ("{ Charts: [charts] }", "has this name", "rename"),
        ("{ clinic: [chart] }", "no server `chart`", "correct the name"),
        ("{ clinic: [] }", "no servers", "remove"),
        ("{ 'a__b': [charts] }", "a server name has", "rename"),
    ] {
        let yaml =
            format!("mcpServers: {{ charts: {{ url: 'http://127.0.0.1:9/mcp' }} }}\ngroups: {groups}\n");
        let gateway = Gateway::configured(&yaml);
        let output = gateway.output(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{groups}: {said}");
        assert!(said.contains(what) && said.contains(remedy), "{groups}: {said}");
    }
}

/// Asks for a page.
fn page(client: &Client, cursor: Option<&Value>) -> Value {
    let mut params = json!({"_meta": own_meta()});
    if let Some(cursor) = cursor {
        params["cursor"] = cursor.clone();
    }
    let answer = client.request("tools/list", None, params);
    answer.expect("an answer").body
}

#[test]
fn a_long_list_has_pages_and_each_cursor_is_of_one_caller_and_list() {
    let stub = program("e2e-stub");
    let tools: BTreeMap<String, &str> = (0..1_100)
        .map(|n| (format!("tool_{n:04}"), "Does nothing."))
        .collect();
    let tools = serde_json::to_string(&tools).expect("JSON");
    let yaml = format!(
        "mcpServers: {{ many: {{ command: {stub:?}, args: [stdio], env: {{ STUB_TOOLS: {tools:?} }} }} }}\n\
         groups: {{ some: [many] }}\n{OPEN_TO_TESTER}"
    );
    let other = "agents: [ { name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }, ";
    let gateway = Gateway::start(&yaml.replace("agents: [ ", other));
    let all = |agent: &str| {
        let token = gateway.token_of(agent);
        Client::new(format!("{}/mcp", gateway.base()), Some(token))
    };
    let (mine, theirs) = (all("tester"), all("other"));
    let names = |page: &Value| -> Vec<String> {
        let tools = page["result"]["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().map(|tool| tool["name"].to_string()).collect()
    };
    let first = page(&mine, None);
    let cursor = &first["result"]["nextCursor"];
    assert!(names(&first).len() == 1_000 && cursor.is_string(), "{cursor}");
    assert!(!cursor.to_string().contains("tool_"), "{cursor}");
    let second = page(&mine, Some(cursor));
    assert_eq!(second["result"]["nextCursor"], Value::Null);
    let mut seen = [names(&first), names(&second)].concat();
    assert!(seen.is_sorted(), "the order is that of names");
    seen.dedup();
    assert!(seen.len() > 1_100, "{}", seen.len());
    // The same cursor again leads to the same page; null is none.
    assert_eq!(names(&page(&mine, Some(cursor))), names(&second));
    assert_eq!(names(&page(&mine, Some(&Value::Null))), names(&first));

    let some = client(&gateway, "tester", "some");
    let mut changed = cursor.as_str().expect("a cursor").to_owned();
    changed.replace_range(20..21, if changed.as_bytes()[20] == b'A' { "B" } else { "A" });
    let changed = json!(changed);
    for (client, cursor) in [
        (&theirs, cursor),
        (&some, cursor),
        (&mine, &changed),
        (&mine, &json!("")),
        (&mine, &json!("1000")),
        (&mine, &json!(1000)),
    ] {
        let answer = page(client, Some(cursor));
        assert_eq!(answer["error"]["code"], json!(-32602), "{cursor}: {answer}");
        assert!(
            answer["error"]["message"].to_string().contains("cursor"),
            "{answer}"
        );
    }
}

#[test]
fn the_registry_shows_each_caller_the_servers_it_may_discover() {
    let stub = program("e2e-stub");
    let one = format!("{{ command: {stub:?}, args: [stdio] }}");
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ charts: {one}, labs: {one}, payroll: {one} }}\napprove: all\n\
         agents: [ {{ name: tester, secret: 'env:TESTER_SECRET' }}, {{ name: other, secret: 'env:TESTER_SECRET' }} ]\n\
         policy: {{ packs: [baseline], rules: [ \
         'permit(principal == Agent::\"tester\", action, resource in Server::\"charts\");', \
         'permit(principal == Agent::\"tester\", action, resource in Server::\"labs\");', \
         'permit(principal == Agent::\"other\", action, resource);' ] }}\n"
    ));
    let read = |agent: Option<&str>, query: &str| {
        let mut request = ureq::get(format!("{}/v0/servers{query}", gateway.base()))
            .config()
            .http_status_as_error(false)
            .build();
        if let Some(agent) = agent {
            request = request.header("Authorization", format!("Bearer {}", gateway.token_of(agent)));
        }
        let answer = request.call().expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.into_body().read_to_string().expect("a body");
        (status, serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let names = |page: &Value| -> Vec<String> {
        let servers = page["servers"].as_array().cloned().unwrap_or_default();
        servers
            .iter()
            .map(|one| one["server"]["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let (status, page) = read(Some("tester"), "");
    assert_eq!(status, 200, "{page}");
    assert_eq!(
        names(&page),
        ["io.sallyport/charts", "io.sallyport/labs"],
        "{page}"
    );
    let remote = &page["servers"][0]["server"]["remotes"][0];
    assert_eq!(
        remote["url"],
        json!(format!("{}/mcp/charts", gateway.base())),
        "{page}"
    );
    // Page by page.
    let (_, first) = read(Some("other"), "?limit=2");
    assert_eq!(
        names(&first),
        ["io.sallyport/charts", "io.sallyport/labs"],
        "{first}"
    );
    let cursor = first["metadata"]["nextCursor"].as_str().expect("a cursor");
    let (_, second) = read(Some("other"), &format!("?limit=2&cursor={cursor}"));
    assert_eq!(names(&second), ["io.sallyport/payroll"], "{second}");
    assert_eq!(second["metadata"]["nextCursor"], Value::Null, "{second}");
    for query in ["?limit=many", "?limit=1&limit=2"] {
        let (status, page) = read(Some("other"), query);
        assert_eq!(status, 400, "{page}");
        assert!(page["error"]["message"].to_string().contains("limit"), "{page}");
    }
    // Who proves nothing sees nothing, and is told how to.
    let (status, page) = read(None, "");
    assert_eq!(status, 401, "{page}");
    assert_eq!(page["servers"], Value::Null, "{page}");
}

/// Regression: whoever listed a trusted server's resource, or a template for it, made it mean several things, to everybody.
#[test]
fn what_a_server_lists_takes_nothing_from_a_trusted_one() {
    let server = |name: &str| {
        let server = Raw::of_sessions(name, &json!({"resources": {}}));
        let listed = json!({"uri": "charts://doc", "name": "doc"});
        server.answers("resources/list", &json!({"resources": [listed]}));
        let template = json!({"uriTemplate": "charts://{+page}", "name": "page"});
        server.answers(
            "resources/templates/list",
            &json!({"resourceTemplates": [template]}),
        );
        let content = json!({"uri": "charts://doc", "text": format!("of {name}")});
        server.answers("resources/read", &json!({"contents": [content]}));
        server
    };
    let servers = ["charts", "ext", "other"].map(server);
    let [charts, ext, other] = servers.each_ref().map(Raw::command);
    let reads = |servers: &str| {
        let gateway = Gateway::start(&format!("mcpServers: {{ {servers} }}\n{OPEN_TO_TESTER}"));
        let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
        ["charts://doc", "charts://x/p1"].map(|uri| {
            let params = json!({"uri": uri, "_meta": own_meta()});
            client
                .request("resources/read", Some(uri), params)
                .expect("an answer")
                .body
        })
    };
    for body in reads(&format!(
        "charts: {{ {charts}, trust: trusted }}, ext: {{ {ext} }}, other: {{ {other} }}"
    )) {
        assert_eq!(
            body["result"]["contents"][0]["text"],
            json!("of charts"),
            "{body}"
        );
    }
    for body in reads(&format!("charts: {{ {charts} }}, ext: {{ {ext} }}")) {
        assert_eq!(body["error"]["data"]["code"], json!("target-ambiguous"), "{body}");
    }
}
