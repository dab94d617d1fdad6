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
