//! The ledger of a real gateway, judged by programs that know nothing of us: the packages of Go's checksum database, as
//! Debian has them, and the crates `signed_note` and `tlog_tiles`. They find what was done to it, too.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use e2e::{
    gateway::{Gateway, Scratch, program},
    mcp::Client,
};
use serde_json::json;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Hash, HashReader, TileHashReader, check_record, check_tree, prove_tree, record_hash,
    stored_hash_index, tile, tlog::Error,
};

/// Bytes of a bundle before its first entry.
const LENGTH: usize = 2;

/// A ledger that was closed, with what an auditor was given of it.
struct Case {
    gateway: Gateway,
    /// The log's Ed25519 key.
    key: String,
    receipts: Vec<(PathBuf, PathBuf)>,
}

impl Case {
    /// More entries than one tile holds, an older checkpoint, and receipts of some entries.
    fn new() -> Self {
        let stub = program("e2e-stub");
        let mut gateway = Gateway::start(&format!(
            "mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio], trust: trusted }} }}\n{}",
            e2e::gateway::OPEN_TO_TESTER
        ));
        gateway.wait_for_servers();
        let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
        let call = |times: usize| {
            for n in 0..times {
                let answer = client.call("stub__echo", &json!({"text": format!("call {n}")}));
                assert!(answer.is_ok_and(|answer| answer.is_good()));
            }
        };
        call(20);
        let text = |args: &[&str]| gateway.output(args).stdout;
        let receipt = |index: &str| {
            let (proof, entry) = (format!("{index}.proof"), format!("{index}.json"));
            fs::write(gateway.path(&proof), text(&["ledger", "prove", index])).expect("a file");
            fs::write(gateway.path(&entry), text(&["ledger", "prove", index, "--entry"])).expect("a file");
            (gateway.path(&proof), gateway.path(&entry))
        };
        let mut receipts = vec![receipt("3")];
        fs::copy(gateway.path("state/ledger/checkpoint"), gateway.path("older")).expect("a copy");
        call(130);
        receipts.extend([receipt("0"), receipt("255"), receipt("256")]);
        let keys = String::from_utf8(text(&["keys", "public"])).expect("text");
        let key = keys.lines().next().expect("a key").to_owned();
        gateway.stop();
        Self {
            gateway,
            key,
            receipts,
        }
    }

    fn ledger(&self) -> PathBuf {
        self.gateway.path("state/ledger")
    }

    fn older(&self) -> PathBuf {
        self.gateway.path("older")
    }

    /// What Go says of a ledger.
    fn go(&self, program: &Path, ledger: &Path, key: &str) -> Output {
        let mut judge = Command::new(program);
        judge.arg(ledger).arg(key).arg(self.older());
        for (proof, entry) in &self.receipts {
            judge.arg(proof).arg(entry);
        }
        judge.output().expect("the judge starts")
    }

    /// A copy to which something is done.
    fn altered(&self, name: &str, deed: impl Fn(&Path)) -> PathBuf {
        let copy = self.gateway.path(name);
        assert!(
            Command::new("cp")
                .arg("-a")
                .args([&self.ledger(), &copy])
                .status()
                .is_ok_and(|status| status.success())
        );
        deed(&copy);
        copy
    }

    /// One deed each, and where it is.
    fn deeds(&self) -> Vec<(&'static str, PathBuf)> {
        let flip = |file: &'static str, at: usize| {
            move |copy: &Path| {
                let mut bytes = fs::read(copy.join(file)).expect("a file");
                bytes[at] ^= 1;
                fs::write(copy.join(file), bytes).expect("a file");
            }
        };
        vec![
            (
                "entry 0",
                self.altered("edited", flip("tile/entries/000", LENGTH + 9)),
            ),
            ("the tiles", self.altered("rehashed", flip("tile/0/000", 40))),
            ("not what was signed", self.altered("forged", forge)),
            ("a checkpoint", self.altered("resigned", flip("checkpoint", 45))),
            (
                "000",
                self.altered("cut", |copy| {
                    let path = copy.join("tile/entries/000");
                    let bytes = fs::read(&path).expect("a file");
                    fs::write(path, &bytes[..bytes.len() - 10]).expect("a file");
                }),
            ),
        ]
    }
}

/// Alters the first entry, and has its tile say so, too.
fn forge(copy: &Path) {
    let bundle = copy.join("tile/entries/000");
    let mut bytes = fs::read(&bundle).expect("a file");
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[LENGTH + 9] ^= 1;
    let leaf = record_hash(&bytes[LENGTH..LENGTH + length]);
    fs::write(bundle, bytes).expect("a file");
    let tile = copy.join("tile/0/000");
    let mut bytes = fs::read(&tile).expect("a file");
    bytes[..leaf.0.len()].copy_from_slice(&leaf.0);
    fs::write(tile, bytes).expect("a file");
}

/// The judge, built by Debian's Go from Debian's packages; nothing where they are missing.
fn judge(scratch: &Path) -> Option<PathBuf> {
    let packages = Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog");
    if !packages.is_dir() && std::env::var_os("SALLYPORT_REQUIRE_PEERS").is_none() {
        e2e::untested("the ledger judged by Go's own packages: they are not installed here");
        return None;
    }
    let built = scratch.join("independent");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/independent.go");
    let output = Command::new("go")
        .args(["build", "-o"])
        .args([&built, &source])
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", scratch.join("cache"))
        .env("CGO_ENABLED", "0")
        .output()
        .expect("Debian's golang-go");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(built)
}

// CONTROL: integrity
#[test]
fn go_verifies_the_ledger_and_its_receipts_and_finds_what_was_altered() {
    let scratch = Scratch::new();
    let Some(judge) = judge(scratch.path()) else {
        return;
    };
    let case = Case::new();
    let said = case.go(&judge, &case.ledger(), &case.key);
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{errors}");
    assert!(String::from_utf8_lossy(&said.stdout).contains("4 receipts"));
    for (what, copy) in case.deeds() {
        let said = case.go(&judge, &copy, &case.key);
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(1), "{what}");
        assert!(errors.contains(what), "{what}: {errors}");
    }
    // A receipt of another entry is none of this one.
    fs::copy(&case.receipts[0].1, &case.receipts[1].1).expect("a copy");
    let said = case.go(&judge, &case.ledger(), &case.key);
    assert!(String::from_utf8_lossy(&said.stderr).contains("a receipt"));
}

// CONTROL: integrity
#[test]
fn public_crates_verify_the_ledger_and_its_receipts_and_find_what_was_altered() {
    let case = Case::new();
    let verified = verified(&case.ledger(), &case);
    assert!(verified.is_ok(), "{verified:?}");
    // The same from a host that serves files and knows nothing of what they are.
    let host = Host::start(&case.ledger());
    let verified = self::verified(Path::new(&host.url), &case);
    assert!(verified.is_ok(), "{verified:?}");
    for (what, copy) in case.deeds() {
        let found = self::verified(&copy, &case);
        assert!(found.is_err(), "{what}");
    }
}

/// What the crates say of a ledger.
fn verified(ledger: &Path, case: &Case) -> Result<(), String> {
    let checkpoint = opened(&read(&ledger.join("checkpoint"))?, &case.key)?;
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    let tiles = Tiles(ledger.to_owned());
    let hashes = TileHashReader::new(size, root, &tiles);
    let indexes: Vec<u64> = (0..size).map(|n| stored_hash_index(0, n)).collect();
    let leaves = hashes
        .read_hashes(&indexes)
        .map_err(|error| format!("the tiles: {error}"))?;
    let entries = entries(ledger, size)?;
    for (n, (entry, leaf)) in entries.iter().zip(&leaves).enumerate() {
        if record_hash(entry) != *leaf {
            return Err(format!("entry {n} is not the one that was signed"));
        }
    }
    let older = opened(&read(&case.older())?, &case.key)?;
    let proof = prove_tree(size, older.size(), &hashes).map_err(|error| error.to_string())?;
    check_tree(&proof, size, root, older.size(), *older.hash()).map_err(|error| error.to_string())?;
    for (proof, entry) in &case.receipts {
        receipt(&read(proof)?, &read(entry)?, &case.key)?;
    }
    Ok(())
}

/// A checkpoint that the log's key has signed.
fn opened(bytes: &[u8], key: &str) -> Result<Checkpoint, String> {
    let verifier = StandardVerifier::new(key).map_err(|error| error.to_string())?;
    let note = Note::from_bytes(bytes).map_err(|error| error.to_string())?;
    note.verify(&VerifierList::new(vec![Box::new(verifier)]))
        .map_err(|error| error.to_string())?;
    Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())
}

fn receipt(proof: &[u8], entry: &[u8], key: &str) -> Result<(), String> {
    let text = String::from_utf8_lossy(proof);
    let (lines, note) = text.split_once("\n\n").ok_or("no receipt")?;
    let checkpoint = opened(note.as_bytes(), key)?;
    let mut lines = lines.lines().skip(1);
    let index = lines.next().and_then(|line| line.strip_prefix("index "));
    let index = index.and_then(|text| text.parse().ok()).ok_or("no index")?;
    let hashes: Result<Vec<Hash>, _> = lines.map(Hash::parse_hash).collect();
    let hashes = hashes.map_err(|error| error.to_string())?;
    let leaf = record_hash(entry);
    check_record(&hashes, checkpoint.size(), *checkpoint.hash(), index, leaf)
        .map_err(|error| error.to_string())
}

fn entries(ledger: &Path, size: u64) -> Result<Vec<Vec<u8>>, String> {
    let mut all = Vec::new();
    for n in 0..size.div_ceil(256) {
        let wide = (size - n * 256).min(256);
        let part = if wide < 256 {
            format!(".p/{wide}")
        } else {
            String::new()
        };
        let mut bundle = &*read(&ledger.join(format!("tile/entries/{n:03}{part}")))?;
        for _ in 0..wide {
            let (length, rest) = bundle.split_first_chunk::<2>().ok_or("too short")?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (entry, rest) = rest.split_at_checked(length).ok_or("too short")?;
            all.push(entry.to_vec());
            bundle = rest;
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match path.to_str().filter(|url| url.starts_with("http://")) {
        Some(url) => {
            let mut answer = ureq::get(url).call().map_err(|error| wrong(&error))?;
            answer.body_mut().read_to_vec().map_err(|error| wrong(&error))
        }
        None => fs::read(path).map_err(|error| wrong(&error)),
    }
}

/// A static host.
struct Host {
    process: Child,
    url: String,
}

impl Host {
    fn start(directory: &Path) -> Self {
        let mut process = Command::new("python3")
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"])
            .arg(directory)
            .arg("0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        // Serving HTTP on 127.0.0.1 port 40123 (http://127.0.0.1:40123/) ...
        let url = line.split(['(', ')']).nth(1).unwrap_or_default();
        let url = url.trim_end_matches('/').to_owned();
        Self { process, url }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where C2SP has tiles: as the crate has, without the height.
struct Tiles(PathBuf);

impl tile::TileReader for Tiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tile::Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let path = |tile: &tile::Tile| self.0.join(tile.path().replacen("tile/8/", "tile/", 1));
        let read = |tile| read(&path(tile)).map_err(|_| Error::InvalidTile);
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[tile::Tile], _: &[Vec<u8>]) {}
}
