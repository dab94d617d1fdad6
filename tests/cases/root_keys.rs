//! Root keys that are with somebody else: in a token (SoftHSM), in the keyring (GNOME Keyring). In a Vault: `vault.rs`.
//! While they are there all works; when they refuse, nothing starts, and the words say why.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, SECRET, Scratch, program},
    mcp::Client,
    peers::Served,
};
use serde_json::json;

/// Where Debian has SoftHSM.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "zebra-pin-4711";

/// Whether something of Debian's is there; where everything has to be, it must.
pub(crate) fn has(path: &str) -> bool {
    let is = Path::new(path).exists();
    let required = std::env::var_os("SALLYPORT_REQUIRE_PEERS").is_some();
    assert!(is || !required, "{path} is missing; run `cargo xtask peers`");
    if !is {
        e2e::untested(&format!("what needs {path}, which is not installed"));
    }
    is
}

/// A text that lives as long as the test, as variables of a gateway do.
pub(crate) fn lasting(text: impl std::fmt::Display) -> &'static str {
    text.to_string().leak()
}

fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn servers() -> String {
    let stub = program("e2e-stub");
    format!("mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n{OPEN_TO_TESTER}")
}

pub(crate) fn house(root_key: &str, variables: &[(&'static str, &'static str)]) -> Gateway {
    Gateway::configured(&format!("{root_key}\n{}", servers())).with_variables(variables)
}

/// Says in its configuration where the root key is from now on.
pub(crate) fn name_root_key(gateway: &Gateway, root_key: &str) {
    let text = format!(
        "listen: \"127.0.0.1:0\"\ndata: ./state\n{root_key}\n{}",
        servers()
    );
    fs::write(gateway.path("sallyport.yaml"), text).expect("a file");
}

pub(crate) fn call(gateway: &Gateway) {
    gateway.wait_for_servers();
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let answer = client.call("stub__echo", &json!({ "text": "x" }));
    assert!(answer.expect("an answer").is_good());
}

pub(crate) fn ring(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.path("state/keys")).expect("a ring")
}

/// It does not start, and says these words; none of them is a secret.
pub(crate) fn refuses(gateway: &Gateway, words: &[&str]) {
    let output = gateway.output(&["serve"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    assert!(!said.contains(PIN) && !said.contains(SECRET), "{said}");
}

pub(crate) fn done(gateway: &Gateway, args: &[&str]) {
    let output = gateway.output(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
}

pub(crate) fn verifies(gateway: &Gateway) {
    let verified = gateway.output(&["ledger", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

/// Tokens of SoftHSM in a directory of their own.
struct Tokens(Scratch);

impl Tokens {
    /// One token `prod`; none where SoftHSM is not installed.
    fn new() -> Option<Self> {
        if !has(MODULE) {
            return None;
        }
        let tokens = Self(Scratch::new());
        fs::create_dir(tokens.0.path().join("tokens")).expect("a directory");
        let directory = tokens.0.path().join("tokens");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            directory.display()
        );
        fs::write(tokens.settings(), text).expect("a file");
        fs::write(tokens.pin(), PIN).expect("a file");
        run(Command::new("chmod").arg("600").arg(tokens.pin()));
        tokens.make("prod");
        Some(tokens)
    }

    fn make(&self, label: &str) {
        run(Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                label,
                "--so-pin",
                "officer-pin",
                "--pin",
                PIN,
            ])
            .env("SOFTHSM2_CONF", self.settings()));
    }

    fn settings(&self) -> PathBuf {
        self.0.path().join("softhsm2.conf")
    }

    fn pin(&self) -> PathBuf {
        self.0.path().join("pin")
    }

    fn variables(&self) -> [(&'static str, &'static str); 1] {
        [("SOFTHSM2_CONF", lasting(self.settings().display()))]
    }

    /// A key in one of them, as configuration says it.
    fn key(&self, token: &str) -> String {
        format!(
            "root_key: {{ pkcs11: {{ module: {MODULE:?}, token: {token}, pin: \"file:{}\" }} }}",
            self.pin().display()
        )
    }
}

#[test]
fn the_root_key_moves_from_a_file_into_a_token_while_calls_go_on_and_none_fails() {
    let Some(tokens) = Tokens::new() else { return };
    tokens.make("next");
    let mut gateway = house("", &tokens.variables());
    gateway.run();
    gateway.wait_for_servers();
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (stop, base, token) = (Arc::clone(&stop), gateway.base(), gateway.token());
        thread::spawn(move || {
            let client = Client::new(format!("{base}/mcp"), Some(token));
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = client.call("stub__echo", &json!({ "text": "x" }));
                assert!(answer.expect("an answer").is_good());
                done += 1;
            }
            done
        })
    };
    // From the file into a token, from there into another one, and into a file again.
    let another = format!(
        "root_key: {{ from: \"file:{}\" }}",
        gateway.path("other.key").display()
    );
    for root_key in [
        tokens.key("prod"),
        tokens.key("next"),
        another,
        tokens.key("prod"),
    ] {
        let before = ring(&gateway);
        name_root_key(&gateway, &root_key);
        done(&gateway, &["keys", "rotate", "--use", "root"]);
        assert_ne!(ring(&gateway), before);
        // Everything else is rotated as before.
        done(&gateway, &["keys", "rotate", "--use", "wrap"]);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(load.join().expect("no call failed") > 0);
    assert!(ring(&gateway).contains("pkcs11:prod/sallyport"));
    let moved = gateway
        .ledger()
        .into_iter()
        .filter(|entry| entry["detail"]["use"] == json!("root"));
    assert_eq!(moved.count(), 4);
    verifies(&gateway);
    gateway.stop();
    // The files open nothing any more, and are not needed.
    fs::remove_file(gateway.path("other.key")).expect("it is there");
    name_root_key(&gateway, "");
    refuses(
        &gateway,
        &["is sealed by `pkcs11:prod/sallyport`", "name it again"],
    );
    fs::remove_file(gateway.path("state/root.key")).expect("it is there");
    name_root_key(&gateway, &tokens.key("prod"));
    gateway.run();
    call(&gateway);
    verifies(&gateway);
}

#[test]
fn a_token_that_gives_nothing_is_a_refusal_with_its_remedy() {
    let Some(tokens) = Tokens::new() else { return };
    let mut gateway = house(&tokens.key("prod"), &tokens.variables());
    gateway.run();
    call(&gateway);
    assert!(
        !gateway.path("state/root.key").exists(),
        "nothing is made that nobody needs"
    );
    // The token goes away while the gateway runs: calls go on, and so do keys.
    let (place, away) = (tokens.0.path().join("tokens"), tokens.0.path().join("away"));
    fs::rename(&place, &away).expect("it moves");
    fs::create_dir(&place).expect("a directory");
    call(&gateway);
    done(&gateway, &["keys", "rotate", "--use", "wrap"]);
    gateway.stop();
    // But nothing starts without it.
    refuses(&gateway, &["there is no token of this label", "plug it in"]);
    fs::remove_dir(&place).expect("it is empty");
    fs::rename(&away, &place).expect("it moves");
    for (from, to, words) in [
        (
            "libsofthsm2.so",
            "none.so",
            ["is no PKCS#11 library", "root_key.pkcs11.module"],
        ),
        (
            "token: prod",
            "token: test",
            ["there is no token of this label", "root_key.pkcs11.token"],
        ),
        (
            "token: prod",
            "key: test, token: prod",
            ["there is no such AES key", "root_key.pkcs11.key"],
        ),
        ("/pin\"", "/nowhere\"", ["root_key.pkcs11.pin", "create the file"]),
    ] {
        name_root_key(&gateway, &tokens.key("prod").replace(from, to));
        refuses(&gateway, &words);
    }
    name_root_key(&gateway, &tokens.key("prod"));
    fs::write(tokens.pin(), "another-pin").expect("a file");
    refuses(
        &gateway,
        &["the PIN is wrong", "several wrong ones lock the token"],
    );
    run(Command::new("chmod").arg("644").arg(tokens.pin()));
    refuses(&gateway, &["others on this machine can read", "chmod 600"]);
    run(Command::new("chmod").arg("600").arg(tokens.pin()));
    fs::write(tokens.pin(), PIN).expect("a file");
    // A ring that somebody else's key sealed.
    fs::rename(tokens.0.path().join("tokens"), tokens.0.path().join("lost")).expect("it moves");
    fs::create_dir(tokens.0.path().join("tokens")).expect("a directory");
    tokens.make("prod");
    let mut other = house(&tokens.key("prod"), &tokens.variables());
    other.run();
    other.stop();
    refuses(
        &gateway,
        &["does not open what it is given", "restore either from a copy"],
    );
}

#[test]
fn a_back_up_is_restored_with_its_token_and_not_without() {
    let Some(tokens) = Tokens::new() else { return };
    let mut gateway = house(&tokens.key("prod"), &tokens.variables());
    gateway.run();
    call(&gateway);
    let copy = gateway.path("copy");
    let copy = copy.to_str().expect("a path");
    done(&gateway, &["backup", "create", copy]);
    gateway.stop();
    fs::rename(gateway.path("state"), gateway.path("lost")).expect("it moves");
    let (place, away) = (tokens.0.path().join("tokens"), tokens.0.path().join("away"));
    fs::rename(&place, &away).expect("it moves");
    fs::create_dir(&place).expect("a directory");
    let restore = || gateway.output(&["backup", "restore", copy, "--nobody-erased"]);
    let refused = restore();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("there is no token of this label"), "{said}");
    assert!(
        !gateway.path("state/keys").exists() && !gateway.path("state/state.db").exists(),
        "nothing is half restored"
    );
    // A token of the same name with another key is not the token.
    tokens.make("prod");
    let mut other = house(&tokens.key("prod"), &tokens.variables());
    other.run();
    other.stop();
    let refused = restore();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("does not open what it is given"), "{said}");
    fs::remove_dir_all(&place).expect("it goes");
    fs::rename(&away, &place).expect("it comes back");
    let restored = restore();
    assert!(restored.status.success(), "{restored:?}");
    gateway.run();
    call(&gateway);
    verifies(&gateway);
}

#[test]
fn keys_of_a_file_are_not_taken_for_keys_of_a_token() {
    let Some(tokens) = Tokens::new() else { return };
    let mut gateway = house("", &tokens.variables());
    gateway.run();
    gateway.stop();
    name_root_key(&gateway, &tokens.key("prod"));
    refuses(
        &gateway,
        &[
            "is not sealed by `pkcs11:prod/sallyport` yet",
            "keys rotate --use root",
        ],
    );
    // As it says, and while no gateway runs.
    done(&gateway, &["keys", "rotate", "--use", "root"]);
    fs::remove_file(gateway.path("state/root.key")).expect("it is there");
    gateway.run();
    call(&gateway);
    gateway.stop();
    // From one token into another, with the configuration of before.
    tokens.make("next");
    fs::copy(gateway.path("sallyport.yaml"), gateway.path("before.yaml")).expect("a copy");
    name_root_key(&gateway, &tokens.key("next"));
    let before = gateway.path("before.yaml").display().to_string();
    done(&gateway, &["keys", "rotate", "--use", "root", "--from", &before]);
    gateway.run();
    call(&gateway);
    verifies(&gateway);
    // A back-up has no root key in it, and is restored with the one that is named.
    let copy = gateway.path("copy").display().to_string();
    done(&gateway, &["backup", "create", &copy]);
    gateway.stop();
    fs::remove_dir_all(gateway.path("state")).expect("it is there");
    done(&gateway, &["backup", "restore", &copy, "--nobody-erased"]);
    gateway.run();
    call(&gateway);
}

/// A session with a bus and GNOME Keyring; they end with this.
struct Session {
    scratch: Scratch,
    bus: String,
    _bus: Served,
    keyring: std::process::Child,
}

impl Session {
    fn start() -> Option<Self> {
        if !has("/usr/bin/gnome-keyring-daemon")
            || !has("/usr/bin/dbus-daemon")
            || !has("/usr/bin/secret-tool")
        {
            return None;
        }
        // Now and then GNOME's keyring does not hear its password when it starts.
        let session = (0..3).find_map(|_| Self::unlocked());
        assert!(session.is_some(), "the keyring does not open");
        session
    }

    fn unlocked() -> Option<Self> {
        let scratch = Scratch::new();
        let bus =
            Served::start(Command::new("dbus-daemon").args(["--session", "--nofork", "--print-address"]));
        let address = bus.line.clone();
        let mut keyring = Command::new("gnome-keyring-daemon");
        keyring
            .args(["--foreground", "--unlock", "--components=secrets"])
            .env("DBUS_SESSION_BUS_ADDRESS", &address)
            .env("HOME", scratch.path())
            .env("XDG_DATA_HOME", scratch.path())
            .env("XDG_RUNTIME_DIR", scratch.path());
        let mut keyring = keyring
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // It is unlocked with the password on its input.
        std::io::Write::write_all(&mut keyring.stdin.take().expect("an input"), b"of the person")
            .expect("a pipe");
        let session = Self {
            scratch,
            bus: address,
            _bus: bus,
            keyring,
        };
        let mut tries = 0;
        while !session.store("probe", "probe").status.success() {
            tries += 1;
            if tries == 50 {
                return None;
            }
            thread::sleep(std::time::Duration::from_millis(100));
        }
        Some(session)
    }

    fn store(&self, name: &str, secret: &str) -> Output {
        let file = self.scratch.path().join("input");
        fs::write(&file, secret).expect("a file");
        Command::new("secret-tool")
            .args(["store", "--label", name, "service", "sallyport", "username", name])
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .stdin(fs::File::open(&file).expect("it is there"))
            .output()
            .expect("it starts")
    }

    fn lock(&self) {
        run(Command::new("dbus-send")
            .args(["--session", "--print-reply", "--dest=org.freedesktop.secrets"])
            .args(["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock"])
            .arg("array:objpath:/org/freedesktop/secrets/aliases/default")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.keyring.kill();
        let _ = self.keyring.wait();
    }
}

#[test]
fn the_keyring_of_a_session_holds_the_root_key_and_secrets_of_the_configuration() {
    let Some(session) = Session::start() else { return };
    assert!(session.store("tester", SECRET).status.success());
    let variables = [("DBUS_SESSION_BUS_ADDRESS", lasting(&session.bus))];
    let in_keyring = |yaml: String| yaml.replace("env:TESTER_SECRET", "keyring:tester");
    let mut gateway = Gateway::configured(&in_keyring(format!(
        "root_key: {{ from: keyring:root }}\n{}",
        servers()
    )))
    .with_variables(&variables);
    gateway.run();
    call(&gateway);
    assert!(!gateway.path("state/root.key").exists());
    verifies(&gateway);
    gateway.stop();
    gateway.run();
    call(&gateway);
    gateway.stop();
    // What the entry holds is the key, and so another one opens nothing.
    let config = fs::read_to_string(gateway.path("sallyport.yaml")).expect("it is there");
    let write = |text: &str| fs::write(gateway.path("sallyport.yaml"), text).expect("a file");
    write(&config.replace("keyring:root", "keyring:none"));
    refuses(&gateway, &["has no entry `none`", "secret-tool store"]);
    write(&config.replace("keyring:tester", "keyring:nobody"));
    refuses(&gateway, &["has no entry `nobody`", "secret-tool store"]);
    write(&config.replace("keyring:root", "keyring:tester"));
    refuses(&gateway, &["must be 32 bytes"]);
    write(&config);
    session.lock();
    refuses(&gateway, &["the keyring is locked", "unlock it"]);
    let alone = gateway
        .command(&["serve"])
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&alone.stderr);
    assert!(
        alone.status.code() == Some(2) && said.contains("there is no session bus"),
        "{said}"
    );
}
