use std::{collections::BTreeMap, path::Path};

use super::{
    Meant, Problem,
    find::parse,
    meant::mean,
    reference::Lookup,
    said::{Approve, Mode, Said},
};

const STRONG: &str = "0f3a9c5d7e1b2468ace0";

fn meant_in(base: &Path, text: &str) -> Result<Meant, Vec<Problem>> {
    let env = |name: &str| match name {
        "SCRIBE_SECRET" => Some(STRONG.to_owned()),
        "WEAK" => Some("hunter2".to_owned()),
        "WHERE" => Some("/data".to_owned()),
        _ => None,
    };
    let lookup = Lookup::new(&env, base);
    mean(
        parse(text).expect("it can be read"),
        &lookup,
        Path::new("/default"),
    )
}

fn meant(text: &str) -> Meant {
    meant_in(Path::new("/etc/sallyport"), text).expect("it makes sense")
}

/// All problems as one text.
fn wrong(text: &str) -> String {
    let problems = meant_in(Path::new("/etc/sallyport"), text).expect_err("it makes no sense");
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn nothing_said_is_a_safe_default() {
    let meant = meant("");
    assert_eq!(meant.door.listen.to_string(), "127.0.0.1:8420");
    assert_eq!(meant.mode, Mode::Enforce);
    assert_eq!(meant.approve, Approve::Ask);
    assert_eq!(meant.anonymous, None);
    assert_eq!(meant.packs, ["baseline"]);
    assert_eq!(meant.data, Path::new("/default"));
}

/// The shape that ARCHITECTURE.md promises to tests outside of this repository.
#[test]
fn the_promised_shape_is_understood() {
    let meant = meant(
        r#"
listen: "127.0.0.1:0"
mode: enforce
data: ./state
mcpServers:
  charts: { command: ./charts, args: [], env: {}, trust: trusted, labels: { confidentiality: restricted, categories: [phi] }, tools: { "read_*": { sink: read } } }
  web:    { url: "http://127.0.0.1:9000/mcp", trust: untrusted }
  mail:   { url: "http://127.0.0.1:9001/mcp", tools: { send: { sink: egress } } }
approve: all
users:   [ { name: alice, roles: [doctor], attributes: { patients: [p1, p2] } } ]
agents:  [ { name: scribe, secret: "env:SCRIBE_SECRET", roles: [assistant], purposes: [treatment], for: [alice], model: "vendor/model-1" } ]
purposes: [ { name: treatment, description: "care of a patient" } ]
policy:  { packs: [baseline], rules: [ "permit(principal in Role::\"doctor\", action == Action::\"invoke\", resource == Tool::\"charts__read\") when { principal.patients.contains(context.args.patient) };" ], files: [] }
limits:  { default: { rate: 600/min, burst: 60, concurrency: 32 } }
issuers: []
"#,
    );
    assert_eq!(meant.servers.len(), 3);
    assert_eq!(meant.parties.len(), 2);
    assert_eq!(meant.data, Path::new("/etc/sallyport/./state"));
    assert_eq!(meant.rules.len(), 1);
}

#[test]
fn a_clients_file_works_unchanged() {
    let meant = meant(
        r#"{ "mcpServers": {
            "filesystem": { "type": "stdio", "command": "npx", "args": ["-y", "server-filesystem", "${WHERE}/x"], "autoApprove": ["read"] },
            "off": { "command": "nothing", "disabled": true } } }"#,
    );
    let names: Vec<_> = meant
        .servers
        .iter()
        .map(|server| server.spec.name.to_string())
        .collect();
    assert_eq!(names, ["filesystem"]);
    let upstream::Reach::Stdio(command) = &meant.servers[0].spec.reach else {
        panic!("it is a program")
    };
    assert_eq!(command.args[2], "/data/x");
}

#[test]
fn a_key_nobody_knows_is_named_with_its_line() {
    let error = parse("listen: 127.0.0.1:0\nmod: enforce\n").expect_err("`mod` is no key");
    assert!(error.contains("mod") && error.contains("line 2"), "{error}");
    let error = parse("mode: enforce\nmode: observe\n").expect_err("twice");
    assert!(error.contains("twice"), "{error}");
}

#[test]
fn all_problems_come_at_once_each_with_a_remedy() {
    let text = wrong(
        r#"
listen: nowhere
mcpServers:
  both: { command: a, url: "http://localhost/" }
  none: {}
  sink: { command: a, tools: { "*": { sink: drain } } }
agents: [ { name: scribe, secret: "env:MISSING", for: [bob] }, { name: "b ad" } ]
anonymous: eve
"#,
    );
    for part in [
        "listen: `nowhere` is not an address",
        "mcpServers.both: it has both `command` and `url`",
        "mcpServers.none: it has neither `command` nor `url`",
        "`drain` is not a sink",
        "the environment variable `MISSING` is not set",
        "there is no user `bob`",
        "agents[1].name: `b ad` is not a name",
        "anonymous: there is no user `eve`",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn no_address_but_loopback_without_tls() {
    assert!(wrong("listen: 0.0.0.0:80").contains("TLS"));
    assert!(wrong("listen: \"[::]:80\"").contains("TLS"));
}

#[test]
fn a_secret_in_the_file_or_a_weak_one_is_refused() {
    let literal = wrong("agents: [ { name: a, secret: 0f3a9c5d7e1b2468ace0 } ]");
    assert!(
        literal.contains("a secret stands in the file itself") && literal.contains("env:NAME"),
        "{literal}"
    );
    assert!(
        !literal.contains("0f3a9c5d7e1b2468ace0"),
        "the secret is repeated"
    );
    let weak = wrong("agents: [ { name: a, secret: \"env:WEAK\" } ]");
    assert!(
        weak.contains("agents[0].secret") && !weak.contains("hunter2"),
        "{weak}"
    );
}

#[test]
fn a_secret_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = std::env::temp_dir().join(format!("sallyport-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("secret");
    std::fs::write(&file, STRONG).expect("a file");
    let text = "agents: [ { name: a, secret: \"file:secret\" } ]";
    for (mode, good) in [(0o644, false), (0o640, false), (0o600, true)] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("a mode");
        let result = meant_in(&directory, text);
        assert_eq!(result.is_ok(), good, "mode {mode:o}: {result:?}");
        if let Err(problems) = result {
            assert!(problems[0].remedy.contains("chmod 600"), "{problems:?}");
        }
    }
    std::fs::remove_dir_all(&directory).expect("gone");
}

#[test]
fn two_servers_may_not_differ_in_case_alone() {
    assert!(
        wrong("mcpServers: { a: { command: x }, A: { command: y } }").contains("another server is called")
    );
}

#[test]
fn numbers_that_rules_cannot_hold_are_left_out() {
    let said: Said = parse("users: [ { name: a, attributes: { n: 1, f: 1.5 } } ]").expect("it can be read");
    let env = |_: &str| None;
    let lookup = Lookup::new(&env, Path::new("/"));
    let meant = mean(said, &lookup, Path::new("/")).expect("it makes sense");
    let names: BTreeMap<_, _> = meant.parties[0].attributes.clone();
    assert_eq!(names.keys().collect::<Vec<_>>(), ["n"]);
}

/// Whoever is forwarded from this machine would be taken for somebody on it.
#[test]
fn nobody_is_anonymous_where_others_may_be_forwarded() {
    let local = "anonymous: a\nusers: [ { name: a } ]\n";
    for here in [
        "",
        "url: \"http://localhost:8420\"",
        "url: \"https://127.0.0.1:8443\"",
        "hosts: [ \"[::1]:80\", localhost, \"127.0.0.1:9\" ]",
    ] {
        meant(&format!("{local}{here}"));
    }
    for public in [
        "url: \"https://gateway.example\"",
        "hosts: [ \"localhost:80\", \"gateway.example:443\" ]",
        "hosts: [ \"10.0.0.1\" ]",
        "hosts: [ \"127.0.0.1.attacker.example\" ]",
    ] {
        let text = wrong(&format!("{local}{public}"));
        assert!(text.contains("anonymous: the gateway is called"), "{text}");
        meant(public);
    }
}

/// Who is believed for a server, and what is shown to it, is approved with it.
#[test]
fn the_tls_of_a_server_is_part_of_what_is_approved() {
    let directory = std::env::temp_dir().join(format!("sallyport-config-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let pin = |tls: &str| {
        let text = format!("mcpServers: {{ a: {{ url: \"https://a.example/mcp\"{tls} }} }}");
        let meant = meant_in(&directory, &text).expect("it makes sense");
        meant.servers[0].launch.pin
    };
    let authority = |bytes: &str| {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{bytes}\n-----END CERTIFICATE-----\n");
        std::fs::write(directory.join("ca.pem"), pem).expect("a file");
        pin(", tls: { ca: ca.pem }")
    };
    let plain = pin("");
    assert_eq!(
        pin(", tls: { post_quantum: prefer }"),
        plain,
        "nothing but the default"
    );
    let (one, other) = (authority("AAAA"), authority("BBBB"));
    let required = pin(", tls: { post_quantum: required }");
    let pins = std::collections::BTreeSet::from([plain, one, other, required]);
    assert_eq!(pins.len(), 4, "each is another server");
    std::fs::remove_dir_all(&directory).expect("gone");
    let text = wrong("mcpServers: { a: { url: \"unix:/run/a.sock\", tls: { post_quantum: required } } }");
    assert!(
        text.contains("mcpServers.a.tls: the server is not reached over TLS"),
        "{text}"
    );
}

#[test]
fn every_secret_a_file_names_is_hidden_from_servers() {
    let place = std::env::temp_dir().join(format!("sallyport-hidden-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let said = parse(
        r#"
users: [ { name: ann, secret: "file:u", password: "file:p", totp: "file:o" } ]
agents: [ { name: bot, secret: "file:a" } ]
clients: [ { id: app, secret: "file:c" } ]
mcpServers: { far: { url: "https://far.example/mcp", headers: { x: "file:h" },
  auth: { kind: bearer, token: "file:t" } } }
"#,
    );
    let env = |_: &str| None;
    let lookup = Lookup::new(&env, &place);
    let hidden = super::meant::secrets(&said.unwrap(), &lookup);
    for name in ["u", "p", "o", "a", "c", "h", "t"] {
        assert!(hidden.contains(&place.join(name)), "{name}: {hidden:?}");
    }
    std::fs::remove_dir(place).unwrap();
}

#[test]
fn receivers_are_told_apart_and_their_urls_are_not_told() {
    let two = meant(
        r#"events: [ { to: "https://logs.example/token-4711?k=v", format: json },
                     { to: "https://logs.example/token-4711?k=v", format: ocsf } ]"#,
    );
    let [one, other] = two.events.as_slice() else {
        panic!("two of them")
    };
    assert_ne!(one.key(), other.key(), "each has its own place in the ledger");
    assert!(
        !format!("{} {}", one.to, one.key()).contains("4711"),
        "{}",
        one.to
    );
    let twice = wrong(r#"events: [ { to: "file:x" }, { to: "file:x", strict: true } ]"#);
    assert!(twice.contains("events[1].to"), "{twice}");
    let named = wrong(r#"events: [ { to: "https://me:word@logs.example/" } ]"#);
    assert!(
        named.contains("events[0].to") && !named.contains("word@"),
        "{named}"
    );
}

/// Each was a sentence for programmers of the library, or none.
#[test]
fn what_cannot_be_read_is_said_to_whoever_wrote_it() {
    for (text, why) in [
        (
            "root_key: \"file:x\"\n",
            "write it as `root_key: { from: \"file:x\" }`",
        ),
        (
            "mode: enforce\nmode: observe\n",
            "`mode` is there twice; keep one of them",
        ),
        ("registry: x\n", "`registry` takes keys with values"),
    ] {
        let said = parse(text).expect_err(text);
        assert!(said.contains(why) && said.contains("line "), "{text}: {said}");
        assert!(!said.contains("DuplicateKeyPolicy"), "{said}");
    }
    parse("root_key: { from: \"file:x\" }\n").expect("the shape");
    parse("root_key: { frm: \"file:x\" }\n").expect_err("a key nobody knows");
}

#[test]
fn names_that_are_others_here_and_ways_that_are_open_are_told() {
    let meant = meant(
        "mcpServers:\n  a b__c: { command: a }\n  plain: { command: a }\n  ../e: { command: a }\n  \
         off d: { command: a, disabled: true }\n  far: { url: \"http://far.example:9/mcp\" }\n  \
         near: { url: \"http://localhost:9/mcp\" }\n  safe: { url: \"https://far.example/mcp\" }\n",
    );
    let told = meant.notes.join("\n");
    assert!(told.contains("`a b__c` is called `a-b_c` here"), "{told}");
    assert!(told.contains("`../e` is called `e` here"), "{told}");
    assert!(
        told.contains("`far` is reached without TLS at `far.example:9`"),
        "{told}"
    );
    assert_eq!(meant.notes.len(), 3, "{told}");
    let lost = wrong("mcpServers: { ünï: { command: a } }");
    assert!(lost.contains("rename the server"), "{lost}");
}

/// Regression: `origins: ["*"]` was taken, and every page was refused; so was a page whose origin was written in capitals.
#[test]
fn hosts_and_origins_that_can_match_nothing_are_refused() {
    for (key, said) in [
        ("hosts", "http://gateway.example"),
        ("hosts", "gateway.example/mcp"),
        ("hosts", "*"),
        ("hosts", ""),
        ("origins", "*"),
        ("origins", "app.example"),
        ("origins", "https://app.example/"),
        ("origins", "null"),
        ("origins", "https://a@app.example"),
    ] {
        let problems = wrong(&format!("{key}: [ \"{said}\" ]"));
        assert!(problems.contains(&format!("{key}[0]")), "{problems}");
        assert!(problems.contains("write"), "{problems}");
    }
    let meant = meant(
        "hosts: [ \"Gateway.example:8443\", \"[::1]:8420\", \"10.1.2.3\" ]\norigins: [ \"HTTPS://App.example\" ]",
    );
    assert!(meant.hosts.contains("gateway.example:8443"));
    assert!(meant.origins.contains("https://app.example"));
}
