//! The ledger in S3 (moto, which checks signatures): what is fetched back by Amazon's own client verifies; an outage holds
//! nobody up and is caught up with; a ledger that was rolled back is not copied over what it was.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    mcp::Client,
    peers::{self, Served, script},
};
use serde_json::{Value, json};

const BUCKET: &str = "logs";

/// A way to the server that can be closed.
struct Gate {
    address: SocketAddr,
    open: Arc<AtomicBool>,
}

impl Gate {
    fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let gate = Self {
            address: listener.local_addr().expect("an address"),
            open: Arc::new(AtomicBool::new(true)),
        };
        let open = Arc::clone(&gate.open);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let open = Arc::clone(&open);
                thread::spawn(move || {
                    let far = TcpStream::connect(target).expect("the server");
                    let back = (
                        stream.try_clone().expect("a copy"),
                        far.try_clone().expect("a copy"),
                    );
                    let other = Arc::clone(&open);
                    let turned = thread::spawn(move || relay(back.1, back.0, &other));
                    relay(stream, far, &open);
                    let _ = turned.join();
                });
            }
        });
        gate
    }

    fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

/// Until either side ends, or the gate is closed: then both do.
fn relay(mut from: TcpStream, mut to: TcpStream, open: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !open.load(Ordering::Relaxed) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

/// The storage, and a client of Amazon's for it.
struct Storage {
    python: PathBuf,
    said: Value,
    gate: Gate,
    _served: Served,
}

impl Storage {
    fn start() -> Option<Self> {
        let python = peers::directory()?.join("s3/bin/python");
        if !python.is_file() {
            assert!(std::env::var_os("SALLYPORT_REQUIRE_PEERS").is_none(), "no moto");
            e2e::untested("the archive in object storage: moto is not installed");
            return None;
        }
        let mut command = Command::new(&python);
        command
            .arg(script("s3.py"))
            .args(["serve", "0", BUCKET])
            .stderr(std::process::Stdio::null());
        let served = Served::start(&mut command);
        let said: Value = serde_json::from_str(&served.line).expect("where it is");
        let address = said["address"]
            .as_str()
            .and_then(|text| text.strip_prefix("http://"));
        let address = address.and_then(|text| text.parse().ok()).expect("an address");
        Some(Self {
            python,
            said,
            gate: Gate::before(address),
            _served: served,
        })
    }

    fn text(&self, name: &str) -> &str {
        self.said[name].as_str().expect("a text")
    }

    fn client(&self, word: &str, more: &[&str]) -> Output {
        let output = Command::new(&self.python)
            .arg(script("s3.py"))
            .args([
                word,
                self.text("address"),
                self.text("key"),
                self.text("secret"),
                BUCKET,
            ])
            .args(more)
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{output:?}");
        output
    }

    /// The copy of the only log, as fetched now.
    fn fetched(&self, gateway: &Gateway) -> PathBuf {
        let to = gateway.path("fetched");
        let _ = fs::remove_dir_all(&to);
        fs::create_dir(&to).expect("a directory");
        self.client("fetch", &[to.to_str().expect("a path")]);
        let origin = fs::read_to_string(gateway.path("state/origin")).expect("a name");
        to.join("one").join(origin.trim())
    }
}

fn house(storage: &Storage, secret: &str) -> Gateway {
    let stub = program("e2e-stub");
    Gateway::configured(&format!(
        "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\n\
         archive: {{ to: \"s3://{BUCKET}/one\", endpoint: \"http://{}\", key: {}, secret: \"env:S3_SECRET\", every: 1s, \
         lock: {{ mode: governance, retain: 1d }} }}\n{OPEN_TO_TESTER}",
        storage.gate.address,
        storage.text("key"),
    ))
    .with_variables(&[("S3_SECRET", secret.to_owned().leak())])
}

fn call(gateway: &Gateway, times: usize) {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    for _ in 0..times {
        let answer = client.call("stub__echo", &json!({ "text": "x" }));
        assert!(answer.expect("an answer").is_good());
    }
}

/// Entries that a checkpoint covers; 0 where there is none.
fn size(directory: &Path) -> u64 {
    let text = fs::read_to_string(directory.join("checkpoint")).unwrap_or_default();
    text.lines()
        .nth(1)
        .and_then(|line| line.parse().ok())
        .unwrap_or(0)
}

/// Waits until the copy covers so many entries.
fn covers(storage: &Storage, gateway: &Gateway, entries: u64) -> PathBuf {
    for _ in 0..60 {
        let directory = storage.fetched(gateway);
        if size(&directory) >= entries {
            return directory;
        }
        thread::sleep(Duration::from_millis(250));
    }
    panic!("the copy never covers {entries} entries");
}

fn verifies(gateway: &Gateway, directory: &Path, more: &[&Path]) {
    let keys = gateway.path("verifiers");
    fs::write(&keys, gateway.output(&["keys", "public"]).stdout).expect("a file");
    let output = Command::new(program("sallyport-verify"))
        .arg("--keys")
        .arg(keys)
        .args(more.iter().flat_map(|older| [Path::new("--older"), older]))
        .arg(directory)
        .output()
        .expect("it starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

fn here(gateway: &Gateway) -> u64 {
    size(&gateway.path("state/ledger"))
}

#[test]
fn the_ledger_is_in_s3_and_verifies_there_after_an_outage_and_never_goes_back() {
    let Some(storage) = Storage::start() else { return };
    let mut gateway = house(&storage, storage.text("secret"));
    gateway.run();
    gateway.wait_for_servers();
    // More than a full tile.
    call(&gateway, 150);
    let copy = covers(&storage, &gateway, 300);
    verifies(&gateway, &copy, &[]);
    let modes = storage.client("retention", &[]).stdout;
    assert!(String::from_utf8_lossy(&modes).contains("GOVERNANCE"));
    let older = gateway.path("older-checkpoint");
    fs::copy(copy.join("checkpoint"), &older).expect("a copy");
    gateway.stop();
    let done = Command::new("cp")
        .arg("-r")
        .args([gateway.path("state"), gateway.path("before")])
        .status();
    assert!(done.expect("it starts").success());
    // A copy that was broken off, as by the end of the process, has left an edge that no checkpoint knows of.
    let origin = fs::read_to_string(gateway.path("state/origin")).expect("a name");
    let edge = format!("one/{}/tile/0/000.p/7", origin.trim());
    storage.client("leave", &[&edge]);
    // The storage is away: nobody waits for it. When it is back, all of it comes.
    gateway.run();
    gateway.wait_for_servers();
    storage.gate.close();
    call(&gateway, 60);
    storage.gate.open();
    let copy = covers(&storage, &gateway, size(&older_of(&older)) + 120);
    verifies(&gateway, &copy, &[&older]);
    // Edges of before go once the checkpoint has come, whoever left them.
    let is_tidy = (0..40).any(|_| {
        thread::sleep(Duration::from_millis(250));
        tidy(&storage.fetched(&gateway))
    });
    assert!(is_tidy, "no edge of before is left");
    // Somebody empties it: it is copied anew, whole.
    storage.client("empty", &[]);
    let copy = covers(&storage, &gateway, 420);
    verifies(&gateway, &copy, &[&older]);
    gateway.stop();
    // The ledger is rolled back. It is not copied over what it was.
    fs::remove_dir_all(gateway.path("state")).expect("it is there");
    fs::rename(gateway.path("before"), gateway.path("state")).expect("it moves");
    gateway.run();
    gateway.wait_for_servers();
    call(&gateway, 1);
    let warned = || {
        let told = |entry: &Value| entry["action"] == json!("archive-differs");
        gateway.ledger().iter().any(told)
    };
    for _ in 0..60 {
        if warned() {
            break;
        }
        thread::sleep(Duration::from_millis(250));
    }
    assert!(warned(), "nobody was told");
    let copy = storage.fetched(&gateway);
    assert!(size(&copy) >= 420 && here(&gateway) < 420);
}

/// A directory that has this checkpoint alone.
fn older_of(checkpoint: &Path) -> PathBuf {
    let directory = checkpoint.with_file_name("older");
    fs::create_dir_all(&directory).expect("a directory");
    fs::copy(checkpoint, directory.join("checkpoint")).expect("a copy");
    directory
}

/// Whether every tile at an edge is of the tree's size now.
fn tidy(copy: &Path) -> bool {
    let partial = |layer: &str| -> usize {
        let names = fs::read_dir(copy.join("tile").join(layer))
            .expect("tiles")
            .flatten();
        let folders = names.filter(|name| name.path().extension().is_some_and(|end| end == "p"));
        folders
            .map(|folder| fs::read_dir(folder.path()).expect("tiles").count())
            .sum()
    };
    partial("0") <= 1 && partial("entries") <= 1
}

#[test]
fn a_wrong_secret_copies_nothing_and_holds_nobody_up() {
    let Some(storage) = Storage::start() else { return };
    let mut gateway = house(&storage, "another-secret-than-that-of-the-key");
    gateway.run();
    gateway.wait_for_servers();
    call(&gateway, 5);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(size(&storage.fetched(&gateway)), 0);
    call(&gateway, 5);
}
