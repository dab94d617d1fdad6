//! What has to be hidden may be spelt like a word of the protocol: that word stays, or the answer does not come.

use e2e::{
    gateway::Gateway,
    mcp::{Client, own_meta},
    raw::Raw,
};
use serde_json::{Value, json};

fn house() -> (Gateway, Raw) {
    let server = Raw::of_sessions("wiki", &json!({"tools": {}, "prompts": {}}));
    let tool = json!({"name": "page", "inputSchema": {"type": "object"}});
    server.answers("tools/list", &json!({"tools": [tool]}));
    server.answers("prompts/list", &json!({"prompts": [{"name": "ask"}]}));
    let rules = json!([r#"@redact("secret") permit(principal, action, resource);"#]);
    let gateway = Gateway::start(&format!(
        "mcpServers: {{ wiki: {{ {} }} }}\n\
         approve: all\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\" }} ]\n\
         inspection: {{ kinds: {{ pass: {{ pattern: 'pass (?P<value>[a-zA-Z/-]{{4,}})', counts: secret }} }} }}\n\
         policy: {{ packs: [baseline], rules: {rules} }}\n",
        server.command()
    ));
    (gateway, server)
}

fn asked(gateway: &Gateway, method: &str, name: &str) -> Value {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let params = json!({"name": name, "_meta": own_meta()});
    let answer = client.request(method, Some(name), params).expect("an answer");
    answer.body["result"].clone()
}

/// Regression: what was found in one place was replaced wherever it stood, in the protocol's own words, too: of a page that says
/// `pass isError` the error came as none, and pictures, roles and links came as nothing that a client knows.
#[test]
fn what_was_found_does_not_change_what_an_answer_is() {
    let (gateway, server) = house();
    let said =
        "pass image, pass image/png, pass isError, pass resource, pass https, pass assistant, pass mimeType";
    let page = json!({"isError": true, "content": [
        {"type": "text", "text": said},
        {"type": "image", "mimeType": "image/png", "data": "AAAA"},
        {"type": "resource_link", "uri": "https://h.example/resource", "name": "image", "mimeType": "text/plain"},
    ]});
    server.answers("tools/call", &page);
    let result = asked(&gateway, "tools/call", "wiki__page");
    let cut = "[redacted: own/pass]";
    let text = result["content"][0]["text"].as_str().expect("a text");
    assert_eq!(text.matches(cut).count(), 7, "{result}");
    assert_eq!(result["isError"], true, "{result}");
    assert_eq!(result["content"][1], page["content"][1]);
    let link = json!({"type": "resource_link", "uri": format!("https://h.example/{cut}"), "name": cut, "mimeType": "text/plain"});
    assert_eq!(result["content"][2], link);

    let message =
        json!({"role": "assistant", "content": {"type": "text", "text": "pass assistant, pass text"}});
    server.answers("prompts/get", &json!({"messages": [message]}));
    let result = asked(&gateway, "prompts/get", "wiki__ask");
    let text = format!("pass {cut}, pass {cut}");
    let expected = json!([{"role": "assistant", "content": {"type": "text", "text": text}}]);
    assert_eq!(result["messages"], expected, "{result}");

    // What is no word that everybody knows is not left, and nothing stands for it.
    let hidden = "im\u{200b}\u{200b}\u{200b}\u{200b}age";
    for content in [
        json!([{"type": "text", "text": "pass image/zebra"}, {"type": "image", "mimeType": "image/zebra", "data": "AAAA"}]),
        json!([{"type": hidden, "mimeType": "image/png", "data": "AAAA"}]),
        json!([{"type": "text", "te\u{200b}\u{200b}\u{200b}\u{200b}xt": "one"}]),
    ] {
        server.answers("tools/call", &json!({"content": content}));
        let result = asked(&gateway, "tools/call", "wiki__page");
        let code = &result["_meta"]["io.sallyport/call"]["code"];
        assert_eq!(code, "obligation-unmet", "{content}: {result}");
        assert!(!result.to_string().contains("zebra"), "{result}");
    }
}
