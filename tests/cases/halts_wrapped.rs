//! The kill switch reaches a server that is guarded in place by `sallyport wrap`, in both eras, while it runs, and
//! when it is started again.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use e2e::{
    gateway::{Scratch, program},
    wires::{call, initialize},
};
use serde_json::{Value, json};

/// How long an answer may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A host that wraps the stub, where its state usually is.
struct Host {
    child: Child,
    input: ChildStdin,
    heard: mpsc::Receiver<Value>,
    next: i64,
    modern: bool,
}

impl Host {
    fn start(home: &Scratch, modern: bool) -> Self {
        let mut child = Command::new(program("sallyport"))
            .args(["wrap", "--name", "stub", "--"])
            .arg(program("e2e-stub"))
            .arg("stdio")
            .arg(home.path().join("journal.txt"))
            .current_dir(home.path())
            .env("HOME", home.path())
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("an output"));
        let (send, heard) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).expect("JSON"));
            }
        });
        let input = child.stdin.take().expect("an input");
        let mut host = Self {
            child,
            input,
            heard,
            next: 10,
            modern,
        };
        if !modern {
            let opening = initialize("2025-11-25");
            writeln!(host.input, "{opening}").expect("it reads");
            host.answer(&opening["id"]);
            let opened = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            writeln!(host.input, "{opened}").expect("it reads");
        }
        host
    }

    fn ask(&mut self, tool: &str) -> Value {
        self.next += 1;
        let mut message = call(self.next, tool, &json!({"text": "x"}));
        if self.modern {
            message["params"]["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        writeln!(self.input, "{message}").expect("it reads");
        message["id"].clone()
    }

    fn answer(&self, id: &Value) -> Value {
        loop {
            let heard = self.heard.recv_timeout(PATIENCE).expect("an answer");
            if heard["id"] == *id {
                return heard;
            }
        }
    }

    /// The code of the refusal, or nothing.
    fn code(&mut self, tool: &str) -> String {
        let id = self.ask(tool);
        code(&self.answer(&id))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn code(answer: &Value) -> String {
    let told = [
        &answer["error"]["data"]["code"],
        &answer["result"]["_meta"]["io.sallyport/call"]["code"],
    ];
    told.into_iter().filter_map(Value::as_str).collect()
}

/// `sallyport stop`, where there is no configuration.
fn stop(home: &Scratch, args: &[&str]) -> Output {
    Command::new(program("sallyport"))
        .arg("stop")
        .args(args)
        .current_dir(home.path())
        .env("HOME", home.path())
        .env_remove("XDG_DATA_HOME")
        .output()
        .expect("it runs")
}

fn executed(home: &Scratch) -> usize {
    fs::read_to_string(home.path().join("journal.txt")).map_or(0, |text| text.lines().count())
}

fn stopped_and_lifted(modern: bool) {
    let home = Scratch::new();
    // Boxed, it writes to what is there, and makes nothing beside it.
    fs::write(home.path().join("journal.txt"), "").expect("an empty journal");
    let mut host = Host::start(&home, modern);
    assert_eq!(host.code("journal"), "");
    assert_eq!(executed(&home), 1);
    let running = host.ask("never");
    let output = stop(&home, &["--server", "stub", "--why", "a drill"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(code(&host.answer(&running)), "halted", "the call that ran");
    let refused = host.code("journal");
    assert!(["halted", "target-held"].contains(&refused.as_str()), "{refused}");
    assert_eq!(executed(&home), 1, "nothing reached the server any more");
    let listed = String::from_utf8_lossy(&stop(&home, &["--list"]).stdout).into_owned();
    assert!(
        listed.contains("server stub") && listed.contains("a drill"),
        "{listed}"
    );

    drop(host);
    let mut again = Host::start(&home, modern);
    assert_ne!(again.code("journal"), "", "started again, it is stopped");
    assert_eq!(executed(&home), 1);
    let lifted = stop(&home, &["--lift", "--server", "stub"]);
    assert!(lifted.status.success(), "{lifted:?}");
    // A session that was never opened cannot go on; its host begins anew.
    let mut again = if modern { again } else { Host::start(&home, modern) };
    while !again.code("journal").is_empty() {
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(executed(&home), 2);
}

#[test]
fn what_is_wrapped_stops_while_it_runs_and_over_a_restart() {
    stopped_and_lifted(false);
}

#[test]
fn what_is_wrapped_stops_for_clients_without_sessions_too() {
    stopped_and_lifted(true);
}

#[test]
fn everything_is_what_is_wrapped_as_well_and_what_is_not_wrapped_is_said() {
    let home = Scratch::new();
    fs::write(home.path().join("journal.txt"), "").expect("an empty journal");
    let mut host = Host::start(&home, true);
    assert_eq!(host.code("journal"), "");
    let wrong = home.path().join("nowhere");
    let output = stop(&home, &["--all", "--wrapped", &wrong.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stop(&home, &["--all"]).status.success());
    while host.code("journal").is_empty() {
        thread::sleep(Duration::from_millis(100));
    }
    let named = home.path().join(".local/share/sallyport/wrap/stub");
    let lifted = stop(
        &home,
        &["--all", "--lift", "--wrapped", &named.display().to_string()],
    );
    assert!(lifted.status.success(), "{lifted:?}");
    while !host.code("journal").is_empty() {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Regression: `stop --user` and `--agent` told nothing of servers that hosts wrap, which went on for their one user.
#[test]
fn the_user_of_what_is_wrapped_stops_there_and_who_is_not_known_there_is_said_not_to() {
    let home = Scratch::new();
    fs::write(home.path().join("journal.txt"), "").expect("an empty journal");
    let configuration = "data: ./state\nagents: [ { name: scribe, secret: 'file:scribe.secret' } ]\n";
    fs::write(home.path().join("sallyport.yaml"), configuration).expect("a configuration");
    let secret = home.path().join("scribe.secret");
    fs::write(&secret, "0123456789abcdef").expect("a secret");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).expect("its mode");
    let mut host = Host::start(&home, true);
    assert_eq!(host.code("journal"), "");

    let output = stop(&home, &["--agent", "scribe"]);
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("wrap/stub goes on") && told.contains("--all --wrapped"),
        "{told}"
    );
    assert_eq!(host.code("journal"), "", "it goes on, as was said");

    // The gateway knows no such user; what is wrapped does.
    let running = host.ask("never");
    let output = stop(&home, &["--user", "owner", "--why", "a drill"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(code(&host.answer(&running)), "halted", "the call that ran");
    assert_eq!(host.code("journal"), "halted");
    let before = executed(&home);
    drop(host);
    let mut again = Host::start(&home, true);
    assert_eq!(again.code("journal"), "halted", "started again, it is stopped");
    assert!(stop(&home, &["--lift", "--user", "owner"]).status.success());
    while !again.code("journal").is_empty() {
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(executed(&home), before + 1);
}
