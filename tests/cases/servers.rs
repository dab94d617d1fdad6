//! Servers by command: what the registry of MCP says of one is proposed, shown, and not started.

use std::fs;

use e2e::gateway::Gateway;
use serde_json::json;

#[test]
fn a_server_json_is_proposed_as_it_will_be_started_and_widens_nothing() {
    let gateway = Gateway::start("");
    let file = gateway.path("server.json");
    let add = |name: &str, server: &serde_json::Value| {
        fs::write(&file, server.to_string()).expect("a file");
        let file = file.display().to_string();
        gateway.output(&[
            "server",
            "add",
            name,
            "--from",
            &file,
            "--env",
            "TOKEN=secret-of-mine",
        ])
    };
    let package = json!({
        "registryType": "npm", "identifier": "@acme/files", "version": "1.2.3", "transport": {"type": "stdio"},
        "environmentVariables": [{"name": "TOKEN", "isRequired": true, "isSecret": true}],
    });
    let output = add("files", &json!({"name": "com.acme/files", "packages": [package]}));
    assert!(output.status.success(), "{output:?}");
    let shown = gateway.json(&["server", "show", "files"]);
    assert_eq!(shown[0]["state"], json!("proposed"), "{shown:?}");
    assert!(
        shown[0]["launch"]
            .to_string()
            .contains("npx -y @acme/files@1.2.3"),
        "{shown:?}"
    );
    assert!(!shown[0].to_string().contains("secret-of-mine"), "{shown:?}");

    let mut wide = package.clone();
    wide["runtimeArguments"] = json!([{"type": "named", "name": "--node-options", "value": "-r ./x.js"}]);
    let mut floating = package;
    floating["version"] = json!("latest");
    for (name, package, why) in [
        ("wide", wide, "runtimeArguments"),
        ("floating", floating, "exact version"),
    ] {
        let output = add(name, &json!({"name": "com.acme/files", "packages": [package]}));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && said.contains("server.json"), "{said}");
        assert!(!gateway.output(&["server", "show", name]).status.success());
    }
}
