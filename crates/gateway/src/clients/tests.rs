//! Reading as people write, adding without taking away, and telling secrets from the rest.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    Addition, CLIENTS, Home, System,
    definition::{self, Entry, Origin, Reach, Word},
    extend, jsonc, position, secrets,
};
use crate::config::find;

fn trouble(text: &str) -> (usize, usize, String) {
    let trouble = jsonc::parse(text).unwrap_err();
    let (line, column) = position(text, trouble.at.unwrap());
    (line, column, trouble.what)
}

#[test]
fn comments_and_trailing_commas_are_read_over() {
    let text = "\u{feff}// a\n{ \"a\": [1, 2.5e3, /* b */ true,], \"u\": \"\\u00fc//\\\"\", }\n// c";
    let value = jsonc::parse(text).unwrap().value().unwrap();
    assert_eq!(value, json!({ "a": [1, 2.5e3, true], "u": "ü//\"" }));
    assert_eq!(
        jsonc::parse("  // nothing\n").unwrap().value().unwrap(),
        json!({})
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, line, column, what) in [
        ("{\n  \"a\": 1\n  \"b\": 2\n}", 3, 3, "a `,` or `}` is expected"),
        ("{ \"a\" 1 }", 1, 7, "there is no `:`"),
        ("{ a: 1 }", 1, 3, "a name in quotation marks"),
        ("{ \"ä\": nope }", 1, 8, "`nope` is not a value"),
        ("{\n \"a\": {", 2, 7, "this `{` is never closed"),
        ("[1, 2", 1, 1, "this `[` is never closed"),
        ("{ \"a\": \"x }", 1, 8, "a text has no end"),
        ("{ /* }", 1, 3, "a comment has no end"),
        ("{} {}", 1, 4, "something after the end"),
    ] {
        let found = trouble(text);
        assert_eq!((found.0, found.1), (line, column), "{text}: {}", found.2);
        assert!(found.2.contains(what), "{text}: {}", found.2);
    }
    assert!(jsonc::parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    let node = jsonc::parse("{ \"a\": { \"b\": 1, \"b\": 2 } }").unwrap();
    assert!(node.value().unwrap_err().what.contains("`b` comes twice"));
}

#[test]
fn secrets_are_told_from_the_rest() {
    for (name, text) in [
        ("GITHUB_TOKEN", "x"),
        ("apiKey", "1234567890"),
        ("DB_PASSWORD", "hunter2"),
        ("MYSQL_PW", "hunter2"),
        ("VALUE", "ghp_0123456789abcdefghij"),
        ("DATABASE", "postgres://ada:hunter2@db/shop"),
        ("URL", "https://example.com/mcp?api_key=abc"),
        ("ID", "a8f5f167f44f4964e6c998dee827110c"),
        ("Authorization", "Bearer abc"),
    ] {
        assert!(secrets::is_secret(name, text), "{name}={text}");
    }
    for (name, text) in [
        ("LOG_LEVEL", "debug"),
        ("PATH", "/usr/bin:/bin"),
        ("MAX_TOKENS", "4096"),
        ("AUTH_ENABLED", "true"),
        ("HOST", "https://example.com/a/path"),
        ("FOLDER", "/home/ada/2024-01-01/a1b2"),
        ("TOKEN", ""),
    ] {
        assert!(!secrets::is_secret(name, text), "{name}={text}");
    }
    assert!(secrets::is_secret_argument(Some("--api-key"), "abc"));
    assert!(secrets::is_secret_argument(None, "--token=abc"));
    assert!(secrets::is_secret_argument(
        Some("--header"),
        "Authorization: Bearer abc"
    ));
    assert!(!secrets::is_secret_argument(
        Some("-y"),
        "@modelcontextprotocol/server-filesystem"
    ));
    assert!(!secrets::is_secret_argument(Some("-e"), "GITHUB_TOKEN"));
    assert!(!secrets::is_secret_argument(None, "/home/ada/keys=/tmp"));
}

fn entry(server: Value, plain: bool) -> Result<Entry, String> {
    let origin = Origin {
        base: Path::new("/p/shop"),
        project: true,
        plain,
        in_place: false,
        home: Path::new("/home/ada"),
    };
    definition::read(server.as_object().unwrap(), &origin)
}

#[test]
fn servers_that_are_sallyport_are_known_by_what_they_start() {
    let ours = json!({ "command": "/opt/x/sallyport", "args": ["connect", "--serve", "--config", "/c"] });
    assert_eq!(entry(ours, false), Ok(Entry::Ours));
    let theirs = json!({ "command": "/opt/x/sallyport", "args": ["wrap", "--", "x"] });
    assert!(matches!(entry(theirs, false), Ok(Entry::Server(_))));
}

#[test]
fn a_text_that_looks_like_a_reference_of_ours_is_not_one_in_a_clients_file() {
    let env = json!({ "DB": "file:./dev.db", "HERE": "${workspaceFolder}/a", "T": "${T}" });
    let server = json!({ "command": "x", "env": env });
    for (plain, expected) in [(false, true), (true, false)] {
        let Ok(Entry::Server(definition)) = entry(server.clone(), plain) else {
            panic!("a server")
        };
        let Reach::Command { env, .. } = definition.reach else {
            panic!("a command")
        };
        assert_eq!(env["DB"].misleads(), expected);
        assert_eq!(env["HERE"], Word::Literal("/p/shop/a".to_owned()));
        assert_eq!(env["T"], Word::Written("${T}".to_owned()));
    }
}

#[test]
fn shapes_that_are_wrong_are_mistakes_and_what_only_the_client_can_do_is_left() {
    for (server, what) in [
        (json!({}), "neither `command` nor `url`"),
        (json!({ "command": "x", "url": "http://h/" }), "both"),
        (
            json!({ "command": ["x"] }),
            "`command` has something that is not a text",
        ),
        (json!({ "command": "x", "args": "y" }), "`args` is not a list"),
        (
            json!({ "command": "x", "env": ["A=1"] }),
            "`env` is not an object",
        ),
    ] {
        assert!(
            entry(server.clone(), false).unwrap_err().contains(what),
            "{server}"
        );
    }
    for (server, what) in [
        (
            json!({ "command": "x", "args": ["${input:k}"] }),
            "asks the editor's user",
        ),
        (json!({ "command": "x", "envFile": ".env" }), "envFile"),
    ] {
        let Ok(Entry::Left(why)) = entry(server.clone(), false) else {
            panic!("{server}")
        };
        assert!(why.contains(what), "{why}");
    }
}

#[test]
fn the_old_transport_is_taken_over_as_such() {
    let server = json!({ "url": "http://h/sse", "type": "sse" });
    let Ok(Entry::Server(definition)) = entry(server, false) else {
        panic!("it is a server")
    };
    assert!(matches!(
        definition.reach,
        super::definition::Reach::Url { sse: true, .. }
    ));
}

#[test]
fn every_client_has_its_places_on_both_systems() {
    let none = |_: &str| None;
    let home = |system| Home {
        directory: "/home/ada".into(),
        here: "/p".into(),
        system,
        env: &none,
    };
    let of = |system| {
        home(system)
            .places()
            .into_iter()
            .map(|(_, place)| place.path)
            .collect::<Vec<PathBuf>>()
    };
    let (linux, mac) = (of(System::Linux), of(System::MacOs));
    assert_eq!(linux.len(), mac.len());
    assert!(linux.contains(&"/home/ada/.config/Claude/claude_desktop_config.json".into()));
    assert!(mac.contains(&"/home/ada/Library/Application Support/Claude/claude_desktop_config.json".into()));
    assert!(mac.contains(&"/home/ada/Library/Application Support/Code/User/mcp.json".into()));
    assert!(mac.contains(&"/home/ada/.config/zed/settings.json".into()));
    let linux_home = home(System::Linux);
    for client in CLIENTS {
        let has = linux_home.places().iter().any(|(other, _)| other.id == client.id);
        assert!(has, "{} has no place", client.title);
    }
    let (client, place) = linux_home.recognise(Path::new("/x/.cursor/mcp.json"));
    assert_eq!((client.id, place.project), ("cursor", Some("/x".into())));
    assert_eq!(linux_home.recognise(Path::new("/x/mcp.json")).0.id, "local");
}

#[test]
fn what_is_added_leaves_what_is_there() {
    let fields = [
        ("command".to_owned(), json!("x")),
        ("env".to_owned(), json!({ "A": "b: c # d" })),
    ];
    let addition = || Addition {
        servers: vec![("new", "Cursor".to_owned(), fields.as_slice())],
        agents: vec!["cursor"],
        policy: true,
        data: None,
    };
    for text in [
        "",
        "mode: enforce # mine\n",
        "mcpServers:\n    a:\n        command: y\n    # after a\n\n# the rest\nmode: enforce",
        "mcpServers:\n  a: { command: y }",
        "mcpServers: { a: { command: \"}\" }, } # end\nagents: []\n",
        "servers: {}\nagents:\n- name: b\n  roles: [r]\nmode: enforce\n",
        "agents: [ { name: b } ]\n\"mcpServers\":\n  a:\n    command: y\n",
        "mcpServers: {\n  a: { command: 'it''s', args: [\"\\\"}\"] } # }\n}\n",
        "{ \"mcpServers\": { \"a\": { \"command\": \"y\" } } }",
        "{}",
    ] {
        let before = find::parse(text).unwrap();
        let extended = extend(Some(text), &addition()).unwrap_or_else(|| panic!("{text}"));
        let after = find::parse(&extended).unwrap_or_else(|error| panic!("{error}\n{extended}"));
        assert_eq!(after.servers.len(), before.servers.len() + 1, "{extended}");
        assert_eq!(after.agents.len(), before.agents.len() + 1, "{extended}");
        assert_eq!(after.servers["new"].env["A"], "b: c # d");
        assert_eq!(after.policy.unwrap().packs.unwrap(), ["developer-workstation"]);
        // Only put in: what was there is there in the same order.
        let mut rest = extended.chars();
        assert!(text.chars().all(|c| rest.any(|other| other == c)), "{extended}");
    }
    let anchored = "mcpServers: &all\n  a: { command: y }\n";
    assert!(extend(Some(anchored), &addition()).is_none());
}

/// Files as clients have them, to be damaged.
const WHOLE: &[&str] = &[
    include_str!("../../tests/it/clients/claude_code.before"),
    include_str!("../../tests/it/clients/cursor.before"),
    include_str!("../../tests/it/clients/vscode.before"),
    include_str!("../../tests/it/clients/zed.before"),
];

#[test]
fn a_damaged_file_is_read_or_named_with_its_place() {
    let judge = |text: &str| {
        match jsonc::parse(text) {
            Ok(node) => {
                let _ = node.value();
                assert!(text.get(node.span).is_some(), "{text}");
            }
            Err(trouble) => {
                let at = trouble.at.unwrap();
                assert!(at <= text.len() && position(text, at).0 >= 1, "{at} of {text}");
            }
        };
    };
    for whole in WHOLE {
        for (at, c) in whole.char_indices() {
            let (before, after) = whole.split_at(at);
            judge(before);
            judge(&format!("{before}{}", after.strip_prefix(c).unwrap()));
            for put in ["\"", "{", "]", ",", "\\", "/*", "ü", "\u{0}"] {
                judge(&format!("{before}{put}{after}"));
            }
        }
    }
}

fn in_place(text: &str) -> Result<(Vec<String>, crate::config::said::Said), String> {
    let mut said = find::parse_at(Path::new("/p/shop/mcp.json"), text)?;
    Ok((std::mem::take(&mut said.notes), said))
}

/// The promise of `ARCHITECTURE.md`: a client's `mcp.json` works unchanged. Each of these ended the start.
#[test]
fn a_clients_file_is_a_configuration_as_it_is() {
    let text = r#"// my servers
    {
        "inputs": [ { "id": "token", "type": "promptString" } ], /* VS Code */
        "globalShortcut": "Ctrl+Space",
        "servers": {
            "a": { "command": "./a", "args": ["x"], "trust": true, "watchPaths": ["./a"], "type": "stdio", },
            "b": { "url": "http://127.0.0.1:9/mcp", "headers": { "K": "${K}" }, "autoApprove": ["*"] },
            "off": { "command": "c", "envFile": ".env", "disabled": true },
            "sallyport": { "command": "/opt/sallyport", "args": ["connect", "--serve"] },
        },
    }"#;
    let (notes, said) = in_place(text).unwrap();
    assert_eq!(said.servers.keys().collect::<Vec<_>>(), ["a", "b"]);
    let a = &said.servers["a"];
    // As written, so that it is pinned as it would be without the rest; and nobody's word for what it says.
    assert_eq!((a.command.as_deref(), a.cwd.as_deref()), (Some("./a"), None));
    assert!(a.trust.is_none(), "{a:?}");
    assert_eq!(said.servers["b"].headers["K"], "${K}");
    let told = notes.join("\n");
    for unread in [
        "`inputs`",
        "`globalShortcut`",
        "a.trust`",
        "a.watchPaths`",
        "b.autoApprove`",
        "`sallyport` is",
    ] {
        assert!(told.contains(unread), "{unread}: {told}");
    }
    assert!(!told.contains("a.type"), "{told}");
    assert!(
        in_place(r#"{ "mcpServers": { "a": { "command": "a" } } }"#)
            .unwrap()
            .0
            .is_empty()
    );
}

#[test]
fn what_would_be_another_server_is_refused_as_import_refuses_it() {
    for (server, why) in [
        (
            r#"{ "command": "a", "env": { "T": "${input:token}" } }"#,
            "asks the editor's user",
        ),
        (
            r#"{ "command": "a", "envFile": ".env" }"#,
            "move those variables into `env`",
        ),
    ] {
        let said = in_place(&format!("{{ \"mcpServers\": {{ \"a\": {server} }} }}")).unwrap_err();
        assert!(said.contains("server `a`") && said.contains(why), "{said}");
    }
    let said = in_place("{\n  // a\n  \"mcpServers\": { \"a\": }\n}").unwrap_err();
    assert!(said.contains("line 3 column 24"), "{said}");
}

#[test]
fn a_file_with_anything_of_ours_is_read_strictly() {
    for ours in [
        r#"{ "mcpServers": { "a": { "command": "a" } }, "agents": [], "polcy": {} }"#,
        r#"{ "mcpServers": { "a": { "command": "a", "labels": {}, "watchPaths": [] } } }"#,
        r#"{ "mcpServers": { "a": { "command": "a", "trust": "untrusted", "envFile": "x" } } }"#,
        r#"{ "mcpServers": { "a": { "command": "a", "http_headers": {}, "x": 1 } } }"#,
        r#"{ "polcy": {} }"#,
        "mcpServers: { a: { command: a, trust: true } }",
        "mcpServers: { a: { command: a, watchPaths: [] } }",
    ] {
        in_place(ours).expect_err(ours);
    }
    let text = "/* mine: ü */ { // and more\n \"mcpServers\": { \"a\": { \"command\": \"a\" } },\n \"agents\": [], }";
    let (notes, said) = in_place(text).unwrap();
    assert!(notes.is_empty() && said.servers.len() == 1, "{notes:?}");
    // YAML that begins like JSON.
    assert_eq!(
        in_place("{ mcpServers: { a: { command: a } } }")
            .unwrap()
            .1
            .servers
            .len(),
        1
    );
}

#[test]
fn a_truth_value_is_no_label() {
    let server = json!({ "command": "x", "trust": true, "timeout": 5 });
    let Ok(Entry::Server(definition)) = entry(server, true) else {
        panic!("it is a server");
    };
    let kept: Vec<&String> = definition.kept.keys().collect();
    assert_eq!(
        kept,
        ["timeout"],
        "`trust` is the client's, `timeout` means the same to us"
    );
}
