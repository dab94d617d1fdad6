//! Real clients reach real servers through the gateway: the official servers of npm and PyPI, and the SDKs'
//! own clients in both lines.

use std::{path::Path, process::Command};

use e2e::{
    elsewhere,
    gateway::{Gateway, SECRET, program},
    peers,
};
use serde_json::{Value, json};

/// A developer's `mcp.json`.
fn mcp_json(peers: &Path, folder: &Path) -> Value {
    let node = peers::node(peers);
    let npm = |name: &str| {
        peers::npm(
            peers,
            &format!("@modelcontextprotocol/server-{name}/dist/index.js"),
        )
    };
    let python = |name: &str| peers.join("py2/bin").join(name);
    json!({"mcpServers": {
        "filesystem": {"command": node, "args": [npm("filesystem"), folder]},
        "memory": {
            "command": node,
            "args": [npm("memory")],
        },
        "fetch": {"command": python("mcp-server-fetch")},
        "sqlite": {"command": peers.join("py1/bin/mcp-server-sqlite"), "args": ["--db-path", folder.join("data/it.db")]},
        "everything": {"command": node, "args": [npm("everything")]},
        "git": {"command": python("mcp-server-git"), "args": ["--repository", folder]},
        "time": {"command": python("mcp-server-time")},
    }})
}

/// Who may use what is imported.
const TESTER: &str = r#"
agents: [ { name: tester, secret: "env:TESTER_SECRET", roles: [tester] } ]
policy: { packs: [baseline], rules: [ "permit(principal in Role::\"tester\", action, resource);" ] }
"#;

#[test]
fn every_client_lists_and_calls_every_imported_server() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let elsewhere = elsewhere::move_there();
    let fetched = elsewhere.as_ref().map(|_| format!("http://{}/", elsewhere::FAR));
    let scratch = e2e::gateway::Scratch::new();
    let folder = scratch.path();
    std::fs::write(folder.join("hello.txt"), "hello from a file").expect("a file");
    std::fs::create_dir(folder.join("data")).expect("a folder");
    let git = Command::new("git")
        .args(["init", "-q"])
        .current_dir(folder)
        .status()
        .expect("git is installed");
    assert!(git.success());
    let mut gateway = Gateway::configured(TESTER);
    let file = gateway.path("mcp.json");
    std::fs::write(&file, mcp_json(&peers, folder).to_string()).expect("a file");
    let imported = gateway.output(&["import", &file.display().to_string(), "--yes"]);
    assert!(
        imported.status.success(),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );
    let said = String::from_utf8_lossy(&imported.stdout).into_owned();
    assert!(said.contains("may reach any public host, nothing else"), "{said}");
    gateway.run();
    gateway.wait_for_servers();
    let url = format!("{}/mcp", gateway.base());
    let file = folder.join("hello.txt");
    let node = peers::node(&peers);
    let modules = peers.join("node/node_modules");
    let clients: [(&str, Command); 6] = [
        (
            "Python SDK 2.x",
            script(&peers.join("py2/bin/python"), "python2.py"),
        ),
        (
            "Python SDK 1.30",
            script(&peers.join("py1/bin/python"), "python1.py"),
        ),
        ("TypeScript SDK 1", script(&node, "typescript1.mjs")),
        ("TypeScript SDK 2", script(&node, "typescript2.mjs")),
        ("Inspector", script(&node, "inspector.mjs")),
        (
            "Python SDK over `connect`",
            script(&peers.join("py2/bin/python"), "connect.py"),
        ),
    ];
    let mut failures = Vec::new();
    for (name, mut command) in clients {
        let output = command
            .env("GATEWAY", &url)
            .env("TOKEN", gateway.token())
            .env("FILE", &file)
            .env("REPOSITORY", folder)
            .env("FETCHED", fetched.as_deref().unwrap_or_default())
            .env("SALLYPORT", program("sallyport"))
            .env("SALLYPORT_CLIENT_ID", "tester")
            .env("SALLYPORT_CLIENT_SECRET", SECRET)
            .env("NODE_MODULES", &modules)
            .output()
            .expect("the client starts");
        let said = String::from_utf8_lossy(&output.stdout);
        if !(output.status.success() && said.trim_end().ends_with("all called")) {
            failures.push(format!(
                "{name}: {}\n{said}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    // What they were told outlives them.
    let memory = std::fs::read_to_string(gateway.path("state/homes/memory/memory.jsonl"));
    assert!(memory.expect("a file").contains("Ada"));
    assert!(folder.join("data/it.db").is_file());
}

fn script(program: &Path, name: &str) -> Command {
    let mut command = Command::new("timeout");
    command.arg("120").arg(program).arg(peers::script(name));
    command
}
