//! Import, file by file: what each client's file becomes, and that there is always a way back.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::house::{GREETER, House};

const CONFIG: &str = ".config/sallyport/sallyport.yaml";
const CURSOR: &str = ".cursor/mcp.json";

macro_rules! golden {
    ($name:literal, $path:literal) => {
        (
            $path,
            include_str!(concat!("clients/", $name, ".before")),
            include_str!(concat!("clients/", $name, ".after")),
        )
    };
}

/// Where a client's file is, what it is, and what it becomes.
const GOLDEN: &[(&str, &str, &str)] = &[
    golden!("claude_desktop", ".config/Claude/claude_desktop_config.json"),
    golden!("claude_code", ".claude.json"),
    golden!("claude_code_project", "shop/.mcp.json"),
    golden!("cursor", ".cursor/mcp.json"),
    golden!("vscode", ".config/Code/User/mcp.json"),
    golden!("windsurf", ".codeium/windsurf/mcp_config.json"),
    golden!("codex", ".codex/config.toml"),
    golden!("gemini", ".gemini/settings.json"),
    golden!("zed", ".config/zed/settings.json"),
];

fn expected(house: &House, after: &str) -> String {
    let binary = std::fs::canonicalize(env!("CARGO_BIN_EXE_sallyport")).unwrap();
    let config = house.home.join(CONFIG);
    after
        .replace("@SALLYPORT@", binary.to_str().unwrap())
        .replace("@CONFIG@", config.to_str().unwrap())
}

#[test]
fn every_client_gets_sallyport_and_gets_its_file_back_byte_for_byte() {
    let house = House::new();
    for (path, before, _) in GOLDEN {
        house.put(path, before);
    }
    house.says(&["import", "--dry-run"]);
    for (path, before, _) in GOLDEN {
        assert_eq!(house.text(path), *before, "a dry run changed {path}");
    }
    house.says(&["import", "--yes", "--no-approve"]);
    for (path, _, after) in GOLDEN {
        assert_eq!(house.text(path), expected(&house, after), "{path}");
    }
    let config = house.text(CONFIG);
    let again = house.says(&["import", "--yes", "--no-approve"]);
    assert!(again.contains("nothing to do"), "{again}");
    assert_eq!(house.text(CONFIG), config);
    house.says(&["import", "--undo"]);
    for (path, before, _) in GOLDEN {
        assert_eq!(house.text(path), *before, "{path} is not what it was");
    }
    assert!(
        !house.home.join(CONFIG).exists(),
        "what the import began is gone with it"
    );
    assert!(
        house
            .fails(&["import", "--undo"])
            .1
            .contains("there is no import to undo")
    );
}

#[test]
fn each_client_alone_can_be_imported_by_name() {
    for (path, before, after) in GOLDEN {
        let house = House::new();
        let file = house.put(path, before);
        house.says(&["import", file.to_str().unwrap(), "--yes", "--no-approve"]);
        assert_eq!(house.text(path), expected(&house, after), "{path}");
        house.says(&["import", "--undo"]);
        assert_eq!(house.text(path), *before, "{path}");
    }
}

#[test]
fn a_secret_is_nowhere_but_in_files_only_its_owner_reads() {
    let house = House::new();
    let secrets = ["ghp_0123456789abcdefghijABCDEFGHIJ012345", "s3cr3t-value"];
    house.put(GOLDEN[0].0, GOLDEN[0].1);
    house.put(GOLDEN[2].0, GOLDEN[2].1);
    house.says(&["import", "--yes", "--no-approve"]);
    let config = house.text(CONFIG);
    assert!(
        config.contains("\"GITHUB_PERSONAL_ACCESS_TOKEN\": \"file:"),
        "{config}"
    );
    for (path, bytes) in house.files() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if secrets.iter().any(|secret| text.contains(secret)) {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{} may be read by others", path.display());
            assert!(
                path.starts_with(house.home.join(".local/share/sallyport")),
                "{}",
                path.display()
            );
        }
    }
    house.says(&["import", "--undo"]);
    assert!(!house.home.join(".local/share/sallyport/secrets/github").exists());
}

#[test]
fn equal_servers_are_one_and_different_ones_of_the_same_name_are_two() {
    let house = House::new();
    let server =
        |arg: &str| format!(r#"{{"mcpServers": {{"files": {{"command": "x", "args": ["{arg}"]}}}}}}"#);
    house.put(CURSOR, &server("one"));
    house.put(".gemini/settings.json", &server("one"));
    house.put(".codeium/windsurf/mcp_config.json", &server("two"));
    let told: Value =
        serde_json::from_str(&house.says(&["import", "--yes", "--no-approve", "--json"])).unwrap();
    let servers: Vec<_> = told["servers"].as_array().unwrap().iter().collect();
    assert_eq!(servers.len(), 2, "{told}");
    assert_eq!(
        (&servers[0]["name"], &servers[0]["clients"]),
        (&"files".into(), &serde_json::json!(["cursor", "gemini"]))
    );
    assert_eq!(servers[1]["name"], "files-windsurf");
    // Put back by hand and imported again: found under the name it got.
    house.put(".codeium/windsurf/mcp_config.json", &server("two"));
    let again: Value =
        serde_json::from_str(&house.says(&["import", "--yes", "--no-approve", "--json"])).unwrap();
    assert_eq!(
        (&again["servers"][0]["name"], &again["servers"][0]["action"]),
        (&"files-windsurf".into(), &"none".into())
    );
}

#[test]
fn an_existing_configuration_is_added_to_and_restored() {
    let house = House::new();
    let before =
        "# mine\nmode: observe # for now\nmcpServers:\n  files: { command: y }   # hands off\nlimits: {}";
    house.put(CONFIG, before);
    house.put(
        CURSOR,
        r#"{"mcpServers": {"files": {"command": "x"}, "time": {"command": "t"}}}"#,
    );
    house.says(&["import", "--yes", "--no-approve"]);
    let config = house.text(CONFIG);
    let kept = before.strip_suffix("limits: {}").unwrap();
    assert!(
        config.starts_with(&format!("{kept}  # from Cursor\n  files-cursor:\n")),
        "{config}"
    );
    assert!(
        config.contains("limits: {}\nagents:\n  - name: cursor\n"),
        "{config}"
    );
    house.says(&["import", "--undo"]);
    assert_eq!(house.text(CONFIG), before);
}

#[test]
fn bad_input_is_named_with_its_place_and_nothing_is_written() {
    for (path, text, told) in [
        (
            CURSOR,
            "{\n  \"mcpServers\": {\n    \"a\": { \"command\": \"x\" }\n    \"b\": {}\n  }\n}",
            "mcp.json:4:5: a `,` or `}` is expected",
        ),
        (
            CURSOR,
            "{ \"mcpServers\": { \"a\": { \"command\": 1, \"args\": {} } } }",
            "mcp.json:1:24: server `a`: `args` is not a list",
        ),
        (
            CURSOR,
            "{ \"mcpServers\": [] }",
            "mcp.json:1:17: `mcpServers` is not an object",
        ),
        (
            CURSOR,
            "{ \"mcpServers\": { \"a\": {\"url\": \"\"}, \"a\": {} } }",
            "`a` comes twice",
        ),
        (
            ".codex/config.toml",
            "model = \"x\"\n[mcp_servers.a\ncommand = 1",
            "config.toml:2:15: ",
        ),
        (CONFIG, "mcpServers: [", "sallyport.yaml: "),
    ] {
        let house = House::new();
        house.put(
            ".gemini/settings.json",
            r#"{"mcpServers": {"fine": {"command": "x"}}}"#,
        );
        house.put(path, text);
        let before = house.files();
        let (code, complaint) = house.fails(&["import", "--yes"]);
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains(told), "{complaint}");
        assert_eq!(house.files(), before, "something was written for {text}");
    }
}

#[test]
fn nothing_found_and_nobody_to_ask_are_said() {
    let house = House::new();
    let (code, complaint) = house.fails(&["import"]);
    assert!(code == 2 && complaint.contains(".cursor/mcp.json"), "{complaint}");
    assert!(
        house
            .fails(&["import", "gone.json"])
            .1
            .contains("there is no file")
    );
    house.put("shop/other.json", "{ \"a\": 1 }");
    assert!(
        house
            .fails(&["import", "other.json"])
            .1
            .contains("it names no servers")
    );
    house.put(CURSOR, r#"{"mcpServers": {"files": {"command": "x"}}}"#);
    let before = house.files();
    let (code, complaint) = house.fails(&["import"]);
    assert!(code == 2 && complaint.contains("--yes"), "{complaint}");
    assert_eq!(house.files(), before);
}

#[test]
fn undoing_never_loses_a_change_made_since_unless_forced() {
    let house = House::new();
    let before = r#"{"mcpServers": {"files": {"command": "x"}}}"#;
    house.put(CURSOR, before);
    house.says(&["import", "--yes", "--no-approve"]);
    let changed = house.text(CURSOR).replace('{', "{ ");
    house.put(CURSOR, &changed);
    let (code, complaint) = house.fails(&["import", "--undo"]);
    assert!(
        code == 1 && complaint.contains("was changed after the import"),
        "{complaint}"
    );
    assert_eq!(house.text(CURSOR), changed);
    assert!(house.home.join(CONFIG).exists());
    house.says(&["import", "--undo", "--force"]);
    assert_eq!(house.text(CURSOR), before);
    assert!(
        house.files().values().any(|bytes| bytes == changed.as_bytes()),
        "what was changed is kept"
    );
}

#[test]
fn what_fails_half_way_is_taken_back() {
    let house = House::new();
    let before = r#"{"mcpServers": {"files": {"command": "x", "env": {"API_KEY": "k"}}}}"#;
    house.put(CURSOR, before);
    // The data directory cannot be opened, which shows only when servers are to be approved.
    let mut command = house.command(&["import", "--yes"]);
    let output = command.env("SALLYPORT_ROOT_KEY", "nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(house.text(CURSOR), before);
    assert!(!house.home.join(CONFIG).exists());
    assert!(!house.home.join(".local/share/sallyport/secrets/files").exists());
    house.says(&["import", "--yes"]);
    assert!(house.text(CURSOR).contains("--serve"));
}

#[test]
fn init_begins_where_there_is_nothing() {
    let house = House::new();
    let said = house.says(&["init", "--yes"]);
    assert!(said.contains("next: sallyport serve"), "{said}");
    house.says(&["server", "list"]);
    house.says(&["init", "--yes"]);
}

#[test]
fn a_named_file_stays_unless_it_is_to_be_rewritten_and_its_servers_are_approved() {
    let house = House::new();
    house.put("shop/greeter.py", GREETER);
    let greeter = r#""greeter": {"command": "python3", "args": ["greeter.py"]}"#;
    let text = &format!(r#"{{"mcpServers": {{{greeter}, "gone": {{"command": "/no/such"}}}}}}"#);
    house.put("shop/mcp.json", text);
    let said = house.says(&["import", "mcp.json", "--config", "sallyport.yaml"]);
    assert!(said.contains("greeter: approved with 2 tools"), "{said}");
    assert!(said.contains("gone: could not be looked at"), "{said}");
    assert_eq!(house.text("shop/mcp.json"), *text);
    house.says(&[
        "import",
        "mcp.json",
        "--config",
        "sallyport.yaml",
        "--rewrite",
        "--yes",
    ]);
    assert!(house.text("shop/mcp.json").contains("--serve"));
    house.says(&["import", "--undo", "--config", "sallyport.yaml"]);
    assert_eq!(house.text("shop/mcp.json"), *text);
    assert!(
        house.text("shop/sallyport.yaml").contains("greeter"),
        "the first import stands"
    );
}
