//! The operator's command line where something is missing: secrets in their shell, sense in the file they edit, room
//! on the disk their evidence goes to, somebody who reads.

use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::Client,
};
use serde_json::{Value, json};

fn configured() -> Gateway {
    let stub = program("e2e-stub");
    let server = format!("{{ command: {stub:?}, args: [stdio], env: {{ KEY: \"env:STUB_KEY\" }} }}");
    Gateway::configured(&format!("mcpServers: {{ stub: {server} }}\n{OPEN_TO_TESTER}"))
        .with_variables(&[("STUB_KEY", "k-0123456789abcdef")])
}

fn start() -> Gateway {
    let mut gateway = configured();
    gateway.run();
    gateway
}

/// A command in a shell that has none of the gateway's secrets.
fn elsewhere(gateway: &Gateway, args: &[&str]) -> Command {
    let mut command = gateway.command(args);
    command.env_remove("TESTER_SECRET").env_remove("STUB_KEY");
    command
}

fn told(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    format!("{:?}\n{}\n{}", output.status.code(), texts[0], texts[1])
}

fn ended(output: Output, code: i32) -> Output {
    assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    output
}

fn append(gateway: &Gateway, text: &str) {
    let path = gateway.path("sallyport.yaml");
    let said = fs::read_to_string(&path).expect("a configuration");
    fs::write(&path, format!("{said}\n{text}\n")).expect("written");
}

/// Commands of an operator that decide, show and count.
const LOOKS: [&[&str]; 8] = [
    &["ledger", "tail"],
    &["ledger", "verify"],
    &["approvals", "list"],
    &["incident", "list"],
    &["server", "list"],
    &["token", "--agent", "tester"],
    &["report", "gdpr"],
    &["policy", "check"],
];

#[test]
fn no_secret_of_the_gateway_is_needed_to_stop_it_or_to_look() {
    let mut gateway = start();
    let run = |gateway: &Gateway, args: &[&str]| elsewhere(gateway, args).output().expect("it starts");
    // With the gateway, and without.
    for _ in 0..2 {
        ended(run(&gateway, &["stop", "--all"]), 0);
        let listed = ended(run(&gateway, &["stop", "--list"]), 0);
        assert!(
            String::from_utf8_lossy(&listed.stdout).contains("all"),
            "{}",
            told(&listed)
        );
        ended(run(&gateway, &["stop", "--lift", "--all"]), 0);
        for args in LOOKS {
            ended(run(&gateway, args), 0);
        }
        gateway.stop();
    }
    gateway.run();
    gateway.wait_for_servers();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let called = client
        .call("stub__echo", &json!({"text": "hello"}))
        .expect("an answer");
    assert!(
        called.is_good(),
        "what was stopped and lifted goes on, pinned as it was: {called:?}"
    );
}

#[test]
fn a_file_that_does_not_parse_stops_no_kill_switch() {
    let mut gateway = start();
    append(&gateway, "polcy: {}");
    let run = |gateway: &Gateway, args: &[&str]| elsewhere(gateway, args).output().expect("it starts");
    let stopped = ended(run(&gateway, &["stop", "--agent", "tester"]), 0);
    let words = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert!(words.contains("polcy") && words.contains("/state"), "{words}");
    ended(run(&gateway, &["ledger", "tail"]), 0);
    // Not even YAML any more, and no gateway that runs.
    append(&gateway, "agents: [ {");
    let stopped = ended(run(&gateway, &["stop", "--all", "--why", "a drill"]), 0);
    assert!(
        String::from_utf8_lossy(&stopped.stdout).contains("`all` is stopped"),
        "{}",
        told(&stopped)
    );
    ended(run(&gateway, &["ledger", "tail"]), 0);
    gateway.stop();
    ended(run(&gateway, &["stop", "--server", "whichever"]), 0);
    let listed = ended(run(&gateway, &["stop", "--list", "--json"]), 0);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let listed: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let stopped: Vec<&str> = listed.iter().filter_map(|one| one["stopped"].as_str()).collect();
    assert_eq!(stopped, ["all", "agent tester", "server whichever"], "{listed:?}");
    // Who would have to agree cannot be read.
    let lifted = ended(run(&gateway, &["stop", "--lift", "--all"]), 2);
    assert!(told(&lifted).contains("who has to agree"), "{}", told(&lifted));

    // Where nothing says where the gateway is, somebody does.
    fs::write(gateway.path("sallyport.yaml"), "agents: [ {").expect("written");
    let nowhere = ended(run(&gateway, &["stop", "--all"]), 2);
    assert!(told(&nowhere).contains("--data DIR"), "{}", told(&nowhere));
    let state = gateway.path("state").display().to_string();
    ended(run(&gateway, &["stop", "--agent", "other", "--data", &state]), 0);
    // Nobody says there who has to agree, and a slip of the hand makes no gateway.
    let lifted = ended(run(&gateway, &["stop", "--lift", "--all", "--data", &state]), 2);
    assert!(told(&lifted).contains("who has to agree"), "{}", told(&lifted));
    let slip = gateway.path("stat").display().to_string();
    let stopped = ended(run(&gateway, &["stop", "--all", "--data", &slip]), 2);
    assert!(
        told(&stopped).contains("none has left its tables"),
        "{}",
        told(&stopped)
    );
    assert!(!gateway.path("stat").exists());
    fs::remove_file(gateway.path("sallyport.yaml")).expect("removed");
    let lifted = ended(run(&gateway, &["stop", "--lift", "--all", "--data", &state]), 2);
    assert!(told(&lifted).contains("who has to agree"), "{}", told(&lifted));
    let said = "data: ./other\nregistry: { approve: 1 }\n";
    fs::write(gateway.path("sallyport.yaml"), said).expect("written");
    let lifted = ended(run(&gateway, &["stop", "--lift", "--all", "--data", &state]), 2);
    assert!(told(&lifted).contains("who has to agree"), "{}", told(&lifted));
}

/// A command whose standard output is a full disk.
fn on_a_full_disk(gateway: &Gateway, args: &[&str]) -> Output {
    let full = fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("a full disk");
    gateway.command(args).stdout(full).output().expect("it starts")
}

#[test]
fn what_could_not_be_written_is_not_passed_off_as_whole() {
    let gateway = start();
    for args in [
        &["ledger", "export"][..],
        &["ledger", "tail", "--json"],
        &["ledger", "prove", "1"],
        &["ledger", "prove", "1", "--entry"],
        &["report", "gdpr"],
        &["token", "--agent", "tester"],
        &["server", "list"],
    ] {
        let output = ended(on_a_full_disk(&gateway, args), 1);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains("could not be written"), "{args:?}: {words}");
    }
    // A failure keeps its own code.
    ended(
        on_a_full_disk(&gateway, &["stop", "--agent", "nobody", "--json"]),
        2,
    );
    // Whoever closed the pipe has had enough.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = gateway.command(&["ledger", "export"]).stdout(writer).output();
    let output = ended(output.expect("it starts"), 0);
    assert!(output.stderr.is_empty(), "{}", told(&output));
}

#[test]
fn a_closed_standard_error_ends_nothing() {
    let gateway = start();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = gateway.command(&["stop", "--agent", "nobody"]);
    let status = command.stdout(Stdio::null()).stderr(writer).status();
    assert_eq!(
        status.expect("it starts").code(),
        Some(2),
        "it once ended in a panic"
    );
}

#[test]
fn a_failure_is_json_where_json_was_asked_for() {
    let gateway = start();
    let bad = gateway.path("bad.cedar");
    fs::write(&bad, "permit(").expect("rules");
    for (args, code) in [
        (&["token", "--agent", "nobody", "--json"][..], 2),
        (&["server", "show", "nothing", "--json"], 2),
        (&["policy", "check", &bad.display().to_string(), "--json"], 1),
        (&["oauth", "doctor", "http://127.0.0.1:1/mcp", "--json"], 4),
    ] {
        let output = ended(gateway.output(args), code);
        let said: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
        assert_eq!(said["error"]["code"], json!(code), "{said}");
        let text = said["error"]["text"].as_str().expect("a text");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(text),
            "{}",
            told(&output)
        );
    }
    let proof = gateway.json(&["ledger", "prove", "1"]);
    let plain = gateway.output(&["ledger", "prove", "1"]);
    let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert_eq!(proof[0]["index"], json!(1));
    let lines = |text: &str| text.lines().count();
    assert_eq!(lines(proof[0]["proof"].as_str().expect("a proof")), lines(&plain));
}

#[test]
fn mistakes_of_whoever_types_are_told_apart_from_what_does_not_hold() {
    let gateway = start();
    let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let empty = gateway.path("empty");
    fs::create_dir(&empty).expect("a folder");
    for (args, words) in [
        (&["ledger", "verify", "/nonexistent"][..], "there is no ledger in"),
        (
            &["ledger", "verify", &empty.display().to_string()],
            "there is no ledger in",
        ),
        (
            &[
                "backup",
                "restore",
                &empty.display().to_string(),
                "--nobody-erased",
            ],
            "--root-key FILE",
        ),
        (&["policy", "replay"], "--ledger"),
        (&["keys", "destroy", "zz"], "there is no key `zz`"),
        (&["server", "release", "stub"], "is not held back"),
        (&["agent", "add", "b ad"], "use 1 to 128 letters"),
        (&["token", "--agent", "tester", "--seconds", "0"], "0 seconds"),
        (
            &["report", "gdpr", "--since", "2026-02-01", "--until", "2026-01-01"],
            "later than",
        ),
    ] {
        let output = ended(gateway.output(args), 2);
        assert!(text(&output).contains(words), "{args:?}: {}", told(&output));
    }
    for (args, words) in [
        (
            &["token", "--agent", "tester", "--seconds", "6000"][..],
            "600 seconds",
        ),
        (&["stop", "--context", "zzz"], "context list"),
        (&["subject", "access", "p1"], "`subject` under `tools`"),
    ] {
        let output = ended(gateway.output(args), 0);
        assert!(text(&output).contains(words), "{args:?}: {}", told(&output));
    }
    let public = gateway.output(&["keys", "public"]);
    let key = String::from_utf8_lossy(&public.stdout)
        .lines()
        .next()
        .expect("a key")
        .to_owned();
    let verify = |directory: &std::path::Path| {
        let mut verify = Command::new(program("sallyport-verify"));
        verify
            .args(["--key", &key])
            .arg(directory)
            .output()
            .expect("it starts")
    };
    let output = ended(verify(&empty), 2);
    assert!(text(&output).contains("there is no ledger"), "{}", told(&output));
    // One whose checkpoint was taken away is a ledger that does not hold.
    let ledger = gateway.path("state/ledger");
    fs::remove_file(ledger.join("checkpoint")).expect("a checkpoint");
    ended(verify(&ledger), 1);
    ended(
        gateway.output(&["ledger", "verify", &ledger.display().to_string()]),
        1,
    );
}

#[test]
fn the_end_of_the_terminal_is_an_orderly_end_too() {
    // Whoever runs the tests may have it ignored.
    let mut gateway = configured().started_by(["env", "--default-signal=HUP"]);
    gateway.run();
    let pid = i32::try_from(gateway.pid())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a process"), rustix::process::Signal::HUP).expect("told");
    gateway.wait();
    let entries = gateway.ledger();
    let shards = entries.iter().filter(|entry| entry["kind"] == json!("shard"));
    let shards: Vec<&str> = shards.filter_map(|shard| shard["code"].as_str()).collect();
    assert_eq!(shards, ["open", "close"], "nothing had to be recovered");
}

/// `sallyport wrap -- COMMAND`, asked to initialize.
fn wrap(gateway: &Gateway, command: &str) -> Output {
    // Of another command in the same place everything would be held.
    let data = command.replace('/', "-");
    let data = gateway.path(&data).display().to_string();
    let args = [
        "wrap",
        "--name",
        "one",
        "--sandbox",
        "off",
        "--data",
        &data,
        "--",
        command,
    ];
    let mut wrap = Command::new(program("sallyport"));
    wrap.args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = wrap.spawn().expect("it starts");
    let ask = json!({"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    // One that ends at once does not read it.
    let _ = writeln!(child.stdin.as_mut().expect("its input"), "{ask}");
    child.wait_with_output().expect("it ends")
}

#[test]
fn what_is_no_server_is_not_wrapped_as_one_without_tools() {
    let gateway = Gateway::configured("");
    let gone = ended(wrap(&gateway, "/nonexistent/x"), 2);
    assert!(
        told(&gone).contains("no program that can be started"),
        "{}",
        told(&gone)
    );
    for program in ["/bin/true", "/bin/cat"] {
        let output = ended(wrap(&gateway, program), 4);
        let said: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
        assert_eq!(
            (&said["id"], &said["error"]["code"]),
            (&json!(7), &json!(-32603)),
            "{said}"
        );
        assert!(told(&output).contains("cannot be used"), "{}", told(&output));
    }
}
