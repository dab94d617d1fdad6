//! A server is learnt: what it asked for is proposed, the proposal suffices, and it is less than what was open.

use std::{fs, path::Path, process::Command};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER},
    mcp::Client,
    peers,
};
use serde_json::{Value, json};

fn call(gateway: &Gateway, tool: &str, arguments: &Value) -> String {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = client.call(tool, arguments).expect("an answer");
    if answer.is_good() {
        answer.text().to_owned()
    } else {
        format!("refused: {}", answer.body)
    }
}

/// One server with a box, and everybody may use it.
fn configure(gateway: &Gateway, server: &Value, sandbox: &str) {
    let server = server
        .to_string()
        .replacen('{', &format!("{{ \"sandbox\": {sandbox}, "), 1);
    let yaml =
        format!("listen: \"127.0.0.1:0\"\ndata: ./state\nmcpServers: {{ x: {server} }}\n{OPEN_TO_TESTER}");
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a configuration");
}

/// The proposal as the configuration takes it: YAML is written, and JSON is YAML.
fn grants(proposal: &str) -> String {
    let lines = proposal.lines().skip(1).map(str::trim);
    format!("{{ {} }}", lines.collect::<Vec<_>>().join(", "))
}

fn learnt(gateway: &Gateway) -> Value {
    gateway.json(&["server", "learn", "x", "--done"]).remove(0)
}

fn git(folder: &Path, args: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=x", "-c", "user.email=x@example.com"])
        .args(args)
        .current_dir(folder)
        .output()
        .expect("git");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn what_a_real_server_was_seen_to_need_suffices_and_is_less_than_was_open() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let mut gateway = Gateway::configured("");
    for name in ["projects/one", "projects/two"] {
        let folder = gateway.path(name);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("file.txt"), name).expect("a file");
        git(&folder, &["init", "-q"]);
        git(&folder, &["add", "."]);
        git(&folder, &["commit", "-qm", "first"]);
    }
    let server = json!({"command": peers.join("py2/bin/mcp-server-git")});
    let open = json!({"write": [gateway.path("projects")]}).to_string();
    configure(&gateway, &server, &open);
    gateway.run();
    gateway.wait_for_servers();
    let status = |gateway: &Gateway, name: &str| {
        call(
            gateway,
            "x__git_status",
            &json!({"repo_path": gateway.path(name)}),
        )
    };
    assert!(status(&gateway, "projects/two").contains("nothing to commit"));

    let _ = gateway.json(&["server", "learn", "x"]);
    assert!(status(&gateway, "projects/one").contains("nothing to commit"));
    let proposed = learnt(&gateway);
    let proposal = proposed["proposal"].as_str().expect("a proposal").to_owned();
    let one = gateway.path("projects/one").display().to_string();
    assert!(proposal.contains(&one), "{proposed}");
    assert!(
        !proposal.contains("projects/two") && !proposal.contains("projects\""),
        "{proposed}"
    );
    let words = "may read ~/projects/one, may write ~/projects/one/.git, nothing else";
    assert!(
        proposed["words"].as_str().expect("words").ends_with(words),
        "{proposed}"
    );
    let actions: Vec<_> = gateway
        .ledger()
        .iter()
        .map(|entry| entry["action"].clone())
        .collect();
    assert!(
        actions.contains(&json!("learning")) && actions.contains(&json!("learnt")),
        "{actions:?}"
    );
    gateway.stop();

    configure(&gateway, &server, &grants(&proposal));
    gateway.run();
    let _ = gateway.json(&["server", "approve", "x", "--as-found"]);
    assert!(status(&gateway, "projects/one").contains("nothing to commit"));
    let two = status(&gateway, "projects/two");
    assert!(!two.contains("nothing to commit"), "{two}");
}

/// Asks for what it is told, the way programs do.
const ASKING: &str = r#"
import json, os, sys, urllib.request
def serve(call):
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        method = asked["method"]
        if method == "initialize":
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
        elif method == "tools/list":
            result = {"tools": [{"name": "touch", "inputSchema": {"type": "object"}}]}
        elif method == "tools/call":
            result = {"content": [{"type": "text", "text": call(asked["params"]["arguments"])}]}
        else:
            result = {}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
def touch(arguments):
    said = []
    for how, path in arguments["files"]:
        try:
            with open(path, how) as file:
                said.append("good" if how == "w" else file.read())
        except OSError as error:
            said.append(type(error).__name__)
    for url in arguments["urls"]:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            said.append("reached")
        except Exception as error:
            said.append(type(error).__name__)
    return " ".join(said)
serve(touch)
"#;

#[test]
fn learning_grants_nothing_and_secrets_are_not_proposed() {
    learn_grants_nothing(None);
}

#[test]
fn learning_as_an_ordinary_user_grants_nothing_and_secrets_are_not_proposed() {
    if rustix::process::geteuid().is_root() {
        learn_grants_nothing(Some(65_534));
    } else {
        e2e::untested("learning as another user than this one: only root becomes one");
    }
}

fn learn_grants_nothing(user: Option<u32>) {
    let mut gateway = Gateway::configured("");
    for name in ["code", "notes", "home/.ssh", "out"] {
        fs::create_dir_all(gateway.path(name)).expect("a folder");
    }
    fs::write(gateway.path("code/server.py"), ASKING).expect("a file");
    fs::write(gateway.path("notes/a.txt"), "note").expect("a file");
    fs::write(gateway.path("home/.ssh/id_ed25519"), "secret").expect("a file");
    // A name that says nothing of where it leads.
    std::os::unix::fs::symlink(gateway.path("home/.ssh"), gateway.path("notes/way")).expect("a link");
    let at = |gateway: &Gateway, name: &str| gateway.path(name).display().to_string();
    let server = json!({"command": "/usr/bin/python3", "args": [gateway.path("code/server.py")],
        "env": {"HOME": gateway.path("home")}, "timeout": 30});
    configure(&gateway, &server, "{}");
    if let Some(user) = user {
        gateway = gateway.owned_by(user);
    }
    gateway.run();
    gateway.wait_for_servers();
    let files = json!([
        ["r", at(&gateway, "notes/a.txt")],
        ["w", at(&gateway, "out/new.txt")],
        ["r", at(&gateway, "home/.ssh/id_ed25519")],
        ["r", at(&gateway, "state/root.key")],
        ["r", at(&gateway, "notes/way/id_ed25519")]
    ]);
    let urls = json!([
        "http://api.example.com/",
        "https://api.example.com:8443/",
        "http://169.254.169.254/"
    ]);
    let asked = json!({"files": files, "urls": urls});

    let too_early = gateway.output(&["server", "learn", "x", "--done"]);
    assert!(!too_early.status.success());
    let _ = gateway.json(&["server", "learn", "x"]);
    // Nothing is there for it that was not before.
    let said = call(&gateway, "x__touch", &asked);
    assert!(
        !said.contains("note") && !said.contains("secret") && !said.contains("good"),
        "{said}"
    );
    assert!(!said.contains("reached"), "{said}");
    let proposed = learnt(&gateway);
    let proposal = proposed["proposal"].as_str().expect("a proposal").to_owned();
    let withheld = proposed["withheld"].to_string();
    for wanted in [at(&gateway, "notes/a.txt"), at(&gateway, "out")] {
        assert!(proposal.contains(&format!("{wanted:?}")), "{wanted}: {proposed}");
    }
    for host in ["\"api.example.com\"", "\"api.example.com:8443\""] {
        assert!(proposal.contains(host), "{proposed}");
    }
    assert!(
        !proposal.contains(".ssh") && withheld.contains(".ssh"),
        "{proposed}"
    );
    assert!(
        !proposal.contains("root.key") && withheld.contains("root.key"),
        "{proposed}"
    );
    assert!(
        !proposal.contains("169.254") && withheld.contains("169.254"),
        "{proposed}"
    );
    gateway.stop();

    configure(&gateway, &server, &grants(&proposal));
    gateway.run();
    let _ = gateway.json(&["server", "approve", "x", "--as-found"]);
    let said = call(&gateway, "x__touch", &json!({"files": files, "urls": []}));
    assert!(
        said.starts_with("note good ") && !said.contains("secret"),
        "{said}"
    );
}

/// Ends badly where it is asked to.
const CRASHING: &str = r#"
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    if asked["method"] == "tools/call" and asked["params"]["arguments"].get("end"):
        os._exit(3)
    result = {"tools": [{"name": "touch", "inputSchema": {"type": "object"}}]}
    if asked["method"] == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
    elif asked["method"] == "tools/call":
        result = {"content": [{"type": "text", "text": "fine"}]}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"#;

#[test]
fn a_caller_who_crashes_its_server_loses_it_alone_and_of_several_it_is_held_back() {
    let mut gateway = Gateway::configured("");
    fs::write(gateway.path("server.py"), CRASHING).expect("a file");
    let server = json!({"command": "/usr/bin/python3", "args": [gateway.path("server.py")], "timeout": 30});
    let yaml = format!(
        "listen: \"127.0.0.1:0\"\ndata: ./state\nmcpServers: {{ x: {server} }}\napprove: all\nagents:\n\
         - {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         - {{ name: other, secret: \"env:TESTER_SECRET\", roles: [tester] }}\n\
         policy: {{ packs: [baseline], rules: [ 'permit(principal in Role::\"tester\", action, resource);' ] }}\n"
    );
    fs::write(gateway.path("sallyport.yaml"), yaml).expect("a configuration");
    gateway.run();
    gateway.wait_for_servers();
    let state = |gateway: &Gateway| gateway.json(&["server", "list"])[0]["servers"][0].clone();
    let said = |gateway: &Gateway, agent: &str, end: bool| {
        let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)));
        let answer = client.call("x__touch", &json!({"end": end})).expect("an answer");
        if answer.is_good() {
            answer.text().to_owned()
        } else {
            "refused".to_owned()
        }
    };
    let crash = |gateway: &Gateway, agent: &str| {
        assert_eq!(said(gateway, agent, true), "refused");
        // The gateway hears of the end a moment after its caller.
        std::thread::sleep(std::time::Duration::from_millis(500));
    };
    for _ in 1..=5 {
        crash(&gateway, "tester");
    }
    assert_eq!(state(&gateway)["state"], json!("approved"));
    assert_eq!(said(&gateway, "tester", false), "refused");
    assert_eq!(said(&gateway, "other", false), "fine");
    let told = |gateway: &Gateway, action: &str| {
        let ledger = gateway.ledger();
        ledger.iter().any(|entry| {
            entry["action"] == json!(action) && entry["reason"].to_string().contains("crashed 5 times")
        })
    };
    assert!(told(&gateway, "crashing"));

    crash(&gateway, "other");
    assert_eq!(state(&gateway)["state"], json!("approved"));
    crash(&gateway, "other");
    let held = state(&gateway);
    assert_eq!(held["state"], json!("quarantined"), "{held}");
    assert!(held["why"].to_string().contains("crashed 5 times"), "{held}");
    assert!(told(&gateway, "quarantined"));
    let _ = gateway.json(&["server", "release", "x"]);
    // It counts anew.
    assert_eq!(said(&gateway, "tester", false), "fine");
}
