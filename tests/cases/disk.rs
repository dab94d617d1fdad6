//! The disk under a gateway's data, a real file system of its own, when it is full, when it hangs, and when it turns
//! read-only: calls are refused, the upstream sees none of them, and when the disk is well they pass again.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::Client,
};
use serde_json::json;

/// A file system in a file.
struct Volume {
    image: PathBuf,
    place: PathBuf,
}

impl Volume {
    /// Mounts one; nothing where we may not.
    fn mounted(image: PathBuf, place: PathBuf) -> Option<Self> {
        fs::create_dir(&place).expect("a directory");
        File::create(&image)
            .and_then(|file| file.set_len(48 << 20))
            .expect("a file");
        assert!(run("mkfs.ext4", &["-q", "-F", "-m", "0"], &image), "mkfs.ext4");
        let volume = Self { image, place };
        volume.mount().then_some(volume)
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        let done = mount
            .args(["-o", "loop"])
            .args([&self.image, &self.place])
            .status();
        done.is_ok_and(|status| status.success())
    }

    /// Leaves not a byte free.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("a file");
        for length in [1 << 20, 4096, 1] {
            let bytes = vec![0; length];
            while filler.write_all(&bytes).is_ok() {}
        }
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }

    /// Nothing that is written returns, until it is let go.
    fn freeze(&self) {
        assert!(run("fsfreeze", &["--freeze"], &self.place), "it freezes");
    }

    fn let_go(&self) -> bool {
        run("fsfreeze", &["--unfreeze"], &self.place)
    }

    /// What a file system does when its disk fails: it takes nothing any more.
    fn turn_read_only(&self) {
        assert!(run("mount", &["-o", "remount,abort"], &self.place), "it gives up");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.let_go();
        run("umount", &["--lazy", "--quiet"], &self.place);
    }
}

fn run(program: &str, args: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(args).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

/// Calls, and what became of them.
struct Calls {
    client: Client,
    passed: usize,
}

impl Calls {
    fn one(&mut self) -> u16 {
        let answer = self.client.call("stub__journal", &json!({"text": "x"}));
        let answer = answer.expect("an answer");
        self.passed += usize::from(answer.is_good());
        let comes_again = answer.status == 503;
        assert_eq!(answer.retry_after, comes_again.then_some(1), "{:?}", answer.body);
        answer.status
    }

    /// Goes on until the answer is another, for as long as may be needed.
    fn until(&mut self, status: u16, what: &str) {
        for _ in 0..400 {
            if self.one() == status {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("no call was answered {status} when the disk was {what}");
    }

    /// From now on every call is refused, and none arrives. The first that was refused may have: its intent was the last
    /// that found room, and its outcome did not.
    fn are_refused(&mut self, what: &str, gateway: &Gateway) {
        self.until(503, what);
        let before = executed(gateway);
        for _ in 0..10 {
            assert_eq!(self.one(), 503, "{what}");
        }
        assert_eq!(before, executed(gateway), "{what}");
    }
}

/// Calls the upstream has seen. It keeps its journal on another disk.
fn executed(gateway: &Gateway) -> usize {
    let journal = fs::read_to_string(gateway.path("done/journal.txt"));
    journal.expect("something was executed").lines().count()
}

// CONTROL: availability
#[test]
fn a_disk_that_is_full_hangs_or_turns_read_only_lets_no_call_through_and_heals_without_restart() {
    let stub = program("e2e-stub");
    let mut gateway = Gateway::configured(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio, ./done/journal.txt] }} }}\n{OPEN_TO_TESTER}"
    ));
    fs::create_dir(gateway.path("done")).expect("a directory");
    let volume = Volume::mounted(gateway.path("volume"), gateway.path("state"));
    let Some(volume) = volume else {
        return e2e::untested(
            "a real file system that is full, hangs or turns read-only: mounting is not allowed here",
        );
    };
    gateway.run();
    gateway.wait_for_servers();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let mut calls = Calls { client, passed: 0 };
    assert_eq!(calls.one(), 200);

    volume.fill();
    calls.are_refused("full", &gateway);
    fs::remove_file(volume.filler()).expect("it is there");
    calls.until(200, "empty again");

    volume.freeze();
    calls.are_refused("hung", &gateway);
    assert!(volume.let_go());
    calls.until(200, "back");
    let executed = executed(&gateway);
    assert!(
        executed - calls.passed <= 2,
        "one answer is withheld each time, at most"
    );
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let gaps = gateway.ledger();
    let gaps = gaps.iter().filter(|entry| entry["kind"] == json!("gap"));
    assert!(gaps.count() >= 2, "both times are accounted for");

    // No file system comes back from this while it is in use, but nothing passes meanwhile.
    volume.turn_read_only();
    calls.are_refused("read-only", &gateway);
    gateway.kill();
    assert!(run("umount", &[], &volume.place));
    assert!(volume.mount());
    gateway.run();
    gateway.wait_for_servers();
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let ledger = gateway.ledger();
    let of = |kind: &str| ledger.iter().filter(|entry| entry["kind"] == json!(kind)).count();
    assert!(
        of("intent") >= executed,
        "every call that was made has its intent"
    );
}

/// What the disk does to a gateway that has `tests/faults/disk.c` preloaded.
struct Injected {
    said: PathBuf,
}

impl Injected {
    /// A gateway over such a disk: what happens, happens to the files whose paths begin so.
    fn below(files: &str, yaml: &str) -> (Gateway, Self) {
        let mut gateway = Gateway::configured(yaml);
        let (library, said) = (gateway.path("disk.so"), gateway.path("disk-says"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/disk.c");
        let mut compiler = Command::new("cc");
        let built = compiler
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(built.is_ok_and(|status| status.success()), "a C compiler");
        let variable = |name: &str, path: &Path| format!("{name}={}", path.display());
        let state = fs::canonicalize(gateway.path(""))
            .expect("a directory")
            .join(files);
        gateway = gateway.started_by([
            "env".to_owned(),
            variable("LD_PRELOAD", &library),
            variable("FAULT_FILE", &said),
            variable("FAULT_DIR", &state),
        ]);
        (gateway, Self { said })
    }

    /// `full`, `hung` or `read-only`, from now on.
    fn is(&self, what: &str) {
        // Whole or not at all: it is read at every step.
        let beside = self.said.with_extension("new");
        fs::write(&beside, what).expect("a file");
        fs::rename(beside, &self.said).expect("a file");
    }

    fn is_well(&self) {
        self.is("");
    }
}

/// The same without the right to mount anything: the faults come between the real program and a disk that is well.
// CONTROL: availability
#[test]
fn a_disk_that_fails_by_injection_lets_no_call_through_and_heals_without_restart() {
    let stub = program("e2e-stub");
    let (mut gateway, disk) = Injected::below(
        "state",
        &format!(
            "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio, ./done/journal.txt] }} }}\n{OPEN_TO_TESTER}"
        ),
    );
    fs::create_dir(gateway.path("done")).expect("a directory");
    gateway.run();
    gateway.wait_for_servers();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let mut calls = Calls { client, passed: 0 };
    assert_eq!(calls.one(), 200);
    let faults = ["full", "hung", "read-only"];
    for what in faults {
        disk.is(what);
        calls.are_refused(what, &gateway);
        disk.is_well();
        calls.until(200, "well");
    }
    let executed = executed(&gateway);
    assert!(
        executed - calls.passed <= faults.len(),
        "one answer is withheld each time, at most: {executed} executed, {} answered",
        calls.passed
    );
    gateway.stop();
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let ledger = gateway.ledger();
    let of = |kind: &str| ledger.iter().filter(|entry| entry["kind"] == json!(kind)).count();
    assert!(of("gap") >= faults.len(), "each time is accounted for");
    assert!(
        of("intent") >= executed,
        "every call that was made has its intent"
    );
    for intent in ledger.iter().filter(|entry| entry["kind"] == json!("intent")) {
        let ends = ledger.iter().filter(|entry| {
            let ends_call = ["outcome", "refusal"]
                .map(|kind| json!(kind))
                .contains(&entry["kind"]);
            ends_call && entry["call"] == intent["call"]
        });
        assert_eq!(ends.count(), 1, "every intent has its end: {intent}");
    }
}

/// What a gauge says.
fn gauge(gateway: &Gateway, name: &str) -> u64 {
    let mut answer = ureq::get(format!("{}/metrics", gateway.base()))
        .call()
        .expect("metrics");
    let text = answer.body_mut().read_to_string().expect("text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).expect("a gauge")
}

// CONTROL: availability
#[test]
fn an_answer_waits_for_the_disk_where_that_is_configured() {
    let stub = program("e2e-stub");
    let mut gateway = Gateway::configured(&format!(
        "records: {{ outcome: durable }}\n\
         mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}"
    ));
    gateway.run();
    gateway.wait_for_servers();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    for n in 0..40 {
        let answer = client.call("stub__echo", &json!({"text": "x"}));
        assert!(answer.is_ok_and(|answer| answer.is_good()));
        let durable = gauge(&gateway, "sallyport_ledger_durable");
        assert_eq!(
            durable,
            gauge(&gateway, "sallyport_ledger_written"),
            "after call {n}"
        );
    }
}

/// Regression: of a call that had been made it was said that nothing was sent, and a caller that did as it was told made it
/// a second time.
// CONTROL: availability
#[test]
fn of_what_was_made_it_is_not_said_that_nothing_was_sent() {
    let stub = program("e2e-stub");
    let (mut gateway, disk) = Injected::below(
        "state",
        &format!(
            "records: {{ outcome: durable }}\n\
             mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio], timeout: 2 }} }}\n{OPEN_TO_TESTER}"
        ),
    );
    gateway.run();
    gateway.wait_for_servers();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let refused = |answer: Option<e2e::mcp::Answer>| {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 503, "{:?}", answer.body);
        assert_eq!(answer.retry_after, Some(1), "{:?}", answer.body);
        answer.body["error"]["data"]["code"].clone()
    };
    let made = thread::scope(|scope| {
        let call = scope.spawn(|| client.call("stub__never", &json!({"text": "x"})).ok());
        thread::sleep(Duration::from_millis(500));
        disk.is("full");
        call.join().expect("it ends")
    });
    assert_eq!(refused(made), json!("outcome-unrecorded"));
    let not_made = client.call("stub__echo", &json!({"text": "x"})).ok();
    assert_eq!(refused(not_made), json!("ledger-unavailable"));
    disk.is_well();
}

/// Regression: a label that could not be stored was tried once. The next answer found it in memory and was released, and a
/// restart, or another replica, knew nothing of it.
// CONTROL: integrity
#[test]
fn as_long_as_labels_are_not_stored_a_context_is_told_nothing() {
    let stub = program("e2e-stub");
    let mail = r#"resource == Tool::\"mail__echo\""#;
    let (mut gateway, disk) = Injected::below(
        "state/state.db",
        &format!(
            "approve: all\n\
             agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }} ]\n\
             mcpServers:\n\
             \x20 web: {{ command: {stub:?}, args: [stdio, ./done/journal.txt], trust: untrusted }}\n\
             \x20 mail: {{ command: {stub:?}, args: [stdio], trust: trusted, tools: {{ echo: {{ sink: egress }} }} }}\n\
             policy:\n\
             \x20 rules:\n\
             \x20   - \"permit(principal, action, resource);\"\n\
             \x20   - \"forbid(principal, action, {mail}) when {{ context.labels.integrity == \\\"untrusted\\\" }};\"\n"
        ),
    );
    fs::create_dir(gateway.path("done")).expect("a directory");
    gateway.run();
    gateway.wait_for_servers();
    let call = |gateway: &Gateway, tool: &str| {
        let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
        client.call(tool, &json!({"text": "x"})).expect("an answer")
    };
    assert!(call(&gateway, "mail__echo").is_good());
    disk.is("full");
    for _ in 0..3 {
        let withheld = call(&gateway, "web__journal");
        assert_eq!(withheld.status, 503, "{:?}", withheld.body);
        let data = &withheld.body["error"]["data"];
        assert_eq!(data["code"], json!("outcome-unrecorded"), "it was done");
        let remedy = data["remedy"].as_str().unwrap_or_default();
        assert!(remedy.contains("may have been done"), "{remedy}");
    }
    assert_eq!(executed(&gateway), 3, "whoever says so is right");
    disk.is_well();
    assert!(call(&gateway, "web__journal").is_good());
    gateway.kill();
    gateway.run();
    gateway.wait_for_servers();
    assert!(!call(&gateway, "mail__echo").is_good(), "what was read is known");
}

/// Regression: a call that people had agreed to was told `internal`, 500, and to report it, where nothing was wrong but that
/// the disk was full. The yes is kept: the same call passes when there is room.
// CONTROL: availability
#[test]
fn what_people_agreed_to_is_refused_as_such_while_the_disk_is_full_and_passes_when_there_is_room() {
    let stub = program("e2e-stub");
    let rules = [
        "permit(principal, action, resource);",
        r#"@approve("role:controller 1")
           forbid(principal, action == Action::"invoke", resource == Tool::"stub__echo");"#,
    ];
    let (mut gateway, disk) = Injected::below(
        "state/state.db",
        &format!(
            "approve: all\n\
             users: [ {{ name: alice, roles: [controller] }} ]\n\
             agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\", roles: [tester] }} ]\n\
             mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n\
             policy: {{ rules: {} }}\n",
            json!(rules)
        ),
    );
    gateway.run();
    gateway.wait_for_servers();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let call = || {
        client
            .call("stub__echo", &json!({"text": "x"}))
            .expect("an answer")
    };
    let held = call();
    let id = held.body["result"]["_meta"]["io.sallyport/call"]["approval"].as_str();
    let id = id.unwrap_or_else(|| panic!("it is held: {}", held.body));
    let given = gateway.output(&["approvals", "approve", id, "--as", "alice"]);
    assert!(given.status.success(), "{given:?}");
    disk.is("full");
    for _ in 0..2 {
        let refused = call();
        let data = &refused.body["error"]["data"];
        assert_eq!((refused.status, refused.retry_after), (503, Some(1)), "{data}");
        assert_eq!(data["code"], json!("ledger-unavailable"));
        assert_eq!(data["retryAfterMs"], json!(1000));
    }
    disk.is_well();
    assert!(call().is_good(), "the yes was kept");
    assert!(!call().is_good(), "and counts once");
}

/// Regression: an answer whose new pseudonyms found no room was withheld as `obligation-unmet`, for which the remedy is to
/// change the rule.
#[test]
fn an_answer_whose_pseudonyms_find_no_room_is_withheld_until_there_is() {
    let stub = program("e2e-stub");
    let rules = [r#"@pseudonymise("personal") permit(principal, action, resource);"#];
    let (mut gateway, disk) = Injected::below(
        "state/state.db",
        &format!(
            "approve: all\n\
             agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\" }} ]\n\
             mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio], trust: trusted }} }}\n\
             policy: {{ rules: {} }}\n",
            json!(rules)
        ),
    );
    gateway.run();
    gateway.wait_for_servers();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let call = |text: &str| {
        let answer = client.call("stub__echo", &json!({ "text": text }));
        answer.expect("an answer")
    };
    assert!(call("nobody").is_good());
    disk.is("full");
    let withheld = call("write to ann.miller@clinic-north.org");
    let data = &withheld.body["error"]["data"];
    assert_eq!((withheld.status, withheld.retry_after), (503, Some(1)), "{data}");
    assert_eq!(data["code"], json!("outcome-unrecorded"), "it was done");
    disk.is_well();
    let told = call("write to ann.miller@clinic-north.org");
    assert!(told.is_good(), "{:?}", told.body);
    assert!(!told.text().contains("ann.miller"), "{}", told.text());
}

/// Regression: on a disk that was nearly full new keys of the log were waited for for three minutes, and then the answer was
/// called garbled, though there were new keys.
#[test]
fn new_keys_of_the_log_are_told_to_sign_later_where_the_disk_is_full() {
    let stub = program("e2e-stub");
    let (mut gateway, disk) = Injected::below(
        "state/ledger/tile",
        &format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}"),
    );
    gateway.run();
    gateway.wait_for_servers();
    let in_use = |gateway: &Gateway| {
        let keys = gateway.json(&["keys", "list"]);
        let of_log = keys.into_iter().filter(|key| key["use"] == json!("log-ed25519"));
        let mut in_use = of_log.filter(|key| key["state"] == json!("in use"));
        in_use.next().expect("a key")["id"].clone()
    };
    let before = in_use(&gateway);
    disk.is("full");
    let rotated = gateway.output(&["keys", "rotate", "--use", "log"]);
    let said = String::from_utf8_lossy(&rotated.stderr).into_owned();
    assert_eq!(rotated.status.code(), Some(1), "{said}");
    for part in ["do not sign yet", "Make room", "nothing to repeat"] {
        assert!(said.contains(part), "{said}");
    }
    assert_ne!(in_use(&gateway), before, "as it was said");
    disk.is_well();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    assert!(
        client
            .call("stub__echo", &json!({"text": "x"}))
            .is_ok_and(|one| one.is_good())
    );
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    gateway.stop();
    gateway.run();
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}
