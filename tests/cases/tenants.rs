//! Many customers on one gateway: whose a server is, the operator says, and the pack `saas-multitenant` holds it to that.

use e2e::{
    gateway::{Gateway, program},
    mcp::Client,
};
use serde_json::json;

fn configured() -> Gateway {
    let stub = program("e2e-stub");
    let server = |rest: &str| {
        format!("{{ command: {stub:?}, args: [stdio], tools: {{ \"*\": {{ sink: read }} }}{rest} }}")
    };
    Gateway::configured(&format!(
        "mcpServers:\n\
         \x20 acme: {}\n\
         \x20 bolt: {}\n\
         \x20 common: {}\n\
         approve: all\n\
         agents:\n\
         \x20 - {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester], tenant: acme }}\n\
         \x20 - {{ name: other, secret: \"env:TESTER_SECRET\", roles: [tester], tenant: bolt }}\n\
         \x20 - {{ name: nobodys, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         policy:\n\
         \x20 packs: [baseline, saas-multitenant]\n\
         \x20 allow: [ \"role:tester on acme__*, bolt__*, common__*\" ]\n",
        server(", tenant: acme"),
        server(", tenant: bolt"),
        server(""),
    ))
}

/// Regression: the pack asked for `resource.tenant`, and no server could be given one, so nothing was kept apart.
#[test]
fn a_tenants_server_is_neither_listed_nor_called_by_another_tenant() {
    let mut gateway = configured();
    gateway.run();
    for (agent, own) in [
        ("tester", &["acme", "common"][..]),
        ("other", &["bolt", "common"]),
        ("nobodys", &["common"]),
    ] {
        let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)));
        let listed = client.tools().expect("a list");
        for server in ["acme", "bolt", "common"] {
            let echo = format!("{server}__echo");
            let may = own.contains(&server);
            assert_eq!(listed.contains(&echo), may, "{agent}, {server}: {listed:?}");
            let answer = client.call(&echo, &json!({"text": "hello"})).expect("an answer");
            assert_eq!(answer.is_good(), may, "{agent}, {server}: {}", answer.body);
        }
    }
    let shown = gateway.json(&["server", "show", "acme"]);
    assert_eq!(shown[0]["tenant"], json!("acme"), "{shown:?}");
}

fn approvals(gateway: &Gateway, user: &str, path: &str) -> String {
    let console = gateway.json(&["console", "--token", "--as", user]);
    let token = console[0]["token"].as_str().expect("a token");
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let url = format!("{}/api/v1/approvals{path}", gateway.base());
    let request = ureq::Agent::from(config).get(&url);
    let answer = request.header("Authorization", &format!("Bearer {token}")).call();
    let body = answer.expect("an answer").into_body();
    { body }.read_to_string().expect("a text")
}

/// Regression: who was asked for by nobody's tenant was anybody's to see and to agree to, and people of no tenant agreed for all.
// CONTROL: people-decide
#[test]
fn a_question_is_seen_and_decided_in_its_tenant_and_nowhere_else() {
    let stub = program("e2e-stub");
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n\
         approve: all\n\
         users:\n\
         \x20 - {{ name: nora, roles: [controller], tenant: north }}\n\
         \x20 - {{ name: sam, roles: [controller], tenant: south }}\n\
         \x20 - {{ name: nobody, roles: [controller] }}\n\
         agents:\n\
         \x20 - {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         \x20 - {{ name: northern, secret: \"env:TESTER_SECRET\", roles: [tester], tenant: north }}\n\
         policy:\n\
         \x20 packs: [baseline]\n\
         \x20 rules:\n\
         \x20   - 'permit(principal in Role::\"tester\", action, resource);'\n\
         \x20   - '@id(\"ask\") @reason(\"ask\") @approve(\"role:controller\") forbid(principal, action == Action::\"invoke\", \
         resource == Tool::\"stub__echo\");'\n"
    ));
    for (agent, own, others) in [
        ("tester", "nobody", ["nora", "sam"]),
        ("northern", "nora", ["nobody", "sam"]),
    ] {
        let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)));
        let said = format!("only for {agent}");
        let call = || {
            client
                .call("stub__echo", &json!({"text": said}))
                .expect("an answer")
        };
        let held = call();
        let id = held.body["result"]["_meta"]["io.sallyport/call"]["approval"].as_str();
        let id = id.unwrap_or_else(|| panic!("{}", held.body)).to_owned();
        let one = format!("/{id}");
        for other in others {
            let output = gateway.output(&["approvals", "approve", &id, "--as", other]);
            assert!(!output.status.success(), "{other}: {output:?}");
            for path in ["", &one] {
                let seen = approvals(&gateway, other, path);
                assert!(!seen.contains(&said), "{other}: {seen}");
            }
        }
        for path in ["", &one] {
            let seen = approvals(&gateway, own, path);
            assert!(seen.contains(&said), "{own}: {seen}");
        }
        assert!(!call().is_good());
        let output = gateway.output(&["approvals", "approve", &id, "--as", own]);
        assert!(output.status.success(), "{own}: {output:?}");
        assert!(call().is_good());
    }
}
